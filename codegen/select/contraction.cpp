// SPDX-License-Identifier: Apache-2.0
#include "codegen/select/contraction.h"
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <fmt/format.h>

namespace fil {
namespace {
int64_t roundUp(int64_t value, int64_t to) { return (value + to - 1) / to * to; }
int64_t roundDown(int64_t value, int64_t to) { return std::max(value / to * to, to); }
} // namespace

const char *elementName(Element e) { return e == Element::F32 ? "f32" : "f64"; }
std::string TileShape::str() const {
  return fmt::format("{} {}x{} ({} x {} lanes) unroll {}", elementName(element), rows, columns(), vectors, lanes, unroll);
}
std::string CacheBlocks::str() const { return fmt::format("mc {} nc {} kc {}", mc, nc, kc); }

TileShape chooseShape(const Target &target, Element element, const ContractionSizes &sizes) {
  TileShape best;
  best.element = element;
  best.lanes = target.lanesF32 * 4 / elementBytes(element);
  double bestScore = -1;
  // A step of k loads `vectors` vectors and broadcasts `rows` scalars for rows * vectors multiplications; a vector of B counts twice,
  // as panels come from the second-level cache. Accumulators, the row of B and one broadcast are in vector registers, the addresses
  // of the rows in general ones.
  for (int vectors = 1; vectors <= 4; ++vectors)
    for (int rows = 1; rows <= 8; ++rows) {
      if (rows * vectors + vectors + 1 > target.registers) continue;
      double score = double(rows * vectors) / double(rows + 2 * vectors);
      if (rows * vectors < 8) score *= double(rows * vectors) / 8; // two units, four cycles: fewer chains leave gaps
      int64_t columns = int64_t(vectors) * best.lanes;
      if (sizes.m) score *= double(*sizes.m) / double(roundUp(*sizes.m, rows));
      if (sizes.n) score *= double(*sizes.n) / double(roundUp(*sizes.n, columns));
      // Columns that fill panels are written in place, without a scratch tile: measured, 8x48 has 0.79 of oneDNN at 4096x512x128, 6x64 1.04.
      // A size that is not known is most likely a multiple of 64.
      if (sizes.n.value_or(64) % columns) score *= 0.9;
      if (score > bestScore) bestScore = score, best.rows = rows, best.vectors = vectors;
    }
  // Longer turns gain little, and the time to compile them grows faster than they do.
  best.unroll = std::min(4, (16 + best.rows * best.vectors - 1) / (best.rows * best.vectors));
  return best;
}

CacheBlocks chooseBlocks(const Target &target, const TileShape &shape, const ContractionSizes &sizes) {
  int64_t bytes = elementBytes(shape.element);
  // A known size is cut into blocks of equal length.
  auto even = [](int64_t block, std::optional<int64_t> size, int64_t unit) {
    block = roundDown(block, unit);
    if (!size) return block;
    int64_t count = std::max<int64_t>((*size + block - 1) / block, 1);
    return std::min(block, std::max(roundUp((*size + count - 1) / count, unit), unit));
  };
  CacheBlocks blocks;
  // While the rows of A pass by, a panel of B is read again and again: from the first-level cache or, as a register tile asks for
  // few bytes a cycle, from the second. Long blocks save passes over C; beyond 2 KB a row of A they save nothing more.
  blocks.kc = even(std::min(target.l2 / 8 / (shape.columns() * bytes), 2048 / bytes), sizes.k, std::lcm(4 * shape.unroll, shape.lanes)); // packing goes by whole vectors
  // The block of A takes a quarter of the second-level cache, the tile of C half of it: it is touched once for each block of k, and
  // the wider it is, the less often the same A is packed.
  blocks.mc = even(target.l2 / 4 / (blocks.kc * bytes), sizes.m, shape.rows);
  blocks.nc = even(target.l2 / 2 / (blocks.mc * bytes), sizes.n, shape.columns());
  return blocks;
}

CacheBlocks shared(CacheBlocks blocks, const TileShape &shape, const ContractionSizes &sizes, std::optional<int64_t> batch) {
  constexpr int64_t enough = 8;
  auto parts = [](int64_t size, int64_t block) { return (size + block - 1) / block; };
  if (!sizes.m) blocks.mc = std::min(blocks.mc, roundUp(256, shape.rows)); // threads end together
  if (!sizes.m || !sizes.n) return blocks;
  const int64_t m = *sizes.m, n = *sizes.n, products = batch.value_or(enough);
  if (parts(m, blocks.mc) * parts(n, blocks.nc) * products >= enough) return blocks;
  // Each part of n packs or reads all of A once more, each part of m reads all of B, which is packed already.
  CacheBlocks best = blocks;
  int64_t least = INT64_MAX, most = 0;
  for (int64_t rows = 1; rows <= enough; ++rows)
    for (int64_t columns = 1; columns <= enough; ++columns) {
      CacheBlocks b = blocks;
      b.mc = std::min(blocks.mc, roundUp(parts(m, rows), shape.rows)), b.nc = std::min(blocks.nc, roundUp(parts(n, columns), shape.columns()));
      const int64_t tiles = std::min(enough, parts(m, b.mc) * parts(n, b.nc) * products), moved = 3 * m * parts(n, b.nc) + 2 * n * parts(m, b.mc);
      if (tiles > most || (tiles == most && moved < least)) best = b, most = tiles, least = moved;
    }
  return best;
}

} // namespace fil
