// SPDX-License-Identifier: Apache-2.0
// What memory a program takes at given sizes, without running it.
#pragma once
#include "runtime/exec/binding.h"
#include "runtime/exec/flat_program.h"

namespace fil {

/// As the runtime binds it; `used` are the sizes that it depends on. Error E0516 where one of them is missing.
BoundProgram boundAt(const Program &, const Manifest &, const Binding &sizes, Binding &used);
int64_t arenaBytes(const Program &, const Manifest &, const Binding &sizes);
/// Variables, and what is derived of them.
int64_t keptBytes(const Manifest &);

} // namespace fil
