// SPDX-License-Identifier: Apache-2.0
// The sizes at which an entry is explained: dims that have none until the program is called, by the command's `--at`, else as the plan trains.
#pragma once
#include "lang/sema/plan.h"
#include "mlir/IR/BuiltinOps.h"
#include "runtime/exec/binding.h"
#include "runtime/exec/manifest.h"

namespace fil {

/// `given` over the plan's batch and window. One sequence is decoded, a position at a time, where the window is full; S is T elsewhere.
Binding entrySizes(const Program &, const Manifest &, const sema::TrainSettings &, const Binding &given);
/// The same of a module that is not scheduled: the plan's batch and window, and what caches look back at.
Binding trainingSizes(mlir::ModuleOp, const sema::TrainSettings &);
/// Error E0516, about `what`, where the sizes do not decide it.
double numberAt(const Size &, const Binding &, const std::string &what);
/// `B=32 T=128`
std::string sizesText(const Binding &);
/// At sizes; formulas in dims that have none stay.
Size atSizes(const Size &, const Binding &);

/// The sizes themselves. Error E0108 about the option for a dim that no call of an entry decides.
const Binding &openSizes(const Manifest &, const Binding &given, const std::string &option);
/// The programs of the wanted entry, of all if empty. Error E0108 for an unknown one.
std::vector<const Program *> wantedPrograms(const Manifest &, const std::string &entry);

} // namespace fil
