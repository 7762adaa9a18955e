// SPDX-License-Identifier: Apache-2.0
#include "tests/programs/writer.h"
#include <algorithm>

namespace fil::programs {

Writer::Writer(uint64_t seed) : random(seed * 0x9E3779B97F4A7C15ull + 1) {
  for (int i = 0; i < 3; ++i) random();
  const std::vector<int> batch{1, 2, 3, 3, 5}, length{3, 4, 5, 7}, odd{1, 2, 3, 3, 4, 5, 5, 6, 7};
  auto add = [&](const char *name, int size, bool symbolic = false, const char *formula = "") {
    axes.push_back({name, name, size, symbolic});
    axes.back().formula = formula;
    return &axes.back();
  };
  add("B", any(batch), true);
  const int t = any(length);
  add("T", t, true), add("S", t, true); // only caches have S
  Axis *d = add("D", chance(4) ? 17 : any(odd));
  add("E", any(odd)), add("G", any(odd));
  chance(50) ? add("F", 2 * d->size, false, "2*D") : add("F", any(odd));
  add("H", 1 + below(2)), add("N", 2 * (1 + below(2))), add("K", 2 + below(4)), add("V", 3 + below(5)), add("O", 1 + below(3)), add("P", 3 + below(4));
  add("Y", chance(50) ? 4 : 6), add("X", chance(50) ? 4 : 6), add("C", 1 + below(3));
}

Axis *Writer::dim(const std::string &name) {
  for (Axis &a : axes)
    if (a.name == name && a.declared) {
      a.used = true;
      if (a.formula == "2*D") dim("D");
      return &a;
    }
  return nullptr;
}
Axis *Writer::made(const std::string &name, const Axis *of, int size) {
  for (Axis &a : axes)
    if (a.name == name && a.size == size) return &a;
  axes.push_back({name, of ? of->base : name, size, of && of->symbolic, false});
  return &axes.back();
}
bool Writer::has(const Axes &list, const Axis *a) { return std::find(list.begin(), list.end(), a) != list.end(); }
bool Writer::meet(const Axes &a, const Axes &b) {
  for (const Axis *x : a)
    for (const Axis *y : b)
      if (x != y && x->base == y->base) return false;
  return true;
}
Axis *Writer::otherDim(const Axes &none) {
  std::vector<std::string> names{"D", "E", "F", "G", "K", "H"};
  std::shuffle(names.begin(), names.end(), random);
  for (const std::string &n : names) {
    auto it = std::find_if(axes.begin(), axes.end(), [&](Axis &a) { return a.name == n; });
    if (!has(none, &*it) && meet(none, {&*it})) return dim(n);
  }
  return nullptr;
}
int64_t Writer::elements(const Axes &list) {
  int64_t n = 1;
  for (const Axis *a : list) n *= a->size;
  return n;
}
Axes Writer::unite(Axes a, const Axes &b) {
  for (Axis *x : b)
    if (!has(a, x)) a.push_back(x);
  return a;
}
Axes Writer::without(const Axes &list, const Axes &gone) {
  Axes left;
  for (Axis *a : list)
    if (!has(gone, a)) left.push_back(a);
  return left;
}
std::string Writer::list(const Axes &all, const char *comma) {
  std::string s;
  for (const Axis *a : all) s += (s.empty() ? "" : comma) + a->name;
  return s;
}
std::string Writer::side(const Axes &all) {
  const bool bare = all.size() == 1 && all[0]->name.find_first_of("+/*-") == std::string::npos;
  return bare ? all[0]->name : "(" + list(all, ", ") + ")";
}

Value *Writer::find(Scope &s, const Wanted &wanted) {
  std::vector<Value *> found;
  for (Scope *at = &s; at; at = at->outer)
    for (Value &v : at->values)
      if (wanted(v)) {
        found.push_back(&v);
        if (!v.used) found.push_back(&v), found.push_back(&v); // what waits is taken sooner
      }
  if (found.empty()) return nullptr;
  Value *v = any(found);
  v->used = true;
  return v;
}
Value *Writer::real(Scope &s, const Wanted &w) {
  return find(s, [&](const Value &v) { return v.kind == Kind::Real && w(v); });
}
Value *Writer::partner(Scope &s, const Value &a) {
  return real(s, [&](const Value &v) { return meet(a.axes, v.axes) && elements(unite(a.axes, v.axes)) <= mostElements; });
}
Value &Writer::let(Scope &s, const std::string &expression, Axes axes, Kind kind, Axis *indexed) {
  std::string name = fresh(kind == Kind::Bool ? "c" : kind == Kind::Real ? "v" : "n");
  line(s, "let " + name + " = " + expression);
  s.values.push_back({name, std::move(axes), kind, indexed, kind == Kind::Real, false});
  return s.values.back();
}
std::string Writer::param(Scope &s, const std::string &type, const char *init) {
  std::string name = fresh("w");
  line(s, "param " + name + ": " + type + init);
  s.params.push_back(name);
  return name;
}
std::string Writer::input(const char *stem, const std::string &type) {
  std::string name = fresh(stem);
  inputs.push_back({name, type});
  return name;
}
Value &Writer::inputValue(Scope &s, const char *stem, Axes axes, Kind kind, Axis *indexed) {
  const std::string element = kind == Kind::Bool ? "bool" : kind == Kind::Int ? "int" : kind == Kind::Index ? "index<" + indexed->name + ">" : "";
  Scope *top = &s;
  while (top->outer) top = top->outer;
  top->values.push_back({input(stem, element + type(axes)), std::move(axes), kind, indexed, false, false});
  return top->values.back();
}
std::string Writer::rest(Scope &s, const Axes &keep) {
  std::string terms;
  for (Value &v : s.values) {
    if (v.used || v.kind != Kind::Real) continue;
    v.used = true;
    Axes extra = without(v.axes, keep);
    const char *reduction = chance(70) ? "mean" : "max";
    terms += " + 0." + std::to_string(1 + below(5)) + "*" + (extra.empty() ? v.name : reduction + std::string("(") + v.name + ", over " + list(extra, ", ") + ")");
  }
  return terms;
}

static std::string replaced(std::string form, const std::string &a, const std::string &b) {
  std::string s;
  for (char c : form) s += c == '$' ? a : c == '#' ? b : std::string(1, c);
  return s;
}
std::string Writer::function(const std::string &a, const std::string &b) {
  return replaced(word({"tanh($ + #)", "$ * sin(#)", "$ - 0.5*#", "$ / (1 + #^2)", "max($, #)", "min($, # + 0.1)", "$ * sigmoid(#)", "mod($, 2 + #^2)", "(1 + $^2) ^ (0.5*tanh(#))", "rsqrt(1 + #^2) * $",
                        "$ where # > 0.2 else #", "$ where $ > # and not (# < -0.3) else 0", "0.3 where $ == # or $ <= 0.1 else $ * #", "exp(-$^2) * #", "floor($) * 0.2 + #", "(ceil(#) - #) * $",
                        "clamp($ * #, -1, 1)", "erf($) + # ^ 2 * 0.1", "abs($ - #)", "log(1.5 + $^2) - cos(#)", "-($ * #) + 1e-1", "sqrt(1 + $^2) * tanh(#)"}),
                  a, b);
}
std::string Writer::function(const std::string &a) {
  return replaced(word({"tanh($)", "sin($)", "cos($) * $", "relu($)", "gelu($)", "silu($)", "softplus($)", "sigmoid($)", "exp(-abs($))", "log(1 + $^2)", "sqrt(0.5 + $^2)", "rsqrt(1 + $^2)", "erf($)", "sign($) * $ ^ 3 / (1 + $^4)",
                        "2 ^ tanh($)", "-$", "clamp($, -0.7, 0.9)", "$ where $ > 0 else 0.1*$", "abs($)"}),
                  a, a);
}

Generated Writer::finish() {
  auto declare = [&](bool symbolic) {
    std::vector<std::string> parts;
    for (Axis &a : axes) {
      if (!a.used || !a.declared || a.symbolic != symbolic) continue;
      parts.push_back(symbolic ? a.name : a.name + "=" + (a.formula.empty() ? std::to_string(a.size) : a.formula));
      if (symbolic) out.sizes[a.name] = a.size;
    }
    std::shuffle(parts.begin(), parts.end(), random);
    std::string s;
    for (const std::string &p : parts) s += (s.empty() ? "dims " : ", ") + p;
    return s.empty() ? s : s + "\n";
  };
  std::string model, params;
  for (auto &[name, type] : inputs) params += (params.empty() ? "" : ", ") + name + ": " + type;
  for (const std::string &l : lines) model += l + "\n";
  out.text = declare(true) + declare(false);
  for (const std::string &f : functions) out.text += f + "\n";
  out.text += "model M(" + params + ") -> " + type(target) + " {\n" + model + "}\n" + loss + "\n";
  return std::move(out);
}

} // namespace fil::programs
