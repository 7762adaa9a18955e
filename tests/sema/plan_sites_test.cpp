// SPDX-License-Identifier: Apache-2.0
// Patterns of sites: what each kind matches, and what is said of one that matches nothing.
#include "lang/sema/elaborate.h"
#include "lang/sema/plan_sites.h"
#include "lang/sema/plan_tree.h"
#include "tests/sema/plans.h"
#include <gtest/gtest.h>

namespace fil {
namespace {
using sema::About;

struct Sites : testing::Test {
  std::unique_ptr<LoadedProgram> p = loadPlan("");
  std::unique_ptr<sema::Graph> graph = p->program->elaborateModel("Small", p->program->find("nll"), nullptr, true);
  std::vector<sema::SitePathOf> all = sema::sitesOf(*graph, p->program->variables, "Small");
  std::deque<ast::File> files;

  const ast::SitePath &path(const std::string &pattern) {
    files.push_back(parse(p->sources.add("pattern", "plan x for Small { precision {\n" + pattern + ": f32 } }"), p->diags));
    return *std::get<ast::Plan>(files.back().declarations.at(0).is).settings.settings[0].nested->settings[0].path;
  }
  std::set<std::string> found(const std::string &pattern) {
    std::set<std::string> names;
    for (auto *s : sema::matching(path(pattern), all)) names.insert(s->str());
    return names;
  }
  std::set<std::string> about(const std::string &pattern, About a) {
    std::set<std::string> names;
    for (auto *s : sema::concerned(sema::matching(path(pattern), all), all, a)) names.insert(s->str());
    return names;
  }
  using Names = std::set<std::string>;
};

TEST_F(Sites, EveryKindOfSiteHasAPath) {
  for (const char *p : {"tok", "x", "t", "emb", "l[0].FFN.wg", "l[1..3].MoE.bias", "l[1..3].MoE.e[0..4].wd", "l[1..3].MoE.FFN[1].wg", "l[0].MLA.c", "l[1..3].MLA.s*", "l[0].rms", "l[1..3].MLA.softmax", "loss", "loss.xent"})
    EXPECT_TRUE(std::any_of(all.begin(), all.end(), [&](auto &s) { return s.str() == p; })) << p;
}
TEST_F(Sites, APatternMatchesTheEndOfAPath) {
  EXPECT_EQ(found("MLA.qa"), (Names{"l[0].MLA.qa", "l[1..3].MLA.qa"}));
  EXPECT_EQ(found("wd"), found("**.wd"));
  EXPECT_EQ(found("MLA.MLA.qa"), Names{});
}
TEST_F(Sites, IndicesAndRanges) {
  EXPECT_EQ(found("l[*].MLA.qa"), found("MLA.qa"));
  EXPECT_EQ(found("l[0].MLA.qa"), Names{"l[0].MLA.qa"});
  EXPECT_EQ(found("l[1..].MLA.qa"), Names{"l[1..3].MLA.qa"});
  EXPECT_EQ(found("l[..1].MLA.qa"), Names{"l[0].MLA.qa"});
  EXPECT_EQ(found("l[2].MLA.qa"), Names{"l[1..3].MLA.qa"});
  EXPECT_EQ(found("l[3].MLA.qa"), Names{});
  EXPECT_EQ(found("l[3..9].MLA.qa"), Names{});
  EXPECT_EQ(found("e[3].wd"), Names{"l[1..3].MoE.e[0..4].wd"});
  EXPECT_EQ(found("e[4].wd"), Names{});
  EXPECT_EQ(found("MLA[*].qa"), Names{}) << "MLA is called once in its body and has no index";
}
TEST_F(Sites, BlocksCalledOftenAreCountedInTextOrder) {
  EXPECT_EQ(found("MoE.FFN[0].wd"), Names{"l[1..3].MoE.FFN[0].wd"});
  EXPECT_EQ(found("MoE.FFN.wd"), (Names{"l[1..3].MoE.FFN[0].wd", "l[1..3].MoE.FFN[1].wd"}));
  EXPECT_EQ(found("FFN[W=12]"), (Names{"l[0].FFN", "l[1..3].MoE.FFN[1]"}));
  EXPECT_EQ(found("FFN[W=5]"), Names{});
}
TEST_F(Sites, StarsAndAlternatives) {
  EXPECT_EQ(found("MLA.{qa,qb}"), (Names{"l[0].MLA.qa", "l[0].MLA.qb", "l[1..3].MLA.qa", "l[1..3].MLA.qb"}));
  EXPECT_EQ(found("l[0].*.wg"), Names{"l[0].FFN.wg"});
  EXPECT_EQ(found("MoE.**.wg"), (Names{"l[1..3].MoE.FFN[0].wg", "l[1..3].MoE.FFN[1].wg", "l[1..3].MoE.e[0..4].wg"}));
  EXPECT_EQ(found("**").size(), all.size());
}
TEST_F(Sites, ASubsetIsNotTheParamOfItsName) {
  EXPECT_EQ(found("e*"), Names{"l[1..3].MoE.e*"});
  EXPECT_EQ(found("e"), Names{"l[1..3].MoE.e[0..4]"});
}
TEST_F(Sites, ABlockStandsForWhatTheClauseIsAbout) {
  EXPECT_EQ(about("MoE", About::Subsets), Names{"l[1..3].MoE.e*"});
  EXPECT_EQ(about("l[0].MLA", About::Maps), (Names{"l[0].MLA.ka", "l[0].MLA.qa", "l[0].MLA.qb"}));
  EXPECT_EQ(about("l[0]", About::Blocks), (Names{"l[0].FFN", "l[0].MLA"}));
  EXPECT_EQ(about("l[0].g1", About::Maps), Names{});
  EXPECT_EQ(about("l[0].g1", About::Params), Names{"l[0].g1"});
}
TEST_F(Sites, ThePathsOfOneModelAreNotThoseOfAnother) {
  auto two = loadText(smallModel + "model Other(x: [B,F]) -> [B] { param only: F -> ()\n return x @ only }");
  auto g = two->program->elaborateModel("Other", nullptr, nullptr, true);
  for (auto &s : sema::sitesOf(*g, two->program->variables, "Other")) EXPECT_EQ(s.segments.size(), 1u) << s.str();
}

std::string mistake(const std::string &plan) { return loadPlan(plan)->diags.render(); }

TEST(SiteMistakes, NothingMatches) {
  EXPECT_EQ(mistake("plan p for Small {\n  precision { l[*].MLA.qv: bf16 }\n}"), R"(error[E0118]: site `l[*].MLA.qv` matches nothing; did you mean `l[*].MLA.qa` or `l[*].MLA.qb`?
  --> test.fil:33:15
   |
33 |   precision { l[*].MLA.qv: bf16 }
   |               ^^^^^^^^^^^
)");
}
TEST(SiteMistakes, EachAlternativeHasToMatch) {
  EXPECT_EQ(mistake("plan p for Small {\n  precision { {qa,kz}: bf16 }\n}"), R"(error[E0118]: site `kz` matches nothing; did you mean `ka`?
  --> test.fil:33:19
   |
33 |   precision { {qa,kz}: bf16 }
   |                   ^^
)");
}
TEST(SiteMistakes, AnIndexOutOfRange) { EXPECT_NE(mistake("plan p for Small { precision { l[3].MLA: bf16 } }").find("error[E0118]: site `l[3].MLA` matches nothing"), std::string::npos); }
TEST(SiteMistakes, NothingThatTheClauseIsAbout) {
  EXPECT_EQ(mistake("plan p for Small {\n  sparsity { MLA.qa: gather block=64 }\n}"), R"(error[P0409]: there are no subsets in `MLA.qa`, and `gather` is about these
  --> test.fil:33:14
   |
33 |   sparsity { MLA.qa: gather block=64 }
   |              ^^^^^^
)");
}

} // namespace
} // namespace fil
