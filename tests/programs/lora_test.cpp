// SPDX-License-Identifier: Apache-2.0
// Adapters on every map of a program, against the program without them whose weights are W + scale * A·B: the same results, and gradients
// that the chain rule makes of its gradients. Random programs, the ten, and the examples; by the reference in float64.
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
/// How the maps are adapted, and the factor of A·B that it means.
struct Way {
  const char *name, *settings;
  double scale;
  bool dora = false;
};
void PrintTo(const Way &w, std::ostream *out) { *out << w.name; }
const Way plainWay{"plain", "r=2 alpha=4", 2}, ways[] = {{"rs", "r=2 alpha=3 variant=rs merge=never", 3 / std::sqrt(2.0)}, {"dora", "r=2 variant=dora", 1, true}, {"always", "r=3 init=zero merge=always", 1}};

std::string planFor(const std::string &text, const Way &way) {
  const size_t at = text.find("\nmodel ") + 7;
  return text + "\nplan adapted for " + text.substr(at, text.find('(', at) - at) + " { lora { **: " + std::string(way.settings) + " } }\n";
}


/// One of the maps, with its turn: W is [families, left, right] flat, A [families, left, rank], B [families, rank, right].
struct Map {
  std::string name;
  size_t families = 1, left = 1, rank = 1, right = 1;
};
std::vector<Map> mapsOf(const Executable &x) {
  std::vector<Map> all;
  auto names = byName(x);
  for (auto &[name, i] : names) {
    if (!name.ends_with(".lora_A")) continue;
    const VariableInfo &a = x.variables()[i], &b = x.variables()[names.at(name.substr(0, name.size() - 1) + "B")];
    Map m{name.substr(0, name.size() - 7)};
    const std::string rank = a.dims.back();
    size_t d = 0;
    for (; b.dims[d] != rank; ++d) m.families *= size_t(b.shape[d]);
    m.rank = size_t(b.shape[d]);
    for (size_t k = d; k + 1 < a.dims.size(); ++k) m.left *= size_t(a.shape[k]);
    for (++d; d < b.dims.size(); ++d) m.right *= size_t(b.shape[d]);
    all.push_back(m);
  }
  return all;
}

class Pair {
public:
  std::unique_ptr<Executable> plain, adapted;
  Way way;
  std::vector<Map> maps;
  std::map<std::string, std::vector<double>> start; ///< of the adapted program

  /// Params are random. With `zero` B and m are 0.
  Pair(const CompiledProgram &without, const CompiledProgram &with, const Way &way, const std::string &format = "f64", const std::string &backend = "reference", bool zero = false)
      : plain(without.executable(without.copy(Stage::train_), format, backend)), adapted(with.executable(with.copy(Stage::train_), format, backend)), way(way), maps(mapsOf(*adapted)) {
    std::mt19937_64 random(7);
    std::normal_distribution<double> normal(0, 0.3);
    for (auto &[name, i] : byName(*adapted)) {
      auto v = numbers(adapted->get(i));
      const VariableInfo &info = adapted->variables()[i];
      if (info.kind == VariableInfo::Param)
        for (double &x : v) x = zero && (name.ends_with(".lora_B") || name.ends_with(".lora_m")) ? 0 : normal(random);
      else if (info.kind == VariableInfo::State)
        for (double &x : v) x = 0.1 + std::fabs(normal(random));
      adapted->set(i, array(adapted->get(i), v));
      start[name] = v;
    }
    auto names = byName(*plain);
    for (auto &[name, i] : names)
      if (start.contains(name)) plain->set(i, array(plain->get(i), start.at(name)));
    if (zero) return;
    for (const Map &m : maps) plain->set(names.at(m.name), array(plain->get(names.at(m.name)), merged(m)));
  }
  /// W + scale * A·B
  std::vector<double> sum(const Map &m) const {
    std::vector<double> w = start.at(m.name);
    const auto &a = start.at(m.name + ".lora_A"), &b = start.at(m.name + ".lora_B");
    each(m, [&](size_t f, size_t l, size_t k, size_t r) { w[(f * m.left + l) * m.right + r] += way.scale * a[(f * m.left + l) * m.rank + k] * b[(f * m.rank + k) * m.right + r]; });
    return w;
  }
  /// For each column of each family |W| / |sum|, and without dora 1.
  std::vector<double> norms(const Map &m) const {
    std::vector<double> n(m.families * m.right, 1), w2(n.size()), v2(n.size());
    if (!way.dora) return n;
    const auto &w = start.at(m.name), v = sum(m);
    for (size_t i = 0; i < w.size(); ++i) {
      const size_t at = i / (m.left * m.right) * m.right + i % m.right;
      w2[at] += w[i] * w[i], v2[at] += v[i] * v[i];
    }
    for (size_t i = 0; i < n.size(); ++i) n[i] = std::sqrt(w2[i] / v2[i]);
    return n;
  }
  double factor(const Map &m, const std::vector<double> &norms, size_t at) const { return way.dora ? norms[at] * (1 + start.at(m.name + ".lora_m")[at]) : 1; }
  std::vector<double> merged(const Map &m) const {
    std::vector<double> v = sum(m), n = norms(m);
    for (size_t i = 0; i < v.size(); ++i) v[i] *= factor(m, n, i / (m.left * m.right) * m.right + i % m.right);
    return v;
  }
  template <class F> static void each(const Map &m, F f) {
    for (size_t n = 0; n < m.families; ++n)
      for (size_t l = 0; l < m.left; ++l)
        for (size_t k = 0; k < m.rank; ++k)
          for (size_t r = 0; r < m.right; ++r) f(n, l, k, r);
  }
};

/// What differs beyond rounding; empty where nothing does.
std::string apart(const std::string &text, const Binding &sizes, const Way &way, const std::map<std::string, int64_t> &dims = {}, const std::string &model = {}) {
  CompiledProgram without(text, dims, "sgd", model), with(planFor(text, way), dims, "sgd", model);
  Pair p(without, with, way);
  TestProgram inputs("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_); // makes inputs
  auto run = [&](const char *entry) -> std::string {
    const Entry *a = p.plain->find(entry), *b = p.adapted->find(entry);
    if (!a) return "";
    auto in = inputs.inputs(*a, sizes);
    for (size_t i = 0; i < in.size(); ++i)
      if (a->inputs[i].name == "lr") in[i] = array(in[i], {1.0});
    auto x = p.plain->run(*a, in), y = p.adapted->run(*b, in);
    for (size_t i = 0; i < x.size(); ++i)
      if (a->outputs[i].name != "grad_norm")
        if (double d = distance(numbers(x[i]), numbers(y[i])); d > 1e-9) return fmt::format("`{}` of {}: {}", a->outputs[i].name, entry, d);
    return "";
  };
  for (const char *entry : {"run", "eval", "step"})
    if (std::string said = run(entry); !said.empty()) return said;
  // After a step of plain descent with lr 1, a param has lost its gradient.
  auto plain = byName(*p.plain), adapted = byName(*p.adapted);
  for (auto &[name, i] : adapted) {
    const VariableInfo &info = p.adapted->variables()[i];
    if (info.kind == VariableInfo::Param && !info.adapter && numbers(p.adapted->get(i)) != p.start.at(name)) return "`" + name + "` is frozen and has changed";
    if (info.kind == VariableInfo::Optimizer && name.find(".lora_") == std::string::npos) return "the optimizer keeps `" + name + "`";
  }
  for (const Map &m : p.maps) {
    const auto before = p.merged(m), after = numbers(p.plain->get(plain.at(m.name)));
    const auto &a = p.start.at(m.name + ".lora_A"), &b = p.start.at(m.name + ".lora_B");
    const auto v = p.sum(m), norms = p.norms(m);
    std::vector<double> ga(a.size()), gb(b.size()), gm(norms.size());
    for (size_t i = 0; i < v.size(); ++i) {
      const size_t at = i / (m.left * m.right) * m.right + i % m.right;
      gm[at] += (before[i] - after[i]) * v[i] * norms[at];
    }
    Pair::each(m, [&](size_t f, size_t l, size_t k, size_t r) {
      const size_t w = (f * m.left + l) * m.right + r;
      const double g = way.scale * p.factor(m, norms, f * m.right + r) * (before[w] - after[w]);
      ga[(f * m.left + l) * m.rank + k] += g * b[(f * m.rank + k) * m.right + r], gb[(f * m.rank + k) * m.right + r] += g * a[(f * m.left + l) * m.rank + k];
    });
    std::vector<std::tuple<const char *, const std::vector<double> *, const std::vector<double> *>> parts{{".lora_A", &a, &ga}, {".lora_B", &b, &gb}};
    if (way.dora) parts.push_back({".lora_m", &p.start.at(m.name + ".lora_m"), &gm});
    for (auto [part, start, expected] : parts) {
      auto moved = numbers(p.adapted->get(adapted.at(m.name + part)));
      for (size_t i = 0; i < moved.size(); ++i) moved[i] = (*start)[i] - moved[i];
      if (double d = distance(*expected, moved); d > 1e-8) return fmt::format("gradient of `{}{}`: {}", m.name, part, d);
    }
  }
  return p.maps.empty() ? "no map" : "";
}
} // namespace

class RandomWithAdapters : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Seeds, RandomWithAdapters, testing::Range(0, 10));
TEST_P(RandomWithAdapters, IsTheProgramOfMergedWeights) {
  int checked = 0;
  for (uint64_t seed = uint64_t(GetParam()) * 12; seed < uint64_t(GetParam()) * 12 + 12; ++seed) {
    Generated g = generate(seed);
    std::string said;
    try {
      said = apart(g.text, g.sizes, seed % 4 ? ways[seed % 4 - 1] : plainWay);
    } catch (const std::runtime_error &e) {
      said = e.what();
      if (said.find("P0409") != std::string::npos) continue; // no map in it
    }
    EXPECT_EQ(said, "") << "seed " << seed << "\n" << g.text;
    ++checked;
  }
  EXPECT_GT(checked, 3);
}

class TenWithAdapters : public testing::TestWithParam<Ten> {};
INSTANTIATE_TEST_SUITE_P(Small, TenWithAdapters, testing::ValuesIn(ten), [](auto &i) { return i.param.name; });
TEST_P(TenWithAdapters, IsTheProgramOfMergedWeights) { EXPECT_EQ(apart(textOf(GetParam()), GetParam().sizes, plainWay, GetParam().dims), ""); }

class ExamplesInEachWay : public testing::TestWithParam<std::tuple<Example, Way>> {};
INSTANTIATE_TEST_SUITE_P(Small, ExamplesInEachWay, testing::Combine(testing::ValuesIn(examples), testing::ValuesIn(ways)), [](auto &i) { return std::string(std::get<0>(i.param).model) + "_" + std::get<1>(i.param).name; });
TEST_P(ExamplesInEachWay, AreTheProgramsOfMergedWeights) {
  auto &[e, way] = GetParam();
  EXPECT_EQ(apart(textOf(e), e.sizes, way, e.dims, e.model), "");
}
// Adapters that add nothing change no bit in generated code.
TEST_P(ExamplesInEachWay, AreTheBaseWhereTheProductIsZero) {
  auto &[e, way] = GetParam();
  CompiledProgram without(textOf(e), e.dims, "sgd", e.model), with(planFor(textOf(e), way), e.dims, "sgd", e.model);
  Pair p(without, with, way, "f32", "cpu", true);
  TestProgram inputs("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
  for (const char *entry : {"run", "eval"}) {
    auto in = inputs.inputs(*p.plain->find(entry), e.sizes);
    const auto x = numbers(p.plain->run(*p.plain->find(entry), in)[0]), y = numbers(p.adapted->run(*p.adapted->find(entry), in)[0]);
    // A sum over several dims runs in the order in which its left operand lies; what stood in the product's own kernel has a place once two products read it.
    if (e.model == std::string("ResNet50")) EXPECT_LT(distance(x, y), 1e-5) << entry;
    else EXPECT_EQ(x, y) << entry;
  }
}

class ExamplesWithSeveral : public testing::TestWithParam<Example> {};
INSTANTIATE_TEST_SUITE_P(Small, ExamplesWithSeveral, testing::ValuesIn(examples), [](auto &i) { return i.param.model; });
TEST_P(ExamplesWithSeveral, AreTheProgramOfTheOneThatAllRowsName) {
  const Example &e = GetParam();
  const Way several{"several", "r=2 alpha=4", 2}, alone{"alone", "r=2 alpha=4 merge=never", 2};
  std::string text = planFor(textOf(e), several);
  text.replace(text.find("lora { "), 7, "lora { adapters 3; ");
  CompiledProgram one(planFor(textOf(e), alone), e.dims, "sgd", e.model), three(text, e.dims, "sgd", e.model);
  for (auto [format, backend] : {std::pair{"f64", "reference"}, std::pair{"f32", "cpu"}}) {
    auto single = one.executable(one.copy(Stage::train_), format, backend), many = three.executable(three.copy(Stage::train_), format, backend);
    std::mt19937_64 random(11);
    std::normal_distribution<double> normal(0, 0.3);
    constexpr size_t chosen = 1;
    auto names = byName(*single);
    for (auto &[name, i] : byName(*many)) {
      const VariableInfo &info = many->variables()[i];
      if (info.kind == VariableInfo::Optimizer) continue;
      auto v = numbers(many->get(i));
      for (double &x : v) x = info.kind == VariableInfo::State ? 0.1 + std::fabs(normal(random)) : normal(random);
      many->set(i, array(many->get(i), v));
      v = numbers(many->get(i)); // as rounded
      const size_t each = v.size() / (info.adapterSlots ? 3 : 1);
      EXPECT_EQ(info.adapterSlots, info.adapter != 0) << name;
      single->set(names.at(name), array(single->get(names.at(name)), std::vector<double>(v.begin() + ptrdiff_t(info.adapterSlots ? chosen * each : 0), v.begin() + ptrdiff_t((info.adapterSlots ? chosen * each : 0) + each))));
    }
    TestProgram inputs("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
    const Entry &a = *single->find("run"), &b = *many->find("run");
    auto in = inputs.inputs(a, e.sizes), with = in;
    ASSERT_EQ(b.inputs.back().name, "adapter");
    Array like;
    like.dtype = DType::I32, like.shape = {e.sizes.at("B")};
    with.push_back(array(like, std::vector<double>(size_t(like.shape[0]), double(chosen))));
    EXPECT_LT(distance(numbers(single->run(a, in)[0]), numbers(many->run(b, with)[0])), format == std::string("f64") ? 1e-12 : 1e-5) << backend;
  }
}

class ExamplesWithAdapters : public testing::TestWithParam<Example> {};
INSTANTIATE_TEST_SUITE_P(Small, ExamplesWithAdapters, testing::ValuesIn(examples), [](auto &i) { return i.param.model; });
TEST_P(ExamplesWithAdapters, AreTheProgramsOfMergedWeights) { EXPECT_EQ(apart(textOf(GetParam()), GetParam().sizes, plainWay, GetParam().dims, GetParam().model), ""); }
