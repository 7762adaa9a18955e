// SPDX-License-Identifier: Apache-2.0
// Checking a plan against the table and its model: what the parts of the plan checker share.
#pragma once
#include "lang/sema/elaborate.h"
#include "lang/sema/plan_sites.h"
#include "lang/sema/plan_table.h"
#include "lang/sema/plan_tree.h"
#include <map>

namespace fil::sema {

/// What the values of a plan may name.
struct PlanContext {
  ProgramImpl &program;
  Diagnostics &diags;
  const PlanTree &tree;
  std::vector<const ast::Function *> losses; ///< that fit the model
  const Graph *graph = nullptr;              ///< the model, with its loss where there is one
  std::vector<SitePathOf> sites;             ///< of the graph
  std::vector<std::string> axes;             ///< of the plan's mesh
};

/// Whether a value is of a kind of the table; if not, names it may have meant, and whether only its unit is wrong.
struct Verdict {
  bool ok = false, wrongUnit = false;
  std::vector<std::string> near;
};
Verdict fits(const PlanContext &, const std::string &kind, const ast::Range &value);

/// Checks one setting with all that is nested in it against the table; notes what no pass acts on in `refused`.
void checkSetting(PlanContext &, const std::string &clause, const ast::Setting &, std::vector<Refused> &refused);
/// The same for a whole block of settings. That no key stands twice is checked where plans are read, as a merge keeps one.
void checkSettings(PlanContext &, const std::string &clause, const ast::Settings &, std::vector<Refused> &refused);

/// Checks and types a whole plan whose model exists.
CheckedPlan checkTree(ProgramImpl &, std::shared_ptr<const PlanTree>, Diagnostics &);

/// Clauses that act, typed. They have passed the table.
void typeTrain(PlanContext &, CheckedPlan &);
void typePrecision(PlanContext &, CheckedPlan &);
void typeState(PlanContext &, CheckedPlan &);
void typeAdapt(PlanContext &, CheckedPlan &);
/// What a clause within another one says, with the defaults of what it leaves out.
ast::Settings withDefaults(const std::string &clause, const ast::Setting &);
void typeRemat(PlanContext &, CheckedPlan &);
void typeContracts(PlanContext &, CheckedPlan &);
void typeFacets(PlanContext &, CheckedPlan &);

/// Reading values that have passed the table.
const ast::Setting *findSetting(const ast::Settings &, const std::string &key);
double numberOf(const ast::Expr &);                          ///< `25%` is 0.25
const ast::Item *optionOf(const ast::Setting &, const std::string &name);
std::string joinedNames(const std::vector<std::string> &);   ///< `a`, `b`

} // namespace fil::sema
