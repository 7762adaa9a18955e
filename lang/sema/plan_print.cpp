// SPDX-License-Identifier: Apache-2.0
// The canonical text of a plan. Values of plans have no brackets of their own; within calls, brackets stand where
// precedence needs them.
#include "lang/sema/plan_table.h"
#include "lang/sema/plan_tree.h"
#include <algorithm>

namespace fil::sema {

using namespace ast;

namespace {
struct Operator { const char *text; int level; };
Operator operatorOf(BinaryOp op) {
  switch (op) {
  case BinaryOp::Or: return {" or ", 1};
  case BinaryOp::And: return {" and ", 2};
  case BinaryOp::Eq: return {" == ", 4};
  case BinaryOp::Ne: return {" != ", 4};
  case BinaryOp::Lt: return {" < ", 4};
  case BinaryOp::Le: return {" <= ", 4};
  case BinaryOp::Gt: return {" > ", 4};
  case BinaryOp::Ge: return {" >= ", 4};
  case BinaryOp::Add: return {" + ", 5};
  case BinaryOp::Sub: return {" - ", 5};
  case BinaryOp::Mul: return {"*", 6};
  case BinaryOp::Div: return {"/", 6};
  case BinaryOp::MatMul: return {"@", 6};
  case BinaryOp::Pow: return {"^", 8};
  }
  return {"?", 0};
}
int levelOf(const Expr &e) {
  if (auto *b = std::get_if<Binary>(&e.is)) return operatorOf(b->op).level;
  if (auto *u = std::get_if<Unary>(&e.is)) return u->op == UnaryOp::Not ? 3 : 7;
  return std::holds_alternative<Where>(e.is) ? 0 : 9;
}
std::string quoted(const std::string &s) {
  std::string t = "\"";
  for (char c : s)
    if (c == '\n') t += "\\n";
    else if (c == '\t') t += "\\t";
    else t += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  return t + '"';
}
std::string list(const std::vector<ExprPtr> &items) {
  std::string t;
  for (const ExprPtr &e : items) t += (t.empty() ? "" : ", ") + printValue(*e);
  return t;
}
std::string dim(const ast::Dim &d) {
  switch (d.kind) {
  case ast::Dim::Rest: return "..";
  case ast::Dim::Subset: return d.name.name + "*";
  case ast::Dim::Declared: return d.name.name + ":" + printValue(*d.term);
  case ast::Dim::Term: break;
  }
  return printValue(*d.term);
}
std::string argument(const Argument &a) {
  if (auto *x = std::get_if<ExprPtr>(&a.is)) return printValue(**x);
  if (auto *x = std::get_if<Argument::Subset>(&a.is)) return x->name.name + "*";
  if (auto *x = std::get_if<Argument::Declared>(&a.is)) return x->name.name + ":" + printValue(*x->size);
  if (auto *x = std::get_if<Argument::Named>(&a.is)) return x->name.name + "=" + printValue(*x->value);
  if (auto *x = std::get_if<Argument::By>(&a.is))
    return x->dim.name + " by " + x->as.name + (x->size ? ":" + printValue(*x->size) : "") + (x->stride ? " stride " + printValue(*x->stride) : "");
  std::string t;
  for (const ast::Dim &d : std::get<Argument::Over>(a.is).dims) t += (t.empty() ? "over " : ", ") + dim(d);
  return t;
}
std::string within(const Expr &e, int level) { return levelOf(e) < level ? "(" + printValue(e) + ")" : printValue(e); }
} // namespace

std::string printValue(const Expr &e) {
  if (auto *x = std::get_if<Name>(&e.is)) return x->name;
  if (auto *x = std::get_if<Number>(&e.is)) return x->text;
  if (auto *x = std::get_if<Quantity>(&e.is)) return x->number + x->unit;
  if (auto *x = std::get_if<Shape>(&e.is)) return x->text;
  if (auto *x = std::get_if<String>(&e.is)) return quoted(x->value);
  if (auto *x = std::get_if<Bool>(&e.is)) return x->value ? "true" : "false";
  if (auto *x = std::get_if<Call>(&e.is)) {
    std::string t;
    for (const Argument &a : x->args) t += (t.empty() ? "" : ", ") + argument(a);
    return within(*x->callee, 9) + "(" + t + ")";
  }
  if (auto *x = std::get_if<At>(&e.is)) {
    std::string t;
    for (const IndexItem &i : x->items)
      t += (t.empty() ? "" : ", ") + (i.kind == IndexItem::Subset ? i.name.name + "*" : i.kind == IndexItem::At ? i.name.name + "=" + printValue(*i.value) : printValue(*i.value));
    return within(*x->base, 9) + "[" + t + "]";
  }
  if (auto *x = std::get_if<Member>(&e.is)) return within(*x->base, 9) + "." + x->name.name;
  if (auto *x = std::get_if<Binary>(&e.is)) {
    auto [text, level] = operatorOf(x->op);
    const bool right = x->op == BinaryOp::Pow; // groups to the right, all others to the left
    return within(*x->left, level + right) + text + within(*x->right, level + !right);
  }
  if (auto *x = std::get_if<Unary>(&e.is)) return x->op == UnaryOp::Not ? "not " + within(*x->operand, 3) : "-" + within(*x->operand, 7);
  if (auto *x = std::get_if<Where>(&e.is))
    return within(*x->value, 1) + " where " + within(*x->condition, 1) + (x->otherwise ? " else " + printValue(*x->otherwise) : "");
  if (auto *x = std::get_if<If>(&e.is)) return "if " + within(*x->condition, 1) + " { " + printValue(*x->then) + " } else { " + printValue(*x->otherwise) + " }";
  if (auto *x = std::get_if<Tuple>(&e.is)) return "(" + list(x->items) + ")";
  return "[" + list(std::get<List>(e.is).items) + "]";
}

bool isPlanValue(const Expr &e) {
  if (auto *x = std::get_if<Call>(&e.is)) return isPlanValue(*x->callee) && !std::holds_alternative<Call>(x->callee->is);
  if (auto *x = std::get_if<Member>(&e.is)) return isPlanValue(*x->base) && levelOf(*x->base) == 9 && !std::holds_alternative<Call>(x->base->is);
  if (auto *x = std::get_if<Binary>(&e.is)) {
    auto [text, level] = operatorOf(x->op);
    return level != 8 && levelOf(*x->left) >= level && levelOf(*x->right) > level && isPlanValue(*x->left) && isPlanValue(*x->right);
  }
  return std::holds_alternative<Name>(e.is) || std::holds_alternative<Number>(e.is) || std::holds_alternative<Quantity>(e.is) || std::holds_alternative<Shape>(e.is) ||
         std::holds_alternative<String>(e.is) || std::holds_alternative<Bool>(e.is);
}

static std::string printRange(const Range &r) { return printValue(*r.from) + (r.to ? (r.closed ? "..=" : "..") + printValue(*r.to) : ""); }
std::string printItem(const Item &i) {
  if (i.kind == Item::Arrow) return "->";
  if (i.kind == Item::Value) return printRange(i.value);
  std::string t;
  for (const Ident &k : i.key) t += (t.empty() ? "" : ".") + k.name;
  return t + "=" + printRange(i.value);
}
std::string print(const SitePath &p) {
  std::string t;
  for (const Segment &s : p.segments) {
    if (!t.empty()) t += '.';
    if (s.kind == Segment::Any) t += '*';
    else if (s.kind == Segment::Deep) t += "**";
    else if (s.kind == Segment::Either) {
      std::string words;
      for (const Ident &w : s.words) words += (words.empty() ? "" : ",") + w.name;
      t += "{" + words + "}";
    } else {
      t += s.words[0].name + (s.subset ? "*" : "");
      if (!s.selector) continue;
      const Selector &x = *s.selector;
      std::string statics;
      for (const Argument::Named &n : x.statics) statics += (statics.empty() ? "" : ", ") + n.name.name + "=" + printValue(*n.value);
      t += "[" + (x.any ? "*" : !statics.empty() ? statics : x.from && x.to && *x.to == *x.from + 1 ? std::to_string(*x.from) : (x.from ? std::to_string(*x.from) : "") + ".." + (x.to ? std::to_string(*x.to) : "")) + "]";
    }
  }
  return t;
}

static std::string head(const Setting &s) {
  std::string t = s.path ? print(*s.path) + ":" : "";
  for (const Phrase &p : s.phrases) {
    if (&p != &s.phrases[0]) t += ",";
    for (const Item &i : p.items) t += (t.empty() ? "" : " ") + printItem(i);
  }
  return t;
}
std::string print(const Setting &s) {
  std::string t = head(s);
  if (!s.nested) return t;
  t += " {";
  for (const Setting &n : s.nested->settings) t += (&n == &s.nested->settings[0] ? " " : "; ") + print(n);
  return t + " }";
}

static void printInto(std::string &out, const Settings &all, const std::string &clause, size_t indent) {
  std::vector<const Setting *> order;
  for (const Setting &s : all.settings) order.push_back(&s);
  std::stable_sort(order.begin(), order.end(), [&](auto *a, auto *b) { return placeOf(clause, keyOf(*a).name) < placeOf(clause, keyOf(*b).name); });
  for (const Setting *s : order) {
    out += std::string(indent, ' ') + head(*s);
    if (s->nested) {
      out += " {\n";
      printInto(out, *s->nested, clause.empty() ? keyOf(*s).name : clause + "." + keyOf(*s).name, indent + 2);
      out += std::string(indent, ' ') + "}";
    }
    out += '\n';
  }
}
std::string print(const PlanTree &t) {
  std::string out = "plan " + t.name + " for " + t.model + " {\n";
  printInto(out, t.settings, "", 2);
  return out + "}\n";
}
} // namespace fil::sema
