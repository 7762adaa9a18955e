// SPDX-License-Identifier: Apache-2.0
// Random step lists: the flat, bound form calls kernels as a plain recursion over the manifest would, with the same pointers and sizes.
#include "runtime/exec/binding.h"
#include "tests/runtime/manifests.h"
#include <gtest/gtest.h>
#include <array>
#include <random>

using namespace fil;
using namespace fil::test;

namespace {

constexpr int64_t room = 1 << 20;

struct RandomProgram {
  std::mt19937 random;
  ProgramBuilder p{"run"};
  std::vector<int> around;
  int loops = 0, in, out;

  explicit RandomProgram(uint32_t seed) : random(seed) {
    in = p.input("x", {n(), Size::symbol("M")}, DType::U8), out = p.output("y", DType::U8, {Size(room)});
    p.program.steps = steps(4);
  }
  int upTo(int k) { return int(random() % uint32_t(k)); }
  Size size() {
    const Size a(int64_t(upTo(9)));
    switch (upTo(4)) {
    case 0: return a;
    case 1: return a * n() + Size::symbol("M");
    case 2: return Size::ceil(n() / Size(1 + upTo(4)));
    default: return Size::min(n() * Size::symbol("M"), Size(int64_t(upTo(30))));
    }
  }
  View view() {
    View v{out, size(), {}};
    for (int loop : around)
      if (upTo(2)) v.steps.push_back({loop, size()});
    return v;
  }
  std::vector<Step> steps(int depth) {
    std::vector<Step> list;
    for (int i = 0, count = upTo(5); i < count; ++i) {
      const int kind = depth > 0 ? upTo(5) : 0;
      if (kind < 2) {
        list.push_back({p.launch(Record, {view(), view()}, {size() - Size(5), size()}, Size(upTo(8) ? 1 : 0))});
      } else if (kind < 4) {
        LoopStep l{loops++, upTo(4), upTo(3), upTo(2) == 1, {}};
        around.push_back(l.number);
        l.body = steps(depth - 1);
        around.pop_back();
        list.push_back({l});
      } else {
        ChoiceStep c;
        c.of = size(), c.limit = upTo(10), c.upTo = steps(depth - 1), c.above = steps(depth - 1);
        list.push_back({c});
      }
    }
    return list;
  }
};

/// What the steps mean.
struct Recursion {
  Binding bound;
  std::map<int, int64_t> turns;
  std::vector<std::array<int64_t, 4>> calls; ///< offsets of both views, sizes

  int64_t value(const Size &s) {
    return s.eval([&](const std::string &name) { return std::optional(bound.at(name)); })->num;
  }
  int64_t offset(const View &v) {
    int64_t at = value(v.offset);
    for (auto &[loop, bytes] : v.steps) at += turns.at(loop) * value(bytes);
    return at;
  }
  void run(const std::vector<Step> &steps) {
    for (const Step &s : steps) {
      if (auto *l = std::get_if<Launch>(&s.is); l && value(l->tiles) > 0) calls.push_back({offset(l->views[0]), offset(l->views[1]), value(l->sizes[0]), value(l->sizes[1])});
      if (auto *c = std::get_if<ChoiceStep>(&s.is)) run(value(c->of) <= c->limit ? c->upTo : c->above);
      if (auto *l = std::get_if<LoopStep>(&s.is))
        for (int64_t t = 0; t < l->turns; ++t) turns[l->number] = l->reverse ? l->turns - 1 - t : t, run(l->body);
    }
  }
};

} // namespace

TEST(ExecRandom, FlatAndBoundIsWhatARecursionDoes) {
  size_t calls = 0;
  for (uint32_t seed = 0; seed < 400; ++seed) {
    RandomProgram r(seed);
    auto x = loadExecutable(r.p.manifest(), kernels());
    std::vector<Array> out;
    for (auto [a, b] : {std::pair(1, 2), {3, 1}, {7, 5}, {1, 2}}) {
      Recursion want;
      want.bound = {{"N", a}, {"M", b}};
      want.run(r.p.program.steps);
      const Array in[] = {Array::of(DType::U8, {a, b}, std::vector<uint8_t>(size_t(a * b)))};
      recorded.clear();
      x->run(x->entries()[0], in, out);
      std::vector<std::array<int64_t, 4>> have;
      auto at = [&](const void *p) { return static_cast<const std::byte *>(p) - out[0].data.get(); };
      for (const Recorded &c : recorded) have.push_back({at(c.views[0]), at(c.views[1]), c.sizes[0], c.sizes[1]});
      EXPECT_EQ(have, want.calls) << seed;
      calls += have.size();
    }
  }
  EXPECT_GT(calls, 5000u);
}
