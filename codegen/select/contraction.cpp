// SPDX-License-Identifier: Apache-2.0
#include "codegen/select/contraction.h"
#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <numeric>
#include <fmt/format.h>

namespace fil {
namespace {
int64_t roundUp(int64_t value, int64_t to) { return (value + to - 1) / to * to; }
int64_t roundDown(int64_t value, int64_t to) { return std::max(value / to * to, to); }
} // namespace

const char *elementName(Element e) { return e == Element::F32 ? "f32" : e == Element::F64 ? "f64" : e == Element::Bf16Pairs ? "bf16 pairs" : "int8 quads"; }
std::string TileShape::str() const {
  return fmt::format("{} {}x{} ({} x {} lanes) unroll {}", elementName(element), rows, columns(), vectors, lanes, unroll);
}
std::string CacheBlocks::str() const { return fmt::format("mc {} nc {} kc {}", mc, nc, kc); }

std::string ContractionDescriptor::sizesText() const {
  auto size = [](std::optional<int64_t> n) { return n ? std::to_string(*n) : "?"; };
  return fmt::format("{} m {} n {} k {}{}, batch {}", elementName(element), size(sizes.m), size(sizes.n), stepsIn(element) > 1 ? fmt::format("{} x ", stepsIn(element)) : "", size(sizes.k), size(batch));
}
std::string ContractionDescriptor::str() const {
  std::string text = sizesText();
  if (packsLeft) text += ", left side packed";
  if (packsRight) text += ", right side packed by tiles";
  if (fewRows) text += ", perhaps few rows";
  if (gathersRight) text += ", right side gathered";
  for (auto &[name, n] : {std::pair("m", most.m), std::pair("n", most.n), std::pair("k", most.k)})
    if (n) text += fmt::format(", members {} of {} at a time", *n, name);
  return text;
}
static const TunedTiles *tunedFor(const Target &target, const ContractionDescriptor &d) {
  auto it = target.tuned.find(d.sizesText());
  return it == target.tuned.end() ? nullptr : &it->second;
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
      c.shape.unroll = std::min(4, int(std::bit_floor(unsigned((16 + rows * vectors - 1) / (rows * vectors)))));
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

/// What a tile has at most.
static ContractionSizes sizesInTiles(const ContractionDescriptor &d) {
  auto less = [](std::optional<int64_t> size, std::optional<int64_t> most) { return size && most ? std::min(size, most) : most ? most : size; };
  return {less(d.sizes.m, d.most.m), less(d.sizes.n, d.most.n), less(d.sizes.k, d.most.k)};
}
static CacheBlocks withMost(CacheBlocks blocks, const TileShape &shape, const ContractionDescriptor &d) {
  const ContractionSizes tile = sizesInTiles(d);
  if (d.most.m) blocks.mc = roundDown(*tile.m, shape.rows);
  if (d.most.n) blocks.nc = roundDown(*tile.n, shape.columns());
  if (d.most.k) blocks.kc = roundDown(*tile.k, std::lcm(4 * shape.unroll, shape.lanes));
  return blocks;
}

TileShape chooseShape(const Target &target, const ContractionDescriptor &d) {
  const auto all = candidates(target, d.element, sizesInTiles(d));
  if (const TunedTiles *t = tunedFor(target, d))
    for (const Candidate &c : all)
      if (c.shape.rows == t->rows && c.shape.vectors == t->vectors) return c.shape;
  return std::ranges::max_element(all, {}, &Candidate::score)->shape;
}

CacheBlocks chooseBlocks(const Target &target, const TileShape &shape, const ContractionDescriptor &d) {
  const ContractionSizes &sizes = d.sizes;
  const TunedTiles *tuned = tunedFor(target, d);
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
  blocks.kc = even(int64_t((tuned ? tuned->kc : 1) * double(std::min<int64_t>(target.l2 / 8 / (shape.columns() * bytes), 64 * shape.lanes))), sizes.k, std::lcm(4 * shape.unroll, shape.lanes)); // packing goes by whole vectors
  // The block of A takes a quarter of the second-level cache, the tile of C half of it: it is touched once for each block of k, and
  // the wider it is, the less often the same A is packed.
  if (d.packsRight) blocks.kc = even(std::min(blocks.kc, target.l2 / 2 / (256 * bytes)), sizes.k, std::lcm(4 * shape.unroll, shape.lanes)); // as high as may be, since each packs the same again
  if (d.most.k) blocks.kc = withMost(blocks, shape, d).kc;
  blocks.mc = even(target.l2 / (d.packsRight ? 2 : 4) / (blocks.kc * bytes), sizes.m, shape.rows);
  blocks.nc = even(target.l2 / 2 / (blocks.mc * bytes), sizes.n, shape.columns());
  if (d.gathersRight) blocks.nc = std::min(blocks.nc, roundDown(target.l2 / 4 / (blocks.kc * bytes), shape.columns()));
  return withMost(blocks, shape, d);
}

bool packsInTiles(const Target &target, const TileShape &shape, ContractionDescriptor d, bool turned) {
  if (!d.sizes.m || !d.sizes.n) return false;
  if (d.sizes.k && *d.sizes.k * *d.sizes.n * elementBytes(shape.element) <= target.l2 / 2) return false; // panels stay in the second-level cache
  d.packsRight = true;
  const int64_t mc = chooseBlocks(target, shape, d).mc, times = (*d.sizes.m + mc - 1) / mc;
  return times <= (turned ? 2 : 4);
}

TileShape chooseGranuleShape(const Target &target, Element element, int64_t columns, int64_t length, bool ofRows) {
  TileShape best;
  double most = 0;
  for (int vectors = 1; vectors <= 4; ++vectors)
    for (int rows = 1; rows <= 16; ++rows) {
      TileShape s;
      s.element = element, s.lanes = target.lanesF32 * 4 / elementBytes(element), s.vectors = vectors, s.rows = rows, s.unroll = 4;
      if (rows * vectors + vectors + 1 > target.registers || columns % s.columns() || (ofRows && length % rows)) continue;
      const double chains = std::min(1.0, double(rows * vectors) / 8), score = chains * double(rows * vectors) / double(rows + 2 * vectors);
      if (score > most) best = s, most = score;
    }
  return best;
}
CacheBlocks granuleBlocks(const Target &target, const TileShape &shape, const ContractionDescriptor &d, int64_t length) {
  CacheBlocks blocks;
  const int64_t bytes = elementBytes(shape.element), unit = std::lcm(length, int64_t(shape.lanes));
  // Rows of A stay in the first-level cache while panels pass by, and their steps are read here and there.
  const int64_t steps = int64_t(1.6 * double(target.l1) / double(shape.rows * bytes));
  blocks.kc = roundUp(std::min(d.sizes.k.value_or(steps), roundDown(steps, unit)), unit);
  blocks.mc = roundDown(target.l2 / 2 / (blocks.kc * bytes), shape.rows);
  if (d.sizes.m) blocks.mc = std::min(blocks.mc, roundUp(*d.sizes.m, shape.rows));
  blocks.nc = roundDown(std::min<int64_t>(target.l2 / 4 / (blocks.mc * bytes), 512), shape.columns());
  if (d.sizes.n) blocks.nc = std::min(blocks.nc, roundUp(*d.sizes.n, shape.columns()));
  return blocks;
}

static CacheBlocks sharedFreely(const Target &target, CacheBlocks blocks, const TileShape &shape, const ContractionDescriptor &d) {
  // Two for each core: while one waits for a disturbed core, the others have something to do. Smaller tiles pack A and read B more often: with two
  // cores, 4 tiles of 128x512 with a k of 4096 take 0.85 of the time of 8.
  const int64_t enough = std::max(2 * target.cores, 4), many = 4 * enough;
  auto parts = [](int64_t size, int64_t block) { return (size + block - 1) / block; };
  if (!d.sizes.m) blocks.mc = std::min(blocks.mc, roundUp(256, shape.rows)); // threads end together
  if (!d.sizes.n) return blocks;
  if (!d.sizes.m) { // rows may be few
    if (d.fewRows) blocks.nc = std::min(blocks.nc, roundUp(parts(*d.sizes.n, enough), shape.columns()));
    return blocks;
  }
  const int64_t m = *d.sizes.m, n = *d.sizes.n, products = d.batch.value_or(enough);
  auto tiles = [&](const CacheBlocks &b) { return parts(m, b.mc) * parts(n, b.nc) * products; };
  if (tiles(blocks) >= many) return blocks;
  // Cycles that the core with most tiles needs for a step of k: two units multiply; each tile packs its part of A (or reads it once more), a line at a time,
  // and has its part of B come from the third-level cache.
  auto cycles = [&](const CacheBlocks &b) {
    const double tile = double(b.mc * b.nc) / double(2 * shape.lanes) + (d.packsLeft ? 0.5 + 8.0 / shape.lanes : 0.3) * double(b.mc) + (d.packsRight ? 1.0 : 0.5) * double(b.nc);
    return double(parts(tiles(b), target.cores)) * tile;
  };
  CacheBlocks best = blocks;
  int64_t most = 0;
  double least = 0;
  const int64_t rowsNow = parts(m, blocks.mc), columnsNow = parts(n, blocks.nc);
  for (int64_t rows = std::max<int64_t>(rowsNow - 1, 1); rows <= std::max(rowsNow + 1, enough); ++rows)
    for (int64_t columns = columnsNow; columns <= std::max(columnsNow, enough); ++columns) {
      CacheBlocks b = blocks;
      b.mc = roundUp(parts(m, rows), shape.rows), b.nc = std::min(blocks.nc, roundUp(parts(n, columns), shape.columns()));
      const int64_t count = std::min(enough, tiles(b));
      if (count > most || (count == most && cycles(b) < least)) best = b, most = count, least = cycles(b);
    }
  return best;
}

CacheBlocks shared(const Target &target, CacheBlocks blocks, const TileShape &shape, const ContractionDescriptor &d) {
  const CacheBlocks cut = sharedFreely(target, blocks, shape, d), most = withMost(cut, shape, d);
  return {std::min(cut.mc, most.mc), std::min(cut.nc, most.nc), std::min(cut.kc, most.kc)};
}

std::string explainChoice(const Target &target, const ContractionDescriptor &d) {
  auto all = candidates(target, d.element, sizesInTiles(d));
  std::ranges::stable_sort(all, std::ranges::greater(), &Candidate::score);
  const TileShape shape = chooseShape(target, d);
  const CacheBlocks blocks = shared(target, chooseBlocks(target, shape, d), shape, d);
  const auto chosen = std::ranges::find(all, shape, &Candidate::shape);
  std::string text = fmt::format("{}: {} of {} register tiles, {:.0f} % of the multiplications of this processor expected{}\n", d.str(), shape.str(), all.size(), 100 * chosen->expectedShare(),
                                 tunedFor(target, d) ? "; measured to be faster" : "");
  text += "    tile     score  products a load  chains    rows  columns  panels\n";
  for (size_t i = 0; i < all.size(); ++i) {
    const Candidate &c = all[i];
    if (i < 5 || c.shape == shape) text += fmt::format("  {} {:<6} {:6.3f} {:16.3f} {:7.2f} {:7.2f} {:8.2f} {:7.2f}\n", c.shape == shape ? '>' : ' ', fmt::format("{}x{}", c.shape.rows, c.shape.columns()), c.score(), c.products, c.chains, c.rows, c.columns, c.panels);
  }
  const int64_t bytes = elementBytes(d.element);
  auto share = [&](int64_t taken) { return fmt::format("{} bytes, {:.0f} % of the second-level cache", taken, 100 * double(taken) / double(target.l2)); };
  text += fmt::format("  {}: a panel {}; a block of A {}; a tile of C {}\n", blocks.str(), share(blocks.kc * shape.columns() * bytes), share(blocks.mc * blocks.kc * bytes), share(blocks.mc * blocks.nc * bytes));
  return text;
}

} // namespace fil
