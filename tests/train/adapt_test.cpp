// SPDX-License-Identifier: Apache-2.0
// What is made of the signals: which products change their format, and which do not.
#include "runtime/train/adapt.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace fil;

namespace {
/// `observe` of two turns of `l[0..2].w`, with two products, and of `v`: e4m3, then bf16. All operations: 100, of which w has 40 in its turns together and v 10.
struct Observed : Executable {
  std::vector<Array> values;
  std::map<std::string, std::vector<double>> signals;

  Observed() {
    for (const char *name : {"l[0].w", "l[1].w", "v"})
      for (const char *what : {"#level", "#steady"}) {
        VariableInfo info;
        info.kind = VariableInfo::State, info.name = std::string(name) + what, info.dtype = DType::I32;
        variables_.push_back(info), values.push_back(Array::of<int32_t>(DType::I32, {}, {0}));
      }
    Entry e{"observe", {}, {}};
    auto port = [&](const std::string &name, size_t turns, double value) {
      Port p;
      p.name = name;
      e.outputs.push_back(p), signals[name] = std::vector<double>(turns, value);
    };
    port("loss", 1, 0), port("grad_norm", 1, 0);
    for (const char *product : {"l[0..2].w#S.0", "l[0..2].w#S.1", "v#S.0"})
      for (const char *format : {"e4m3", "bf16"})
        for (auto [signal, good] : {std::pair("out_snr", 1e3), std::pair("snr", 1e3), std::pair("underflow", 0.0), std::pair("sat", 0.0)}) {
          std::string name = std::string(product) + "." + format;
          port(name.replace(name.find('S'), 1, signal), name[0] == 'l' ? 2 : 1, good);
        }
    port("#ops", 1, 100), port("l[0..2].w#ops", 1, 40), port("v#ops", 1, 10);
    entries_.push_back(e);
  }
  std::vector<Array> outputs() const {
    std::vector<Array> all;
    for (const Port &p : entries_[0].outputs) {
      const auto &v = signals.at(p.name);
      all.push_back(Array::of(DType::F64, v.size() == 1 ? std::vector<int64_t>{} : std::vector<int64_t>{int64_t(v.size())}, v));
    }
    return all;
  }
  std::vector<int> levels() const { return {int(values[0].at(0)), int(values[2].at(0)), int(values[4].at(0))}; }
  using Executable::run;
  std::vector<Array> run(const Entry &, const std::vector<Array> &) override { return {}; }
  Array get(size_t i) const override { return values[i]; }
  void set(size_t i, const Array &a) override { values[i] = a; }
  std::string target() const override { return "test"; }
  void resetCaches(int64_t, int64_t) override {}
};
AdaptRule rule(double budget = 1, int64_t times = 2, int64_t rest = 0) { return {10, {{{"out_snr", "<", 22}}, {{"underflow", ">", 0.05}}}, {{{"out_snr", ">", 28}}}, times, budget, rest}; }
std::string told(const std::vector<FormatChange> &all) {
  std::string text;
  for (const FormatChange &c : all) text += c.product + " " + c.from + " -> " + c.to + (c.refused ? " refused" : "") + " (" + c.why + ")\n";
  return text;
}
} // namespace

TEST(Adaptation, GoesUpWhereABoundHoldsAndTellsWhy) {
  Observed x;
  Adaptation a(x, rule());
  EXPECT_EQ(a.products(), 3);
  EXPECT_EQ(told(a.decide(x.outputs())), "");
  x.signals["l[0..2].w#out_snr.1.e4m3"][1] = 100; // 20 dB, of the second product
  x.signals["v#underflow.0.e4m3"][0] = 0.06;
  EXPECT_EQ(told(a.decide(x.outputs())), "l[1].w e4m3 -> bf16 (out_snr 20.0dB)\nv e4m3 -> bf16 (underflow 6%)\n"); // the worst first
  EXPECT_EQ(x.levels(), (std::vector{0, 16, 16}));
  EXPECT_DOUBLE_EQ(*a.promoted(), 0.3);
  EXPECT_EQ(a.promotedProducts(), 2);
  x.signals["v#out_snr.0.bf16"][0] = 1; // now the signals of bf16 count
  EXPECT_EQ(told(a.decide(x.outputs())), "v bf16 -> f32 (out_snr 0.0dB)\n");
  EXPECT_EQ(told(a.decide(x.outputs())), ""); // no format is above f32
  EXPECT_EQ(x.levels(), (std::vector{0, 16, 32}));
}
TEST(Adaptation, GoesDownWhereTheFormatBelowHasBeenGoodOftenEnough) {
  Observed x;
  Adaptation a(x, rule());
  x.signals["v#out_snr.0.e4m3"][0] = 1;
  EXPECT_EQ(told(a.decide(x.outputs())), "v e4m3 -> bf16 (out_snr 0.0dB)\n");
  x.signals["v#out_snr.0.e4m3"][0] = 1e3;
  EXPECT_EQ(told(a.decide(x.outputs())), "");
  x.signals["v#out_snr.0.e4m3"][0] = 500; // 27 dB: neither good nor bad
  EXPECT_EQ(told(a.decide(x.outputs())), "");
  x.signals["v#out_snr.0.e4m3"][0] = 1e3;
  EXPECT_EQ(told(a.decide(x.outputs())), "");
  EXPECT_EQ(told(a.decide(x.outputs())), "v bf16 -> e4m3 (out_snr 30.0dB)\n");
  EXPECT_EQ(a.promoted(), 0.0);
}
TEST(Adaptation, StaysForAWhileBehindAChange) {
  Observed x;
  Adaptation a(x, rule(1, 1, 2));
  x.signals["v#out_snr.0.e4m3"][0] = 1;
  EXPECT_EQ(a.decide(x.outputs()).size(), 1u);
  x.signals["v#out_snr.0.e4m3"][0] = 1e3;
  EXPECT_EQ(told(a.decide(x.outputs())) + told(a.decide(x.outputs())), "");
  EXPECT_EQ(told(a.decide(x.outputs())), "v bf16 -> e4m3 (out_snr 30.0dB)\n");
}
TEST(Adaptation, TakesTheWorstThatTheBudgetLasts) {
  Observed x;
  Adaptation a(x, rule(0.25));
  x.signals["l[0..2].w#out_snr.0.e4m3"] = {50, 10};
  x.signals["v#out_snr.0.e4m3"] = {20};
  EXPECT_EQ(told(a.decide(x.outputs())), "l[1].w e4m3 -> bf16 (out_snr 10.0dB)\nv e4m3 -> bf16 refused (out_snr 13.0dB)\nl[0].w e4m3 -> bf16 refused (out_snr 17.0dB)\n");
  EXPECT_DOUBLE_EQ(*a.promoted(), 0.2);
}
TEST(Adaptation, BringsDownWhatAnotherBudgetHasLeft) {
  Observed x;
  Adaptation a(x, rule());
  x.signals["l[0..2].w#out_snr.0.e4m3"] = {50, 10};
  x.signals["v#out_snr.0.e4m3"] = {20};
  a.decide(x.outputs());
  Adaptation b(x, rule(0.31, 9));
  EXPECT_EQ(b.promotedProducts(), 3);
  EXPECT_FALSE(b.promoted());
  EXPECT_EQ(told(b.decide(x.outputs())), "l[0].w bf16 -> e4m3 (over the budget)\n");
  EXPECT_EQ(x.levels(), (std::vector{0, 16, 16}));
  EXPECT_DOUBLE_EQ(*b.promoted(), 0.3);
}
TEST(Adaptation, OfNumbersBeyondTheRangeNothingGoodIsKnown) {
  Observed x;
  Adaptation a(x, rule());
  x.signals["l[0..2].w#out_snr.0.e4m3"][0] = NAN;
  EXPECT_EQ(a.decide(x.outputs()).size(), 1u);
  EXPECT_EQ(x.levels(), (std::vector{16, 0, 0}));
}
TEST(Adaptation, LooksInStepsThatTheNumberDividesButNotAtTheEnd) {
  const AdaptRule r = rule();
  EXPECT_TRUE(r.looks(0, 0) && r.looks(20, 0.5));
  EXPECT_FALSE(r.looks(5, 0.5) || r.looks(90, 0.9));
}
