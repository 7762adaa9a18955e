// SPDX-License-Identifier: Apache-2.0
// Ten programs that are no examples, written from the language's description alone: they train, and hold what every program must.
#include "tests/programs/checks.h"
#include "tests/programs/compiled.h"
#include "tests/programs/values.h"
#include <cmath>
#include <fstream>
#include <gtest/gtest.h>

using namespace fil;
using namespace fil::programs;

namespace {
struct Ten {
  const char *name;
  std::map<std::string, int64_t> dims; ///< small sizes, as by `--dim`
  Binding sizes;
};
void PrintTo(const Ten &t, std::ostream *out) { *out << t.name; }
const std::vector<Ten> all = {
    {"two_sizes", {{"P", 5}, {"D", 8}, {"K", 3}}, {{"B", 3}}},
    {"two_routes", {{"D", 5}, {"M", 5}, {"F", 16}, {"K", 3}}, {{"B", 2}, {"T", 3}}},
    {"nested_layers", {{"D", 4}, {"F", 5}, {"L", 3}}, {{"B", 2}, {"T", 5}}},
    {"grouped_attention", {{"V", 7}, {"D", 6}, {"N", 4}, {"F", 5}, {"L", 2}}, {{"B", 2}, {"T", 4}}},
    {"encoder_decoder", {{"Src", 7}, {"Dst", 5}, {"D", 8}, {"H", 2}}, {{"B", 2}, {"T", 3}, {"U", 4}}},
    {"three_tables", {{"Em", 3}, {"M", 3}, {"Hid", 5}}, {{"B", 4}, {"Users", 6}, {"Items", 5}}},
    {"image_autoencoder", {{"Y", 8}, {"X", 8}, {"C", 2}, {"Z", 4}}, {{"B", 3}}},
    {"dropping_mixture", {{"V", 7}, {"D", 6}, {"E", 4}, {"F", 6}, {"Keep", 3}}, {{"B", 2}, {"T", 5}}},
    {"two_towers", {{"P", 5}, {"Q", 4}, {"D", 3}, {"W", 6}}, {{"B", 4}}},
    {"recurrent", {{"W", 4}, {"I", 3}, {"D", 5}, {"K", 3}}, {{"B", 3}}},
};
std::string textOf(const Ten &t) {
  std::ifstream in(std::string(FIL_SOURCE_DIR "/tests/programs/ten/") + t.name + ".fil");
  return {std::istreambuf_iterator<char>(in), {}};
}
} // namespace

class TenPrograms : public testing::TestWithParam<Ten> {};
INSTANTIATE_TEST_SUITE_P(Small, TenPrograms, testing::ValuesIn(all), [](auto &i) { return i.param.name; });

TEST_P(TenPrograms, HoldWhatEveryProgramMust) {
  Report r = check(textOf(GetParam()), GetParam().sizes, GetParam().dims);
  EXPECT_FALSE(r.failure) << r.failure->check << ": " << r.failure->detail;
  EXPECT_TRUE(r.gradientDecided);
}
TEST_P(TenPrograms, LowerTheirLossOnAFixedBatch) {
  for (const char *backend : {"reference", "cpu"}) {
    CompiledProgram c(textOf(GetParam()), GetParam().dims, "adamw");
    auto x = c.executable(c.copy(Stage::train_), "f32", backend);
    if (!x) continue;
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
    EXPECT_LT(last, 0.9 * first) << backend;
    EXPECT_TRUE(std::isfinite(last)) << backend;
  }
}
