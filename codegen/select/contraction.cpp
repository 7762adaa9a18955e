// SPDX-License-Identifier: Apache-2.0
#include "codegen/select/contraction.h"
#include <algorithm>
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
  blocks.kc = even(std::min(target.l2 / 8 / (shape.columns() * bytes), 2048 / bytes), sizes.k, 4 * shape.unroll);
  // The block of A takes a quarter of the second-level cache, the tile of C half of it: it is touched once for each block of k, and
  // the wider it is, the less often the same A is packed.
  blocks.mc = even(target.l2 / 4 / (blocks.kc * bytes), sizes.m, shape.rows);
  blocks.nc = even(target.l2 / 2 / (blocks.mc * bytes), sizes.n, shape.columns());
  return blocks;
}

} // namespace fil
