// SPDX-License-Identifier: Apache-2.0
// Lines that say how a subset is executed: a program with them means what it means without, alone and beside all other facets; generated code agrees with
// the reference; and a capacity leaves out what it says. Programs of these tests, the examples and random ones.
#include "ir/contraction.h"
#include "passes/pipeline/pipeline.h"
#include "tests/programs/checks.h"
#include "tests/programs/compiled.h"
#include "tests/programs/examples.h"
#include "tests/programs/generator.h"
#include "tests/support/program.h"
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <set>

using namespace fil;
using namespace fil::programs;

namespace {
std::string planFor(const std::string &text, const std::string &clauses, const std::string &model = {}) {
  const size_t at = text.find("\nmodel ") + 7;
  return text + "\nplan executed for " + (model.empty() ? text.substr(at, text.find('(', at) - at) : model) + " { " + clauses + " }\n";
}

struct Choice { const char *name, *text, *line; Binding sizes; };
void PrintTo(const Choice &c, std::ostream *out) { *out << c.name; }
/// Attention over positions that each query chooses; `%` stands for what is done with them.
std::string attention(const std::string &params, const std::string &kept, const std::string &rest, const std::string &k = "5", const std::string &sizes = "H = 4, N = 6, C = 10") {
  return "dims B, T, S\ndims D = 8, " + sizes + "\nblock Att(x: [B,T,D], pos: int[T]) -> [B,T,D] {\n  param iq, ik: D -> N\n  " + params + "\n  cache i: [B,S,N] <- x @ ik\n  " + kept +
         "\n  let score = dot(x @ iq, i, over N)\n  select s* = topk(score where causal(T, S), " + k + ", over S)\n  " + rest +
         "\n}\nmodel M(x: [B,T,D], pos: int[T]) -> [B,T,D] {\n  let h = x\n  layers l in 0..2 { h += Att(layernorm(h, over D), pos) }\n  return h\n}\nloss l(y: [B,T,D], t: [B,T,D]) = mean((y - t)^2, over B, T, D)\n";
}
const std::string heads = attention("param q: D -> (H, N); param k: D -> N; param v: D -> C; param o: (H, C) -> D", "cache c: [B,S,N] <- x @ k\n  cache d: [B,S,C] <- x @ v",
                                    "let a = softmax(dot(x @ q, c[s*], over N) / sqrt(N), over s*)\n  return dot(a, d[s*], over s*) @ o");
const std::string wide = attention("param q: D -> (H, N); param k: D -> N; param v: D -> C; param o: (H, C) -> D", "cache c: [B,S,N] <- x @ k\n  cache d: [B,S,C] <- x @ v",
                                   "let a = softmax(dot(x @ q, c[s*], over N) / sqrt(N), over s*)\n  return dot(a, d[s*], over s*) @ o", "70");
const std::string latent = attention("param q: D -> (H, N); param k: D -> C; param kb: C -> (H, N); param vb: C -> (H, N); param o: (H, N) -> D", "cache c: [B,S,C] <- x @ k",
                                     "let a = softmax(dot(x @ q, c[s*] @ kb, over N), over s*)\n  return dot(a, c[s*] @ vb, over s*) @ o");
const std::string single = attention("param q, k, v: D -> N; param o: N -> D", "cache c: [B,S,N] <- x @ k\n  cache d: [B,S,N] <- x @ v",
                                     "let a = softmax(dot(x @ q, c[s*], over N), over s*) * dot(c[s*], d[s*], over N)\n  return dot(a, d[s*], over s*) @ o");
// Each head has keys of its own, for one query or two: vectors of members, longer than a register and no multiple of one.
const std::string vectors = attention("param q: D -> (H, G, N); param k: D -> (H, N); param v: D -> (H, C); param o: (H, G, C) -> D", "cache c: [B,S,H,N] <- x @ k\n  cache d: [B,S,H,C] <- x @ v",
                                      "let a = softmax(dot(x @ q, c[s*], over N) / sqrt(N), over s*)\n  return dot(a, d[s*], over s*) @ o", "40", "H = 2, N = 20, C = 70, G = 1");
const std::string vectorsOfTwo = attention("param q: D -> (H, G, N); param k: D -> (H, N); param v: D -> (H, C); param o: (H, G, C) -> D", "cache c: [B,S,H,N] <- x @ k\n  cache d: [B,S,H,C] <- x @ v",
                                           "let a = softmax(dot(x @ q, c[s*], over N) / sqrt(N), over s*)\n  return dot(a, d[s*], over s*) @ o", "12", "H = 2, N = 16, C = 9, G = 2");
// Each member has a vector of its own on both sides; one choice for each head beside one for all of them.
const std::string both = attention("param q, k, v: D -> N; param o: N -> D", "cache c: [B,S,N] <- x @ k\n  cache d: [B,S,N] <- x @ v",
                                   "let y = tanh(c[s*] * (x @ q))\n  return dot(softmax(dot(y, d[s*], over N), over s*), d[s*], over s*) @ o", "5", "N = 16");
const std::string byHead = attention("param q, r: D -> (H, N); param k: D -> N; param o: N -> D", "cache c: [B,S,N] <- x @ k",
                                     "let each = dot(x @ r, i, over N)\n  select e* = topk(each where causal(T, S), 4, over S)\n  select u* = topk(sum(each, over H) where causal(T, S), 4, over S)\n"
                                     "  let a = dot(softmax(dot(x @ q, c[u*], over N), over u*), c[u*], over u*) + dot(softmax(dot(x @ q, c[e*], over N), over e*), c[e*], over e*)\n"
                                     "  return sum(a, over H) @ o + dot(softmax(dot(x @ iq, c[s*], over N), over s*), c[s*], over s*) @ o", "5", "H = 2, N = 16");
std::string experts(const std::string &sizes, const std::string &k) {
  return "dims B\ndims " + sizes + "\nblock FFN(h: [B,D], W) -> [B,D] {\n  param gate, up: D -> W\n  param down: W -> D\n  return (silu(h @ gate) * (h @ up)) @ down\n}\n"
         "block MoE(h: [B,D]) -> [B,D] {\n  param router: D -> E\n  experts e in E: FFN(W = F)\n  let a = sigmoid(h @ router)\n  route e* = topk(a, " + k + ", over E)\n"
         "  return sum(normalize(a[e*], over e*) * e[e*](h), over e*)\n}\n"
         "model M(x: [B,D]) -> [B,D] {\n  let h = x\n  layers l in 0..2 { h += MoE(layernorm(h, over D)) }\n  return h\n}\nloss l(y: [B,D], t: [B,D]) = mean((y - t)^2, over B, D)\n";
}
const std::string family = experts("D = 8, E = 5, F = 12", "2"), narrow = experts("D = 3, E = 5, F = 2", "2");
const Choice choices[] = {{"heads", heads.c_str(), "s*: gather", {{"B", 2}, {"T", 9}}}, {"headsInBlocks", heads.c_str(), "s*: gather block=3", {{"B", 2}, {"T", 9}}},
                          {"wideInBlocks", wide.c_str(), "s*: gather block=32", {{"B", 1}, {"T", 90}}}, {"latent", latent.c_str(), "s*: gather block=16", {{"B", 2}, {"T", 9}}},
                          {"single", single.c_str(), "s*: gather block=16", {{"B", 2}, {"T", 9}}}, {"both", both.c_str(), "s*: gather", {{"B", 2}, {"T", 9}}}, {"byHead", byHead.c_str(), "s*: gather\n e*: gather\n u*: gather", {{"B", 2}, {"T", 9}}}, {"vectors", vectors.c_str(), "s*: gather", {{"B", 1}, {"T", 270}}}, {"vectorsOfTwo", vectorsOfTwo.c_str(), "s*: gather", {{"B", 2}, {"T", 90}}},
                          {"expertsGathered", family.c_str(), "e*: gather", {{"B", 19}}},
                          {"experts", family.c_str(), "e*: grouped capacity=none", {{"B", 19}}}, {"narrowExperts", narrow.c_str(), "e*: grouped", {{"B", 19}}}};

/// Output, loss and params after a step of descent by 1, from params that follow from their names.
std::map<std::string, std::vector<double>> meaningOf(const std::string &text, const Binding &sizes, const std::map<std::string, int64_t> &dims = {}, const std::string &model = {}, const std::string &backend = "reference") {
  CompiledProgram c(text, dims, "sgd", model);
  auto x = c.executable(c.copy(Stage::train_), backend == "reference" ? "f64" : "f32", backend);
  for (size_t i = 0; i < x->variables().size(); ++i) {
    const VariableInfo &info = x->variables()[i];
    if (info.kind != VariableInfo::Param && info.kind != VariableInfo::State) continue;
    auto v = numbers(x->get(i));
    std::mt19937_64 random(std::hash<std::string>()(info.name));
    std::normal_distribution<double> normal(0, 0.4);
    for (double &e : v) e = info.mask ? double(random() % 2) : normal(random);
    x->set(i, array(x->get(i), v));
  }
  TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
  const Entry &step = *x->find("step");
  auto inputs = maker.inputs(step, sizes);
  for (size_t i = 0; i < inputs.size(); ++i)
    if (step.inputs[i].name == "lr") inputs[i] = array(inputs[i], {1.0});
  std::map<std::string, std::vector<double>> all;
  const Entry &run = *x->find("run");
  const auto results = x->run(run, {inputs.begin(), inputs.begin() + long(run.inputs.size())});
  for (size_t i = 0; i < results.size(); ++i) all["run " + run.outputs[i].name] = numbers(results[i]);
  const auto after = x->run(step, inputs);
  for (size_t i = 0; i < after.size(); ++i) all["step " + step.outputs[i].name] = numbers(after[i]);
  for (size_t i = 0; i < x->variables().size(); ++i)
    if (x->variables()[i].kind == VariableInfo::Param) all[x->variables()[i].name] = numbers(x->get(i));
  return all;
}
/// The largest distance between what both say, and of what.
std::pair<double, std::string> apart(const std::map<std::string, std::vector<double>> &a, const std::map<std::string, std::vector<double>> &b) {
  std::pair<double, std::string> worst{a.size() == b.size() ? 0 : INFINITY, "their number"};
  for (auto &[name, v] : a)
    if (!b.contains(name)) worst = {INFINITY, name};
    else if (const double d = distance(v, b.at(name)); d > worst.first) worst = {d, name};
  return worst;
}
/// Products of the scheduled program through subsets: all, and those that the plan has executed in its way.
std::pair<int, int> products(const std::string &text, bool gather) {
  CompiledProgram c(text);
  auto module = c.copy(Stage::train_);
  int all = 0, ours = 0;
  mlir::PassManager pm(module->getContext());
  passes::precision(pm, {}), passes::schedule(pm, {});
  EXPECT_TRUE(mlir::succeeded(passes::run(pm, *module)));
  module->walk([&](ir::ContractOp p) {
    if (p.getSubsets().empty() || p->getParentOfType<ir::FuncOp>().getEntry() == "decode") return;
    ++all, ours += gather ? bool(ir::gathers(p)) : bool(p.getRoster());
  });
  return {all, ours};
}
} // namespace

class Choices : public testing::TestWithParam<Choice> {
protected:
  std::string with(const std::string &more = "") const { return planFor(GetParam().text, "sparsity { " + std::string(GetParam().line) + "\n" + more + " }"); }
  bool gather() const { return std::string(GetParam().line).find("gather") != std::string::npos; }
};
INSTANTIATE_TEST_SUITE_P(Of, Choices, testing::ValuesIn(choices), [](auto &i) { return i.param.name; });
TEST_P(Choices, MeanWhatTheProgramMeansWithoutTheirLine) {
  const auto [d, of] = apart(meaningOf(GetParam().text, GetParam().sizes), meaningOf(with(), GetParam().sizes));
  EXPECT_LT(d, 1e-11) << of;
}
TEST_P(Choices, AreExecutedAsTheLineSays) {
  const auto [all, ours] = products(with(), gather());
  EXPECT_GT(ours, 3);
  if (gather()) EXPECT_GE(2 * ours, all); // what adds to where members stand gathers nothing, but for vectors one by one
  else EXPECT_EQ(ours, all);
  EXPECT_EQ(products(GetParam().text, true).second, GetParam().sizes.count("T") ? ours : 0); // where each position chooses among all, it is done unasked
}
TEST_P(Choices, AgreeOnTheCpu) {
  setenv("FIL_TARGET_CACHES", "16K,64K,1M", 1); // vectors of members in several ranges
  for (const char *backend : {"cpu", "x86-64-v3", "cpu remat all"}) {
    const auto r = checkBackend(with(), GetParam().sizes, {}, backend);
    EXPECT_FALSE(r.failure) << backend << ": " << r.failure->detail;
  }
  unsetenv("FIL_TARGET_CACHES");
}

// ---- beside other facets ----

struct Beside { const char *name, *text, *lines, *other, *more; double allowed; }; ///< lines of subsets; lines of sparsity and clauses that the program has with and without them
void PrintTo(const Beside &b, std::ostream *out) { *out << b.name; }
class BesideOthers : public testing::TestWithParam<Beside> {};
INSTANTIATE_TEST_SUITE_P(Of, BesideOthers,
                         testing::Values(Beside{"gatherTopology", latent.c_str(), "s*: gather block=16", "{kb,o}: set density=0.5", "", 1e-11}, Beside{"gatherLora", latent.c_str(), "s*: gather block=16", "", "lora { **: r=2 }", 1e-11},
                                         Beside{"gatherLoraNever", latent.c_str(), "s*: gather", "", "lora { **: r=2 merge=never }", 1e-11}, Beside{"gatherFormat", latent.c_str(), "s*: gather block=16", "", "precision { default bf16 }", 0.1},
                                         Beside{"gatherEight", latent.c_str(), "s*: gather block=16", "", "precision { kb: fp8 e4m3 }", 0.1}, Beside{"groupedTopology", family.c_str(), "e*: grouped", "e[*].up: rigl density=0.5", "", 1e-11},
                                         Beside{"groupedGate", family.c_str(), "e*: grouped", "**: gate neurons keep=0.5 predictor=lowrank(2) granule=2", "", 1e-11},
                                         Beside{"groupedLora", family.c_str(), "e*: grouped", "", "lora { e[*].**: r=2 }", 1e-11}, Beside{"groupedLoraNever", family.c_str(), "e*: grouped", "", "lora { e[*].**: r=2 merge=never }", 1e-11},
                                         Beside{"vectorsLoraNever", vectors.c_str(), "s*: gather", "", "lora { **: r=2 merge=never }", 1e-11}, Beside{"vectorsFormat", vectors.c_str(), "s*: gather", "", "precision { default bf16 }", 0.1},
                                         Beside{"vectorsOfCaches", vectors.c_str(), "s*: gather", "", "precision { cache bf16 c=f16 }", 1e-11}, Beside{"vectorsOfCachesInEight", vectorsOfTwo.c_str(), "s*: gather", "", "precision { cache e4m3 }", 1e-11},
                                         Beside{"gatherQat", latent.c_str(), "s*: gather block=16", "", "precision { qat bits=4 acts=8 }", 1e-11}, Beside{"groupedQat", family.c_str(), "e*: grouped", "", "precision { qat bits=4 acts=8 }", 1e-11},
                                         Beside{"groupedFormat", family.c_str(), "e*: grouped", "", "precision { default bf16 }", 1e-11}, Beside{"groupedEight", family.c_str(), "e*: grouped", "", "precision { e[*].**: fp8 e4m3 }", 0.1}),
                         [](auto &i) { return i.param.name; });
TEST_P(BesideOthers, MeanAndComputeWhatTheyDoAlone) {
  const Beside &b = GetParam();
  const Binding sizes = std::string(b.lines).starts_with("s*") ? Binding{{"B", 2}, {"T", 9}} : Binding{{"B", 19}};
  const std::string without = planFor(b.text, (*b.other ? "sparsity { " + std::string(b.other) + " }\n" : "") + b.more), with = planFor(b.text, "sparsity { " + std::string(b.lines) + "\n" + b.other + " }\n" + b.more);
  const auto [d, of] = apart(meaningOf(without, sizes), meaningOf(with, sizes));
  EXPECT_LE(d, b.allowed) << of;
  for (const char *backend : {"cpu", "cpu remat all"}) {
    const auto r = checkBackend(with, sizes, {}, backend);
    EXPECT_FALSE(r.failure) << backend << ": " << r.failure->detail;
  }
}
TEST(DeepMoE, HasAllAtOnce) {
  const Example &e = examples[2];
  const std::string lines = "MLA.s*: gather block=16\n MoE.e*: grouped capacity=none\n";
  for (const char *more : {"}", "**: gate neurons keep=0.5 predictor=lowrank(2) granule=1 }", "{wd,kb}: rigl density=0.5 }\n lora { {qb,vb,wo}: r=2 }", "}\n precision { default bf16\n {kb,wg,wu}: fp8 e4m3 }"}) {
    const std::string text = planFor(textOf(e), "sparsity { " + lines + more, e.model);
    const auto r = checkBackend(text, e.sizes, e.dims, std::string(more).starts_with("**") ? "cpu remat all" : "cpu");
    EXPECT_FALSE(r.failure) << more << ": " << r.failure->detail;
  }
  const auto [d, of] = apart(meaningOf(textOf(e), e.sizes, e.dims, e.model), meaningOf(planFor(textOf(e), "sparsity { " + lines + "}", e.model), e.sizes, e.dims, e.model));
  EXPECT_LT(d, 1e-10) << of;
}
TEST(RandomWithLines, MeanTheSame) {
  int met = 0;
  for (uint64_t seed = 700; seed < 730; ++seed) {
    const Generated g = generate(seed);
    for (const char *line : {"**: gather block=16", "**: grouped"}) {
      const std::string text = planFor(g.text, std::string("sparsity { ") + line + " }");
      try {
        CompiledProgram c(text);
      } catch (const std::runtime_error &e) {
        if (std::string(e.what()).find("P0409") != std::string::npos) continue; // no subsets
      }
      ++met;
      const auto [d, of] = apart(meaningOf(g.text, g.sizes), meaningOf(text, g.sizes));
      EXPECT_LT(d, 1e-9) << of << " with " << line << ", seed " << seed << "\n" << g.text;
      const auto r = checkBackend(text, g.sizes, {}, "cpu");
      EXPECT_FALSE(r.failure) << r.failure->detail << " with " << line << ", seed " << seed << "\n" << g.text;
    }
  }
  EXPECT_GT(met, 10);
}

TEST(Vectors, AreCompiledForSixteenLanesOnAnyMachine) {
  Target t = findTarget("x86-64-v3");
  t.cpu = t.isa = "x86-64-v4", t.features.clear(), t.lanesF32 = 16, t.registers = 32;
  for (const std::string &text : {vectors, vectorsOfTwo}) {
    CompiledProgram c(planFor(text, "sparsity { s*: gather }\nprecision { cache bf16 }"));
    auto module = c.copy(Stage::train_);
    mlir::PassManager pm(c.context.get());
    passes::precision(pm, {0, "f32"});
    ASSERT_TRUE(mlir::succeeded(passes::run(pm, *module)));
    std::set<std::string> forms;
    for (const Kernel &k : cpuManifest(*module, t).kernels)
      for (const char *form : {"dots with vectors", "sums of vectors", "vectors added", "topk"})
        if (k.what.find(form) != std::string::npos) forms.insert(form);
    EXPECT_EQ(forms.size(), 4u);
  }
}

// ---- the highest ----

TEST(Highest, AreThoseOfTheLowestIndexAmongEquals) {
  std::mt19937_64 random(7);
  const double inf = std::numeric_limits<double>::infinity(), odd[] = {0.0, -0.0, inf, -inf, std::nan(""), 1e-40, -1e-40, 3e38, -3e38};
  for (int64_t most : {1, 5, 40})
    for (const char *backend : {"cpu", "x86-64-v3"})
      for (const char *format : {"f32", "f64"}) {
        CompiledProgram c(fmt::format("dims B, S\nmodel M(x: [B,S], w: [B,S]) -> [B,S] {{\n  select s* = topk(x, {}, over S)\n  return scatter(w[s*], over s*)\n}}\n", most));
        auto x = c.executable(c.copy(Stage::train_), format, backend);
        const Entry &run = *x->find("run");
        TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
        for (int64_t n : {1, 3, 8, 31, 33, 700}) {
          constexpr int64_t rows = 7; // of few values, of many, of odd ones, all the same, rising, all NaN, some of each
          auto inputs = maker.inputs(run, {{"B", rows}, {"S", n}});
          std::vector<double> score, ones(size_t(rows * n), 1), want(size_t(rows * n));
          for (int64_t row = 0; row < rows; ++row)
            for (int64_t i = 0; i < n; ++i) {
              const double few = double(random() % 5) - 2, many = double(float(int64_t(random() % 2000001) - 1000000) / 977), strange = odd[random() % std::size(odd)];
              score.push_back(row == 0 ? few : row == 1 ? many : row == 2 ? strange : row == 3 ? -1.5 : row == 4 ? double(i) : row == 5 ? std::nan("") : random() % 3 == 0 ? strange : random() % 2 ? few : many);
            }
          for (int64_t row = 0; row < rows; ++row) {
            std::vector<int64_t> order;
            for (int64_t i = 0; i < n; ++i)
              if (!std::isnan(score[size_t(row * n + i)])) order.push_back(i);
            std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return score[size_t(row * n + a)] > score[size_t(row * n + b)]; });
            for (size_t i = 0; i < std::min(order.size(), size_t(most)); ++i) want[size_t(row * n + order[i])] = 1;
          }
          for (size_t i = 0; i < 2; ++i) inputs[i] = array(inputs[i], run.inputs[i].name == "x" ? score : ones);
          EXPECT_EQ(numbers(x->run(run, inputs)[0]), want) << backend << " " << format << ", the " << most << " highest of " << n;
        }
      }
}

// ---- capacity ----

TEST(Capacity, LeavesTheFirstRowsOfEachMember) {
  const std::string text = "dims B, T\ndims E = 5\nmodel M(x: [B,T,E]) -> [B,T,E] {\n  param w: [E] = 1\n  route e* = topk(x, 2, over E)\n  return scatter(x[e*], over e*) * w\n}\nloss l(y: [B,T,E], t: [B,T,E]) = sum(y * t, over B, T, E)\n";
  for (auto [capacity, most] : {std::pair{"0.5", 5}, {"0.75", 8}, {"1", 10}, {"none", 24}}) { // of 24 rows, 48 points and 5 members
    CompiledProgram c(planFor(text, std::string("sparsity { e*: grouped capacity=") + capacity + " }"));
    for (const char *backend : {"reference", "cpu"}) {
      auto x = c.executable(c.copy(Stage::train_), "f64", backend);
      const Entry &run = *x->find("run");
      TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
      auto inputs = maker.inputs(run, {{"B", 4}, {"T", 6}});
      const auto in = numbers(inputs[0]);
      std::vector<double> want(in.size());
      std::vector<int> taken(5);
      for (size_t row = 0; row < 24; ++row) {
        std::vector<size_t> order{0, 1, 2, 3, 4};
        std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return in[row * 5 + a] > in[row * 5 + b]; });
        for (size_t k = 0; k < 2; ++k)
          if (taken[order[k]]++ < most) want[row * 5 + order[k]] = in[row * 5 + order[k]];
      }
      for (size_t i = 0; i < x->variables().size(); ++i)
        if (x->variables()[i].kind == VariableInfo::Param) x->set(i, array(x->get(i), std::vector<double>(5, 1.0)));
      EXPECT_EQ(numbers(x->run(run, inputs)[0]), want) << capacity << " " << backend;
    }
  }
}
TEST(Capacity, AgreesOnTheCpu) {
  for (const char *capacity : {"0.4", "0.9"})
    for (const char *backend : {"cpu", "cpu remat all"}) {
      const auto r = checkBackend(planFor(family, std::string("sparsity { e*: grouped capacity=") + capacity + " }"), {{"B", 19}}, {}, backend);
      EXPECT_FALSE(r.failure) << backend << ": " << r.failure->detail;
    }
  const Example &e = examples[2];
  const auto r = checkBackend(planFor(textOf(e), "sparsity { MoE.e*: grouped capacity=0.6 }", e.model), e.sizes, e.dims, "cpu");
  EXPECT_FALSE(r.failure) << r.failure->detail;
}
TEST(Capacity, ThatDropsNothingIsNone) {
  auto limits = [](const std::string &capacity) {
    CompiledProgram c(planFor(family, "sparsity { e*: grouped capacity=" + capacity + " }"));
    bool any = false;
    c.at(Stage::train_)->walk([&](ir::HighestOp) { any = true; });
    return any;
  };
  EXPECT_FALSE(limits("none") || limits("2.5"));
  EXPECT_TRUE(limits("2.4"));
  const auto [d, of] = apart(meaningOf(family, {{"B", 19}}), meaningOf(planFor(family, "sparsity { e*: grouped capacity=2.5 }"), {{"B", 19}}));
  EXPECT_LT(d, 1e-11) << of;
}
