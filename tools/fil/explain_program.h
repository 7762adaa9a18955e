// SPDX-License-Identifier: Apache-2.0
// `fil explain --kernels` and `--memory`: of a whole program.
#pragma once
#include "lang/sema/plan.h"
#include "runtime/exec/binding.h"
#include "tools/driver/compile.h"
#include "tools/fil/commands.h"

namespace fil {

/// Each kernel: what it computes, its code, its launches at the sizes at hand, and what a profile measured of them.
void explainKernels(const Manifest &, const sema::TrainSettings &, const ExplainArguments &);
/// Of one entry at these sizes. Error E0516 where one that it depends on is missing.
int64_t arenaBytes(const Program &, const Manifest &, const Binding &sizes);
/// Each entry: arena, the most that is alive at once, and what that is. Error E0516 where a size is not known.
void explainMemory(const Compiled &, const sema::CheckedPlan &, const ExplainArguments &);

} // namespace fil
