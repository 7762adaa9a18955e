// SPDX-License-Identifier: Apache-2.0
// Declarations of a program, and graphs made from them.
#include "lang/ast/walk.h"
#include "lang/sema/elaborate.h"
#include <algorithm>

namespace fil::sema {

bool ProgramImpl::collect(const std::vector<const ast::File *> &files) {
  std::map<std::string, Span> seen;
  auto fresh = [&](const ast::Ident &n) {
    auto [it, ok] = seen.emplace(n.name, n.span);
    if (ok && !Elaborator::isBuiltin(n.name)) return true;
    Diagnostic &d = diags.report(Msg::E0104, n.span, n.name);
    if (!ok && it->second.file == n.span.file) d.also(it->second, "first declared here");
    return false;
  };
  std::vector<const ast::DimDecl *> dimDecls;
  for (const ast::File *f : files)
    for (const ast::Declaration &d : f->declarations) {
      if (auto *x = std::get_if<ast::DimsDecl>(&d.is))
        for (const ast::DimDecl &y : x->dims)
          if (fresh(y.name)) dimDecls.push_back(&y);
      if (auto *x = std::get_if<ast::Function>(&d.is))
        if (fresh(x->name)) {
          functions_.push_back(x), byName[x->name.name] = x;
          std::map<std::string, Span> formals;
          for (const ast::Parameter &p : x->params)
            if (auto [it, ok] = formals.emplace(p.name.name, p.name.span); !ok && p.kind != ast::Parameter::Over) diags.report(Msg::E0104, p.name.span, p.name.name).also(it->second, "first declared here");
        }
      if (auto *x = std::get_if<ast::Plan>(&d.is))
        if (fresh(x->name)) plans_.push_back(x);
    }
  // Sizes may name dims that come later; the table keeps the order of the text.
  std::map<std::string, const ast::DimDecl *> byDim;
  for (auto *d : dimDecls) byDim[d->name.name] = d;
  std::set<std::string> open;
  Graph none;
  Elaborator e(*this, diags, none);
  std::function<Form(const ast::Expr &)> sizeOf;
  std::function<bool(const std::string &)> define = [&](const std::string &n) {
    if (declared.count(n)) return true;
    const ast::DimDecl *d = byDim[n];
    if (!open.insert(n).second) {
      diags.report(Msg::E0312, d->span, n);
      declared[n] = {d, dims.get(n, n, Size(1), Dim::Static)};
      return false;
    }
    Form size;
    auto over = options.dims.find(n);
    if (over != options.dims.end()) size = Form(over->second);
    else if (d->size) {
      size_t before = diags.errors();
      std::function<void(const ast::Expr &)> first = [&](const ast::Expr &x) {
        if (auto *m = std::get_if<ast::Name>(&x.is); m && byDim.count(m->name)) define(m->name);
        if (auto *m = std::get_if<ast::Binary>(&x.is)) first(*m->left), first(*m->right);
        if (auto *m = std::get_if<ast::Unary>(&x.is)) first(*m->operand);
        if (auto *m = std::get_if<ast::Call>(&x.is))
          for (auto &a : m->args)
            if (auto *y = std::get_if<ast::ExprPtr>(&a.is)) first(**y);
      };
      first(*d->size);
      Scope scope;
      scope.function = true;
      Value v = e.expr(*d->size, scope);
      if (v.kind != Value::Number && v.kind != Value::Dims) {
        if (diags.errors() == before) diags.report(Msg::E0310, d->size->span, e.show(v));
        size = Form(1);
      } else size = v.number;
    }
    if (over == options.dims.end() && d->kind == ast::DimDecl::Bounded) dims.bounds[n] = value(size.size()), size = Form();
    Size v = value(size.size());
    if (d->size || over != options.dims.end())
      if (auto c = v.constant(); d->kind != ast::DimDecl::Bounded && c && (!c->isWhole() || c->num < 1)) {
        diags.report(Msg::E0301, d->span, n, c->str());
        size = Form(1);
      }
    bool symbolic = size.terms().empty();
    const Dim *dim = dims.get(n, n, symbolic ? Size::symbol(n) : size.size(), symbolic || !v.isConstant() ? Dim::Bound : Dim::Static);
    declared[n] = {d, dim};
    for (const ast::Label &l : d->labels) {
      if (auto c = v.constant(); c && !(Rational(l.position) < *c)) diags.report(Msg::E0308, l.name.span, l.position, n, c->str());
      labels[n][l.name.name] = l.position;
    }
    return true;
  };
  for (auto *d : dimDecls) define(d->name.name);
  for (auto &[n, size] : options.dims)
    if (!byDim.count(n)) {
      std::vector<std::string> names;
      for (auto &[k, x] : byDim) names.push_back(k);
      Diagnostic &d = diags.report(Msg::E0105, {}, n);
      if (auto best = didYouMean(n, names); !best.empty()) d.help("did you mean `" + best[0] + "`?");
    }
  return diags.errors() == 0;
}

std::unique_ptr<Program> Program::check(const std::vector<const ast::File *> &files, Diagnostics &diags, const CheckOptions &options) {
  auto p = std::make_unique<ProgramImpl>(diags, options);
  if (p->collect(files)) p->checkAll();
  return p;
}

/// Models, losses and what nobody calls are checked from their own signatures; all else at each of its calls.
void ProgramImpl::checkAll() {
  auto library = [&](const ast::Function *f) { return diags.sources.name(f->name.span.file) == "std.fil"; };
  std::map<const ast::Function *, std::set<const ast::Function *>> callees;
  std::set<const ast::Function *> called, reached;
  for (auto *f : functions_) {
    auto names = [&](const std::string &n) {
      if (auto *g = find(n); g && g != f) callees[f].insert(g), called.insert(g);
    };
    auto expression = [&](const ast::Expr &e) {
      if (auto *x = std::get_if<ast::Name>(&e.is)) names(x->name);
    };
    std::function<void(const ast::Body &)> blocks = [&](const ast::Body &b) {
      for (const ast::Statement &s : b.statements) {
        if (auto *x = std::get_if<ast::ParamStmt>(&s.is))
          if (auto *i = std::get_if<ast::InstanceType>(&x->type.is)) names(i->block.name);
        if (auto *x = std::get_if<ast::ExpertsStmt>(&s.is)) names(x->block.name);
        if (auto *x = std::get_if<ast::LayersStmt>(&s.is)) blocks(x->body);
      }
    };
    if (f->value) ast::walk(*f->value, expression);
    ast::walk(f->body, expression);
    blocks(f->body);
    for (const ast::Parameter &p : f->params)
      if (p.init) ast::walk(*p.init, expression);
  }
  std::function<void(const ast::Function *)> reach = [&](const ast::Function *f) {
    if (reached.insert(f).second)
      for (auto *g : callees[f]) reach(g);
  };
  auto alone = [&](const ast::Function *f) {
    reach(f);
    Graph g;
    g.training = true;
    Elaborator(*this, diags, g).alone(*f);
  };
  auto isRoot = [](const ast::Function *f) { return f->kind == ast::Function::Model || f->kind == ast::Function::Loss; };
  for (auto *f : functions_)
    if (isRoot(f)) alone(f);
  for (auto *f : functions_)
    if (!isRoot(f) && !called.count(f) && !library(f)) alone(f);
  for (auto *f : functions_) // a ring of functions that only call each other
    if (!reached.count(f) && !library(f)) alone(f);
  variables.clear(), variableOf.clear(); // the real ones come with the graphs
  building = false;
}

/// A function that has no caller: its dims are the declared ones, other formals are dims of their own.
void Elaborator::alone(const ast::Function &f) {
  Scope scope;
  scope.function = true;
  graph.name = f.name.name;
  Site *own = const_cast<Site *>(siteOf(f.kind == ast::Function::Model ? Site::Root : f.kind == ast::Function::Block ? Site::Block : f.kind == ast::Function::Loss ? Site::LossSite : Site::Function, f.name.name));
  site = own;
  bool open = f.kind == ast::Function::Fn || f.kind == ast::Function::Block;
  auto make = [&](const std::string &n) { return dimValue({program.dims.get(n, n, Size::symbol(n), Dim::Bound)}); };
  auto formal = [&](const ast::Dim &d) {
    if (!open || d.kind != ast::Dim::Term) return;
    if (auto *n = std::get_if<ast::Name>(&d.term->is); n && !scope.find(n->name) && !program.declared.count(n->name)) scope.names[n->name] = make(n->name);
  };
  for (const ast::Parameter &p : f.params)
    if (p.kind == ast::Parameter::Static) {
      // A static parameter stands for a number: its default, or a size of its own.
      if (p.init) scope.names[p.name.name] = expr(*p.init, scope);
      else scope.names[p.name.name] = make(p.name.name);
    } else if (p.kind == ast::Parameter::Over)
      scope.names[p.name.name] = program.declared.count(p.name.name) ? dimValue({program.declared[p.name.name].dim}) : make(p.name.name);
  for (const ast::Parameter &p : f.params) // any dims, those that `over` names among them
    if (p.kind == ast::Parameter::Over) scope.rest.push_back(scope.names[p.name.name].dims[0]);
  for (const ast::Parameter &p : f.params) {
    if (p.kind != ast::Parameter::Tensor) continue;
    Type type;
    MapSides sides;
    bool isMap = false;
    std::vector<const Dim *> written;
    if (auto *t = std::get_if<ast::TensorType>(&p.type->is)) {
      for (const ast::Dim &d : t->dims) formal(d), scope.hasRest |= d.kind == ast::Dim::Rest;
      auto type_ = typeFrom(*p.type, scope, &written);
      if (!type_) return;
      type = *type_;
    } else if (auto *t = std::get_if<ast::MapType>(&p.type->is)) {
      for (auto *side : {&t->left, &t->right})
        for (const ast::Dim &d : *side) formal(d);
      auto s = sidesFrom(*t, scope);
      if (!s) return;
      sides = *s, isMap = true;
      auto all = sides.left;
      all.insert(all.end(), sides.right.begin(), sides.right.end());
      type = typeOf(Elem::Real, all), written = all;
    } else continue;
    graph.nodes.emplace_back();
    Node *in = &graph.nodes.back();
    in->op = Op::Input, in->type = type, in->dims = written, in->name = p.name.name, in->span = p.span;
    fromInput.insert(in);
    graph.inputs.push_back(in);
    Value v = tensor(in);
    v.map = isMap, v.left = sides.left, v.right = sides.right;
    scope.names[p.name.name] = v;
  }
  calling.insert(&f);
  last = run(f, scope);
  if (f.kind == ast::Function::Loss && last.kind == Value::Tensor && !last.type.dims.empty()) diags.report(Msg::E0231, f.name.span, f.name.name, show(last));
}

bool Elaborator::model(const ast::Function &m, const ast::Function *loss, const ast::Expr *lossCall) {
  size_t before = diags.errors();
  alone(m);
  if (diags.errors() != before || !last.ok()) return false;
  Value y = asTensor(last, m.name.span);
  graph.outputs = {settled(y, m.name.span)};
  graph.resultAxes = m.result ? lastWritten : y.type.dims;
  calling.clear();
  if (!loss) return true;
  // The first parameter of a loss is the model's output; its other tensors are inputs of their own.
  site = siteOf(Site::Root, "");
  Scope scope;
  scope.function = true;
  std::map<std::string, Value> given;
  if (lossCall)
    if (auto *c = std::get_if<ast::Call>(&lossCall->is))
      for (const ast::Argument &a : c->args)
        if (auto *n = std::get_if<ast::Argument::Named>(&a.is)) given[n->name.name] = expr(*n->value, scope);
  bool first = true;
  for (const ast::Parameter &p : loss->params) {
    if (p.kind == ast::Parameter::Static) {
      auto it = given.find(p.name.name);
      if (it != given.end()) scope.names[p.name.name] = it->second;
      else if (p.init) scope.names[p.name.name] = expr(*p.init, scope);
      else return diags.report(Msg::E0317, loss->name.span, loss->name.name, p.name.name), false;
      continue;
    }
    if (p.kind != ast::Parameter::Tensor) continue;
    std::vector<const Dim *> written;
    auto t = typeFrom(*p.type, scope, &written);
    if (!t) return false;
    if (std::exchange(first, false)) {
      if (!(y.type == *t)) return diags.report(Msg::E0215, p.span, p.name.name, loss->name.name, t->str(), show(y)), false;
      scope.names[p.name.name] = y;
      continue;
    }
    Node *in = nullptr;
    for (Node *i : graph.inputs)
      if (i->name == p.name.name && i->type == *t) in = i;
    if (!in) {
      graph.nodes.emplace_back();
      in = &graph.nodes.back();
      in->op = Op::Input, in->type = *t, in->dims = written, in->name = p.name.name, in->span = p.span;
      fromInput.insert(in);
      graph.inputs.push_back(in);
    }
    scope.names[p.name.name] = tensor(in);
  }
  site = siteOf(Site::LossSite, "loss");
  Value l = run(*loss, scope);
  if (!l.ok() || diags.errors() != before) return false;
  l = asTensor(l, loss->name.span);
  if (!l.type.dims.empty()) return diags.report(Msg::E0231, loss->name.span, loss->name.name, show(l)), false;
  graph.outputs.push_back(real(l.node));
  return true;
}

bool Elaborator::library(const ast::Function &f, const std::vector<std::pair<std::string, FunctionArg>> &list) {
  Args args;
  std::deque<ast::Argument> held;
  for (auto &[n, a] : list) {
    Value v;
    if (a.number) v = tensor(constant(*a.number, {})), v.whole = true;
    else {
      graph.nodes.emplace_back();
      Node *in = &graph.nodes.back();
      in->op = Op::Input, in->type = a.type, in->name = n;
      graph.inputs.push_back(in);
      v = tensor(in);
    }
    held.push_back({});
    args.named[n] = {&held.back(), v, {}};
  }
  // Statics are exact: a decimal fraction where there is one, else the nearest of 2^-40.
  Scope caller;
  caller.function = true;
  for (const ast::Parameter &p : f.params)
    if (auto it = args.named.find(p.name.name); p.kind == ast::Parameter::Static && it != args.named.end()) {
      double x = it->second.value.node->number;
      Rational r;
      bool exact = false;
      for (int64_t den = 1; den <= 1000000000000 && !exact; den *= 10)
        if (double scaled = x * double(den); std::abs(scaled) < 1e15 && scaled == double(int64_t(scaled))) r = Rational(int64_t(scaled), den), exact = true;
      if (exact) it->second.value = static_(Form(r));
      else it->second.value = static_(Form(Rational(int64_t(x * double(int64_t(1) << 40)), int64_t(1) << 40)));
    }
  Value v = invoke(f, args, caller, f.name.span, siteOf(Site::Function, f.name.name), {});
  if (!v.ok()) return false;
  std::vector<Value> results = v.kind == Value::Tuple ? v.items : std::vector<Value>{v};
  for (Value &i : results) {
    i = asTensor(i, f.name.span);
    graph.outputs.push_back(real(settled(i, f.name.span)));
  }
  return true;
}

std::unique_ptr<Graph> ProgramImpl::elaborateModel(const std::string &name, const ast::Function *loss, const ast::Expr *lossCall, bool training) {
  const ast::Function *m = find(name);
  if (!m || m->kind != ast::Function::Model) return diags.report(Msg::E0106, {}, name), nullptr;
  auto g = std::make_unique<Graph>();
  g->training = training;
  Elaborator e(*this, diags, *g);
  return e.model(*m, loss, lossCall) ? std::move(g) : nullptr;
}
std::unique_ptr<Graph> ProgramImpl::elaborateFunction(const std::string &name, const std::vector<std::pair<std::string, FunctionArg>> &args) {
  const ast::Function *f = find(name);
  if (!f) return diags.report(Msg::E0103, {}, name), nullptr;
  auto g = std::make_unique<Graph>();
  g->name = name;
  Elaborator e(*this, diags, *g);
  return e.library(*f, args) ? std::move(g) : nullptr;
}
} // namespace fil::sema
