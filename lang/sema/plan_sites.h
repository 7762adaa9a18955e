// SPDX-License-Identifier: Apache-2.0
// Sites of an elaborated model, and the patterns of plans that name them.
//
// A pattern matches the end of a path, segment by segment: `*` is one segment, `**` any number, `{a,b}` either, `l[1..]`
// some turns. A pattern that names a block or loop stands for the sites in it that the clause is about.
#pragma once
#include "lang/sema/plan_table.h"
#include "lang/sema/typed.h"

namespace fil::sema {

/// One segment of a path: `l[1..12]`, `Conv[0]`, `e[0..32]`, `s*`.
struct SiteSegment {
  Site::Kind kind;
  std::string name;
  bool indexed = false;      ///< loop, family, or one of several calls
  int64_t from = 0, to = 0;  ///< half-open
  std::vector<std::pair<std::string, std::string>> statics;
};
struct SitePathOf {
  std::vector<SiteSegment> segments;
  bool map = false;          ///< a param `A -> B`
  std::string str() const;
  std::string recorded() const; ///< as it stands in the IR, where a family is together: `e[*]`
};

/// All sites of a graph, in order of appearance: blocks, functions, loops, params, states, caches, subsets, inputs, loss.
std::vector<SitePathOf> sitesOf(const Graph &, const std::deque<Variable> &variables, const std::string &model);

/// `a.b.c` among a plan's values; without segments if the value is none.
ast::SitePath pathOf(const ast::Expr &);
/// Sites whose path ends as the pattern says.
std::vector<const SitePathOf *> matching(const ast::SitePath &, const std::vector<SitePathOf> &);
/// Of these, and of the sites within these, the ones that a clause is about.
std::vector<const SitePathOf *> concerned(const std::vector<const SitePathOf *> &named, const std::vector<SitePathOf> &all, About);
/// The pattern with one name changed so that it matches: nearest first, at most two.
std::vector<std::string> nearest(const ast::SitePath &, const std::vector<SitePathOf> &);

} // namespace fil::sema
