// SPDX-License-Identifier: Apache-2.0
// What a compiled program does, as text that two processes can compare: the bits of losses, outputs and variables. Inputs are pure
// functions of step and port. Knows no compiler.
#pragma once
#include "runtime/exec/binding.h"
#include "runtime/exec/compiled_executable.h"

namespace fil::test {

/// Numbers in [-1, 1), indices within their dims, `lr` 0.01, `seed` 7, positions from `from` on.
std::vector<Array> inputsAt(const Entry &, const Binding &, int64_t step, int64_t from = 0);
/// `init`, ten steps, two steps and an evaluation of a larger batch, a prompt of four and five positions decoded where the program decodes.
/// A line for each loss and output, and for each variable.
std::string traceOf(Executable &, const Binding &sizes);
/// With what only one of the two programs has: a line, and its number. Empty where they are the same.
std::string firstDifference(const std::string &, const std::string &);

/// The sizes of arena buffers of a program, as the runtime plans them.
struct ArenaUse { int64_t planned = 0, live = 0; };
ArenaUse arenaUse(const Program &, Binding sizes);

std::string sizesText(const Binding &); ///< `B=3 T=10`
Binding sizesOf(const std::string &);

} // namespace fil::test
