// SPDX-License-Identifier: Apache-2.0
// Gradients of every op against central differences in float64, along a random direction for each variable.
#include "tests/support/program.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace fil;

namespace {

/// Checks d loss / d v . u for each param v, u a random direction. `sizes` binds the symbolic dims. The gradient is read off a step
/// of plain descent: p - p'.
void checkGradients(const std::string &text, const Binding &sizes, double tolerance = 1e-6) {
  TestProgram p(text, Stage::train_, "f64", {}, "sgd");
  ASSERT_TRUE(p.executable) << p.errors();
  p.randomize();
  Executable &x = *p.executable;
  const Entry &e = p.entry("step");
  auto in = p.inputs(e, sizes);
  for (size_t i = 0; i < in.size(); ++i)
    if (e.inputs[i].name == "lr") in[i] = array(in[i], {1.0});
  std::vector<Array> start;
  for (size_t v = 0; v < x.variables().size(); ++v) start.push_back(x.get(v));
  auto restore = [&] {
    for (size_t v = 0; v < start.size(); ++v)
      if (x.variables()[v].kind != VariableInfo::Optimizer) x.set(v, start[v]);
      else x.set(v, array(start[v], std::vector<double>(size_t(start[v].elements()), 0.0)));
  };
  restore();
  x.run(e, in);
  std::vector<Array> after;
  for (size_t v = 0; v < start.size(); ++v) after.push_back(x.get(v));
  restore();
  auto lossAt = [&] {
    double l = values(x.run(e, in)[0])[0];
    restore();
    return l;
  };
  std::normal_distribution<double> normal;
  size_t checked = 0;
  for (size_t v = 0; v < start.size(); ++v) {
    if (x.variables()[v].kind != VariableInfo::Param) continue;
    auto at = values(start[v]), moved = values(after[v]);
    std::vector<double> u(at.size());
    for (double &d : u) d = normal(p.random);
    auto step = [&](double h) {
      auto y = at;
      for (size_t i = 0; i < y.size(); ++i) y[i] += h * u[i];
      x.set(v, array(start[v], y));
      return lossAt();
    };
    const double h = 1e-5, numeric = (8 * (step(h) - step(-h)) - (step(2 * h) - step(-2 * h))) / (12 * h);
    double exact = 0, scale = 0;
    for (size_t i = 0; i < u.size(); ++i) exact += (at[i] - moved[i]) * u[i], scale += std::fabs((at[i] - moved[i]) * u[i]);
    EXPECT_NEAR(exact, numeric, tolerance * std::max(scale, 1e-3)) << x.variables()[v].name;
    EXPECT_GT(scale, 1e-9) << x.variables()[v].name << " has a gradient of zero: the test would not notice a wrong one";
    ++checked;
  }
  EXPECT_GT(checked, 0u);
}

/// loss = mean of (e)^2 weighted, where `e` is an expression over x: [B,D], a: [B,D] (param), w: D -> F, b: [D].
std::string onOne(const std::string &expression, const std::string &result = "[B,D]") {
  return "dims B, D=5, F=4, E=6\nmodel M(x: [B,D]) -> " + result + " {\n param a: [D] = 1; param b: [D] = 1\n return " + expression + "\n}\nloss l(y: " + result +
         ", t: " + result + ") = sum((y - t)^2, over " + result.substr(1, result.size() - 2) + ")\n";
}
} // namespace

TEST(Gradients, OfElementwiseFunctions) {
  for (const char *f : {"x*a + b", "x - a*b", "x*a / (2 + b^2)", "(1 + a^2) ^ (x*b)", "max(x*a, b)", "min(x*a, b)", "-(x*a) + b", "abs(x*a)*b", "exp(x*a)*b", "log(1 + (x*a)^2)*b",
                        "sqrt(1 + (x*a)^2)*b", "rsqrt(1 + (x*a)^2)*b", "sin(x*a)*b", "cos(x*a)*b", "tanh(x*a)*b", "erf(x*a)*b", "sigmoid(x*a)*b", "gelu(x*a)*b", "silu(x*a)*b",
                        "softplus(x*a)*b", "x*a where x > 0.2 else b", "mod(x*a, 2 + b^2)", "clamp(x*a, -1, 1)*b", "floor(x)*a + b"}) {
    SCOPED_TRACE(f);
    checkGradients(onOne(f), {{"B", 3}});
  }
}
TEST(Gradients, OfReductions) {
  for (const char *f : {"sum(x*a, over D) * b", "mean(x*a, over B) + b*x", "max(x*a, over D) * b", "min(x*a*b, over B) + x*b", "softmax(x*a, over D)*b", "logsumexp(x*a, over D)*b",
                        "layernorm(x*a, over D)*b", "normalize(exp(x*a), over D)*b", "softmax(x*a where x > 0, over D)*b where x > 0 else 0", "mean(x*a where x > 0, over D)*b"}) {
    SCOPED_TRACE(f);
    checkGradients(onOne(f), {{"B", 3}});
  }
}
TEST(Gradients, OfContractions) {
  checkGradients(R"(dims B, T, D=5, H=2, N=3, F=4
    model M(x: [B,T,D]) -> [B,F] {
      param q, k: D -> (H, N);  param w: (H, N) -> F;  param s: N -> N
      let a = dot(x @ q, x @ k, over N)
      return sum((a * (x @ q @ s)) @ w, over T)
    }
    loss l(y: [B,F], t: [B,F]) = sum((y - t)^2, over B, F)
  )" + std::string(), {{"B", 2}, {"T", 3}});
}

TEST(Gradients, ThroughViews) {
  checkGradients(R"(dims B, D=6, R=2, F=4
    model M(x: [B,D]) -> [B,D+R] {
      param a, b: [D] = 1; param c: [R] = 1
      let (u, v) = split(x * a, lo:2, hi:4, over D)
      let z = concat(v, u * 2, over D)
      return concat(z * b, c * sum(x, over D))
    }
    loss l(y: [B,D+R], t: [B,D+R]) = sum((y - t)^2, over B, D+R)
  )", {{"B", 2}});
}
TEST(Gradients, OfConvolutionAndPooling) {
  checkGradients(R"(dims B, Y=6, X=6, C=2, O=3, K=2
    model M(x: [B,Y,X,C]) -> [B,K] {
      param w: (C, ky:3, kx:3) -> O;  param v: O -> K
      let h = window(x, Y by ky:3, X by kx:3, pad=same) @ w
      let p = max(window(h, Y by py:2 stride 2, X by px:2 stride 2), over py, px)
      return mean(p, over Y, X) @ v
    }
    loss l(y: [B,K], t: [B,K]) = sum((y - t)^2, over B, K)
  )", {{"B", 2}});
}
TEST(Gradients, OfIndexedTables) {
  checkGradients(R"(dims B, T, V=7, D=4
    model M(tok: index<V>[B,T]) -> [B,T,V] {
      param emb: V -> D = normal(1)
      param pos: V -> D = normal(1)
      return dot(tanh(emb[tok] + pos[tok]), emb, over D)
    }
    loss nll(y: [B,T,V], t: index<V>[B,T]) = mean(xent(y, t, over V), over B, T)
  )", {{"B", 2}, {"T", 3}});
}
TEST(Gradients, ThroughSelectedSubsets) {
  checkGradients(R"(dims B, T, S=6, D=4, k=3
    model M(x: [B,T,D], c: [B,S,D]) -> [B,T,D] {
      param p, q: D -> (E:3);  param o: D -> D
      let score = dot(x @ p, c @ q, over E)
      select s* = topk(score, 3, over S)
      let a = softmax(score[s*], over s*)
      return dot(a, (c @ o)[s*], over s*) + x
    }
    loss l(y: [B,T,D], t: [B,T,D]) = sum((y - t)^2, over B, T, D)
  )", {{"B", 2}, {"T", 3}});
}
TEST(Gradients, ThroughRoutedExperts) {
  checkGradients(R"(dims B, D=4, E=5, F=3
    block FFN(h: [B,D]) -> [B,D] { param up: D -> F; param down: F -> D; return tanh(h @ up) @ down }
    model M(x: [B,D]) -> [B,D] {
      param r: D -> E
      experts e in E: FFN()
      let s = sigmoid(x @ r)
      route e* = topk(s, 2, over E)
      return x + dot(normalize(s[e*], over e*), e[e*](x), over e*)
    }
    loss l(y: [B,D], t: [B,D]) = sum((y - t)^2, over B, D)
  )", {{"B", 4}});
}
TEST(Gradients, ThroughLayersSharedAndNested) {
  checkGradients(R"(dims B, D=4, F=3, L=3
    block FFN(h: [B,D]) -> [B,D] { param up: D -> F; param down: F -> D; return tanh(h @ up) @ down }
    model M(x: [B,D]) -> [B,D] {
      param f: FFN();  param g: [D] = 1
      let h = x
      layers l in 0..L {
        param a: [D] = 1
        h += FFN(h * a) * g
        h += if l >= 1 { f(h) } else { x }
        layers m in 0..2 { param b: [D] = 1; h = h + 0.1 * tanh(h * b * g) }
      }
      return h
    }
    loss l(y: [B,D], t: [B,D]) = sum((y - t)^2, over B, D)
  )", {{"B", 2}});
}
TEST(Gradients, ThroughStateAndDropout) {
  checkGradients(R"(dims B, C=4, D=3
    model M(x: [B,C]) -> [B,D] {
      param w: C -> D
      return BatchNorm(dropout(x, 0.3), C=C) @ w
    }
    loss l(y: [B,D], t: [B,D]) = sum((y - t)^2, over B, D)
  )", {{"B", 5}});
}
TEST(Gradients, ThroughScatterAndAbsentElements) {
  checkGradients(R"(dims B, S=6, D=3
    model M(x: [B,S,D], m: bool[B,S]) -> [B,S] {
      param p: D -> ();  param q: D -> ()
      let score = x @ p
      select s* = topk(score where m, 2, over S)
      return scatter(score[s*] * (x @ q)[s*], over s*) + sum(score where m, over S) + max(score where m, over S) * 0.1
    }
    loss l(y: [B,S], t: [B,S]) = sum((y - t)^2, over B, S)
  )", {{"B", 4}});
}
