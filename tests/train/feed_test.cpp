// SPDX-License-Identifier: Apache-2.0
// From samples to inputs: where the batch's axis stands, sizes that data imply, inputs that no data feed.
#include "tests/train/model.h"
#include <gtest/gtest.h>
#include <numeric>

using namespace fil;
using namespace fil::test;

namespace {
NamedArray ramp(const std::string &name, std::vector<int64_t> shape, bool shared = false) {
  std::vector<float> v(size_t(*elementCount(shape)));
  std::iota(v.begin(), v.end(), 0.f);
  return {name, Array::of(DType::F32, shape, v), 1, shared};
}
std::string codeOf(const std::function<void()> &f) {
  try {
    f();
  } catch (const Error &e) {
    return e.code();
  }
  return "";
}
} // namespace

TEST(Feed, TheBatchComesWhereTheProgramHasIt) {
  TestProgram p("dims B, X, Y\nmodel M(a: [X,B,Y]) -> [B] = sum(a, over X, Y)\n", Stage::train_, "f64");
  ASSERT_TRUE(p.executable) << p.errors();
  const Entry &run = p.entry("run");
  NamedArray a = ramp("a", {3, 2, 5}); // three samples [X=2, Y=5]
  Binding sizes = bindFromData(p.executable->entries(), {a}, "B", {});
  EXPECT_EQ(sizes, (Binding{{"X", 2}, {"Y", 5}}));
  auto data = arrayDataset({a}, {ramp("a", {3, 2, 5})}, 1);
  Feed feed({&run}, *data, "B", sizes);
  Batch batch;
  data->validationBatch(0, 3, batch);
  auto inputs = feed.inputs(run, batch, {});
  ASSERT_EQ(inputs.size(), 1u);
  EXPECT_EQ(inputs[0].shape, (std::vector<int64_t>{2, 3, 5}));
  for (int64_t b = 0; b < 3; ++b)
    for (int64_t x = 0; x < 2; ++x)
      for (int64_t y = 0; y < 5; ++y) EXPECT_EQ(inputs[0].at((x * 3 + b) * 5 + y), double((b * 2 + x) * 5 + y));
  EXPECT_EQ(values(p.executable->run(run, inputs)[0]), (std::vector<double>{45, 145, 245}));
}

TEST(Feed, InputsWithoutTheBatchAreSharedAndPositionsAreCounted) {
  TestProgram p("dims B, T, C=3\nmodel M(a: [B,T], pos: int[T], c: [C]) -> [B] = sum(a * pos, over T) * sum(c, over C)\n", Stage::train_, "f64");
  ASSERT_TRUE(p.executable) << p.errors();
  const Entry &run = p.entry("run");
  auto data = arrayDataset({ramp("a", {6, 4}), ramp("c", {3}, true)}, {}, 0.5);
  EXPECT_EQ(data->trainSamples(), 3);
  Binding sizes = bindFromData(p.executable->entries(), {ramp("a", {6, 4})}, "B", {});
  Feed feed({&run}, *data, "B", sizes);
  Batch batch;
  data->trainBatch(1, 0, 2, batch);
  auto inputs = feed.inputs(run, batch, {});
  for (size_t i = 0; i < run.inputs.size(); ++i) {
    if (run.inputs[i].name == "pos") EXPECT_EQ(values(inputs[i]), (std::vector<double>{0, 1, 2, 3}));
    if (run.inputs[i].name == "c") EXPECT_EQ(values(inputs[i]), (std::vector<double>{0, 1, 2}));
    if (run.inputs[i].name == "a") EXPECT_EQ(inputs[i].shape, (std::vector<int64_t>{2, 4}));
  }
  p.executable->run(run, inputs);
}

TEST(Feed, AStepKnowsItsNumberItsRateAndTheSeed) {
  Entry step;
  step.name = "step";
  for (auto [name, type] : {std::pair{"seed", DType::I32}, {"step", DType::I32}, {"lr", DType::F64}}) step.inputs.push_back({name, type, {}, {}, {}});
  auto data = arrayDataset({ramp("a", {4, 1})}, {}, 0.5);
  Feed feed({&step}, *data, "B", {});
  auto inputs = feed.inputs(step, {}, {17, 41, 0.25});
  EXPECT_EQ(inputs[0].at(0), 17);
  EXPECT_EQ(inputs[1].at(0), 41);
  EXPECT_EQ(inputs[2].at(0), 0.25);
}

TEST(Feed, WhatNothingFeedsIsRefused) {
  TestProgram p("dims B, X\nmodel M(a: [B,X], b: [B]) -> [B] = sum(a, over X) + b\n", Stage::train_, "f64");
  const Entry &run = p.entry("run");
  auto one = arrayDataset({ramp("a", {4, 2})}, {}, 0.5);
  EXPECT_EQ(codeOf([&] { Feed({&run}, *one, "B", {{"X", 2}}); }), "E0510");
  auto both = arrayDataset({ramp("a", {4, 2}), ramp("b", {4})}, {}, 0.5);
  EXPECT_EQ(codeOf([&] { Feed({&run}, *both, "B", {}); }), "E0516") << "X has no size";
  EXPECT_EQ(codeOf([&] { Feed({&run}, *both, "B", {{"X", 3}}); }), "E0515");
  EXPECT_EQ(codeOf([&] { Feed({&run}, *both, "B", {{"X", 2}}); }), "");
  EXPECT_EQ(codeOf([&] { arrayDataset({ramp("a", {4, 2}), ramp("b", {5})}, {}, 0.5); }), "E0510");
}

TEST(Feed, ABoundedDimThatNoAxisHasIsCheckedByTheProgram) {
  TestProgram p("dims B, C<=5\nmodel M(i: index<C>[B]) -> [B] { param w: [C] = 1; return w[i] }\n", Stage::train_, "f64");
  ASSERT_TRUE(p.executable) << p.errors();
  const Entry &run = p.entry("run");
  auto call = [&](int32_t index) {
    NamedArray i{"i", Array::of(DType::I32, {2}, std::vector<int32_t>{0, index})};
    auto data = arrayDataset({i}, {i}, 1);
    Feed feed({&run}, *data, "B", {});
    Batch batch;
    data->validationBatch(0, 2, batch);
    p.executable->run(run, feed.inputs(run, batch, {}));
  };
  EXPECT_EQ(codeOf([&] { call(4); }), "");
  EXPECT_EQ(codeOf([&] { call(5); }), "E0515");
}

TEST(Feed, SeedsBelowTwoToThe31StayAsTheyAre) {
  EXPECT_EQ(programSeed(7), 7);
  EXPECT_EQ(programSeed(0x7fffffff), 0x7fffffff);
  EXPECT_GE(programSeed(UINT64_MAX), 0);
  EXPECT_NE(programSeed(1), programSeed(1 + (uint64_t(1) << 40)));
}

TEST(Variables, OfAModelAreNotThoseOfAnother) {
  TestProgram p("dims B, X=3\nmodel A(a: [B,X]) -> [B] { param w: [X] = 1; return dot(a, w, over X) }\n"
                "model M(a: [B,X]) -> [B] { param w: [X] = 2; return dot(a, w, over X) }\n",
                Stage::train_, "f64");
  ASSERT_TRUE(p.executable) << p.errors();
  ASSERT_EQ(p.plan.model, "M");
  p.loaded->program->elaborateModel("A", nullptr, nullptr, false); // as the check of its plans does
  Compiler again(*p.loaded, p.plan, {});
  auto module = again.module(Stage::precision_);
  ASSERT_TRUE(module);
  int variables = 0;
  for (mlir::Operation &op : *module->getBody()) variables += op.getName().getStringRef() == "fil.variable";
  EXPECT_EQ(variables, 1);
}
