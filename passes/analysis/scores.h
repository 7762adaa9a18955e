// SPDX-License-Identifier: Apache-2.0
// The rows of scores, which strips are cut along.
#pragma once
#include "ir/ir.h"

namespace fil::passes {

/// Of values that have the dims of a batched product (scores), the dims that the block sums or searches: of the scores of attention, the keys'.
class ScoreRows {
public:
  ScoreRows(mlir::Block &, const ir::Dims &);
  /// Empty where a value has not the dims of scores, or nothing goes by their rows.
  llvm::ArrayRef<mlir::StringAttr> of(mlir::Value) const;

private:
  llvm::DenseMap<mlir::Type, llvm::SmallVector<mlir::StringAttr>> rows; ///< by the dims, whatever the elements are
};

} // namespace fil::passes
