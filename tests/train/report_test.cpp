// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/metrics.h"
#include "runtime/train/report.h"
#include "runtime/train/schedule.h"
#include <gtest/gtest.h>

using namespace fil;

TEST(Progress, WithoutATerminalALineEachTenSeconds) {
  ManualClock clock;
  std::string shown;
  Progress p(clock, false, 100, [&](const std::string &s) { shown += s; });
  StepReport r;
  r.tokens = true, r.rate = 1234;
  for (int i = 1; i <= 40; ++i) clock.now = i, r.step = i, r.loss = 1.5, p.step(r);
  EXPECT_EQ(std::count(shown.begin(), shown.end(), '\n'), 4) << shown;
  EXPECT_EQ(shown.find('\r'), shown.npos);
  EXPECT_NE(shown.find("step 2/100  loss 1.5000  1234 tokens/s  left 1:38"), shown.npos) << shown;
}
TEST(Progress, OnATerminalOneLineIsRewritten) {
  ManualClock clock;
  std::string shown;
  Progress p(clock, true, 3, [&](const std::string &s) { shown += s; });
  StepReport r;
  for (int i = 1; i <= 3; ++i) clock.now = i, r.step = i, p.step(r);
  EXPECT_EQ(std::count(shown.begin(), shown.end(), '\r'), 3) << shown;
  EXPECT_EQ(std::count(shown.begin(), shown.end(), '\n'), 0);
  p.note("done");
  EXPECT_TRUE(shown.ends_with("\r\x1b[Kdone\n"));
  EXPECT_EQ(durationText(3725), "1:02:05");
}
TEST(Report, NotANumberIsNullInJson) {
  StepReport r;
  r.loss = NAN, r.validLoss = 2;
  r.metrics = {{"accuracy", 0.5}};
  EXPECT_EQ(jsonLine(r), "{\"step\":0,\"loss\":null,\"grad_norm\":0.0,\"lr\":0.0,\"seconds\":0.0,\"samples_per_s\":0.0,\"valid_loss\":2.0,\"accuracy\":0.5}\n");
}
TEST(Schedule, WarmsUpThenFalls) {
  Schedule s{1.0, 4, 12, true};
  EXPECT_DOUBLE_EQ(s.at(0), 0.25);
  EXPECT_DOUBLE_EQ(s.at(3), 1);
  EXPECT_DOUBLE_EQ(s.at(4), 1);
  EXPECT_DOUBLE_EQ(s.at(8), 0.5);
  EXPECT_NEAR(s.at(12), 0, 1e-15);
  s.cosine = false;
  EXPECT_DOUBLE_EQ(s.at(11), 1);
}

namespace {
Port port(std::string name, DType t, std::vector<std::string> dims, std::optional<Size> bound = {}) {
  Port p{std::move(name), t, dims, {}, bound};
  for (auto &d : dims) p.sizes.push_back(d == "V" ? Size(3) : Size::symbol(d));
  return p;
}
} // namespace

TEST(Metrics, AccuracyPairsAxesByNameAndTakesTheFirstOfEquals) {
  // Output [V, T, B] with V = 3, T = 2, B = 2; label [B, T].
  MetricCounts m({"accuracy"}, port("y", DType::F32, {"V", "T", "B"}), port("t", DType::I32, {"B", "T"}, Size(3)));
  std::vector<float> y(12, 0);
  auto at = [&](int v, int t, int b) -> float & { return y[size_t((v * 2 + t) * 2 + b)]; };
  at(2, 0, 0) = 1;       // b0 t0: 2
  at(1, 1, 0) = 1;       // b0 t1: 1
                         // b1 t0: all equal: 0
  at(0, 1, 1) = NAN, at(2, 1, 1) = -1; // b1 t1: 1, as NaN never wins and 0 > -1
  m.add(Array::of(DType::F32, {3, 2, 2}, y), Array::of(DType::I32, {2, 2}, std::vector<int32_t>{2, 0, 0, 1}));
  EXPECT_DOUBLE_EQ(m.values()[0].second, 0.75);
}
TEST(Metrics, RecallAndFalsePositivesOfABoolLabel) {
  MetricCounts m({"recall", "fpr", "accuracy"}, port("p", DType::F32, {"B"}), port("t", DType::Bool, {"B"}));
  m.add(Array::of(DType::F32, {5}, std::vector<float>{0.9f, 0.5f, 0.7f, 0.1f, 0.2f}), Array::of(DType::Bool, {5}, std::vector<uint8_t>{1, 1, 0, 0, 0}));
  auto v = m.values();
  EXPECT_DOUBLE_EQ(v[0].second, 0.5); // 0.5 is not above 0.5
  EXPECT_DOUBLE_EQ(v[1].second, 1.0 / 3);
  EXPECT_DOUBLE_EQ(v[2].second, 3.0 / 5);
}
