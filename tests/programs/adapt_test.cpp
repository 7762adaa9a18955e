// SPDX-License-Identifier: Apache-2.0
// Formats that change while a program trains: at each level the program is the one whose plan has that format, where kernels sum in the same order to the bit; what a look tells is what
// the formulas say.
#include "tests/programs/compiled.h"
#include "tests/programs/examples.h"
#include "tests/programs/generator.h"
#include "tests/programs/ten.h"
#include "tests/support/program.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace fil;
using namespace fil::programs;

namespace {
std::string with(const std::string &text, const std::string &lines, const std::string &more = {}, std::string model = {}) {
  const size_t at = text.find("\nmodel ") + 7;
  if (model.empty()) model = text.substr(at, text.find('(', at) - at);
  return text + "\nplan narrow for " + model + " {" + (lines.empty() ? "" : " precision { " + lines + " }\n") + more + " }\n";
}

/// After init, and a step with a fixed learning rate, from the same values: what `step` or `observe` returns, all variables but the levels, and what `eval` and `run` return.
std::vector<std::vector<double>> lived(CompiledProgram &c, const Binding &sizes, int32_t level, const char *stepEntry = "step", const std::string &backend = "cpu") {
  auto x = c.executable(c.copy(Stage::train_), "f32", backend);
  TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
  x->run(*x->find("init"), maker.inputs(*x->find("init"), sizes));
  int levels = 0;
  for (size_t i = 0; i < x->variables().size(); ++i)
    if (x->variables()[i].name.ends_with("#level")) x->set(i, Array::of<int32_t>(DType::I32, {}, {level})), ++levels;
  EXPECT_EQ(levels > 0, c.plan.adapt.has_value());
  std::vector<std::vector<double>> all;
  for (const char *entry : {stepEntry, "eval", "run"}) {
    auto out = x->run(*x->find(entry), maker.inputs(*x->find(entry), sizes));
    if (entry == stepEntry) out.resize(2); // the loss and the norm
    for (const Array &a : out) all.push_back(numbers(a));
  }
  for (size_t i = 0; i < x->variables().size(); ++i)
    if (!x->variables()[i].name.ends_with("#level") && !x->variables()[i].name.ends_with("#steady")) all.push_back(numbers(x->get(i)));
  return all;
}
void expectSame(const std::vector<std::vector<double>> &a, const std::vector<std::vector<double>> &b, const std::string &what, double bound) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (size_t i = 0; i < a.size(); ++i) EXPECT_LE(distance(a[i], b[i]), bound) << what << " " << i;
}
const char *narrow = "**: fp8 e4m3 tile(1x4, 4x4) dgrad=e5m2";

/// Level 0 is the format, 16 bf16, 32 f32. Where the rest of the program is bf16 the first two have plans of their own, where it is f32 the first and the last.
void checkLevels(const std::string &text, const Binding &sizes, const std::map<std::string, int64_t> &dims, const std::string &more, const std::string &what, const std::string &model = {}, bool sameKernels = false) {
  const std::string backend = sameKernels ? "exact" : "cpu";
  auto program = [&](const std::string &lines) { return CompiledProgram(with(text, lines, more, model), dims, "sgd", model); }; // adamw makes as much of a gradient that is rounding alone as of any
  const double order = sameKernels ? 0 : 1e-5, rounded = sameKernels ? 0 : 4e-3; // sums in another order, and a bf16 that is rounded the other way for it
  const std::string bf16 = std::string("default bf16; ") + narrow;
  CompiledProgram a = program(bf16 + "; adapt"), b = program(bf16), c = program("default bf16"), d = program(std::string(narrow) + "; adapt"), e = program("");
  expectSame(lived(a, sizes, 0, "step", backend), lived(b, sizes, 0, "step", backend), what + ": its own", rounded);
  expectSame(lived(a, sizes, 16, "step", backend), lived(c, sizes, 0, "step", backend), what + ": bf16", rounded);
  expectSame(lived(d, sizes, 32, "step", backend), lived(e, sizes, 0, "step", backend), what + ": f32", order);
  expectSame(lived(d, sizes, 0, "observe", backend), lived(d, sizes, 0, "step", backend), what + ": observe is a step", order);
}
} // namespace

TEST(Levels, AreTheFormatsOfTheTen) {
  for (size_t i = 0; i < std::size(ten); i += 5) checkLevels(textOf(ten[i]), ten[i].sizes, ten[i].dims, "", ten[i].name);
}
TEST(Levels, AreTheFormatsOfALanguageModel) {
  const Example &e = examples[1];
  checkLevels(textOf(e), e.sizes, e.dims, "", e.file, e.model, true);
}
TEST(Levels, StandBesideOtherFacets) {
  const Example &e = examples[1];
  for (const char *more : {"sparsity { **: rigl density=0.5 }", "partition { remat all }"}) checkLevels(textOf(e), e.sizes, e.dims, more, more, e.model);
}
/// Of these the plan without `adapt` is no plan of bf16 alone: a predictor keeps its format, and lines of subsets read other rows.
TEST(Levels, OfTheirOwnFormatChangeNothingBesideGatesAndSubsets) {
  struct Case { const Example &e; const char *more; };
  for (const Case &c : {Case{examples[1], "sparsity { FeedForward: gate neurons keep=0.5 granule=4 predictor=lowrank(2) }"}, Case{examples[2], "sparsity { MLA.s*: gather; MoE.e*: grouped capacity=none }"}}) {
    CompiledProgram a(with(textOf(c.e), std::string(narrow) + "; adapt", c.more, c.e.model), c.e.dims, "sgd", c.e.model), b(with(textOf(c.e), narrow, c.more, c.e.model), c.e.dims, "sgd", c.e.model);
    expectSame(lived(a, c.e.sizes, 0), lived(b, c.e.sizes, 0), c.more, 1e-5);
  }
}
TEST(Levels, AreTheFormatsOfRandomPrograms) {
  for (uint64_t s = 300; s < (std::getenv("FIL_TEST_LONG") ? 330u : 302u); ++s) {
    const Generated g = generate(s);
    checkLevels(g.text, g.sizes, {}, "", "seed " + std::to_string(s) + "\n" + g.text);
  }
}

// A map of 6 x 5 with an outlier among its inputs; all that a look tells, written out.
TEST(Signals, AreWhatTheFormulasSay) {
  const std::string text = "dims B\ndims D = 6, F = 5\nmodel M(x: [B,D]) -> [B,F] { param w: D -> F; return x @ w }\nloss l(z: [B,F], t: [B,F]) = sum(z * t, over B, F)\n";
  const int64_t B = 3, D = 6, F = 5;
  CompiledProgram c(with(text, "**: fp8 e4m3 tile(tensor, tensor); adapt"));
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  auto draw = [&](int64_t n) {
    std::vector<double> v;
    for (int64_t i = 0; i < n; ++i) v.push_back(normal(random));
    return v;
  };
  std::vector<double> w = draw(D * F), x = draw(B * D), t = draw(B * F);
  for (int64_t i = 0; i < B; ++i) x[size_t(i * D + 2)] *= 3e5; // a channel that the scale follows
  x[0] = 0;
  auto rounding = [](std::vector<double> v, Format f) {
    double most = 0, scale = f == Format::E4M3 ? 0x1p-126 : 1;
    for (double a : v) most = std::max(most, std::fabs(a));
    while (f == Format::E4M3 && scale * traits(f).largest < most) scale *= 2;
    for (double &a : v) a = rounded(f, a / scale) * scale;
    return v;
  };
  auto product = [&](const std::vector<double> &a, const std::vector<double> &b) {
    std::vector<double> y(size_t(B * F), 0);
    for (int64_t i = 0; i < B; ++i)
      for (int64_t f = 0; f < F; ++f)
        for (int64_t d = 0; d < D; ++d) y[size_t(i * F + f)] += a[size_t(i * D + d)] * b[size_t(d * F + f)];
    return y;
  };
  auto ratio = [](const std::vector<double> &exact, const std::vector<double> &other, auto chosen) {
    double energy = 0, error = 0;
    for (size_t i = 0; i < exact.size(); ++i)
      if (chosen(i)) energy += exact[i] * exact[i], error += (exact[i] - other[i]) * (exact[i] - other[i]);
    return error > 0 ? energy / error : 1e30;
  };
  std::map<std::string, double> want;
  for (auto [f, name] : {std::pair(Format::E4M3, "e4m3"), std::pair(Format::Bf16, "bf16")}) {
    const auto a = rounding(x, f), b = rounding(w, f);
    want[std::string("w#out_snr.0.") + name] = ratio(product(x, w), product(a, b), [](size_t) { return true; });
    double snr = 1e30, underflow = 0;
    for (bool weight : {false, true}) {
      const auto &exact = weight ? w : x, &other = weight ? b : a;
      std::vector<double> channels;
      for (int64_t d = 0; d < D; ++d) channels.push_back(ratio(exact, other, [&](size_t i) { return int64_t(weight ? i / size_t(F) : i % size_t(D)) == d; }));
      std::sort(channels.begin(), channels.end());
      snr = std::min(snr, channels[size_t(D / 2)]); // of six the fourth least: three are as good
      double gone = 0, there = 0;
      for (size_t i = 0; i < exact.size(); ++i) there += exact[i] != 0, gone += exact[i] != 0 && other[i] == 0;
      underflow = std::max(underflow, gone / there);
    }
    want[std::string("w#snr.0.") + name] = snr, want[std::string("w#underflow.0.") + name] = underflow, want[std::string("w#sat.0.") + name] = 0;
  }
  double most = 0;
  for (double a : x) most = std::max(most, std::fabs(a));
  want["w#amax.0.e4m3"] = most;
  want["w#ops"] = double(2 * 2 * B * D * F); // forward and the weight's gradient
  EXPECT_GT(want["w#underflow.0.e4m3"], 0.4);
  EXPECT_LT(want["w#snr.0.e4m3"], 10);
  EXPECT_EQ(want["w#underflow.0.bf16"], 0);
  for (const char *backend : {"reference", "cpu"}) {
    auto program = c.executable(c.copy(Stage::train_), "f64", backend);
    for (size_t i = 0; i < program->variables().size(); ++i)
      if (program->variables()[i].name == "w") program->set(i, array(program->get(i), w));
    const Entry &observe = *program->find("observe");
    std::vector<Array> in;
    for (const Port &port : observe.inputs) {
      std::byte *fill;
      const auto &values = port.name == "x" ? x : port.name == "t" ? t : std::vector<double>{0};
      in.push_back(array(Array::make(port.dtype, port.name == "x" ? std::vector<int64_t>{B, D} : port.name == "t" ? std::vector<int64_t>{B, F} : std::vector<int64_t>{}, fill), values));
    }
    const auto out = program->run(observe, in);
    size_t found = 0;
    for (size_t i = 0; i < out.size(); ++i)
      if (auto it = want.find(observe.outputs[i].name); it != want.end()) {
        ++found;
        EXPECT_NEAR(out[i].at(0) / (it->second ? it->second : 1), it->second ? 1 : 0, 1e-6) << it->first << " " << backend;
      }
    EXPECT_EQ(found, want.size());
  }
}
