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
  // A step of k loads `vectors` vectors and broadcasts `rows` scalars for rows * vectors multiplications; accumulators, the row of
  // B and one broadcast are in registers.
  for (int vectors = 1; vectors <= 4; ++vectors)
    for (int rows = 1; rows <= 16; ++rows) {
      if (rows * vectors + vectors + 1 > target.registers) continue;
      double score = double(rows * vectors) / double(rows + vectors);
      if (rows * vectors < 8) score *= double(rows * vectors) / 8; // two units, four cycles: fewer chains leave gaps
      int64_t columns = int64_t(vectors) * best.lanes;
      if (sizes.m) score *= double(*sizes.m) / double(roundUp(*sizes.m, rows));
      if (sizes.n) score *= double(*sizes.n) / double(roundUp(*sizes.n, columns));
      if (score > bestScore) bestScore = score, best.rows = rows, best.vectors = vectors;
    }
  best.unroll = 4;
  return best;
}

CacheBlocks chooseBlocks(const Target &target, const TileShape &shape, const ContractionSizes &sizes) {
  int64_t bytes = elementBytes(shape.element);
  CacheBlocks blocks;
  // A panel of B, kc x columns, stays in the first-level cache while the rows of A pass by.
  blocks.kc = roundDown(target.l1 / (shape.columns() * bytes), 32);
  if (sizes.k) { // blocks of equal length
    int64_t count = (*sizes.k + blocks.kc - 1) / blocks.kc;
    blocks.kc = std::min(blocks.kc, roundUp((*sizes.k + count - 1) / std::max<int64_t>(count, 1), shape.unroll));
  }
  // mc x kc of A takes a quarter of the second-level cache, the tile of C as much.
  blocks.mc = std::clamp(roundDown(target.l2 / 4 / (blocks.kc * bytes), shape.rows), int64_t(shape.rows), int64_t(32 * shape.rows));
  if (sizes.m) blocks.mc = std::min(blocks.mc, roundUp(*sizes.m, shape.rows));
  blocks.nc = roundDown(target.l2 / 2 / (blocks.mc * bytes), shape.columns());
  if (sizes.n) blocks.nc = std::min(blocks.nc, roundUp(*sizes.n, shape.columns()));
  return blocks;
}

} // namespace fil
