// SPDX-License-Identifier: Apache-2.0
// Quantisation-aware training: one program beside its meaning and gradients written out, generated code beside the reference on the ten, the examples and random
// programs, and programs of whole numbers beside those that were trained, to the bit.
#include "runtime/base/memory_files.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/whole.h"
#include "tests/programs/checks.h"
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
std::string planFor(const std::string &text, const std::string &clauses, const std::string &model = {}) {
  const size_t at = text.find("\nmodel ") + 7;
  return text + "\nplan q for " + (model.empty() ? text.substr(at, text.find('(', at) - at) : model) + " { " + clauses + " }\n";
}
std::string apart(const std::string &text, const Binding &sizes, const std::map<std::string, int64_t> &dims, const std::string &backend = "cpu") {
  const auto r = checkBackend(text, sizes, dims, backend);
  return r.failure ? r.failure->detail : "";
}
bool hasMaps(const std::string &text) { return text.find("->", text.find("param ")) != std::string::npos && text.find(": ", text.find("param ")) != std::string::npos; }

const std::string linear = "dims B\ndims D = 7, F = 3\nmodel M(x: [B,D]) -> [B,F] {\n  param w: D -> F\n  return x @ w\n}\nloss l(y: [B,F], t: [B,F]) = sum(y * t, over B, F)\n";

/// The step that suits normally distributed numbers.
double suiting(const std::vector<double> &x, int bits) {
  double sum = 0, n = 0;
  for (double v : x) sum += std::fabs(v), n += v != 0;
  return sum / std::max(n, 1.0) * (bits == 3 ? 0.5860 : 0.0308) * 1.2533;
}
struct Number { double q, v, inside; }; ///< rounded, before that, and whether it was not clamped
Number number(double x, double s, int bits) {
  const double half = std::ldexp(1, bits - 1), v = x / s;
  return {std::nearbyint(std::clamp(v, -half, half - 1)), v, double(v > -half && v < half - 1)};
}
} // namespace

TEST(Qat, IsWholeNumbersTimesLearnedScales) {
  CompiledProgram c(planFor(linear, "precision { qat bits=3 acts=8 }"), {}, "sgd");
  auto e = c.executable(c.copy(Stage::train_));
  TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
  constexpr int64_t B = 5, D = 7, F = 3;
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal(0, 0.7);
  auto names = byName(*e);
  auto get = [&](const char *name) { return numbers(e->get(names.at(name))); };
  auto set = [&](const char *name, std::vector<double> v) { e->set(names.at(name), array(e->get(names.at(name)), v)); };
  std::vector<double> w(D * F);
  for (double &v : w) v = normal(random);
  for (bool begun : {false, true}) { // first values are found, then they hold
    std::vector<double> first(F), gain(F, 0), inFirst{0}, inGain{0};
    if (begun) first = {0.2, 0.3, 0.25}, gain = {0.1, -0.2, 0.3}, inFirst = {0.01}, inGain = {0.2};
    set("w", w), set("w.qat_scale", first), set("w.qat_gain", gain), set("w.qat_in_scale", inFirst), set("w.qat_in_gain", inGain);
    auto inputs = maker.inputs(*e->find("step"), {{"B", B}});
    std::vector<double> x, t;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const std::string name = e->find("step")->inputs[i].name;
      if (name == "lr") inputs[i] = array(inputs[i], {1.0});
      if (name == "x") x = numbers(inputs[i]);
      if (name == "t") t = numbers(inputs[i]);
    }
    if (!begun) {
      for (int64_t f = 0; f < F; ++f) {
        std::vector<double> column;
        for (int64_t d = 0; d < D; ++d) column.push_back(w[size_t(d * F + f)]);
        first[size_t(f)] = suiting(column, 3);
      }
      inFirst[0] = suiting(x, 8);
    }
    auto power = [](double g, int n) { return std::pow(1 + g / 8, n); };
    const double in = inFirst[0] * power(inGain[0], 8);
    double loss = 0, ofIn = 0;
    std::vector<double> ofW(D * F), ofScale(F);
    for (int64_t f = 0; f < F; ++f) {
      const double s = first[size_t(f)] * power(gain[size_t(f)], 8);
      for (int64_t b = 0; b < B; ++b)
        for (int64_t d = 0; d < D; ++d) {
          const double seed = t[size_t(b * F + f)];
          const Number p = number(x[size_t(b * D + d)], in, 8), q = number(w[size_t(d * F + f)], s, 3);
          loss += seed * p.q * in * q.q * s;
          ofW[size_t(d * F + f)] += seed * p.q * in * q.inside;
          ofScale[size_t(f)] += seed * p.q * in * (q.q - q.inside * q.v);
          ofIn += seed * q.q * s * (p.q - p.inside * p.v);
        }
    }
    EXPECT_NEAR(output(*e->find("step"), e->run(*e->find("step"), inputs), "loss")[0], loss, 1e-9);
    const auto after = get("w"), gains = get("w.qat_gain"), inGains = get("w.qat_in_gain");
    for (size_t i = 0; i < w.size(); ++i) EXPECT_NEAR(w[i] - after[i], ofW[i], 1e-9);
    auto strength = [](double first, double count, int bits) { return 1 / std::sqrt(count * std::ldexp(1, bits - 1)) / (first * first); };
    for (size_t f = 0; f < size_t(F); ++f) EXPECT_NEAR(gain[f] - gains[f], ofScale[f] * first[f] * power(gain[f], 7) * strength(first[f], D, 3), 1e-7);
    EXPECT_NEAR(inGain[0] - inGains[0], ofIn * inFirst[0] * power(inGain[0], 7) * strength(inFirst[0], D, 8), 1e-5);
    EXPECT_LT(distance(get("w.qat_scale"), first), 1e-12);
    EXPECT_LT(distance(get("w.qat_in_scale"), inFirst), 1e-12);
  }
}

/// First values of the one program, and these as weights of the other.
static void begin(TestProgram &maker, Executable &x, Executable &y) {
  x.run(*x.find("init"), maker.inputs(*x.find("init"), {}));
  MemoryFiles files;
  writeCheckpoint(files, "plain", x, {});
  restore(y, readCheckpoint(files, "plain"), Restore::Weights);
}

/// A map times itself has the scale twice.
TEST(Whole, TimesItself) {
  const std::string text = "dims B\ndims D = 7, F = 3\nmodel M(x: [B,D]) -> [B,F] {\n  param w: D -> F\n  return (x @ w) * dot(w, w, over D)\n}\nloss l(y: [B,F], t: [B,F]) = sum(y * t, over B, F)\n";
  CompiledProgram c(text), w(planFor(text, "precision { default int8 }"), {}, "");
  auto x = c.executable(c.copy(Stage::train_), "f32"), y = w.executable(w.copy(Stage::train_), "f32");
  TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
  begin(maker, *x, *y);
  const auto inputs = maker.inputs(*x->find("run"), {{"B", 4}});
  EXPECT_LT(distance(numbers(x->run(*x->find("run"), inputs)[0]), numbers(y->run(*y->find("run"), inputs)[0])), 0.05);
}

TEST(Qat, BeginsWhereThePlanSays) {
  struct Case { const char *clause; double step, progress; bool begun; };
  for (const Case &k : {Case{"qat bits=4 acts=8 warm=25%", 24, 0.24, false}, Case{"qat bits=4 acts=8 warm=25%", 25, 0.25, true}, Case{"qat bits=4 steps=40 warm=25%", 69, 0.69, false}, Case{"qat bits=4 steps=40 warm=25%", 70, 0.7, true}}) {
    CompiledProgram c(planFor(linear, std::string("precision { ") + k.clause + " }")), plain(linear);
    auto e = c.executable(c.copy(Stage::train_)), p = plain.executable(plain.copy(Stage::train_));
    TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
    for (Executable *x : {e.get(), p.get()}) x->run(*x->find("init"), maker.inputs(*x->find("init"), {}));
    const auto plainInputs = maker.inputs(*p->find("step"), {{"B", 6}});
    auto inputs = maker.inputs(*e->find("step"), {{"B", 6}});
    for (size_t i = 0; i < inputs.size(); ++i) {
      const std::string name = e->find("step")->inputs[i].name;
      for (size_t j = 0; j < plainInputs.size(); ++j)
        if (p->find("step")->inputs[j].name == name) inputs[i] = plainInputs[j];
      if (name == "progress") inputs[i] = array(inputs[i], {k.progress});
      if (name == "step") inputs[i] = array(inputs[i], {k.step});
    }
    const double loss = output(*e->find("step"), e->run(*e->find("step"), inputs), "loss")[0], want = output(*p->find("step"), p->run(*p->find("step"), plainInputs), "loss")[0];
    EXPECT_EQ(loss == want, !k.begun) << k.clause << " " << k.progress;
    EXPECT_EQ(numbers(e->get(byName(*e).at("w.qat_scale")))[0] > 0, k.begun) << k.clause << " " << k.progress;
  }
}

class TenWithQat : public testing::TestWithParam<Ten> {};
INSTANTIATE_TEST_SUITE_P(Small, TenWithQat, testing::Values(ten[1], ten[2], ten[3], ten[7], ten[9]), [](auto &i) { return i.param.name; });
TEST_P(TenWithQat, Agree) { EXPECT_EQ(apart(planFor(textOf(GetParam()), "precision { qat bits=4 acts=8 }"), GetParam().sizes, GetParam().dims), ""); }

struct With { const char *name, *clauses; };
void PrintTo(const With &w, std::ostream *out) { *out << w.name; }
class ExamplesWithQat : public testing::TestWithParam<With> {};
INSTANTIATE_TEST_SUITE_P(And, ExamplesWithQat,
                         testing::Values(With{"nothing", "precision { qat bits=3 per=tensor }"}, With{"adapters", "precision { qat bits=4 acts=8 }\n lora { **: r=2 }"},
                                         With{"maskedSum", "precision { qat bits=4 acts=8 }\n sparsity { **: rigl density=0.5 }\n lora { **: r=2 merge=masked }"},
                                         With{"topology", "precision { qat bits=8 acts=8 }\n sparsity { **: rigl density=0.5 }"}, With{"bf16", "precision { default bf16; qat bits=4 acts=8 }"}),
                         [](auto &i) { return i.param.name; });
TEST_P(ExamplesWithQat, Agree) {
  for (const Example &e : {examples[0], examples[1], examples[4]}) EXPECT_EQ(apart(planFor(textOf(e), GetParam().clauses, e.model), e.sizes, e.dims), "") << e.model;
}
TEST(RandomWithQat, Agree) {
  for (uint64_t seed = 640; seed < 644; ++seed) {
    const Generated g = generate(seed);
    if (hasMaps(g.text)) EXPECT_EQ(apart(planFor(g.text, "precision { qat bits=4 acts=8 }"), g.sizes, {}), "") << seed << "\n" << g.text;
  }
}

// ---- whole numbers ----

class Converted : public testing::TestWithParam<const char *> {};
INSTANTIATE_TEST_SUITE_P(On, Converted, testing::Values("cpu", "x86-64-v3"), [](auto &i) { return std::string(i.param[0] == 'c' ? "cpu" : "Avx2"); });
/// Both graphs, that of fake quantisation and that of whole numbers, compute the same bits.
TEST_P(Converted, ComputesTheSameBits) {
  for (const Example &e : {examples[0], examples[1], examples[2], examples[4]})
    for (const char *clauses : {"precision { qat bits=4 acts=8 }", "precision { qat bits=8 acts=8 per=tensor }", "precision { qat bits=2 }", "precision { default bf16; qat bits=3 acts=4 }"}) {
      if (e.model == std::string("DeepMoE") && (clauses[16] != 'b' || GetParam() != std::string("cpu"))) continue; // one is enough for what takes long
      CompiledProgram c(planFor(textOf(e), clauses, e.model), e.dims, "adamw", e.model);
      auto x = c.executable(c.copy(Stage::train_), "f32", GetParam());
      TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
      x->run(*x->find("init"), maker.inputs(*x->find("init"), e.sizes));
      for (int i = 0; i < 2; ++i) x->run(*x->find("step"), maker.inputs(*x->find("step"), e.sizes));
      MemoryFiles files;
      writeCheckpoint(files, "trained", *x, {});
      CompiledProgram w(textOf(e) + sema::convertedPlan(c.plan), e.dims, "", e.model);
      auto y = w.executable(w.copy(Stage::train_), "f32", GetParam());
      restore(*y, readCheckpoint(files, "trained"), Restore::Weights);
      EXPECT_GT(std::count_if(y->variables().begin(), y->variables().end(), [](const VariableInfo &v) { return v.dtype == DType::I8; }), 0) << e.model;
      const auto inputs = maker.inputs(*x->find("run"), e.sizes);
      EXPECT_EQ(numbers(x->run(*x->find("run"), inputs)[0]), numbers(y->run(*y->find("run"), inputs)[0])) << e.model << " " << clauses;
      if (e.model != std::string("Classifier")) continue;
      writeCheckpoint(files, "whole", *y, {}); // and is kept
      CompiledProgram again(textOf(e) + sema::convertedPlan(c.plan), e.dims, "", e.model);
      auto z = again.executable(again.copy(Stage::train_), "f32", GetParam());
      restore(*z, readCheckpoint(files, "whole"), Restore::Weights);
      EXPECT_EQ(numbers(y->run(*y->find("run"), inputs)[0]), numbers(z->run(*z->find("run"), inputs)[0])) << e.model << " " << clauses;
    }
}
/// The base of adapters is whole numbers; the same as training the adapters of the base that these are.
TEST(Whole, IsTheBaseOfAdapters) {
  for (auto &[e, format] : {std::pair{examples[0], "int8"}, std::pair{examples[1], "int8"}, std::pair{examples[0], "int2"}, std::pair{examples[1], "int4"}}) {
    CompiledProgram c(planFor(textOf(e), std::string("precision { default ") + format + " }\n lora { **: r=2 }", e.model), e.dims, "adamw", e.model), p(planFor(textOf(e), "lora { **: r=2 merge=never }", e.model), e.dims, "adamw", e.model);
    auto x = c.executable(c.copy(Stage::train_)), y = p.executable(p.copy(Stage::train_));
    TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
    for (Executable *m : {x.get(), y.get()}) m->run(*m->find("init"), maker.inputs(*m->find("init"), e.sizes));
    auto names = byName(*x), others = byName(*y);
    for (auto &[name, i] : names) {
      if (!x->variables()[i].bits) continue;
      const VariableInfo &map = x->variables()[i], &info = x->variables()[names.at(name + ".scale")];
      auto v = numbers(ofBytes(x->get(i), map)), s = numbers(x->get(names.at(name + ".scale")));
      // The scale stands along the map's last axes and those of families.
      for (size_t k = 0; k < v.size(); ++k) {
        size_t place = 0, rest = k, step = 1;
        const auto shape = numbersShape(map);
        std::vector<size_t> at(shape.size());
        for (size_t d = shape.size(); d-- > 0; rest /= size_t(shape[d])) at[d] = rest % size_t(shape[d]);
        for (size_t d = info.dims.size(); d-- > 0; step *= size_t(info.shape[d])) place += step * at[size_t(std::find(map.dims.begin(), map.dims.end(), info.dims[d]) - map.dims.begin())];
        v[k] *= s[place];
      }
      y->set(others.at(name), array(y->get(others.at(name)), v));
    }
    for (int i = 0; i < 3; ++i) {
      maker.random.seed(uint64_t(i));
      const auto a = x->run(*x->find("step"), maker.inputs(*x->find("step"), e.sizes));
      maker.random.seed(uint64_t(i));
      const auto b = y->run(*y->find("step"), maker.inputs(*y->find("step"), e.sizes));
      EXPECT_LT(distance(numbers(a[0]), numbers(b[0])), 1e-9) << e.model;
    }
    for (auto &[name, i] : names)
      if (name.find(".lora_") != std::string::npos) EXPECT_LT(distance(numbers(x->get(i)), numbers(y->get(others.at(name)))), 1e-7) << name;
  }
}
TEST(Whole, NumbersOfFewBitsShareBytes) {
  VariableInfo map;
  map.shape = {2, 2, 3}, map.bits = 2, map.together = 4, map.packed = 1;
  std::vector<int8_t> all(2 * 8 * 3);
  for (size_t i = 0; i < all.size(); ++i) all[i] = int8_t(int(i * 7 % 4) - 2);
  const Array bytes = inBytes(Array::of<int8_t>(DType::I8, {2, 8, 3}, all), map);
  EXPECT_EQ(bytes.shape, map.shape);
  int first = 0; // of the first column the first four, the lowest bits the first one
  for (int k = 0; k < 4; ++k) first |= (all[size_t(k * 3)] & 3) << (2 * k);
  EXPECT_EQ(uint8_t(bytes.as<int8_t>()[0]), first);
  const Array back = ofBytes(bytes, map);
  EXPECT_EQ(back.shape, (std::vector<int64_t>{2, 8, 3}));
  EXPECT_TRUE(std::equal(all.begin(), all.end(), back.as<int8_t>().begin()));
}
TEST(Whole, RoundsWeightsAsTheyAre) {
  CompiledProgram c(linear), w(planFor(linear, "precision { w: int4 }"), {}, "");
  auto x = c.executable(c.copy(Stage::train_), "f32"), y = w.executable(w.copy(Stage::train_), "f32");
  TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
  begin(maker, *x, *y);
  const auto want = numbers(x->get(byName(*x).at("w"))), numbersOf = numbers(y->get(byName(*y).at("w"))), scale = numbers(y->get(byName(*y).at("w.scale")));
  double error = 0, all = 0;
  for (size_t i = 0; i < want.size(); ++i) error += std::pow(numbersOf[i] * scale[i % 3] - want[i], 2), all += want[i] * want[i];
  EXPECT_LT(error, 0.01 * all);
  MemoryFiles files;
  EXPECT_THROW(restore(*c.executable(c.copy(Stage::train_), "f32"), [&] { writeCheckpoint(files, "whole", *y, {}); return readCheckpoint(files, "whole"); }(), Restore::Weights), Error);
}
/// Few rows read panels of narrow numbers, many read wide ones: each row is the same, to the bit.
TEST_P(Converted, RowsAreThoseOfManyRows) {
  const std::string text = "dims B\ndims D = 96, F = 200, E = 130\nmodel M(x: [B,D]) -> [B,E] {\n  param u: D -> F; param d: F -> E\n  return relu(x @ u) @ d\n}\nloss l(y: [B,E], t: [B,E]) = sum(y * t, over B, E)\n";
  for (const char *clauses : {"default int8", "default int4 per=tensor", "default int3", "default int2", "default bf16", "default f16"}) {
    CompiledProgram c(planFor(text, std::string("precision { ") + clauses + " }"), {}, "");
    auto x = c.executable(c.copy(Stage::train_), "f32", GetParam());
    TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
    x->run(*x->find("init"), maker.inputs(*x->find("init"), {}));
    const Entry &run = *x->find("run");
    auto of = [&](const std::vector<double> &v) { return numbers(x->run(run, {Array::of<float>(DType::F32, {int64_t(v.size()) / 96, 96}, std::vector<float>(v.begin(), v.end()))})[0]); };
    std::vector<double> in(40 * 96);
    std::normal_distribution<double> normal;
    for (double &v : in) v = normal(maker.random);
    const auto all = of(in);
    EXPECT_GT(std::count_if(all.begin(), all.end(), [](double v) { return v != 0; }), 40 * 100);
    for (int rows : {1, 2, 3, 5, 8, 9})
      for (int first = 0; first + rows <= 40; first += 7)
        EXPECT_EQ(of({in.begin() + first * 96, in.begin() + (first + rows) * 96}), std::vector<double>(all.begin() + first * 130, all.begin() + (first + rows) * 130)) << clauses << " " << rows;
  }
}
/// Bytes of rows whose last vector has one lane do not reach beyond it, where another thread has written.
TEST(Whole, BytesStayInTheirRows) {
  const std::string text = "dims B\ndims D = 33, F = 7\nmodel M(x: [B,D]) -> [B,F] {\n  param w: D -> F\n  return x @ w\n}\n";
  CompiledProgram c(planFor(text, "precision { default int8 acts=8 }"), {}, "");
  auto x = c.executable(c.copy(Stage::train_), "f32", "cpu"), y = c.executable(c.copy(Stage::train_), "f32", "x86-64-v3");
  TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
  begin(maker, *x, *y);
  auto in = maker.inputs(*x->find("run"), {{"B", 3000}});
  const auto want = numbers(y->run(*y->find("run"), in)[0]);
  for (int i = 0; i < 12; ++i) ASSERT_EQ(numbers(x->run(*x->find("run"), in)[0]), want) << i;
  auto v = numbers(in[0]), none = v;
  v[40] = std::nan(""), none[40] = 0; // is no whole number
  EXPECT_EQ(numbers(x->run(*x->find("run"), {array(in[0], v)})[0]), numbers(x->run(*x->find("run"), {array(in[0], none)})[0]));
}
TEST(Whole, IsNotTrained) {
  try {
    CompiledProgram c(planFor(linear, "precision { w: int8 }"));
    c.executable(c.copy(Stage::train_));
    FAIL();
  } catch (const std::runtime_error &e) {
    EXPECT_NE(std::string(e.what()).find("P0453"), std::string::npos) << e.what();
  }
}
