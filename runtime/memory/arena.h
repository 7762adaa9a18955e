// SPDX-License-Identifier: Apache-2.0
// Offsets of one arena: buffers whose lifetimes overlap get disjoint bytes. One pure function of lifetimes and sizes, so that a
// program has the same memory plan on every machine and at every number of threads.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace fil {

/// Alive from position `first` to `last`, both included.
struct Lifetime {
  int first = 0, last = 0;
  int64_t bytes = 0;
  friend bool operator==(const Lifetime &, const Lifetime &) = default;
};
struct ArenaLayout {
  std::vector<int64_t> offsets; ///< multiples of 64; of a buffer without bytes 0
  int64_t bytes = 0;
};

/// Best fit over several orders, the smallest arena wins. Finding the least arena is NP-hard; on training programs this is within
/// 1.15 times mostLive, mostly equal to it.
ArenaLayout planArena(std::span<const Lifetime>);
/// The most bytes (each buffer rounded up to 64) alive at one position: no arena can be smaller.
int64_t mostLive(std::span<const Lifetime>);

} // namespace fil
