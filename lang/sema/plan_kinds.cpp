// SPDX-License-Identifier: Apache-2.0
// The kinds of the table: which values are of each, and what a wrong one may have meant.
#include "lang/sema/plan_check.h"
#include <algorithm>
#include <cmath>
#include <functional>

namespace fil::sema {

using namespace ast;

namespace {
using Check = std::function<Verdict(const PlanContext &, const Expr &)>;
const Verdict yes{true, false, {}}, no{};
Verdict when(bool b) { return b ? yes : no; }

const std::string *nameOf(const Expr &e) {
  auto *n = std::get_if<Name>(&e.is);
  return n ? &n->name : nullptr;
}
/// A name of a list; else the nearest of the list.
Verdict oneOf(const Expr &e, const std::vector<std::string> &names) {
  const std::string *n = nameOf(e);
  if (!n) return no;
  if (std::find(names.begin(), names.end(), *n) != names.end()) return yes;
  return {false, false, didYouMean(*n, names)};
}

Verdict number(const Expr &e, bool whole, double above, double below, bool withAbove = true, bool withBelow = true) {
  auto *n = std::get_if<Number>(&e.is);
  if (!n) return {false, std::holds_alternative<Quantity>(e.is), {}};
  double x = numberOf(e);
  if (!std::isfinite(x) || (whole && x != std::floor(x))) return no;
  return when((withAbove ? x >= above : x > above) && (withBelow ? x <= below : x < below));
}
Verdict quantity(const Expr &e, const std::vector<std::string> &units) {
  auto *q = std::get_if<Quantity>(&e.is);
  if (!q) return no;
  if (std::find(units.begin(), units.end(), q->unit) == units.end()) return {false, true, {}};
  return when(std::isfinite(numberOf(e)));
}
/// A share as a number or percentage, above 0.
Verdict share(const Expr &e, bool upToOne) {
  if (auto *q = std::get_if<Quantity>(&e.is); q && q->unit != "%") return {false, true, {}};
  if (!std::holds_alternative<Quantity>(e.is) && !std::holds_alternative<Number>(e.is)) return no;
  double x = numberOf(e);
  return when(x > 0 && (upToOne ? x <= 1 : x < 1));
}
const double maxWhole = 9007199254740992.0; // 2^53: the last up to which all are exact

const std::vector<std::string> sizes{"B", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"}, times{"ns", "us", "ms", "s", "min", "h", "d"};
const std::vector<std::string> dataMetrics{"loss", "accuracy", "recall", "fpr"}, costMetrics{"flops", "params", "state", "mem"};
const std::vector<std::string> metrics{"loss", "accuracy", "recall", "fpr", "flops", "params", "state", "mem", "latency", "p99", "step_time"};
const std::vector<std::string> formats{"f64", "f32", "bf16", "f16", "int8", "int4", "fp8"};

/// What is measured, and whether a bound with this unit fits it.
struct Measure { std::vector<std::string> units; bool plain; };
const std::map<std::string, Measure> &measures() {
  static const std::map<std::string, Measure> all = [] {
    Measure share{{"%"}, true}, amount{{"x", "%"}, true}, size = {sizes, false}, time = {times, false};
    size.units.insert(size.units.end(), {"x", "%"}), time.units.insert(time.units.end(), {"x", "%"});
    return std::map<std::string, Measure>{{"loss", {{"x", "%"}, true}}, {"accuracy", share}, {"recall", share}, {"fpr", share},
      {"flops", amount}, {"params", amount}, {"state", size}, {"mem", size}, {"latency", time}, {"p99", time}, {"step_time", time}};
  }();
  return all;
}

bool isComparison(BinaryOp op) { return op == BinaryOp::Lt || op == BinaryOp::Le || op == BinaryOp::Gt || op == BinaryOp::Ge; }

/// Comparisons joined by `and` (and `or`); each has a name (or a call of one) on its left.
Verdict condition(const Expr &e, bool withOr, const std::function<Verdict(const Expr &left, const Expr &right)> &each) {
  auto *b = std::get_if<Binary>(&e.is);
  if (!b) return no;
  if (b->op == BinaryOp::And || (withOr && b->op == BinaryOp::Or)) {
    Verdict l = condition(*b->left, withOr, each);
    return l.ok ? condition(*b->right, withOr, each) : l;
  }
  return isComparison(b->op) ? each(*b->left, *b->right) : no;
}
bool isAmount(const Expr &e) { return std::holds_alternative<Number>(e.is) || std::holds_alternative<Quantity>(e.is); }
/// `metric < bound`, the metric one of `names`, the unit one that it is measured in.
Verdict bound(const Expr &left, const Expr &right, const std::vector<std::string> &names, bool data) {
  const Expr *l = &left;
  if (auto *c = std::get_if<Call>(&l->is)) l = c->callee.get();
  Verdict v = oneOf(*l, names);
  if (!v.ok) return v;
  if (!isAmount(right)) return no;
  const Measure &m = measures().at(*nameOf(*l));
  auto *q = std::get_if<Quantity>(&right.is);
  const bool share = *nameOf(*l) == "accuracy" || *nameOf(*l) == "recall" || *nameOf(*l) == "fpr";
  if (share && (!q || q->unit == "%") && numberOf(right) > 1) return no;
  if (!q) return m.plain ? yes : Verdict{false, true, {}};
  if (data && q->unit != "%") return {false, std::find(m.units.begin(), m.units.end(), q->unit) == m.units.end(), {}};
  if (data && *nameOf(*l) == "loss") return {false, true, {}};
  return {std::find(m.units.begin(), m.units.end(), q->unit) != m.units.end(), true, {}};
}
/// `what <= 40%`
Verdict atMostShare(const Expr &e, std::string_view what) {
  auto *b = std::get_if<Binary>(&e.is);
  if (!b || b->op != BinaryOp::Le || !nameOf(*b->left) || *nameOf(*b->left) != what) return no;
  return share(*b->right, true);
}
Verdict anyBound(const Expr &, const Expr &right) {
  if (isAmount(right)) return yes;
  auto *b = std::get_if<Binary>(&right.is); // champion-0.5pp
  return when(b && (b->op == BinaryOp::Add || b->op == BinaryOp::Sub) && nameOf(*b->left) && isAmount(*b->right));
}

std::vector<std::string> dimNames(const PlanContext &c, bool free) {
  std::vector<std::string> all;
  for (auto &[n, d] : c.program.declared)
    if (!free || d.decl->kind == DimDecl::Symbolic) all.push_back(n);
  if (free) return all;
  for (const sema::Dim *d : c.program.dims.all()) // those that signatures declare
    if (d->kind != sema::Dim::Loop && d->kind != sema::Dim::Subset) all.push_back(d->name);
  for (auto *f : c.program.functions())
    for (const Parameter &p : f->params)
      if (p.kind == Parameter::Static) all.push_back(p.name.name);
  return all;
}
std::vector<std::string> functionNames(const PlanContext &c, Function::Kind kind) {
  std::vector<std::string> all;
  for (auto *f : c.program.functions())
    if (f->kind == kind) all.push_back(f->name.name);
  return all;
}
Verdict sum(const PlanContext &c, const Expr &e, const std::vector<std::string> &names) {
  if (auto *b = std::get_if<Binary>(&e.is); b && (b->op == BinaryOp::Add || b->op == BinaryOp::Sub || b->op == BinaryOp::Mul || b->op == BinaryOp::Div)) {
    Verdict l = sum(c, *b->left, names);
    return l.ok ? sum(c, *b->right, names) : l;
  }
  if (std::holds_alternative<Number>(e.is)) return yes;
  auto *call = std::get_if<Call>(&e.is);
  return oneOf(call ? *call->callee : e, names);
}
Verdict reader(const Expr &e) {
  const Expr *r = &e;
  if (auto *b = std::get_if<Binary>(&e.is)) {
    if ((b->op != BinaryOp::Div && b->op != BinaryOp::Mul) || !std::holds_alternative<Number>(b->right->is) || !(numberOf(*b->right) > 0)) return no;
    r = b->left.get();
  }
  auto *c = std::get_if<Call>(&r->is);
  if (!c) return no;
  Verdict v = oneOf(*c->callee, {"text", "idx", "npy"});
  if (!v.ok) return v;
  const bool text = *nameOf(*c->callee) == "text";
  if (c->args.empty() || (!text && c->args.size() > 1) || (text && r != &e)) return no;
  for (const Argument &a : c->args) {
    auto *x = std::get_if<ExprPtr>(&a.is);
    if (!x || !std::holds_alternative<String>((*x)->is) || std::get<String>((*x)->is).value.empty()) return no;
  }
  return yes;
}
/// A loss, with static parameters by name.
Verdict loss(const PlanContext &c, const Expr &e) {
  auto *call = std::get_if<Call>(&e.is);
  std::vector<std::string> names;
  for (auto *f : c.losses) names.push_back(f->name.name);
  if (names.empty()) names = functionNames(c, Function::Loss);
  Verdict v = oneOf(call ? *call->callee : e, names);
  if (!v.ok || !call) return v;
  const Function *f = c.program.find(*nameOf(*call->callee));
  std::vector<std::string> statics;
  for (const Parameter &p : f->params)
    if (p.kind == Parameter::Static) statics.push_back(p.name.name);
  for (const Argument &a : call->args) {
    auto *n = std::get_if<Argument::Named>(&a.is);
    if (!n) return no;
    if (std::find(statics.begin(), statics.end(), n->name.name) == statics.end()) return {false, false, didYouMean(n->name.name, statics)};
  }
  return yes;
}
Verdict site(const PlanContext &c, const Expr &e) {
  const SitePath path = pathOf(e);
  if (path.segments.empty()) return no;
  if (!c.graph || !matching(path, c.sites).empty()) return yes;
  return {false, false, nearest(path, c.sites)};
}
Verdict label(const PlanContext &c, const Expr &e) {
  auto *m = std::get_if<Member>(&e.is);
  if (!m || !c.graph) return when(m);
  std::vector<std::string> all;
  for (const Node *in : c.graph->inputs)
    for (const Dim *d : in->type.dims)
      if (auto l = c.program.labels.find(d->name); l != c.program.labels.end())
        for (auto &[n, at] : l->second) all.push_back(in->name + "." + n);
  std::string written = printValue(e);
  return {std::find(all.begin(), all.end(), written) != all.end(), false, didYouMean(written, all)};
}
Verdict input(const PlanContext &c, const Expr &e) {
  if (!c.graph) return when(nameOf(e));
  std::vector<std::string> names;
  for (const Node *in : c.graph->inputs) names.push_back(in->name);
  return oneOf(e, names);
}
Verdict axis(const PlanContext &c, const Expr &e) { return oneOf(e, c.axes); }

/// Two lengths of dims, such as `16x16`.
Verdict granule(const Expr &e) {
  auto *s = std::get_if<Shape>(&e.is);
  int left = 0, right = 0, end = 0;
  return when(s && s->text.size() < 20 && std::sscanf(s->text.c_str(), "%9dx%9d%n", &left, &right, &end) == 2 && size_t(end) == s->text.size() && left > 0 && right > 0);
}

const std::map<std::string, Check> &checks() {
  using C = const PlanContext &;
  using E = const Expr &;
  static const std::map<std::string, Check> all = {
      {"INT", [](C, E e) { return number(e, true, 1, maxWhole); }},
      {"COUNT", [](C, E e) { return number(e, true, 0, maxWhole); }},
      {"REAL", [](C, E e) { return number(e, false, 0, HUGE_VAL); }},
      {"ABOVE0", [](C, E e) { return number(e, false, 0, HUGE_VAL, false); }},
      {"BELOW1", [](C, E e) { return number(e, false, 0, 1, true, false); }},
      {"SPLIT", [](C, E e) { return share(e, false); }},
      {"SHARE", [](C, E e) { return share(e, true); }},
      {"PERCENT", [](C, E e) { return quantity(e, {"%"}); }},
      {"RATIO", [](C, E e) { return quantity(e, {"x"}); }},
      {"SIZE", [](C, E e) { return quantity(e, sizes); }},
      {"TIME", [](C, E e) { return quantity(e, times); }},
      {"GRANULE", [](C, E e) { return granule(e); }},
      {"TILE", [](C, E e) {
         auto *s = std::get_if<Shape>(&e.is);
         int rows = 0, columns = 0;
         if (s) std::sscanf(s->text.c_str(), "%9dx%9d", &rows, &columns);
         return oneOf(e, {"tensor", "row"}).ok ? yes : when(granule(e).ok && rows <= 65536 && columns <= 65536);
       }},
      {"STRING", [](C, E e) { return when(std::holds_alternative<String>(e.is) && !std::get<String>(e.is).value.empty()); }},
      {"NAME", [](C, E e) { return when(nameOf(e)); }},
      {"FORMAT", [](C, E e) { return oneOf(e, formats); }},
      {"DIM", [](C c, E e) { return oneOf(e, dimNames(c, false)); }},
      {"FREE", [](C c, E e) { return oneOf(e, dimNames(c, true)); }},
      {"AXIS", axis},
      {"WIRE", [](C c, E e) {
         auto *m = std::get_if<Member>(&e.is);
         return m ? axis(c, *m->base) : no;
       }},
      {"KNOB", [](C c, E e) {
         auto names = c.axes;
         names.insert(names.end(), {"remat", "schedule", "microbatch"});
         return oneOf(e, names);
       }},
      {"SITE", site},
      {"INPUT", input},
      {"LABEL", label},
      {"READER", [](C, E e) { return reader(e); }},
      {"LOSS", loss},
      {"LOSSES", [](C c, E e) {
         auto names = functionNames(c, Function::Loss);
         names.push_back("kl");
         return sum(c, e, names);
       }},
      {"MODEL", [](C c, E e) { return oneOf(e, functionNames(c, Function::Model)); }},
      {"TEACHER", [](C c, E e) {
         auto *b = std::get_if<Binary>(&e.is);
         if (!b || b->op != BinaryOp::MatMul || !std::holds_alternative<String>(b->right->is)) return no;
         return oneOf(*b->left, functionNames(c, Function::Model));
       }},
      {"OTHER", [](C c, E e) {
         auto names = functionNames(c, Function::Model);
         for (auto *p : c.program.plans()) names.push_back(p->name.name);
         return oneOf(e, names);
       }},
      {"CLASS", [](C, E e) {
         auto *c = std::get_if<Call>(&e.is);
         if (!c || c->args.empty() || !nameOf(*c->callee)) return no;
         for (const Argument &a : c->args) {
           auto *x = std::get_if<ExprPtr>(&a.is);
           if (!x || !condition(**x, true, anyBound).ok) return no;
         }
         return yes;
       }},
      {"CONDITION", [](C, E e) { return condition(e, true, anyBound); }},
      {"SIGNAL", [](C, E e) {
         return condition(e, true, [](E l, E r) {
           Verdict v = oneOf(l, {"out_snr", "snr", "underflow", "sat"});
           if (!v.ok) return v;
           return nameOf(l)->ends_with("snr") ? quantity(r, {"dB"}) : share(r, true);
         });
       }},
      {"METRIC", [](C, E e) { return oneOf(e, metrics); }},
      {"DATAMETRIC", [](C, E e) { return oneOf(e, dataMetrics); }},
      {"DATABOUND", [](C, E e) { return condition(e, false, [](E l, E r) { return bound(l, r, dataMetrics, true); }); }},
      {"FLOPBOUND", [](C, E e) { return atMostShare(e, "flops"); }},
      {"STEPBOUND", [](C, E e) { return atMostShare(e, "flops"); }},
      {"PARAMBOUND", [](C, E e) { return atMostShare(e, "params"); }},
      {"COSTBOUND", [](C, E e) { return condition(e, false, [](E l, E r) { return nameOf(l) ? bound(l, r, costMetrics, false) : no; }); }},
      {"LATENCYBOUND", [](C, E e) { return condition(e, false, [](E l, E r) { return bound(l, r, {"latency"}, false); }); }},
      {"METRICBOUND", [](C, E e) { return condition(e, true, [](E l, E r) { return bound(l, r, metrics, false); }); }},
      {"DROP", [](C, E e) {
         auto *b = std::get_if<Binary>(&e.is);
         if (!b || (b->op != BinaryOp::Le && b->op != BinaryOp::Lt) || !nameOf(*b->left) || *nameOf(*b->left) != "drop") return no;
         auto *q = std::get_if<Quantity>(&b->right->is);
         return q ? Verdict{q->unit == "pp" || q->unit == "%", true, {}} : no;
       }},
      {"VALIDATION", [](C, E e) { return oneOf(e, {"val"}); }},
  };
  return all;
}
} // namespace

double numberOf(const Expr &e) {
  if (auto *q = std::get_if<Quantity>(&e.is)) return std::strtod(q->number.c_str(), nullptr) / (q->unit == "%" || q->unit == "pp" ? 100 : 1);
  auto *n = std::get_if<Number>(&e.is);
  return n ? std::strtod(n->text.c_str(), nullptr) : NAN;
}

Verdict fits(const PlanContext &c, const std::string &kind, const Range &value) {
  if (kind == "RANGE") {
    if (!value.to) return no;
    Verdict a = number(*value.from, true, 0, maxWhole), b = number(*value.to, true, 0, maxWhole);
    return when(a.ok && b.ok && numberOf(*value.from) < numberOf(*value.to) + value.closed);
  }
  if (value.to) return no;
  return checks().at(kind)(c, *value.from);
}
} // namespace fil::sema
