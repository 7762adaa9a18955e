// SPDX-License-Identifier: Apache-2.0
// Flat formulas say what Size says.
#include "runtime/exec/formulas.h"
#include "runtime/base/status.h"
#include "tests/runtime/manifests.h"
#include <gtest/gtest.h>
#include <random>

using namespace fil;
using fil::test::codeOf;

namespace {
const char *const names[] = {"B", "T", "S#cap", "s#7"};
Size randomSize(std::mt19937 &random, int depth) {
  auto pick = [&](int n) { return int(random() % uint32_t(n)); };
  if (depth == 0) return pick(3) ? Size::symbol(names[pick(4)]) : Size(Rational(pick(9) - 2, 1 + pick(4)));
  const Size a = randomSize(random, depth - 1), b = randomSize(random, depth - 1);
  switch (pick(9)) {
  case 0: return Size::floor(a);
  case 1: return Size::ceil(a);
  case 2: return Size::min(a, b);
  case 3: return Size::max(a, b);
  case 4: return b == Size(0) ? a : a / b;
  case 5: return a - b;
  case 6: return a * b;
  default: return a + b;
  }
}
} // namespace

TEST(Formulas, SayWhatSizesSay) {
  std::mt19937 random(5);
  Formulas f;
  std::vector<Size> sizes;
  std::vector<int> numbers;
  for (int i = 0; i < 2000; ++i) {
    sizes.push_back(randomSize(random, int(random() % 4)));
    numbers.push_back(f.add(sizes.back()));
    EXPECT_EQ(f.add(sizes.back()), numbers.back());
  }
  for (int round = 0; round < 5; ++round) {
    std::vector<int64_t> values;
    for (size_t s = 0; s < f.symbols().size(); ++s) values.push_back(int64_t(random() % 50));
    f.bind(values);
    for (size_t i = 0; i < sizes.size(); ++i) {
      std::optional<Rational> want;
      try {
        want = sizes[i].eval([&](const std::string &n) -> std::optional<int64_t> { return values[size_t(f.symbol(n))]; });
      } catch (const std::exception &) { // division by 0
      }
      if (!want) {
        EXPECT_EQ(codeOf([&] { f.value(numbers[i]); }), "E0517") << sizes[i].str();
        continue;
      }
      EXPECT_EQ(f.value(numbers[i]), *want) << sizes[i].str();
      EXPECT_EQ(codeOf([&] { f.whole(numbers[i]); }), want->isWhole() ? "" : "E0517");
      EXPECT_EQ(codeOf([&] { f.size(numbers[i]); }), want->isWhole() && want->num >= 0 ? "" : "E0517");
    }
  }
}

TEST(Formulas, UnboundAndHugeAreErrors) {
  Formulas f;
  const int b = f.add(Size::symbol("B")), huge = f.add(Size::symbol("T").pow(3)), half = f.add(Size::symbol("T") / Size(2));
  std::vector<int64_t> values(f.symbols().size());
  values[size_t(f.symbol("B"))] = Formulas::unbound, values[size_t(f.symbol("T"))] = 1 << 30;
  f.bind(values);
  EXPECT_EQ(codeOf([&] { f.value(b); }), "E0516");
  EXPECT_EQ(codeOf([&] { f.value(huge); }), "E0517");
  EXPECT_EQ(f.whole(half), 1 << 29);
  values[size_t(f.symbol("T"))] = 3;
  f.bind(values);
  EXPECT_EQ(f.whole(huge), 27);
  EXPECT_EQ(codeOf([&] { f.whole(half); }), "E0517");
}
