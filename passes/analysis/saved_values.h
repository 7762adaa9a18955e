// SPDX-License-Identifier: Apache-2.0
// What the module's list `fil.saved` says, which recompute-saved writes and narrow-saved completes: the values that turns of layers save for their gradient.
#pragma once
#include "ir/ir.h"
#include "mlir/IR/BuiltinOps.h"

namespace fil::passes {

struct SavedValue {
  std::string entry, site, what;     ///< `step`, `l[0..4].FeedForward`, `map mul`
  mlir::Type type;                   ///< of a turn's, as it is kept
  int64_t turns = 1;
  bool again = false;                ///< computed again, and not kept
  std::string why;
  mlir::Type scales{};               ///< of a turn's, where there are some

  /// Of all turns, where reals have `realBytes`.
  Size bytes(const ir::Dims &dims, int64_t realBytes) const {
    const Size numbers = dims.elements(type) * Size(ir::bytesOf(type, realBytes));
    return Size(turns) * (scales ? numbers + dims.elements(scales) * Size(int64_t(sizeof(float))) : numbers);
  }
};
std::vector<SavedValue> savedValues(mlir::ModuleOp);
void noteSavedValues(mlir::ModuleOp, llvm::ArrayRef<SavedValue>);

} // namespace fil::passes
