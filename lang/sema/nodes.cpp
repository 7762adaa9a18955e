// SPDX-License-Identifier: Apache-2.0
// Making nodes and values; the dims of a program.
#include "lang/sema/elaborate.h"
#include <algorithm>

namespace fil::sema {

Elaborator::Elaborator(ProgramImpl &p, Diagnostics &d, Graph &g) : program(p), diags(d), graph(g), body(&g.body), site(siteOf(Site::Root, "")) {}

const Site *Elaborator::siteOf(Site::Kind kind, const std::string &name, int number) {
  const Site *parent = kind == Site::Root ? nullptr : site;
  std::string key = fmt::format("{}/{}/{}/{}", (const void *)parent, int(kind), name, number);
  Site *&s = program.siteKeys[key];
  if (!s) {
    program.sites.push_back({kind, parent, name, number});
    s = &program.sites.back();
  }
  return s;
}

void Elaborator::sortDims(std::vector<const Dim *> &dims) {
  std::sort(dims.begin(), dims.end(), [](auto *a, auto *b) { return a->order < b->order; });
  dims.erase(std::unique(dims.begin(), dims.end()), dims.end());
}
Type Elaborator::typeOf(Elem e, std::vector<const Dim *> dims) {
  sortDims(dims);
  Type t;
  t.elem = e, t.dims = std::move(dims);
  return t;
}
Node *Elaborator::make(Op op, Type type, std::vector<Node *> args, Span span) {
  graph.nodes.emplace_back();
  Node *n = &graph.nodes.back();
  n->op = op, n->type = std::move(type), n->args = std::move(args), n->span = span, n->site = site;
  for (Node *a : n->args)
    if (fromInput.count(a)) fromInput.insert(n);
  body->nodes.push_back(n);
  return n;
}
Value Elaborator::tensor(Node *n) {
  Value v;
  v.kind = Value::Tensor, v.node = n, v.type = n->type;
  return v;
}
Node *Elaborator::constant(double x, Span s, Elem e) {
  Node *n = make(Op::Constant, typeOf(e, {}), {}, s);
  n->number = x;
  return n;
}
Node *Elaborator::sizeNode(const Form &f, Span s, Elem e) {
  Size v = program.value(f.size());
  if (auto c = v.constant()) return constant(c->value(), s, e);
  Node *n = make(Op::SizeOf, typeOf(e, {}), {}, s);
  n->size = v;
  return n;
}
Node *Elaborator::mapNode(Fn fn, std::vector<Node *> args, Elem result, Span s) {
  std::vector<const Dim *> dims;
  for (Node *a : args) dims.insert(dims.end(), a->type.dims.begin(), a->type.dims.end());
  Node *n = make(Op::Map, typeOf(result, dims), args, s);
  n->fn = fn;
  if (result == Elem::Index) n->type.indexed = args.back()->type.indexed;
  return n;
}
Node *Elaborator::real(Node *n) { return n->type.elem == Elem::Real ? n : mapNode(Fn::Cast, {n}, Elem::Real, n->span); }

Node *Elaborator::settled(Value &v, Span s) {
  Node *n = v.node;
  for (Node *subset : v.through) {
    const Dim *of = subset->dim;
    std::vector<const Dim *> dims;
    for (const Dim *d : n->type.dims)
      if (d != of) dims.push_back(d);
    dims.insert(dims.end(), subset->dims.begin(), subset->dims.end());
    dims.push_back(subset->subset);
    Type t = typeOf(n->type.elem, dims);
    t.indexed = n->type.indexed;
    Node *g = make(Op::Gather, t, {n, subset}, s);
    g->dim = of;
    n = g;
  }
  v.node = n, v.through.clear();
  return n;
}

/// Whole for all whole values of its dims.
static bool isWhole(const Size &s) {
  for (auto &[monomial, factor] : s.terms()) {
    if (!factor.isWhole()) return false;
    for (auto &[name, exponent] : monomial)
      if (exponent < 0 || (name.find('(') != std::string::npos && !name.starts_with("floor(") && !name.starts_with("ceil("))) return false;
  }
  return true;
}
Value Elaborator::asTensor(const Value &v, Span s, Elem wanted) {
  if (v.kind == Value::Tensor) return v;
  if (v.kind == Value::Number || v.kind == Value::Dims) {
    Form f = v.kind == Value::Dims ? Form(1) : v.number;
    if (v.kind == Value::Dims)
      for (const Dim *d : v.dims) f = f * formOf(d);
    for (OpenLoop &l : open) // the turn as data: each turn is its own
      if (auto syms = f.size().symbols(); std::find(syms.begin(), syms.end(), l.symbol) != syms.end()) {
        l.exact = true;
        f = Form(f.size().substitute([&](const std::string &n) { return n == l.symbol ? std::optional<Size>(Size(l.turn)) : std::nullopt; }));
      }
    Value t = tensor(sizeNode(f, s, wanted == Elem::Int && isWhole(f.size()) ? Elem::Int : Elem::Real));
    t.whole = true;
    return t;
  }
  if (v.kind == Value::Truth) return tensor(constant(v.truth, s, Elem::Bool));
  if (v.kind != Value::Poison) diags.report(Msg::E0201, s, show(v));
  return poison();
}

Node *Elaborator::both(Node *a, Node *b, Span s) {
  if (!a || !b || a == b) return a ? a : b;
  return mapNode(Fn::And, {a, b}, Elem::Bool, s);
}

std::string Elaborator::show(const Value &v) {
  switch (v.kind) {
  case Value::Tensor: {
    if (!v.map) return v.type.shown();
    return sideText(v.left) + " -> " + sideText(v.right);
  }
  case Value::Number: return v.number.name();
  case Value::Truth: return v.truth ? "true" : "false";
  case Value::Dims: return "the dim " + (v.dims.empty() ? "" : v.dims[0]->name);
  case Value::Subset: return "the subset " + (v.dims.empty() ? "" : v.dims[0]->base);
  case Value::Tuple: return "a tuple";
  case Value::List: return "a list";
  case Value::InstanceOf: return "a block";
  case Value::FamilyOf: return "a family of experts";
  case Value::Text: return "a string";
  case Value::Poison: break;
  }
  return "an error";
}

std::string Elaborator::typeText(const Value &v) {
  if (v.kind != Value::Number && v.kind != Value::Dims) return show(v);
  return program.value(v.number.size()).substitute([&](const std::string &n) -> std::optional<Size> {
    for (const OpenLoop &l : open)
      if (l.symbol == n) return Size::symbol(l.index);
    return std::nullopt;
  }).str();
}
bool Elaborator::plain(const Value &v, Span s) {
  if (!v.map) return true;
  for (const Dim *d : v.right)
    if (d->name.back() == '\'') return diags.report(Msg::E0232, s, show(v), d->name.substr(0, d->name.size() - 1)), false;
  return true;
}
void Elaborator::bind(const std::string &n, Value v, Scope::Role role, Scope &scope, Span s) {
  auto old = scope.role(n);
  const bool library = diags.sources.name(s.file) == "std.fil"; // its bodies know no names of the program
  const ast::Function *f = program.find(n); // a model or loss cannot be named in a body: it is not shadowed
  const bool callable = f && (f->kind == ast::Function::Fn || f->kind == ast::Function::Block);
  const bool declared = !library && (program.declared.count(n) || callable || isBuiltin(n));
  const bool taken = old && !(*old == Scope::Let && role == Scope::Let);
  if (taken || declared) {
    Diagnostic &d = diags.report(Msg::E0104, s, n);
    if (taken) d.helps = {old == Scope::Formal && role == Scope::Let ? fmt::format("`{} = ..` rebinds a parameter; only a `let` may shadow a `let`", n) : "choose another name: only a `let` may shadow a `let`"};
  }
  if (taken) v = poison();
  if (!declared) scope.names[n] = std::move(v), scope.roles[n] = role;
}

// ---- dims ----

Size ProgramImpl::value(const Size &s) const {
  return s.substitute([&](const std::string &n) -> std::optional<Size> {
    const Dim *d = dims.find(n);
    if (!d || d->size == Size::symbol(n)) return std::nullopt;
    return value(d->size);
  });
}
Form Elaborator::formOf(const Dim *d) {
  auto it = program.forms.find(d);
  return it == program.forms.end() ? Form::symbol(d->name) : it->second;
}
Value Elaborator::dimValue(std::vector<const Dim *> dims) {
  Value v;
  v.kind = Value::Dims, v.dims = std::move(dims);
  v.number = Form(1);
  for (const Dim *d : v.dims) v.number = v.number * formOf(d);
  return v;
}
const Dim *Elaborator::declare(const std::string &name, const Form &size, Span at) {
  Size v = program.value(size.size());
  if (auto c = v.constant(); c && (!c->isWhole() || c->num < 1)) {
    diags.report(Msg::E0301, at, name, c->str());
    return nullptr;
  }
  return program.dims.get(name, name, size.size(), v.isConstant() ? Dim::Static : Dim::Bound);
}
const Dim *Elaborator::dimOf(const Form &f, Span at, bool) {
  if (f.terms().size() == 1) // a declared dim is itself
    if (auto &t = f.terms()[0].terms(); t.begin()->second == Rational(1) && t.begin()->first.size() == 1 && t.begin()->first.begin()->second == 1)
      if (const Dim *d = program.dims.find(t.begin()->first.begin()->first)) return d;
  Size v = program.value(f.size());
  if (auto c = v.constant(); c && (!c->isWhole() || c->num < 0)) {
    diags.report(Msg::E0301, at, f.name(), c->str());
    return nullptr;
  }
  std::string base;
  for (const Size &t : f.terms())
    for (auto &[name, e] : t.terms().begin()->first)
      if (e == 1) base = base.empty() || base == name ? name : "?";
  const Dim *d = program.dims.get(f.name(), base == "?" ? "" : base, f.size(), v.isConstant() ? Dim::Static : Dim::Bound);
  program.forms[d] = f;
  return d;
}
bool Elaborator::equate(const Dim *from, const Dim *to, Span at) {
  Size p = program.value(from->size), q = program.value(to->size);
  if (p == q || program.kept.count(from) || program.kept.count(to)) return true;
  if (q == Size::symbol(to->name) && program.declared.count(to->name)) { // a symbolic dim gets its size from here
    auto all = p.symbols();
    if (std::find(all.begin(), all.end(), to->name) == all.end()) return const_cast<Dim *>(to)->size = from->size, true;
  }
  if (p.constant() && q.constant()) return diags.report(Msg::E0221, at, from->name, p.str(), to->name, q.str()), false;
  return true;
}
const Dim *Elaborator::within(const std::string &base, const std::vector<const Dim *> &dims) {
  const Dim *found = nullptr;
  for (const Dim *d : dims) {
    if (d->name == base) return d;
    if (d->base != base && d->name.substr(0, d->name.find('#')) != base) continue;
    if (found) return nullptr;
    found = d;
  }
  return found;
}
/// A dim as written in a type, side or `over`: declared there, a subset's members, or a term. `of`: the dims of the tensor at hand.
std::vector<const Dim *> Elaborator::dimsOf(const ast::Dim &d, Scope &scope, const std::vector<const Dim *> *of) {
  switch (d.kind) {
  case ast::Dim::Rest: {
    Scope *sig = scope.signature();
    if (!sig->hasRest) diags.report(Msg::E0203, d.span);
    return sig->rest;
  }
  case ast::Dim::Subset: {
    Value *v = scope.find(d.name.name + "*");
    if (!v || v->kind != Value::Subset) {
      if (!v) diags.report(Msg::E0101, d.span, d.name.name + "*");
      return {};
    }
    return v->dims;
  }
  case ast::Dim::Declared: {
    Value size = expr(*d.term, scope);
    if (size.kind != Value::Number && size.kind != Value::Dims) return {};
    const Dim *dim = declare(d.name.name, size.number, d.span);
    if (!dim) return {};
    scope.names[d.name.name] = dimValue({dim});
    return {dim};
  }
  case ast::Dim::Term: break;
  }
  if (auto *n = std::get_if<ast::Name>(&d.term->is)) {
    Value *v = scope.find(n->name);
    if (of)
      if (const Dim *x = v && v->kind == Value::Dims && v->dims.size() == 1 && std::find(of->begin(), of->end(), v->dims[0]) == of->end() ? within(v->dims[0]->name, *of) : nullptr) return {x};
    if (of && !v && !program.declared.count(n->name)) {
      if (const Dim *x = within(n->name, *of)) return {x};
    }
    if (of && !v && program.declared.count(n->name)) {
      const Dim *own = program.declared[n->name].dim;
      if (std::find(of->begin(), of->end(), own) == of->end())
        if (const Dim *x = within(n->name, *of)) return {x};
    }
  }
  Value v = expr(*d.term, scope);
  if (v.kind == Value::Dims) return v.dims;
  if (v.kind == Value::Number) {
    Form f = v.number;
    if (auto e = exactly(f, d.span, nullptr)) f = f.isNumber() ? Form(*e) : f;
    const Dim *dim = dimOf(f, d.span);
    if (dim) return {dim};
    return {};
  }
  if (v.ok()) diags.report(Msg::E0202, d.span, show(v));
  return {};
}

static bool twice(const std::vector<const Dim *> &dims, const Dim *&which) {
  for (size_t i = 0; i < dims.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (dims[i] == dims[j]) return which = dims[i], true;
  return false;
}
std::optional<Type> Elaborator::typeFrom(const ast::Type &t, Scope &scope, std::vector<const Dim *> *written) {
  auto *x = std::get_if<ast::TensorType>(&t.is);
  if (!x) return std::nullopt;
  std::vector<const Dim *> dims;
  size_t before = diags.errors();
  for (const ast::Dim &d : x->dims)
    for (const Dim *y : dimsOf(d, scope, nullptr)) dims.push_back(y);
  if (diags.errors() != before) return std::nullopt;
  const Dim *which;
  if (twice(dims, which)) {
    diags.report(Msg::E0204, t.span, which->name);
    return std::nullopt;
  }
  if (written) *written = dims;
  Type out = typeOf(Elem(int(x->elem)), dims);
  if (x->elem == ast::TensorType::Index) {
    ast::Dim of;
    of.span = x->indexed.span;
    of.term = std::make_unique<ast::Expr>();
    of.term->span = of.span;
    if (std::isdigit((unsigned char)x->indexed.name[0])) of.term->is = ast::Number{x->indexed.name, false};
    else of.term->is = ast::Name{x->indexed.name};
    auto dims = dimsOf(of, scope, nullptr);
    if (dims.size() != 1) return std::nullopt;
    out.indexed = dims[0];
  }
  return out;
}
std::optional<Elaborator::MapSides> Elaborator::sidesFrom(const ast::MapType &t, Scope &scope) {
  MapSides s;
  size_t before = diags.errors();
  for (const ast::Dim &d : t.left)
    for (const Dim *x : dimsOf(d, scope, nullptr)) s.left.push_back(x);
  for (const ast::Dim &d : t.right)
    for (const Dim *x : dimsOf(d, scope, nullptr)) {
      if (std::find(s.left.begin(), s.left.end(), x) != s.left.end()) { // the out side of a square map is tagged
        const Dim *tagged = program.dims.get(x->name + "'", x->name + "'", Size::symbol(x->name), x->kind);
        program.forms[tagged] = Form::symbol(tagged->name);
        x = tagged;
      }
      s.right.push_back(x);
    }
  if (diags.errors() != before) return std::nullopt;
  const Dim *which;
  if (twice(s.left, which) || twice(s.right, which)) {
    diags.report(Msg::E0204, t.left.empty() ? t.right[0].span : t.left[0].span, which->name);
    return std::nullopt;
  }
  return s;
}
} // namespace fil::sema
