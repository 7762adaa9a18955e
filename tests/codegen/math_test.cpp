// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of generated f32 code against libm in float64, in units of the last place, over their whole range, its ends included.
// The bounds are those of docs/performance.md.
#include "tests/support/program.h"
#include <cmath>
#include <gtest/gtest.h>
#include <limits>

using namespace fil;

namespace {

struct Function {
  const char *text;
  double (*exact)(double);
  double low, high, bound; ///< bound: units in the last place, within low..high
};
void PrintTo(const Function &f, std::ostream *out) { *out << f.text; }

double ulps(float got, double want) {
  if (std::isnan(want)) return std::isnan(got) ? 0 : 1e9;
  const float nearest = float(want);
  if (std::isinf(nearest)) return got == nearest ? 0 : 1e9;
  const double unit = std::max(std::fabs(double(std::nextafter(nearest, std::numeric_limits<float>::infinity())) - double(nearest)), 0x1p-149);
  return std::fabs(double(got) - want) / unit;
}

class Math : public testing::TestWithParam<Function> {
protected:
  void compare(const std::string &backend) {
    const Function &f = GetParam();
    TestProgram p(std::string("dims N\nmodel M(x: [N]) -> [N] { return ") + f.text + " }\n", Stage::normalize_, "f32", {}, "sgd", backend);
    ASSERT_TRUE(p.executable) << p.errors();
    std::vector<float> x;
    for (int i = 0; i < 200003; ++i) x.push_back(float(f.low + (f.high - f.low) * i / 200002));
    for (float at : {1e-40f, 1e-20f, 1e-6f, 1e-3f, 0.3f, 1.f, 3.f}) // close to zero, denormals too
      for (int i = 0; i < 3001; ++i)
        for (float sign : {-1.f, 1.f})
          if (float v = sign * at * (1 + i / 1000.f); v >= f.low && v <= f.high) x.push_back(v);
    const float inf = std::numeric_limits<float>::infinity();
    for (float v : {0.f, -0.f, inf, -inf, std::numeric_limits<float>::quiet_NaN(), 1e-45f, std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest()}) x.push_back(v);
    auto out = p.executable->run(p.entry("run"), {Array::of(DType::F32, {int64_t(x.size())}, x)});
    auto y = out[0].as<float>();
    double worst = 0;
    float where = 0;
    const bool periodic = f.exact == static_cast<double (*)(double)>(std::sin) || f.exact == static_cast<double (*)(double)>(std::cos);
    for (size_t i = 0; i < x.size(); ++i) {
      double d = ulps(y[i], f.exact(x[i]));
      if (periodic) d = std::min(d, std::fabs(double(y[i]) - f.exact(x[i])) / 0x1p-24); // absolute near the zeros
      if (!(d <= worst)) worst = d, where = x[i];
    }
    RecordProperty("ulps", std::to_string(worst));
    std::printf("%-12s %-10s %.2f units in the last place, at %g\n", f.text, backend.c_str(), worst, double(where));
    EXPECT_LE(worst, f.bound) << "at " << where;
  }
};
TEST_P(Math, OnThisMachine) { compare("cpu"); }
TEST_P(Math, WithAvx2) { compare("x86-64-v3"); }

// One divisor for all lanes: its reciprocal, within a unit in the last place of the quotient over the whole range.
TEST(Quotient, ByOneNumber) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const char *backend : {"cpu", "x86-64-v3"}) {
    TestProgram p("dims N\nmodel M(x: [N], y: []) -> [N] { return x / y }\n", Stage::normalize_, "f32", {}, "sgd", backend);
    ASSERT_TRUE(p.executable) << p.errors();
    std::vector<float> x{0.f, -0.f, inf, -inf, std::numeric_limits<float>::quiet_NaN(), 1e-45f, 1e-40f, -3e38f};
    for (int i = 0; i < 1000; ++i) x.push_back(std::ldexp(1 + float(i) / 999, i % 250 - 125));
    for (float y : {1e-45f, 3e-40f, 1.3e-38f, 1e-20f, 0.1f, -3.f, 7e19f, 2.9e38f, 0.f, inf}) {
      auto out = p.executable->run(p.entry("run"), {Array::of(DType::F32, {int64_t(x.size())}, x), Array::of(DType::F32, {}, std::vector<float>{y})});
      auto z = out[0].as<float>();
      for (size_t i = 0; i < x.size(); ++i) EXPECT_LE(ulps(z[i], double(x[i]) / double(y)), 1.5) << x[i] << " / " << y;
    }
  }
}

TEST(Quotient, ReciprocalOfEachLane) {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> x{0.f, -0.f, inf, -inf, std::numeric_limits<float>::quiet_NaN()};
  for (int exponent = -149; exponent < 128; ++exponent)
    for (int i = 0; i < 40; ++i) x.push_back(std::ldexp((i % 2 ? -1.f : 1.f) * (1 + float(i) / 40), exponent));
  for (const char *backend : {"cpu", "x86-64-v3"}) {
    TestProgram p("dims N\nmodel M(x: [N]) -> [N] { return 1 / x }\n", Stage::normalize_, "f32", {}, "sgd", backend);
    ASSERT_TRUE(p.executable) << p.errors();
    auto out = p.executable->run(p.entry("run"), {Array::of(DType::F32, {int64_t(x.size())}, x)});
    auto z = out[0].as<float>();
    for (size_t i = 0; i < x.size(); ++i) EXPECT_LE(ulps(z[i], double(float(1 / double(x[i])))), 1.5) << "1 / " << x[i];
  }
}

double relu(double x) { return x > 0 ? x : 0; }
double rsqrt(double x) { return 1 / std::sqrt(x); }
INSTANTIATE_TEST_SUITE_P(Functions, Math,
                         testing::Values(Function{"exp(x)", std::exp, -104, 89, 2}, Function{"log(x)", std::log, 0, 1e6, 2}, Function{"tanh(x)", std::tanh, -12, 12, 3},
                                         Function{"erf(x)", std::erf, -6, 6, 3}, Function{"sin(x)", std::sin, -70000, 70000, 3}, Function{"cos(x)", std::cos, -70000, 70000, 3},
                                         Function{"sqrt(x)", std::sqrt, 0, 1e6, 0.51}, Function{"rsqrt(x)", rsqrt, 1e-3, 1e6, 1.5}, Function{"relu(x)", relu, -10, 10, 0}),
                         [](auto &i) { return std::string(i.param.text).substr(0, std::string(i.param.text).find('(')); });

} // namespace
