// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/generate.h"
#include "tests/train/model.h"
#include <gtest/gtest.h>

using namespace fil;
using namespace fil::test;

TEST(Generate, WithTheCacheItWritesWhatWholeEvaluationsWrite) {
  TestProgram p(charText, Stage::train_, "f64");
  ASSERT_TRUE(p.executable) << p.errors();
  p.randomize();
  // Tied embeddings make a token its own likeliest successor; turned around they do not.
  Array g = p.executable->get(p.variable("g"));
  p.executable->set(p.variable("g"), array(g, std::vector<double>(8, -1)));
  std::vector<int32_t> text{'t', 'o', ' '};
  std::vector<int32_t> drawn;
  Decoder decoder(*p.executable);
  generate(decoder, text, {8}, {0, 0, 0}, [&](int32_t t) { drawn.push_back(t); });
  ASSERT_EQ(drawn.size(), 8u);
  const Entry &run = p.entry("run");
  Decoder again(*p.executable);
  std::vector<double> logits = again.prefill(text, 11);
  for (int32_t token : drawn) {
    std::vector<int32_t> pos(text.size());
    for (size_t i = 0; i < pos.size(); ++i) pos[i] = int32_t(i);
    const int64_t n = int64_t(text.size());
    Array y = p.executable->run(run, {Array::of(DType::I32, {1, n}, text), Array::of(DType::I32, {n}, pos)}).at(0);
    int32_t best = 0;
    for (int32_t v = 1; v < 256; ++v)
      if (y.at((n - 1) * 256 + v) > y.at((n - 1) * 256 + best)) best = v;
    EXPECT_EQ(token, best) << "after " << n;
    for (int64_t v = 0; v < 256; ++v) EXPECT_NEAR(logits[size_t(v)], y.at((n - 1) * 256 + v), 1e-12);
    logits = again.decode(token);
    text.push_back(token);
  }
  std::set<int32_t> different(drawn.begin(), drawn.end());
  EXPECT_GT(different.size(), 1u) << "random weights should not always give the same token";
}

TEST(Generate, TheSameSeedDrawsTheSameTokens) {
  TestProgram p(charText, Stage::train_, "f32");
  p.randomize();
  auto draw = [&](uint64_t seed) {
    std::string s;
    Decoder decoder(*p.executable);
    generate(decoder, {'a'}, {12}, {1, 0, seed}, [&](int32_t t) { s.push_back(char(t)); });
    return s;
  };
  EXPECT_EQ(draw(1), draw(1));
  EXPECT_NE(draw(1), draw(2));
}

TEST(Generate, BeyondTheWindowTheSecondHalfIsReadAnew) {
  TestProgram p(charText, Stage::train_, "f64");
  p.randomize();
  std::vector<int32_t> drawn;
  Decoder decoder(*p.executable);
  generate(decoder, {'a', 'b', 'c'}, {5, 256, 4}, {1, 0, 9}, [&](int32_t t) { drawn.push_back(t); });
  ASSERT_EQ(drawn.size(), 5u);
  // Four positions are full after the first decoded token: then the last two tokens are the past.
  std::vector<std::vector<int32_t>> pasts{{'a', 'b', 'c'}, {'a', 'b', 'c', drawn[0]}, {drawn[0], drawn[1]}, {drawn[0], drawn[1], drawn[2]}, {drawn[0], drawn[1], drawn[2], drawn[3]}};
  for (size_t i = 0; i < pasts.size(); ++i) EXPECT_EQ(drawn[i], chooseToken(Decoder(*p.executable).prefill(pasts[i], 4), {1, 0, 9}, int64_t(i))) << i;
}

TEST(Generate, DrawsFollowTheDistribution) {
  std::vector<double> logits{0, std::log(3.0), -INFINITY, NAN};
  std::vector<int> count(4, 0);
  for (int64_t i = 0; i < 4000; ++i) ++count[size_t(chooseToken(logits, {1, 0, 5}, i))];
  EXPECT_NEAR(count[1] / 4000.0, 0.75, 0.03);
  EXPECT_EQ(count[2] + count[3], 0);
  for (int64_t i = 0; i < 50; ++i) EXPECT_EQ(chooseToken(logits, {1, 1, 5}, i), 1);
  EXPECT_EQ(chooseToken({1, 2, 2}, {0, 0, 0}, 0), 1) << "ties go to the lowest index";
  // The two likeliest alone, by their shares; of the equal ones at the edge the first; what is no number is none.
  std::vector<int> two(6);
  for (int64_t i = 0; i < 4000; ++i) ++two[size_t(chooseToken({NAN, std::log(1.0), std::log(3.0), std::log(1.0), std::log(0.5), NAN}, {1, 2, 5}, i))];
  EXPECT_EQ(two[0] + two[3] + two[4] + two[5], 0);
  EXPECT_NEAR(two[2] / 4000.0, 0.75, 0.03);
  std::vector<int> cold(4, 0);
  for (int64_t i = 0; i < 1000; ++i) ++cold[size_t(chooseToken(logits, {0.5, 0, 5}, i))];
  EXPECT_NEAR(cold[1] / 1000.0, 0.9, 0.03);
}

TEST(Generate, AModelWithoutCachesIsRefused) {
  TestProgram p(classText, Stage::train_, "f64");
  try {
    Decoder d(*p.executable);
    FAIL() << "it has no caches";
  } catch (const Error &e) {
    EXPECT_EQ(e.code(), "E0801");
  }
}
