// SPDX-License-Identifier: Apache-2.0
// `--set`: every kind of key, what it leaves alone, and its mistakes.
#include "tests/sema/plans.h"
#include <gtest/gtest.h>

namespace fil {
namespace {

struct Set : testing::Test {
  std::unique_ptr<LoadedProgram> p = loadPlan(R"(plan a for Small {
  train { batch 16; epochs 2; optim adamw(lr=1e-3, wd=0.1); validate accuracy, every=100 }
})");
  sema::CheckedPlan plan = p->plan("a");
  testing::AssertionResult set(const std::string &s) {
    return sema::setKey(*p->program, plan, s, p->diags) ? testing::AssertionSuccess() : testing::AssertionFailure() << p->diags.render();
  }
  std::string refusedBecause(const std::string &s) {
    const std::string before = plan.text;
    Diagnostics diags(p->sources);
    EXPECT_FALSE(sema::setKey(*p->program, plan, s, diags)) << s;
    EXPECT_EQ(plan.text, before) << "a refused key changes nothing";
    return diags.render();
  }
  bool inText(const std::string &s) { return plan.text.find(s) != std::string::npos; }
};

TEST_F(Set, AValueIsReplacedAndShownInTheText) {
  EXPECT_TRUE(set("train.batch=64"));
  EXPECT_EQ(plan.train.batch, 64);
  EXPECT_TRUE(inText("batch 64\n")) << plan.text;
  EXPECT_FALSE(inText("batch 16"));
}
TEST_F(Set, AnArgumentIsReplacedAndTheOthersStay) {
  EXPECT_TRUE(set("train.optim.lr=1e-4"));
  EXPECT_TRUE(set("train.optim.clip=2"));
  EXPECT_EQ(plan.train.optimizer.lr, 1e-4);
  EXPECT_EQ(plan.train.optimizer.clip, 2.0);
  EXPECT_EQ(plan.train.optimizer.statics["wd"], 0.1);
  EXPECT_TRUE(inText("optim adamw(lr=1e-4, wd=0.1, clip=2)\n")) << plan.text;
}
TEST_F(Set, AnotherOptimizerIsAWholeValue) {
  EXPECT_TRUE(set("train.optim=sgd(lr=0.1)"));
  EXPECT_EQ(plan.train.optimizer.name, "sgd");
  EXPECT_TRUE(set("train.optim.momentum=0.9"));
  EXPECT_EQ(plan.train.optimizer.statics["momentum"], 0.9);
}
TEST_F(Set, AnOptionIsReplacedAndTheWordsStay) {
  EXPECT_TRUE(set("train.validate.every=7"));
  EXPECT_EQ(plan.train.validateEvery, 7);
  ASSERT_EQ(plan.train.metrics.size(), 1u);
  EXPECT_EQ(plan.train.metrics[0].name, "accuracy");
}
TEST_F(Set, StepsTakeThePlaceOfEpochs) {
  EXPECT_TRUE(set("train.steps=50"));
  EXPECT_EQ(plan.train.steps, 50);
  EXPECT_FALSE(plan.train.epochs);
  EXPECT_FALSE(inText("epochs")) << plan.text;
}
TEST_F(Set, KeysThatThePlanDoesNotHaveAreAdded) {
  EXPECT_TRUE(set("train.seed=11"));
  EXPECT_TRUE(set("train.checkpoint.every=9"));
  EXPECT_TRUE(set("precision.default=f64"));
  EXPECT_TRUE(set("train.batch.B=5"));
  EXPECT_EQ(plan.train.seed, 11u);
  EXPECT_EQ(plan.train.checkpointEvery, 9);
  EXPECT_EQ(plan.precision, "f64");
  EXPECT_EQ(plan.train.batch, 5);
}
TEST_F(Set, APartOfADefaultCanChange) {
  plan = sema::defaultPlan(*p->program, "Small", p->diags);
  EXPECT_TRUE(set("train.optim.b1=0.8"));
  EXPECT_EQ(plan.train.optimizer.statics["b1"], 0.8);
  EXPECT_EQ(plan.train.optimizer.statics["b2"], 0.999);
  EXPECT_TRUE(inText("optim adamw(b1=0.8)\n")) << plan.text;
}
TEST_F(Set, SeveralValuesAreOneSetting) {
  EXPECT_TRUE(set("train.validate=loss, accuracy, every=3"));
  EXPECT_EQ(plan.train.metrics.size(), 2u);
  EXPECT_EQ(plan.train.validateEvery, 3);
}
TEST_F(Set, ARefusedClauseIsRecorded) {
  EXPECT_TRUE(set("target=sm90"));
  ASSERT_EQ(plan.refused.size(), 1u);
  EXPECT_EQ(plan.refused[0].code, Msg::E0601);
}
TEST_F(Set, MistakesAreShownInTheAssignment) {
  EXPECT_EQ(refusedBecause("train.stepz=5"), R"(error[P0401]: `stepz` is no key of `train`
 --> --set:2:7
  |
2 | train.stepz=5
  |       ^^^^^
  = help: did you mean `train.steps`?
)");
  EXPECT_EQ(refusedBecause("train.steps=many"), R"(error[P0404]: `steps` takes a whole number from 1 on, such as `32`, found `many`
 --> --set:2:13
  |
2 | train.steps=many
  |             ^^^^
  = help: for example `steps 2000`
)");
  EXPECT_NE(refusedBecause("steps=5").find("did you mean `train.steps`?"), std::string::npos);
  EXPECT_NE(refusedBecause("train.optim.momentum=0.9").find("P0407"), std::string::npos);
  EXPECT_NE(refusedBecause("train.batch=-5").find("P0424"), std::string::npos);
  for (const char *bad : {"", "x", "train", "train.steps", "train.steps 5", "=", "train.steps=", "train.steps=5; train.seed=3", "train.steps=5 }\nplan evil for Small { train { steps 7 }",
                          "train { steps 5 }", "train.steps=5 { x 3 }", "a: b=3", "\xff"})
    EXPECT_NE(refusedBecause(bad).find("error["), std::string::npos) << bad;
}

} // namespace
} // namespace fil
