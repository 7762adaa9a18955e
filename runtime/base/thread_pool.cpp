// SPDX-License-Identifier: Apache-2.0
// The pool: an atomic gate to enter and leave a launch, futexes to sleep on.
#include "runtime/base/thread_pool.h"
#include "runtime/base/settings.h"
#include "runtime/base/status.h"
#include <chrono>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace fil {
namespace {

thread_local bool insideLaunch = false;
struct Inside {
  bool before = std::exchange(insideLaunch, true);
  ~Inside() { insideLaunch = before; }
};

void futexWait(std::atomic<uint32_t> &word, uint32_t seen) {
  syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), FUTEX_WAIT_PRIVATE, seen, nullptr);
}
void futexWake(std::atomic<uint32_t> &word, int count) {
  syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), FUTEX_WAKE_PRIVATE, count);
}
void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Spins until done() or the time is over; true if done.
template <class Done> bool spin(int microseconds, Done done) {
  using Clock = std::chrono::steady_clock;
  if (done()) return true;
  if (microseconds <= 0) return false;
  auto end = Clock::now() + std::chrono::microseconds(microseconds);
  do {
    for (int i = 0; i < 32; ++i) {
      pause();
      if (done()) return true;
    }
  } while (Clock::now() < end);
  return false;
}

} // namespace

ThreadPool::ThreadPool(int threads) {
  if (threads < 1 || threads > 1000)
    throw Error(Exit::Usage, "E0703", fmt::format("{} threads: a pool has 1 to 1000", threads));
  // With more threads than cores a spinning thread keeps a working one off its core.
  int64_t spinning = settingInt("FIL_SPIN_US", 0, 1000000);
  spinMicroseconds_ = threads <= availableCores() ? int(spinning) : 0;
  workers_.reserve(size_t(threads) - 1);
  for (int w = 1; w < threads; ++w) workers_.emplace_back([this, w] { workerLoop(w); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  launches_.fetch_add(1);
  futexWake(launches_, INT32_MAX);
  for (std::thread &t : workers_) t.join();
}

void ThreadPool::run(int64_t n, int64_t grain, RangeFn fn) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  if (n <= grain) return fn(0, n, 0); // not a launch: what it calls may have the pool
  if (insideLaunch || workers_.empty() || busy_.exchange(true, std::memory_order_acquire)) {
    Inside inside;
    for (int64_t t = 0; t < n; t += grain) fn(t, std::min(n, t + grain), 0);
    return;
  }
  fn_ = &fn, n_ = n, grain_ = grain;
  next_.store(0, std::memory_order_relaxed);
  gate_.store(((gate_.load(std::memory_order_relaxed) | InsideMask | Sleeps | Open) + 1) | Open,
              std::memory_order_release);
  launches_.fetch_add(1);
  if (sleepers_.load() > 0)
    futexWake(launches_, int(std::min<int64_t>(workers_.size(), (n - 1) / grain)));

  {
    Inside inside;
    takeTiles(0);
  }
  close();

  std::exception_ptr error = std::exchange(error_, nullptr);
  busy_.store(false, std::memory_order_release);
  if (error) std::rethrow_exception(error);
}

void ThreadPool::takeTiles(int worker) {
  for (;;) {
    int64_t t = next_.fetch_add(grain_, std::memory_order_relaxed);
    if (t >= n_) return;
    try {
      (*fn_)(t, std::min(n_, t + grain_), worker);
    } catch (...) {
      fail(t);
    }
  }
}

void ThreadPool::fail(int64_t tile) {
  std::lock_guard lock(failure_);
  if (!error_ || tile < errorTile_) error_ = std::current_exception(), errorTile_ = tile;
  next_.store(n_, std::memory_order_relaxed);
}

/// Nobody enters any more; returns when nobody is inside.
void ThreadPool::close() {
  gate_.fetch_and(~Open, std::memory_order_acq_rel);
  auto empty = [this] { return !(gate_.load(std::memory_order_acquire) & InsideMask); };
  if (spin(spinMicroseconds_, empty)) return;
  for (;;) {
    uint32_t g = gate_.fetch_or(Sleeps, std::memory_order_acq_rel) | Sleeps;
    if (!(g & InsideMask)) return;
    futexWait(gate_, g);
  }
}

void ThreadPool::leave() {
  uint32_t before = gate_.fetch_sub(One, std::memory_order_acq_rel);
  if ((before & Sleeps) && (before & InsideMask) == One) futexWake(gate_, 1);
}

void ThreadPool::workerLoop(int worker) {
  insideLaunch = true;
  uint32_t seen = 0;
  while (waitForLaunch(seen)) {
    uint32_t g = gate_.load(std::memory_order_relaxed);
    while (g & Open)
      if (gate_.compare_exchange_weak(g, g + One, std::memory_order_acq_rel)) {
        takeTiles(worker);
        leave();
        break;
      }
  }
}

/// Waits for a launch after `seen`; false when the pool ends. A launch that comes and goes meanwhile is simply missed.
bool ThreadPool::waitForLaunch(uint32_t &seen) {
  auto changed = [&] { return launches_.load(std::memory_order_acquire) != seen; };
  if (!spin(spinMicroseconds_, changed)) {
    sleepers_.fetch_add(1);
    while (launches_.load() == seen) futexWait(launches_, seen);
    sleepers_.fetch_sub(1);
  }
  seen = launches_.load(std::memory_order_acquire);
  return !stop_.load();
}

int availableCores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return std::max(1u, std::thread::hardware_concurrency());
}

namespace {
std::mutex poolMutex;
int wantedThreads = 0;
std::atomic<ThreadPool *> pool{nullptr};

int defaultThreads() { return int(settingInt("FIL_THREADS", 1, 1000, availableCores())); }
} // namespace

void setThreads(int threads) {
  std::lock_guard lock(poolMutex);
  if (threads == 0) threads = defaultThreads();
  if (ThreadPool *p = pool.load(); p && p->threads() != threads)
    throw Error(Exit::Internal, "E0702",
                fmt::format("the pool runs with {} threads; {} come too late", p->threads(), threads));
  wantedThreads = threads;
}

ThreadPool &processPool() {
  if (ThreadPool *p = pool.load(std::memory_order_acquire)) return *p;
  std::lock_guard lock(poolMutex);
  if (!pool.load()) {
    // Lives to the end of the process: its threads must not outlive a destroyed object while the process exits.
    pool.store(new ThreadPool(wantedThreads ? wantedThreads : defaultThreads()));
  }
  return *pool.load();
}

} // namespace fil
