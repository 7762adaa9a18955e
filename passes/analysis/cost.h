// SPDX-License-Identifier: Apache-2.0
// What an entry point costs, as formulas in the symbolic dims. Read-only; the knowledge sits with the ops (interface Costed).
#pragma once
#include "ir/ir.h"

namespace fil::passes {
/// All ops of the function, loops as often as they turn. A cache that nothing has filled yet looks back at what the call brings: its
/// dim counts as the one it renames (S = T).
ir::Cost cost(ir::FuncOp);
/// How often the loops around an op run it.
Size turns(mlir::Operation *);
/// The function that is this entry point; null where there is none.
ir::FuncOp entryPoint(mlir::ModuleOp, llvm::StringRef name);
} // namespace fil::passes
