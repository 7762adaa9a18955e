// SPDX-License-Identifier: Apache-2.0
// What a step costs besides its kernels: nothing is allocated, a launch takes a fraction of a microsecond, new sizes little more. Counts
// the process's calls of malloc, hence a program of its own.
#include "runtime/base/clock.h"
#include "runtime/base/thread_pool.h"
#include "runtime/exec/binding.h"
#include "runtime/exec/formulas.h"
#include "tests/runtime/manifests.h"
#include <atomic>
#include <gtest/gtest.h>

namespace {
std::atomic<int64_t> allocations{0};
}
extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *malloc(size_t n) { return ++allocations, __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return ++allocations, __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return ++allocations, __libc_realloc(p, n); }
}

using namespace fil;
using namespace fil::test;

namespace {
Size symbol(const char *s) { return Size::symbol(s); }

/// `launches` launches with formulas of their own, some in a loop, over sizes B, T and, if it decodes, S.
Manifest large(int launches, bool decodes) {
  const Size B = symbol("B"), T = symbol("T"), S = decodes ? symbol("S") : T, cap = decodes ? symbol("S#cap") : T;
  ProgramBuilder p(decodes ? "decode" : "step");
  const int in = p.input("x", {B, T}), out = p.output("y", DType::F32, {B});
  int last = in;
  std::vector<Step> turn;
  for (int i = 0; i < launches; ++i) {
    const Size width(int64_t(i % 40 + 1));
    const int to = i + 1 < launches ? p.arena(Size(4) * B * width * (i % 3 ? T : S), i, i + 1 + i % 5) : out;
    Launch l = p.launch(Nothing, {{last, 0, {}}, {to, 0, {}}, {in, 0, {}}}, {B * T, width * S, S - T, Size(int64_t(i)) + B}, Size::ceil(B * T * width / Size(16)));
    l.grain = 1 << 20;
    if (i % 10 == 9) l.sizes.push_back(Size::min(S * Size(int64_t(i)), Size(64) * B));
    if (i < 20) turn.push_back({l});
    else p.program.steps.push_back({l});
    last = to;
  }
  p.program.steps.insert(p.program.steps.begin(), Step{LoopStep{0, 5, 0, false, turn}});
  Manifest m;
  if (decodes) {
    p.program.running = {{"S", "T"}};
    m.storages.push_back({"c", DType::F32, {"B", "S"}, {B, cap}, Storage::Cache});
    p.storage(0);
  }
  m.programs = {p.program};
  return m;
}
Array ones(int64_t b, int64_t t) { return Array::of(DType::F32, {b, t}, std::vector<float>(size_t(b * t), 1)); }
double microseconds(double since) { return (systemClock().seconds() - since) * 1e6; }
} // namespace

TEST(ExecSpeed, ARepeatedStepAllocatesNothing) {
  auto step = loadExecutable(large(300, false), kernels());
  const Entry &e = step->entries()[0];
  std::vector<Array> of3, of5;
  const Array three[] = {ones(2, 3)}, five[] = {ones(2, 5)};
  step->run(e, five, of5), step->run(e, three, of3);
  int64_t before = allocations;
  for (int i = 0; i < 4; ++i) step->run(e, three, of3), step->run(e, five, of5);
  EXPECT_EQ(allocations - before, 0);

  auto x = loadExecutable(decoder(), kernels()); // new sizes take the memory of old ones, unless the plan changes
  x->resetCaches(1, 1000);
  std::vector<Array> out;
  const Array a[] = {ones(1, 1)};
  for (int i = 0; i < 20; ++i) x->run(x->entries()[1], a, out);
  before = allocations;
  for (int i = 0; i < 100; ++i) x->run(x->entries()[1], a, out);
  EXPECT_EQ(allocations - before, 0);
  EXPECT_EQ(out[0].at(0), 120);
}

TEST(ExecSpeed, ALaunchTakesAFractionOfAMicrosecond) {
  auto x = loadExecutable(large(1000, false), kernels());
  std::vector<Array> out;
  const Array a[] = {ones(2, 8)};
  x->run(x->entries()[0], a, out);
  double best = 1e9;
  for (int i = 0; i < 50; ++i) {
    const double start = systemClock().seconds();
    x->run(x->entries()[0], a, out);
    best = std::min(best, microseconds(start));
  }
  std::printf("a launch: %.3f us (1080 launches, of them 100 in a loop)\n", best / 1080);
  EXPECT_LT(best / 1080, 0.3);
}

TEST(ExecSpeed, TilesAcrossThreads) {
  Manifest m = unary(Nothing, 0);
  auto x = loadExecutable(m, kernels());
  std::vector<Array> out;
  const Array a[] = {floats(std::vector<float>(8))};
  double best = 1e9;
  for (int i = 0; i < 2000; ++i) {
    const double start = systemClock().seconds();
    x->run(x->entries()[0], a, out);
    best = std::min(best, microseconds(start));
  }
  std::printf("a call of one launch of 8 tiles on %d threads: %.3f us\n", processPool().threads(), best);
}

TEST(ExecSpeed, ADecodingStepBindsItsSizesQuickly) {
  for (int launches : {75, 300}) {
    Manifest m = large(launches, true);
    Formulas f;
    std::vector<int64_t> values;
    for (const Step &s : m.programs[0].steps)
      if (auto *l = std::get_if<Launch>(&s.is)) {
        for (const Size &size : l->sizes) f.add(size);
        f.add(l->tiles);
      }
    for (const Buffer &b : m.programs[0].buffers) f.add(b.bytes);
    values.assign(f.symbols().size(), 32);
    double formulas = 1e9;
    for (int i = 0; i < 200; ++i) {
      const double start = systemClock().seconds();
      f.bind(values);
      for (size_t k = 0; k < f.size(); ++k) f.whole(int(k));
      formulas = std::min(formulas, microseconds(start));
    }
    auto x = loadExecutable(std::move(m), kernels());
    x->resetCaches(2, 100000);
    std::vector<Array> out;
    const Array a[] = {ones(2, 1)};
    double best = 1e9, sum = 0;
    const int steps = 1000;
    for (int i = 0; i < steps; ++i) {
      const double start = systemClock().seconds();
      x->run(x->entries()[0], a, out);
      const double t = microseconds(start);
      best = std::min(best, t), sum += t;
    }
    std::printf("%d launches: %zu formulas in %.1f us, a decoding step that binds anew %.1f us, on average %.1f\n", launches, f.size(), formulas, best, sum / steps);
    EXPECT_LT(best, 1000);
  }
}
