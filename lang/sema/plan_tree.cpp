// SPDX-License-Identifier: Apache-2.0
// Copies of plans, and one laid over another.
#include "lang/sema/plan_tree.h"
#include <algorithm>

namespace fil::sema {

using namespace ast;

// ---- copies ----

static ExprPtr copy(const ExprPtr &e) { return e ? clone(*e) : nullptr; }
static std::vector<ExprPtr> copy(const std::vector<ExprPtr> &list) {
  std::vector<ExprPtr> all;
  for (const ExprPtr &e : list) all.push_back(copy(e));
  return all;
}
static ast::Dim copy(const ast::Dim &d) { return {d.kind, d.name, copy(d.term), d.span}; }
static Argument copy(const Argument &a) {
  Argument c;
  c.span = a.span;
  if (auto *x = std::get_if<ExprPtr>(&a.is)) c.is = copy(*x);
  else if (auto *x = std::get_if<Argument::Subset>(&a.is)) c.is = *x;
  else if (auto *x = std::get_if<Argument::By>(&a.is)) c.is = Argument::By{x->dim, x->as, copy(x->size), copy(x->stride)};
  else if (auto *x = std::get_if<Argument::Declared>(&a.is)) c.is = Argument::Declared{x->name, copy(x->size)};
  else if (auto *x = std::get_if<Argument::Named>(&a.is)) c.is = Argument::Named{x->name, copy(x->value)};
  else {
    Argument::Over over;
    for (const ast::Dim &d : std::get<Argument::Over>(a.is).dims) over.dims.push_back(copy(d));
    c.is = std::move(over);
  }
  return c;
}

ExprPtr clone(const Expr &e) {
  auto c = std::make_unique<Expr>();
  c->span = e.span;
  if (auto *x = std::get_if<Name>(&e.is)) c->is = *x;
  else if (auto *x = std::get_if<Number>(&e.is)) c->is = *x;
  else if (auto *x = std::get_if<Quantity>(&e.is)) c->is = *x;
  else if (auto *x = std::get_if<Shape>(&e.is)) c->is = *x;
  else if (auto *x = std::get_if<String>(&e.is)) c->is = *x;
  else if (auto *x = std::get_if<Bool>(&e.is)) c->is = *x;
  else if (auto *x = std::get_if<Call>(&e.is)) {
    Call y{copy(x->callee), {}};
    for (const Argument &a : x->args) y.args.push_back(copy(a));
    c->is = std::move(y);
  } else if (auto *x = std::get_if<At>(&e.is)) {
    At y{copy(x->base), {}};
    for (const IndexItem &i : x->items) y.items.push_back({i.kind, i.name, copy(i.value), i.span});
    c->is = std::move(y);
  } else if (auto *x = std::get_if<Member>(&e.is)) c->is = Member{copy(x->base), x->name};
  else if (auto *x = std::get_if<Binary>(&e.is)) c->is = Binary{x->op, copy(x->left), copy(x->right), x->opSpan};
  else if (auto *x = std::get_if<Unary>(&e.is)) c->is = Unary{x->op, copy(x->operand)};
  else if (auto *x = std::get_if<Where>(&e.is)) c->is = Where{copy(x->value), copy(x->condition), copy(x->otherwise)};
  else if (auto *x = std::get_if<If>(&e.is)) c->is = If{copy(x->condition), copy(x->then), copy(x->otherwise)};
  else if (auto *x = std::get_if<Tuple>(&e.is)) c->is = Tuple{copy(x->items)};
  else c->is = List{copy(std::get<List>(e.is).items)};
  return c;
}

/// `1f1b` is two quantities for the lexer: parts that touch are one word.
static std::vector<Item> joined(const std::vector<Item> &items) {
  std::vector<Item> all;
  for (const Item &i : items) {
    auto *quantity = i.kind == Item::Value && !i.value.to ? std::get_if<Quantity>(&i.value.from->is) : nullptr;
    if (quantity && !all.empty() && all.back().span.end == i.span.begin && all.back().kind == Item::Value && !all.back().value.to) {
      Expr &before = *all.back().value.from;
      std::string text;
      if (auto *q = std::get_if<Quantity>(&before.is)) text = q->number + q->unit;
      else if (auto *n = std::get_if<Name>(&before.is); n && std::isdigit((unsigned char)n->name[0])) text = n->name;
      if (!text.empty()) {
        before.is = Name{text + quantity->number + quantity->unit};
        before.span.end = all.back().span.end = i.span.end;
        continue;
      }
    }
    all.push_back({i.kind, i.key, {copy(i.value.from), copy(i.value.to), i.value.closed}, i.span});
  }
  return all;
}
static std::vector<Phrase> copy(const std::vector<Phrase> &phrases) {
  std::vector<Phrase> all;
  for (const Phrase &p : phrases) all.push_back({joined(p.items), p.span});
  return all;
}
SitePath clone(const SitePath &p) {
  SitePath c;
  c.span = p.span;
  for (const Segment &s : p.segments) {
    Segment d{s.kind, s.words, s.subset, std::nullopt, s.span};
    if (s.selector) {
      d.selector.emplace();
      d.selector->any = s.selector->any, d.selector->from = s.selector->from, d.selector->to = s.selector->to;
      for (const Argument::Named &n : s.selector->statics) d.selector->statics.push_back({n.name, copy(n.value)});
    }
    c.segments.push_back(std::move(d));
  }
  return c;
}
Setting clone(const Setting &s) {
  Setting c{std::nullopt, copy(s.phrases), std::nullopt, s.span};
  if (s.path) c.path = clone(*s.path);
  if (s.nested) c.nested = clone(*s.nested);
  return c;
}
Settings clone(const Settings &s) {
  Settings c;
  c.span = s.span;
  for (const Setting &x : s.settings) c.settings.push_back(clone(x));
  return c;
}
std::shared_ptr<PlanTree> clone(const PlanTree &t) {
  return std::make_shared<PlanTree>(PlanTree{t.name, t.model, t.nameSpan, t.modelSpan, clone(t.settings)});
}

// ---- keys ----

SettingKey keyOf(const Setting &s) {
  SettingKey k;
  k.span = s.span;
  if (s.path || s.phrases.empty() || s.phrases[0].items.empty()) return k;
  const Item &first = s.phrases[0].items[0];
  k.span = first.span;
  if (first.kind != Item::Value || first.value.to) {
    k.whole = false;
    return k;
  }
  const Expr *e = first.value.from.get();
  while (true) {
    if (auto *b = std::get_if<Binary>(&e->is)) e = b->left.get();
    else if (auto *c = std::get_if<Call>(&e->is)) e = c->callee.get();
    else break;
    k.whole = false;
  }
  if (std::holds_alternative<Name>(e->is) || std::holds_alternative<Member>(e->is)) k.name = printValue(*e), k.span = e->span;
  return k;
}

/// A contract without its bounds: `accuracy drop <= 0.8pp on val` is about `accuracy drop <= on val`.
static std::string withoutNumbers(const Expr &e) {
  if (auto *b = std::get_if<Binary>(&e.is)) {
    std::string op = b->op == BinaryOp::Lt || b->op == BinaryOp::Le ? " < " : b->op == BinaryOp::Gt || b->op == BinaryOp::Ge ? " > " : " ";
    return withoutNumbers(*b->left) + op + withoutNumbers(*b->right);
  }
  return std::holds_alternative<Number>(e.is) || std::holds_alternative<Quantity>(e.is) ? "" : printValue(e);
}
std::string identityOf(const std::string &clause, const Setting &s) {
  auto items = [&](size_t n) {
    std::string t;
    for (const Phrase &p : s.phrases)
      for (const Item &i : p.items)
        if (n && n--) t += (t.empty() ? "" : " ") + printItem(i);
    return t;
  };
  if (s.path) return print(*s.path) + ": " + items(1);
  SettingKey k = keyOf(s);
  if (clause == "train" && k.name == "stage") return items(2);
  if (clause == "train" && (k.name == "steps" || k.name == "epochs")) return "steps or epochs";
  if (clause != "require") return k.name;
  std::string t;
  for (const Phrase &p : s.phrases)
    for (const Item &i : p.items) t += (i.kind == Item::Value && !i.value.to ? withoutNumbers(*i.value.from) : printItem(i)) + " ";
  return t;
}

void merge(Settings &base, const Settings &over, const std::string &clause) {
  for (const Setting &s : over.settings) {
    const std::string id = identityOf(clause, s);
    auto at = std::find_if(base.settings.begin(), base.settings.end(), [&](const Setting &b) { return identityOf(clause, b) == id; });
    if (at == base.settings.end() || s.path) { // of two lines for one site the later wins, so it has to stand last
      if (at != base.settings.end()) base.settings.erase(at);
      base.settings.push_back(clone(s));
      continue;
    }
    size_t values = 0;
    for (const Phrase &p : s.phrases) values += p.items.size();
    if (values > 1 || !s.nested) at->phrases = copy(s.phrases), at->span = s.span;
    if (!s.nested) continue;
    if (!at->nested) at->nested.emplace();
    merge(*at->nested, *s.nested, clause.empty() ? id : clause + "." + id);
  }
}
} // namespace fil::sema
