// SPDX-License-Identifier: Apache-2.0
// Contractions of random shapes through the emitted tile, packing and skinny code against plain loops in long double. Every operand
// ends at an unmapped page, so that a read or write too far stops the test.
#include "runtime/base/status.h"
#include "tests/codegen/contraction_kernel.h"
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <sys/mman.h>

using namespace fil;
using namespace fil::test;

namespace {

/// `count` elements between two unmapped pages: against the upper one, or against the lower one (so that each side gets its turn).
template <class T> class Guarded {
public:
  Guarded(int64_t count, bool low) : count_(count) {
    size_t bytes = (size_t(count) * sizeof(T) + 4095) / 4096 * 4096;
    total_ = bytes + 8192;
    base_ = static_cast<char *>(mmap(nullptr, total_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED) throw std::bad_alloc();
    if (bytes) mprotect(base_ + 4096, bytes, PROT_READ | PROT_WRITE);
    data_ = reinterpret_cast<T *>(low ? base_ + 4096 : base_ + 4096 + bytes - size_t(count) * sizeof(T));
    for (int64_t i = 0; i < count; ++i) data_[i] = std::numeric_limits<T>::quiet_NaN();
  }
  ~Guarded() { munmap(base_, total_); }
  Guarded(const Guarded &) = delete;
  T *data() { return data_; }
  T &operator[](int64_t i) { return data_[i]; }
  int64_t count() const { return count_; }

private:
  int64_t count_;
  size_t total_;
  char *base_;
  T *data_;
};

int64_t roundUp(int64_t v, int64_t to) { return (v + to - 1) / to * to; }

/// A matrix [outer, k] whose strides follow from the access.
struct Layout { int64_t outer, k, elements; };
Layout layoutOf(Access access, int64_t outer, int64_t k, int64_t gap) {
  switch (access) {
  case Access::K: return {k + gap, 1, (outer - 1) * (k + gap) + k};
  case Access::Outer: return {1, outer + gap, (k - 1) * (outer + gap) + outer};
  case Access::Strided: return {2, 2 * outer + gap, (k - 1) * (2 * outer + gap) + 2 * (outer - 1) + 1};
  }
  return {};
}

template <class T> struct Result { std::vector<T> c; double worst = 0; };

/// The three kernels of a specification, loaded.
class Contraction {
public:
  Contraction(const ContractionSpec &spec, const Target &target) : spec_(spec), image_(compile(target)) {}

  /// k is cut at the places in `cuts`. `worst` is the largest error in units of eps * sum |a b|.
  template <class T> Result<T> run(int64_t m, int64_t n, int64_t k, const std::vector<int64_t> &cuts, unsigned seed) {
    std::mt19937 random(seed);
    bool low = seed & 1;
    Layout a = layoutOf(spec_.a, m, k, seed % 3), b = layoutOf(spec_.b, n, k, seed % 5);
    int64_t columns = spec_.form == Form::Skinny ? n : roundUp(n, spec_.shape.columns()), rowC = columns + seed % 4;
    int64_t panelsA = roundUp(m, spec_.shape.rows), panelsB = roundUp(n, spec_.shape.columns());
    Guarded<T> dataA(a.elements, low), dataB(b.elements, low), packedA(panelsA * k, low), packedB(panelsB * k, low);
    Guarded<T> c((m - 1) * rowC + columns, low);
    std::uniform_real_distribution<T> uniform(-1, 1);
    for (int64_t i = 0; i < m; ++i)
      for (int64_t p = 0; p < k; ++p) dataA[i * a.outer + p * a.k] = uniform(random);
    for (int64_t j = 0; j < n; ++j)
      for (int64_t p = 0; p < k; ++p) dataB[j * b.outer + p * b.k] = uniform(random);
    void *buffers[BufferCount] = {dataA.data(), dataB.data(), packedA.data(), packedB.data(), c.data()};
    int64_t sizes[SizeCount] = {m, n, k, a.outer, a.k, b.outer, b.k, spec_.shape.rows * k, spec_.shape.columns() * k, rowC};
    image_.kernel(0)(nullptr, buffers, sizes, 0, k, nullptr);
    int64_t begin = 0;
    std::vector<int64_t> ends = cuts;
    ends.push_back(k);
    for (int64_t end : ends) {
      if (spec_.form == Form::PackedTile) image_.kernel(1)(nullptr, buffers, sizes, begin, end, nullptr);
      image_.kernel(2)(nullptr, buffers, sizes, begin, end, nullptr);
      begin = end;
    }
    Result<T> result;
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        long double sum = 0, size = 0;
        for (int64_t p = 0; p < k; ++p) {
          long double x = (long double)dataA[i * a.outer + p * a.k] * dataB[j * b.outer + p * b.k];
          sum += x, size += std::fabs(x);
        }
        double error = double(std::fabs(sum - c[i * rowC + j]) / (size * std::numeric_limits<T>::epsilon()));
        result.worst = error <= result.worst ? result.worst : error; // NaN stays
        result.c.push_back(c[i * rowC + j]);
      }
      for (int64_t j = n; j < columns; ++j) EXPECT_EQ(c[i * rowC + j], T(0)) << "padding is not zero";
      for (int64_t j = columns; j < rowC && i + 1 < m; ++j) EXPECT_TRUE(std::isnan(c[i * rowC + j])) << "gap was written";
    }
    return result;
  }

private:
  Image compile(const Target &target) {
    std::vector<KernelModule> kernels;
    kernels.push_back(packBKernel("packB", spec_, target));
    kernels.push_back(packAKernel("packA", spec_, target));
    kernels.push_back(tileKernel("tile", spec_, target));
    return compileImage(kernels, target);
  }
  ContractionSpec spec_;
  LoadedImage image_;
};

std::vector<Target> targets() {
  std::vector<Target> list{findTarget("x86-64-v3")};
  try {
    list.push_back(findTarget("x86-64-v4"));
  } catch (const Error &) {
  }
  return list;
}

/// What assembly can be looked at for, whether this machine runs it or not.
std::vector<std::pair<Target, Element>> assembledFor() {
  std::vector<std::pair<Target, Element>> all;
  for (const Target &t : targets()) all.push_back({t, Element::F32}), all.push_back({t, Element::F64});
  Target dots = findTarget("x86-64-v3");
  dots.cpu = dots.isa = "x86-64-v4", dots.features = "+avx512bf16,+avx512vnni", dots.dots = true, dots.lanesF32 = 16, dots.registers = 32;
  for (Element e : {Element::Bf16Pairs, Element::Int8Quads}) all.push_back({dots, e});
  return all;
}

template <class T> void checkShapes(const ContractionSpec &spec, const Target &target, bool skinny) {
  Contraction contraction(spec, target);
  std::mt19937 random(7);
  auto upTo = [&](int64_t n) { return int64_t(random() % uint64_t(n)) + 1; };
  for (unsigned round = 0; round < 40; ++round) {
    int64_t m = round < 4 ? 1 + round / 2 : upTo(skinny ? 11 : 40), n = round < 4 ? 1 + round % 2 : upTo(150), k = round < 2 ? 1 : upTo(90);
    auto whole = contraction.run<T>(m, n, k, {}, round);
    EXPECT_LE(whole.worst, double(k) + 1) << spec.shape.str() << " " << m << " x " << n << " x " << k;
    if (k < 3) continue;
    auto cut = contraction.run<T>(m, n, k, {k / 3, k - 1}, round);
    EXPECT_EQ(std::memcmp(whole.c.data(), cut.c.data(), whole.c.size() * sizeof(T)), 0) << "the cut of k changed bits";
    if (testing::Test::HasFailure()) return;
  }
}

void checkAll(Form form, std::vector<Access> as, std::vector<Access> bs) {
  for (const Target &target : targets())
    for (Element element : {Element::F32, Element::F64})
      for (Access a : as)
        for (Access b : bs) {
          ContractionSpec spec{chooseShape(target, {element, {}, {}}), target.registers, a, b, form};
          SCOPED_TRACE(target.isa + " " + spec.shape.str() + " a " + std::to_string(int(a)) + " b " + std::to_string(int(b)));
          if (element == Element::F32) checkShapes<float>(spec, target, form == Form::Skinny);
          else checkShapes<double>(spec, target, form == Form::Skinny);
        }
}

const std::vector<Access> all{Access::Outer, Access::K, Access::Strided};

} // namespace

TEST(Tile, OperandsInPlaceInAllOrientations) { checkAll(Form::Tile, all, all); }
TEST(Tile, PackedOperandsInAllOrientations) { checkAll(Form::PackedTile, all, {Access::Outer}); }
TEST(Tile, FewRowsWithoutPacking) { checkAll(Form::Skinny, all, {Access::Outer}); }

TEST(Tile, EveryRegisterTileIsRight) {
  for (const Target &target : targets())
    for (int rows : {1, 2, 3, 5, 12, 14})
      for (int vectors : {1, 2, 3}) {
        TileShape shape = chooseShape(target, {});
        shape.rows = rows, shape.vectors = vectors;
        ContractionSpec spec{shape, target.registers, Access::K, Access::K, Form::PackedTile};
        SCOPED_TRACE(shape.str());
        checkShapes<float>(spec, target, false);
      }
}

TEST(Tile, FormsAgreeInEveryBit) {
  for (const Target &target : targets()) {
    ContractionSpec spec{chooseShape(target, {}), target.registers, Access::K, Access::Outer, Form::Tile};
    Contraction tile(spec, target);
    spec.form = Form::PackedTile;
    Contraction packed(spec, target);
    spec.form = Form::Skinny;
    Contraction skinny(spec, target);
    for (int64_t m : {1, 3, 8}) {
      auto x = tile.run<float>(m, 77, 123, {}, 3).c;
      EXPECT_EQ(x, packed.run<float>(m, 77, 123, {}, 3).c);
      EXPECT_EQ(x, skinny.run<float>(m, 77, 123, {}, 3).c);
    }
  }
}

namespace {

bool multiplies(const std::string &line) { return line.find("vfmadd") != std::string::npos || line.find("vdpbf16ps") != std::string::npos || line.find("vpdpbusd") != std::string::npos; }

/// The lines of the loop (from its label to its jump back) that has the most multiplications.
std::vector<std::string> hottestLoop(const std::string &assembly) {
  std::vector<std::string> lines, best;
  std::map<std::string, size_t> labels;
  size_t bestCount = 0;
  std::istringstream in(assembly);
  for (std::string line; std::getline(in, line);) {
    line = line.substr(0, line.find('#'));
    if (line.starts_with(".L") && line.find(':') != std::string::npos) labels[line.substr(0, line.find(':'))] = lines.size();
    lines.push_back(line);
    size_t target = line.find(".LBB");
    if (target == std::string::npos || line.find("\tj") == std::string::npos) continue;
    auto label = labels.find(line.substr(target));
    if (label == labels.end()) continue;
    std::vector<std::string> body(lines.begin() + long(label->second) + 1, lines.end());
    bool inner = std::none_of(body.begin(), body.end(), [](auto &l) { return l.starts_with(".L"); });
    size_t count = size_t(std::count_if(body.begin(), body.end(), multiplies));
    if (inner && count > bestCount) bestCount = count, best = body;
  }
  return best;
}

} // namespace

TEST(Tile, InnerLoopMultipliesAndLoadsAndNothingElse) {
  for (auto &[target, element] : assembledFor())
    for (Form form : {Form::Tile, Form::PackedTile})
      for (ContractionSizes sizes : {ContractionSizes{}, {.n = 10}, {.n = 40}, {.m = 20}, {.m = 9, .n = 30}}) {
        ContractionSpec spec{chooseShape(target, {element, sizes, {}}), target.registers, Access::K, Access::Outer, form};
        SCOPED_TRACE(target.isa + " " + spec.shape.str() + (form == Form::Tile ? " in place" : " packed"));
        auto loop = hottestLoop(assemblyText(tileKernel("inner", spec, target), target));
        int multiplications = 0, other = 0;
        for (const std::string &line : loop) {
          bool fma = multiplies(line);
          multiplications += fma;
          bool move = line.find("vbroadcasts") != std::string::npos || line.find("vpbroadcastd") != std::string::npos || line.find("vmovdqu") != std::string::npos || line.find("vmovup") != std::string::npos;
          other += !fma && !(move && line.find("(%") != std::string::npos && line.back() != ')');
          if (fma || move) EXPECT_EQ(line.find("(%rsp"), std::string::npos) << "spill: " << line;
        }
        EXPECT_EQ(multiplications, spec.shape.rows * spec.shape.vectors * spec.shape.unroll);
        EXPECT_LE(other, 8) << "more than the loop's own arithmetic";
      }
}

TEST(Tile, WhatWasMeasuredIsChosenAndSaid) {
  for (Target target : targets()) {
    const ContractionDescriptor d{Element::F32, {.m = 128, .n = 512}, 1}, other{Element::F32, {.m = 128, .n = 512}, 2};
    const TileShape before = chooseShape(target, d);
    const int64_t kc = chooseBlocks(target, before, d).kc;
    EXPECT_EQ(explainChoice(target, d).find("measured"), std::string::npos);
    target.tuned[d.sizesText()] = {4, 1, 0.5};
    const TileShape shape = chooseShape(target, d);
    EXPECT_EQ(std::pair(shape.rows, shape.vectors), std::pair(4, 1));
    EXPECT_EQ(chooseShape(target, other), before);
    EXPECT_EQ(chooseBlocks(target, before, d).kc, kc / 2);
    const std::string why = explainChoice(target, d);
    EXPECT_NE(why.find("measured to be faster\n"), std::string::npos) << why;
    EXPECT_NE(why.find(fmt::format("  > 4x{} ", shape.columns())), std::string::npos) << why;
  }
}

TEST(Tile, ChoicesFitTheTarget) {
  for (const Target &target : targets())
    for (Element element : {Element::F32, Element::F64})
      for (int64_t m : {1, 7, 64, 1000})
        for (int64_t n : {1, 10, 100, 4096}) {
          ContractionSizes sizes{m, n, 4096};
          TileShape shape = chooseShape(target, {element, sizes, {}});
          EXPECT_LT(shape.rows * shape.vectors + shape.vectors, target.registers) << shape.str();
          CacheBlocks blocks = chooseBlocks(target, shape, {element, sizes, {}});
          EXPECT_EQ(blocks.mc % shape.rows, 0) << blocks.str();
          EXPECT_EQ(blocks.nc % shape.columns(), 0) << blocks.str();
          EXPECT_GT(blocks.mc * blocks.nc * blocks.kc, 0) << blocks.str();
          EXPECT_LT(blocks.mc, m + shape.rows) << blocks.str();
          EXPECT_LT(blocks.nc, n + shape.columns()) << blocks.str();
          EXPECT_LE(blocks.mc * blocks.kc * elementBytes(element), target.l2) << blocks.str();
        }
}
