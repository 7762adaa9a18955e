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
/// The rows of a subset's members, 0 where there is no member; null of other values.
GatherOp membersRows(mlir::Value);
/// How the plan has subsets executed: a #fil.gather or #fil.grouped of the site that chose, made part of the program or not yet.
class SubsetLines {
public:
  explicit SubsetLines(mlir::ModuleOp);
  struct Line { SiteOp site; mlir::Attribute facet; };
  /// Found by the name of the members, which is each choice's own; no facet where the plan says nothing.
  Line of(mlir::Value subset) const { return of(mlir::cast<SubsetType>(subset.getType())); }
  Line of(SubsetType) const;

private:
  llvm::DenseMap<mlir::StringAttr, Line> byMembers;
};
/// Of a product that is to gather members: so many at a time at most, 0 as many as the compiler takes. None of others.
std::optional<int64_t> gathers(ContractOp);
void setGathers(ContractOp, int64_t members);
/// Would such a product run by register tiles, each of which gathers for itself?
bool gathersInTiles(ContractOp, const Dims &);
/// And take several members at a time? Else each is a product of its own.
bool gathersSeveral(ContractOp, const Dims &);
/// A product that gathers, whose points have few rows each: the vectors at the members are multiplied or added to one by one. None of others.
struct MemberVectors {
  enum Form {
    Dots, ///< one sum along the vector for each member
    Sums, ///< of the members' vectors
    Adds, ///< something of each point to the members' vectors
  } form;
  unsigned operand;                              ///< that has the vectors, or of Adds what is added
  llvm::SmallVector<mlir::StringAttr> along;     ///< the dims of a vector: summed, or the result's columns
  llvm::SmallVector<mlir::StringAttr> outer;     ///< other dims of the result
  llvm::SmallVector<mlir::StringAttr> walked;    ///< Adds: the points that are summed
};
std::optional<MemberVectors> vectorsOfMembers(ContractOp, const Dims &);

/// A contraction that leaves out what a mask leaves out, granule by granule.
struct Skip {
  MaskOp mask;
  int masked;              ///< 0 or 1: that operand, 2: the result
  int64_t columns, length; ///< neighbours that are masked alike: along the columns; along the sum, of a masked result along the rows
};
/// The break-even: where a larger share is there, dense tiles are faster. Measured in steps of 512 x 2048 x 8192 with granules of 16x16, against the dense step: a
/// share of 0.9 takes 1.04 of its time with 16 lanes and 1.19 with 8, 0.75 takes 0.88 and 1.00, 0.5 takes 0.65 and 0.67, 0.2 takes 0.36 and 0.33.
constexpr double skipsUpTo = 0.7;
/// None where granules are too narrow for vectors, or so few are left out that dense tiles are faster. The columns are those of the result's last dim.
std::optional<Skip> skips(ContractOp, const Dims &);
/// The same for a kernel that has its dims in another order: last of the columns, of the sum or the rows. `columnsOperand`: 0 or 1.
std::optional<Skip> skips(ContractOp, const Dims &, int columnsOperand, mlir::StringAttr column, mlir::StringAttr summed, mlir::StringAttr row);
/// The mask behind a product by which a gate leaves out of it, where nobody else reads the product; null if there is none.
MaskOp gateBehind(mlir::Operation *product);
/// What a mask that leaves out zeros alone is a view of; others as they are.
mlir::Value withoutZeros(mlir::Value);
/// What a kernel of few rows leaves out: what masks leave out that are chosen in each row.
struct RowSkip {
  MaskOp columns, sum;       ///< of the result; of the operand that has the rows. Null: none
  bool ofSamples = false;    ///< then kernels of all numbers of rows do
  int64_t width = 0, length = 0; ///< neighbours that are masked alike, along the columns and along the sum
  bool narrow() const { return columns && width % 16; } ///< columns are read one by one, so the right side lies column by column
  /// Of the multiplications, at most so many are left.
  double share() const;
};
/// What all rows of a sample leave out together, where masks are chosen for samples: those dims of the rows that the masks depend on. Products of any number of rows do.
struct SampleSkip {
  MaskOp result, sum;                      ///< the one behind the product, of its other side; of the operand that has the samples. Null: none
  llvm::SmallVector<mlir::StringAttr> dims; ///< of the samples
  int64_t steps = 0;                       ///< neighbours along the sum that are masked alike, or a part of them that is read in a turn
  int64_t neighbours = 0;                  ///< the same of the result's masked side
  bool columns = false;                    ///< that side has the result's last dim
  double share() const;
  /// Leaves what is too narrow for kernels, whose dims lie in this order.
  void setOrder(const Dims &, llvm::ArrayRef<mlir::StringAttr> masked, llvm::ArrayRef<mlir::StringAttr> summed);
};
std::optional<SampleSkip> skipsInSamples(ContractOp, const Dims &);
/// `columnsOperand`: 0 or 1, the one that has the columns; last of the columns and of the sum.
std::optional<RowSkip> skipsInRows(ContractOp, const Dims &, int columnsOperand, mlir::StringAttr column, mlir::StringAttr summed);
std::optional<RowSkip> skipsInRows(ContractOp, const Dims &); ///< or in samples; none where a mask of the weight says what is left out
/// The param whose values these are, through renames, masks and loops; null if it is none. What narrower formats make of it is the param too.
VariableOp paramOf(mlir::Value);
/// The tensor as it is when read through those of the subsets that select from its dims, and these subsets.
TensorType readThrough(TensorType, mlir::ValueRange subsets, const Dims &);
llvm::SmallVector<mlir::Value> subsetsOf(TensorType, mlir::ValueRange subsets);
/// Where a product sums `side` of a map, which it reads through subsets perhaps: x with the map's factor `near: side -> rank` instead. The product of that
/// with the other factor, through those of the subsets that it meets, is as large as the product.
mlir::Value innerProduct(ContractOp product, mlir::Value x, mlir::Value near, llvm::ArrayRef<mlir::StringAttr> side, BodyBuilder &);
/// Does the product sum all of one side of a map and leave the other, so that factors can stand in the map's place?
bool factorable(ContractOp product, llvm::ArrayRef<mlir::StringAttr> summed, llvm::ArrayRef<mlir::StringAttr> left);

/// Are rows, columns and sum long enough for register tiles?
bool worthTiles(const ContractionDims &, const Dims &);
/// Are variables that an entry does not write the same from call to call? Not of `grad`: who asks for gradients is about to change all params.
bool packsOnce(llvm::StringRef entry);
/// Is it the same from call to call of the entry: a variable, or made of variables before all loops?
bool staysAsItIs(mlir::Value, FuncOp);
/// Of few rows: is the other operand a large variable that stays as it is? Packed once, it serves all calls.
bool worthPacking(ContractOp, const Dims &);

} // namespace fil::ir
