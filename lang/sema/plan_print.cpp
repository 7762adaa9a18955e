// SPDX-License-Identifier: Apache-2.0
// The canonical text of a plan: one setting a line, keys in the order of the table. Values print as everywhere.
#include "lang/sema/plan_table.h"
#include "lang/sema/plan_tree.h"
#include <algorithm>

namespace fil::sema {

using namespace ast;

std::string printValue(const Expr &e) { return ast::print(e); }

/// How tightly an operator binds among values; 0: it does not stand there.
static int levelOf(const Expr &e) {
  auto *b = std::get_if<Binary>(&e.is);
  if (!b) return 9;
  switch (b->op) {
  case BinaryOp::Or: return 1;
  case BinaryOp::And: return 2;
  case BinaryOp::Add: case BinaryOp::Sub: return 4;
  case BinaryOp::Mul: case BinaryOp::Div: case BinaryOp::MatMul: return 5;
  case BinaryOp::Pow: return 0;
  default: return 3;
  }
}
bool isPlanValue(const Expr &e) {
  if (auto *x = std::get_if<Call>(&e.is)) return isPlanValue(*x->callee) && !std::holds_alternative<Call>(x->callee->is);
  if (auto *x = std::get_if<Member>(&e.is)) return isPlanValue(*x->base) && levelOf(*x->base) == 9 && !std::holds_alternative<Call>(x->base->is);
  if (auto *x = std::get_if<Binary>(&e.is)) {
    const int level = levelOf(e);
    return level && levelOf(*x->left) >= level + (level == 3) && levelOf(*x->right) > level && isPlanValue(*x->left) && isPlanValue(*x->right);
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

using Comment = std::function<std::string(const std::string &, const Setting &)>;
static void printInto(std::string &out, const Settings &all, const std::string &clause, size_t indent, const Comment &comment) {
  std::vector<const Setting *> order;
  for (const Setting &s : all.settings) order.push_back(&s);
  std::stable_sort(order.begin(), order.end(), [&](auto *a, auto *b) { return placeOf(clause, keyOf(*a).name) < placeOf(clause, keyOf(*b).name); });
  for (const Setting *s : order) {
    const std::string line = std::string(indent, ' ') + head(*s) + (s->nested ? " {" : ""), said = comment ? comment(clause, *s) : "";
    out += said.empty() ? line : fmt::format("{:<56}  // {}", line, said);
    out += '\n';
    if (!s->nested) continue;
    printInto(out, *s->nested, clause.empty() ? keyOf(*s).name : clause + "." + keyOf(*s).name, indent + 2, comment);
    out += std::string(indent, ' ') + "}\n";
  }
}
std::string print(const PlanTree &t, const Comment &comment) {
  std::string out = "plan " + t.name + " for " + t.model + " {\n";
  printInto(out, t.settings, "", 2, comment);
  return out + "}\n";
}
std::string print(const PlanTree &t) { return print(t, {}); }
} // namespace fil::sema
