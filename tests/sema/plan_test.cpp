// SPDX-License-Identifier: Apache-2.0
// Plans: every example checks and is typed as it says; canonical text means the same plan; inheritance.
#include "tests/sema/plans.h"
#include "lang/sema/plan_tree.h"
#include <filesystem>
#include <gtest/gtest.h>

namespace fil {
namespace {
using sema::CheckedPlan;

const std::filesystem::path examples = std::filesystem::path(FIL_SOURCE_FOLDER) / "examples";

std::vector<std::string> filesOf(const std::string &folder) {
  std::vector<std::string> files;
  for (auto &f : std::filesystem::directory_iterator(examples / folder))
    if (f.path().extension() == ".fil") files.push_back(f.path().string());
  std::sort(files.begin(), files.end());
  return files;
}
std::unique_ptr<LoadedProgram> loadExample(const std::string &folder) { return LoadedProgram::load(systemFiles(), filesOf(folder), {}); }
std::vector<std::string> folders() {
  std::vector<std::string> all;
  for (auto &folder : std::filesystem::directory_iterator(examples))
    if (folder.is_directory() && folder.path().filename() != "07_seed_dsa") all.push_back(folder.path().filename().string()); // must be refused
  return all;
}

/// All that is typed, in one line; without the name.
std::string typed(const CheckedPlan &p) {
  auto source = [](const std::vector<sema::DataSource> &all) {
    std::string t;
    for (auto &d : all) t += fmt::format("{}={}({})*{} ", d.input, int(d.kind), fmt::join(d.files, "|"), d.scale);
    return t;
  };
  const sema::TrainSettings &t = p.train;
  std::string s = fmt::format("{} {} data {}window ", p.model, p.hasTrain, source(t.data));
  for (auto &[n, v] : t.window) s += fmt::format("{}={} ", n, v);
  s += fmt::format("split {} {}={} steps {} epochs {} loss {} seed {} ", t.split, t.batchDim, t.batch, t.steps.value_or(0), t.epochs.value_or(t.steps ? 0 : 1), t.loss ? t.loss->name.name : "-", t.seed);
  s += t.lossCall ? sema::printValue(*t.lossCall) : "";
  s += fmt::format("{} lr {} clip {} warmup {} cosine {} ", t.optimizer.name, t.optimizer.lr, t.optimizer.clip.value_or(0), t.optimizer.warmup, t.optimizer.cosine);
  for (auto &[n, v] : t.optimizer.statics) s += fmt::format("{}={} ", n, v);
  s += fmt::format("validate {} every {} {}checkpoint {} ", t.validates, t.validateEvery.value_or(0), source(t.validation), t.checkpointEvery.value_or(0));
  for (auto &m : t.metrics) s += m.name + " ";
  s += p.precision + " ";
  for (auto &c : p.contracts) s += fmt::format("{}{}{} on {} ", c.metric, c.comparison, c.value, c.on);
  std::vector<std::string> refused; // text orders them by key
  for (auto &r : p.refused) refused.push_back(fmt::format("{} {} {}", row(r.code).code, r.command, r.clause));
  std::sort(refused.begin(), refused.end());
  return s + fmt::format("{}", fmt::join(refused, "; "));
}

TEST(Plans, EveryExampleChecks) {
  size_t plans = 0;
  for (const std::string &name : folders()) {
    auto p = loadExample(name);
    EXPECT_TRUE(p->ok()) << p->diags.render();
    plans += p->plans.size();
  }
  EXPECT_GE(plans, 10u);
}
TEST(Plans, EveryExampleHasAPlanThatActs) {
  for (const std::string &name : folders()) {
    auto p = loadExample(name);
    EXPECT_TRUE(std::any_of(p->plans.begin(), p->plans.end(), [](const CheckedPlan &x) { return x.refused.empty() && x.hasTrain && x.train.loss; })) << name;
  }
}
/// The program of an example with one more plan, named `again`.
std::unique_ptr<LoadedProgram> loadWith(const std::string &folder, const CheckedPlan &plan, std::string &text) {
  MemoryFiles files;
  std::vector<std::string> names = filesOf(folder);
  for (const std::string &f : names) files.content[f] = systemFiles().read(f).text();
  text.replace(5, plan.name.size(), "again");
  files.content["again.fil"] = text;
  names.push_back("again.fil");
  return LoadedProgram::load(files, names, {});
}
TEST(Plans, CanonicalTextIsTheSamePlanAgain) {
  for (const std::string &name : folders()) {
    auto first = loadExample(name);
    for (const CheckedPlan &plan : first->plans) {
      std::string text = plan.text;
      auto p = loadWith(name, plan, text);
      ASSERT_TRUE(p->ok()) << text << p->diags.render();
      EXPECT_EQ(p->plans.back().text, text);
      EXPECT_EQ(typed(p->plans.back()), typed(plan));
    }
  }
}
TEST(Plans, ExpandedIsTheSamePlanWithEveryDefault) {
  for (const std::string &name : folders()) {
    auto first = loadExample(name);
    for (const CheckedPlan &plan : first->plans) {
      std::string text = sema::expanded(plan);
      auto p = loadWith(name, plan, text);
      ASSERT_TRUE(p->ok()) << text << p->diags.render();
      CheckedPlan again = p->plans.back();
      again.hasTrain = plan.hasTrain; // a train of defaults alone is none
      EXPECT_EQ(typed(again), typed(plan));
      EXPECT_EQ(sema::expanded(again), text) << "nothing is left to expand";
    }
  }
  // What other words of a line decide.
  auto narrow = loadPlan("plan p for Small { precision { default bf16; wd: fp8 wgrad=bf16; moments e4m3 }; lora { wg: r=3 } }");
  const std::string whole = sema::expanded(narrow->plans[0]);
  for (const char *line : {"\n    default bf16 dgrad=bf16 wgrad=bf16 out=bf16\n", "\n    wd: fp8 e4m3 tile(row, tensor) wgrad=bf16 dgrad=e4m3 out=bf16\n", "\n    moments e4m3 rounding=stochastic\n",
                           "\n    wg: r=3 alpha=3 init=gauss variant=plain merge=auto\n"})
    EXPECT_NE(whole.find(line), std::string::npos) << line << whole;
  auto p = loadPlan("plan p for Small { train { optim sgd(lr=0.1); steps 5 } }");
  EXPECT_EQ(sema::expanded(p->plans[0]), R"(plan p for Small {
  target cpu
  precision {
    default f32
    accum f32
    master f32
    moments f32
    cache f32
    saved f32
  }
  partition {
    remat auto
  }
  train {
    tokens bytes
    split 0.9
    batch 32
    steps 5
    optim sgd(lr=0.1, momentum=0, wd=0, warmup=0, decay=constant)
    seed 0
  }
}
)");
}

TEST(Plans, AnExampleIsTypedAsItSays) {
  auto p = loadExample("01_mnist");
  ASSERT_TRUE(p->ok());
  EXPECT_EQ(typed(p->plans[0]), "Classifier true data x=1(train-images-idx3-ubyte.gz)*0.00392156862745098 t=1(train-labels-idx1-ubyte.gz)*1 window "
                                "split 0.9 B=128 steps 0 epochs 5 loss nll seed 7 adamw lr 0.001 clip 0 warmup 0 cosine false b1=0.9 b2=0.999 eps=1e-08 wd=0 "
                                "validate true every 0 x=1(t10k-images-idx3-ubyte.gz)*0.00392156862745098 t=1(t10k-labels-idx1-ubyte.gz)*1 checkpoint 0 accuracy "
                                "f32 accuracy>=0.975 on  ");
  auto q = loadExample("02_charlm");
  ASSERT_TRUE(q->ok());
  EXPECT_EQ(typed(q->plan("laptop")), "CharLM true data =0(tinyshakespeare.txt)*1 window T=128 split 0.9 B=32 steps 2000 epochs 0 loss nll seed 7 adamw lr 0.001 clip 1 warmup 100 cosine true "
                                      "b1=0.9 b2=0.999 eps=1e-08 wd=0.1 validate true every 200 checkpoint 0 f32 ");
}
TEST(Plans, WhatIsComputedAgainIsARuleOrSites) {
  auto remat = [](const std::string &values) { return loadPlan("plan p for Small { partition { remat " + values + " } }")->plans.at(0).remat; };
  EXPECT_EQ(remat("auto").rule, "auto");
  EXPECT_EQ(remat("all").rule, "all");
  EXPECT_TRUE(remat("all").sites.empty());
  const sema::Remat sites = remat("MLA MoE.e.wg");
  EXPECT_EQ(sites.rule, "auto");
  EXPECT_EQ(sites.sites, (std::vector<std::string>{"l[0].MLA", "l[1..3].MLA", "l[1..3].MoE.e[*].wg"})); // as passes know them
}
TEST(Plans, TheTextIsCanonical) {
  auto p = loadPlan("plan p for Small { require { loss<=3 }; train { steps 5 // five\n optim   adamw( lr=1e-3 ,clip=1.0 ); batch 8 }; precision{default f64} }");
  ASSERT_TRUE(p->ok()) << p->diags.render();
  EXPECT_EQ(p->plans[0].text, R"(plan p for Small {
  precision {
    default f64
  }
  train {
    batch 8
    steps 5
    optim adamw(lr=1e-3, clip=1.0)
  }
  require {
    loss <= 3
  }
}
)");
  EXPECT_EQ(p->plans[0].precision, "f64");
}
TEST(Plans, ContractsAreSharesAndBothSidesCount) {
  auto p = loadPlan("plan p for Small { require { accuracy >= 97.5% and accuracy <= 1; loss < 3 on val }; train { validate } }");
  ASSERT_TRUE(p->ok()) << p->diags.render();
  const auto &c = p->plans[0].contracts;
  ASSERT_EQ(c.size(), 3u);
  EXPECT_EQ(c[0].comparison + std::to_string(c[0].value), ">=0.975000");
  EXPECT_EQ(c[1].comparison + std::to_string(c[1].value), "<=1.000000");
  EXPECT_EQ(c[2].metric + c[2].comparison + c[2].on, "loss<val");
}
TEST(Plans, WithoutAPlanEveryDefaultHolds) {
  auto p = loadPlan("");
  CheckedPlan plan = p->plan("");
  EXPECT_TRUE(p->ok()) << p->diags.render();
  EXPECT_EQ(plan.text, "plan default for Small {\n}\n");
  EXPECT_EQ(plan.train.loss->name.name, "nll");
  EXPECT_EQ(typed(plan), "Small false data window split 0.9 B=32 steps 0 epochs 1 loss nll seed 0 adamw lr 0.001 clip 0 warmup 0 cosine false b1=0.9 b2=0.999 eps=1e-08 wd=0 validate false every 0 checkpoint 0 f32 ");
}
TEST(Plans, ALossIsCalledWithItsStatics) {
  auto p = loadPlan("plan p for Small { train { loss nll(smooth=2) } }");
  ASSERT_TRUE(p->ok()) << p->diags.render();
  ASSERT_TRUE(p->plans[0].train.lossCall);
  EXPECT_EQ(sema::printValue(*p->plans[0].train.lossCall), "nll(smooth=2)");
  EXPECT_TRUE(p->program->elaborateModel("Small", p->plans[0].train.loss, p->plans[0].train.lossCall, true));
}

TEST(Plans, LeaveNoTraceInTheModel) {
  auto typedStage = [](const std::string &plans) {
    auto p = loadPlan(plans);
    EXPECT_TRUE(p->ok()) << p->diags.render();
    return sema::print(*p->program->elaborateModel("Small", p->program->find("nll"), nullptr, true));
  };
  EXPECT_EQ(typedStage(""), typedStage("plan a for Small { train { } }\nplan b for Small { precision { MLA: bf16 } }"));
}

// ---- inheritance ----

std::string inherited(const std::string &base, const std::string &derived) {
  auto p = loadPlan("plan a for Small { " + base + " }\nplan b for Small from a { " + derived + " }");
  EXPECT_TRUE(p->ok()) << p->diags.render();
  std::string t = p->plan("b").text;
  for (char &c : t) c = c == '\n' ? ' ' : c;
  std::string out;
  for (char c : t)
    if (c != ' ' || out.empty() || out.back() != ' ') out += c;
  return out;
}
TEST(Inheritance, SettingsAreReplacedOneByOne) {
  EXPECT_EQ(inherited("train { batch 8; steps 5; seed 3 }", "train { batch 9 }"), "plan b for Small { train { batch 9 steps 5 seed 3 } } ");
  EXPECT_EQ(inherited("train { epochs 3 }", "train { steps 9 }; precision { default f64 }"), "plan b for Small { precision { default f64 } train { steps 9 } } ");
}
TEST(Inheritance, ALaterLineForOneSiteWins) {
  EXPECT_EQ(inherited("sparsity { FFN: gate neurons keep=0.4; MLA.s*: gather block=4 }", "sparsity { FFN: gate neurons keep=0.2 }"),
            "plan b for Small { sparsity { MLA.s*: gather block=4 FFN: gate neurons keep=0.2 } } ");
}
TEST(Inheritance, ContractsOfOneMetricReplaceEachOther) {
  EXPECT_EQ(inherited("require { loss <= 3; accuracy >= 0.5 }", "require { loss <= 2; loss >= 1 }"), "plan b for Small { require { loss <= 2 loss >= 1 accuracy >= 0.5 } } ");
}
TEST(Inheritance, GoesOverSeveralPlansInAnyOrder) {
  auto p = loadPlan("plan c for Small from b { train { seed 3 } }\nplan b for Small from a { train { batch 2 } }\nplan a for Small { train { batch 1; steps 1; seed 1 } }");
  ASSERT_TRUE(p->ok()) << p->diags.render();
  const CheckedPlan c = p->plan("c");
  EXPECT_EQ(c.train.seed, 3u);
  EXPECT_EQ(c.train.batch, 2);
  EXPECT_EQ(c.train.steps, 1);
}
TEST(Inheritance, AMistakeIsReportedOnceAtItsPlace) {
  auto p = loadPlan("plan a for Small { train { stepz 5 } }\nplan b for Small from a { }\nplan c for Small from b { }");
  EXPECT_EQ(p->diags.errors(), 1u) << p->diags.render();
}

} // namespace
} // namespace fil
