// SPDX-License-Identifier: Apache-2.0
// The machine as the system describes it; no LLVM in it.
#pragma once
#include <cstdint>
#include <string>

namespace fil {

struct Caches { int64_t l1, l2, l3; }; ///< bytes, of data
/// FIL_TARGET_CACHES where it is set. What the system does not tell gets the size of a small machine of the last ten years.
Caches findCaches();
/// Cores that tiles are cut for; 4 where FIL_TARGET_CACHES describes another machine.
int findCores();
/// All that decides what code is generated for `native`: processor, features, caches, cores.
std::string machineText();

} // namespace fil
