// SPDX-License-Identifier: Apache-2.0
// The tree as canonical source: one statement a line, two spaces a level, one space around binary operators, brackets where
// the grammar needs them. Comments stay beside what they stood beside, single empty lines stay.
#include "lang/ast/ast.h"
#include <fmt/format.h>

namespace fil::ast {
namespace {

/// How tightly an expression holds together: as the alternatives of `term` in the grammar, loosest first.
enum Level { Condition, OrLevel, AndLevel, NotLevel, CompareLevel, SumLevel, ProductLevel, NegateLevel, PowerLevel, Postfix, Atom };

const char *text(BinaryOp op) {
  static const char *names[] = {"+", "-", "*", "/", "@", "^", "==", "!=", "<", "<=", ">", ">=", "and", "or"};
  return names[int(op)];
}
Level level(BinaryOp op) {
  if (op == BinaryOp::Or) return OrLevel;
  if (op == BinaryOp::And) return AndLevel;
  if (op == BinaryOp::Pow) return PowerLevel;
  if (op >= BinaryOp::Eq) return CompareLevel;
  return op == BinaryOp::Add || op == BinaryOp::Sub ? SumLevel : ProductLevel;
}
Level level(const Expr &e) {
  if (std::holds_alternative<Where>(e.is)) return Condition;
  if (auto *b = std::get_if<Binary>(&e.is)) return level(b->op);
  if (auto *u = std::get_if<Unary>(&e.is)) return u->op == UnaryOp::Not ? NotLevel : NegateLevel;
  if (std::holds_alternative<Call>(e.is) || std::holds_alternative<At>(e.is) || std::holds_alternative<Member>(e.is)) return Postfix;
  return std::holds_alternative<If>(e.is) ? NegateLevel : Atom; // before `(`, `[`, `.` and `^` an `if` stands in brackets
}

template <class List, class F> std::string joined(const List &list, F one, const char *between = ", ") {
  std::string s;
  for (auto &x : list) s += (s.empty() ? "" : between) + one(x);
  return s;
}
std::string names(const std::vector<Ident> &list, const char *between = ", ") {
  return joined(list, [](const Ident &i) { return i.name; }, between);
}

std::string at(const Expr &e, Level needed);
std::string value(const ExprPtr &e) { return at(*e, Condition); }
std::string term(const ExprPtr &e) { return at(*e, OrLevel); }

std::string dim(const Dim &d) {
  switch (d.kind) {
  case Dim::Rest: return "..";
  case Dim::Subset: return d.name.name + "*";
  case Dim::Declared: return d.name.name + ":" + term(d.term);
  case Dim::Term: break;
  }
  return term(d.term);
}
std::string side(const std::vector<Dim> &dims) {
  const bool plain = dims.size() == 1 && dims[0].kind == Dim::Term && (std::holds_alternative<Name>(dims[0].term->is) || std::holds_alternative<Number>(dims[0].term->is));
  std::string s = joined(dims, dim);
  return plain ? s : "(" + s + ")";
}
std::string argument(const Argument &a) {
  if (auto *x = std::get_if<Argument::Subset>(&a.is)) return x->name.name + "*";
  if (auto *x = std::get_if<Argument::By>(&a.is))
    return x->dim.name + " by " + x->as.name + (x->size ? ":" + term(x->size) : "") + (x->stride ? " stride " + term(x->stride) : "");
  if (auto *x = std::get_if<Argument::Declared>(&a.is)) return x->name.name + ":" + term(x->size);
  if (auto *x = std::get_if<Argument::Named>(&a.is)) return x->name.name + "=" + value(x->value);
  if (auto *x = std::get_if<Argument::Over>(&a.is)) return "over " + joined(x->dims, dim);
  return value(std::get<ExprPtr>(a.is));
}
std::string arguments(const std::vector<Argument> &list) { return "(" + joined(list, argument) + ")"; }

std::string quoted(const std::string &v) {
  std::string s = "\"";
  for (char c : v)
    if (c == '\n') s += "\\n";
    else if (c == '\t') s += "\\t";
    else s += (c == '"' || c == '\\' ? "\\" : "") + std::string(1, c);
  return s + '"';
}
std::string index(const IndexItem &i) {
  return i.kind == IndexItem::Subset ? i.name.name + "*" : (i.kind == IndexItem::At ? i.name.name + "=" : "") + value(i.value);
}

struct ExprPrinter {
  std::string operator()(const Name &x) { return x.name; }
  std::string operator()(const Number &x) { return x.text; }
  std::string operator()(const Quantity &x) { return x.number + x.unit; }
  std::string operator()(const Shape &x) { return x.text; }
  std::string operator()(const String &x) { return quoted(x.value); }
  std::string operator()(const Bool &x) { return x.value ? "true" : "false"; }
  std::string operator()(const Call &x) { return at(*x.callee, Postfix) + arguments(x.args); }
  std::string operator()(const At &x) { return at(*x.base, Postfix) + "[" + joined(x.items, index) + "]"; }
  std::string operator()(const Member &x) { return at(*x.base, Postfix) + "." + x.name.name; }
  std::string operator()(const Binary &x) {
    const Level l = level(x.op);
    const bool right = x.op == BinaryOp::Pow; // groups to the right; comparisons do not group at all
    std::string op = right ? "^" : fmt::format(" {} ", text(x.op));
    return at(*x.left, Level(l + (right || l == CompareLevel))) + op + at(*x.right, Level(l + !right));
  }
  std::string operator()(const Unary &x) { return x.op == UnaryOp::Not ? "not " + at(*x.operand, NotLevel) : "-" + at(*x.operand, NegateLevel); }
  std::string operator()(const Where &x) { return term(x.value) + " where " + term(x.condition) + (x.otherwise ? " else " + value(x.otherwise) : ""); }
  std::string operator()(const If &x) {
    const bool chain = std::holds_alternative<If>(x.otherwise->is);
    return "if " + term(x.condition) + " { " + value(x.then) + " } else " + (chain ? value(x.otherwise) : "{ " + value(x.otherwise) + " }");
  }
  std::string operator()(const Tuple &x) { return "(" + joined(x.items, value) + ")"; }
  std::string operator()(const List &x) { return "[" + joined(x.items, value) + "]"; }
};
std::string at(const Expr &e, Level needed) {
  std::string s = std::visit(ExprPrinter(), e.is);
  return level(e) < needed ? "(" + s + ")" : s;
}

std::string type(const Type &t) {
  if (auto *x = std::get_if<MapType>(&t.is)) return side(x->left) + " -> " + side(x->right);
  if (auto *x = std::get_if<InstanceType>(&t.is)) return x->block.name + arguments(x->args);
  auto &x = std::get<TensorType>(t.is);
  const char *elems[] = {"", "int", "bool", ""};
  return (x.elem == TensorType::Index ? "index<" + x.indexed.name + ">" : elems[x.elem]) + "[" + joined(x.dims, dim) + "]";
}

// ---- what takes a line or more ----

class Printer {
public:
  Printer(const File &f, const SourceManager &s) : file(f), sources(s) {}
  std::string run() {
    for (const Declaration &d : file.declarations) declaration(d);
    comments(UINT32_MAX);
    return out;
  }

private:
  const File &file;
  const SourceManager &sources;
  std::string out;
  int depth = 0;
  size_t next = 0;            ///< comment
  uint32_t last = 0;          ///< line of the source where what was printed last ends
  bool fresh = true;          ///< nothing yet in the block at hand: no empty line in front

  uint32_t lineOf(uint32_t offset) const { return sources.place(file.file, offset).line; }
  void line(const std::string &text, uint32_t from) {
    if (!fresh && from > last + 1) out += '\n';
    out += std::string(size_t(depth) * 2, ' ') + text + '\n';
    fresh = false;
  }
  /// Comments that begin before `end`: behind the line they stood behind, else on lines of their own.
  void comments(uint32_t end) {
    for (; next < file.comments.size() && file.comments[next].span.begin < end; ++next) {
      const Comment &c = file.comments[next];
      std::string text = c.text.substr(0, c.text.find_last_not_of(" \t\r") + 1);
      const uint32_t at = lineOf(c.span.begin);
      if (at == last && !out.empty()) out.insert(out.size() - 1, "  " + text);
      else line(text, at);
      last = at;
    }
  }
  /// One line for the source between `s.begin` and `s.end`.
  void item(const std::string &text, Span s) {
    comments(s.begin);
    line(text, lineOf(s.begin));
    last = lineOf(s.end);
    comments(s.end);
  }
  template <class F> void block(const std::string &head, Span whole, Span braces, F inside) {
    comments(whole.begin);
    line(head + " {", lineOf(whole.begin));
    last = lineOf(braces.begin), fresh = true, ++depth;
    inside();
    comments(braces.end);
    --depth, fresh = true;
    line("}", 0);
    last = lineOf(braces.end);
  }

  static std::string parameter(const Parameter &p) {
    if (p.kind == Parameter::Over) return "over " + p.name.name;
    if (p.kind == Parameter::Static) return p.name.name + (p.init ? "=" + value(p.init) : "");
    return p.name.name + ": " + type(*p.type) + (p.init ? " = " + value(p.init) : "");
  }
  static std::string dimDecl(const DimDecl &d) {
    std::string s = d.name.name;
    if (d.kind == DimDecl::Sized) s += " = " + term(d.size);
    if (d.kind == DimDecl::Bounded) s += " <= " + term(d.size);
    if (!d.labels.empty()) s += " {" + joined(d.labels, [](const Label &l) { return fmt::format("{}={}", l.name.name, l.position); }) + "}";
    return s;
  }
  void declaration(const Declaration &d) {
    if (auto *x = std::get_if<DimsDecl>(&d.is)) return item("dims " + joined(x->dims, dimDecl), d.span);
    if (auto *x = std::get_if<Plan>(&d.is))
      return block(fmt::format("plan {} for {}{}", x->name.name, x->model.name, x->from ? " from " + x->from->name : ""), d.span, x->settings.span, [&] { settings(x->settings); });
    auto &f = std::get<Function>(d.is);
    const char *kinds[] = {"fn", "block", "model", "loss"};
    std::string head = fmt::format("{} {}({}){}", kinds[f.kind], f.name.name, joined(f.params, parameter), f.result ? " -> " + type(*f.result) : "");
    if (f.value) return item(head + " = " + value(f.value), d.span);
    block(head, d.span, f.body.span, [&] { body(f.body); });
  }

  void body(const Body &b) {
    for (const Statement &s : b.statements)
      if (auto *l = std::get_if<LayersStmt>(&s.is)) {
        std::string head = "layers " + l->index.name + (l->element ? ", " + pattern(*l->element) : "") + " in " + range(l->range);
        block(head, s.span, l->body.span, [&] { body(l->body); });
      } else item(statement(s), s.span);
  }
  static std::string pattern(const Pattern &p) { return p.tuple ? "(" + names(p.names) + ")" : p.names[0].name; }
  static std::string range(const Range &r) { return value(r.from) + (r.to ? (r.closed ? "..=" : "..") + term(r.to) : ""); }
  static std::string assignment(const AssignStmt &a) { return a.name.name + (a.add ? " += " : " = ") + value(a.value); }
  static std::string statement(const Statement &s) {
    if (auto *x = std::get_if<ParamStmt>(&s.is)) return (x->state ? "state " : "param ") + names(x->names) + ": " + type(x->type) + (x->init ? " = " + value(x->init) : "");
    if (auto *x = std::get_if<CacheStmt>(&s.is)) return "cache " + x->name.name + ": " + type(x->type) + " <- " + value(x->value);
    if (auto *x = std::get_if<ExpertsStmt>(&s.is)) return "experts " + x->name.name + " in " + x->dim.name + ": " + x->block.name + arguments(x->args);
    if (auto *x = std::get_if<LetStmt>(&s.is)) return "let " + pattern(x->pattern) + (x->type ? ": " + type(*x->type) : "") + " = " + value(x->value);
    if (auto *x = std::get_if<SelectStmt>(&s.is)) return (x->route ? "route " : "select ") + x->name.name + "* = " + value(x->value);
    if (auto *x = std::get_if<AuxStmt>(&s.is)) return "aux " + value(x->value) + (x->hasTrains ? " trains {" + names(x->trains) + "}" : "");
    if (auto *x = std::get_if<AssignStmt>(&s.is)) return (x->onStep ? "on step: " : "") + assignment(*x);
    return "return " + value(std::get<ReturnStmt>(s.is).value);
  }

  // ---- plans ----
  void settings(const Settings &all) {
    for (const Setting &s : all.settings) {
      std::string head = (s.path ? path(*s.path) + ": " : "") + joined(s.phrases, phrase);
      if (s.nested) block(head, s.span, s.nested->span, [&] { settings(*s.nested); });
      else item(head, s.span);
    }
  }
  static std::string phrase(const Phrase &p) { return joined(p.items, item_, " "); }
  static std::string item_(const Item &i) {
    if (i.kind == Item::Arrow) return "->";
    return (i.kind == Item::Keyed ? names(i.key, ".") + "=" : "") + range(i.value);
  }
  static std::string path(const SitePath &p) { return joined(p.segments, segment, "."); }
  static std::string segment(const Segment &s) {
    if (s.kind == Segment::Any) return "*";
    if (s.kind == Segment::Deep) return "**";
    if (s.kind == Segment::Either) return "{" + names(s.words) + "}";
    return s.words[0].name + (s.subset ? "*" : "") + (s.selector ? "[" + selector(*s.selector) + "]" : "");
  }
  static std::string selector(const Selector &s) {
    if (s.any) return "*";
    if (!s.statics.empty()) return joined(s.statics, [](const Argument::Named &n) { return n.name.name + "=" + term(n.value); });
    if (s.from && s.to && *s.to == *s.from + 1) return std::to_string(*s.from);
    return (s.from ? std::to_string(*s.from) : "") + ".." + (s.to ? std::to_string(*s.to) : "");
  }
};
} // namespace

std::string print(const Expr &e) { return at(e, Condition); }
std::string print(const Type &t) { return type(t); }
std::string print(const File &f, const SourceManager &sources) { return Printer(f, sources).run(); }
} // namespace fil::ast
