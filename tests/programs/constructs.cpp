// SPDX-License-Identifier: Apache-2.0
// Constructs that make one value from others.
#include "tests/programs/constructs.h"
#include <algorithm>

namespace fil::programs {

bool Constructs::elementwise(Scope &s) {
  Value *a = real(s), *b = a && chance(75) ? partner(s, *a) : nullptr;
  if (!a) return false;
  if (b && b != a) let(s, function(a->name, b->name), unite(a->axes, b->axes));
  else let(s, function(a->name), a->axes);
  feature("elementwise");
  return true;
}

bool Constructs::reduction(Scope &s) {
  Value *a = real(s, [](const Value &v) { return v.axes.size() > 1; });
  if (!a) return false;
  Axes over;
  for (Axis *x : a->axes)
    if (chance(45)) over.push_back(x);
  if (over.empty()) over.push_back(any(a->axes));
  std::shuffle(over.begin(), over.end(), random);
  const std::string x = a->name, dims = "over " + list(over, ", ");
  if (over.size() == 1) {
    const std::string n = "(" + over[0]->name + ")";
    let(s, word({"logsumexp", "max", "min", "mean"}) + "(" + x + ", " + dims + ")" + (chance(30) ? " / sqrt" + n : ""), without(a->axes, over));
  } else let(s, word({"mean", "max", "min", "0.3 * sum"}) + "(" + x + ", " + dims + ")", without(a->axes, over));
  feature("reduction");
  if (over.size() == a->axes.size()) feature("reduction of all dims");
  return true;
}

bool Constructs::normalizer(Scope &s) {
  Value *a = real(s, [](const Value &v) { return !v.axes.empty(); });
  if (!a) return false;
  Axis *over = any(a->axes);
  const std::string x = a->name, o = ", over " + over->name + ")";
  switch (below(5)) {
  case 0: let(s, "softmax(2*" + x + o + " * 3", a->axes); break;
  case 1: let(s, "normalize(exp(0.4*tanh(" + x + "))" + o, a->axes); break;
  case 2: let(s, over->size > 1 ? "layernorm(" + x + " + 0.3 * position(" + over->name + ")" + o : "tanh(" + x + ")", a->axes); break;
  case 3: let(s, x + " * rsqrt(mean(" + x + "^2" + o + " + 1e-2)", a->axes); break;
  default: let(s, "0.2 * kl(softmax(" + x + o + ", softmax(sin(" + x + ")" + o + o, without(a->axes, {over}));
  }
  feature("normalizer");
  return true;
}

bool Constructs::map(Scope &s) {
  Value *a = real(s, [](const Value &v) { return !v.axes.empty(); });
  if (!a) return false;
  Axes left;
  for (Axis *x : a->axes)
    if (!x->symbolic && left.size() < 3 && chance(60)) left.push_back(x);
  if (left.empty()) return false;
  std::shuffle(left.begin(), left.end(), random);
  const int square = below(10);
  Axes kept = without(a->axes, left), right;
  std::string rightText;
  if (square < 2) { // equal dims on both sides
    right = left;
    if (square == 0 && left.size() > 1) right.pop_back();
    feature("square map");
  } else if (square == 2) feature("map to a scalar");
  else
    for (int i = 1 + below(3); i > 0; --i)
      if (Axis *o = otherDim(unite(unite(a->axes, right), left)); o && elements(unite(unite(kept, right), {o})) <= mostElements) right.push_back(o);
  if (elements(unite(unite(a->axes, right), {})) > mostTerms || elements(unite(kept, right)) > mostElements) return false;
  std::string w = param(s, side(left) + " -> " + side(right), chance(30) ? " = normal(0.5)" : chance(20) ? " = uniform(-1, 1)" : "");
  if (left.size() > 1) feature("map of several dims");
  std::string e = a->name + " @ " + w;
  if (chance(20)) e = a->name + " @ tanh(" + w + ")", feature("function of a map");
  let(s, chance(40) ? function("(" + e + ")") : e, unite(kept, right));
  if (square < 2 && chance(50)) { // the two sides of a square map, told apart
    Axis *in = left[0];
    std::string q = param(s, in->name + " -> (" + "Out:" + in->name + ")");
    let(s, "tanh(sum(" + q + " ^ 2, over Out)) * 0.5", {in});
    feature("named sides");
  }
  feature("map");
  return true;
}

bool Constructs::dotProduct(Scope &s) {
  Value *a = real(s, [](const Value &v) { return !v.axes.empty(); });
  if (!a) return false;
  Value *b = real(s, [&](const Value &v) { return meet(a->axes, v.axes) && std::any_of(v.axes.begin(), v.axes.end(), [&](Axis *x) { return has(a->axes, x); }) && elements(unite(a->axes, v.axes)) <= mostTerms; });
  if (!b) return false;
  Axes common = without(a->axes, without(a->axes, b->axes)), over;
  for (Axis *x : common)
    if (chance(60)) over.push_back(x);
  if (over.empty()) over = {common[0]};
  Axes left = without(unite(a->axes, b->axes), over);
  if (elements(left) > mostElements) return false;
  let(s, "dot(" + a->name + ", " + b->name + ", over " + list(over, ", ") + ") / " + std::to_string(elements(over)), left);
  if (without(common, over).size()) feature("dot with batch dims");
  feature("dot");
  return true;
}

bool Constructs::table(Scope &s) {
  Axis *v = dim("V"), *d = otherDim({v});
  Value *i = find(s, [&](const Value &x) { return x.kind == Kind::Index && x.indexed == v; });
  if (!i || chance(30)) i = &inputValue(s, "tok", chance(70) && has({dim("T")}, dim("T")) ? Axes{dim("B"), dim("T")} : Axes{dim("B")}, Kind::Index, v);
  i->used = true;
  std::string w = param(s, chance(50) ? "V -> " + d->name : "[V, " + d->name + "]", " = normal(0.5)");
  let(s, w + "[" + i->name + "]", unite(i->axes, {d}));
  feature("table");
  return true;
}

bool Constructs::tied(Scope &s) {
  Axis *v = dim("V");
  Value *h = real(s, [&](const Value &x) { return !has(x.axes, v) && std::any_of(x.axes.begin(), x.axes.end(), [](Axis *a) { return !a->symbolic; }); });
  if (!h) return false;
  Axes fixed;
  for (Axis *x : h->axes)
    if (!x->symbolic) fixed.push_back(x);
  Axis *d = any(fixed);
  Value &i = inputValue(s, "tok", {dim("B")}, Kind::Index, v);
  std::string w = param(s, v->name + " -> " + side({d}), " = normal(0.3)");
  Axes both = unite(h->axes, {dim("B")});
  if (elements(unite(both, {v})) > mostElements || !meet(h->axes, i.axes)) return false;
  Value &e = let(s, "tanh(" + h->name + " + " + w + "[" + i.name + "])", both);
  let(s, "dot(" + e.name + ", " + w + ", over " + d->name + ")", unite(without(both, {d}), {v}));
  e.used = true;
  feature("tied table");
  return true;
}

bool Constructs::bestIndex(Scope &s) {
  Value *a = real(s, [](const Value &v) { return v.axes.size() > 1; });
  if (!a) return false;
  Axis *over = any(a->axes);
  Value &i = let(s, "argmax(" + a->name + ", over " + over->name + ")", without(a->axes, {over}), Kind::Index, over);
  i.used = true;
  Value *x = real(s, [&](const Value &v) { return has(v.axes, over) && meet(v.axes, i.axes) && elements(unite(without(v.axes, {over}), i.axes)) <= mostElements; });
  if (!x) return true;
  let(s, x->name + "[" + i.name + "]", unite(without(x->axes, {over}), i.axes));
  feature("index of the largest");
  return true;
}

bool Constructs::absent(Scope &s) {
  Value *a = real(s, [](const Value &v) { return v.axes.size() > 1; });
  if (!a) return false;
  Axis *over = any(a->axes);
  std::string c;
  Value *m = chance(50) ? find(s, [&](const Value &v) { return v.kind == Kind::Bool && has(v.axes, over) && meet(v.axes, a->axes) && elements(unite(v.axes, a->axes)) <= mostElements; }) : nullptr;
  Axes all = a->axes;
  if (m) c = m->name, all = unite(all, m->axes), feature("bool");
  else if (Value *b = real(s, [&](const Value &v) { return has(v.axes, over) && meet(v.axes, a->axes) && elements(unite(v.axes, a->axes)) <= mostElements; })) c = b->name + " > 0.1", all = unite(all, b->axes);
  else return false;
  const std::string x = "(" + a->name + " where " + c + ")", o = ", over " + over->name + ")", some = "(" + a->name + " where " + c + " or position(" + over->name + ") < 1)";
  Axes left = without(all, {over});
  switch (below(8)) {
  case 0: let(s, "sum(" + x + o + " * 0.4", left); break;
  case 1: let(s, "mean(" + x + " * 2" + o, left); break;
  case 2: let(s, "softmax(" + x + o, all); lines.back() += " where " + c + " else 0.1"; break;
  case 3: let(s, "max(" + some + o, left); break;
  case 4: let(s, "min(tanh(" + some + ")" + o, left); break;
  case 5: let(s, "logsumexp(" + some + o, left); break;
  case 6: let(s, "0.3 * dot(" + x + ", " + a->name + o, left); break;
  default: let(s, "sin(" + x + ") * 2 where " + c + " else " + a->name, all);
  }
  feature("absent elements");
  return true;
}

bool Constructs::gain(Scope &s) {
  Value *a = real(s, [](const Value &v) { return !v.axes.empty(); });
  if (!a) return false;
  Axes own;
  for (Axis *x : a->axes)
    if (!x->symbolic && chance(70)) own.push_back(x);
  std::shuffle(own.begin(), own.end(), random);
  std::string g = param(s, "[" + list(own) + "]", own.empty() || chance(50) ? " = 1" : " = uniform(0.5, 1.5)"), b = param(s, "[" + list(own) + "]", " = 0");
  let(s, a->name + " * " + g + " + " + b, a->axes);
  feature("gain");
  return true;
}

bool Constructs::whole(Scope &s) {
  Value *a = real(s, [](const Value &v) { return !v.axes.empty(); });
  if (!a) return false;
  Axis *d = any(a->axes);
  const std::string n = d->name.find_first_of("+/*") == std::string::npos ? "position(" + d->name + ")" : "2";
  switch (below(4)) {
  case 0: let(s, a->name + " * mod(" + n + " + 1, 3) * 0.5", a->axes); break;
  case 1: let(s, a->name + " where " + n + " < 2 else -" + a->name, a->axes); break;
  case 2: {
    if (!d->declared) return false;
    Value &i = inputValue(s, "n", {d}, Kind::Int);
    i.used = true;
    let(s, "tanh(" + a->name + " * (" + i.name + " - 3) * 0.2) + " + i.name + "/7", a->axes);
    break;
  }
  default: {
    if (!d->declared) return false;
    Value &m = chance(50) ? inputValue(s, "m", {d}, Kind::Bool) : let(s, a->name + " >= 0.2", a->axes, Kind::Bool);
    Axes all = unite(a->axes, m.axes);
    let(s, a->name + " * " + m.name + " + (0.1 where not " + m.name + " else 0.2)", all);
    feature("bool");
  }
  }
  feature("whole numbers");
  return true;
}

bool Constructs::position(Scope &s) {
  Value *a = real(s, [](const Value &v) { return std::any_of(v.axes.begin(), v.axes.end(), [](Axis *x) { return x->declared && !x->symbolic; }); });
  if (!a) return false;
  Axes fixed;
  for (Axis *x : a->axes)
    if (x->declared && !x->symbolic) fixed.push_back(x);
  Axis *d = any(fixed);
  let(s, a->name + "[" + d->name + "=" + std::to_string(below(d->size)) + "]" + (chance(50) ? " - " + a->name + "[" + d->name + "=0] * 0.5" : ""), without(a->axes, {d}));
  feature("one position");
  return true;
}

bool Constructs::cut(Scope &s) {
  Value *a = real(s, [](const Value &v) { return std::any_of(v.axes.begin(), v.axes.end(), [](Axis *x) { return x->size > 1 && !x->symbolic; }); });
  if (!a) return false;
  Axes fixed;
  for (Axis *x : a->axes)
    if (x->size > 1 && !x->symbolic) fixed.push_back(x);
  Axis *d = any(fixed);
  const int n = 1 + below(d->size - 1);
  std::string lo = fresh("lo"), hi = fresh("hi"), p = fresh("v"), q = fresh("v");
  Axis *first = made(lo, nullptr, n), *second = made(hi, nullptr, d->size - n);
  line(s, "let (" + p + ", " + q + ") = split(" + a->name + ", " + lo + ":" + std::to_string(n) + ", " + hi + ":" + std::to_string(d->size - n) + ", over " + d->name + ")");
  Axes l = unite({first}, without(a->axes, {d})), r = unite({second}, without(a->axes, {d}));
  if (chance(50)) { // and joined again, the other way round
    let(s, "concat(" + q + ", tanh(" + p + "), over " + d->name + ")", a->axes);
  } else {
    let(s, "mean(" + p + ", over " + lo + ") + max(" + q + ", over " + hi + ")", without(a->axes, {d}));
  }
  feature("split");
  return true;
}

bool Constructs::join(Scope &s) {
  Value *a = real(s, [](const Value &v) { return std::any_of(v.axes.begin(), v.axes.end(), [](Axis *x) { return x->declared && !x->symbolic; }); });
  if (!a) return false;
  Axes fixed;
  for (Axis *x : a->axes)
    if (x->declared && !x->symbolic) fixed.push_back(x);
  Axis *d = any(fixed), *e = otherDim(a->axes);
  if (!e || elements(a->axes) / d->size * (d->size + e->size) > mostElements) return false;
  std::string w = param(s, side({d}) + " -> " + e->name), name = d->name + "+" + e->name;
  Axis *sum = made(name, nullptr, d->size + e->size);
  Axes joined = unite(without(a->axes, {d}), {sum});
  Value &v = let(s, "concat(" + a->name + ", " + a->name + " @ " + w + ")", joined);
  feature("concat");
  if (chance(60)) {
    Axis *o = otherDim(unite(a->axes, {e}));
    if (!o || elements(unite(without(joined, {sum}), {o})) > mostElements) return true;
    std::string u = param(s, "(" + name + ") -> " + o->name);
    v.used = true;
    let(s, v.name + " @ " + u, unite(without(joined, {sum}), {o}));
  } else if (chance(50)) {
    std::string p = fresh("v"), q = fresh("v");
    v.used = true;
    line(s, "let (" + p + ", " + q + ") = split(" + v.name + ", " + d->name + ", " + e->name + ")");
    let(s, p + " * mean(" + q + ", over " + e->name + ")", a->axes);
  }
  return true;
}

bool Constructs::renamed(Scope &s) {
  Value *a = real(s, [](const Value &v) { return v.axes.size() > 1 && std::any_of(v.axes.begin(), v.axes.end(), [](Axis *x) { return x->declared; }); });
  if (!a) return false;
  Axes named;
  for (Axis *x : a->axes)
    if (x->declared) named.push_back(x);
  Axis *d = any(named), *over = any(a->axes);
  if (over == d || d->symbolic || elements(a->axes) * d->size > mostElements) return false;
  axes.push_back({fresh("Also"), "", d->size, false, true, d->name, true});
  Axis *to = &axes.back();
  to->base = to->name;
  Value &r = let(s, "rename(" + a->name + ", " + d->name + "=" + to->name + ")", unite(without(a->axes, {d}), {to}));
  r.used = true;
  let(s, "softmax(dot(" + a->name + ", " + r.name + ", over " + over->name + "), over " + to->name + ")", unite(without(a->axes, {over}), {to}));
  feature("rename");
  return true;
}

bool Constructs::convolution(Scope &s) {
  Axis *y = dim("Y"), *x = dim("X"), *c = dim("C"), *o = dim("O");
  Value *img = real(s, [&](const Value &v) { return has(v.axes, y) && has(v.axes, x); });
  if (!img && s.model && !s.outer) img = &inputValue(s, "img", {dim("B"), c, y, x});
  if (!img || has(img->axes, o)) return false;
  img->used = true;
  const int k = 1 + 2 * below(2), stride = chance(30) ? 2 : 1;
  Axes channels = has(img->axes, c) ? Axes{c} : Axes{};
  const bool same = stride == 2 || chance(60) || k == 1;
  const std::string st = stride == 2 ? " stride 2" : "", pad = same ? ", pad=same" : "";
  auto shrunk = [&](Axis *a, int window, int step, bool padded) {
    if (padded) return step == 1 ? a : made(a->name + "/" + std::to_string(step), a, a->size / step);
    return made(a->name + "-" + std::to_string(window - 1), a, a->size - window + 1);
  };
  const std::string size = std::to_string(k);
  std::string left = channels.empty() ? "(ky:" + size + ", kx:" + size + ")" : chance(50) ? "(C, ky:" + size + ", kx:" + size + ")" : "(ky:" + size + ", C, kx:" + size + ")";
  std::string w = param(s, left + " -> " + o->name);
  Axes image = unite(without(without(img->axes, {y, x}), channels), {shrunk(y, k, stride, same), shrunk(x, k, stride, same), o});
  if (elements(image) > 2 * mostElements) return false;
  Value &h = let(s, "relu(window(" + img->name + ", Y by ky" + st + ", X by kx" + st + pad + ") @ " + w + ")", image);
  feature("convolution");
  h.used = true;
  Axis *oy = shrunk(y, k, stride, same);
  if (oy == y && chance(60)) {
    Axis *half = shrunk(y, 2, 2, true);
    let(s, word({"max", "mean"}) + "(window(" + h.name + ", Y by py:2 stride 2), over py)", unite(without(image, {y}), {half}));
    feature("pooling");
  } else let(s, "mean(window(" + h.name + ", " + oy->name.substr(0, 1) + " by py:3, pad=same), over py)", image);
  return true;
}

bool Constructs::lineWindow(Scope &s) {
  Value *a = real(s, [&](const Value &v) { return std::any_of(v.axes.begin(), v.axes.end(), [](Axis *x) { return x->name == "T" || x->name == "P"; }); });
  if (!a) return false;
  Axes fits;
  for (Axis *x : a->axes)
    if (x->name == "T" || x->name == "P") fits.push_back(x);
  Axis *t = any(fits);
  const bool same = chance(60);
  Axis *to = same ? t : made(t->name + "-2", t, t->size - 2);
  const std::string window = "window(" + a->name + ", " + t->name + " by kt:3" + (same ? ", pad=same)" : ")");
  Axes left = unite(without(a->axes, {t}), {to});
  if (chance(50)) {
    std::string w = param(s, chance(50) ? "[kt:3]" : "(kt:3) -> ()", " = normal(0.5)");
    let(s, lines.back().find("->") != std::string::npos ? window + " @ " + w : "dot(" + window + ", " + w + ", over kt)", left);
  } else let(s, word({"max", "mean", "min", "logsumexp"}) + "(" + window + ", over kt)", left);
  feature("window over one dim");
  return true;
}

bool Constructs::noGradient(Scope &s) {
  Value *a = real(s), *b = a ? partner(s, *a) : nullptr;
  if (!b) return false;
  if (chance(50)) let(s, a->name + " * stopgrad(" + function(b->name) + ")", unite(a->axes, b->axes)), feature("stopgrad");
  else let(s, "dropout(" + a->name + ", 0.3) + 0.2*" + b->name, unite(a->axes, b->axes)), feature("dropout");
  return true;
}

bool Constructs::userFunction(Scope &s) {
  Value *a = real(s, [](const Value &v) { return !v.axes.empty(); }), *b = a ? partner(s, *a) : nullptr;
  if (!b) return false;
  std::string f = fresh("f");
  Axis *over = any(a->axes);
  switch (below(4)) {
  case 0:
    functions.push_back("fn " + f + "(x: [..], y: [..], scale=0.5) = " + function("x", "y") + " * scale");
    let(s, f + "(" + a->name + ", " + b->name + (chance(50) ? ", scale=0.25)" : ")"), unite(a->axes, b->axes));
    break;
  case 1:
    functions.push_back("fn " + f + "(x: [..], over Q) {\n  let c = x - mean(x, over Q)\n  return c / (1 + mean(c^2, over Q))\n}");
    let(s, f + "(" + a->name + ", over " + over->name + ")", a->axes);
    break;
  case 2:
    functions.push_back("fn " + f + "(x: [..]) {\n  return (sin(x), x * cos(x))\n}");
    {
      std::string p = fresh("v"), q = fresh("v");
      line(s, "let (" + p + ", " + q + ") = " + f + "(" + a->name + ")");
      let(s, p + " + 0.5*" + q, a->axes);
    }
    break;
  default:
    if (over->symbolic) return false;
    functions.push_back("fn " + f + "(x: [.., X1], g: [X1]) = x * rsqrt(mean(x^2, over X1) + 1e-2) * g");
    let(s, f + "(" + a->name + ", " + param(s, "[" + over->name + "]", " = 1") + ")", a->axes);
  }
  feature("function");
  return true;
}

} // namespace fil::programs
