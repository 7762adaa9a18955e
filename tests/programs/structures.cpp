// SPDX-License-Identifier: Apache-2.0
// Constructs that hold others or choose while the program runs: subsets, experts, blocks, loops, states.
#include "tests/programs/constructs.h"
#include <algorithm>

namespace fil::programs {

std::string Constructs::feedForward(const Axes &h) {
  std::string f = fresh("Feed"), t = type(h);
  Axes fixed;
  for (Axis *x : h)
    if (!x->symbolic) fixed.push_back(x);
  if (fixed.empty()) return "";
  Axis *d = any(fixed);
  functions.push_back("block " + f + "(h: " + t + ", W) -> " + t + " {\n  param up: " + side({d}) + " -> W\n  param down: W -> " + side({d}) + "\n" +
                      (chance(40) ? "  param gate: " + side({d}) + " -> W\n  return (silu(h @ gate) * (h @ up)) @ down\n}" : "  return tanh(h @ up) @ down\n}"));
  return f;
}

bool Constructs::attention(Scope &s) {
  Axis *b = dim("B"), *t = dim("T"), *S = dim("S"), *hd = dim("H"), *n = dim("N");
  Value *h = real(s, [&](const Value &v) { return v.axes.size() == 3 && has(v.axes, b) && has(v.axes, t) && std::any_of(v.axes.begin(), v.axes.end(), [&](Axis *x) { return !x->symbolic && x != hd && x != n; }); });
  if (!h) return false;
  Axes fixed = without(h->axes, {b, t});
  Axis *d = fixed[0];
  Value *pos = find(s, [&](const Value &v) { return v.name.rfind("pos", 0) == 0; });
  if (!pos) pos = &inputValue(s, "pos", {t}, Kind::Int);
  pos->used = true;
  const bool grouped = chance(40); // fewer heads for keys and values
  const std::string heads = grouped ? "N" : "(H, N)", kd = grouped ? "[B,S,N]" : "[B,S,H,N]";
  std::string q = param(s, side({d}) + " -> (H, N)"), k = param(s, side({d}) + " -> " + heads), v = param(s, side({d}) + " -> " + heads), o = param(s, "(H, N) -> " + side({d}));
  std::string ks = fresh("past"), vs = fresh("past");
  const bool turn = chance(60);
  auto placed = [&](const std::string &x) { return turn ? "rope(" + x + ", " + pos->name + ", over N" + (n->size > 2 && chance(40) ? ", first=2)" : ")") : x; };
  line(s, "cache " + ks + ": " + kd + " <- " + placed(h->name + " @ " + k));
  line(s, "cache " + vs + ": " + kd + " <- " + h->name + " @ " + v);
  Value &score = let(s, "dot(" + placed(h->name + " @ " + q) + ", " + ks + ", over N) / sqrt(N)", {b, t, hd, S});
  score.used = true;
  if (chance(30)) {
    std::string sub = fresh("s");
    line(s, "select " + sub + "* = topk(mean(" + score.name + ", over H) where causal(T, S), " + std::to_string(1 + below(3)) + ", over S)");
    let(s, "dot(softmax(" + score.name + "[" + sub + "*], over " + sub + "*), " + vs + "[" + sub + "*], over " + sub + "*) @ " + o, {b, t, d});
    feature("sparse attention");
  } else let(s, "dot(softmax(" + score.name + (chance(70) ? " where causal(T, S)" : "") + ", over S), " + vs + ", over S) @ " + o, {b, t, d});
  feature("cache");
  return true;
}

bool Constructs::select(Scope &s) {
  Value *a = real(s, [](const Value &v) { return v.axes.size() > 1 && v.axes.size() < 5; });
  if (!a) return false;
  Axis *over = any(a->axes);
  if (!over->declared) return false;
  Axes per = without(a->axes, {over});
  Value *x = real(s, [&](const Value &v) { return has(v.axes, over) && meet(v.axes, a->axes) && elements(unite(v.axes, a->axes)) <= mostElements; });
  if (!x) return false;
  std::string name = fresh("s"), sub = name + "*", k = over->symbolic || chance(70) ? std::to_string(1 + below(std::min(over->size, 4))) : "0.5 * " + over->name;
  std::string mask = chance(30) ? " where position(" + over->name + ") < " + std::to_string(1 + below(over->size)) : "";
  line(s, "select " + sub + " = topk(" + a->name + mask + ", " + k + ", over " + over->name + ")");
  Axes left = unite(per, without(x->axes, {over}));
  const std::string at = "[" + sub + "]", o = ", over " + sub + ")";
  switch (below(6)) {
  case 0: let(s, "dot(softmax(" + a->name + at + o + ", " + x->name + at + o, left); break;
  case 1: let(s, "mean(" + x->name + at + o, left); break;
  case 2: let(s, "scatter(tanh(" + a->name + at + ") * 0.5, over " + sub + ")", a->axes); feature("scatter"); break;
  case 3: let(s, "sum(normalize(sigmoid(" + a->name + at + ")" + o + " * " + x->name + at + o, left); break;
  case 4: let(s, "max(" + x->name + at + " + " + a->name + at + o, left); break;
  default: let(s, "scatter(" + x->name + at + " * " + a->name + at + ", over " + sub + ") + 0.1 * " + a->name, unite(a->axes, left)); feature("scatter");
  }
  feature("select");
  return true;
}

/// Only the chosen neurons of a hidden dim are computed: `(h @ up[o*]) @ down[o*]`.
bool Constructs::neurons(Scope &s) {
  Value *h = real(s, [](const Value &v) { return v.axes.size() > 1 && std::any_of(v.axes.begin(), v.axes.end(), [](Axis *x) { return !x->symbolic; }); });
  if (!h) return false;
  Axes fixed;
  for (Axis *x : h->axes)
    if (!x->symbolic) fixed.push_back(x);
  Axis *d = any(fixed), *hidden = otherDim(h->axes);
  Axes per = without(h->axes, {d});
  if (!hidden || elements(unite(h->axes, {hidden})) > mostElements) return false;
  std::string p = param(s, side({d}) + " -> " + hidden->name), up = param(s, side({d}) + " -> " + hidden->name), down = param(s, hidden->name + " -> " + side({d})), o = fresh("o") + "*";
  line(s, "select " + o + " = topk(" + h->name + " @ " + p + ", " + std::to_string(1 + below(hidden->size)) + ", over " + hidden->name + ")");
  if (chance(60)) let(s, "relu(" + h->name + " @ " + up + "[" + o + "]) @ " + down + "[" + o + "]", h->axes);
  else let(s, "scatter(tanh(" + h->name + " @ " + up + "[" + o + "]), over " + o + ") @ " + down, h->axes);
  s.params.erase(std::find(s.params.begin(), s.params.end(), p)); // nothing but a choice
  lines.back() += " + 0.1 * mean(" + h->name + " @ " + p + ", over " + hidden->name + ")";
  feature("chosen neurons");
  return true;
}

bool Constructs::route(Scope &s) {
  Axis *e = dim("E");
  Value *h = real(s, [&](const Value &v) { return v.axes.size() > 1 && !has(v.axes, e) && elements(unite(v.axes, {e})) <= mostElements && std::any_of(v.axes.begin(), v.axes.end(), [](Axis *x) { return !x->symbolic; }); });
  if (!h) return false;
  std::string f = feedForward(h->axes);
  if (f.empty()) return false;
  Axes fixed;
  for (Axis *x : h->axes)
    if (!x->symbolic) fixed.push_back(x);
  Axis *d = any(fixed);
  Axes tokens = without(h->axes, {d});
  std::string gate = param(s, side({d}) + " -> E"), bias, family = fresh("e"), width = std::to_string(1 + below(4));
  const bool balanced = chance(50);
  if (balanced) bias = fresh("bias"), line(s, "state " + bias + ": [E] = 0");
  line(s, "experts " + family + " in E: " + f + "(W=" + width + ")");
  Value &a = let(s, "sigmoid(" + h->name + " @ " + gate + ")", unite(tokens, {e}));
  a.used = true;
  const std::string sub = fresh("r") + "*", hn = h->name;
  line(s, "route " + sub + " = topk(" + a.name + (balanced ? " + " + bias : "") + ", " + std::to_string(1 + below(std::min(3, e->size))) + ", over E)");
  if (balanced) line(s, "on step: " + bias + " += 1e-2 * sign(mean(load(" + sub + "), over E) - load(" + sub + "))"), feature("balancing state");
  if (chance(30)) line(s, "aux 0.1 * sum(load(" + sub + ") * mean(" + a.name + ", over " + list(tokens, ", ") + "), over E)" + (chance(50) ? " trains {" + gate + "}" : "")), feature("aux");
  const Axes all = h->axes;
  switch (below(4)) {
  case 0: let(s, "dot(normalize(" + a.name + "[" + sub + "], over " + sub + "), " + family + "[" + sub + "](" + hn + "), over " + sub + ")", all); break;
  case 1: let(s, "sum(normalize(" + a.name + "[" + sub + "], over " + sub + ") * 1.5 * " + family + "[" + sub + "](" + hn + "), over " + sub + ") + " + f + "(" + hn + ", W=2)", all); break;
  case 2: let(s, "mean(" + a.name + "[" + sub + "] * " + family + "[" + sub + "](" + hn + "), over " + sub + ")", all); break;
  default: let(s, "sum(softmax(" + a.name + ", over E) * " + family + "(" + hn + "), over E) + mean(" + family + "[" + sub + "](" + hn + "), over " + sub + ")", all); feature("all experts");
  }
  feature("route");
  return true;
}

std::string Constructs::branch(Scope &s, const Value &h, const std::string &turn, int turns) {
  std::string f = chance(60) ? feedForward(h.axes) : "", a = f.empty() ? function(h.name) : f + "(" + h.name + ", W=" + std::to_string(1 + below(3)) + ")";
  if (!chance(50)) return a;
  std::string g = chance(50) ? feedForward(h.axes) : "", b = g.empty() ? function(h.name) : g + "(" + h.name + ", W=2)";
  feature("static condition");
  return "if " + turn + " " + word({"<", "==", ">=", "!="}) + " " + std::to_string(below(turns)) + " { " + a + " } else { " + b + " }";
}

bool Constructs::layers(Scope &s) {
  if (s.depth > 1) return false;
  std::vector<std::string> carried;
  Axes shape;
  for (int i = 1 + below(2); i > 0; --i) {
    Value *v = real(s, [&](const Value &x) { return x.rebindable && elements(x.axes) <= mostElements / 2 && std::find(carried.begin(), carried.end(), x.name) == carried.end(); });
    if (!v) break;
    carried.push_back(v->name);
  }
  if (carried.empty()) return false;
  std::string l = fresh("l");
  const int turns = 2 + below(2), from = chance(25) ? 1 : 0;
  const bool pairs = chance(25);
  std::string width, head;
  if (pairs) {
    width = fresh("u");
    head = "layers " + l + ", (" + width + ", " + fresh("u") + ") in [(2, 1), (2, 1), (3, 0)] {";
    feature("layers over a list");
  } else head = "layers " + l + " in " + std::to_string(from) + (chance(30) ? "..=" + std::to_string(from + turns - 1) : ".." + std::to_string(from + turns)) + " {";
  line(s, head);
  Scope inner;
  inner.outer = &s, inner.indent = s.indent + "  ", inner.depth = s.depth + 1;
  auto valueOf = [&](const std::string &name) -> Value * {
    for (Scope *at = &s; at; at = at->outer)
      for (Value &v : at->values)
        if (v.name == name) return &v;
    return nullptr;
  };
  body(inner, 1 + below(3));
  if (chance(30)) layers(inner), feature("nested layers");
  for (const std::string &name : carried) {
    Value &h = *valueOf(name);
    std::string add = branch(inner, h, l, turns + from);
    if (pairs && chance(70))
      if (std::string f = feedForward(h.axes); !f.empty()) add = f + "(" + name + ", W=" + width + ")";
    add = "0.5*tanh(" + add + rest(inner, h.axes) + ")";
    if (chance(60)) line(inner, name + " += " + add);
    else line(inner, name + " = " + name + " * 0.9 + " + add);
    h.used = false;
  }
  line(s, "}");
  if (carried.size() > 1) feature("several carried values");
  feature("layers");
  return true;
}

/// What is carried changes its type in each turn.
bool Constructs::carriedTypes(Scope &s) {
  if (s.depth) return false;
  Value *a = real(s, [](const Value &v) { return v.axes.size() > 1 && std::any_of(v.axes.begin(), v.axes.end(), [](Axis *x) { return !x->symbolic && x->declared; }); });
  if (!a) return false;
  Axes fixed;
  for (Axis *x : a->axes)
    if (!x->symbolic && x->declared) fixed.push_back(x);
  Axis *d = any(fixed), *e = otherDim(a->axes);
  Axis *g = e ? otherDim(unite(a->axes, {e})) : nullptr;
  if (!g || elements(unite(without(a->axes, {d}), {e})) > mostElements || elements(unite(without(a->axes, {d}), {g})) > mostElements) return false;
  std::string f = fresh("Turn"), l = fresh("l"), h = fresh("v"), in = type(unite(without(a->axes, {d}), {}));
  Axes others = without(a->axes, {d});
  functions.push_back("block " + f + "(x: [" + list(others) + (others.empty() ? "" : ",") + "In], Out) -> [" + list(others) + (others.empty() ? "" : ",") + "Out] {\n  param w: In -> Out\n  return tanh(x @ w)\n}");
  line(s, "let " + h + " = " + a->name + " * 0.9");
  line(s, "layers " + l + ", (q, r) in [(" + e->name + ", 1), (" + g->name + ", 2), (" + g->name + ", 2)] { " + h + " = " + f + "(" + h + ", q) }");
  s.values.push_back({h, unite(others, {g}), Kind::Real, nullptr, true, false});
  feature("carried type changes");
  return true;
}

bool Constructs::block(Scope &s) {
  Value *a = real(s, [](const Value &v) { return v.axes.size() > 1; });
  if (!a) return false;
  std::string f = feedForward(a->axes);
  if (f.empty()) return false;
  std::string call = f + "(" + a->name + ", W=" + std::to_string(1 + below(4)) + ")";
  if (chance(60)) call += " - " + f + "(" + function(a->name) + ", W=" + std::to_string(1 + below(4)) + ")", feature("block used twice");
  let(s, call, a->axes);
  feature("block");
  return true;
}
bool Constructs::sharedBlock(Scope &s) {
  Value *a = real(s, [](const Value &v) { return v.axes.size() > 1; });
  if (!a) return false;
  std::string f = feedForward(a->axes), g = fresh("shared");
  if (f.empty()) return false;
  line(s, "param " + g + ": " + f + "(W=" + std::to_string(1 + below(3)) + ")");
  let(s, chance(50) ? g + "(" + g + "(" + a->name + ") + 0.5)" : g + "(" + a->name + ") * " + g + "(sin(" + a->name + "))", a->axes);
  feature("shared instance");
  return true;
}

/// A block with a body of its own, its dims as formals.
bool Constructs::ownBlock(Scope &s) {
  if (s.depth > 1) return false;
  Value *a = real(s, [](const Value &v) { return v.axes.size() > 1 && std::any_of(v.axes.begin(), v.axes.end(), [](Axis *x) { return !x->symbolic && x->declared; }); });
  if (!a) return false;
  std::string f = fresh("Own");
  std::vector<std::string> outside;
  std::swap(outside, lines);
  Scope inner;
  inner.indent = "  ", inner.depth = 2;
  inner.values.push_back({"x", a->axes, Kind::Real, nullptr, false, false});
  body(inner, 2 + below(3));
  Value *last = real(inner, [&](const Value &v) { return elements(v.axes) <= mostElements; });
  Axes result = last->axes;
  std::string text = "block " + f + "(x: " + type(a->axes) + ") -> " + type(result) + " {\n";
  line(inner, "return tanh(" + last->name + rest(inner, result) + ")");
  for (const std::string &l : lines) text += l + "\n";
  functions.push_back(text + "}");
  std::swap(outside, lines);
  let(s, f + "(" + a->name + ")", result);
  feature("block with a body");
  return true;
}

bool Constructs::kept(Scope &s) {
  Value *a = real(s, [](const Value &v) { return v.axes.size() > 1 && std::any_of(v.axes.begin(), v.axes.end(), [](Axis *x) { return !x->symbolic; }); });
  if (!a) return false;
  Axes fixed;
  for (Axis *x : a->axes)
    if (!x->symbolic) fixed.push_back(x);
  Axis *c = any(fixed);
  if (chance(50)) {
    let(s, "BatchNorm(" + a->name + ", C=" + c->name + ")", a->axes);
    if (elements(a->axes) / c->size < 3) lines.back() = s.indent + "let " + s.values.back().name + " = " + a->name + " * 1.1";
    else feature("BatchNorm");
    return true;
  }
  std::string m = fresh("mu");
  line(s, "state " + m + ": [" + c->name + "] = 0");
  line(s, "on step: " + m + " += 0.1 * (mean(" + a->name + ", over " + list(without(a->axes, {c}), ", ") + ") - " + m + ")");
  let(s, "(" + a->name + " - " + m + ") * (if training { 1 } else { 0.5 })", a->axes);
  feature("state");
  return true;
}

bool Constructs::furtherLoss(Scope &s) {
  Value *a = real(s);
  if (!a) return false;
  a->used = false; // the result still depends on it
  std::string trains;
  if (!s.params.empty() && chance(60)) trains = " trains {" + any(s.params) + (s.params.size() > 2 && chance(50) ? ", " + s.params.back() : "") + "}", feature("aux trains");
  line(s, "aux 0.2 * " + (a->axes.empty() || chance(40) ? a->name + "^2" : "mean(" + a->name + " ^ 2, over " + any(a->axes)->name + ")") + trains);
  feature("aux");
  return true;
}

} // namespace fil::programs
