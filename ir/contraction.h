// SPDX-License-Identifier: Apache-2.0
// A contraction's iteration by roles.
#pragma once
#include "ir/ir.h"

namespace fil::ir {

/// Dims of the iteration by where they stand: in both operands and the result (batch), in the left operand (rows) or the right one (columns)
/// and the result, in no result (summed). A subset's members and the dims that it depends on stand for the dim that it selects from.
struct ContractionDims {
  llvm::SmallVector<mlir::StringAttr> batch, rows, columns, summed;
  bool joint = true; ///< every summed dim stands in both operands

  // With a roster the subset's positions are a batch dim, and the points of each are rows (or columns) or the sum.
  mlir::StringAttr position;                 ///< null: no roster
  llvm::SmallVector<mlir::StringAttr> points; ///< of the roster, outermost first
};
ContractionDims classify(ContractOp);
/// As if it had a roster of its one subset.
ContractionDims classifySorted(ContractOp);
/// Are rows, columns and sum long enough for register tiles?
bool worthTiles(const ContractionDims &, const Dims &);
/// Are variables that an entry does not write the same from call to call? Not of `grad`: who asks for gradients is about to change all params.
bool packsOnce(llvm::StringRef entry);
/// Of few rows: is the other operand a large variable that stays as it is? Packed once, it serves all calls.
bool worthPacking(ContractOp, const Dims &);

} // namespace fil::ir
