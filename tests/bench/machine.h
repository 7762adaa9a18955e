// SPDX-License-Identifier: Apache-2.0
// What the machine does at best: the ceilings that rows have their share of, measured in the same run.
#pragma once
#include "runtime/memory/pages.h"
#include <cstdint>

namespace fil::bench {

/// Operations of one second of this thread's CPU time, in multiply-adds of registers of 8 (AVX2) or 16 floats (AVX-512).
double multiplyAddRate(int lanes);

/// Memory on huge pages, written, that the process's threads read or copy together.
class Memory {
public:
  explicit Memory(int64_t bytes);
  void read();      ///< prefetched 4 KB ahead
  void copy();      ///< half to the other half, by memcpy
  void stream();    ///< the same with stores around the caches

private:
  Pages pages;
  uint64_t sum = 0; ///< so that reads are not left out
};

} // namespace fil::bench
