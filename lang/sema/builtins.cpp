// SPDX-License-Identifier: Apache-2.0
// What the compiler provides: everything else is Filigree in lang/std.
#include "lang/sema/elaborate.h"
#include <algorithm>
#include <cmath>

namespace fil::sema {

static const std::map<std::string, Fn> unary = {{"abs", Fn::Abs}, {"sign", Fn::Sign}, {"exp", Fn::Exp}, {"log", Fn::Log}, {"sqrt", Fn::Sqrt}, {"rsqrt", Fn::Rsqrt}, {"sin", Fn::Sin},
                                                {"cos", Fn::Cos}, {"tanh", Fn::Tanh}, {"erf", Fn::Erf}, {"floor", Fn::Floor}, {"ceil", Fn::Ceil}};
static const std::set<std::string> others = {"sum", "mean", "max", "min", "argmax", "dot", "concat", "split", "rename", "window", "topk", "scatter", "stopgrad", "position", "random", "present", "load", "mod"};

bool Elaborator::isBuiltin(const std::string &n) { return unary.count(n) || others.count(n); }

void Elaborator::addBuiltins(std::vector<std::string> &names) {
  for (auto &[n, fn] : unary) names.push_back(n);
  names.insert(names.end(), others.begin(), others.end());
}

/// Absent elements take `fill`; the mask is kept only where no dim of it is reduced.
bool Elaborator::present(Value &v, std::vector<const Dim *> over, double fill, Span s, Node *&kept) {
  kept = nullptr;
  settled(v, s);
  if (!v.mask) return false;
  bool touched = false;
  for (const Dim *d : v.mask->type.dims) touched |= std::find(over.begin(), over.end(), d) != over.end();
  if (!touched) {
    kept = v.mask;
    return false;
  }
  if (fill != 0 || v.node->inside != v.mask) v.node = mapNode(Fn::Select, {v.mask, real(v.node), constant(fill, s)}, Elem::Real, s);
  return true;
}

Value Elaborator::reduce(const std::string &name, Value x, std::vector<const Dim *> over, Span s) {
  sortDims(over);
  settled(x, s);
  if (!plain(x, s)) return poison();
  for (const Dim *d : over)
    if (std::find(x.type.dims.begin(), x.type.dims.end(), d) == x.type.dims.end()) return diags.report(Msg::E0211, s, d->name, show(x)), poison();
  for (const Dim *m : x.type.dims)
    if (m->kind == Dim::Subset && std::find(over.begin(), over.end(), m) == over.end())
      for (const Dim *d : dependsOn[m])
        if (std::find(over.begin(), over.end(), d) != over.end()) return diags.report(Msg::E0219, s, d->name, m->base), poison();
  std::vector<const Dim *> left;
  for (const Dim *d : x.type.dims)
    if (std::find(over.begin(), over.end(), d) == over.end()) left.push_back(d);
  auto reduced = [&](Fn fn, Node *n, Elem e) {
    std::vector<const Dim *> kept, gone;
    for (const Dim *d : n->type.dims) (std::find(over.begin(), over.end(), d) == over.end() ? kept : gone).push_back(d);
    Type t = typeOf(e, kept);
    if (fn == Fn::ArgMax) t.elem = Elem::Index, t.indexed = over[0];
    Node *r = make(Op::Reduce, t, {n}, s);
    r->fn = fn, r->dims = gone;
    return r;
  };
  const double inf = INFINITY;
  Node *kept;
  Value v;
  if (name == "argmax") {
    if (over.size() != 1) return diags.report(Msg::E0220, s, name), poison();
    present(x, over, -inf, s, kept);
    v = tensor(reduced(Fn::ArgMax, real(x.node), Elem::Index));
  } else if (name == "max" || name == "min") {
    present(x, over, name == "max" ? -inf : inf, s, kept);
    v = tensor(reduced(name == "max" ? Fn::Max : Fn::Min, x.node, x.node->type.elem));
  } else {
    Node *mask = x.mask;
    bool partial = present(x, over, 0, s, kept);
    Elem e = x.node->type.elem == Elem::Int && name == "sum" ? Elem::Int : Elem::Real;
    Node *sum = reduced(Fn::Sum, e == Elem::Int ? x.node : real(x.node), e);
    if (name == "mean" && partial) { // by the number that is present; none left: 0
      std::vector<Node *> ones{real(mask)};
      Node *count = reduced(Fn::Sum, ones[0], Elem::Real);
      Form missing(1);
      for (const Dim *d : over)
        if (std::find(mask->type.dims.begin(), mask->type.dims.end(), d) == mask->type.dims.end()) missing = missing * formOf(d);
      count = mapNode(Fn::Mul, {count, sizeNode(missing, s, Elem::Real)}, Elem::Real, s);
      sum = mapNode(Fn::Div, {sum, mapNode(Fn::Max, {count, constant(1, s)}, Elem::Real, s)}, Elem::Real, s);
    } else if (name == "mean") {
      Form n(1);
      for (const Dim *d : over) n = n * formOf(d);
      sum = mapNode(Fn::Div, {sum, sizeNode(n, s, Elem::Real)}, Elem::Real, s);
    }
    v = tensor(sum);
  }
  v.mask = kept;
  if (x.map) { // what is left of a map's two sides
    auto keep = [&](const std::vector<const Dim *> &side) {
      std::vector<const Dim *> k;
      for (const Dim *d : side)
        if (std::find(over.begin(), over.end(), d) == over.end()) k.push_back(d);
      return k;
    };
    v.left = keep(x.left), v.right = keep(x.right), v.map = !v.left.empty() && !v.right.empty();
  }
  return v;
}

Value Elaborator::topk(Value score, const Form &k, const Dim *over, Span s, bool route, const std::string &name) {
  settled(score, s);
  if (std::find(score.type.dims.begin(), score.type.dims.end(), over) == score.type.dims.end()) return diags.report(Msg::E0211, s, over->name, show(score)), poison();
  std::vector<const Dim *> per;
  for (const Dim *d : score.type.dims)
    if (d != over) per.push_back(d);
  Size size = Size::max(Size(1), Size::floor(program.value(k.size())));
  const Dim *members = program.dims.get(fmt::format("{}#{}", name, program.fresh[name]++), name + "*", size, Dim::Subset);
  if (!fromInput.count(score.node)) diags.report(Msg::W0311, s, members->base);
  std::vector<Node *> args{real(score.node)};
  if (score.mask) args.push_back(score.mask);
  auto dims = per;
  dims.push_back(members);
  Node *n = make(Op::TopK, typeOf(Elem::Index, dims), args, s);
  n->type.indexed = over, n->dim = over, n->dims = per, n->subset = members, n->size = size, n->route = route, n->name = name;
  n->site = siteOf(Site::Subset, name);
  dependsOn[members] = per, subsetOf[members] = n, subsetPlace[members] = s;
  Value v;
  v.kind = Value::Subset, v.node = n, v.dims = {members};
  return v;
}

Value Elaborator::scatter(Value y, const Value &subset, Span s) {
  settled(y, s);
  const Dim *members = subset.dims[0], *of = subset.node->dim;
  if (std::find(y.type.dims.begin(), y.type.dims.end(), members) == y.type.dims.end()) return diags.report(Msg::E0211, s, members->base, show(y)), poison();
  if (y.mask) y.node = mapNode(Fn::Select, {y.mask, real(y.node), constant(0, s)}, Elem::Real, s);
  std::vector<const Dim *> dims{of};
  for (const Dim *d : y.type.dims)
    if (d != members) dims.push_back(d);
  for (const Dim *d : dependsOn[members]) dims.push_back(d);
  Node *n = make(Op::Scatter, typeOf(Elem::Real, dims), {real(y.node), subset.node}, s);
  n->dim = of;
  return tensor(n);
}

/// Each element's share of the choices.
Value Elaborator::load(const Value &subset, Span s) {
  const Dim *members = subset.dims[0], *of = subset.node->dim;
  auto dims = dependsOn[members];
  dims.push_back(members);
  Node *ones = real(make(Op::Present, typeOf(Elem::Bool, dims), {subset.node}, s));
  Value all = reduce("sum", scatter(tensor(ones), subset, s), dependsOn[members], s);
  Value total = reduce("sum", all, {of}, s);
  return elementwise(Fn::Div, {all, total}, s);
}

Value Elaborator::rename(Value x, const ast::Call &c, Scope &scope, Span s) {
  settled(x, s);
  for (const ast::Argument &a : c.args) {
    auto *n = std::get_if<ast::Argument::Named>(&a.is);
    if (!n) continue;
    const Dim *from = within(n->name.name, x.type.dims);
    if (Value *v = scope.find(n->name.name); v && v->kind == Value::Dims && v->dims.size() == 1)
      if (const Dim *d = within(v->dims[0]->name, x.type.dims)) from = d;
    Value to = expr(*n->value, scope);
    if (!to.ok()) return poison();
    if (!from) return diags.report(Msg::E0211, a.span, n->name.name, show(x)), poison();
    const Dim *d = to.kind == Value::Dims && to.dims.size() == 1 ? to.dims[0] : to.kind == Value::Number ? dimOf(to.number, a.span) : nullptr;
    if (!d) return diags.report(Msg::E0202, a.span, show(to)), poison();
    if (std::find(x.type.dims.begin(), x.type.dims.end(), d) != x.type.dims.end() && d != from) return diags.report(Msg::E0204, a.span, d->name), poison();
    if (!equate(from, d, a.span)) return poison();
    auto change = [&](Node *node) {
      std::vector<const Dim *> dims;
      bool has = false;
      for (const Dim *y : node->type.dims) dims.push_back(y == from ? d : y), has |= y == from;
      if (!has || from == d) return node;
      Type t = typeOf(node->type.elem, dims);
      t.indexed = node->type.indexed;
      Node *r = make(Op::Rename, t, {node}, s);
      r->dims = {from}, r->dim = d;
      return r;
    };
    Node *mask = x.mask ? change(x.mask) : nullptr;
    x = tensor(change(x.node)), x.mask = mask;
  }
  return x;
}

Value Elaborator::concat(std::vector<Value> parts, const Args &args, Scope &scope, Span s) {
  if (parts.empty()) return diags.report(Msg::E0317, s, "concat", "x"), poison();
  std::vector<const Dim *> joined(parts.size()), all;
  for (Value &p : parts) {
    settled(p, s);
    if (!plain(p, s)) return poison();
    if (p.mask) return diags.report(Msg::E0222, s, "concat"), poison();
    all.insert(all.end(), p.type.dims.begin(), p.type.dims.end());
  }
  auto common = [&](const Dim *d) { return std::all_of(parts.begin(), parts.end(), [&](Value &p) { return std::find(p.type.dims.begin(), p.type.dims.end(), d) != p.type.dims.end(); }); };
  const Dim *over = nullptr;
  if (args.over) {
    auto dims = overDims(args, scope, all, s);
    if (dims.size() != 1) return poison();
    over = dims[0];
  }
  Form sum;
  for (size_t i = 0; i < parts.size(); ++i) {
    for (const Dim *d : parts[i].type.dims)
      if (!common(d)) {
        if (joined[i]) return diags.report(Msg::E0223, s), poison();
        joined[i] = d;
      }
    if (!joined[i] && over && common(over)) joined[i] = over;
    if (!joined[i]) return diags.report(Msg::E0223, s), poison();
    sum = i ? sum + formOf(joined[i]) : formOf(joined[i]);
  }
  const Dim *into = over && !common(over) ? over : dimOf(sum, s);
  if (!into) return poison();
  auto p = program.value(into->size).constant(), q = program.value(sum.size()).constant();
  if (p && q && !(*p == *q)) return diags.report(Msg::E0221, s, into->name, p->str(), sum.name(), q->str()), poison();
  std::vector<const Dim *> dims{into};
  std::vector<Node *> nodes;
  for (size_t i = 0; i < parts.size(); ++i) {
    nodes.push_back(real(parts[i].node));
    for (const Dim *d : parts[i].type.dims)
      if (d != joined[i]) dims.push_back(d);
  }
  Node *n = make(Op::Concat, typeOf(Elem::Real, dims), nodes, s);
  n->dims = joined, n->dim = into;
  return tensor(n);
}

Value Elaborator::split(Value x, const ast::Call &c, Scope &scope, Span s) {
  settled(x, s);
  std::vector<const Dim *> parts;
  const ast::Argument::Over *over = nullptr;
  bool first = true;
  Form sum;
  for (const ast::Argument &a : c.args) {
    if (auto *o = std::get_if<ast::Argument::Over>(&a.is)) {
      over = o;
      continue;
    }
    if (std::exchange(first, false)) continue;
    const Dim *d = nullptr;
    if (auto *n = std::get_if<ast::Argument::Declared>(&a.is)) {
      Value size = expr(*n->size, scope);
      if (size.kind != Value::Number && size.kind != Value::Dims) return poison();
      d = declare(n->name.name, size.number, a.span);
      if (d) scope.names[n->name.name] = dimValue({d});
    } else if (auto *e = std::get_if<ast::ExprPtr>(&a.is)) {
      Value v = expr(**e, scope);
      if (v.kind == Value::Dims && v.dims.size() == 1) d = v.dims[0];
      else if (v.kind == Value::Number) d = dimOf(v.number, a.span);
      else if (v.ok()) diags.report(Msg::E0202, a.span, show(v));
    }
    if (!d) return poison();
    sum = parts.empty() ? formOf(d) : sum + formOf(d);
    parts.push_back(d);
  }
  const Dim *of = nullptr;
  if (over && over->dims.size() == 1) {
    auto dims = overDim(over->dims[0], scope, x.type.dims);
    if (dims.size() != 1) return poison();
    of = dims[0];
  } else of = program.dims.find(sum.name());
  if (!of || std::find(x.type.dims.begin(), x.type.dims.end(), of) == x.type.dims.end()) return diags.report(Msg::E0211, s, of ? of->name : sum.name(), show(x)), poison();
  auto p = program.value(of->size).constant(), q = program.value(sum.size()).constant();
  if (p && q && !(*p == *q)) return diags.report(Msg::E0221, s, of->name, p->str(), sum.name(), q->str()), poison();
  Value out;
  out.kind = Value::Tuple;
  Size at;
  for (const Dim *d : parts) {
    auto cut = [&](Node *node) {
      std::vector<const Dim *> dims;
      bool has = false;
      for (const Dim *y : node->type.dims) dims.push_back(y == of ? d : y), has |= y == of;
      if (!has) return node;
      Node *r = make(Op::Slice, typeOf(node->type.elem, dims), {node}, s);
      r->dims = {of}, r->dim = d, r->size = program.value(at), r->extent = d->size;
      return r;
    };
    Value part = tensor(cut(x.node));
    if (x.mask) part.mask = cut(x.mask);
    out.items.push_back(part);
    at = at + d->size;
  }
  return out;
}

Value Elaborator::window(const ast::Call &c, Scope &scope, Span s) {
  auto *e = c.args.empty() ? nullptr : std::get_if<ast::ExprPtr>(&c.args[0].is);
  if (!e) return diags.report(Msg::E0317, s, "window", "x"), poison();
  Value x = asTensor(expr(**e, scope), s);
  if (!x.ok()) return x;
  settled(x, s);
  bool same = false;
  for (const ast::Argument &a : c.args)
    if (auto *n = std::get_if<ast::Argument::Named>(&a.is)) {
      auto *word = std::get_if<ast::Name>(&n->value->is);
      if (n->name.name != "pad" || !word || word->name != "same") return diags.report(Msg::E0224, a.span), poison();
      same = true;
    }
  Node *mask = x.mask;
  std::vector<WindowDim> windows;
  std::vector<const Dim *> dims = x.type.dims;
  for (const ast::Argument &a : c.args) {
    auto *by = std::get_if<ast::Argument::By>(&a.is);
    if (!by) continue;
    const Dim *in = within(by->dim.name, x.type.dims);
    if (Value *v = scope.find(by->dim.name); v && v->kind == Value::Dims && v->dims.size() == 1) in = within(v->dims[0]->name, x.type.dims);
    if (!in) return diags.report(Msg::E0211, a.span, by->dim.name, show(x)), poison();
    const Dim *k = nullptr;
    if (by->size) {
      Value size = expr(*by->size, scope);
      if (size.kind != Value::Number && size.kind != Value::Dims) return poison();
      k = declare(by->as.name, size.number, a.span);
      if (k) scope.names[by->as.name] = dimValue({k});
    } else {
      Value *v = scope.find(by->as.name);
      Value d = v ? *v : program.declared.count(by->as.name) ? dimValue({program.declared[by->as.name].dim}) : poison();
      if (d.kind != Value::Dims || d.dims.size() != 1) return diags.report(Msg::E0101, by->as.span, by->as.name), poison();
      k = d.dims[0];
    }
    if (!k) return poison();
    Value stride = by->stride ? expr(*by->stride, scope) : static_(Form(1));
    if (stride.kind != Value::Number && stride.kind != Value::Dims) return poison();
    auto st = exactly(stride.number, a.span, "a stride"), ks = exactly(Form(k->size), a.span, "a window");
    if (!st || !ks) return poison();
    if (!st->isWhole() || st->num < 1) return diags.report(Msg::E0301, a.span, "stride", st->str()), poison();
    Form out = same ? formOf(in) / Form(*st) : (formOf(in) - Form(*ks)) / Form(*st) + Form(1);
    const Dim *o = dimOf(out, a.span);
    if (!o) return poison();
    int64_t before = same ? (ks->num - 1) / 2 : 0;
    windows.push_back({in, k, o, st->num, before});
    std::replace(dims.begin(), dims.end(), in, o);
    dims.push_back(k);
    if (same && ks->num > 1) { // padding is absent
      auto iota = [&](const Dim *d) {
        Node *n = make(Op::Iota, typeOf(Elem::Int, {d}), {}, s);
        n->dim = d;
        return n;
      };
      Node *at = mapNode(Fn::Add, {mapNode(Fn::Mul, {iota(o), constant(double(st->num), s, Elem::Int)}, Elem::Int, s), mapNode(Fn::Sub, {iota(k), constant(double(before), s, Elem::Int)}, Elem::Int, s)}, Elem::Int, s);
      Node *inside = both(mapNode(Fn::Ge, {at, constant(0, s, Elem::Int)}, Elem::Bool, s), mapNode(Fn::Lt, {at, sizeNode(formOf(in), s, Elem::Int)}, Elem::Bool, s), s);
      mask = both(mask, inside, s);
    }
  }
  if (x.mask) return diags.report(Msg::E0222, s, "window"), poison();
  Node *n = make(Op::Window, typeOf(Elem::Real, dims), {real(x.node)}, s);
  n->windows = windows, n->inside = mask;
  Value v = tensor(n);
  v.mask = mask;
  return v;
}

Value Elaborator::builtin(const std::string &n, const ast::Expr &e, const ast::Call &c, Scope &scope) {
  Span s = e.span;
  if (n == "window") return window(c, scope, s);
  if (n == "split" || n == "rename") {
    auto *first = c.args.empty() ? nullptr : std::get_if<ast::ExprPtr>(&c.args[0].is);
    if (!first) return diags.report(Msg::E0317, s, n, "x"), poison();
    Value x = asTensor(expr(**first, scope), c.args[0].span);
    if (!x.ok()) return x;
    return n == "split" ? split(x, c, scope, s) : rename(x, c, scope, s);
  }
  Args args = arguments(c.args, scope);
  for (auto &a : args.positional)
    if (!a.value.ok()) return poison();
  auto count = [&](size_t k) {
    if (args.positional.size() == k && args.named.empty()) return true;
    diags.report(Msg::E0322, s, n, k);
    return false;
  };
  if (n == "load") {
    if (!count(1)) return poison();
    if (args.positional[0].value.kind != Value::Subset) return diags.report(Msg::E0225, s, n, show(args.positional[0].value)), poison();
    return load(args.positional[0].value, s);
  }
  if (n == "position") {
    if (!count(1)) return poison();
    Value d = args.positional[0].value;
    const Dim *dim = d.kind == Value::Dims && d.dims.size() == 1 ? d.dims[0] : d.kind == Value::Number ? dimOf(d.number, s) : nullptr;
    if (!dim) return diags.report(Msg::E0202, s, show(d)), poison();
    Node *r = make(Op::Iota, typeOf(Elem::Int, {dim}), {}, s);
    r->dim = dim;
    return tensor(r);
  }
  if (n == "scatter") {
    if (!count(1)) return poison();
    Value y = asTensor(args.positional[0].value, s);
    const Value *sub = nullptr;
    if (args.over && args.over->dims.size() == 1 && args.over->dims[0].kind == ast::Dim::Subset) sub = scope.find(args.over->dims[0].name.name + "*");
    if (!y.ok()) return y;
    if (!sub || sub->kind != Value::Subset) return diags.report(Msg::E0225, s, n, "no subset"), poison();
    return scatter(y, *sub, s);
  }
  auto u = unary.find(n);
  if ((n == "floor" || n == "ceil") && args.positional.size() == 1 && (args.positional[0].value.kind == Value::Number || args.positional[0].value.kind == Value::Dims)) {
    Size v = program.value(args.positional[0].value.number.size());
    return static_(Form(n == "floor" ? Size::floor(v) : Size::ceil(v)));
  }
  if (u != unary.end()) {
    if (!count(1)) return poison();
    Value x = asTensor(args.positional[0].value, s);
    if (!x.ok()) return x;
    if (x.type.elem == Elem::Index) return diags.report(Msg::E0209, s, show(x)), poison();
    return elementwise(u->second, {x}, s);
  }
  if (n == "concat") {
    std::vector<Value> parts;
    for (auto &a : args.positional) {
      parts.push_back(asTensor(a.value, a.span));
      if (!parts.back().ok()) return poison();
    }
    return concat(std::move(parts), args, scope, s);
  }
  if (n == "mod" || ((n == "min" || n == "max") && !args.over)) {
    if (!count(2)) return poison();
    Value a = args.positional[0].value, b = args.positional[1].value;
    auto stat = [](const Value &v) { return v.kind == Value::Number || v.kind == Value::Dims; };
    if (stat(a) && stat(b) && n != "mod") {
      Size x = program.value(a.number.size()), y = program.value(b.number.size());
      return static_(Form(n == "min" ? Size::min(x, y) : Size::max(x, y)));
    }
    Elem w = (a.kind == Value::Tensor ? a : b).type.elem == Elem::Int ? Elem::Int : Elem::Real;
    a = asTensor(a, s, w), b = asTensor(b, s, w);
    return a.ok() && b.ok() ? elementwise(n == "mod" ? Fn::Mod : n == "min" ? Fn::Min : Fn::Max, {a, b}, s) : poison();
  }
  if (n == "topk") {
    if (!count(2)) return poison();
    Value score = asTensor(args.positional[0].value, s), k = args.positional[1].value;
    if (!score.ok()) return score;
    if (k.kind != Value::Number && k.kind != Value::Dims) return diags.report(Msg::E0310, args.positional[1].span, show(k)), poison();
    auto over = overDims(args, scope, score.type.dims, s);
    if (over.empty()) return poison();
    if (over.size() != 1) return diags.report(Msg::E0220, s, n), poison();
    if (selecting.empty()) return diags.report(Msg::E0226, s), poison();
    return topk(score, k.number, over[0], s, false, selecting);
  }
  if (n == "dot") {
    if (!count(2)) return poison();
    Value a = asTensor(args.positional[0].value, s), b = asTensor(args.positional[1].value, s);
    if (!a.ok() || !b.ok() || !plain(a, s) || !plain(b, s)) return poison();
    std::vector<const Dim *> all = a.type.dims;
    all.insert(all.end(), b.type.dims.begin(), b.type.dims.end());
    auto over = overDims(args, scope, all, s);
    if (over.empty()) return poison();
    std::vector<const Dim *> result;
    for (const Dim *d : over)
      for (Value *v : {&a, &b})
        if (std::find(v->type.dims.begin(), v->type.dims.end(), d) == v->type.dims.end()) return diags.report(Msg::E0211, s, d->name, show(*v)), poison();
    for (const Dim *d : all)
      if (std::find(over.begin(), over.end(), d) == over.end()) result.push_back(d);
    sortDims(result);
    for (const Dim *m : result)
      if (m->kind == Dim::Subset)
        for (const Dim *d : dependsOn[m])
          if (std::find(over.begin(), over.end(), d) != over.end()) return diags.report(Msg::E0219, s, d->name, m->base), poison();
    return contract(a, b, over, result, s);
  }
  if (!count(1)) return poison();
  Value x = asTensor(args.positional[0].value, s);
  if (!x.ok()) return x;
  if (n == "present") return x.mask ? tensor(x.mask) : truth(true);
  if (n == "random") return tensor(make(Op::Random, typeOf(Elem::Real, x.type.dims), {}, s));
  if (n == "stopgrad") {
    settled(x, s);
    Value v = tensor(make(Op::StopGrad, x.type, {x.node}, s));
    v.mask = x.mask;
    return v;
  }
  auto over = overDims(args, scope, x.type.dims, s);
  return over.empty() && !(args.over && args.over->dims.size() == 1 && args.over->dims[0].kind == ast::Dim::Rest) ? poison() : reduce(n, x, over, s);
}
} // namespace fil::sema
