// SPDX-License-Identifier: Apache-2.0
// Maps that are stored as the weights that they have: the program without the line whose weights are 0 elsewhere, forward and in a step, alone and beside every other facet that acts;
// bit for bit in generated code, where sums have the same order. Random programs, the ten, and the examples.
#include "runtime/train/pattern.h"
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
#include <set>

using namespace fil;
using namespace fil::programs;

namespace {
std::string planFor(const std::string &text, const std::string &clauses, std::string model = {}) {
  const size_t at = text.find("\nmodel ") + 7;
  if (model.empty()) model = text.substr(at, text.find('(', at) - at);
  return text + "\nplan p for " + model + " { " + clauses + " }\n";
}

/// A map of the sparse program: where its values stand in the dense weight.
struct Sparse {
  std::string name;
  std::vector<int64_t> slot; ///< of each dense weight the number of its value, -1: none
};
std::vector<Sparse> sparseOf(const Executable &x) {
  std::vector<Sparse> all;
  for (const VariableInfo &v : x.variables()) {
    if (!v.thinned) continue;
    const size_t pattern = byName(x).at(patternOf(v)[0]);
    std::vector<double> count(size_t(*elementCount(v.shape)));
    std::iota(count.begin(), count.end(), 1.0);
    Sparse s{v.name, {}};
    for (double n : numbers(expanded(Array::of<double>(DType::F64, v.shape, count), x.get(pattern), v, x.variables()[pattern]))) s.slot.push_back(int64_t(n) - 1);
    all.push_back(s);
  }
  return all;
}

/// First values of `init`, then random ones for all but what says where something is; the dense program gets the same.
void fill(Executable &plain, Executable &sparse) {
  TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
  for (Executable *x : {&plain, &sparse}) x->run(*x->find("init"), maker.inputs(*x->find("init"), {}));
  std::set<std::string> fixed;
  for (const VariableInfo &v : sparse.variables()) {
    if (!v.thinned) continue;
    std::vector<Array> pattern;
    for (const std::string &name : patternOf(v)) fixed.insert(name), pattern.push_back(sparse.get(byName(sparse).at(name)));
    EXPECT_EQ(flawOf(pattern, v), "") << v.name; // what `init` chose
  }
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal(0, 0.3);
  const auto names = byName(plain);
  const auto maps = sparseOf(sparse);
  for (auto &[name, i] : byName(sparse)) {
    if (name.ends_with("#low") && std::any_of(maps.begin(), maps.end(), [&](const Sparse &s) { return s.name + "#low" == name; })) {
      for (Executable *x : {&plain, &sparse}) set(*x, name, std::vector<double>(get(*x, name).size()));
      continue;
    }
    if (fixed.contains(name) || name.ends_with("#level") || name.ends_with("#steady")) continue;
    const VariableInfo &info = sparse.variables()[i];
    auto v = numbers(sparse.get(i));
    if (info.mask) continue;
    if (info.kind == VariableInfo::Param)
      for (double &x : v) x = normal(random);
    sparse.set(i, array(sparse.get(i), v));
    if (names.contains(name) && !info.thinned) plain.set(names.at(name), array(plain.get(names.at(name)), v));
  }
  for (const Sparse &s : maps) {
    const auto values = get(sparse, s.name);
    std::vector<double> w;
    for (int64_t slot : s.slot) w.push_back(slot < 0 ? 0 : values[size_t(slot)]);
    set(plain, s.name, w);
  }
}

std::vector<Array> inputsFor(const Entry &e, const Binding &sizes) {
  TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
  auto in = maker.inputs(e, sizes);
  for (size_t i = 0; i < in.size(); ++i)
    if (e.inputs[i].name == "lr") in[i] = array(in[i], {1.0});
  return in;
}

/// What differs from the program without the line: outputs, and variables after a step. `bound` 0: any bit.
std::string apart(const std::string &text, const Binding &sizes, const std::string &line, const std::string &more, double bound, const std::map<std::string, int64_t> &dims = {}, const std::string &model = {},
                  const std::string &format = "f64", const std::string &backend = "reference") {
  CompiledProgram without(more.empty() ? text : planFor(text, more, model), dims, "sgd", model), with(planFor(text, (line.empty() ? "" : "sparsity { " + line + " }; ") + more, model), dims, "sgd", model);
  auto plain = without.executable(without.copy(Stage::train_), format, backend), sparse = with.executable(with.copy(Stage::train_), format, backend);
  fill(*plain, *sparse);
  for (const char *entry : {"run", "eval", "step"}) {
    const Entry *a = plain->find(entry), *b = sparse->find(entry);
    if (!a) continue;
    const auto in = inputsFor(*a, sizes);
    auto x = plain->run(*a, in), y = sparse->run(*b, in);
    for (size_t i = 0; i < x.size(); ++i)
      if (a->outputs[i].name != "grad_norm")
        if (double d = distance(numbers(x[i]), numbers(y[i])); d > bound) return fmt::format("`{}` of {}: {}", a->outputs[i].name, entry, d);
  }
  const auto maps = sparseOf(*sparse);
  for (auto &[name, i] : byName(*plain)) { // after a step of plain descent with lr 1, a param has lost its gradient
    if (plain->variables()[i].kind == VariableInfo::Optimizer || !byName(*sparse).contains(name) || name.ends_with(".qat_gain")) continue; // gains are learned in steps that go by the number of weights
    auto after = numbers(plain->get(i)), got = get(*sparse, name);
    for (const Sparse &s : maps)
      if (s.name == name || s.name + "#low" == name) {
        std::vector<double> there(got.size());
        for (size_t k = 0; k < s.slot.size(); ++k)
          if (s.slot[k] >= 0) there[size_t(s.slot[k])] = after[k];
        after = there;
      }
    if (double d = distance(after, got); d > bound) return fmt::format("`{}` after a step: {}", name, d);
  }
  return maps.empty() ? "no map" : "";
}
const bool all = std::getenv("FIL_TEST_LONG"); ///< else half of the random programs
/// Forms that fit any map, but tables of open size, and the last one odd ones.
const char *forms[] = {"blocks(1x1) density=0.5", "blocks(1x1) density=0.2", "nm(1, 2)"};
std::string on(const std::string &program, const std::string &form) { return (program == "Fraud" ? "{win,w2,out}: " : program == "three_tables" ? "{win,mid,out}: " : "**: ") + form; }
} // namespace

class RandomWithPatterns : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Seeds, RandomWithPatterns, testing::Range(0, 6));
TEST_P(RandomWithPatterns, IsTheProgramOfWeightsWithZeros) {
  int checked = 0;
  for (uint64_t seed = uint64_t(GetParam()) * 12; seed < uint64_t(GetParam()) * 12 + (all ? 12 : 6); ++seed) {
    Generated g = generate(seed);
    std::string said;
    try {
      said = apart(g.text, g.sizes, on("", forms[seed % 3]), "", 1e-9);
    } catch (const std::runtime_error &e) {
      said = e.what();
      if (said.find("P0409") != std::string::npos || said.find("P0442") != std::string::npos) continue; // no map in it, or an odd one
    }
    EXPECT_TRUE(said == "" || said == "no map") << said << "\nseed " << seed << "\n" << g.text;
    checked += said == "";
  }
  EXPECT_GT(checked, 0);
}

class TenWithPatterns : public testing::TestWithParam<Ten> {};
INSTANTIATE_TEST_SUITE_P(Small, TenWithPatterns, testing::ValuesIn(ten), [](auto &i) { return i.param.name; });
TEST_P(TenWithPatterns, IsTheProgramOfWeightsWithZeros) { EXPECT_EQ(apart(textOf(GetParam()), GetParam().sizes, on(GetParam().name, forms[0]), "", 1e-9, GetParam().dims), ""); }

class ExamplesWithPatterns : public testing::TestWithParam<Example> {};
INSTANTIATE_TEST_SUITE_P(Small, ExamplesWithPatterns, testing::ValuesIn(examples), [](auto &i) { return i.param.model; });
TEST_P(ExamplesWithPatterns, AreTheProgramsOfWeightsWithZeros) {
  const Example &e = GetParam();
  EXPECT_EQ(apart(textOf(e), e.sizes, on(e.model, forms[0]), "", 1e-9, e.dims, e.model), "");
  for (const char *backend : {"cpu", "x86-64-v3"}) {
    const auto said = checkBackend(planFor(textOf(e), "sparsity { " + on(e.model, forms[1]) + " }", e.model), e.sizes, e.dims, backend);
    EXPECT_TRUE(!said.failure) << backend << ": " << said.failure->detail;
  }
}
// A density that leaves out nothing is no line at all.
TEST_P(ExamplesWithPatterns, AreTheDenseOnesWhereNothingIsLeftOut) {
  const Example &e = GetParam();
  auto functions = [&](const std::string &text) {
    CompiledProgram c(text, e.dims, "adamw", e.model);
    std::string all;
    llvm::raw_string_ostream out(all);
    for (auto f : c.at(Stage::train_).getOps<ir::FuncOp>()) f.print(out);
    return all;
  };
  EXPECT_EQ(functions(textOf(e)), functions(planFor(textOf(e), "sparsity { " + on(e.model, "blocks(1x1) density=1") + " }", e.model)));
}

// Of every form, in generated code: the reference, and the program of weights with zeros bit for bit.
class Patterns : public testing::TestWithParam<const char *> {};
INSTANTIATE_TEST_SUITE_P(Forms, Patterns, testing::Values("nm(2, 4)", "nm(1, 8)", "nm(7, 8)", "nm(2, 3)", "blocks(16x16) density=0.3", "blocks(4x16) density=0.5", "blocks(3x8) density=0.6", "blocks(16x1) density=0.4", "blocks(4x4) density=0.9"), [](auto &i) {
  std::string s = i.param;
  std::erase_if(s, [](char c) { return !std::isalnum(c); });
  return s;
});
TEST_P(Patterns, AreTheProgramOfWeightsWithZeros) {
  const Example &e = examples[1];
  const std::map<std::string, int64_t> dims{{"V", 16}, {"D", 96}, {"L", 2}, {"H", 2}};
  const std::string line = std::string("{q,k,v,o,gate,up,down}: ") + GetParam();
  if (const auto said = checkBackend(planFor(textOf(e), "sparsity { " + line + " }", e.model), {{"B", 2}, {"T", 11}}, {{"V", 16}, {"D", 48}, {"L", 1}, {"H", 1}}, "cpu"); said.failure) ADD_FAILURE() << said.failure->detail;
  for (auto &[backend, sizes] : {std::pair{"cpu", Binding{{"B", 2}, {"T", 12}}}, {"cpu", Binding{{"B", 1}, {"T", 1}}}, {"x86-64-v3", Binding{{"B", 2}, {"T", 12}}}})
    EXPECT_EQ(apart(textOf(e), sizes, line, "", sizes.at("T") == 1 ? 1e-5 : 0, dims, e.model, "f32", backend), "") << backend;
  EXPECT_EQ(apart(textOf(e), {{"B", 2}, {"T", 3}}, line, "", 1e-9, dims, e.model), "");
}

// Beside every other facet that acts: what the table of pairs says is the program of weights with zeros with that facet.
TEST(PatternsCompose, WithEveryFacetThatActs) {
  const Example &lm = examples[1];
  const std::map<std::string, int64_t> dims{{"V", 16}, {"D", 32}, {"L", 2}, {"H", 2}};
  struct Way { const char *more; double bound; };
  int turn = 0;
  for (const char *form : {"nm(2, 4)", "blocks(16x16) density=0.5"})
    for (Way w : {Way{"lora { {q,up}: r=2 alpha=4 }", 1e-5}, Way{"lora { down: r=2 variant=dora }", 1e-5}, Way{"precision { default bf16 }", 0}, Way{"precision { {gate,up}: fp8 e4m3 tile(1x16, 16x16) dgrad=e5m2; down: fp8 }", 0},
                  Way{"precision { **: fp8 e4m3; adapt every=10 }", 0}, Way{"precision { master split; moments bf16 rounding=nearest }", 0}, Way{"partition { remat FeedForward }", 0}}) {
      if ((++turn % 2 == 0) == (form[0] == 'n') && !all) continue; // each in one form at least
      const std::string line = std::string("{q,o,gate,up,down}: ") + form;
      std::string said;
      try {
        said = apart(textOf(lm), {{"B", 2}, {"T", 12}}, line, w.more, w.bound, dims, lm.model, "f32", "cpu");
      } catch (const std::runtime_error &e) { said = e.what(); }
      EXPECT_EQ(said, "") << form << " with " << w.more;
    }
  for (const char *form : {"nm(2, 4)", "blocks(16x16) density=0.5"}) // scales are of what is not 0, summed in another order
    for (const char *more : {"precision { {gate,up}: qat bits=4; down: qat bits=8 acts=8 }", "precision { {gate,up}: qat bits=8 per=tensor }; lora { up: r=2 }"})
      EXPECT_EQ(apart(textOf(lm), {{"B", 2}, {"T", 3}}, std::string("{q,o,gate,up,down}: ") + form, more, 1e-9, dims, lm.model), "") << form << " with " << more;
  // Gates choose by predictors of their own; their granules are blocks, or multiples.
  for (const char *form : {"nm(2, 4)", "blocks(4x4) density=0.5"}) {
    const std::string lines = std::string("sparsity { {gate,up}: gate neurons keep=0.5 granule=4; {gate,up,down}: ") + form + " }";
    for (const char *backend : {"cpu", "x86-64-v3"}) {
      const auto r = checkBackend(planFor(textOf(lm), lines, lm.model), {{"B", 2}, {"T", 5}}, dims, backend);
      EXPECT_TRUE(!r.failure) << form << " " << backend << ": " << r.failure->detail;
    }
  }
  // Members of families and subsets: each expert has its own pattern.
  const Example &moe = examples[2];
  for (const char *form : {"nm(1, 2)", "blocks(2x1) density=0.5"})
    for (const char *lines : {"e*: grouped capacity=none; s*: gather block=8;", "e*: grouped capacity=1.25;"}) {
      const std::string plan = std::string("sparsity { ") + lines + " e[*].wd: " + form + " }";
      std::string said = "refused";
      try {
        const auto r = checkBackend(planFor(textOf(moe), plan, moe.model), moe.sizes, {{"V", 7}, {"D", 6}, {"L", 3}, {"H", 2}, {"N", 2}, {"R", 2}, {"Vh", 3}, {"Cq", 4}, {"Ckv", 5}, {"I", 2}, {"J", 4}, {"E", 5}, {"F", 4}, {"Fd", 4}}, "cpu");
        said = r.failure ? r.failure->detail : "";
      } catch (const std::runtime_error &e) { said = e.what(); }
      EXPECT_EQ(said, "") << plan;
    }
}

// Tiles of scales that are no panels: of each element its own scale, in masked weights too.
TEST(PatternsCompose, WithScalesOfAnyTile) {
  const std::string text = "dims B\ndims D = 96, F = 192\nmodel M(x: [B,D]) -> [B,F] { param w: D -> F; return x @ w }\nloss l(y: [B,F], t: [B,F]) = sum(y * t, over B, F)\n";
  for (const char *sparse : {"prune density=0.5 granule=16x16 every=10", "blocks(16x16) density=0.5"})
    for (const char *tile : {"8x8", "24x24", "16x16", "7x5"})
      for (const char *backend : {"cpu", "x86-64-v3"}) {
        const auto r = checkBackend(planFor(text, std::string("sparsity { w: ") + sparse + " }; precision { w: fp8 e4m3 tile(1x16, " + tile + ") }"), {{"B", 7}}, {}, backend);
        EXPECT_TRUE(!r.failure) << sparse << " " << tile << " " << backend << ": " << r.failure->detail;
      }
}

// What stands beside a map in a sum, or is read beyond its ends, is none of its granules.
TEST(PatternsCompose, WithConcatAndWindows) {
  for (const char *sparse : {"blocks(16x16) density=0.5", "blocks(4x32) density=0.5", "nm(2, 4)", "rigl granule=16x16 density=0.5"})
    for (const char *body : {"let a = concat(w, v); return mean(relu(dot(x, a, over D)), over F+G)", "let a = window(w, F by kf:5, pad=same); return mean(relu(dot(x, a, over D)), over F, kf)"})
      for (const char *backend : {"cpu", "x86-64-v3"}) {
        const std::string text = std::string("dims B\ndims D = 64, F = 128, G = 96\nmodel M(x: [B,D]) -> [B] { param w: D -> F; param v: D -> G; ") + body + (std::string(body).find("v)") == std::string::npos ? " + mean(x @ v, over G)" : "") + " }\nloss l(y: [B], t: [B]) = sum(y * t, over B)\n";
        const auto r = checkBackend(planFor(text, std::string("sparsity { {w,v}: ") + sparse + " }"), {{"B", 5}}, {}, backend);
        EXPECT_TRUE(!r.failure) << sparse << " " << body << " " << backend << ": " << r.failure->detail;
      }
}

// With merge=masked what is there of the sum of weight and adapter is multiplied.
TEST(PatternsCompose, WithTheSumOfWeightAndAdapter) {
  const Example &e = examples[1];
  const std::map<std::string, int64_t> dims{{"V", 16}, {"D", 16}, {"L", 2}, {"H", 2}};
  for (const char *form : {"nm(1, 4)", "blocks(4x2) density=0.5"}) {
    CompiledProgram without(textOf(e), dims, "sgd", e.model), with(planFor(textOf(e), std::string("lora { {up,o}: r=2 alpha=4 merge=masked }; sparsity { {up,o}: ") + form + " }", e.model), dims, "sgd", e.model);
    auto plain = without.executable(without.copy(Stage::train_)), sparse = with.executable(with.copy(Stage::train_));
    fill(*plain, *sparse);
    const auto maps = sparseOf(*sparse);
    ASSERT_EQ(maps.size(), 4u);
    for (const Sparse &s : maps) {
      const auto v = get(*sparse, s.name), a = get(*sparse, s.name + ".lora_A"), b = get(*sparse, s.name + ".lora_B");
      std::vector<double> w(s.slot.size());
      const size_t right = b.size() / 2;
      for (size_t i = 0; i < w.size(); ++i)
        if (s.slot[i] >= 0) w[i] = v[size_t(s.slot[i])] + 2 * (a[i / right * 2] * b[i % right] + a[i / right * 2 + 1] * b[right + i % right]);
      set(*plain, s.name, w);
    }
    const auto before = get(*sparse, maps[0].name);
    for (const char *entry : {"run", "eval", "step"}) {
      const auto in = inputsFor(*plain->find(entry), e.sizes);
      EXPECT_LT(distance(numbers(plain->run(*plain->find(entry), in)[0]), numbers(sparse->run(*sparse->find(entry), in)[0])), 1e-9) << form << " " << entry;
    }
    EXPECT_EQ(get(*sparse, maps[0].name), before); // frozen
  }
}

// Dense weights become the largest of them, and these weights again.
TEST(Compressed, KeepsTheLargest) {
  VariableInfo map;
  map.name = "w", map.thinned = VariableInfo::Thinned{0, 4, 1};
  VariableInfo pattern;
  map.shape = {2, 2, 3}, pattern.shape = {2, 3}; // 8 by 3
  std::vector<double> w{1, -5, 0, 2, 5, 0, -3, 0, 0, 3, 5, 0, /**/ 9, 1, NAN, 8, 1, 7, 7, 1, 6, 6, 1, 5};
  const auto made = compressed(Array::of<double>(DType::F64, {8, 3}, w), map, pattern);
  EXPECT_EQ(flawOf({made[1]}, map), "");
  EXPECT_EQ(numbers(made[1]), (std::vector<double>{0b1100, 0b0011, 0b0011, /**/ 0b0011, 0b0011, 0b0011})); // of equals the first
  const auto back = numbers(expanded(made[0], made[1], map, pattern));
  for (size_t i = 0; i < w.size(); ++i) {
    const bool there = int64_t(numbers(made[1])[i / 12 * 3 + i % 3]) >> (i % 12 / 3) & 1;
    EXPECT_TRUE(back[i] == (there ? w[i] : 0) || (there && std::isnan(w[i]) && std::isnan(back[i]))) << i;
  }
  map.thinned = VariableInfo::Thinned{0, 0, 2};
  map.shape = {1, 2, 4}, pattern.shape = {2, 2}; // 4 by 4, blocks of 2 by 2, one of two for each pair of columns
  const std::vector<double> x{1, 1, 0, 0, 1, 1, 0, 3, /**/ -2, 0, 1, 1, 0, -3, -1, 1};
  const auto blocks = compressed(Array::of<double>(DType::F64, {4, 4}, x), map, pattern);
  EXPECT_EQ(flawOf({blocks[1], blocks[2]}, map), "");
  EXPECT_EQ(numbers(blocks[0]), (std::vector<double>{-2, 0, 1, 1, 0, -3, -1, 1}));
  EXPECT_EQ(numbers(blocks[1]), (std::vector<double>{-1, -1, 0, 0}));
  EXPECT_EQ(numbers(blocks[2]), (std::vector<double>{1, 1}));
  EXPECT_NE(flawOf({blocks[1], Array::of<int32_t>(DType::I32, {1, 2}, {1, 0})}, map), "");
  EXPECT_NE(flawOf({Array::of<int32_t>(DType::I32, {2, 2}, {0, 0, 0, 0}), blocks[2]}, map), "");
}
