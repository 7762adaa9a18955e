// SPDX-License-Identifier: Apache-2.0
// The tiles of a contraction C[m,n] = sum_k A[m,k] B[k,n]: pure functions of target, element and what is known of the sizes, so that
// the same program on the same kind of machine always gets the same kernels. Nothing is measured here; what was measured before is part of the target.
#pragma once
#include "codegen/cpu/target.h"
#include <optional>
#include <string>
#include <vector>

namespace fil {

/// Of Bf16Pairs a step of k is two: operands are 32 bits, the numbers of the one in the lower half, sums are f32. Of Int8Quads it is four, bytes from the lowest on, those of the left side
/// with 128 added; sums are i32 and become f32 at the end, and panels have one more row, -128 times the sum of each column.
enum class Element { F32, F64, Bf16Pairs, Int8Quads };
constexpr int stepsIn(Element e) { return e == Element::Int8Quads ? 4 : e == Element::Bf16Pairs ? 2 : 1; }
constexpr int elementBytes(Element e) { return e == Element::F64 ? 8 : 4; }
const char *elementName(Element);

/// The register tile: `rows` x `vectors` accumulators of `lanes` elements. A panel of B is columns() wide.
struct TileShape {
  Element element = Element::F32;
  int lanes = 8;
  int rows = 6;
  int vectors = 2;
  int unroll = 4; ///< steps of k in one turn of the inner loop, a power of two
  int columns() const { return lanes * vectors; }
  std::string str() const; ///< `f32 6x16 (2 x 8 lanes) unroll 4`
  bool operator==(const TileShape &) const = default;
};

/// Sizes where they are known while compiling.
struct ContractionSizes { std::optional<int64_t> m, n, k; };
/// All that the choice depends on besides the target.
struct ContractionDescriptor {
  Element element = Element::F32;
  ContractionSizes sizes;
  std::optional<int64_t> batch;
  bool packsLeft = false; ///< in each tile
  bool packsRight = false; ///< likewise
  bool fewRows = false;   ///< where m is not known: it may be small, with weights that were packed before
  bool gathersRight = false; ///< in each tile
  ContractionSizes most{}; ///< members that are gathered at a time: a tile has no more of these, but whole register tiles
  std::string sizesText() const; ///< `f32 m ? n 128 k 512, batch 4`
  std::string str() const;       ///< that, and the rest
};

/// A register tile, and what speaks for it: each term a factor of its score.
struct Candidate {
  TileShape shape;
  double products = 1; ///< multiplications for each load; two units do each, so that 1 keeps both busy
  double chains = 1;   ///< of the accumulators, as a share of those that the units' latency asks for
  double rows = 1, columns = 1; ///< of a known m or n, as a share of the tiles that it is cut into
  double panels = 1;   ///< less where the last panel of n is not whole
  double score() const { return products * chains * rows * columns * panels; }
  /// Of the units' multiplications; what memory takes is not in it.
  double expectedShare() const { return (products < 1 ? products : 1) * chains * rows * columns * panels; }
};
/// Those that fit the registers, in the order in which the first of equal ones wins.
std::vector<Candidate> candidates(const Target &, Element, const ContractionSizes &);
/// The tuned register tile, else the one that fills the registers with the least loads for each multiplication; a known small `m` or `n` shrinks it.
TileShape chooseShape(const Target &, const ContractionDescriptor &);

/// Cache blocks: a tile of C is mc x nc (multiples of the register tile's sides), k runs in blocks of kc.
struct CacheBlocks {
  int64_t mc = 0, nc = 0, kc = 0;
  std::string str() const; ///< `mc 96 nc 512 kc 384`
  bool operator==(const CacheBlocks &) const = default;
};
CacheBlocks chooseBlocks(const Target &, const TileShape &, const ContractionDescriptor &);
/// Should tiles pack what they read of a right side that changes from call to call and is copied (`turned`: transposed) into panels, rather than a kernel before them into memory?
bool packsInTiles(const Target &, const TileShape &, ContractionDescriptor, bool turned);
/// The register tile where granules of `columns` by `length` steps (of rows: `ofRows`) come and go: panels within one granule.
TileShape chooseGranuleShape(const Target &, Element, int64_t columns, int64_t length, bool ofRows);
/// Its cache blocks: k in blocks of whole granules.
CacheBlocks granuleBlocks(const Target &, const TileShape &, const ContractionDescriptor &, int64_t length);

/// The same cut smaller, so that the tiles of all `batch` products are enough for the target's cores.
CacheBlocks shared(const Target &, CacheBlocks, const TileShape &, const ContractionDescriptor &);

/// Why a contraction has its tiles: the candidates with their terms, the best first, and what the blocks take of the caches.
std::string explainChoice(const Target &, const ContractionDescriptor &);

} // namespace fil
