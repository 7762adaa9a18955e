// SPDX-License-Identifier: Apache-2.0
// Random numbers of variables.
#pragma once
#include "ir/ir.h"

namespace fil::ir {

/// Uniform (0,1), or normal, of this type; the dims of the variable's loops are among its own. `stream` continues the variable's site.
mlir::Value randomFor(ir::BodyBuilder &, ir::VariableOp, llvm::StringRef stream, ir::TensorType, mlir::Value seed, mlir::Value step, bool normal);

} // namespace fil::ir
