// SPDX-License-Identifier: Apache-2.0
// Statements: variables, lets, subsets, losses beside the loss, loops.
#include "lang/ast/walk.h"
#include "lang/sema/elaborate.h"
#include <algorithm>

namespace fil::sema {

/// Numbers the calls of each function name in one body, in text order; nested loops are bodies of their own.
void Elaborator::numberCalls(const ast::Body &b) {
  std::map<std::string, std::vector<const ast::Call *>> calls;
  for (const ast::Statement &s : b.statements)
    ast::walk(s, [&](const ast::Expr &e) {
      if (auto *c = std::get_if<ast::Call>(&e.is))
        if (auto *n = std::get_if<ast::Name>(&c->callee->is)) calls[n->name].push_back(c);
    });
  for (auto &[n, list] : calls)
    for (size_t i = 0; i < list.size(); ++i) callNumbers[list[i]] = list.size() > 1 ? int(i) : -1;
}

std::optional<Value> Elaborator::statements(const ast::Body &b, Scope &scope) {
  for (const ast::Statement &st : b.statements) {
    Span s = st.span;
    if (auto *x = std::get_if<ast::ParamStmt>(&st.is)) variables(*x, scope);
    else if (auto *x = std::get_if<ast::LetStmt>(&st.is)) let(x->pattern, x->type, expr(*x->value, scope), scope, s);
    else if (auto *x = std::get_if<ast::CacheStmt>(&st.is)) cache(*x, scope, s);
    else if (auto *x = std::get_if<ast::SelectStmt>(&st.is)) select(*x, scope, s);
    else if (auto *x = std::get_if<ast::AuxStmt>(&st.is)) aux(*x, scope, s);
    else if (auto *x = std::get_if<ast::AssignStmt>(&st.is)) x->onStep ? onStep(*x, scope, s) : assign(*x, scope, s);
    else if (auto *x = std::get_if<ast::LayersStmt>(&st.is)) layers(*x, scope, s);
    else if (auto *x = std::get_if<ast::ExpertsStmt>(&st.is)) experts(*x, scope, s);
    else return expr(*std::get<ast::ReturnStmt>(st.is).value, scope);
  }
  return std::nullopt;
}

// ---- variables ----

std::optional<Init> Elaborator::initOf(const ast::Expr *e, bool state, bool isMap, const std::string &name, Span s, Scope &scope) {
  Init i;
  if (!e) {
    if (!state && !isMap) return diags.report(Msg::E0323, s, name), std::nullopt;
    if (!state) i.kind = Init::Normal, i.fanIn = true;
    return i;
  }
  auto constantOf = [&](const ast::Expr &x) -> std::optional<double> {
    Value v = expr(x, scope);
    if (!v.ok()) return std::nullopt;
    if (v.kind == Value::Tensor && v.node->op == Op::Constant) return v.node->number;
    if (v.kind != Value::Number && v.kind != Value::Dims) return diags.report(Msg::E0310, x.span, show(v)), std::nullopt;
    auto r = exactly(v.number, x.span, "a first value");
    return r ? std::optional<double>(r->value()) : std::nullopt;
  };
  if (auto *c = std::get_if<ast::Call>(&e->is))
    if (auto *n = std::get_if<ast::Name>(&c->callee->is); n && (n->name == "normal" || n->name == "uniform")) {
      std::vector<double> values;
      for (const ast::Argument &a : c->args) {
        auto *x = std::get_if<ast::ExprPtr>(&a.is);
        auto v = x ? constantOf(**x) : std::nullopt;
        if (!v) return std::nullopt;
        values.push_back(*v);
      }
      size_t want = n->name == "normal" ? 1 : 2;
      if (values.size() != want) return diags.report(Msg::E0322, e->span, n->name, want), std::nullopt;
      i.kind = want == 1 ? Init::Normal : Init::Uniform;
      (want == 1 ? i.b : i.a) = values[0];
      if (want == 2) i.b = values[1];
      return i;
    }
  auto v = constantOf(*e);
  if (!v) return std::nullopt;
  i.a = *v;
  return i;
}

Variable *Elaborator::variable(const Site *at, bool state, Type type, std::vector<const Dim *> declared, int rightFrom, const Init &init, Span s) {
  Variable *&v = program.variableOf[at];
  if (!v || !(v->type == type)) {
    program.variables.push_back({at, state, type, loops, declared, rightFrom, init, s});
    v = &program.variables.back();
  }
  return v;
}

Value Elaborator::read(const Variable &v, bool map, const MapSides &sides, Span s) {
  Node *n = make(Op::Read, v.type, {}, s);
  n->variable = &v, n->site = v.site;
  Value x = tensor(n);
  x.map = map, x.left = sides.left, x.right = sides.right;
  for (auto &[family, subset] : families) {
    if (!subset) continue; // all of the family: its dim is seen
    std::vector<const Dim *> dims = dependsOn[subset->subset];
    for (const Dim *d : x.type.dims)
      if (d != family->dim) dims.push_back(d);
    dims.push_back(subset->subset);
    x.type = typeOf(x.type.elem, dims);
    x.through.push_back(subset);
  }
  return x;
}

void Elaborator::variables(const ast::ParamStmt &p, Scope &scope) {
  if (auto *inst = std::get_if<ast::InstanceType>(&p.type.is)) { // one instance that all calls share
    const ast::Function *f = program.find(inst->block.name);
    if (!f || f->kind != ast::Function::Block) {
      diags.report(Msg::E0103, inst->block.span, inst->block.name);
      return;
    }
    Args args = arguments(inst->args, scope);
    for (const ast::Ident &n : p.names) {
      Value v;
      v.kind = Value::InstanceOf;
      v.instance = std::make_shared<Instance>(Instance{f, {}, siteOf(Site::Block, n.name), loops});
      for (auto &[k, one] : args.named) v.instance->statics[k] = one.value;
      bind(n.name, v, Scope::Fixed, scope, n.span);
    }
    return;
  }
  Type type;
  std::vector<const Dim *> declared;
  MapSides sides;
  int rightFrom = -1;
  bool isMap = std::holds_alternative<ast::MapType>(p.type.is);
  for (auto &[family, subset] : families) declared.push_back(family->dim);
  if (isMap) {
    auto s = sidesFrom(std::get<ast::MapType>(p.type.is), scope);
    if (!s) {
      for (const ast::Ident &n : p.names) bind(n.name, poison(), Scope::Fixed, scope, n.span);
      return;
    }
    sides = *s;
    declared.insert(declared.end(), sides.left.begin(), sides.left.end());
    rightFrom = int(declared.size());
    declared.insert(declared.end(), sides.right.begin(), sides.right.end());
    type = typeOf(Elem::Real, declared);
  } else {
    auto t = typeFrom(p.type, scope);
    if (!t) {
      for (const ast::Ident &n : p.names) bind(n.name, poison(), Scope::Fixed, scope, n.span);
      return;
    }
    for (const ast::Dim &d : std::get<ast::TensorType>(p.type.is).dims) // in text order
      for (const Dim *x : dimsOf(d, scope, nullptr)) declared.push_back(x);
    type = typeOf(t->elem, declared);
  }
  for (const Dim *d : declared) {
    Size size = program.value(d->size);
    for (const std::string &sym : size.symbols())
      if (program.declared.count(sym) && !program.dims.bounds.count(sym)) {
        diags.report(Msg::E0324, p.type.span, d->name);
        for (const ast::Ident &n : p.names) bind(n.name, poison(), Scope::Fixed, scope, n.span);
        return;
      }
  }
  for (const ast::Ident &n : p.names) {
    auto init = initOf(p.init.get(), p.state, isMap, n.name, n.span, scope);
    if (!init) {
      bind(n.name, poison(), Scope::Fixed, scope, n.span);
      continue;
    }
    Variable *v = variable(siteOf(p.state ? Site::State : Site::Param, n.name), p.state, type, declared, rightFrom, *init, n.span);
    bind(n.name, read(*v, isMap, sides, n.span), Scope::Fixed, scope, n.span);
  }
}

void Elaborator::experts(const ast::ExpertsStmt &e, Scope &scope, Span s) {
  const ast::Function *f = program.find(e.block.name);
  if (!f || f->kind != ast::Function::Block) {
    diags.report(Msg::E0103, e.block.span, e.block.name);
    bind(e.name.name, poison(), Scope::Fixed, scope, e.name.span);
    return;
  }
  auto d = program.declared.find(e.dim.name);
  Value *bound = scope.find(e.dim.name);
  const Dim *dim = bound && bound->kind == Value::Dims ? bound->dims[0] : d != program.declared.end() ? d->second.dim : nullptr;
  if (!dim) {
    diags.report(Msg::E0101, e.dim.span, e.dim.name);
    bind(e.name.name, poison(), Scope::Fixed, scope, e.name.span);
    return;
  }
  Args args = arguments(e.args, scope);
  Value v;
  v.kind = Value::FamilyOf;
  v.family = std::make_shared<Family>();
  Site *own = const_cast<Site *>(siteOf(Site::Family, e.name.name));
  own->family = dim;
  v.family->dim = dim;
  v.family->instance = std::make_shared<Instance>(Instance{f, {}, own, loops});
  for (auto &[k, one] : args.named) v.family->instance->statics[k] = one.value;
  bind(e.name.name, v, Scope::Fixed, scope, e.name.span);
}

// ---- values ----

void Elaborator::let(const ast::Pattern &p, const std::optional<ast::Type> &type, Value v, Scope &scope, Span s) {
  if (type && v.ok()) {
    auto t = typeFrom(*type, scope);
    v = asTensor(v, s, t ? t->elem : Elem::Real);
    if (t && v.ok()) {
      settled(v, s);
      if (!(v.type == *t)) diags.report(Msg::E0227, s, p.names[0].name, t->shown(), show(v)), v = poison();
    } else v = poison();
  }
  auto note = [&](const ast::Ident &n, const Value &x) {
    if (x.kind == Value::Tensor && x.node->name.empty() && x.node->op != Op::Input && x.node->op != Op::Read) x.node->name = n.name;
    const bool typed = x.kind == Value::Tensor || x.kind == Value::Number || x.kind == Value::Dims || x.kind == Value::Truth;
    if (typed && program.building && program.letsSeen.insert({n.span.file, n.span.begin}).second) program.lets.push_back({n.span, n.name, typeText(x), site});
  };
  if (!p.tuple) {
    bind(p.names[0].name, v, Scope::Let, scope, p.names[0].span);
    if (v.ok()) note(p.names[0], v);
    return;
  }
  bool fits = v.kind == Value::Tuple && v.items.size() == p.names.size();
  if (v.ok() && !fits) diags.report(Msg::E0325, p.span, p.names.size(), v.kind == Value::Tuple ? fmt::format("{} values", v.items.size()) : show(v));
  for (size_t i = 0; i < p.names.size(); ++i) {
    bind(p.names[i].name, fits ? v.items[i] : poison(), Scope::Let, scope, p.names[i].span);
    if (fits) note(p.names[i], v.items[i]);
  }
}

void Elaborator::assign(const ast::AssignStmt &a, Scope &scope, Span s) {
  Value *old = scope.find(a.name.name);
  if (!old) {
    diags.report(Msg::E0101, a.name.span, a.name.name).help("a new name begins with `let`");
    return;
  }
  if ((old->kind != Value::Tensor && old->ok()) || scope.role(a.name.name) == Scope::Fixed) {
    diags.report(Msg::E0326, a.name.span, a.name.name);
    return;
  }
  Value v = expr(*a.value, scope);
  old = scope.find(a.name.name);
  if (!old->ok()) return;
  v = asTensor(v, s);
  if (v.ok() && a.add) {
    Type before = old->type;
    v = elementwise(Fn::Add, {*old, v}, s);
    if (v.ok() && !(v.type == before)) diags.report(Msg::E0228, s, a.name.name, before.shown(), show(v)), v = poison();
  }
  *scope.find(a.name.name) = v;
}

void Elaborator::cache(const ast::CacheStmt &c, Scope &scope, Span s) {
  Value x = expr(*c.value, scope);
  bind(c.name.name, poison(), Scope::Fixed, scope, c.name.span);
  auto t = typeFrom(c.type, scope);
  if (!x.ok() || !t) return;
  x = asTensor(x, s);
  settled(x, s);
  if (x.mask) {
    diags.report(Msg::E0222, s, "cache");
    return;
  }
  std::vector<const Dim *> gone, come;
  for (const Dim *d : x.type.dims)
    if (std::find(t->dims.begin(), t->dims.end(), d) == t->dims.end()) gone.push_back(d);
  for (const Dim *d : t->dims)
    if (std::find(x.type.dims.begin(), x.type.dims.end(), d) == x.type.dims.end()) come.push_back(d);
  if (gone.size() != 1 || come.size() != 1 || t->elem != x.type.elem) {
    diags.report(Msg::E0229, s, t->shown(), show(x));
    return;
  }
  program.kept.insert(come[0]);
  Node *n = make(Op::Cache, *t, {x.node}, s);
  n->dims = {gone[0]}, n->dim = come[0];
  n->site = siteOf(Site::Cache, c.name.name);
  scope.names[c.name.name] = tensor(n);
}

void Elaborator::select(const ast::SelectStmt &x, Scope &scope, Span s) {
  std::string outer = std::exchange(selecting, x.name.name);
  Value v = expr(*x.value, scope);
  selecting = outer;
  if (v.ok() && v.kind != Value::Subset) diags.report(Msg::E0230, s, show(v)), v = poison();
  if (v.ok()) {
    subsetPlace[v.dims[0]] = Span{x.name.span.file, x.name.span.begin, x.name.span.end + 1};
    v.node->route = x.route;
  }
  bind(x.name.name + "*", v, Scope::Fixed, scope, x.name.span);
}

void Elaborator::aux(const ast::AuxStmt &a, Scope &scope, Span s) {
  Value v = asTensor(expr(*a.value, scope), s);
  if (!v.ok()) return;
  settled(v, s);
  if (v.mask) v = reduce("mean", v, v.type.dims, s);
  Aux out{real(v.node), a.hasTrains, {}, body};
  for (const ast::Ident &n : a.trains) {
    Value *p = scope.find(n.name);
    if (!p || p->kind != Value::Tensor || !p->node || p->node->op != Op::Read || p->node->variable->state) {
      diags.report(Msg::E0327, n.span, n.name);
      continue;
    }
    out.trains.push_back(p->node->variable);
  }
  if (graph.training) graph.auxes.push_back(out);
}

void Elaborator::onStep(const ast::AssignStmt &a, Scope &scope, Span s) {
  Value *st = scope.find(a.name.name);
  if (!st || st->kind != Value::Tensor || st->node->op != Op::Read || !st->node->variable->state) {
    if (!st || st->ok()) diags.report(Msg::E0328, a.name.span, a.name.name);
    return;
  }
  if (!st->through.empty()) {
    diags.report(Msg::E0329, s, a.name.name);
    return;
  }
  Value state = *st, v = asTensor(expr(*a.value, scope), s);
  if (!v.ok()) return;
  if (a.add) v = elementwise(Fn::Add, {state, v}, s);
  if (!v.ok()) return;
  settled(v, s);
  if (!(v.type.dims == state.type.dims)) {
    diags.report(Msg::E0228, s, a.name.name, state.type.shown(), show(v));
    return;
  }
  if (v.mask) {
    diags.report(Msg::E0222, s, "a state");
    return;
  }
  const Variable *var = state.node->variable;
  for (const Update &u : graph.updates)
    if (u.state == var) {
      diags.report(Msg::E0330, s, a.name.name);
      return;
    }
  if (graph.training) graph.updates.push_back({var, real(v.node), body});
}

// ---- loops ----

static void assigned(const ast::Body &b, std::set<std::string> &names) {
  std::set<std::string> own;
  for (const ast::Statement &s : b.statements) {
    if (auto *x = std::get_if<ast::LetStmt>(&s.is))
      for (auto &n : x->pattern.names) own.insert(n.name);
    if (auto *x = std::get_if<ast::AssignStmt>(&s.is); x && !x->onStep && !own.count(x->name.name)) names.insert(x->name.name);
    if (auto *x = std::get_if<ast::LayersStmt>(&s.is)) {
      std::set<std::string> inner;
      assigned(x->body, inner);
      for (auto &n : inner)
        if (!own.count(n)) names.insert(n);
    }
  }
}

/// Puts the nodes of a one-turn loop into the body around it, the carried values in place of the loop's arguments.
void Elaborator::dissolve(Node *loop, Body *outer) {
  Body *inner = loop->body;
  std::map<Node *, Node *> instead;
  for (size_t i = 0; i < inner->args.size(); ++i) instead[inner->args[i]] = loop->args[i];
  auto replace = [&](Node *&n) {
    if (auto it = instead.find(n); it != instead.end()) n = it->second;
  };
  for (Node &n : graph.nodes) {
    for (Node *&a : n.args) replace(a);
    for (Node *&x : n.subsets) replace(x);
  }
  for (Body &b : graph.bodies)
    for (Node *&r : b.results) replace(r);
  for (Update &u : graph.updates) {
    replace(u.value);
    if (u.in == inner) u.in = outer;
  }
  for (Aux &a : graph.auxes) {
    replace(a.value);
    if (a.in == inner) a.in = outer;
  }
  for (Variable &v : program.variables) std::erase(v.loops, loop->loop);
  outer->nodes.pop_back(); // the loop itself stands last
  outer->nodes.insert(outer->nodes.end(), inner->nodes.begin(), inner->nodes.end());
}

void Elaborator::layers(const ast::LayersStmt &l, Scope &scope, Span s) {
  // The turns: numbers, or elements of a list.
  Value from = expr(*l.range.from, scope);
  if (!from.ok()) return;
  std::vector<Value> elements;
  int64_t lo = 0, hi = 0;
  if (from.kind == Value::List) {
    elements = from.items;
    hi = int64_t(elements.size());
  } else {
    auto a = exactly(from.number, s, "a range");
    std::optional<Rational> b;
    if (l.range.to) {
      Value to = expr(*l.range.to, scope);
      if (!to.ok()) return;
      b = exactly(to.number, s, "a range");
    }
    if (!a || !b || !a->isWhole() || !b->isWhole()) {
      if (a && !b && !l.range.to) diags.report(Msg::E0331, s);
      return;
    }
    lo = a->num, hi = b->num + l.range.closed;
  }
  if (l.element && elements.empty()) {
    diags.report(Msg::E0331, s);
    return;
  }
  if (hi <= lo) return;
  if (hi - lo > 100000) {
    diags.report(Msg::E0332, s, hi - lo);
    return;
  }
  auto [name, first] = loopNames.emplace(std::pair(site, l.index.name), &l);
  if (!first && name->second != &l) {
    diags.report(Msg::E0335, l.index.span, l.index.name);
    return;
  }
  std::set<std::string> rebound;
  assigned(l.body, rebound);
  std::vector<std::string> carriedNames;
  for (const std::string &n : rebound)
    if (Value *v = scope.find(n); v && v->kind == Value::Tensor) {
      settled(*v, s);
      if (v->mask) {
        diags.report(Msg::E0222, s, "a loop");
        return;
      }
      carriedNames.push_back(n);
    }
  numberCalls(l.body);
  size_t errors = diags.errors();
  const std::string outer = pathOf(site), path = outer.empty() ? l.index.name : outer + "." + l.index.name;
  const auto cuts = program.options.cuts.find(path);
  auto cut = [&](int64_t t) { return cuts != program.options.cuts.end() && cuts->second.contains(t); };
  for (int64_t turn = lo, ordinal = 0; turn < hi; ++ordinal) {
    std::string key = fmt::format("{}@{}#{}", l.index.name, (const void *)&l, ordinal);
    Loop *&loop = program.loopKeys[{site, key}];
    if (!loop) {
      std::string name = fmt::format("{}#{}", l.index.name, program.fresh["loop " + l.index.name]++);
      program.loopClasses.push_back({l.index.name, turn, turn + 1, program.dims.get(name, "", Size(1), Dim::Loop)});
      loop = &program.loopClasses.back();
    }
    const Site *outerSite = site;
    Site *own = const_cast<Site *>(siteOf(Site::LoopSite, fmt::format("{}#{}", l.index.name, ordinal)));
    own->name = l.index.name, own->loop = loop;

    Node *node = make(Op::Layers, {}, {}, s);
    graph.bodies.emplace_back();
    Body *inner = &graph.bodies.back(), *outer = body;
    node->loop = loop, node->body = inner;
    Scope turnScope;
    turnScope.parent = &scope;
    OpenLoop ol{fmt::format("turn.{}", open.size()), l.index.name, turn, false, {}};
    open.push_back(ol);
    bind(l.index.name, static_(Form::symbol(ol.symbol)), Scope::Fixed, turnScope, l.index.span);
    if (l.element) let(*l.element, {}, elements[size_t(turn - lo)], turnScope, s);
    for (const std::string &n : carriedNames) {
      Value *v = scope.find(n);
      node->args.push_back(v->node);
      graph.nodes.emplace_back();
      Node *in = &graph.nodes.back();
      in->op = Op::Input, in->type = v->type, in->name = n, in->span = s, in->site = own;
      fromInput.insert(in);
      inner->args.push_back(in);
      turnScope.names[n] = tensor(in), turnScope.roles[n] = *scope.role(n);
    }
    body = inner, site = own;
    loops.push_back(loop);
    auto result = statements(l.body, turnScope);
    if (result) diags.report(Msg::E0333, s);
    loops.pop_back();
    OpenLoop done = open.back();
    open.pop_back();
    const bool broken = std::any_of(carriedNames.begin(), carriedNames.end(), [&](const std::string &n) { return !turnScope.names[n].ok(); });
    if (diags.errors() != errors || broken) { // told here, or where what it uses went wrong
      body = outer, site = outerSite;
      for (const std::string &n : carriedNames) *scope.find(n) = poison();
      return;
    }
    bool sameTypes = true;
    std::vector<Node *> outs;
    for (size_t i = 0; i < carriedNames.size(); ++i) {
      Value &v = turnScope.names[carriedNames[i]];
      settled(v, s);
      if (v.mask) {
        diags.report(Msg::E0222, s, "a loop");
        body = outer, site = outerSite;
        return;
      }
      outs.push_back(v.node);
      sameTypes &= v.node->type == node->args[i]->type;
    }
    body = outer, site = outerSite;
    // Further turns that agree with this one.
    int64_t end = turn + 1;
    auto equalElements = [&](int64_t a, int64_t b) {
      std::function<bool(const Value &, const Value &)> eq = [&](const Value &x, const Value &y) {
        if (x.kind != y.kind || x.truth != y.truth || x.items.size() != y.items.size() || x.number.name() != y.number.name() || x.dims != y.dims) return false;
        for (size_t i = 0; i < x.items.size(); ++i)
          if (!eq(x.items[i], y.items[i])) return false;
        return x.kind != Value::Tensor;
      };
      return eq(elements[size_t(a - lo)], elements[size_t(b - lo)]);
    };
    auto agrees = [&](int64_t t) {
      if (done.exact) return false;
      if (!elements.empty() && !equalElements(turn, t)) return false;
      for (const TurnTest &test : done.tests) {
        OpenLoop probe{done.symbol, done.index, t, false, {}};
        open.push_back(probe);
        Value r = compare(test.op, static_(test.difference), static_(Form(0)), s);
        open.pop_back();
        if (r.truth != test.result) return false;
      }
      return true;
    };
    while (sameTypes && end < hi && !cut(end) && agrees(end)) ++end;
    loop->lo = turn, loop->hi = end;
    const_cast<Dim *>(loop->dim)->size = Size(end - turn);
    if (end == turn + 1) { // a single turn (one that changes a type always is) is no loop: its nodes stand in the body around it
      dissolve(node, outer);
      for (size_t i = 0; i < carriedNames.size(); ++i) {
        auto arg = std::find(inner->args.begin(), inner->args.end(), outs[i]);
        *scope.find(carriedNames[i]) = tensor(arg == inner->args.end() ? outs[i] : node->args[size_t(arg - inner->args.begin())]);
      }
      turn = end;
      continue;
    }
    inner->results = outs;
    for (size_t i = 0; i < carriedNames.size(); ++i) {
      Node *r = make(Op::Result, outs[i]->type, {}, s);
      r->args = {node}, r->index = int(i);
      fromInput.insert(r);
      *scope.find(carriedNames[i]) = tensor(r);
    }
    turn = end;
  }
}
} // namespace fil::sema
