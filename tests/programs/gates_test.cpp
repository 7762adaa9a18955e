// SPDX-License-Identifier: Apache-2.0
// Gates of neurons: one program beside its meaning and gradient written out, generated code beside the reference on the ten, the examples and random
// programs, and kernels that leave neurons out beside those that compute all.
#include "ir/ir.h"
#include "tests/programs/checks.h"
#include "tests/programs/compiled.h"
#include "tests/programs/examples.h"
#include "tests/programs/generator.h"
#include "tests/programs/ten.h"
#include "tests/support/program.h"
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>

using namespace fil;
using namespace fil::programs;

namespace {
std::string planFor(const std::string &text, const std::string &clauses, const std::string &model = {}) {
  const size_t at = text.find("\nmodel ") + 7;
  return text + "\nplan gated for " + (model.empty() ? text.substr(at, text.find('(', at) - at) : model) + " { " + clauses + " }\n";
}
const std::string gates = "sparsity { **: gate neurons keep=0.5 predictor=lowrank(2) granule=1 }";
/// What differs between a back end and the reference; "none" where the program has no neurons.
std::string apart(const std::string &text, const Binding &sizes, const std::map<std::string, int64_t> &dims, const std::string &backend = "cpu") {
  try {
    CompiledProgram c(text, dims);
  } catch (const std::runtime_error &e) {
    const std::string said = e.what();
    if (said.find("P0446") != std::string::npos || said.find("P0409") != std::string::npos) return "none";
  }
  const auto r = checkBackend(text, sizes, dims, backend);
  return r.failure ? r.failure->detail : "";
}
using Params = std::map<std::string, std::vector<double>>;

// h = tanh(x g + b) * (x u), y = h d: two maps make the neurons, four granules of two.
const std::string ffn = "dims B\ndims D = 6, F = 8, E = 3\nmodel M(x: [B,D]) -> [B,E] {\n  param g, u: D -> F; param b: [F] = 0; param d: F -> E\n  return (tanh(x @ g + b) * (x @ u)) @ d\n}\n"
                        "loss l(y: [B,E], t: [B,E]) = sum(y * t, over B, E)\n";
struct Ffn {
  int64_t B, D = 6, F = 8, E = 3, R = 2, G = 2, keep = 2;
  std::vector<double> x, t;
  std::vector<double> product(const std::vector<double> &a, const std::vector<double> &b, int64_t m, int64_t k, int64_t n) const {
    std::vector<double> c(size_t(m * n));
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j)
        for (int64_t s = 0; s < k; ++s) c[size_t(i * n + j)] += a[size_t(i * k + s)] * b[size_t(s * n + j)];
    return c;
  }
  std::vector<double> neurons(const std::vector<double> &g, const std::vector<double> &u, const std::vector<double> &b) const {
    std::vector<double> h(g.size());
    for (size_t i = 0; i < h.size(); ++i) h[i] = std::tanh(g[i] + b[i % size_t(F)]) * u[i];
    return h;
  }
  std::vector<double> h(const Params &p) const { return neurons(product(x, p.at("g"), B, D, F), product(x, p.at("u"), B, D, F), p.at("b")); }
  std::vector<double> scores(const Params &p) const {
    auto low = [&](const std::string &w) { return product(product(x, p.at(w + ".gate_A"), B, D, R), p.at(w + ".gate_B"), B, R, F); };
    const auto predicted = neurons(low("g"), low("u"), p.at("b"));
    std::vector<double> s(predicted.size() / size_t(G));
    for (size_t i = 0; i < predicted.size(); ++i) s[i / size_t(G)] += std::fabs(predicted[i]);
    return s;
  }
  std::vector<bool> chosen(const Params &p) const {
    const auto s = scores(p);
    const size_t n = size_t(F / G);
    std::vector<bool> in(s.size());
    for (size_t i = 0; i < s.size(); i += n) {
      std::vector<size_t> order(n);
      std::iota(order.begin(), order.end(), i);
      std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return s[a] > s[b]; });
      for (int64_t k = 0; k < keep; ++k) in[order[size_t(k)]] = true;
    }
    return in;
  }
  std::vector<double> y(const Params &p, const std::vector<bool> &in) const {
    auto kept = h(p);
    for (size_t i = 0; i < kept.size(); ++i)
      if (!in[i / size_t(G)]) kept[i] = 0;
    return product(kept, p.at("d"), B, F, E);
  }
};
} // namespace

TEST(Gate, ComputesTheGranulesThatItsPredictorExpectsMostOf) {
  CompiledProgram c(planFor(ffn, "sparsity { {g,u}: gate neurons keep=0.5 predictor=lowrank(2) granule=2 }"), {}, "sgd");
  auto x = c.executable(c.copy(Stage::train_));
  TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal(0, 0.7);
  Params p;
  for (auto &[name, i] : byName(*x)) {
    auto v = numbers(x->get(i));
    for (double &e : v) e = normal(random);
    x->set(i, array(x->get(i), v)), p[name] = v;
  }
  auto inputs = maker.inputs(*x->find("step"), {{"B", 5}});
  const Entry &step = *x->find("step");
  Ffn m{5};
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (step.inputs[i].name == "lr") inputs[i] = array(inputs[i], {1.0});
    if (step.inputs[i].name == "x") m.x = numbers(inputs[i]);
    if (step.inputs[i].name == "t") m.t = numbers(inputs[i]);
  }
  const auto in = m.chosen(p);
  EXPECT_EQ(std::count(in.begin(), in.end(), true), 10);
  auto run = x->run(*x->find("run"), {array(inputs[0], m.x)});
  EXPECT_LT(distance(numbers(run[0]), m.y(p, in)), 1e-12);
  x->run(step, inputs);
  // The loss with this choice, and the scores as far as their gradient goes: what a granule gives, chosen or not, over the mean score of its row.
  const auto h0 = m.h(p), s0 = m.scores(p);
  std::vector<double> worth(s0.size()), mean(5);
  for (size_t i = 0; i < h0.size(); ++i) {
    double slope = 0;
    for (int64_t e = 0; e < m.E; ++e) slope += m.t[i / size_t(m.F) * size_t(m.E) + size_t(e)] * p.at("d")[i % size_t(m.F) * size_t(m.E) + size_t(e)];
    worth[i / size_t(m.G)] += slope * h0[i];
  }
  for (size_t i = 0; i < s0.size(); ++i) mean[i / 4] += s0[i] / 4;
  auto surrogate = [&](const Params &at) {
    double loss = 0;
    const auto y = m.y(at, in), s = m.scores(at);
    for (size_t i = 0; i < y.size(); ++i) loss += y[i] * m.t[i];
    for (size_t i = 0; i < s.size(); ++i) loss += worth[i] * (s[i] - s0[i]) / mean[i / 4];
    return loss;
  };
  for (auto &[name, i] : byName(*x)) {
    if (x->variables()[i].kind != VariableInfo::Param) continue;
    const auto after = numbers(x->get(i));
    for (size_t k = 0; k < after.size(); ++k) {
      Params up = p, down = p;
      const double d = 1e-6;
      up[name][k] += d, down[name][k] -= d;
      EXPECT_NEAR(p[name][k] - after[k], (surrogate(up) - surrogate(down)) / (2 * d), 1e-6) << name << " " << k;
    }
  }
}

TEST(Gate, ThatKeepsAllIsNone) {
  auto functions = [](const CompiledProgram &c) {
    std::string text;
    llvm::raw_string_ostream out(text);
    for (auto f : c.at(Stage::train_).getOps<ir::FuncOp>()) f.print(out);
    return text;
  };
  EXPECT_EQ(functions(CompiledProgram(ffn)), functions(CompiledProgram(planFor(ffn, "sparsity { {g,u}: gate neurons keep=1 granule=2 }"))));
}

class TenWithGates : public testing::TestWithParam<Ten> {};
INSTANTIATE_TEST_SUITE_P(Small, TenWithGates, testing::ValuesIn(ten), [](auto &i) { return i.param.name; });
TEST_P(TenWithGates, Agree) {
  const std::string said = apart(planFor(textOf(GetParam()), gates), GetParam().sizes, GetParam().dims);
  EXPECT_TRUE(said.empty() || said == "none") << said;
}
class ExamplesWithGates : public testing::TestWithParam<Example> {};
INSTANTIATE_TEST_SUITE_P(Small, ExamplesWithGates, testing::ValuesIn(examples), [](auto &i) { return i.param.model; });
TEST_P(ExamplesWithGates, Agree) {
  const Example &e = GetParam();
  const bool has = std::string(e.model) != "ResNet50"; // its channels are convolved, not summed
  for (const char *more : {"", "\n lora { **: r=2 }", "\n precision { default bf16 }"}) EXPECT_EQ(apart(planFor(textOf(e), gates + more, e.model), e.sizes, e.dims), has ? "" : "none") << more;
}
TEST(RandomWithGates, Agree) {
  int gated = 0;
  for (uint64_t seed = 612; seed < 636; ++seed) {
    const Generated g = generate(seed);
    const std::string said = apart(planFor(g.text, gates), g.sizes, {});
    EXPECT_TRUE(said.empty() || said == "none") << said << "\nseed " << seed << "\n" << g.text;
    gated += said.empty();
  }
  EXPECT_GT(gated, 5);
}

// ---- kernels of few rows ----

struct Wide { const char *name, *clauses, *backend; };
void PrintTo(const Wide &w, std::ostream *out) { *out << w.name; }
class FewRows : public testing::TestWithParam<Wide> {};
INSTANTIATE_TEST_SUITE_P(Of, FewRows,
                         testing::Values(Wide{"granules", "sparsity { {w1,g,u}: gate neurons keep=0.3 granule=16 }", "cpu"}, Wide{"granulesAvx2", "sparsity { {w1,g,u}: gate neurons keep=0.3 granule=16 }", "x86-64-v3"},
                                         Wide{"wide", "sparsity { {w1,g,u}: gate neurons keep=0.4 granule=64 }", "cpu"}, Wide{"single", "sparsity { {w1,g,u}: gate neurons keep=0.2 granule=1 }", "cpu"},
                                         Wide{"singleAvx2", "sparsity { {w1,g,u}: gate neurons keep=0.2 granule=1 }", "x86-64-v3"}, Wide{"narrow", "sparsity { {w1,g,u}: gate neurons keep=0.3 granule=4 }", "cpu"},
                                         Wide{"masked", "sparsity { {w1,g,u}: gate neurons keep=0.3 granule=16\n {w1,g}: rigl density=0.5 granule=16x16 }", "cpu"},
                                         Wide{"bf16", "sparsity { {w1,g,u}: gate neurons keep=0.3 granule=16 }\n precision { default bf16 }", "cpu"},
                                         Wide{"lora", "sparsity { {w1,g,u}: gate neurons keep=0.3 granule=16 }\n lora { {w1,g}: r=3 merge=never }", "cpu"}),
                         [](auto &i) { return i.param.name; });
/// Each row is, to the bit, what it is among many, which kernels compute as a whole.
TEST_P(FewRows, AreThoseOfManyRows) {
  const std::string text = "dims B\ndims D = 96, F = 256, E = 80\nmodel M(x: [B,D]) -> [B,E] {\n  param w1: D -> D; param b1: [D] = 0; param g, u: D -> F; param d: F -> E\n  let h = relu(x @ w1 + b1)\n  return (tanh(h @ g) * (h @ u)) @ d\n}\n";
  const std::string sizes = GetParam().name == std::string("wide") ? std::string(text).replace(text.find("D = 96"), 6, "D = 128") : text;
  CompiledProgram c(planFor(sizes, GetParam().clauses));
  auto x = c.executable(c.copy(Stage::train_), "f32", GetParam().backend);
  std::mt19937_64 random(11);
  std::normal_distribution<double> normal(0, 0.2);
  for (auto &[name, i] : byName(*x)) {
    auto v = numbers(x->get(i));
    for (double &e : v) e = x->variables()[i].mask ? double(random() % 2) : normal(random);
    x->set(i, array(x->get(i), v));
  }
  const Entry &run = *x->find("run");
  auto of = [&](const std::vector<double> &v, int64_t rows) {
    std::vector<float> f(v.begin(), v.end());
    return numbers(x->run(run, {Array::of<float>(DType::F32, {rows, int64_t(v.size()) / rows}, f)})[0]);
  };
  constexpr int64_t many = 37;
  const size_t D = sizes == text ? 96 : 128;
  std::vector<double> in(size_t(many) * D);
  for (double &e : in) e = normal(random) * 5;
  const auto all = of(in, many);
  EXPECT_GT(std::count_if(all.begin(), all.end(), [](double v) { return v != 0; }), int64_t(all.size()) / 2);
  const size_t E = all.size() / size_t(many);
  for (int64_t rows : {1, 2, 3, 5})
    for (int64_t first = 0; first + rows <= many; first += 7) {
      const auto few = of({in.begin() + first * int64_t(D), in.begin() + (first + rows) * int64_t(D)}, rows);
      EXPECT_EQ(few, std::vector<double>(all.begin() + first * int64_t(E), all.begin() + (first + rows) * int64_t(E))) << rows << " from " << first;
    }
}
