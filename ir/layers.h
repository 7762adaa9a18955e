// SPDX-License-Identifier: Apache-2.0
// Changes to a loop's signature: operands and results are added to it while its body stays in place.
#pragma once
#include "ir/ir.h"

namespace fil::ir {

class LayersEdit {
public:
  explicit LayersEdit(LayersOp op) : op(op) {}
  /// The body's name for a value from outside; asked twice, the same one.
  mlir::BlockArgument shared(mlir::Value outside);
  /// The turn's slice of a stacked value from outside.
  mlir::BlockArgument stacked(mlir::Value outside, mlir::Type slice);
  mlir::BlockArgument stacked(mlir::Value tensor); ///< the same where it is one: without the loop's dim
  /// Brings a value of the body out, stacked; its number among the added results.
  unsigned yield(mlir::Value inside, mlir::Type whole);
  /// Puts the changed loop into the old one's place, which is erased; the old results are replaced by the new op's first ones.
  LayersOp finish();

private:
  LayersOp op;
  llvm::SmallVector<mlir::Value> newStacked, newShared, newYields;
  llvm::SmallVector<mlir::Type> newResults;
};

/// For a value of a variable, as a block knows it: `beside`, made from the variable's read, as that block knows it. Loops between them get it, stacked or
/// shared as they have the variable. Null where the value is no variable's.
mlir::Value bringBeside(mlir::Value variable, llvm::function_ref<mlir::Value(ReadOp)> beside);
/// The block's name for a value from outside of the loops that it lies in, stacked where it has a loop's dim; what a function's block knows already.
mlir::Value bringInto(mlir::Value outside, mlir::Block *);
/// A value of a loop's body as the function knows it, stacked over the turns of all loops around.
mlir::Value bringOut(mlir::Value inside, const Dims &);
/// What a loop's body knows under the name of this argument, if it is not carried: the operand outside, stacked or shared. Null of other values.
mlir::Value outsideOf(mlir::Value);
/// The same through all loops: what the function's block knows, as far as it is not carried.
mlir::Value outermost(mlir::Value);
/// The type of a slice stacked over a loop (its dim put in order; for a subset among `per`).
mlir::Type stackedType(const Dims &, mlir::Type slice, mlir::StringAttr loop);
/// Removes the operands that the body does not use.
LayersOp dropUnused(LayersOp);
/// Removes the stacked results that nobody uses.
LayersOp dropUnusedResults(LayersOp);

/// Loops take the parts in place of the whole, stacked or shared as they had it; `join` gives its users in a loop what is made of the parts there.
void bringParts(mlir::Value whole, mlir::ValueRange parts, llvm::function_ref<void(mlir::OpBuilder &, mlir::Value whole, mlir::ValueRange parts)> join);
/// Loops take the narrow value in place of the wide one, its fil.dequantize, which is made where it is read.
void bringNarrow(mlir::Value wide, mlir::Value narrow);

} // namespace fil::ir
