// SPDX-License-Identifier: Apache-2.0
// Operands of contractions: several dims as one direction, as memory with a stride or through the evaluator.
#pragma once
#include "codegen/cpu/evaluator.h"

namespace fil {

using Dimlist = llvm::SmallVector<mlir::StringAttr, 6>;

Size extents(const ir::Dims &, llvm::ArrayRef<mlir::StringAttr>);
/// As `like` has them; others behind.
Dimlist inOrder(llvm::ArrayRef<mlir::StringAttr>, llvm::ArrayRef<mlir::StringAttr> like);
/// The stride of several dims, outermost first, where they lie in memory as one.
std::optional<Size> joined(const ir::Dims &, llvm::ArrayRef<mlir::StringAttr>, llvm::function_ref<Size(mlir::StringAttr)> stride);

/// An operand as memory with one stride in each direction.
struct Plain {
  mlir::Value root;        ///< what stands in memory
  Size outer, sum;         ///< elements between neighbours of rows or columns, of summed ones
  llvm::SmallVector<Size> batch;
};
/// Of what `layout` knows, through renames; none if it knows nothing, or `outer` or `summed` do not lie as one.
std::optional<Plain> plainOf(const ir::Dims &, mlir::Value, llvm::function_ref<const Layout *(mlir::Value)> layout, llvm::ArrayRef<mlir::StringAttr> outer, llvm::ArrayRef<mlir::StringAttr> summed,
                             llvm::ArrayRef<mlir::StringAttr> batch);

/// A number as coordinates, the last dim fastest.
void digits(KernelBuilder &, llvm::Value *x, llvm::ArrayRef<mlir::StringAttr>, Point &to);
/// The numbers x, x + 1, .. of the lanes as coordinates; masked lanes are somewhere inside. `aligned`: x is a multiple of the lanes.
void laneDigits(KernelBuilder &, llvm::Value *x, bool aligned, llvm::ArrayRef<mlir::StringAttr>, llvm::Value *mask, Point &to);
/// Writes `value` along the dims from `first` on, `count` elements and zeros up to `width`.
void emitAlong(Evaluator &, const Point &, llvm::ArrayRef<mlir::StringAttr>, llvm::Value *first, bool aligned, llvm::Value *count, int64_t width, llvm::Value *to,
               llvm::function_ref<llvm::Value *(const Point &)> value);

/// What follows a contraction in its group, of `count` columns of a row from `first` on: their sums, one behind the other, or all 0 where there are none.
/// `aligned`: `first` is a multiple of the lanes; `whole`: `count` is.
void emitEpilogue(Evaluator &, ir::ContractOp, llvm::ArrayRef<Memory> results, const Point &row, llvm::ArrayRef<mlir::StringAttr> columns, llvm::Value *first, bool aligned, llvm::Value *count, bool whole,
                  llvm::Value *sums);

} // namespace fil
