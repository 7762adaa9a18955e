// SPDX-License-Identifier: Apache-2.0
// Values of a program while it is walked, and the walk over a block.
#pragma once
#include "ir/ir.h"
#include "runtime/exec/binding.h"

namespace fil {

/// Elements in the order of the type's dims; a subset's positions, [per.., members], with its counts [per..].
struct Cell {
  std::vector<int64_t> sizes;
  std::shared_ptr<std::vector<double>> data, counts;
  double &operator[](size_t i) { return (*data)[i]; }
};
Cell makeCell(std::vector<int64_t> sizes);
int64_t product(const std::vector<int64_t> &);

/// A dim of a slice: part of `whole` with `dim` fixed at `at`.
Cell slice(const Cell &whole, size_t dim, int64_t at);
void unslice(Cell &whole, size_t dim, int64_t at, const Cell &part);

class Walker {
public:
  using Values = llvm::DenseMap<mlir::Value, Cell>;
  Walker(const ir::Dims &dims, const Binding &bound, const std::map<std::string, Cell> &variables) : dims(dims), bound(bound), variables(variables) {}
  void block(mlir::Block &, Values &);
  int64_t size(llvm::StringRef dim);
  std::vector<int64_t> sizes(llvm::ArrayRef<mlir::StringAttr>);
  std::map<std::string, Cell> written; ///< by variable

private:
  const ir::Dims &dims;
  const Binding &bound;
  const std::map<std::string, Cell> &variables;
  llvm::StringMap<int64_t> known;

  Cell op(mlir::Operation *, Values &);
  void layers(ir::LayersOp, Values &);
  Cell map(ir::MapOp, Values &);
  Cell reduce(ir::ReduceOp, Values &);
  Cell contract(ir::ContractOp, Values &);
  Cell gather(ir::GatherOp, Values &);
  Cell scatter(ir::ScatterOp, Values &);
  Cell topk(ir::TopKOp, Values &);
  Cell highest(ir::HighestOp, Values &);
  Cell mask(ir::MaskOp, Values &);
  template <class Op> Cell thinned(Op, mlir::Value whole, mlir::Value part, Values &);
  /// At each point of x the scale of its tile; 1 where there is none.
  template <class Op> Cell scales(Op, Values &);
  Cell window(ir::WindowOp, Values &);
  Cell unwindow(ir::UnwindowOp, Values &);
  Cell concat(ir::ConcatOp, Values &);
  Cell slices(mlir::Value whole, mlir::Value part, llvm::StringRef dim, llvm::StringRef from, Values &, bool back);
  Cell random(ir::RandomOp, Values &);
  Cell cache(ir::CacheOp, Values &);

  /// Strides of a tensor along the dims of a space (0 where it lacks one).
  std::vector<int64_t> strides(llvm::ArrayRef<mlir::StringAttr> space, llvm::ArrayRef<mlir::StringAttr> dims);
  int64_t stride(llvm::ArrayRef<mlir::StringAttr> dims, mlir::StringAttr of);
  int64_t number(llvm::StringRef formula);
};

} // namespace fil
