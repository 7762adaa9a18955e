// SPDX-License-Identifier: Apache-2.0
// Every number of the narrow formats, and what lies between them.
#include "runtime/base/formats.h"
#include <bit>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

using namespace fil;

class Formats : public testing::TestWithParam<Format> {
protected:
  const Format f = GetParam();
  const FormatTraits t = traits(f);
  /// Numbers from 0 to the largest, rising.
  std::vector<double> positive() {
    std::vector<double> all;
    for (int i = 0; i < 1 << (t.bits() - 1); ++i)
      if (double x = decoded(f, uint16_t(i)); std::isfinite(x)) all.push_back(x);
    return all;
  }
};
INSTANTIATE_TEST_SUITE_P(Narrow, Formats, testing::Values(Format::Bf16, Format::F16, Format::E4M3, Format::E5M2), [](auto &i) { return std::string(traits(i.param).name); });

TEST_P(Formats, HaveTheirBits) {
  for (int i = 0; i < 1 << t.bits(); ++i) {
    const double x = decoded(f, uint16_t(i));
    if (std::isnan(x)) {
      EXPECT_EQ(encoded(f, x), (1 << (t.bits() - 1)) - 1);
      EXPECT_TRUE(std::isnan(rounded(f, x)));
      continue;
    }
    EXPECT_EQ(encoded(f, x), i);
    EXPECT_EQ(rounded(f, x), std::isinf(x) && t.saturates ? std::copysign(t.largest, x) : x) << i;
    EXPECT_EQ(formatNamed(t.name), f);
  }
  EXPECT_EQ(positive().back(), t.largest);
}
TEST_P(Formats, RoundToTheNearest) {
  const auto all = positive();
  for (size_t i = 0; i + 1 < all.size(); ++i) {
    const double low = all[i], high = all[i + 1], middle = low + (high - low) / 2;
    ASSERT_LT(low, high);
    for (double sign : {1.0, -1.0}) {
      EXPECT_EQ(rounded(f, sign * std::nextafter(middle, 0)), sign * low);
      EXPECT_EQ(rounded(f, sign * std::nextafter(middle, high)), sign * high);
      EXPECT_EQ(rounded(f, sign * middle), sign * (encoded(f, low) % 2 ? high : low)); // the even one
      EXPECT_EQ(std::signbit(rounded(f, sign * low)), sign < 0);
    }
  }
  const double step = all.back() - all[all.size() - 2], inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(rounded(f, t.largest + step * 0.49), t.largest);
  EXPECT_EQ(rounded(f, t.largest + step * 0.5), t.saturates ? t.largest : inf);
  EXPECT_EQ(rounded(f, -2 * t.largest), t.saturates ? -t.largest : -inf);
  EXPECT_EQ(rounded(f, -inf), t.saturates ? -t.largest : -inf);
  EXPECT_TRUE(std::isnan(rounded(f, std::numeric_limits<double>::quiet_NaN())));
}
// Micikevicius et al. 2022, table 1; IEEE 754; and bf16, the upper half of f32.
TEST(Formats, HaveTheRangeOfTheirPapers) {
  EXPECT_EQ(decoded(Format::E4M3, 0x7e), 448);
  EXPECT_EQ(decoded(Format::E4M3, 0x08), 0x1p-6);
  EXPECT_EQ(decoded(Format::E4M3, 0x01), 0x1p-9);
  EXPECT_TRUE(std::isnan(decoded(Format::E4M3, 0x7f)) && std::isnan(decoded(Format::E4M3, 0xff)));
  EXPECT_EQ(decoded(Format::E5M2, 0x7b), 57344);
  EXPECT_EQ(decoded(Format::E5M2, 0x04), 0x1p-14);
  EXPECT_EQ(decoded(Format::E5M2, 0x01), 0x1p-16);
  EXPECT_EQ(decoded(Format::E5M2, 0xfc), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(decoded(Format::F16, 0x7bff), 65504);
  EXPECT_EQ(decoded(Format::F16, 0x0001), 0x1p-24);
  EXPECT_EQ(decoded(Format::F16, 0x3555), 0.333251953125);
  EXPECT_EQ(decoded(Format::Bf16, 0x7f7f), 0x1.fep127);
  EXPECT_EQ(decoded(Format::Bf16, 0x0001), 0x1p-133);
  EXPECT_EQ(decoded(Format::Bf16, 0xc049), -3.140625);
}
TEST_P(Formats, RoundAtRandomRightInTheMean) {
  for (double x : {1.0, 1.01, -1.3, 3e-3, -0.0, t.largest, std::ldexp(1.37, -t.bias - t.fractionBits + 2), std::ldexp(0.21, 1 - t.bias - t.fractionBits)}) {
    double sum = 0;
    const int n = 4096;
    for (int i = 0; i < n; ++i) sum += roundedAtRandom(f, x, (i + 0.5) / n);
    const double low = std::min(rounded(f, x * (1 - std::ldexp(1, -t.fractionBits))), rounded(f, x * (1 + std::ldexp(1, -t.fractionBits))));
    EXPECT_NEAR(sum / n, x, std::fabs(x - low) * 3 / n + std::fabs(x) * 1e-12) << x;
    EXPECT_EQ(roundedAtRandom(f, rounded(f, x), 1e-9), rounded(f, x)); // a number of the format stays
  }
  EXPECT_TRUE(std::isnan(roundedAtRandom(f, std::numeric_limits<double>::quiet_NaN(), 0.5)));
}
TEST(Formats, PartsOfF32AreTheF32) {
  for (uint64_t bits = 0; bits < uint64_t(1) << 32; bits += 997) {
    const float x = std::bit_cast<float>(uint32_t(bits)), y = joined(highPart(x), lowPart(x));
    if (std::isnan(x)) ASSERT_TRUE(std::isnan(y) && std::isnan(decoded(Format::Bf16, highPart(x))));
    else ASSERT_EQ(std::bit_cast<uint32_t>(x), std::bit_cast<uint32_t>(y));
    if (std::isfinite(x) && std::fabs(x) < 3e38f) ASSERT_LE(std::fabs(decoded(Format::Bf16, highPart(x)) - x), std::fabs(rounded(Format::Bf16, x) - x)) << x; // as near as the nearest
  }
}
