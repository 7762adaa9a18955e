// SPDX-License-Identifier: Apache-2.0
#include "lang/ast/walk.h"

namespace fil::ast {
namespace {
void maybe(const ExprPtr &e, const ExprVisitor &f) {
  if (e) walk(*e, f);
}
void walk(const std::vector<Dim> &dims, const ExprVisitor &f) {
  for (const Dim &d : dims) maybe(d.term, f);
}
void walk(const std::vector<Argument> &args, const ExprVisitor &f) {
  for (const Argument &a : args) {
    if (auto *x = std::get_if<ExprPtr>(&a.is)) maybe(*x, f);
    else if (auto *x = std::get_if<Argument::By>(&a.is)) maybe(x->size, f), maybe(x->stride, f);
    else if (auto *x = std::get_if<Argument::Declared>(&a.is)) maybe(x->size, f);
    else if (auto *x = std::get_if<Argument::Named>(&a.is)) maybe(x->value, f);
    else if (auto *x = std::get_if<Argument::Over>(&a.is)) walk(x->dims, f);
  }
}
void walk(const Type &t, const ExprVisitor &f) {
  if (auto *x = std::get_if<TensorType>(&t.is)) walk(x->dims, f);
  else if (auto *x = std::get_if<MapType>(&t.is)) walk(x->left, f), walk(x->right, f);
  else walk(std::get<InstanceType>(t.is).args, f);
}
} // namespace

void walk(const Expr &e, const ExprVisitor &f) {
  f(e);
  if (auto *x = std::get_if<Call>(&e.is)) maybe(x->callee, f), walk(x->args, f);
  else if (auto *x = std::get_if<At>(&e.is)) {
    maybe(x->base, f);
    for (const IndexItem &i : x->items) maybe(i.value, f);
  } else if (auto *x = std::get_if<Member>(&e.is)) maybe(x->base, f);
  else if (auto *x = std::get_if<Binary>(&e.is)) maybe(x->left, f), maybe(x->right, f);
  else if (auto *x = std::get_if<Unary>(&e.is)) maybe(x->operand, f);
  else if (auto *x = std::get_if<Where>(&e.is)) maybe(x->value, f), maybe(x->condition, f), maybe(x->otherwise, f);
  else if (auto *x = std::get_if<If>(&e.is)) maybe(x->condition, f), maybe(x->then, f), maybe(x->otherwise, f);
  else if (auto *x = std::get_if<Tuple>(&e.is)) for (const ExprPtr &i : x->items) maybe(i, f);
  else if (auto *x = std::get_if<List>(&e.is)) for (const ExprPtr &i : x->items) maybe(i, f);
}
void walk(const Statement &s, const ExprVisitor &f) {
  if (auto *x = std::get_if<ParamStmt>(&s.is)) walk(x->type, f), maybe(x->init, f);
  else if (auto *x = std::get_if<CacheStmt>(&s.is)) walk(x->type, f), maybe(x->value, f);
  else if (auto *x = std::get_if<ExpertsStmt>(&s.is)) walk(x->args, f);
  else if (auto *x = std::get_if<LetStmt>(&s.is)) {
    if (x->type) walk(*x->type, f);
    maybe(x->value, f);
  } else if (auto *x = std::get_if<SelectStmt>(&s.is)) maybe(x->value, f);
  else if (auto *x = std::get_if<AuxStmt>(&s.is)) maybe(x->value, f);
  else if (auto *x = std::get_if<AssignStmt>(&s.is)) maybe(x->value, f);
  else if (auto *x = std::get_if<ReturnStmt>(&s.is)) maybe(x->value, f);
  else if (auto *x = std::get_if<LayersStmt>(&s.is)) maybe(x->range.from, f), maybe(x->range.to, f);
}
void walk(const Body &b, const ExprVisitor &f) {
  for (const Statement &s : b.statements) {
    walk(s, f);
    if (auto *x = std::get_if<LayersStmt>(&s.is)) walk(x->body, f);
  }
}
} // namespace fil::ast
