// SPDX-License-Identifier: Apache-2.0
// Fork and join over tiles. The process has one pool (processPool); whoever has parallel work uses it: launches of kernels,
// compilation jobs, readers. Kernels never start threads.
//
// A launch publishes (function, number of tiles) and takes tiles from a shared counter like everybody else. It never waits
// for a thread that has not begun: threads enter a launch that is open, and the caller, when no tile is left, closes it and
// waits only for those inside. So a thread that the system has taken off its core delays nothing.
// Rejected: a static share for each thread (stalls on a loaded machine), a barrier of all threads (the same), a task queue
// (allocates, 10 times slower to fork).
#pragma once
#include "runtime/base/function_ref.h"
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace fil {

class ThreadPool {
public:
  /// Tiles begin..end-1. `worker` is below threads() and differs among the calls that one launch runs at a time.
  using RangeFn = FunctionRef<void(int64_t begin, int64_t end, int worker)>;

  /// `threads` counts the caller; the others start at once. Error E0703 (usage) unless 1..1024.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;

  int threads() const { return int(workers_.size()) + 1; }

  /// Runs all tiles 0..n-1, `grain` at a time, and returns when the last one is done. No allocation. If tiles throw, the
  /// rest is skipped and the exception of the lowest of those that ran is rethrown. A call from within a launch, or while
  /// another thread has one, runs inline as worker 0.
  void run(int64_t n, int64_t grain, RangeFn fn);

private:
  // gate_: number of the launch << 12 | threads inside << 2 | caller sleeps | open
  static constexpr uint32_t Open = 1, Sleeps = 2, One = 4, InsideMask = 0xffc;

  void workerLoop(int worker);
  bool waitForLaunch(uint32_t &seen);
  void takeTiles(int worker);
  void leave();
  void close();
  void fail(int64_t tile);

  int spinMicroseconds_;
  std::vector<std::thread> workers_;
  std::atomic<bool> busy_{false}, stop_{false};

  alignas(64) std::atomic<uint32_t> gate_{0};
  alignas(64) std::atomic<uint32_t> launches_{0};
  std::atomic<uint32_t> sleepers_{0};
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) const RangeFn *fn_ = nullptr;
  int64_t n_ = 0, grain_ = 1;

  std::mutex failure_;
  std::exception_ptr error_;
  int64_t errorTile_ = 0;
};

/// Cores that this process may use.
int availableCores();
/// Fixes the number of threads of the process's pool; 0 means FIL_THREADS, else the cores. Error E0702 (internal) if the
/// pool has begun with another number.
void setThreads(int threads);
ThreadPool &processPool();

/// fn(tile) or fn(tile, worker) for each tile 0..n-1, on the process's pool.
template <class F> void parallelFor(int64_t n, F &&fn) {
  auto range = [&](int64_t begin, int64_t end, int worker) {
    for (int64_t t = begin; t < end; ++t)
      if constexpr (std::is_invocable_v<F &, int64_t, int>) fn(t, worker);
      else fn(t);
  };
  processPool().run(n, 1, range);
}

} // namespace fil
