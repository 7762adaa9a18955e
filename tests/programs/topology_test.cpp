// SPDX-License-Identifier: Apache-2.0
// Masks on every map of a program: the program without them whose weights are 0 where the mask says so, and gradients that are. What `edit` does to
// masks, weights and moments, beside the rules as they are written. Random programs, the ten, and the examples.
#include "ir/ir.h"
#include "tests/programs/checks.h"
#include "tests/programs/compiled.h"
#include "tests/programs/examples.h"
#include "tests/programs/generator.h"
#include "tests/programs/ten.h"
#include "tests/support/program.h"
#include <cmath>
#include <gtest/gtest.h>
#include <numbers>
#include <numeric>

using namespace fil;
using namespace fil::programs;

namespace {
struct Way { const char *name, *settings; };
void PrintTo(const Way &w, std::ostream *out) { *out << w.name; }
const Way ways[] = {{"single", "rigl density=0.5 every=1 alpha=0.5 until=100% dist=uniform"}, {"channel", "set density=0.4 every=1 alpha=0.5 until=100% granule=channel dist=uniform"}, {"prune", "prune density=0.3 every=1 until=100% dist=uniform"}};

std::string planFor(const std::string &text, const std::string &settings, const std::string &sites = "**") {
  const size_t at = text.find("\nmodel ") + 7;
  return text + "\nplan sparse for " + text.substr(at, text.find('(', at) - at) + " { sparsity { " + sites + ": " + settings + " } }\n";
}

std::vector<std::string> maskedOf(const Executable &x) {
  std::vector<std::string> all;
  for (const VariableInfo &v : x.variables())
    if (v.mask) all.push_back(v.name.substr(0, v.name.size() - 5));
  return all;
}

/// For each element of a weight the number of its granule. Axes of the mask are those of the weight, in blocks; a mask that lacks some has them whole.
std::vector<size_t> granulesOf(const Executable &x, const std::string &weight) {
  const VariableInfo &w = x.variables()[byName(x).at(weight)], &m = x.variables()[byName(x).at(weight + ".mask")];
  std::vector<int64_t> lengths, strides(w.shape.size(), 0);
  size_t at = m.shape.size();
  int64_t stride = 1;
  for (size_t d = w.shape.size(); d-- > 0;) { // families and the right side are in both, the left side perhaps not
    const bool there = at > 0 && (m.dims[at - 1] == w.dims[d] || m.dims[at - 1].starts_with(w.dims[d] + "/"));
    lengths.insert(lengths.begin(), there ? w.shape[d] / m.shape[at - 1] : 1);
    if (there) strides[d] = stride, stride *= m.shape[--at];
  }
  EXPECT_EQ(at, 0u) << weight;
  std::vector<size_t> all(size_t(std::accumulate(w.shape.begin(), w.shape.end(), int64_t(1), std::multiplies<>())));
  std::vector<int64_t> index(w.shape.size(), 0);
  for (size_t &g : all) {
    int64_t place = 0;
    for (size_t d = 0; d < index.size(); ++d) place += index[d] / lengths[d] * strides[d];
    g = size_t(place);
    for (size_t d = index.size(); d-- > 0;) {
      if (++index[d] < w.shape[d]) break;
      index[d] = 0;
    }
  }
  return all;
}

/// The same random values in both, weights 0 off the masks in the plain one alone.
void fill(Executable &plain, Executable &sparse, bool ones) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal(0, 0.3);
  auto names = byName(plain);
  for (auto &[name, i] : byName(sparse)) {
    const VariableInfo &info = sparse.variables()[i];
    auto v = numbers(sparse.get(i));
    for (double &x : v) x = info.mask ? double(ones || random() % 2) : info.kind != VariableInfo::Param ? 0.1 + std::fabs(normal(random)) : normal(random);
    sparse.set(i, array(sparse.get(i), v));
    if (names.contains(name)) plain.set(names.at(name), array(plain.get(names.at(name)), v));
  }
  for (const std::string &w : maskedOf(sparse)) {
    auto v = get(sparse, w);
    const auto m = get(sparse, w + ".mask");
    const auto granules = granulesOf(sparse, w);
    for (size_t k = 0; k < v.size(); ++k)
      if (m[granules[k]] == 0) v[k] = 0;
    set(plain, w, v);
  }
}

std::vector<Array> inputsFor(const Entry &e, const Binding &sizes, double progress = 0) {
  TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
  auto in = maker.inputs(e, sizes);
  for (size_t i = 0; i < in.size(); ++i) {
    if (e.inputs[i].name == "lr") in[i] = array(in[i], {1.0});
    if (e.inputs[i].name == "progress") in[i] = array(in[i], {progress});
  }
  return in;
}

/// What differs from the program of weights that are 0 off the masks.
std::string apart(const std::string &text, const Binding &sizes, const Way &way, const std::map<std::string, int64_t> &dims = {}, const std::string &model = {}) {
  CompiledProgram without(text, dims, "sgd", model), with(planFor(text, way.settings), dims, "sgd", model);
  auto plain = without.executable(without.copy(Stage::train_)), sparse = with.executable(with.copy(Stage::train_));
  fill(*plain, *sparse, false);
  std::map<std::string, std::vector<double>> start;
  for (auto &[name, i] : byName(*sparse)) start[name] = numbers(sparse->get(i));
  for (const char *entry : {"run", "eval", "step"}) {
    const Entry *a = plain->find(entry), *b = sparse->find(entry);
    if (!a) continue;
    const auto in = inputsFor(*a, sizes);
    auto x = plain->run(*a, in), y = sparse->run(*b, in);
    for (size_t i = 0; i < x.size(); ++i)
      if (a->outputs[i].name != "grad_norm")
        if (double d = distance(numbers(x[i]), numbers(y[i])); d > 1e-9) return fmt::format("`{}` of {}: {}", a->outputs[i].name, entry, d);
  }
  for (auto &[name, i] : byName(*plain)) { // after a step of plain descent with lr 1, a param has lost its gradient
    if (plain->variables()[i].kind == VariableInfo::Optimizer) continue;
    auto after = numbers(plain->get(i)), masked = get(*sparse, name);
    if (start.contains(name + ".mask")) {
      const auto &m = start.at(name + ".mask"), &w = start.at(name);
      const auto granules = granulesOf(*sparse, name);
      for (size_t k = 0; k < after.size(); ++k) after[k] = m[granules[k]] == 0 ? w[k] : after[k];
      if (get(*sparse, name + ".mask") != m) return "a step changes `" + name + ".mask`";
    }
    if (double d = distance(after, masked); d > 1e-9) return fmt::format("`{}` after a step: {}", name, d);
  }
  return maskedOf(*sparse).empty() ? "no map" : "";
}

/// Which of n scores are the `count` highest; ties to the lowest place.
std::vector<bool> highest(const std::vector<double> &scores, int64_t count) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  std::vector<bool> in(scores.size());
  for (int64_t i = 0; i < count; ++i) in[order[size_t(i)]] = true;
  return in;
}
} // namespace

const bool all = std::getenv("FIL_TEST_LONG"); ///< else half of the random programs, and each example in one way

class RandomWithMasks : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Seeds, RandomWithMasks, testing::Range(0, 10));
TEST_P(RandomWithMasks, IsTheProgramOfMaskedWeights) {
  int checked = 0;
  for (uint64_t seed = uint64_t(GetParam()) * 12; seed < uint64_t(GetParam()) * 12 + (all ? 12 : 6); ++seed) {
    Generated g = generate(seed);
    std::string said;
    try {
      said = apart(g.text, g.sizes, ways[seed % 3]);
    } catch (const std::runtime_error &e) {
      said = e.what();
      if (said.find("P0409") != std::string::npos) continue; // no map in it
    }
    EXPECT_TRUE(said == "" || said == "no map") << said << "\nseed " << seed << "\n" << g.text;
    checked += said == "";
  }
  EXPECT_GT(checked, all ? 3 : 1);
}

class TenWithMasks : public testing::TestWithParam<Ten> {};
INSTANTIATE_TEST_SUITE_P(Small, TenWithMasks, testing::ValuesIn(ten), [](auto &i) { return i.param.name; });
TEST_P(TenWithMasks, IsTheProgramOfMaskedWeights) { EXPECT_EQ(apart(textOf(GetParam()), GetParam().sizes, ways[0], GetParam().dims), ""); }

std::vector<std::tuple<Example, Way>> combined() {
  std::vector<std::tuple<Example, Way>> some;
  for (size_t e = 0; e < examples.size(); ++e)
    for (size_t w = 0; w < std::size(ways); ++w)
      if (all || e % std::size(ways) == w) some.push_back({examples[e], ways[w]});
  return some;
}
class ExamplesWithMasks : public testing::TestWithParam<std::tuple<Example, Way>> {};
INSTANTIATE_TEST_SUITE_P(Small, ExamplesWithMasks, testing::ValuesIn(combined()), [](auto &i) { return std::string(std::get<0>(i.param).model) + "_" + std::get<1>(i.param).name; });
TEST_P(ExamplesWithMasks, AreTheProgramsOfMaskedWeights) {
  auto &[e, way] = GetParam();
  EXPECT_EQ(apart(textOf(e), e.sizes, way, e.dims, e.model), "");
}
// A mask that leaves out nothing changes no bit in generated code, nor does a density of 1.
TEST_P(ExamplesWithMasks, AreTheDenseOnesWhereNothingIsLeftOut) {
  auto &[e, way] = GetParam();
  const std::string text = textOf(e);
  CompiledProgram without(text, e.dims, "adamw", e.model), with(planFor(text, way.settings), e.dims, "adamw", e.model), dense(planFor(text, "rigl density=1"), e.dims, "adamw", e.model);
  auto make = [](const CompiledProgram &c) { return c.executable(c.copy(Stage::train_), "f32", "cpu"); };
  auto plain = make(without), ones = make(with);
  fill(*plain, *ones, true);
  for (const char *entry : {"run", "eval", "step"}) {
    const auto in = inputsFor(*plain->find(entry), e.sizes);
    auto x = plain->run(*plain->find(entry), in), y = ones->run(*ones->find(entry), in);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(numbers(x[i]), numbers(y[i])) << entry;
  }
  for (auto &[name, i] : byName(*plain)) EXPECT_EQ(numbers(plain->get(i)), get(*ones, name)) << name;
  auto functions = [](const CompiledProgram &c) { // all but the site table
    std::string text;
    llvm::raw_string_ostream out(text);
    for (auto f : c.at(Stage::train_).getOps<ir::FuncOp>()) f.print(out);
    return text;
  };
  EXPECT_EQ(functions(without), functions(dense));
}

/// A sum that is longer than what caches hold of it.
TEST(LongSums, OfGranulesAreThoseOfZeros) {
  const std::string text = "dims B, P = 2688, K = 32\nmodel Net(x: [B,P]) -> [B,K] { param w: P -> K; return x @ w }\nloss mse(y: [B,K], t: [B,K]) = mean((y - t)^2, over B, K)\n";
  CompiledProgram without(text);
  for (auto [backend, granule] : {std::pair{"cpu", "16x16"}, std::pair{"cpu", "192x32"}, std::pair{"x86-64-v3", "16x16"}, std::pair{"x86-64-v3", "84x16"}}) { // of up to 64 steps, and more
    CompiledProgram with(planFor(text, std::string("rigl density=0.3 granule=") + granule));
    auto plain = without.executable(without.copy(Stage::train_), "f32", backend), sparse = with.executable(with.copy(Stage::train_), "f32", backend);
    fill(*plain, *sparse, false);
    for (int64_t rows : {1, 5, 40})
      for (const char *entry : {"run", "eval"}) {
        const auto in = inputsFor(*plain->find(entry), {{"B", rows}});
        EXPECT_EQ(numbers(plain->run(*plain->find(entry), in)[0]), numbers(sparse->run(*sparse->find(entry), in)[0])) << backend << " " << entry << " " << rows;
      }
  }
}

/// With adapters the mask is on the base, and the adapter's product beside it; with merge=masked it is on their sum. The order of the clauses means nothing.
class ExamplesWithMasksAndAdapters : public testing::TestWithParam<Example> {};
INSTANTIATE_TEST_SUITE_P(Small, ExamplesWithMasksAndAdapters, testing::ValuesIn(examples), [](auto &i) { return i.param.model; });
TEST_P(ExamplesWithMasksAndAdapters, AreTheProgramsOfMaskedWeights) {
  const Example &e = GetParam();
  const std::string text = textOf(e), sparsity = "sparsity { **: rigl density=0.5 dist=uniform }", head = "\nplan both for " + std::string(e.model) + " { ";
  CompiledProgram without(text, e.dims, "sgd", e.model);
  for (const char *merge : {"auto", "never", "masked"}) {
    const std::string lora = std::string("lora { **: r=2 alpha=4 merge=") + merge + " }";
    CompiledProgram with(text + head + sparsity + "; " + lora + " }\n", e.dims, "sgd", e.model), turned(text + head + lora + "; " + sparsity + " }\n", e.dims, "sgd", e.model);
    auto plain = without.executable(without.copy(Stage::train_)), sparse = with.executable(with.copy(Stage::train_)), other = turned.executable(turned.copy(Stage::train_));
    fill(*plain, *sparse, false);
    for (size_t i = 0; i < sparse->variables().size(); ++i) other->set(byName(*other).at(sparse->variables()[i].name), sparse->get(i));
    for (const std::string &w : maskedOf(*sparse)) {
      const auto a = get(*sparse, w + ".lora_A"), b = get(*sparse, w + ".lora_B"), mask = get(*sparse, w + ".mask");
      const auto granules = granulesOf(*sparse, w);
      auto v = get(*sparse, w);
      const size_t rank = 2, families = [&] { // axes of A before its left side
        size_t n = 1, at = 0;
        for (size_t d = 0; (at = w.find("[*]", at)) != std::string::npos; ++d, ++at) n *= size_t(sparse->variables()[byName(*sparse).at(w)].shape[d]);
        return n;
      }();
      const size_t left = a.size() / rank / families, right = b.size() / rank / families;
      for (size_t f = 0; f < families; ++f)
        for (size_t l = 0; l < left; ++l)
          for (size_t r = 0; r < right; ++r) {
            const size_t at = (f * left + l) * right + r;
            double product = 0;
            for (size_t k = 0; k < rank; ++k) product += 2 * a[(f * left + l) * rank + k] * b[(f * rank + k) * right + r];
            const bool there = mask[granules[at]] != 0;
            v[at] = merge == std::string("masked") ? (there ? v[at] + product : 0) : (there ? v[at] : 0) + product;
          }
      set(*plain, w, v);
    }
    const auto frozen = get(*sparse, maskedOf(*sparse)[0]), mask = get(*sparse, maskedOf(*sparse)[0] + ".mask");
    for (const char *entry : {"run", "eval", "step"}) {
      const auto in = inputsFor(*plain->find(entry), e.sizes);
      auto x = plain->run(*plain->find(entry), in), y = sparse->run(*sparse->find(entry), in), z = other->run(*other->find(entry), in);
      for (size_t i = 0; i < x.size(); ++i) {
        EXPECT_EQ(numbers(y[i]), numbers(z[i])) << merge << " " << entry;
        if (plain->find(entry)->outputs[i].name != "grad_norm") EXPECT_LT(distance(numbers(x[i]), numbers(y[i])), 1e-9) << merge << " " << entry;
      }
    }
    EXPECT_EQ(sparse->find("edit"), nullptr); // a frozen map's mask stands still
    EXPECT_EQ(get(*sparse, maskedOf(*sparse)[0]), frozen);
    EXPECT_EQ(get(*sparse, maskedOf(*sparse)[0] + ".mask"), mask);
  }
}

/// Products by granules: of the reference, of the program of masked weights bit for bit, and of the dense one where nothing is left out.
class Granules : public testing::TestWithParam<const char *> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Granules, testing::Values("16x16", "4x16", "16x32", "1x16", "16x1", "channel"), [](auto &i) { return std::string(i.param); });
TEST_P(Granules, AreLeftOutOfProducts) {
  const Example &e = examples[1];
  const std::map<std::string, int64_t> dims{{"V", 16}, {"D", 64}, {"L", 2}, {"H", 2}};
  const std::string plan = planFor(textOf(e), std::string("rigl density=0.3 dist=uniform granule=") + GetParam());
  CompiledProgram without(textOf(e), dims, "sgd", e.model), with(plan, dims, "sgd", e.model);
  for (const char *backend : {"cpu", "x86-64-v3"}) {
    const auto said = checkBackend(plan, {{"B", 2}, {"T", 11}}, dims, backend);
    EXPECT_TRUE(!said.failure) << backend << ": " << said.failure->detail;
    auto plain = without.executable(without.copy(Stage::train_), "f32", backend), sparse = with.executable(with.copy(Stage::train_), "f32", backend);
    for (Binding sizes : {Binding{{"B", 2}, {"T", 12}}, Binding{{"B", 1}, {"T", 1}}}) {
      // Of few rows a product has another order where the weight is masked as a whole, and so is not packed once.
      if (sizes.at("T") == 1 && !std::string(GetParam()).ends_with("x16") && !std::string(GetParam()).ends_with("x32")) continue;
      for (bool ones : {false, true}) {
        fill(*plain, *sparse, ones);
        for (const char *entry : {"run", "eval", "step"}) {
          const auto in = inputsFor(*plain->find(entry), sizes);
          auto x = plain->run(*plain->find(entry), in), y = sparse->run(*sparse->find(entry), in);
          for (size_t i = 0; i < x.size(); ++i)
            if (plain->find(entry)->outputs[i].name != "grad_norm" || ones) EXPECT_EQ(numbers(x[i]), numbers(y[i])) << backend << " " << entry;
        }
        for (auto &[name, i] : byName(*plain)) {
          auto want = numbers(plain->get(i)), got = get(*sparse, name);
          const std::string of = name.substr(0, name.find('#')); // moments are masked as their weights are
          const auto granules = byName(*sparse).contains(of + ".mask") ? granulesOf(*sparse, of) : std::vector<size_t>();
          const auto mask = granules.empty() ? std::vector<double>() : get(*sparse, of + ".mask");
          for (size_t k = 0; k < granules.size(); ++k)
            if (mask[granules[k]] == 0) want[k] = got[k] = 0;
          EXPECT_EQ(want, got) << name << " after a step, " << backend;
        }
      }
    }
  }
}

/// The whole of a mask's life in generated code and the reference: first values, edits by the written rule.
TEST_P(ExamplesWithMasks, AreEditedAsTheRuleSays) {
  auto &[e, way] = GetParam();
  const std::string method = std::string(way.settings).substr(0, std::string(way.settings).find(' '));
  CompiledProgram with(planFor(textOf(e), way.settings), e.dims, "adamw", e.model), without(textOf(e), e.dims, "sgd", e.model);
  const double alpha = 0.5, progress = 0.5, density = method == "rigl" ? 0.5 : method == "set" ? 0.4 : 0.3;
  for (auto [format, backend] : {std::pair{"f64", "reference"}, std::pair{"f64", "cpu"}}) {
    auto x = with.executable(with.copy(Stage::train_), format, backend), plain = without.executable(without.copy(Stage::train_), format, backend);
    x->run(*x->find("init"), inputsFor(*x->find("init"), e.sizes));
    std::map<std::string, std::vector<double>> first;
    for (const std::string &w : maskedOf(*x)) {
      first[w] = get(*x, w + ".mask");
      const auto granules = granulesOf(*x, w);
      const auto v = get(*x, w);
      for (size_t k = 0; k < v.size(); ++k) ASSERT_TRUE(first[w][granules[k]] != 0 || v[k] == 0) << w;
    }
    // A step fills the moments; the gradient of all weights is that of the plain program at the masked ones.
    const auto in = inputsFor(*x->find("step"), e.sizes);
    x->run(*x->find("step"), in);
    std::map<std::string, std::vector<double>> before;
    for (auto &[name, i] : byName(*x)) before[name] = numbers(x->get(i));
    for (auto &[name, i] : byName(*plain))
      if (plain->variables()[i].kind != VariableInfo::Optimizer) plain->set(i, array(plain->get(i), before.at(name)));
    const auto descent = inputsFor(*plain->find("step"), e.sizes);
    plain->run(*plain->find("step"), descent);
    x->run(*x->find("edit"), inputsFor(*x->find("edit"), e.sizes, progress));
    for (const std::string &w : maskedOf(*x)) {
      const auto granules = granulesOf(*x, w);
      const auto &mask = before.at(w + ".mask"), &weight = before.at(w);
      const auto after = get(*x, w + ".mask");
      const auto descended = get(*plain, w);
      size_t each = mask.size(), at = 0; // of one family
      for (size_t d = 0; (at = w.find("[*]", at)) != std::string::npos; ++d, ++at) each /= size_t(x->variables()[byName(*x).at(w)].shape[d]);
      std::vector<double> magnitude(mask.size()), gradient(mask.size());
      for (size_t k = 0; k < weight.size(); ++k) magnitude[granules[k]] += std::fabs(weight[k]), gradient[granules[k]] += std::fabs(weight[k] - descended[k]);
      for (size_t from = 0; from < mask.size(); from += each) {
        auto part = [&](const std::vector<double> &v) { return std::vector<double>(v.begin() + ptrdiff_t(from), v.begin() + ptrdiff_t(from + each)); };
        auto had = part(mask), has = part(after), m = part(magnitude), g = part(gradient);
        const auto count = int64_t(std::accumulate(had.begin(), had.end(), 0.0)), now = int64_t(std::accumulate(has.begin(), has.end(), 0.0));
        for (size_t i = 0; i < each; ++i)
          if (had[i] == 0) m[i] = -1;
        if (method == "prune") {
          const double share = density + (1 - density) * std::pow(std::max(0.0, 1 - progress * (1 + 1.0 / 3)), 3); // step 3, every 1
          const auto left = highest(m, now);
          EXPECT_LE(now, count);
          EXPECT_NEAR(double(now), share * double(each), 2) << w;
          for (size_t i = 0; i < each; ++i) EXPECT_EQ(has[i] != 0, left[i] && had[i] != 0) << w;
          continue;
        }
        EXPECT_EQ(now, count) << w;
        const double share = method == "set" ? alpha : alpha / 2 * (1 + std::cos(std::numbers::pi * progress));
        const auto k = int64_t(std::floor(share * double(count) + 1e-12));
        const auto stays = highest(m, count - k);
        int64_t grown = 0;
        for (size_t i = 0; i < each; ++i) {
          if (stays[i]) EXPECT_NE(has[i], 0) << w << " drops what is large";
          grown += !stays[i] && has[i] != 0;
          if (stays[i]) g[i] = -1;
        }
        EXPECT_EQ(grown, k) << w;
        if (method != "rigl") continue;
        auto sorted = g; // gradients are known up to rounding
        std::sort(sorted.rbegin(), sorted.rend());
        for (size_t i = 0; k && i < each; ++i)
          if (!stays[i]) EXPECT_GE(has[i] != 0 ? g[i] + 1e-9 : sorted[size_t(k) - 1] + 1e-9, has[i] != 0 ? sorted[size_t(k) - 1] : g[i]) << w << " " << i;
      }
      for (const char *what : {"", "#m", "#v"}) {
        auto expected = before.at(w + what);
        for (size_t i = 0; i < expected.size(); ++i)
          if (mask[granules[i]] == 0 || after[granules[i]] == 0) expected[i] = 0;
        EXPECT_EQ(get(*x, w + what), expected) << w << what;
      }
    }
    for (auto &[name, values] : before) // nothing else moves
      if (name.find('#') == std::string::npos && !name.ends_with(".mask") && !before.contains(name + ".mask") && x->variables()[byName(*x).at(name)].kind == VariableInfo::Param) EXPECT_EQ(get(*x, name), values) << name;
  }
}
