// SPDX-License-Identifier: Apache-2.0
// The table of clauses: all of the language page's keys, each acting or refused under a code and never anything else, with
// examples that check, defaults that are the defaults, and a page of documentation that says the same.
#include "lang/sema/plan_table.h"
#include "tests/sema/plans.h"
#include <gtest/gtest.h>
#include <set>
#include <sstream>

namespace fil {
namespace {
using sema::ClauseRow;

/// `train.optim` to `train { optim .. }`, in a plan that also has what examples refer to.
std::string planWith(const std::string &clause, const std::string &setting) {
  std::string text = setting, path = clause;
  if (path == "precision.adapt") text = "adapt every=10 { " + text + " }", path = "precision";
  if (path == "partition.search") text = "search minimize step_time { " + text + " }", path = "partition";
  if (path == "require" && text.find(" on val") != std::string::npos) text = "require { " + text + " }; train { validate accuracy }", path = "";
  if (path == "distill") text = "distill from Small@\"a\" { " + text + " }", path = "";
  if (!path.empty()) text = path + " { " + text + " }";
  if (clause != "" || setting.substr(0, 4) != "mesh") text = "mesh dp=2 tp=2 pp=2; " + text;
  return "plan p for Small {\n" + text + "\n}\n";
}
/// The examples name things of programs of their own.
std::string fitted(std::string e) {
  for (auto [from, to] : std::vector<std::pair<std::string, std::string>>{{"-> Rules", "-> Small"}, {"-> smaller", "-> Small"}, {"Teacher@", "Small@"}, {"num.amount", "x.age"},
                                                                          {"data x=idx(\"images.gz\")/255, t=npy(\"labels.npy\")", "data x=idx(\"images.gz\")/255, tok=npy(\"tok.npy\"), t=npy(\"labels.npy\")"}})
    if (size_t at = e.find(from); at != std::string::npos) e.replace(at, from.size(), to);
  return e;
}

TEST(PlanTable, EveryExampleOfTheTableChecksAndDoesWhatItsRowSays) {
  std::set<std::string> codes;
  for (const ClauseRow &r : sema::clauseTable()) {
    std::string example = fitted(r.example);
    if (r.key == std::string("budget") && r.clause != std::string("precision.adapt")) example += r.clause == std::string("lora") ? "; FFN: alpha=8" : "; FFN: gate neurons"; // of which it chooses something
    auto p = loadPlan(planWith(r.clause, example));
    ASSERT_TRUE(p->ok()) << r.clause << " " << r.example << "\n" << p->diags.render();
    ASSERT_EQ(p->plans.size(), 1u);
    const auto &refused = p->plans[0].refused;
    // What a row refuses is recorded under its code for its command; what it does not refuse is not.
    std::string own = r.key == std::string("SITES") ? "" : r.key;
    bool found = std::any_of(refused.begin(), refused.end(), [&](const sema::Refused &x) { return r.refused && x.code == *r.refused && x.command == r.command && fitted(r.example).substr(0, 6) == std::string(p->sources.text(x.span)).substr(0, 6); });
    EXPECT_EQ(found, !r.acts()) << r.clause << " " << r.example;
    if (r.acts()) continue;
    EXPECT_EQ(std::string(row(*r.refused).code).substr(0, 3), "E06");
    codes.insert(row(*r.refused).code);
    Diagnostics diags(p->sources);
    EXPECT_TRUE(sema::refuse(p->plans[0], r.command, diags));
    EXPECT_NE(diags.render().find(std::string("`fil ") + r.command + "` cannot act on"), std::string::npos) << diags.render();
  }
  EXPECT_GE(codes.size(), 12u);
}
TEST(PlanTable, EveryRowNamesACommandThatExists) {
  const std::set<std::string> commands{"compile", "train", "validate", "run", "serve"};
  for (const ClauseRow &r : sema::clauseTable()) EXPECT_TRUE(commands.count(r.command)) << r.command;
}

/// The keys of the language page's table.
const std::vector<std::pair<std::string, std::string>> language = {
    {"", "target mesh sparsity precision lora partition train distill serve explain rollout fallback require"},
    {"target", "mem threads"},
    {"sparsity", "budget"},
    {"precision", "default accum master moments cache saved wire adapt qat"},
    {"precision.adapt", "up down budget rest"},
    {"partition", "layers schedule remat search"},
    {"train", "data tokens window split batch steps epochs optim loss class_weight seed validate checkpoint schedule stage"},
    {"distill", "loss cache"},
    {"serve", "classes batch replicas brownout"},
    {"explain", "attribution monotone"},
    {"rollout", "shadow gate champion rollback"},
    {"fallback", "on breaker half_open alarm"},
    {"lora", "adapters budget"},
    {"require", "loss deterministic bit_exact batch_invariant audit"},
};
TEST(PlanTable, HoldsEveryKeyOfTheLanguageAndNoOther) {
  std::set<std::string> expected, got;
  for (auto &[clause, keys] : language) {
    std::istringstream in(keys);
    for (std::string k; in >> k;) expected.insert(clause + "." + k);
  }
  for (const ClauseRow &r : sema::clauseTable())
    if (!std::isupper((unsigned char)r.key[0])) got.insert(std::string(r.clause) + "." + r.key);
  EXPECT_EQ(got, expected);
  for (const char *c : {"sparsity", "precision", "lora"}) EXPECT_FALSE(sema::rowsOf(c, "SITES").empty()) << c;
}
TEST(PlanTable, EveryShapeAndEveryKindIsKnown) {
  for (const ClauseRow &r : sema::clauseTable()) {
    EXPECT_NO_THROW(sema::parseShape(r.shape)) << r.shape;
    EXPECT_NO_THROW(sema::parseOptions(r.options)) << r.options;
  }
}

TEST(PlanTable, TheDefaultsOfTheTableAreTheDefaults) {
  auto none = loadPlan("plan p for Small { train { } }");
  ASSERT_TRUE(none->ok()) << none->diags.render();
  const sema::CheckedPlan &expected = none->plans[0];
  size_t defaults = 0;
  for (const ClauseRow &r : sema::clauseTable()) {
    if (!*r.fallback) continue;
    ++defaults;
    EXPECT_TRUE(r.acts()) << r.key << ": what is left unsaid must act";
    auto p = loadPlan(planWith(r.clause, std::string(r.key) + " " + r.fallback) );
    ASSERT_TRUE(p->ok()) << p->diags.render();
    const sema::CheckedPlan &got = p->plans[0];
    EXPECT_EQ(got.precision, expected.precision);
    EXPECT_EQ(got.train.batch, expected.train.batch);
    EXPECT_EQ(got.train.batchDim, expected.train.batchDim);
    EXPECT_EQ(got.train.split, expected.train.split);
    EXPECT_EQ(got.train.seed, expected.train.seed);
    EXPECT_EQ(got.train.epochs.value_or(1), expected.train.epochs.value_or(1));
    const auto &a = got.train.optimizer, &b = expected.train.optimizer;
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.lr, b.lr);
    EXPECT_EQ(a.clip, b.clip);
    EXPECT_EQ(a.warmup, b.warmup);
    EXPECT_EQ(a.cosine, b.cosine);
    EXPECT_EQ(a.statics, b.statics);
  }
  EXPECT_GE(defaults, 8u);
}

} // namespace
} // namespace fil
