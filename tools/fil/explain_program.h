// SPDX-License-Identifier: Apache-2.0
// `fil explain --kernels` and `--memory`: of a whole program.
#pragma once
#include "lang/sema/plan.h"
#include "tools/driver/compile.h"
#include "tools/fil/commands.h"

namespace fil {

/// Each kernel: what it computes, its code, its launches at the sizes at hand, and what a profile measured of them.
void explainKernels(const Manifest &, const sema::TrainSettings &, const ExplainArguments &);
/// Each entry: arena, the most that is alive at once, and what that is. Error E0516 where a size is not known.
void explainMemory(const Compiled &, const sema::CheckedPlan &, const ExplainArguments &);

} // namespace fil
