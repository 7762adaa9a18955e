// SPDX-License-Identifier: Apache-2.0
// The arena: no two buffers that live at a time share a byte, and little is wasted.
#include "runtime/memory/arena.h"
#include "runtime/base/philox.h"
#include "runtime/memory/pages.h"
#include <gtest/gtest.h>
#include <algorithm>
#include <random>

using namespace fil;

namespace {
void expectDisjoint(const std::vector<Lifetime> &b, const ArenaLayout &l) {
  ASSERT_EQ(l.offsets.size(), b.size());
  for (size_t i = 0; i < b.size(); ++i) {
    EXPECT_EQ(l.offsets[i] % 64, 0);
    if (b[i].bytes == 0) continue;
    EXPECT_LE(l.offsets[i] + b[i].bytes, l.bytes);
    for (size_t k = 0; k < i; ++k)
      if (b[k].bytes && b[i].first <= b[k].last && b[k].first <= b[i].last)
        EXPECT_TRUE(l.offsets[i] + b[i].bytes <= l.offsets[k] || l.offsets[k] + b[k].bytes <= l.offsets[i]);
  }
}

/// Forward, backward and update of an unrolled net: each layer saves some values until its gradient is done, has temporaries of a few
/// positions, gradients that live until the update, all of sizes of its own.
std::vector<Lifetime> training(uint32_t seed, int layers) {
  std::mt19937 random(seed);
  auto upTo = [&](int n) { return int(random() % uint32_t(n)); };
  std::vector<Lifetime> b;
  const int ops = 6, end = 2 * layers * ops;
  int64_t width = 4096 * (1 + upTo(64));
  for (int l = 0; l < layers; ++l) {
    if (upTo(3) == 0) width = 4096 * (1 + upTo(64)); // another block
    const int forward = l * ops, backward = end - (l + 1) * ops;
    for (int s = 0, n = 1 + upTo(4); s < n; ++s) b.push_back({forward + upTo(ops), backward + upTo(ops), width * (1 + upTo(4))});
    for (int side : {forward, backward})
      for (int o = 0; o < ops; ++o) b.push_back({side + o, side + o + 1 + upTo(2), width * (1 + upTo(4))});
    for (int p = 0; p < 3; ++p) b.push_back({backward + upTo(ops), end, 64 + upTo(200000)});
  }
  return b;
}
} // namespace

TEST(Arena, RandomBuffersNeverOverlap) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<Lifetime> b(random() % 60);
    for (Lifetime &l : b) {
      l.first = int(random() % 40), l.last = l.first + int(random() % (1 + random() % 40));
      l.bytes = int64_t(random() % 5 ? random() % (1 + random() % 100000) : 0);
    }
    ArenaLayout l = planArena(b);
    expectDisjoint(b, l);
    EXPECT_GE(l.bytes, mostLive(b));
    EXPECT_EQ(planArena(b).offsets, l.offsets);
  }
}

TEST(Arena, TrainingProgramsWasteLittle) {
  double worst = 1, total = 0;
  int n = 0;
  for (uint32_t seed = 0; seed < 60; ++seed)
    for (int layers : {2, 6, 20}) {
      auto b = training(seed, layers);
      ArenaLayout l = planArena(b);
      expectDisjoint(b, l);
      const double ratio = double(l.bytes) / double(mostLive(b));
      worst = std::max(worst, ratio), total += ratio, ++n;
    }
  EXPECT_LE(worst, 1.15);
  EXPECT_LE(total / n, 1.05);
  RecordProperty("worst", std::to_string(worst));
  std::printf("arena / most live: worst %.3f, mean %.3f\n", worst, total / n);
}

TEST(Pages, AreZeroAndAligned) {
  for (size_t bytes : {size_t(0), size_t(1), size_t(5000), size_t(3) << 20}) {
    Pages p(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p.data()) % (bytes >= size_t(2) << 20 ? 2 << 20 : 4096), 0u);
    EXPECT_TRUE(std::all_of(p.data(), p.data() + bytes, [](std::byte b) { return b == std::byte(0); }));
    if (bytes) p.data()[bytes - 1] = std::byte(1);
    Pages q = std::move(p);
    EXPECT_EQ(q.bytes(), bytes);
  }
  EXPECT_ANY_THROW(Pages(SIZE_MAX - 5));
}
