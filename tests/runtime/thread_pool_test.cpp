// SPDX-License-Identifier: Apache-2.0
// The pool: each tile once, nothing lost when threads sleep, exceptions, nesting, no allocation, time to fork and join.
#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"
#include <algorithm>
#include <cstdlib>
#include <gtest/gtest.h>
#include <new>
#include <numeric>

using namespace fil;

static std::atomic<int64_t> allocations{0};
void *operator new(size_t n) {
  ++allocations;
  if (void *p = std::malloc(n)) return p;
  throw std::bad_alloc();
}
void operator delete(void *p) noexcept { std::free(p); }
void operator delete(void *p, size_t) noexcept { std::free(p); }

TEST(ThreadPool, EachTileRunsOnce) {
  for (int threads : {1, 2, 3, 5, 16}) {
    ThreadPool pool(threads);
    for (int64_t n : {0, 1, 2, 3, 17, 1000})
      for (int64_t grain : {1, 4, 1000}) {
        std::vector<std::atomic<int>> runs(size_t(n) + 1);
        std::atomic<bool> workerFits{true};
        pool.run(n, grain, [&](int64_t b, int64_t e, int w) {
          if (w < 0 || w >= threads || e - b > grain) workerFits = false;
          for (int64_t t = b; t < e; ++t) ++runs[size_t(t)];
        });
        EXPECT_TRUE(workerFits);
        for (int64_t t = 0; t < n; ++t) ASSERT_EQ(runs[size_t(t)], 1);
        ASSERT_EQ(runs[size_t(n)], 0);
      }
  }
}

TEST(ThreadPool, ManyShortLaunchesLoseNothing) {
  for (int threads : {2, 3, 8}) {
    ThreadPool pool(threads);
    std::atomic<int64_t> sum{0};
    int64_t plain[64] = {};
    for (int launch = 0; launch < 20000; ++launch) {
      pool.run(1 + launch % 5, 1, [&](int64_t b, int64_t, int) { sum += b + 1, ++plain[b]; });
      if (launch % 5000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2)); // let them sleep
    }
    EXPECT_EQ(sum, 20000 / 5 * (1 + 3 + 6 + 10 + 15));
    EXPECT_EQ(plain[0], 20000) << "what a tile wrote is seen after the launch";
  }
}

TEST(ThreadPool, WorkersTakePart) {
  ThreadPool pool(3);
  std::atomic<int> arrived{0};
  pool.run(3, 1, [&](int64_t, int64_t, int) {
    for (++arrived; arrived < 3;) std::this_thread::yield(); // only three threads can pass
  });
  EXPECT_EQ(arrived, 3);
}

TEST(ThreadPool, ConcurrentTilesHaveDifferentWorkers) {
  ThreadPool pool(4);
  std::atomic<int> inUse[4] = {};
  std::atomic<bool> clash{false};
  pool.run(2000, 1, [&](int64_t, int64_t, int w) {
    if (inUse[w]++) clash = true;
    --inUse[w];
  });
  EXPECT_FALSE(clash);
}

TEST(ThreadPool, ExceptionsReachTheCaller) {
  ThreadPool pool(4);
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> ran{0};
    try {
      pool.run(100, 1, [&](int64_t t, int64_t, int) {
        ++ran;
        if (t == 10) throw Error(Exit::Numeric, "E0701", "tile 10");
      });
      FAIL() << "no exception";
    } catch (const Error &e) {
      EXPECT_EQ(e.message(), "tile 10");
    }
    EXPECT_GE(ran, 11);
  }
  int after = 0;
  pool.run(1, 1, [&](int64_t, int64_t, int) { ++after; });
  EXPECT_EQ(after, 1) << "the pool works on after a failure";
}

TEST(ThreadPool, NestedAndForeignCallsRunInline) {
  ThreadPool pool(3);
  std::atomic<int> inner{0}, wrongThread{0};
  auto work = [&] {
    pool.run(8, 1, [&](int64_t, int64_t, int) {
      auto me = std::this_thread::get_id();
      pool.run(5, 1, [&](int64_t, int64_t, int w) {
        ++inner;
        if (std::this_thread::get_id() != me || w != 0) ++wrongThread;
      });
    });
  };
  std::thread other([&] { for (int i = 0; i < 100; ++i) work(); });
  for (int i = 0; i < 100; ++i) work();
  other.join();
  EXPECT_EQ(inner, 200 * 40);
  EXPECT_EQ(wrongThread, 0);
}

TEST(ThreadPool, ALaunchAllocatesNothing) {
  ThreadPool pool(3);
  std::atomic<int64_t> sum{0};
  auto launch = [&] { pool.run(64, 1, [&](int64_t t, int64_t, int) { sum += t; }); };
  launch();
  int64_t before = allocations;
  for (int i = 0; i < 1000; ++i) launch();
  EXPECT_EQ(allocations, before);
}

TEST(ThreadPool, BothThreadsTakePartInEachRun) {
  if (availableCores() < 2) GTEST_SKIP() << "one core";
  ThreadPool pool(2);
  for (int i = 0; i < 2000; ++i) {
    std::atomic<int> arrived{0};
    pool.run(2, 1, [&](int64_t, int64_t, int) {
      for (++arrived; arrived < 2;) __builtin_ia32_pause(); // for ever, if one did both
    });
    EXPECT_EQ(arrived, 2);
  }
}

TEST(ThreadPool, TheProcessHasOneAndItsSizeIsFixedOnce) {
  setThreads(2);
  EXPECT_EQ(processPool().threads(), 2);
  std::atomic<int64_t> sum{0};
  parallelFor(10, [&](int64_t t) { sum += t; });
  parallelFor(10, [&](int64_t t, int worker) { sum += worker < 2 ? t : 1000; });
  EXPECT_EQ(sum, 90);
  setThreads(2);
  EXPECT_THROW(setThreads(3), Error);
  EXPECT_THROW(ThreadPool(0), Error);
}
