// SPDX-License-Identifier: Apache-2.0
// Calls: which argument meets which parameter, what the signature's dims stand for, and the body run with them.
#include "lang/ast/walk.h"
#include "lang/sema/elaborate.h"
#include <algorithm>

namespace fil::sema {

Elaborator::Args Elaborator::arguments(const std::vector<ast::Argument> &list, Scope &scope) {
  Args out;
  for (const ast::Argument &a : list) {
    Args::One one{&a, {}, a.span};
    if (auto *e = std::get_if<ast::ExprPtr>(&a.is)) one.value = expr(**e, scope);
    else if (auto *s = std::get_if<ast::Argument::Subset>(&a.is)) {
      Value *v = scope.find(s->name.name + "*");
      if (!v) diags.report(Msg::E0101, a.span, s->name.name + "*");
      else one.value = *v;
    } else if (auto *n = std::get_if<ast::Argument::Named>(&a.is)) {
      one.value = expr(*n->value, scope);
      if (!out.named.emplace(n->name.name, one).second) diags.report(Msg::E0313, a.span, n->name.name);
      continue;
    } else if (auto *o = std::get_if<ast::Argument::Over>(&a.is)) {
      if (out.over) diags.report(Msg::E0313, a.span, "over");
      out.over = o, out.overSpan = a.span;
      continue;
    }
    out.positional.push_back(std::move(one));
  }
  return out;
}

std::vector<const Dim *> Elaborator::overDim(const ast::Dim &d, Scope &scope, const std::vector<const Dim *> &of) {
  if (d.kind == ast::Dim::Rest) {
    std::vector<const Dim *> rest;
    for (const Dim *x : dimsOf(d, scope, &of))
      if (std::find(of.begin(), of.end(), x) != of.end()) rest.push_back(x);
    return rest;
  }
  return dimsOf(d, scope, &of);
}
std::vector<const Dim *> Elaborator::overDims(const Args &args, Scope &scope, const std::vector<const Dim *> &of, Span at) {
  std::vector<const Dim *> all;
  if (!args.over) return diags.report(Msg::E0314, at), all;
  for (const ast::Dim &d : args.over->dims)
    for (const Dim *x : overDim(d, scope, of)) all.push_back(x);
  return all;
}

Value Elaborator::call(const ast::Expr &e, const ast::Call &c, Scope &scope) {
  if (auto *a = std::get_if<ast::At>(&c.callee->is)) { // e[e*](h)
    auto *n = std::get_if<ast::Name>(&a->base->is);
    Value *v = n ? scope.find(n->name) : nullptr;
    if (v && v->kind == Value::FamilyOf && a->items.size() == 1 && a->items[0].kind == ast::IndexItem::Subset) {
      Value *s = scope.find(a->items[0].name.name + "*");
      if (!s) return diags.report(Msg::E0101, a->items[0].span, a->items[0].name.name + "*"), poison();
      if (s->kind != Value::Subset) return poison();
      if (s->node->dim != v->family->dim) return diags.report(Msg::E0218, a->items[0].span, s->dims[0]->base, s->node->dim->name, v->family->dim->name), poison();
      Args args = arguments(c.args, scope);
      return callFamily(v->family, s->node, args, scope, e.span);
    }
  }
  auto *n = std::get_if<ast::Name>(&c.callee->is);
  if (!n) return diags.report(Msg::E0315, c.callee->span), poison();
  if (Value *v = scope.find(n->name)) {
    if (v->kind == Value::InstanceOf || v->kind == Value::FamilyOf) {
      Value f = *v;
      Args args = arguments(c.args, scope);
      return f.kind == Value::InstanceOf ? callInstance(f.instance, args, scope, e.span) : callFamily(f.family, nullptr, args, scope, e.span);
    }
    if (v->ok()) diags.report(Msg::E0315, c.callee->span);
    return poison();
  }
  if (isBuiltin(n->name)) return builtin(n->name, e, c, scope);
  const ast::Function *f = program.find(n->name);
  if (!f) {
    std::vector<std::string> names;
    for (auto &[k, x] : program.byName) names.push_back(k);
    addBuiltins(names);
    Diagnostic &d = diags.report(Msg::E0103, c.callee->span, n->name);
    if (auto best = didYouMean(n->name, names); !best.empty()) d.help("did you mean `" + best[0] + "`?");
    return poison();
  }
  if (f->kind == ast::Function::Model || f->kind == ast::Function::Loss) return diags.report(Msg::E0316, c.callee->span, n->name), poison();
  Args args = arguments(c.args, scope);
  if (f->kind == ast::Function::Fn) {
    const Site *outer = site, *own = siteOf(Site::Function, f->name.name);
    Value v = invoke(*f, args, scope, e.span, own, {});
    site = outer;
    return v;
  }
  auto instance = std::make_shared<Instance>();
  instance->block = f, instance->loops = loops;
  auto number = callNumbers.find(&c);
  instance->site = siteOf(Site::Block, f->name.name, number == callNumbers.end() ? -1 : number->second);
  return callInstance(instance, args, scope, e.span);
}

Value Elaborator::callInstance(const std::shared_ptr<Instance> &i, Args &args, Scope &caller, Span at) {
  const Site *outer = site;
  auto outerLoops = loops;
  loops = i->loops;
  Value v = invoke(*i->block, args, caller, at, i->site, i->statics);
  site = outer, loops = outerLoops;
  return v;
}
Value Elaborator::callFamily(const std::shared_ptr<Family> &f, Node *subset, Args &args, Scope &caller, Span at) {
  families.push_back({f, subset});
  Value v = callInstance(f->instance, args, caller, at);
  families.pop_back();
  if (subset && v.kind == Value::Tensor && mayLack(subset)) {
    auto dims = subset->dims;
    dims.push_back(subset->subset);
    v.mask = both(v.mask, make(Op::Present, typeOf(Elem::Bool, dims), {subset}, at), at);
  }
  return v;
}

namespace {
/// One side of the meeting of a signature with arguments: a parameter's written dims and the argument's dims.
struct Meeting {
  const ast::Parameter *param;
  Value *value;
  std::vector<const ast::Dim *> terms; ///< not yet settled
  std::vector<const Dim *> left;       ///< dims of the argument that nothing has claimed
  bool rest = false;
};
const std::string *nameOf(const ast::Dim &d) {
  if (d.kind == ast::Dim::Declared) return &d.name.name;
  if (d.kind != ast::Dim::Term) return nullptr;
  auto *n = std::get_if<ast::Name>(&d.term->is);
  return n ? &n->name : nullptr;
}
} // namespace

bool Elaborator::bindDims(const ast::Function &f, const std::vector<std::pair<const ast::Parameter *, Value *>> &tensors, Args &args, Scope &caller, Scope &inner, Span at) {
  std::vector<Meeting> all;
  for (auto &[p, v] : tensors) {
    Meeting m{p, v, {}, v->type.dims, false};
    auto add = [&](const std::vector<ast::Dim> &dims) {
      for (const ast::Dim &d : dims) d.kind == ast::Dim::Rest ? (void)(m.rest = true) : m.terms.push_back(&d);
    };
    if (auto *t = std::get_if<ast::TensorType>(&p->type->is)) {
      add(t->dims);
      if (t->elem == ast::TensorType::Index && v->type.elem == Elem::Index && !inner.find(t->indexed.name) && !std::isdigit((unsigned char)t->indexed.name[0]))
        inner.names[t->indexed.name] = dimValue({v->type.indexed});
    } else if (auto *t = std::get_if<ast::MapType>(&p->type->is)) add(t->left), add(t->right);
    all.push_back(std::move(m));
  }
  auto claim = [&](Meeting &m, const Dim *d) {
    auto it = std::find(m.left.begin(), m.left.end(), d);
    if (it == m.left.end()) return false;
    m.left.erase(it);
    return true;
  };
  auto bind = [&](const std::string &n, const Dim *d) { inner.names[n] = dimValue({d}); };
  auto settle = [&] { // what is bound claims its dims
    bool changed = true;
    while (changed) {
      changed = false;
      for (Meeting &m : all)
        for (size_t i = 0; i < m.terms.size(); ++i) {
          const std::string *n = nameOf(*m.terms[i]);
          Value *bound = n ? inner.find(*n) : nullptr;
          std::vector<const Dim *> dims;
          if (bound && bound->kind == Value::Dims) dims = bound->dims;
          else if (bound && bound->kind == Value::Number) dims = {dimOf(bound->number, at)};
          else if (!n && m.terms[i]->kind == ast::Dim::Term) {
            bool ready = true; // all names in the term are bound
            ast::walk(*m.terms[i]->term, [&](const ast::Expr &e) {
              if (auto *x = std::get_if<ast::Name>(&e.is)) ready &= inner.find(x->name) || program.declared.count(x->name);
            });
            if (!ready) continue;
            dims = dimsOf(*m.terms[i], inner, nullptr);
          } else continue;
          for (const Dim *d : dims) claim(m, d);
          m.terms.erase(m.terms.begin() + long(i--));
          changed = true;
        }
      if (changed) continue;
      for (Meeting &m : all) // (b), (d): one formal and one dim are left
        if (!m.rest && m.terms.size() == 1 && m.left.size() == 1 && nameOf(*m.terms[0])) {
          bind(*nameOf(*m.terms[0]), m.left[0]);
          changed = true;
          break;
        }
    }
  };
  settle();
  for (int byBase = 0; byBase < 2; ++byBase) { // (c)
    for (Meeting &m : all)
      for (const ast::Dim *t : m.terms) {
        const std::string *n = nameOf(*t);
        if (!n || inner.find(*n)) continue;
        const Dim *d = nullptr;
        for (const Dim *x : m.left)
          if (byBase ? x->base == *n : x->name == *n) d = x;
        if (byBase && !d) d = within(*n, m.left);
        if (d) bind(*n, d);
      }
    settle();
  }
  for (Meeting &m : all) {
    if (!m.terms.empty()) {
      const std::string *n = nameOf(*m.terms[0]);
      diags.report(Msg::E0311, at, f.name.name, n ? *n : std::string(diags.sources.text(m.terms[0]->span)), show(*m.value));
      return false;
    }
    if (!m.rest && !m.left.empty()) {
      diags.report(Msg::E0215, at, m.param->name.name, f.name.name, std::string(diags.sources.text(m.param->type->span)), show(*m.value));
      return false;
    }
    if (m.rest) {
      inner.hasRest = true;
      for (const Dim *d : m.left)
        if (std::find(inner.rest.begin(), inner.rest.end(), d) == inner.rest.end()) inner.rest.push_back(d);
    }
  }
  return true;
}

Value Elaborator::invoke(const ast::Function &f, Args &args, Scope &caller, Span at, const Site *callSite, std::map<std::string, Value> statics) {
  if (calling.count(&f)) return diags.report(Msg::E0312, at, f.name.name), poison();
  Scope inner;
  inner.function = true;
  std::vector<std::pair<const ast::Parameter *, Value *>> tensors;
  std::deque<Value> held;
  size_t next = 0;
  for (auto &one : args.positional)
    if (!one.value.ok() && (std::holds_alternative<ast::ExprPtr>(one.arg->is) || std::holds_alternative<ast::Argument::Subset>(one.arg->is))) return poison();
  for (auto &[n, one] : args.named)
    if (!one.value.ok()) return poison();
  std::vector<const ast::Parameter *> defaults;
  const ast::Parameter *over = nullptr;
  for (const ast::Parameter &p : f.params) {
    if (p.kind == ast::Parameter::Over) {
      over = &p;
      continue;
    }
    Value v;
    Span where = at;
    if (auto s = statics.find(p.name.name); s != statics.end()) v = s->second, statics.erase(s);
    else if (next < args.positional.size()) {
      where = args.positional[next].span, v = args.positional[next++].value;
      if (auto n = args.named.find(p.name.name); n != args.named.end()) return diags.report(Msg::E0313, n->second.span, p.name.name), poison();
    } else if (auto n = args.named.find(p.name.name); n != args.named.end()) v = n->second.value, where = n->second.span, args.named.erase(n);
    else if (p.init) {
      defaults.push_back(&p);
      continue;
    } else return diags.report(Msg::E0317, at, f.name.name, p.name.name), poison();
    if (p.kind == ast::Parameter::Static) {
      if (v.kind == Value::Tensor || v.kind == Value::Subset || !v.ok()) return diags.report(Msg::E0310, where, show(v)), poison();
      inner.names[p.name.name] = v;
      continue;
    }
    Elem wanted = Elem::Real;
    if (auto *t = std::get_if<ast::TensorType>(&p.type->is)) wanted = Elem(int(t->elem));
    v = asTensor(v, where, wanted == Elem::Int ? Elem::Int : Elem::Real);
    if (!v.ok()) return v;
    if (std::holds_alternative<ast::MapType>(p.type->is) != v.map && std::holds_alternative<ast::MapType>(p.type->is)) return diags.report(Msg::E0213, where, show(v)), poison();
    if (wanted == Elem::Real && v.type.elem != Elem::Real && v.type.elem != Elem::Index) {
      settled(v, where);
      Node *m = v.mask;
      v = tensor(real(v.node)), v.mask = m;
    }
    if (wanted != v.type.elem) return diags.report(Msg::E0215, where, p.name.name, f.name.name, std::string(diags.sources.text(p.type->span)), show(v)), poison();
    held.push_back(v);
    tensors.push_back({&p, &held.back()});
  }
  if (next < args.positional.size()) return diags.report(Msg::E0318, args.positional[next].span, f.name.name, f.params.size()), poison();
  for (auto it = args.named.begin(); it != args.named.end();) { // (a) a dim of the signature, said outright
    Value &v = it->second.value;
    if (v.kind != Value::Dims && v.kind != Value::Number) return diags.report(Msg::E0319, it->second.span, f.name.name, it->first), poison();
    bool formal = false;
    for (auto &[p, x] : tensors) {
      auto look = [&](const std::vector<ast::Dim> &dims) {
        for (const ast::Dim &d : dims)
          if (const std::string *n = nameOf(d)) formal |= *n == it->first;
      };
      if (auto *t = std::get_if<ast::TensorType>(&p->type->is)) look(t->dims);
      else if (auto *t = std::get_if<ast::MapType>(&p->type->is)) look(t->left), look(t->right);
    }
    if (!formal) return diags.report(Msg::E0319, it->second.span, f.name.name, it->first), poison();
    inner.names[it->first] = v.kind == Value::Dims ? v : dimValue({dimOf(v.number, at)});
    it = args.named.erase(it);
  }
  if (over) {
    std::vector<const Dim *> of;
    for (auto &[p, v] : tensors) of.insert(of.end(), v->type.dims.begin(), v->type.dims.end());
    auto dims = overDims(args, caller, of, at);
    if (dims.empty()) return poison();
    for (const Dim *d : dims)
      if (std::find(of.begin(), of.end(), d) == of.end()) return diags.report(Msg::E0211, args.overSpan, d->name, tensors.empty() ? "nothing" : show(*tensors[0].second)), poison();
    inner.names[over->name.name] = dimValue(dims);
  } else if (args.over) return diags.report(Msg::E0320, args.overSpan, f.name.name), poison();
  if (!bindDims(f, tensors, args, caller, inner, at)) return poison();
  for (const ast::Parameter *p : defaults) {
    Value v = expr(*p->init, inner);
    if (!v.ok()) return v;
    if (p->kind == ast::Parameter::Tensor) v = asTensor(v, at);
    inner.names[p->name.name] = v;
  }
  for (auto &[p, v] : tensors) inner.names[p->name.name] = *v;
  if (callSite->kind != Site::Function) { // what plans select by: `Conv[k=3]`
    auto &own = const_cast<Site *>(callSite)->statics;
    own.clear();
    for (const ast::Parameter &p : f.params)
      if (auto v = inner.names.find(p.name.name); p.kind == ast::Parameter::Static && v != inner.names.end() && (v->second.kind == Value::Number || v->second.kind == Value::Dims))
        own.push_back({p.name.name, program.value(v->second.number.size()).str()});
  }
  site = callSite;
  calling.insert(&f);
  Value v = run(f, inner);
  calling.erase(&f);
  return v;
}

Value Elaborator::run(const ast::Function &f, Scope &inner) {
  Value v;
  if (f.value) v = expr(*f.value, inner);
  else {
    numberCalls(f.body);
    auto r = statements(f.body, inner);
    if (!r) {
      if (!diags.errors()) diags.report(Msg::E0321, f.name.span, f.name.name);
      return poison();
    }
    v = *r;
  }
  if (!v.ok()) return v;
  Span at = f.value ? f.value->span : f.name.span;
  if (!f.value && !f.body.statements.empty()) at = f.body.statements.back().span;
  if (f.result) {
    auto t = typeFrom(*f.result, inner, &lastWritten);
    if (!t) return poison();
    v = asTensor(v, at, t->elem);
    if (!v.ok()) return v;
    settled(v, at);
    if (v.type.elem != t->elem && t->elem == Elem::Real && v.type.elem != Elem::Index) {
      Node *m = v.mask;
      v = tensor(real(v.node)), v.mask = m;
    }
    // What the families around bring (`e[e*](h)` brings `e*` and the dims that it depends on) is the caller's.
    Type own = v.type;
    for (auto &[family, subset] : families) {
      std::vector<const Dim *> brought = subset ? subset->dims : std::vector<const Dim *>{};
      brought.push_back(subset ? subset->subset : family->dim);
      std::erase_if(own.dims, [&](const Dim *d) {
        return std::find(brought.begin(), brought.end(), d) != brought.end() && std::find(t->dims.begin(), t->dims.end(), d) == t->dims.end();
      });
    }
    if (!(own == *t)) {
      std::string wanted(diags.sources.text(f.result->span));
      Diagnostic &d = diags.report(Msg::E0216, at, f.name.name, wanted, show(v));
      for (const Dim *x : v.type.dims)
        if (x->kind == Dim::Subset && std::find(t->dims.begin(), t->dims.end(), subsetOf[x]->dim) != t->dims.end())
          d.help("`scatter(.., over " + x->base + ")` puts the selected values back among all of `" + subsetOf[x]->dim->name + "`");
      return poison();
    }
  } else if (v.kind == Value::Tensor) settled(v, at);
  if (v.kind == Value::Tensor && v.mask && f.kind != ast::Function::Fn) return diags.report(Msg::E0217, at, f.name.name), poison();
  return v;
}
} // namespace fil::sema
