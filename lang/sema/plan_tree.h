// SPDX-License-Identifier: Apache-2.0
// A plan as a tree that can be changed: what `from` brings, what the plan itself says, what `--set` puts over it. Settings
// keep the spans of where each was written, so a mistake in an inherited or a set value is shown at its own place.
#pragma once
#include "lang/sema/plan.h"
#include <functional>

namespace fil::sema {

struct PlanTree {
  std::string name, model;
  Span nameSpan, modelSpan;
  ast::Settings settings;
};

ast::ExprPtr clone(const ast::Expr &);
ast::SitePath clone(const ast::SitePath &);
ast::Setting clone(const ast::Setting &);
ast::Settings clone(const ast::Settings &);
std::shared_ptr<PlanTree> clone(const PlanTree &);

/// The first value of a setting, and the name that it begins with: `steps` of `steps 50`, `loss` of `loss <= 3`.
struct SettingKey {
  std::string name;     ///< empty: a line `SITES: ..`, or no name at all
  bool whole = true;    ///< false where the name is part of the first value (`loss <= 3`), which then belongs to the values
  Span span;
};
SettingKey keyOf(const ast::Setting &);
/// What may stand once in `clause`: the key; one of `steps` and `epochs`; for `stage` with its name, for lines of sites with
/// path and facet, for contracts without their bounds.
std::string identityOf(const std::string &clause, const ast::Setting &);
/// `base` with the settings of `over`: equal identities are replaced (their nested settings merged), others added.
void merge(ast::Settings &base, const ast::Settings &over, const std::string &clause = {});

/// Canonical text: one setting a line, keys in the order of the table. parse(print(x)) prints the same.
std::string print(const PlanTree &);
/// With what `comment` says of each setting (its clause, itself) behind its line.
std::string print(const PlanTree &, const std::function<std::string(const std::string &, const ast::Setting &)> &comment);
std::string print(const ast::Setting &);            ///< in one line, nested settings included
std::string printValue(const ast::Expr &);
std::string printItem(const ast::Item &);
std::string print(const ast::SitePath &);
/// Whether it can stand in a plan without brackets of its own.
bool isPlanValue(const ast::Expr &);

} // namespace fil::sema
