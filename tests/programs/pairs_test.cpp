// SPDX-License-Identifier: Apache-2.0
// Products of numbers that are exact in bf16, in pairs by one instruction where the machine has it: within the bound of docs/plans.md of the sum in float64, whatever the
// orientation and however odd the sizes; the same bits for every cut into tiles; and never where the plan says bit_exact.
#include "codegen/cpu/target.h"
#include "tests/programs/compiled.h"
#include "tests/support/program.h"
#include "runtime/base/formats.h"
#include "runtime/train/whole.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace fil;
using namespace fil::programs;

namespace {
bool here() { return findTarget("native").dots; }
std::string planFor(const std::string &text, const std::string &precision) {
  const size_t at = text.find("\nmodel ") + 7;
  return text + "\nplan p for " + text.substr(at, text.find('(', at) - at) + " { precision { " + precision + " } }\n";
}
/// y = x w, and two products of its gradients; w as it is, and turned over in memory by the order of its dims.
const char *shapes[] = {"dims B\ndims K = %K, N = %N\nmodel M(x: [B,K]) -> [B,N] { param w: K -> N; return x @ w }\nloss l(y: [B,N], t: [B,N]) = sum(y * t, over B, N)\n",
                        "dims B\ndims N = %N, K = %K\nmodel M(x: [B,K]) -> [B,N] { param w: K -> N; return x @ w }\nloss l(y: [B,N], t: [B,N]) = sum(y * t, over B, N)\n",
                        "dims B\ndims N = %N, P = 3, K = %K\nmodel M(x: [B,P,K]) -> [B,N] { param w: (P, K) -> N; return x @ w }\nloss l(y: [B,N], t: [B,N]) = sum(y * t, over B, N)\n"};
std::string sized(std::string text, int64_t K, int64_t N) {
  auto put = [&](const std::string &what, int64_t n) {
    for (size_t at; (at = text.find(what)) != std::string::npos;) text.replace(at, what.size(), std::to_string(n));
  };
  put("%K", K), put("%N", N);
  return text;
}

struct Ran { std::vector<double> y, gradient, w; std::vector<double> x, t; };
/// One step of plain descent with lr 1 from random weights: what `run` gives, and what w has lost.
Ran ran(const std::string &text, const std::string &backend, int64_t rows) {
  CompiledProgram c(text, {}, "sgd");
  auto x = c.executable(c.copy(Stage::train_), "f32", backend);
  TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
  x->run(*x->find("init"), maker.inputs(*x->find("init"), {}));
  Ran r;
  auto w = byName(*x).at("w");
  auto in = maker.inputs(*x->find("step"), {{"B", rows}});
  std::vector<Array> forward;
  for (size_t i = 0; i < in.size(); ++i) {
    const std::string name = x->find("step")->inputs[i].name;
    if (name == "lr") in[i] = array(in[i], {1.0});
    if (name == "x") r.x = numbers(in[i]), forward.push_back(in[i]);
    if (name == "t") r.t = numbers(in[i]);
  }
  r.w = numbers(x->get(w));
  r.y = numbers(x->run(*x->find("run"), forward)[0]);
  x->run(*x->find("step"), in);
  r.gradient = numbers(x->get(w));
  for (size_t i = 0; i < r.w.size(); ++i) r.gradient[i] = r.w[i] - r.gradient[i];
  return r;
}
double in16(double x) { return rounded(Format::Bf16, x); }
} // namespace

TEST(Pairs, AreWithinTheirBoundInEveryOrientation) {
  if (!here()) GTEST_SKIP() << "this machine multiplies no pairs of bf16";
  for (const char *shape : shapes)
    for (auto [K, N, B] : {std::array<int64_t, 3>{64, 64, 40}, {7, 33, 5}, {1025, 130, 19}, {2048, 16, 3}, {6, 200, 129}, {130, 65, 1}, {1200, 96, 2}}) {
      const std::string text = planFor(sized(shape, K, N), "default bf16 out=f32");
      const Ran r = ran(text, "cpu", B);
      const int64_t sum = int64_t(r.x.size()) / B;
      for (int64_t b = 0; b < B; ++b)
        for (int64_t n = 0; n < N; ++n) {
          double y = 0, size = 0;
          for (int64_t k = 0; k < sum; ++k) {
            const double p = in16(r.x[size_t(b * sum + k)]) * in16(r.w[size_t(k * N + n)]);
            y += p, size += std::fabs(p);
          }
          ASSERT_LE(std::fabs(r.y[size_t(b * N + n)] - y), double(sum) * 0x1p-23 * size + double(sum) * 0x1p-125) << shape << K << " " << N << " " << B;
        }
      for (int64_t k = 0; k < sum; k += 5)
        for (int64_t n = 0; n < N; n += 3) {
          double g = 0, size = 0;
          for (int64_t b = 0; b < B; ++b) {
            const double p = in16(r.x[size_t(b * sum + k)]) * in16(r.t[size_t(b * N + n)]);
            g += p, size += std::fabs(p);
          }
          ASSERT_LE(std::fabs(r.gradient[size_t(k * N + n)] - g), double(B) * 0x1p-23 * size + 1e-6 * (std::fabs(r.w[size_t(k * N + n)]) + std::fabs(g))) << shape << K << " " << N << " " << B;
        }
    }
}

/// y = x w of whole numbers: what `run` gives where in.x holds the numbers themselves, and w the first values of `init` or the largest ones.
struct Whole { std::vector<double> y, x, w, scale; };
Whole wholeRun(const std::string &text, const std::string &backend, int64_t rows, bool extreme) {
  CompiledProgram c(text, {}, "");
  auto e = c.executable(c.copy(Stage::train_), "f32", backend);
  TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
  e->run(*e->find("init"), maker.inputs(*e->find("init"), {}));
  const auto names = byName(*e);
  e->set(names.at("w.in_scale"), array(e->get(names.at("w.in_scale")), {1.0}));
  const VariableInfo &map = e->variables()[names.at("w")];
  Array numbersOf = ofBytes(e->get(names.at("w")), map);
  if (extreme) {
    auto v = numbers(numbersOf);
    for (size_t i = 0; i < v.size(); ++i) v[i] = i % 3 ? std::ldexp(1.0, map.bits - 1) - 1 : -std::ldexp(1.0, map.bits - 1);
    numbersOf = Array::of<int8_t>(DType::I8, numbersShape(map), std::vector<int8_t>(v.begin(), v.end()));
    e->set(names.at("w"), inBytes(numbersOf, map));
  }
  Whole r;
  r.w = numbers(numbersOf), r.scale = numbers(e->get(names.at("w.scale")));
  auto in = maker.inputs(*e->find("run"), {{"B", rows}});
  auto x = numbers(in[0]);
  for (double &v : x) v = extreme ? (v > 0 ? 127 : -128) : std::nearbyint(std::clamp(v * 40, -128.0, 127.0));
  r.x = x, r.y = numbers(e->run(*e->find("run"), {array(in[0], x)})[0]);
  return r;
}
/// Sums of whole numbers are exact, and rounded once, to the float that is nearest.
TEST(Quads, AreExactInEveryOrientation) {
  for (const char *shape : {shapes[0], shapes[1], shapes[2]})
    for (auto [K, N, B] : {std::array<int64_t, 3>{64, 64, 40}, {7, 33, 5}, {1026, 130, 19}, {9001, 16, 3}, {6, 200, 129}, {130, 65, 1}, {3000, 96, 2}})
      for (const char *precision : {"default int8 acts=8", "default int4 acts=8"})
        for (bool extreme : {false, true}) {
          if ((K > 5000 || precision[11] == '4') && shape != shapes[K > 5000]) continue;
          const Whole r = wholeRun(planFor(sized(shape, K, N), precision), "cpu", B, extreme);
          const int64_t sum = int64_t(r.x.size()) / B;
          for (int64_t b = 0; b < B; ++b)
            for (int64_t n = 0; n < N; ++n) {
              double y = 0;
              for (int64_t k = 0; k < sum; ++k) y += r.x[size_t(b * sum + k)] * r.w[size_t(k * N + n)];
              const float want = float(y) * float(r.scale[size_t(n)]);
              if (here() || std::fabs(y) < 0x1p24) ASSERT_EQ(r.y[size_t(b * N + n)], double(want)) << shape << K << " " << N << " " << B << precision << extreme;
            }
        }
}
TEST(Quads, GiveWhatSumsOfFloatsGive) {
  const std::string text = planFor(sized(shapes[0], 512, 192), "default int8 acts=8");
  const Whole a = wholeRun(text, "cpu", 33, false), b = wholeRun(text, "exact", 33, false);
  EXPECT_EQ(a.y, b.y); // few enough that both are exact
}

// What is multiplied, and not how many rows there are beside it or which program it stands in, decides a row's bits.
TEST(Pairs, GiveARowItsBitsWhateverStandsBeside) {
  if (!here()) GTEST_SKIP() << "this machine multiplies no pairs of bf16";
  for (const char *precision : {"default bf16 out=f32", "**: fp8 e4m3 tile(1x64, 64x64)", "default int8 acts=8"}) {
    const std::string text = planFor(sized(shapes[0], 512, 192), precision);
    CompiledProgram c(text, {}, text.find("int8") == std::string::npos ? "sgd" : "");
    auto x = c.executable(c.copy(Stage::train_), "f32", "cpu");
    TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
    x->run(*x->find("init"), maker.inputs(*x->find("init"), {}));
    std::vector<Array> all = maker.inputs(*x->find("run"), {{"B", 50}});
    const auto whole = numbers(x->run(*x->find("run"), all)[0]), in = numbers(all[0]);
    for (int64_t rows : {1, 2, 3, 7, 31}) {
      Array some = all[0];
      some.shape[0] = rows;
      const auto y = numbers(x->run(*x->find("run"), {array(some, {in.begin(), in.begin() + rows * 512})})[0]);
      EXPECT_EQ(y, std::vector<double>(whole.begin(), whole.begin() + rows * 192)) << precision << " " << rows;
    }
  }
}

TEST(Pairs, OfActivationsGiveARowItsBitsToo) {
  if (!here()) GTEST_SKIP() << "this machine multiplies no pairs of bf16";
  CompiledProgram c(planFor("dims B, T, S\ndims N = 64\nmodel M(a: [B,T,N], c: [B,S,N]) -> [B,T,S] { return dot(a, c, over N) }\nloss l(y: [B,T,S], t: [B,T,S]) = sum(y * t, over B, T, S)\n", "default bf16"), {}, "sgd");
  auto x = c.executable(c.copy(Stage::train_), "f32", "cpu");
  TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
  const auto all = maker.inputs(*x->find("run"), {{"B", 1}, {"T", 9}, {"S", 40}});
  const auto whole = numbers(x->run(*x->find("run"), all)[0]), a = numbers(all[0]);
  for (int64_t rows : {1, 2, 3, 4, 7}) {
    Array some = all[0];
    some.shape[1] = rows;
    EXPECT_EQ(numbers(x->run(*x->find("run"), {array(some, {a.begin(), a.begin() + rows * 64}), all[1]})[0]), std::vector<double>(whole.begin(), whole.begin() + rows * 40)) << rows;
  }
}

// What is read at the members of a subset, or at one member alone, is read there.
TEST(Pairs, OfMembers) {
  for (int k : {1, 4}) {
    const std::string text = "dims B, T\ndims S = 256, N = 64\nmodel M(q: [B,T,N], c: [B,S,N], w: [B,S]) -> [B,T,N] {\n  select s* = topk(w, " + std::to_string(k) + ", over S)\n  return dot(softmax(dot(q, c[s*], over N), over s*), c[s*], over s*)\n}\n"
                             "loss l(y: [B,T,N], t: [B,T,N]) = sum(y * t, over B, T, N)\n";
    CompiledProgram c(planFor(text, "default bf16 out=f32"), {}, "sgd");
    auto a = c.executable(c.copy(Stage::train_), "f32", "cpu"), b = c.executable(c.copy(Stage::train_), "f32", "reference");
    TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
    for (int64_t T : {1, 3, 21}) {
      const auto in = maker.inputs(*a->find("run"), {{"B", 2}, {"T", T}});
      EXPECT_LE(distance(numbers(a->run(*a->find("run"), in)[0]), numbers(b->run(*b->find("run"), in)[0])), 1e-2) << k << " " << T; // scores are rounded to bf16 between the two products
    }
  }
}

// The same numbers of eight bits or of bf16, in either format of the plan and in the other way to multiply them.
TEST(Pairs, OfEightBitsAndOfOtherOperands) {
  for (const char *precision : {"default bf16", "**: fp8 e4m3", "**: fp8 e5m2 tile(1x32, 32x32)", "**: fp8 e4m3 tile(1x128, 128x128) dgrad=e5m2 wgrad=bf16", "default f16", "default f32"}) {
    const std::string text = planFor(sized(shapes[0], 300, 80), precision);
    const Ran a = ran(text, "cpu", 33), b = ran(text, "exact", 33);
    const bool same = !here() || std::string(precision) == "default f16" || std::string(precision) == "default f32"; // f16 has more bits than bf16
    EXPECT_LE(distance(a.y, b.y), same ? 0 : 8e-3) << precision; // `out` may round the other way
    EXPECT_LE(distance(a.gradient, b.gradient), same ? 0 : 1e-5) << precision;
    if (same) EXPECT_EQ(a.y, b.y) << precision;
  }
}

// Of rows that are sorted by the member that they chose, with odd sums and few rows for some.
TEST(Pairs, OfRowsByMember) {
  const char *experts = R"(dims B, D = 75, E = 5, F = 64
block Expert(x: [B,D]) -> [B,D] { param up: D -> F; param down: F -> D; return relu(x @ up) @ down }
model M(x: [B,D]) -> [B,D] {
  param r: D -> E
  experts e in E: Expert()
  let s = softmax(x @ r, over E)
  route e* = topk(s, 2, over E)
  return sum(s[e*] * e[e*](x), over e*)
}
loss l(y: [B,D], t: [B,D]) = sum(y * t, over B, D)
)";
  CompiledProgram c(planFor(experts, "{up,down}: bf16 out=f32"), {}, "sgd");
  auto a = c.executable(c.copy(Stage::train_), "f32", "cpu"), b = c.executable(c.copy(Stage::train_), "f32", "exact");
  TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
  for (Executable *x : {a.get(), b.get()}) x->run(*x->find("init"), maker.inputs(*x->find("init"), {}));
  bool differs = false;
  for (int64_t rows : {40, 3, 300}) {
    for (const char *entry : {"run", "step"}) {
      const auto in = maker.inputs(*a->find(entry), {{"B", rows}});
      const auto y = numbers(a->run(*a->find(entry), in)[0]), z = numbers(b->run(*b->find(entry), in)[0]);
      EXPECT_LE(distance(y, z), 1e-5) << entry << " " << rows;
      differs |= y != z;
    }
    for (size_t i = 0; i < a->variables().size(); ++i) {
      EXPECT_LE(distance(numbers(a->get(i)), numbers(b->get(i))), 1e-5) << a->variables()[i].name;
      b->set(i, a->get(i));
    }
  }
  EXPECT_EQ(differs, here());
}
