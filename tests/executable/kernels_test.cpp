// SPDX-License-Identifier: Apache-2.0
// A kernel's key is what it computes: not names, not the order in which dims are written, not the number of layers, not sizes that are
// bound later. Each is compiled once, and nothing is compiled behind that.
#include "codegen/cpu/image.h"
#include "mlir/Pass/PassManager.h"
#include "passes/pipeline/pipeline.h"
#include "tests/executable/trace.h"
#include "tests/programs/compiled.h"
#include "tests/programs/examples.h"
#include "tests/programs/rewrite.h"
#include "tests/programs/values.h"
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <set>
#include <sstream>

using namespace fil;
using namespace fil::programs;

namespace {
Manifest compiled(const std::string &text, const std::map<std::string, int64_t> &dims, const std::string &model) {
  CompiledProgram c(text, dims, "sgd", model);
  auto module = c.copy(Stage::train_);
  mlir::PassManager pm(c.context.get());
  passes::precision(pm, {0, "f32"});
  if (mlir::failed(pm.run(*module))) throw std::runtime_error("precision fails");
  return cpuManifest(*module, findTarget("native"));
}
std::map<std::string, std::string> keysOf(const Manifest &m) {
  std::map<std::string, std::string> keys;
  for (const Kernel &k : m.kernels) keys[k.key] = k.what;
  return keys;
}
/// What only one of them has.
std::string apart(const Manifest &a, const Manifest &b) {
  auto x = keysOf(a), y = keysOf(b);
  std::string s;
  for (auto &[key, what] : x)
    if (!y.count(key)) s += "only in the first: " + what + "\n";
  for (auto &[key, what] : y)
    if (!x.count(key)) s += "only in the second: " + what + "\n";
  return s;
}
/// Losses of two steps on these inputs.
std::vector<double> losses(Executable &x, const std::vector<std::vector<Array>> &inputs) {
  std::vector<double> all;
  const Entry &step = *x.find("step");
  for (auto &in : inputs)
    for (double v : output(step, x.run(step, in), "loss")) all.push_back(v);
  return all;
}
Binding sizesFor(const Example &e, const Manifest &m) {
  Binding sizes = e.sizes;
  if (sizes.count("T")) sizes["S"] = sizes["T"];
  for (auto &[d, n] : m.bounds) sizes[d] = n;
  return sizes;
}
} // namespace

class Kernels : public testing::TestWithParam<Example> {};
INSTANTIATE_TEST_SUITE_P(All, Kernels, testing::ValuesIn(examples), [](auto &i) { return i.param.model; });

TEST_P(Kernels, AreTheSameUnderOtherNames) {
  const Example &e = GetParam();
  const std::string text = textOf(e), other = renamed(text);
  std::map<std::string, int64_t> dims;
  for (auto &[d, n] : e.dims) dims[renamedIn(text, d)] = n;
  Manifest a = compiled(text, e.dims, e.model), b = compiled(other, dims, renamedIn(text, e.model));
  ASSERT_NE(text, other);
  EXPECT_EQ(apart(a, b), "");
  const Binding sizes = sizesFor(e, a);
  auto x = loadExecutable(std::move(a)), y = loadExecutable(std::move(b));
  x->run(*x->find("init"), test::inputsAt(*x->find("init"), sizes, 0));
  size_t found = 0;
  for (size_t v = 0; v < y->variables().size(); ++v) // streams have other names: the same first values are set
    for (size_t w = 0; w < x->variables().size(); ++w)
      if (x->variables()[w].name == originalName(y->variables()[v].name)) y->set(v, x->get(w)), ++found;
  EXPECT_EQ(found, x->variables().size());
  std::vector<std::vector<Array>> inputs;
  for (int64_t s = 0; s < 2; ++s) inputs.push_back(test::inputsAt(*x->find("step"), sizes, s));
  EXPECT_EQ(losses(*x, inputs), losses(*y, inputs));
}

/// The order of what a caller hands over is what the program writes: heads of models and losses stay.
std::string permutedInside(const std::string &text, uint64_t seed) {
  std::istringstream before(text), after(permuted(text, seed));
  std::string all, old, line;
  while (std::getline(before, old) && std::getline(after, line)) all += (old.starts_with("model ") || old.starts_with("loss ") ? old : line) + "\n";
  return all;
}
TEST_P(Kernels, AreTheSameForDimsInAnotherOrder) {
  const Example &e = GetParam();
  const std::string text = textOf(e);
  int others = 0;
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    const std::string other = permutedInside(text, seed);
    if (other == text) continue;
    ++others;
    Manifest a = compiled(text, e.dims, e.model), b = compiled(other, e.dims, e.model);
    EXPECT_EQ(apart(a, b), "") << other;
    const Binding sizes = sizesFor(e, a);
    auto x = loadExecutable(std::move(a)), y = loadExecutable(std::move(b));
    std::vector<std::vector<Array>> inputs;
    for (int64_t s = 0; s < 2; ++s) inputs.push_back(test::inputsAt(*x->find("step"), sizes, s));
    for (Executable *program : {static_cast<Executable *>(x.get()), static_cast<Executable *>(y.get())})
      program->run(*program->find("init"), test::inputsAt(*program->find("init"), sizes, 0));
    EXPECT_EQ(losses(*x, inputs), losses(*y, inputs)) << other;
  }
  EXPECT_GE(others, std::string(e.model) == "Classifier" ? 0 : 1); // which has no dims but in the heads
}

TEST(Kernels, AreAsManyForFortyEightLayersAsForSix) {
  for (const Example &e : examples) {
    const std::string text = textOf(e);
    if (text.find("0..L ") == std::string::npos) continue;
    auto dims = e.dims;
    dims["L"] = 6;
    Manifest few = compiled(text, dims, e.model);
    dims["L"] = 48;
    Manifest many = compiled(text, dims, e.model);
    EXPECT_EQ(few.kernels.size(), many.kernels.size()) << e.file;
    EXPECT_EQ(keysOf(few).size(), keysOf(many).size()) << e.file;
    for (size_t p = 0; p < few.programs.size(); ++p) EXPECT_EQ(few.programs[p].steps.size(), many.programs[p].steps.size()) << e.file;
  }
}

TEST(Kernels, AreCompiledOnceAndNoneBehindThat) {
  const Example &e = *std::find_if(examples.begin(), examples.end(), [](const Example &e) { return std::string(e.model) == "CharLM"; });
  const int64_t before = kernelsCompiled();
  Manifest m = compiled(textOf(e), e.dims, e.model);
  const int64_t made = int64_t(keysOf(m).size());
  EXPECT_EQ(kernelsCompiled() - before, made);
  Binding sizes = sizesFor(e, m);
  auto x = loadExecutable(std::move(m));
  test::traceOf(*x, sizes); // steps of two batch sizes, a prompt, positions
  EXPECT_EQ(kernelsCompiled() - before, made);
}

TEST(Tiles, NeverChangeABit) { // whatever is tuned: any register tile, longer and shorter blocks of k
  const std::string text = "dims B, D = 100, F = 232, N = 9, G = 3\nmodel M(x: [B,D]) -> [B,D] {\n param t: [F,D] = normal(0.1)\n layers l in 0..2 {\n  param g, u: D -> F\n  param d: [D,F] = normal(0.1)\n"
                           "  x += 0.1 * dot(silu(x @ g) + (x @ u), d, over F)\n  param e: [N,D,G] = normal(0.1)\n  param f: [D,N,G] = normal(0.1)\n  x += 0.1 * sum(dot(dot(x, e, over D), f, over N), over G)\n"
                           "  x += 0.1 * dot(dot(x, t, over D), t, over F)\n }\n return x\n}\nloss l(y: [B,D], t: [B,D]) = mean((y - t)^2, over B, D)\n";
  CompiledProgram c(text, {}, "sgd", "M");
  for (const char *format : {"f32", "f64"}) {
    auto module = c.copy(Stage::train_);
    mlir::PassManager pm(c.context.get());
    passes::precision(pm, {0, format});
    passes::schedule(pm, {});
    ASSERT_TRUE(mlir::succeeded(pm.run(*module)));
    auto results = [&](const Target &target) {
      PackageText notes;
      PackageTimes times;
      auto x = loadExecutable(package(*module, target, {}, notes, times));
      Values values(3, {{"B", 77}});
      Point p;
      const Entry &step = *x->find("step");
      values.fill(p, *x, step);
      auto all = numbers(runAt(p, *x, "step", values)[0]);
      for (size_t i = 0; i < x->variables().size(); ++i)
        for (double v : numbers(x->get(i))) all.push_back(v);
      return std::pair(all, notes.launches);
    };
    Target target = findTarget("native");
    const auto [want, launches] = results(target);
    std::map<std::string, ContractionDescriptor> contractions;
    for (const auto &group : launches)
      for (const LaunchNote &n : group)
        if (n.contraction) contractions.emplace(n.contraction->sizesText(), *n.contraction);
    EXPECT_GE(contractions.size(), 5u);
    std::mt19937 random(7);
    for (int trial = 0; trial < 12; ++trial) {
      for (auto &[sizes, d] : contractions) {
        const auto all = candidates(target, d.element, d.sizes);
        const TileShape &shape = all[random() % all.size()].shape;
        target.tuned[sizes] = {shape.rows, shape.vectors, std::array{0.1, 0.5, 1.0, 2.0}[random() % 4]};
      }
      EXPECT_TRUE(results(target).first == want) << format << " trial " << trial;
    }
  }
}

TEST(Storages, BatchDimsStandOutsideAndPackedWeightsAreShared) {
  const Manifest m = compiled("dims B, D = 40, N = 64, G = 3\nmodel M(x: [B,D]) -> [B,D] {\n layers l in 0..2 {\n  param e: [N,D,G] = normal(0.1)\n  param f: [D,N,G] = normal(0.1)\n"
                              "  x += sum(dot(dot(x, e, over D), f, over N), over G)\n }\n return x\n}\nloss l(y: [B,D], t: [B,D]) = mean((y - t)^2, over B, D)\n", {}, "M");
  std::map<std::string, std::vector<std::string>> dims;
  std::map<std::string, int> derived;
  for (const Storage &s : m.storages) {
    if (s.kind == Storage::Variable) dims[s.symbol] = s.dims;
    else if (s.kind == Storage::Derived) ++derived[m.storages[size_t(s.from.at(0))].symbol];
  }
  EXPECT_EQ(dims["l[0..2].e"], (std::vector<std::string>{"l#0", "D", "N", "G"})); // G is a column of its product
  EXPECT_EQ(dims["l[0..2].f"], (std::vector<std::string>{"l#0", "G", "D", "N"})); // of an expert each
  EXPECT_EQ(derived, (std::map<std::string, int>{{"l[0..2].e", 1}, {"l[0..2].f", 1}})); // eval and run have one together
  for (const Program &p : m.programs) EXPECT_EQ(p.writes.empty(), p.entry.name != "step" && p.entry.name != "init") << p.entry.name;
}
