// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/predictor.h"
#include <cmath>
#include <gtest/gtest.h>
#include <random>

namespace fil {
namespace {

std::vector<double> random(int64_t n, uint64_t seed) {
  std::mt19937_64 r(seed);
  std::normal_distribution<double> normal;
  std::vector<double> v(static_cast<size_t>(n));
  for (double &x : v) x = normal(r);
  return v;
}
std::vector<double> product(const std::vector<double> &a, const std::vector<double> &b, int64_t m, int64_t k, int64_t n) {
  std::vector<double> c(size_t(m * n));
  for (int64_t i = 0; i < m; ++i)
    for (int64_t s = 0; s < k; ++s)
      for (int64_t j = 0; j < n; ++j) c[size_t(i * n + j)] += a[size_t(i * k + s)] * b[size_t(s * n + j)];
  return c;
}
double apart(const std::vector<double> &a, const std::vector<double> &b) {
  double d = 0;
  for (size_t i = 0; i < a.size(); ++i) d = std::max(d, std::fabs(a[i] - b[i]));
  return d;
}

TEST(LowRank, GivesBackWhatHasThatRank) {
  const int64_t m = 70, n = 45, r = 3;
  const auto w = product(random(m * r, 1), random(r * n, 2), m, r, n);
  std::vector<double> a, b;
  lowRank(w, m, n, r, a, b);
  EXPECT_LT(apart(product(a, b, m, r, n), w), 1e-10);
  lowRank(w, m, n, r + 2, a, b); // further vectors are those of singular values of 0
  EXPECT_LT(apart(product(a, b, m, r + 2, n), w), 1e-6);
}
TEST(LowRank, HasSidesOfEqualLengthAndInOrder) {
  const int64_t m = 40, n = 64, r = 5;
  std::vector<double> a, b;
  lowRank(random(m * n, 3), m, n, r, a, b);
  double before = HUGE_VAL;
  for (int64_t i = 0; i < r; ++i) {
    double left = 0, right = 0;
    for (int64_t k = 0; k < m; ++k) left += a[size_t(k * r + i)] * a[size_t(k * r + i)];
    for (int64_t k = 0; k < n; ++k) right += b[size_t(i * n + k)] * b[size_t(i * n + k)];
    EXPECT_NEAR(left, right, 1e-9 * left);
    EXPECT_LT(left, before);
    before = left;
  }
}
TEST(LowRank, IsNearestAndTheSameEachTime) {
  const int64_t m = 30, n = 20, r = 4; // all vectors but 8 are tried: compare with a longer one
  const auto w = random(m * n, 4);
  std::vector<double> a, b, c, d;
  lowRank(w, m, n, r, a, b);
  lowRank(w, m, n, r, c, d);
  EXPECT_EQ(a, c);
  EXPECT_EQ(b, d);
  auto error = [&](const std::vector<double> &x) {
    double e = 0;
    for (size_t i = 0; i < w.size(); ++i) e += (w[i] - x[i]) * (w[i] - x[i]);
    return e;
  };
  const double reached = error(product(a, b, m, r, n));
  lowRank(w, m, n, n, c, d); // all of them
  EXPECT_LT(error(product(c, d, m, n, n)), 1e-18);
  double tail = 0; // by Eckart and Young the squares of the singular values that are left out
  for (int64_t i = r; i < n; ++i) {
    double s = 0;
    for (int64_t k = 0; k < m; ++k) s += c[size_t(k * n + i)] * c[size_t(k * n + i)];
    tail += s * s;
  }
  EXPECT_NEAR(reached, tail, 1e-4 * tail);
}
TEST(LowRank, OfMoreVectorsThanThereAreAndOfZeros) {
  std::vector<double> a, b;
  const auto w = random(6, 5);
  lowRank(w, 3, 2, 5, a, b);
  ASSERT_EQ(a.size(), 15u);
  ASSERT_EQ(b.size(), 10u);
  EXPECT_LT(apart(product(a, b, 3, 5, 2), w), 1e-12);
  lowRank(std::vector<double>(12), 4, 3, 2, a, b);
  EXPECT_EQ(a, std::vector<double>(8));
  EXPECT_EQ(b, std::vector<double>(6));
}

} // namespace
} // namespace fil
