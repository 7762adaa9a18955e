// SPDX-License-Identifier: Apache-2.0
// The reference back end: an Executable that walks the program op by op over kernels/reference, in float64. Variables and outputs have
// the plan's format; nothing in between is rounded.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "runtime/exec/executable.h"

namespace fil {
/// The module is one after the precision pass; `context` lives as long as the Executable.
std::unique_ptr<Executable> referenceExecutable(std::shared_ptr<mlir::MLIRContext> context, mlir::OwningOpRef<mlir::ModuleOp> module);
} // namespace fil
