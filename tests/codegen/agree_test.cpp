// SPDX-License-Identifier: Apache-2.0
// Generated code against the reference back end: the same variables and inputs, every entry, all outputs and all variables after it.
#include "tests/support/program.h"
#include <cmath>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

using namespace fil;

namespace {

std::string example(const std::string &path) {
  std::ifstream in(std::string(FIL_SOURCE_FOLDER) + "/examples/" + path);
  std::stringstream s;
  s << in.rdbuf();
  return s.str();
}
/// Largest difference, relative to the largest element.
double difference(const Array &a, const Array &b) {
  auto x = values(a), y = values(b);
  if (x.size() != y.size()) return 1e300;
  double worst = 0, scale = 1e-3;
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i]) && std::isnan(y[i])) continue;
    const double d = std::fabs(x[i] - y[i]);
    worst = d <= worst ? worst : d, scale = std::max(scale, std::fabs(y[i]));
  }
  return worst / scale;
}

struct Case {
  std::string name, text;
  std::map<std::string, int64_t> dims;
  Binding sizes;
};
void PrintTo(const Case &c, std::ostream *out) { *out << c.name; }

class Agree : public testing::TestWithParam<Case> {
protected:
  void compare(const std::string &backend, const std::string &format, double tolerance) {
    const Case &c = GetParam();
    TestProgram ours(c.text, Stage::train_, format, c.dims, "adamw", backend), reference(c.text, Stage::train_, format, c.dims);
    ASSERT_TRUE(ours.executable) << ours.errors();
    ASSERT_TRUE(reference.executable) << reference.errors();
    reference.randomize();
    Executable &x = *ours.executable, &y = *reference.executable;
    ASSERT_EQ(x.variables().size(), y.variables().size());
    std::vector<Array> start;
    for (size_t v = 0; v < y.variables().size(); ++v) start.push_back(y.get(v));
    for (const Entry &e : y.entries()) {
      if (e.name == "prefill" || e.name == "decode") continue;
      for (size_t v = 0; v < start.size(); ++v) x.set(v, start[v]), y.set(v, start[v]);
      auto in = reference.inputs(e, c.sizes);
      x.run(*x.find(e.name), in); // so that nothing in the arena is zero by chance
      for (size_t v = 0; v < start.size(); ++v) x.set(v, start[v]);
      auto got = x.run(*x.find(e.name), in), want = y.run(e, in);
      ASSERT_EQ(got.size(), want.size());
      for (size_t i = 0; i < got.size(); ++i) EXPECT_LT(difference(got[i], want[i]), tolerance) << e.name << " output " << e.outputs[i].name;
      for (size_t v = 0; v < start.size(); ++v) EXPECT_LT(difference(x.get(v), y.get(v)), tolerance) << e.name << " variable " << y.variables()[v].name;
    }
  }
};
TEST_P(Agree, InF32) { compare("cpu", "f32", 1e-4); }
TEST_P(Agree, InF64) { compare("cpu", "f64", 1e-9); }
TEST_P(Agree, InF32WithAvx2) { compare("x86-64-v3", "f32", 1e-4); }

const Case cases[] = {
    {"dense", "dims B, I = 7, O = 5\nmodel M(x: [B,I]) -> [B,O] {\n param w: I -> O\n param b: [O] = 0\n return x @ w + b\n}\nloss l(y: [B,O], t: [B,O]) = mean((y - t)^2, over B, O)\n", {}, {{"B", 6}}},
    {"wide", "dims B, I = 33, O = 70\nmodel M(x: [B,I]) -> [B,O] {\n param w: I -> O\n param v: O -> (P:O)\n return rename(tanh(x @ w) @ v, P=O)\n}\nloss l(y: [B,O], t: [B,O]) = mean((y - t)^2, over B, O)\n", {}, {{"B", 45}}},
    {"softmax", "dims B, I = 19, O = 37\nmodel M(x: [B,I]) -> [B,O] {\n param w: I -> O\n return x @ w\n}\nloss l(y: [B,O], t: index<O>[B]) = mean(xent(y, t, over O), over B)\n", {}, {{"B", 9}}},
    // Two positions of the largest in one kernel: two trees over lanes of whole numbers.
    {"positions", R"(dims T, B, D = 4, E = 2
model M(x: [T,B,D]) -> [B,T] {
  param w: D -> E
  let v = sqrt(0.5 + x^2)
  let y = v @ w
  layers k in 0..2 {
    layers l in 0..2 {
      let n = argmax(x, over D)
      y += 0.5*tanh(1 + 0.4*x[n])
      v += 0.5*tanh(if l >= 1 { sin(v) } else { cos(v) })
    }
  }
  return 0.5*sum(y, over E)
}
loss l(y: [B,T], t: [B,T]) = mean((y - t)^2, over B, T)
)", {}, {{"B", 3}, {"T", 4}}},
    {"mnist", example("01_mnist/mnist.fil"), {}, {{"N", 5}, {"B", 5}}},
    {"charlm", example("02_charlm/charlm.fil"), {{"D", 24}, {"L", 3}, {"V", 40}, {"H", 2}}, {{"B", 3}, {"T", 10}, {"S", 10}}},
};
INSTANTIATE_TEST_SUITE_P(Programs, Agree, testing::ValuesIn(cases), [](auto &info) { return info.param.name; });

} // namespace
