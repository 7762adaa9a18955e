// SPDX-License-Identifier: Apache-2.0
// What the constructs mean, by numbers worked out by hand: the reference itself is held to the language here.
#include "tests/programs/compiled.h"
#include "tests/programs/values.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace fil;
using namespace fil::programs;

namespace {
using Numbers = std::vector<double>;
const double inf = std::numeric_limits<double>::infinity();

/// A model's result for these inputs, its params as given by name; entry `run`.
Numbers result(const std::string &text, std::map<std::string, Numbers> inputs, const Binding &sizes, std::map<std::string, Numbers> params = {}) {
  const size_t brace = text.find(") -> "), open = text.find('{', brace);
  std::string type = text.substr(brace + 5, open - brace - 5);
  CompiledProgram c(text + "\nloss none(y: " + type + ") = sum(y, over " + type.substr(1, type.find(']') - 1) + ")\n");
  auto x = c.executable(c.copy(Stage::train_));
  Values values(1, sizes);
  Point p;
  p.inputs = std::move(inputs), p.variables = std::move(params);
  values.fill(p, *x, *x->find("run"));
  return output(*x->find("run"), runAt(p, *x, "run", values), "y");
}
void near(const Numbers &a, const Numbers &b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i)
    if (std::isinf(b[i])) {
      EXPECT_EQ(a[i], b[i]) << i;
    } else {
      EXPECT_NEAR(a[i], b[i], 1e-12) << i;
    }
}
} // namespace

TEST(Meaning, TiesGoToTheLowestIndexAndMembersAscend) {
  const std::string text = "dims B, S=5\nmodel M(x: [B,S]) -> [B,S] {\n select s* = topk(x, 3, over S)\n return scatter((position(S) + 1 + 0*x)[s*], over s*)\n}";
  near(result(text, {{"x", {2, 7, 2, 2, 7, /**/ 1, 1, 1, 1, 1}}}, {{"B", 2}}), {1, 2, 0, 0, 5, /**/ 1, 2, 3, 0, 0});
  near(result("dims B, S=4\nmodel M(x: [B,S]) -> [B] { return (0*x + position(S))[argmax(x, over S)] }", {{"x", {3, 5, 5, 1, /**/ -1, -2, -1, -3}}}, {{"B", 2}}), {1, 0});
}
TEST(Meaning, ASubsetTakesNeitherAbsentElementsNorNaN) {
  const std::string text = "dims B, S=4\nmodel M(x: [B,S], m: bool[B,S]) -> [B,S] {\n select s* = topk(x where m, 3, over S)\n return scatter(x[s*], over s*)\n}";
  near(result(text, {{"x", {9, 8, 7, 6, /**/ 1, NAN, 3, 4}}, {"m", {0, 1, 0, 1, /**/ 1, 1, 1, 0}}}, {{"B", 2}}), {0, 8, 0, 6, /**/ 1, 0, 3, 0});
}
TEST(Meaning, AbsentElementsDoNotCount) {
  const std::string head = "dims B, S=3\nmodel M(x: [B,S], m: bool[B,S]) -> [B] { return ";
  const std::map<std::string, Numbers> in{{"x", {1, 4, 10, /**/ 5, 6, 7}}, {"m", {1, 1, 0, /**/ 0, 0, 0}}};
  near(result(head + "mean(x where m, over S) }", in, {{"B", 2}}), {2.5, 0});
  near(result(head + "sum(x where m, over S) }", in, {{"B", 2}}), {5, 0});
  near(result(head + "max(x where m, over S) }", in, {{"B", 2}}), {4, -inf});
  near(result(head + "min(x where m, over S) }", in, {{"B", 2}}), {1, inf});
  near(result(head + "dot(x where m, x, over S) }", in, {{"B", 2}}), {17, 0});
  near(result("dims B, S=3\nmodel M(x: [B,S], m: bool[B,S]) -> [B,S] { return softmax(x where m, over S) where m else 0 }", {{"x", {0, std::log(3), 50, 1, 2, 3}}, {"m", {1, 1, 0, 0, 0, 0}}}, {{"B", 2}}),
       {0.25, 0.75, 0, /**/ 0, 0, 0});
}
TEST(Meaning, CausalPositionsEndTogether) {
  near(result("dims B, T, S=4\nmodel M(x: [B,T], y: [S]) -> [B,T] { return sum(y + 0*x where causal(T, S), over S) }", {{"x", {0, 0}}, {"y", {1, 10, 100, 1000}}}, {{"B", 1}, {"T", 2}}), {111, 1111});
}
TEST(Meaning, PaddingIsAbsent) {
  const Numbers x{1, 2, 3, 4};
  near(result("dims B, Y=4\nmodel M(x: [B,Y]) -> [B,Y] { return mean(window(x, Y by k:3, pad=same), over k) }", {{"x", x}}, {{"B", 1}}), {1.5, 2, 3, 3.5});
  near(result("dims B, Y=4\nmodel M(x: [B,Y]) -> [B,Y/2] { return max(window(x, Y by k:3 stride 2, pad=same), over k) }", {{"x", x}}, {{"B", 1}}), {2, 4});
  near(result("dims B, Y=4\nmodel M(x: [B,Y]) -> [B,Y] { return mean(window(x, Y by k:2, pad=same), over k) }", {{"x", x}}, {{"B", 1}}), {1.5, 2.5, 3.5, 4});
  near(result("dims B, Y=4\nmodel M(x: [B,Y]) -> [B,Y-1] { param w: [k:2] = 1\n return dot(window(x, Y by k), w, over k) }", {{"x", x}}, {{"B", 1}}, {{"w", {10, 1}}}), {12, 23, 34});
}
TEST(Meaning, MapsHaveTwoSides) {
  // F -> F: in, out; written in declared order, in first.
  near(result("dims B, F=2\nmodel M(x: [B,F]) -> [B,F] { param w: F -> F\n return x @ w }", {{"x", {1, 10}}}, {{"B", 1}}, {{"w", {1, 2, 3, 4}}}), {31, 42});
  near(result("dims B, F=2\nmodel M(x: [B,F]) -> [B,F] { param w: F -> (G:F)\n return x * sum(w, over G) }", {{"x", {1, 10}}}, {{"B", 1}}, {{"w", {1, 2, 3, 4}}}), {3, 70});
}
TEST(Meaning, ExpertsAreChosenByTheirSubset) {
  const std::string text = "dims B, D=1, E=3\nblock Scale(h: [B,D]) -> [B,D] { param s: [D] = 1; return h * s }\n"
                           "model M(x: [B,D], score: [B,E]) -> [B,D] { experts e in E: Scale()\n route r* = topk(score, 2, over E)\n return sum(score[r*] * e[r*](x), over r*) }";
  near(result(text, {{"x", {1, 1}}, {"score", {1, 3, 2, /**/ 5, 0, 5}}}, {{"B", 2}}, {{"e[*].s", {1, 10, 100}}}), {230, 505});
}
TEST(Meaning, RotaryPairsElementIWithIPlusHalf) {
  const double c = std::cos(1), s = std::sin(1);
  near(result("dims B, T, N=2\nmodel M(x: [B,T,N], pos: int[T]) -> [B,T,N] { return rope(x, pos, over N) }", {{"x", {3, 4}}, {"pos", {1}}}, {{"B", 1}, {"T", 1}}), {3 * c - 4 * s, 3 * s + 4 * c});
}
TEST(Meaning, StateIsReadAsItWasAndWrittenAtTheEnd) {
  CompiledProgram c("dims B, D=2\nmodel M(x: [B,D]) -> [B,D] { state n: [D] = 0\n on step: n += mean(x, over B)\n param w: [D] = 1\n return x * w + n }\nloss l(y: [B,D]) = sum(y, over B, D)\n");
  auto x = c.executable(c.copy(Stage::train_));
  Values values(1, {{"B", 2}});
  Point p;
  p.inputs["x"] = {1, 2, 3, 4}, p.variables["n"] = {100, 200}, p.variables["w"] = {1, 1};
  values.fill(p, *x, *x->find("step"));
  const Entry &step = *x->find("step");
  EXPECT_EQ(output(step, runAt(p, *x, "step", values), "loss")[0], 610);
  for (size_t i = 0; i < x->variables().size(); ++i)
    if (x->variables()[i].name == "n") EXPECT_EQ(numbers(x->get(i)), (Numbers{102, 203}));
  values.set(p, *x);
  x->run(*x->find("eval"), values.inputs(p, *x->find("eval")));
  for (size_t i = 0; i < x->variables().size(); ++i)
    if (x->variables()[i].name == "n") EXPECT_EQ(numbers(x->get(i)), (Numbers{100, 200})) << "evaluation writes no state";
}
TEST(Meaning, RandomNumbersDependOnSeedStepAndElementAlone) {
  const std::string text = "dims B, D=8\nmodel M(x: [B,D]) -> [B,D] { param w: [D] = 1\n return dropout(x * w, 0.5) }\nloss l(y: [B,D]) = sum(y * (position(D) + 1)^2, over B, D)\n";
  CompiledProgram c(text);
  auto x = c.executable(c.copy(Stage::train_));
  Values values(1, {{"B", 2}});
  Point p;
  p.inputs["x"] = Numbers(16, 1), p.variables["w"] = Numbers(8, 1);
  values.fill(p, *x, *x->find("step"));
  auto at = [&](double seed, double step) {
    p.inputs["seed"] = {seed}, p.inputs["step"] = {step};
    return output(*x->find("step"), runAt(p, *x, "step", values), "loss")[0];
  };
  EXPECT_EQ(at(1, 0), at(1, 0));
  EXPECT_NE(at(1, 0), at(1, 1));
  EXPECT_NE(at(1, 0), at(2, 0));
  Values one(1, {{"B", 1}}); // the first row of a larger batch
  Point q = p;
  q.inputs["x"] = Numbers(8, 1), q.inputs["seed"] = {1}, q.inputs["step"] = {0};
  p.inputs["x"] = Numbers(16, 1);
  std::fill(p.inputs["x"].begin() + 8, p.inputs["x"].end(), 0);
  EXPECT_EQ(output(*x->find("step"), runAt(q, *x, "step", one), "loss")[0], at(1, 0));
}
/// What a layer keeps, and how it looks back.
struct Kept { const char *name, *text; };
void PrintTo(const Kept &k, std::ostream *out) { *out << k.name; }
class Caches : public testing::TestWithParam<Kept> {};
const std::string latent = "param q: D -> N; param ka: D -> C; param kb, kc, vb: C -> N; param o: N -> D\n cache c: [B,S,C] <- h @ ka\n";
const std::string chosen = latent + "select s* = topk(dot(h @ ka, c, over C) where causal(T, S), 3, over S)\n";
const std::string ofAll = latent + "h += dot(softmax(dot(h @ q, c @ kb, over N) where causal(T, S), over S), c @ vb, over S) @ o", ofChosen = chosen + "h += dot(softmax(dot(h @ q, c[s*] @ kb, over N), over s*), c[s*] @ vb, over s*) @ o",
                  ofFunctions = chosen + "h += dot(softmax(dot(h @ q, sigmoid(c[s*] @ kb), over N), over s*), 1 + relu(c[s*] @ vb), over s*) @ o",
                  ofSums = chosen + "let r = c[s*] @ kb + 2 * (c[s*] @ kc)\n h += dot(softmax(dot(h @ q, r, over N), over s*), r + c[s*] @ vb, over s*) @ o";
INSTANTIATE_TEST_SUITE_P(Of, Caches,
                         testing::Values(Kept{"rows", "param q, k, v: D -> D\n cache ks: [B,S,D] <- rope(h @ k, pos, over D)\n cache vs: [B,S,D] <- h @ v\n"
                                                      "h += dot(softmax(dot(rope(h @ q, pos, over D), ks, over D) where causal(T, S), over S), vs, over S)"},
                                         Kept{"latent", ofAll.c_str()}, Kept{"chosen", ofChosen.c_str()}, Kept{"functions", ofFunctions.c_str()}, Kept{"sums", ofSums.c_str()}),
                         [](auto &i) { return i.param.name; });
/// Reading all at once, and reading some and then one after the other, gives the same.
TEST_P(Caches, HoldWhatWasReadBefore) {
  CompiledProgram c("dims B, T, S, V=5, D=4, N=4, C=6, L=2\nmodel M(tok: index<V>[B,T], pos: int[T]) -> [B,T,V] {\n param emb: V -> D = normal(0.5)\n let h = emb[tok]\n layers l in 0..L {\n" + std::string(GetParam().text) +
                    "\n }\n return dot(h, emb, over D)\n}\nloss l(y: [B,T,V], t: index<V>[B,T]) = mean(xent(y, t, over V), over B, T)\n");
  auto x = c.executable(c.copy(Stage::train_));
  Values values(1, {{"B", 1}, {"T", 6}});
  Point p;
  values.fill(p, *x, *x->find("run"));
  const Numbers tokens{3, 1, 4, 1, 0, 2};
  p.inputs["tok"] = tokens, p.inputs["pos"] = {0, 1, 2, 3, 4, 5};
  const Numbers whole = output(*x->find("run"), runAt(p, *x, "run", values), "y");
  x->resetCaches(1, 6);
  Numbers pieces;
  for (auto [from, to] : {std::pair{0, 3}, std::pair{3, 4}, std::pair{4, 6}}) {
    Values part(1, {{"B", 1}, {"T", to - from}});
    p.inputs["tok"] = Numbers(tokens.begin() + from, tokens.begin() + to), p.inputs["pos"] = {};
    for (int i = from; i < to; ++i) p.inputs["pos"].push_back(i);
    for (double v : output(*x->find("run"), runAt(p, *x, from ? "decode" : "prefill", part), "y")) pieces.push_back(v);
  }
  near(pieces, whole);
}
