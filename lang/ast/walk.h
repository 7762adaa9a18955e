// SPDX-License-Identifier: Apache-2.0
// Every expression of a piece of text, each before those within it, in text order.
#pragma once
#include "lang/ast/ast.h"
#include <functional>

namespace fil::ast {
using ExprVisitor = std::function<void(const Expr &)>;
void walk(const Expr &, const ExprVisitor &);
/// Those of the statement itself; a loop's body is not part of it.
void walk(const Statement &, const ExprVisitor &);
/// Loops included.
void walk(const Body &, const ExprVisitor &);
} // namespace fil::ast
