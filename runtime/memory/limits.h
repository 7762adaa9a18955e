// SPDX-License-Identifier: Apache-2.0
// What the machine does at best: work to be timed, for shares of its limits.
#pragma once
#include "runtime/memory/pages.h"
#include <cstdint>

namespace fil {

/// This thread does multiply-adds of registers of 8 (AVX2) or 16 floats (AVX-512); how many operations (each counts 2).
double multiplyAdds(int lanes, int64_t turns);

/// Memory on huge pages, written, that the process's threads read or copy together.
class MemoryTraffic {
public:
  explicit MemoryTraffic(int64_t bytes);
  int64_t bytes() const { return int64_t(pages.bytes()); }
  void read();      ///< prefetched 4 KB ahead
  void copy();      ///< half to the other half, by memcpy
  void stream();    ///< the same with stores around the caches

private:
  Pages pages;
  uint64_t sum = 0; ///< so that reads are not left out
};

} // namespace fil
