// SPDX-License-Identifier: Apache-2.0
// A step that repeats allocates nothing. Counts the process's calls of malloc, hence a program of its own.
#include "runtime/exec/binding.h"
#include "tests/runtime/manifests.h"
#include "tests/support/allocations.h"
#include <gtest/gtest.h>

using namespace fil;
using namespace fil::test;

namespace {
Size symbol(const char *s) { return Size::symbol(s); }

/// `launches` launches with formulas of their own, some in a loop, over sizes B and T.
Manifest large(int launches) {
  const Size B = symbol("B"), T = symbol("T");
  ProgramBuilder p("step");
  const int in = p.input("x", {B, T}), out = p.output("y", DType::F32, {B});
  int last = in;
  std::vector<Step> turn;
  for (int i = 0; i < launches; ++i) {
    const Size width(int64_t(i % 40 + 1));
    const int to = i + 1 < launches ? p.arena(Size(4) * B * width * T, i, i + 1 + i % 5) : out;
    Launch l = p.launch(Nothing, {{last, 0, {}}, {to, 0, {}}, {in, 0, {}}}, {B * T, width * T, T - B, Size(int64_t(i)) + B}, Size::ceil(B * T * width / Size(16)));
    l.grain = 1 << 20;
    if (i % 10 == 9) l.sizes.push_back(Size::min(T * Size(int64_t(i)), Size(64) * B));
    if (i < 20) turn.push_back({l});
    else p.program.steps.push_back({l});
    last = to;
  }
  p.program.steps.insert(p.program.steps.begin(), Step{LoopStep{0, 5, 0, false, turn}});
  Manifest m;
  m.programs = {p.program};
  return m;
}
Array ones(int64_t b, int64_t t) { return Array::of(DType::F32, {b, t}, std::vector<float>(size_t(b * t), 1)); }
} // namespace

TEST(ExecAllocations, ARepeatedStepAllocatesNothing) {
  auto step = loadExecutable(large(300), kernels());
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
