// SPDX-License-Identifier: Apache-2.0
// Ten programs that are no examples, written from the language's description alone: they train, and hold what every program must.
#include "tests/programs/checks.h"
#include "tests/programs/compiled.h"
#include "tests/programs/ten.h"
#include "tests/programs/values.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace fil;
using namespace fil::programs;

class TenPrograms : public testing::TestWithParam<Ten> {};
INSTANTIATE_TEST_SUITE_P(Small, TenPrograms, testing::ValuesIn(ten), [](auto &i) { return i.param.name; });

TEST_P(TenPrograms, HoldWhatEveryProgramMust) {
  Report r = check(textOf(GetParam()), GetParam().sizes, GetParam().dims);
  EXPECT_FALSE(r.failure) << r.failure->check << ": " << r.failure->detail;
  EXPECT_TRUE(r.gradientDecided);
}
TEST_P(TenPrograms, LowerTheirLossOnAFixedBatch) {
  CompiledProgram c(textOf(GetParam()), GetParam().dims, "adamw");
  auto x = c.executable(c.copy(Stage::train_), "f32");
  Values values(1, GetParam().sizes);
  Point p;
  const Entry &init = *x->find("init"), &step = *x->find("step");
  values.fill(p, *x, init), values.fill(p, *x, step);
  x->run(init, values.inputs(p, init));
  p.inputs["lr"] = {0.01};
  double first = 0, last = 0;
  for (int i = 0; i < 40; ++i) {
    p.inputs["step"] = {double(i)};
    last = output(step, x->run(step, values.inputs(p, step)), "loss")[0];
    if (i == 0) first = last;
  }
  EXPECT_LT(last, 0.9 * first);
  EXPECT_TRUE(std::isfinite(last));
}
