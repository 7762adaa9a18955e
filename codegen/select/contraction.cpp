// SPDX-License-Identifier: Apache-2.0
#include "codegen/select/contraction.h"
#include <algorithm>
#include <cstdint>
#include <functional>
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

std::string ContractionDescriptor::str() const {
  auto size = [](std::optional<int64_t> n) { return n ? std::to_string(*n) : "?"; };
  return fmt::format("{} m {} n {} k {}, batch {}{}{}", elementName(element), size(sizes.m), size(sizes.n), size(sizes.k), size(batch), packsLeft ? ", left side packed" : "", fewRows ? ", perhaps few rows" : "");
}

std::vector<Candidate> candidates(const Target &target, Element element, const ContractionSizes &sizes) {
  std::vector<Candidate> all;
  // A step of k loads `vectors` vectors and broadcasts `rows` scalars for rows * vectors multiplications; a vector of B counts twice,
  // as panels come from the second-level cache. Accumulators, the row of B and one broadcast are in vector registers, the addresses
  // of the rows in general ones.
  for (int vectors = 1; vectors <= 4; ++vectors)
    for (int rows = 1; rows <= 8; ++rows) {
      if (rows * vectors + vectors + 1 > target.registers) continue;
      Candidate c;
      c.shape.element = element, c.shape.rows = rows, c.shape.vectors = vectors;
      c.shape.lanes = target.lanesF32 * 4 / elementBytes(element);
      // Longer turns gain little, and the time to compile them grows faster than they do.
      c.shape.unroll = std::min(4, (16 + rows * vectors - 1) / (rows * vectors));
      c.products = double(rows * vectors) / double(rows + 2 * vectors);
      if (rows * vectors < 8) c.chains = double(rows * vectors) / 8; // two units, four cycles: fewer chains leave gaps
      const int64_t columns = c.shape.columns();
      if (sizes.m) c.rows = double(*sizes.m) / double(roundUp(*sizes.m, rows));
      if (sizes.n) c.columns = double(*sizes.n) / double(roundUp(*sizes.n, columns));
      // Columns that fill panels are written in place, without a scratch tile: measured, 8x48 has 0.79 of oneDNN at 4096x512x128, 6x64 1.04.
      // A size that is not known is most likely a multiple of 64.
      if (sizes.n.value_or(64) % columns) c.panels = 0.9;
      all.push_back(c);
    }
  return all;
}

TileShape chooseShape(const Target &target, Element element, const ContractionSizes &sizes) {
  const auto all = candidates(target, element, sizes);
  return std::ranges::max_element(all, {}, &Candidate::score)->shape;
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
  // few bytes a cycle, from the second. Long blocks save passes over C; beyond 64 vectors of A they save little (2048 cubed with 16 lanes: 1024 has
  // 0.96 of the time of 512; with 8 lanes and smaller caches 1024 is slower than 512).
  blocks.kc = even(std::min<int64_t>(target.l2 / 8 / (shape.columns() * bytes), 64 * shape.lanes), sizes.k, std::lcm(4 * shape.unroll, shape.lanes)); // packing goes by whole vectors
  // The block of A takes a quarter of the second-level cache, the tile of C half of it: it is touched once for each block of k, and
  // the wider it is, the less often the same A is packed.
  blocks.mc = even(target.l2 / 4 / (blocks.kc * bytes), sizes.m, shape.rows);
  blocks.nc = even(target.l2 / 2 / (blocks.mc * bytes), sizes.n, shape.columns());
  return blocks;
}

CacheBlocks shared(CacheBlocks blocks, const TileShape &shape, const ContractionDescriptor &d) {
  constexpr int64_t enough = 8, many = 32;
  auto parts = [](int64_t size, int64_t block) { return (size + block - 1) / block; };
  if (!d.sizes.m) blocks.mc = std::min(blocks.mc, roundUp(256, shape.rows)); // threads end together
  if (!d.sizes.n) return blocks;
  if (!d.sizes.m) { // rows may be few
    if (d.fewRows) blocks.nc = std::min(blocks.nc, roundUp(parts(*d.sizes.n, enough), shape.columns()));
    return blocks;
  }
  const int64_t m = *d.sizes.m, n = *d.sizes.n, products = d.batch.value_or(enough);
  auto tiles = [&](const CacheBlocks &b) { return parts(m, b.mc) * parts(n, b.nc) * products; };
  auto rowsInto = [&](int64_t count) {
    CacheBlocks b = blocks;
    b.mc = roundUp(parts(m, count), shape.rows);
    return b;
  };
  if (tiles(blocks) >= many) return blocks;
  if (tiles(blocks) >= enough) { // an odd one too many is half a turn in which a second thread waits
    auto balance = [&](const CacheBlocks &b) { return double(m) * double(parts(n, b.nc) * products) / double(roundUp(tiles(b), 2) * b.mc); };
    const int64_t now = parts(m, blocks.mc);
    CacheBlocks best = blocks;
    for (int64_t count = std::max<int64_t>(now - 1, 1); count <= now + 1; ++count)
      if (CacheBlocks b = rowsInto(count); balance(b) > balance(best)) best = b;
    return best;
  }
  // Each part of n reads all of A once more, or packs it, each part of m reads all of B, which is packed already.
  const int64_t left = d.packsLeft ? 10 : 3;
  CacheBlocks best = blocks;
  int64_t least = INT64_MAX, most = 0;
  for (int64_t rows = 1; rows <= enough; ++rows)
    for (int64_t columns = 1; columns <= enough; ++columns) {
      CacheBlocks b = blocks;
      b.mc = std::min(blocks.mc, rowsInto(rows).mc), b.nc = std::min(blocks.nc, roundUp(parts(n, columns), shape.columns()));
      const int64_t count = std::min(enough, tiles(b)), moved = left * m * parts(n, b.nc) + 2 * n * parts(m, b.mc);
      if (count > most || (count == most && moved < least)) best = b, most = count, least = moved;
    }
  return best;
}

std::string explainChoice(const Target &target, const ContractionDescriptor &d) {
  auto all = candidates(target, d.element, d.sizes);
  std::ranges::stable_sort(all, std::ranges::greater(), &Candidate::score);
  const TileShape &shape = all[0].shape;
  const CacheBlocks blocks = shared(chooseBlocks(target, shape, d.sizes), shape, d);
  std::string text = fmt::format("{}: {} of {} register tiles, {:.0f} % of the multiplications of this processor expected\n", d.str(), shape.str(), all.size(), 100 * all[0].expectedShare());
  text += "    tile     score  products a load  chains    rows  columns  panels\n";
  for (size_t i = 0; i < std::min<size_t>(all.size(), 5); ++i) {
    const Candidate &c = all[i];
    text += fmt::format("  {} {:<6} {:6.3f} {:16.3f} {:7.2f} {:7.2f} {:8.2f} {:7.2f}\n", i ? ' ' : '>', fmt::format("{}x{}", c.shape.rows, c.shape.columns()), c.score(), c.products, c.chains, c.rows, c.columns, c.panels);
  }
  const int64_t bytes = elementBytes(d.element);
  auto share = [&](int64_t taken) { return fmt::format("{} bytes, {:.0f} % of the second-level cache", taken, 100 * double(taken) / double(target.l2)); };
  text += fmt::format("  {}: a panel {}; a block of A {}; a tile of C {}\n", blocks.str(), share(blocks.kc * shape.columns() * bytes), share(blocks.mc * blocks.kc * bytes), share(blocks.mc * blocks.nc * bytes));
  return text;
}

} // namespace fil
