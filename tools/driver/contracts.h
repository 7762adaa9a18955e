// SPDX-License-Identifier: Apache-2.0
// What a plan requires of its costs, checked when it is compiled. A miss is an Error (numeric) with the numbers.
#pragma once
#include "lang/sema/plan.h"
#include "mlir/IR/BuiltinOps.h"
#include "runtime/exec/manifest.h"
#include "tools/driver/program.h"

namespace fil {

/// flops, params, state: of a module at the stage `train`. `plain` makes the module of the plan without facets; asked where a bound is a ratio.
void checkCosts(const LoadedProgram &, const sema::CheckedPlan &, mlir::ModuleOp, const std::function<mlir::OwningOpRef<mlir::ModuleOp>()> &plain);
/// mem: of what was compiled.
void checkMemory(const LoadedProgram &, const sema::CheckedPlan &, const Manifest &, const std::function<Manifest()> &plain);

} // namespace fil
