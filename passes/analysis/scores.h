// SPDX-License-Identifier: Apache-2.0
// The rows of scores, and what strips of them are cut along.
#pragma once
#include "ir/ir.h"

namespace fil::passes {

/// Of values that have the dims of a batched product (scores): the dims that the block sums or searches, those of one side among them (of the scores of
/// attention the keys'), and the dims of the other side, along which strips may be cut.
struct ScoreRow { llvm::SmallVector<mlir::StringAttr> along, across; };

class ScoreRows {
public:
  ScoreRows(mlir::Block &, const ir::Dims &);
  /// Null where a value has not the dims of scores, or nothing goes by their rows.
  const ScoreRow *of(mlir::Value) const;

private:
  llvm::DenseMap<mlir::Type, ScoreRow> rows; ///< by the dims, whatever the elements are
};

} // namespace fil::passes
