// SPDX-License-Identifier: Apache-2.0
// Machine code read back: what a kernel's instructions are.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace fil {

/// Vector: with a vector register among its operands, but for scalar arithmetic in one (`vmulss`, `vmovd`, `vcvtsi2sd`).
struct InstructionCount { int64_t all = 0, vector = 0; };
/// Of x86-64 code from its first byte on. Error E0901 (internal) where it is none.
InstructionCount countInstructions(std::span<const std::byte> code);

} // namespace fil
