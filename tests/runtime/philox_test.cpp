// SPDX-License-Identifier: Apache-2.0
// The random numbers: known answers of Random123, exact ranges, accuracy of the arithmetic, moments.
#include "runtime/base/philox.h"
#include <gtest/gtest.h>
#include <numbers>

using namespace fil;

TEST(Philox, KnownAnswersOfRandom123) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, 0, 0),
            (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, ~0u, ~0u),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, CounterIsElementThenStep) {
  EXPECT_EQ(philox(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, StreamsAreFnv1a) {
  EXPECT_EQ(fnv1a64(""), 0xcbf29ce484222325ull);
  EXPECT_EQ(fnv1a64("a"), 0xaf63dc4c8601ec8cull);
  EXPECT_EQ(fnv1a64("foobar"), 0x85944171f73967e8ull);
}

TEST(Philox, UniformIsInTheOpenIntervalAndNearlyEqualInBothFormats) {
  EXPECT_GT(unitDouble(0, 0), 0);
  EXPECT_LT(unitDouble(~0u, ~0u), 1);
  EXPECT_GT(unitFloat(0), 0);
  EXPECT_LT(unitFloat(~0u), 1);
  for (uint64_t i = 0; i < 10000; ++i) {
    auto b = philox(9, 1, i);
    ASSERT_NEAR(uniformDouble(b), double(uniformFloat(b)), 0x1p-23);
    ASSERT_LT(uniformBelow(b, 7), 7u);
  }
}

TEST(Philox, OwnLogAndCosineAreAccurate) {
  double worstLog = 0, worstCos = 0;
  for (uint64_t i = 0; i < 200000; ++i) {
    auto b = philox(1, 2, i);
    double u = uniformDouble(b);
    if (i % 3 == 1) u = std::ldexp(u, -int(b[2] % 52));
    if (i % 3 == 2) u = 1 - std::ldexp(u, -int(b[2] % 52));
    if (u > 0 && u < 1)
      worstLog = std::max(worstLog, std::abs(exactLog(u) / double(std::log((long double)u)) - 1));
    long double turn = 2 * std::numbers::pi_v<long double> * u;
    worstCos = std::max(worstCos, std::abs(exactCosTurn(u) - double(std::cos(turn))));
  }
  EXPECT_LT(worstLog, 0x1p-50);
  EXPECT_LT(worstCos, 0x1p-51);
  EXPECT_EQ(exactCosTurn(0.5), -1);
  EXPECT_EQ(exactCosTurn(1), 1);
}

TEST(Philox, NormalHasTheMomentsOfANormal) {
  const int n = 400000;
  double m[5] = {};
  for (int i = 0; i < n; ++i) {
    double z = normalDouble(philox(streamKey(7, "l[3].Attention.q"), 0, uint64_t(i))), p = 1;
    for (int k = 1; k <= 4; ++k) m[k] += (p *= z) / n;
  }
  EXPECT_NEAR(m[1], 0, 0.006);
  EXPECT_NEAR(m[2], 1, 0.01);
  EXPECT_NEAR(m[3], 0, 0.025);
  EXPECT_NEAR(m[4], 3, 0.08);
}

TEST(Philox, StepsSeedsAndSitesAreUncorrelated) {
  const int n = 100000;
  double steps = 0, seeds = 0, sites = 0;
  for (int i = 0; i < n; ++i) {
    auto z = [&](uint64_t seed, const char *site, uint64_t step) {
      return normalDouble(philox(streamKey(seed, site), step, uint64_t(i)));
    };
    steps += z(1, "w", 0) * z(1, "w", 1) / n;
    seeds += z(1, "w", 0) * z(2, "w", 0) / n;
    sites += z(1, "w1", 0) * z(1, "w2", 0) / n;
  }
  EXPECT_NEAR(steps, 0, 0.015);
  EXPECT_NEAR(seeds, 0, 0.015);
  EXPECT_NEAR(sites, 0, 0.015);
}
