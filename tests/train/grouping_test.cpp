// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/grouping.h"
#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <set>

namespace fil {
namespace {

/// Neurons of some hidden groups in random places: those of one are large in the same third of the rows, each in its own measure.
Profile hidden(int64_t groups, int64_t each, int64_t rows, std::vector<int64_t> &groupOf) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<float> noise(0, 0.2f), size(0.5f, 2);
  for (int64_t i = 0; i < groups * each; ++i) groupOf.push_back(i / each);
  std::shuffle(groupOf.begin(), groupOf.end(), random);
  std::vector<std::vector<bool>> large(static_cast<size_t>(groups));
  for (auto &g : large)
    for (int64_t r = 0; r < rows; ++r) g.push_back(random() % 3 == 0);
  Profile p{groups * each, rows, {}};
  for (int64_t g : groupOf) {
    const float s = size(random);
    for (int64_t r = 0; r < rows; ++r) p.magnitudes.push_back(s * (noise(random) + (large[size_t(g)][size_t(r)] ? 1 : 0)));
  }
  return p;
}

TEST(Grouping, FindsThoseThatAreLargeTogether) {
  for (int64_t groups : {8, 5, 1}) {
    std::vector<int64_t> groupOf, before;
    const Profile p = hidden(groups, 16, 400, groupOf);
    const std::vector<int64_t> order = coactiveOrder(p, 16);
    for (int64_t i = 0; i < p.neurons; ++i) before.push_back(i);
    EXPECT_TRUE(std::is_permutation(order.begin(), order.end(), before.begin()));
    for (int64_t i = 0; i < p.neurons; i += 16) {
      std::set<int64_t> met;
      for (int64_t j = i; j < i + 16; ++j) met.insert(groupOf[size_t(order[size_t(j)])]);
      EXPECT_EQ(met.size(), 1u) << i;
      EXPECT_TRUE(std::is_sorted(order.begin() + i, order.begin() + i + 16));
    }
    if (groups > 1) EXPECT_GT(heldShare(p, order, 16, 0.5), heldShare(p, before, 16, 0.5) + 0.1);
    EXPECT_EQ(coactiveOrder(p, 16), order);
  }
}
TEST(Grouping, OfNeuronsThatAreSilentOrAlike) {
  Profile p{32, 5, std::vector<float>(160, 0)};
  std::vector<int64_t> order = coactiveOrder(p, 8), sorted = order;
  std::sort(sorted.begin(), sorted.end());
  for (int64_t i = 0; i < 32; ++i) EXPECT_EQ(sorted[size_t(i)], i);
  EXPECT_EQ(heldShare(p, order, 8, 0.5), 1);
  std::fill(p.magnitudes.begin(), p.magnitudes.end(), 2.f);
  EXPECT_DOUBLE_EQ(heldShare(p, order, 8, 0.25), 0.25);
  EXPECT_DOUBLE_EQ(heldShare(p, order, 8, 0.01), 0.25); // at least one granule
}
TEST(Grouping, TakesRowsOfOneTurnAndPutsNeuronsInTheirPlaces) {
  // [l, B, F, T]: 2 turns, 2 x 3 rows, 4 neurons; the element says where it stands.
  Port port{"gate", DType::F32, {"l#0", "B", "F", "T"}, {}, {}};
  std::vector<float> v;
  for (int l = 0; l < 2; ++l)
    for (int b = 0; b < 2; ++b)
      for (int f = 0; f < 4; ++f)
        for (int t = 0; t < 3; ++t) v.push_back(float(1000 * l + 100 * b + 10 * f + t));
  const NeuronGroup g{"gate", {{"l#0", 1}}, "F", 2, {}};
  Profile p;
  addRows(p, g, port, Array::of(DType::F32, {2, 2, 4, 3}, v), 100);
  addRows(p, g, port, Array::of(DType::F32, {2, 2, 4, 3}, v), 2);
  EXPECT_EQ(p.rows, 8);
  EXPECT_EQ(p.neurons, 4);
  const std::vector<float> third(p.magnitudes.begin() + 16, p.magnitudes.begin() + 24);
  EXPECT_EQ(third, (std::vector<float>{1020, 1021, 1022, 1120, 1121, 1122, 1020, 1120}));
}

struct Kept : Executable {
  std::vector<Array> values;
  Kept() {
    auto add = [&](const char *name, std::vector<int64_t> shape, int axis, std::vector<float> v) {
      VariableInfo info{.kind = VariableInfo::Param, .name = name, .shape = shape, .dims = {"A", "B"}, .thinned = {}, .neurons = {}};
      if (axis >= 0) info.neurons = VariableInfo::Neurons{"up", axis, "F", 2, {{"l#0", 0}}};
      variables_.push_back(info), values.push_back(Array::of(DType::F32, shape, v));
    };
    add("up", {2, 4}, 1, {0, 1, 2, 3, 10, 11, 12, 13});
    add("down", {4, 2}, 0, {0, 1, 10, 11, 20, 21, 30, 31});
    add("other", {4, 1}, -1, {0, 1, 2, 3});
  }
  using Executable::run;
  std::vector<Array> run(const Entry &, const std::vector<Array> &) override { return {}; }
  Array get(size_t i) const override { return values[i]; }
  void set(size_t i, const Array &v) override { values[i] = v; }
  std::string target() const override { return "test"; }
  void resetCaches(int64_t, int64_t) override {}
};
TEST(Grouping, MovesAllThatNeuronsAreMadeOfAndReadBy) {
  Kept program;
  const auto groups = neuronGroups(program);
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups[0].variables, (std::vector<size_t>{0, 1}));
  reorder(program, groups[0], {2, 0, 3, 1}); // the first place has neuron 2
  auto of = [&](size_t i) { return std::vector<float>(program.values[i].as<float>().begin(), program.values[i].as<float>().end()); };
  EXPECT_EQ(of(0), (std::vector<float>{2, 0, 3, 1, 12, 10, 13, 11}));
  EXPECT_EQ(of(1), (std::vector<float>{20, 21, 0, 1, 30, 31, 10, 11}));
  EXPECT_EQ(of(2), (std::vector<float>{0, 1, 2, 3}));
}

} // namespace
} // namespace fil
