// SPDX-License-Identifier: Apache-2.0
// Expressions but for calls: names, arithmetic, conditions, indexing, contraction.
#include "lang/sema/elaborate.h"
#include <algorithm>
#include <cmath>

namespace fil::sema {

std::optional<Rational> Elaborator::exactly(const Form &f, Span at, const char *what) {
  Size s = program.value(f.size());
  for (const std::string &sym : s.symbols())
    for (OpenLoop &l : open)
      if (l.symbol == sym) l.exact = true;
  auto r = s.eval([&](const std::string &n) -> std::optional<int64_t> {
    for (const OpenLoop &l : open)
      if (l.symbol == n) return l.turn;
    return std::nullopt;
  });
  if (!r && what) diags.report(Msg::E0302, at, what, f.name());
  return r;
}

Value Elaborator::expr(const ast::Expr &e, Scope &scope) {
  Span s = e.span;
  if (auto *x = std::get_if<ast::Name>(&e.is)) return name(e, x->name, scope);
  if (auto *x = std::get_if<ast::Number>(&e.is)) return number(*x, s);
  if (auto *x = std::get_if<ast::Bool>(&e.is)) return truth(x->value);
  if (auto *x = std::get_if<ast::Binary>(&e.is)) return binary(e, *x, scope);
  if (auto *x = std::get_if<ast::Call>(&e.is)) return call(e, *x, scope);
  if (auto *x = std::get_if<ast::At>(&e.is)) return at(e, *x, scope);
  if (auto *x = std::get_if<ast::Member>(&e.is)) return member(e, *x, scope);
  if (auto *x = std::get_if<ast::Where>(&e.is)) return where(e, *x, scope);
  if (auto *x = std::get_if<ast::If>(&e.is)) return choose(*x, scope);
  if (auto *x = std::get_if<ast::Unary>(&e.is)) {
    Value v = expr(*x->operand, scope);
    if (!v.ok()) return v;
    if (x->op == ast::UnaryOp::Not) {
      if (v.kind == Value::Truth) return truth(!v.truth);
      v = asTensor(v, s);
      if (!v.ok()) return v;
      if (v.type.elem != Elem::Bool) return diags.report(Msg::E0206, s, "not", show(v)), poison();
      return elementwise(Fn::Not, {v}, s);
    }
    if (v.kind == Value::Number || v.kind == Value::Dims) return static_(Form(0) - v.number);
    return elementwise(Fn::Neg, {asTensor(v, s)}, s);
  }
  Value v;
  if (auto *x = std::get_if<ast::String>(&e.is)) {
    v.kind = Value::Text, v.text = x->value;
    return v;
  }
  const std::vector<ast::ExprPtr> *items = nullptr;
  if (auto *x = std::get_if<ast::Tuple>(&e.is)) v.kind = Value::Tuple, items = &x->items;
  else if (auto *x = std::get_if<ast::List>(&e.is)) v.kind = Value::List, items = &x->items;
  if (!items) return diags.report(Msg::E0303, s), poison();
  for (const ast::ExprPtr &i : *items) {
    v.items.push_back(expr(*i, scope));
    if (!v.items.back().ok()) return poison();
  }
  return v;
}

Value Elaborator::name(const ast::Expr &e, const std::string &n, Scope &scope) {
  if (Value *v = scope.find(n)) return *v;
  if (n == "training") return truth(graph.training);
  auto d = program.declared.find(n);
  if (d != program.declared.end()) return dimValue({d->second.dim});
  if (auto *f = program.find(n)) {
    Value v;
    v.kind = Value::Text, v.text = n;
    (void)f;
    diags.report(Msg::E0304, e.span, n);
    return poison();
  }
  std::vector<std::string> near;
  for (Scope *s = &scope; s; s = s->function ? nullptr : s->parent)
    for (auto &[k, x] : s->names) near.push_back(k);
  for (auto &[k, x] : program.declared) near.push_back(k);
  Diagnostic &m = diags.report(Msg::E0101, e.span, n);
  auto best = didYouMean(n, near);
  if (!best.empty()) m.help("did you mean `" + best[0] + "`?");
  return poison();
}

/// Decimal text as an exact fraction: 1e-3 is 1/1000.
Value Elaborator::number(const ast::Number &x, Span s) {
  try {
    size_t e = x.text.find_first_of("eE");
    std::string digits = x.text.substr(0, e);
    int exponent = e == std::string::npos ? 0 : std::stoi(x.text.substr(e + 1));
    size_t dot = digits.find('.');
    if (dot != std::string::npos) exponent -= int(digits.size() - dot - 1), digits.erase(dot, 1);
    while (digits.size() > 1 && digits.back() == '0' && dot != std::string::npos && exponent < 0) digits.pop_back(), ++exponent;
    Rational r(std::stoll(digits));
    for (int i = 0; i < std::abs(exponent); ++i) r = exponent > 0 ? r * Rational(10) : r / Rational(10);
    return static_(Form(r));
  } catch (const std::exception &) { // beyond 64 bits as a fraction: a plain real
    double v = std::strtod(x.text.c_str(), nullptr);
    if (!std::isfinite(v)) return diags.report(Msg::E0305, s, x.text), poison();
    return tensor(constant(v, s));
  }
}

static Fn fnOf(ast::BinaryOp op) {
  using B = ast::BinaryOp;
  switch (op) {
  case B::Add: return Fn::Add;
  case B::Sub: return Fn::Sub;
  case B::Mul: return Fn::Mul;
  case B::Div: return Fn::Div;
  case B::Pow: return Fn::Pow;
  case B::Eq: return Fn::Eq;
  case B::Ne: return Fn::Ne;
  case B::Lt: return Fn::Lt;
  case B::Le: return Fn::Le;
  case B::Gt: return Fn::Gt;
  case B::Ge: return Fn::Ge;
  case B::And: return Fn::And;
  default: return Fn::Or;
  }
}
static bool isStatic(const Value &v) { return v.kind == Value::Number || v.kind == Value::Dims || v.kind == Value::Truth; }

Value Elaborator::binary(const ast::Expr &e, const ast::Binary &b, Scope &scope) {
  if (b.op == ast::BinaryOp::MatMul)
    if (auto *l = std::get_if<ast::At>(&b.left->is); l && l->items.size() == 1 && l->items[0].kind == ast::IndexItem::Subset) {
      // `x[o*] @ w[o*]`: told as one mistake, with what to write instead
      Value x = expr(*l->base, scope), *s = scope.find(l->items[0].name.name + "*");
      if (x.kind == Value::Tensor && s && s->kind == Value::Subset) {
        x = gatherSubset(x, *s, b.left->span, l->base->span, b.right.get());
        Value w = expr(*b.right, scope);
        return x.ok() && w.ok() ? matmul(x, w, e.span) : poison();
      }
    }
  Value l = expr(*b.left, scope), r = expr(*b.right, scope);
  if (!l.ok() || !r.ok()) return poison();
  if (b.op == ast::BinaryOp::MatMul) return matmul(l, r, e.span);
  if (isStatic(l) && isStatic(r)) return staticBinary(b.op, l, r, e.span);
  Elem other = l.kind == Value::Tensor ? l.type.elem : r.kind == Value::Tensor ? r.type.elem : Elem::Real;
  Elem wanted = other == Elem::Int || other == Elem::Index ? Elem::Int : Elem::Real;
  Value x = asTensor(l, b.left->span, wanted), y = asTensor(r, b.right->span, wanted);
  if (!x.ok() || !y.ok()) return poison();
  Fn fn = fnOf(b.op);
  if (fn == Fn::And || fn == Fn::Or) {
    for (auto *v : {&x, &y})
      if (v->type.elem != Elem::Bool) return diags.report(Msg::E0206, e.span, fn == Fn::And ? "and" : "or", show(*v)), poison();
    return elementwise(fn, {x, y}, e.span);
  }
  if (fn >= Fn::Eq && fn <= Fn::Ge) return elementwise(fn, {x, y}, e.span);
  return arithmetic(fn, x, y, e.span);
}

Value Elaborator::staticBinary(ast::BinaryOp op, const Value &a, const Value &b, Span s) {
  using B = ast::BinaryOp;
  if (op == B::And || op == B::Or) {
    if (a.kind != Value::Truth || b.kind != Value::Truth) return diags.report(Msg::E0206, s, op == B::And ? "and" : "or", show(a.kind == Value::Truth ? b : a)), poison();
    return truth(op == B::And ? a.truth && b.truth : a.truth || b.truth);
  }
  if (a.kind == Value::Truth || b.kind == Value::Truth) {
    if (a.kind == b.kind && (op == B::Eq || op == B::Ne)) return truth((a.truth == b.truth) == (op == B::Eq));
    return diags.report(Msg::E0206, s, "this operator", show(a.kind == Value::Truth ? a : b)), poison();
  }
  try {
    switch (op) {
    case B::Add: return static_(a.number + b.number);
    case B::Sub: return static_(a.number - b.number);
    case B::Mul: return static_(a.number * b.number);
    case B::Div: return static_(a.number / b.number);
    case B::Pow: {
      auto e = program.value(b.number.size()).constant();
      if (e && e->isWhole() && std::abs(e->num) <= 64) return static_(a.number.pow(int(e->num)));
      auto x = exactly(a.number, s, "a power"), y = exactly(b.number, s, "a power");
      if (!x || !y) return poison();
      return tensor(constant(std::pow(x->value(), y->value()), s));
    }
    default: return compare(op, a, b, s);
    }
  } catch (const std::domain_error &) {
    return diags.report(Msg::E0306, s), poison();
  } catch (const std::overflow_error &) {
    return diags.report(Msg::E0305, s, "the result"), poison();
  }
}

Value Elaborator::compare(ast::BinaryOp op, Value a, Value b, Span s) {
  using B = ast::BinaryOp;
  Form d = a.number - b.number;
  auto decide = [&](Rational x) {
    Rational zero(0);
    switch (op) {
    case B::Eq: return x == zero;
    case B::Ne: return !(x == zero);
    case B::Lt: return x < zero;
    case B::Le: return !(zero < x);
    case B::Gt: return zero < x;
    default: return !(x < zero);
    }
  };
  Size v = program.value(d.size());
  if (auto c = v.constant()) return truth(decide(*c));
  auto r = v.eval([&](const std::string &n) -> std::optional<int64_t> {
    for (const OpenLoop &l : open)
      if (l.symbol == n) return l.turn;
    return std::nullopt;
  });
  if (!r) return diags.report(Msg::E0302, s, "a static condition", d.name()), poison();
  for (OpenLoop &l : open)
    if (auto syms = v.symbols(); std::find(syms.begin(), syms.end(), l.symbol) != syms.end()) {
      if (syms.size() > 1) l.exact = true;
      else l.tests.push_back({Form(v), op, decide(*r)});
    }
  return truth(decide(*r));
}

bool Elaborator::meet(const std::vector<const Dim *> &a, const std::vector<const Dim *> &b, Span at) {
  auto oneAxis = [&](const Dim *x, const Dim *y) {
    if (x->kind != y->kind && (x->kind == Dim::Subset || y->kind == Dim::Subset)) return false;
    return x->kind == Dim::Subset ? subsetOf[x]->dim == subsetOf[y]->dim : x->base == y->base;
  };
  for (const Dim *x : a) {
    if (x->base.empty() || std::find(b.begin(), b.end(), x) != b.end()) continue;
    for (const Dim *y : b)
      if (oneAxis(x, y) && std::find(a.begin(), a.end(), y) == a.end()) {
        if (x->kind == Dim::Subset) diags.report(Msg::E0208, at, x->base, y->base, subsetOf[x]->dim->name);
        else diags.report(Msg::E0205, at, x->name, y->name);
        return false;
      }
  }
  return true;
}

Value Elaborator::elementwise(Fn fn, std::vector<Value> args, Span s) {
  std::vector<Node *> nodes;
  Node *mask = nullptr;
  bool anyReal = false;
  for (Value &v : args) {
    if (!v.ok()) return poison();
    settled(v, s);
    anyReal |= v.type.elem == Elem::Real;
  }
  for (size_t i = 0; i < args.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (!meet(args[j].type.dims, args[i].type.dims, s)) return poison();
  for (size_t i = fn == Fn::Select ? 1 : 0; i < args.size(); ++i)
    if (args[i].type.elem == Elem::Index && fn != Fn::Select && !(fn >= Fn::Eq && fn <= Fn::Ge)) return diags.report(Msg::E0209, s, show(args[i])), poison();
  for (Value &v : args) mask = both(mask, v.mask, s);
  bool product = fn != Fn::Add && fn != Fn::Sub && fn != Fn::Select && !(fn >= Fn::Eq && fn <= Fn::Not);
  for (size_t i = 0; i < args.size(); ++i) {
    Node *n = args[i].node;
    bool logic = fn == Fn::And || fn == Fn::Or || fn == Fn::Not || (fn == Fn::Select && i == 0);
    if (!logic && anyReal) n = real(n);
    else if (!logic && n->type.elem == Elem::Bool && !(fn >= Fn::Eq && fn <= Fn::Ne)) n = real(n);
    // So that nothing that is absent reaches a gradient as NaN.
    if (product && mask && args[i].mask != mask && n->type.elem == Elem::Real && n->op != Op::Constant && args.size() > 1)
      n = mapNode(Fn::Select, {mask, n, constant(1, s)}, Elem::Real, s);
    nodes.push_back(n);
  }
  Elem result = nodes.back()->type.elem;
  if (fn >= Fn::Eq && fn <= Fn::Not) result = Elem::Bool;
  else if (fn == Fn::Div || fn == Fn::Pow || (fn >= Fn::Exp && fn <= Fn::Erf)) {
    for (Node *&n : nodes) n = real(n);
    result = Elem::Real;
  }
  Value v = tensor(mapNode(fn, nodes, result, s));
  v.mask = mask;
  // Unary functions, and arithmetic with tensors of its own dims, leave a map a map.
  for (Value &a : args)
    if (a.map && a.type.dims.size() == v.type.dims.size()) v.map = true, v.left = a.left, v.right = a.right;
  for (Value &a : args)
    if (!v.map && !plain(a, s)) return poison();
  return v;
}

Value Elaborator::arithmetic(Fn fn, Value a, Value b, Span s) {
  if (fn == Fn::Mod || fn == Fn::Min || fn == Fn::Max || fn <= Fn::Mod) return elementwise(fn, {a, b}, s);
  return elementwise(fn, {a, b}, s);
}

std::optional<bool> Elaborator::truthOf(const ast::Expr &e, Scope &scope) {
  Value v = expr(e, scope);
  if (!v.ok()) return std::nullopt;
  if (v.kind == Value::Truth) return v.truth;
  diags.report(Msg::E0307, e.span, show(v));
  return std::nullopt;
}
Value Elaborator::choose(const ast::If &x, Scope &scope) {
  auto c = truthOf(*x.condition, scope);
  return c ? expr(*c ? *x.then : *x.otherwise, scope) : poison();
}

/// The same condition, said twice or held in a name.
static bool same(const Node *a, const Node *b) {
  if (a == b) return true;
  const bool plain = a->op == Op::Map || a->op == Op::Constant || a->op == Op::Iota || a->op == Op::SizeOf || a->op == Op::Reduce || a->op == Op::Rename;
  if (!plain || a->op != b->op || a->fn != b->fn || !(a->type == b->type) || a->number != b->number || a->dim != b->dim || a->dims != b->dims || !(a->size == b->size) || a->args.size() != b->args.size()) return false;
  for (size_t i = 0; i < a->args.size(); ++i)
    if (!same(a->args[i], b->args[i])) return false;
  return true;
}
/// Does `condition` say at least `wanted`?
static bool implies(const Node *condition, const Node *wanted) {
  auto conjunction = [](const Node *n) { return n->op == Op::Map && n->fn == Fn::And; };
  if (same(condition, wanted)) return true;
  if (conjunction(wanted)) return implies(condition, wanted->args[0]) && implies(condition, wanted->args[1]);
  return conjunction(condition) && (implies(condition->args[0], wanted) || implies(condition->args[1], wanted));
}

Value Elaborator::where(const ast::Expr &e, const ast::Where &w, Scope &scope) {
  Value x = expr(*w.value, scope), c = expr(*w.condition, scope);
  if (!x.ok() || !c.ok()) return poison();
  Value other = w.otherwise ? expr(*w.otherwise, scope) : Value();
  if (w.otherwise && !other.ok()) return poison();
  if (c.kind == Value::Truth) {
    if (c.truth) return x;
    if (w.otherwise) return other;
  }
  c = asTensor(c, w.condition->span);
  x = asTensor(x, w.value->span);
  if (!x.ok() || !c.ok()) return poison();
  if (c.type.elem != Elem::Bool) return diags.report(Msg::E0210, w.condition->span, show(c)), poison();
  settled(x, e.span), settled(c, e.span);
  if (!w.otherwise) {
    Value v = elementwise(Fn::Select, {c, x, asTensor(static_(Form(0)), e.span, x.type.elem)}, e.span);
    if (!v.ok()) return v;
    v.mask = both(c.node, x.mask, e.span);
    return v;
  }
  other = asTensor(other, w.otherwise->span, x.type.elem == Elem::Int ? Elem::Int : Elem::Real);
  if (!other.ok()) return poison();
  Node *xMask = x.mask, *oMask = settled(other, e.span) ? other.mask : nullptr;
  x.mask = other.mask = nullptr;
  Value v = elementwise(Fn::Select, {c, x, other}, e.span);
  if (!v.ok()) return v;
  // x is absent only where it is chosen; what `where .. else` fills is present.
  if (xMask && !implies(c.node, xMask)) v.mask = mapNode(Fn::Or, {xMask, mapNode(Fn::Not, {c.node}, Elem::Bool, e.span)}, Elem::Bool, e.span);
  if (oMask) v.mask = both(v.mask, mapNode(Fn::Or, {oMask, c.node}, Elem::Bool, e.span), e.span);
  return v;
}

Value Elaborator::member(const ast::Expr &e, const ast::Member &m, Scope &scope) {
  Value x = expr(*m.base, scope);
  if (!x.ok()) return x;
  if (x.kind == Value::Tensor)
    for (const Dim *d : x.type.dims) {
      auto it = program.labels.find(d->name);
      if (it == program.labels.end()) continue;
      auto l = it->second.find(m.name.name);
      if (l != it->second.end()) return position(x, d, Form(l->second), e.span);
    }
  std::vector<std::string> names;
  for (auto &[d, labels] : program.labels)
    for (auto &[n, at] : labels) names.push_back(n);
  Diagnostic &d = diags.report(Msg::E0102, m.name.span, m.name.name, show(x));
  if (auto best = didYouMean(m.name.name, names); !best.empty()) d.help("did you mean `" + best[0] + "`?");
  return poison();
}

Value Elaborator::position(Value x, const Dim *dim, const Form &at, Span s) {
  settled(x, s);
  if (!plain(x, s)) return poison();
  Size n = program.value(dim->size), p = program.value(at.size());
  if (auto turn = exactly(at, s, nullptr)) p = Size(*turn);
  auto pc = p.constant(), room = (n - p).constant();
  if ((pc && (!pc->isWhole() || pc->num < 0)) || (room && !(Rational(0) < *room))) return diags.report(Msg::E0308, s, p.str(), dim->name, n.str()), poison();
  auto take = [&](Node *node) {
    std::vector<const Dim *> dims;
    for (const Dim *d : node->type.dims)
      if (d != dim) dims.push_back(d);
    if (dims.size() == node->type.dims.size()) return node;
    Type t = typeOf(node->type.elem, dims);
    t.indexed = node->type.indexed;
    Node *r = make(Op::At, t, {node}, s);
    r->dims = {dim}, r->size = p;
    return r;
  };
  Node *mask = x.mask;
  Value v = tensor(take(x.node));
  v.mask = mask ? take(mask) : nullptr;
  v.map = x.map, v.left = x.left, v.right = x.right; // indexing leaves a map a map
  std::erase(v.left, dim), std::erase(v.right, dim);
  return v;
}

Value Elaborator::at(const ast::Expr &e, const ast::At &a, Scope &scope) {
  Value x = expr(*a.base, scope);
  if (!x.ok()) return x;
  for (const ast::IndexItem &i : a.items) {
    if (x.kind == Value::List && i.kind == ast::IndexItem::Value) {
      Value n = expr(*i.value, scope);
      auto k = n.kind == Value::Number ? exactly(n.number, i.span, "an index") : std::nullopt;
      if (!k || !k->isWhole() || k->num < 0 || k->num >= int64_t(x.items.size())) return diags.report(Msg::E0309, i.span, x.items.size()), poison();
      x = Value(x.items[size_t(k->num)]);
      continue;
    }
    if (x.kind != Value::Tensor) return diags.report(Msg::E0201, a.base->span, show(x)), poison();
    if (i.kind == ast::IndexItem::Subset) {
      Value *s = scope.find(i.name.name + "*");
      if (!s) return diags.report(Msg::E0101, i.span, i.name.name + "*"), poison();
      if (s->kind != Value::Subset) return poison();
      x = gatherSubset(x, *s, e.span, a.base->span, nullptr);
    } else if (i.kind == ast::IndexItem::At) {
      const Dim *d = within(i.name.name, x.type.dims);
      if (Value *v = scope.find(i.name.name); v && v->kind == Value::Dims && v->dims.size() == 1) d = within(v->dims[0]->name, x.type.dims);
      if (!d) return diags.report(Msg::E0211, i.span, i.name.name, show(x)), poison();
      Value p = expr(*i.value, scope);
      if (!p.ok()) return p;
      if (p.kind != Value::Number && p.kind != Value::Dims) return diags.report(Msg::E0310, i.span, show(p)), poison();
      x = position(x, d, p.number, e.span);
    } else {
      Value index = expr(*i.value, scope);
      if (!index.ok()) return index;
      x = gather(x, index, e.span, i.span);
    }
    if (!x.ok()) return x;
  }
  return x;
}

Value Elaborator::gather(Value x, Value index, Span s, Span indexSpan) {
  if (index.kind != Value::Tensor || index.type.elem != Elem::Index) return diags.report(Msg::E0212, indexSpan, show(index)), poison();
  const Dim *v = index.type.indexed;
  if (std::find(x.type.dims.begin(), x.type.dims.end(), v) == x.type.dims.end()) return diags.report(Msg::E0211, s, v->name, show(x)), poison();
  settled(x, s), settled(index, s);
  std::vector<const Dim *> dims = index.type.dims;
  for (const Dim *d : x.type.dims)
    if (d != v) dims.push_back(d);
  auto read = [&](Node *n) {
    std::vector<const Dim *> all = index.type.dims;
    bool has = false;
    for (const Dim *d : n->type.dims) d == v ? (void)(has = true) : all.push_back(d);
    if (!has) return n;
    Type t = typeOf(n->type.elem, all);
    t.indexed = n->type.indexed;
    Node *g = make(Op::Gather, t, {n, index.node}, s);
    g->dim = v;
    return g;
  };
  Value out = tensor(read(x.node));
  out.mask = both(x.mask ? read(x.mask) : nullptr, index.mask, s);
  return out;
}

static std::string spaced(const Type &t) {
  std::string s = t.str(), out;
  for (char c : s) out += c == ',' ? std::string(", ") : std::string(1, c);
  return out;
}
bool Elaborator::mayLack(const Node *subset) {
  const auto k = program.value(subset->subset->size).constant(), n = program.value(subset->dim->size).constant();
  return subset->args.size() > 1 || !k || !n || *n < *k || program.options.limited.contains(pathOf(subset->site));
}
Value Elaborator::gatherSubset(Value x, const Value &subset, Span at, Span base, const ast::Expr *matmulWith) {
  const Dim *members = subset.dims[0], *of = subset.node->dim;
  if (std::find(x.type.dims.begin(), x.type.dims.end(), of) == x.type.dims.end()) {
    std::string xs(diags.sources.text(base)), ss = members->base;
    bool outputs = false; // is it the out side of a map that takes what x has?
    for (const Variable &v : program.variables)
      if (v.rightFrom >= 0 && std::find(v.declared.begin() + v.rightFrom, v.declared.end(), of) != v.declared.end())
        for (int i = 0; i < v.rightFrom; ++i) outputs |= std::find(x.type.dims.begin(), x.type.dims.end(), v.declared[size_t(i)]) != x.type.dims.end();
    Diagnostic &d = diags.report(Msg::E0207, at, std::string(diags.sources.text(at)), of->name, xs, spaced(x.type));
    d.mark(outputs ? "indexing an input by output neurons" : "`" + xs + "` has no `" + of->name + "`");
    d.also(subsetPlace[members], "`" + ss + "` is a subset of `" + of->name + "`" + (outputs ? " (the layer's outputs)" : ""));
    auto *w = matmulWith ? std::get_if<ast::At>(&matmulWith->is) : nullptr;
    if (w && w->items.size() == 1 && w->items[0].kind == ast::IndexItem::Subset && w->items[0].name.name + "*" == ss)
      d.help("to compute only the selected outputs, write `" + xs + " @ " + std::string(diags.sources.text(matmulWith->span)) + "`");
    return poison();
  }
  Value v = x;
  std::vector<const Dim *> dims = dependsOn[members];
  for (const Dim *d : x.type.dims)
    if (d != of) dims.push_back(d);
  dims.push_back(members);
  v.through.push_back(subset.node);
  v.type = typeOf(x.type.elem, dims);
  v.type.indexed = x.type.indexed;
  if (x.mask) { // the mask is read the same way
    Value m = tensor(x.mask);
    if (std::find(m.type.dims.begin(), m.type.dims.end(), of) != m.type.dims.end()) m.through = {subset.node}, settled(m, at);
    v.mask = m.node;
  }
  if (mayLack(subset.node)) {
    Node *p = make(Op::Present, typeOf(Elem::Bool, [&] { auto d = dependsOn[members]; d.push_back(members); return d; }()), {subset.node}, at);
    v.mask = both(v.mask, p, at);
  }
  for (auto *side : {&v.left, &v.right})
    for (const Dim *&d : *side)
      if (d == of) d = members;
  return v;
}

Value Elaborator::contract(Value a, Value b, std::vector<const Dim *> over, std::vector<const Dim *> result, Span s) {
  // Absent elements count as 0.
  auto fill = [&](Value &v) {
    if (!v.mask) return;
    settled(v, s);
    if (v.node->inside != v.mask) v.node = mapNode(Fn::Select, {v.mask, real(v.node), constant(0, s)}, Elem::Real, s);
    v.mask = nullptr;
  };
  // What stays absent: masks over dims that are not summed.
  Node *mask = nullptr;
  for (Value *v : {&a, &b})
    if (v->mask) {
      bool touched = false;
      for (const Dim *d : v->mask->type.dims) touched |= std::find(over.begin(), over.end(), d) != over.end();
      if (!touched) mask = both(mask, v->mask, s);
    }
  fill(a), fill(b);
  if (a.through.size() > 1) settled(a, s);
  if (b.through.size() > 1 || !a.through.empty()) settled(b, s);
  for (Value *v : {&a, &b})
    if (!v->through.empty() && v->node->type.elem != Elem::Real) settled(*v, s);
  // An operand that has the members already is read where both agree, and one by position of a dim that the other has plainly: the op
  // cannot tell them apart.
  auto has = [](const std::vector<const Dim *> &dims, const Dim *d) { return std::find(dims.begin(), dims.end(), d) != dims.end(); };
  for (Value *v : {&a, &b})
    if (!v->through.empty() && (has(v->node->type.dims, v->through[0]->subset) || has((v == &a ? b : a).type.dims, v->through[0]->dim))) settled(*v, s);
  if (!meet(a.type.dims, b.type.dims, s)) return poison();
  Node *n = make(Op::Contract, typeOf(Elem::Real, result), {real(a.node), real(b.node)}, s);
  n->dims = over;
  for (Value *v : {&a, &b}) n->subsets.insert(n->subsets.end(), v->through.begin(), v->through.end());
  Value out = tensor(n);
  out.mask = mask;
  return out;
}

Value Elaborator::matmul(Value x, Value w, Span s) {
  x = asTensor(x, s);
  if (!x.ok()) return x;
  if (w.kind != Value::Tensor || !w.map) return diags.report(Msg::E0213, s, show(w)), poison();
  for (const Dim *d : w.left)
    if (std::find(x.type.dims.begin(), x.type.dims.end(), d) == x.type.dims.end()) return diags.report(Msg::E0214, s, show(x), d->name, show(w)), poison();
  std::vector<const Dim *> result, out;
  auto contracted = [&](const Dim *d) { return std::find(w.left.begin(), w.left.end(), d) != w.left.end(); };
  for (const Dim *d : x.type.dims)
    if (!contracted(d)) result.push_back(d);
  for (const Dim *d : w.type.dims)
    if (!contracted(d) && std::find(result.begin(), result.end(), d) == result.end()) result.push_back(d);
  for (const Dim *d : w.right)
    if (d->kind != Dim::Subset && std::find(x.type.dims.begin(), x.type.dims.end(), d) != x.type.dims.end() && !contracted(d)) return diags.report(Msg::E0204, s, d->name), poison();
  Value v = contract(x, w, w.left, result, s);
  if (!v.ok()) return v;
  for (const Dim *d : w.right) // the tag of a square map's out side falls away
    if (d->name.back() == '\'') {
      const Dim *plain = program.dims.find(d->name.substr(0, d->name.size() - 1));
      std::vector<const Dim *> dims;
      for (const Dim *y : v.type.dims) dims.push_back(y == d ? plain : y);
      Node *r = make(Op::Rename, typeOf(Elem::Real, dims), {v.node}, s);
      r->dims = {d}, r->dim = plain;
      Node *mask = v.mask;
      v = tensor(r), v.mask = mask;
    }
  return v;
}
} // namespace fil::sema
