// SPDX-License-Identifier: Apache-2.0
// Values of a group at a point: what is not kept is computed where it is used, through views, gathers and windows, for one element or for
// a vector of them. An op computes an element from elements at positions that follow from its own; so views cost index arithmetic only.
#pragma once
#include "codegen/cpu/group_kernel.h"
#include "llvm/ADT/SmallVector.h"

namespace fil {

/// A position along each dim, and the lanes that count (null: all).
struct Point {
  llvm::SmallVector<std::pair<mlir::StringAttr, Index>, 8> at;
  llvm::Value *mask = nullptr;
  int64_t together = 0; ///< lanes lie in one of so many neighbours, counted from 0 on; 0: not known

  Index operator()(mlir::StringAttr d) const {
    for (auto &[name, index] : at)
      if (name == d) return index;
    llvm_unreachable("the point has no position along this dim");
  }
  bool has(mlir::StringAttr d) const {
    return llvm::any_of(at, [&](auto &a) { return a.first == d; });
  }
  void set(mlir::StringAttr d, const Index &i) {
    for (auto &[name, index] : at)
      if (name == d) return void(index = i);
    at.push_back({d, i});
  }
  /// To another place: what was known of where the lanes lie holds no more.
  void move(mlir::StringAttr d, const Index &i) {
    set(d, i);
    if (!i.uniform()) together = 0;
  }
};

class Evaluator {
public:
  Evaluator(KernelBuilder &k, ir::GroupOp group, llvm::ArrayRef<Memory> inputs);
  KernelBuilder &k;
  ir::GroupOp group;

  /// The value at a point that has a position along each of its dims.
  llvm::Value *value(mlir::Value, const Point &);
  /// lhs * rhs of a contraction at a point of its iteration.
  llvm::Value *product(ir::ContractOp, const Point &);
  /// One side alone (0: lhs, 1: rhs); 0 where a member does not exist.
  llvm::Value *side(ir::ContractOp, int which, const Point &);
  /// y of an unwindow where it adds to the result's point; the point has positions along the window dims too.
  llvm::Value *windowed(ir::UnwindowOp, const Point &);
  /// Position along the indexed dim, and whether it exists (null: always).
  std::pair<Index, llvm::Value *> position(mlir::Value index, const Point &);

  /// Is the point's granule there?
  llvm::Value *inMask(ir::MaskOp, const Point &);
  /// A value that has one element for each tile, at the point's own: pairs of a dim and the one that counts its tiles, and how long these are.
  llvm::Value *ofTile(mlir::Value, llvm::ArrayRef<mlir::StringAttr> pairs, llvm::ArrayRef<int64_t> lengths, const Point &);

  /// A kept op's result from now on: in memory, or in a register for the row at hand.
  void reside(mlir::Value, const Memory &);
  void reside(mlir::Value, llvm::Value *);
  /// Null where it is none.
  const Memory *memory(mlir::Value v) const {
    auto it = residences.find(v);
    return it == residences.end() || it->second.value ? nullptr : &it->second.memory;
  }
  /// Known within the innermost scope at this very point.
  void remember(mlir::Value, const Point &, llvm::Value *);
  /// Values computed inside are forgotten at the end: their code does not dominate what follows.
  template <class F> void scope(F f) {
    known.emplace_back();
    f();
    known.pop_back();
  }

private:
  struct Residence { Memory memory; llvm::Value *value = nullptr; };
  llvm::DenseMap<mlir::Value, Residence> residences;
  using Key = std::vector<const void *>;
  std::vector<std::map<Key, llvm::Value *>> known;

  Key key(mlir::Value, const Point &);
  llvm::Value *compute(mlir::Operation *, const Point &);
  llvm::Value *random(ir::RandomOp, const Point &);
  llvm::Value *expanded(ir::ExpandOp, const Point &);
  llvm::Value *compressed(ir::CompressOp, const Point &);
  llvm::Value *bitsOf(mlir::Value pattern, const Point &);
  std::pair<llvm::Value *, llvm::Value *> slotOfBit(llvm::Value *bits, llvm::Value *position);
  llvm::SmallVector<int64_t> lengthsOf(llvm::ArrayRef<mlir::StringAttr> pairs);
  /// Of 32-bit numbers.
  Index spread(llvm::Value *);
  llvm::Value *choose(llvm::Value *condition, llvm::Value *x, llvm::Value *y);
  /// `then` where the condition holds (null: everywhere), else 0; positions are made safe where it does not.
  llvm::Value *guarded(llvm::Value *condition, Point, llvm::ArrayRef<mlir::StringAttr> moved, llvm::function_ref<llvm::Value *(const Point &)> then);
  llvm::Value *zero(llvm::Value *like) { return llvm::Constant::getNullValue(like->getType()); }
  Index add(const Index &, const Index &);
};

/// Where a kernel's inputs or results stand: `number` counts the buffers before them and is moved on.
Memory memoryOf(KernelBuilder &, mlir::Type, const Layout &layout, const Layout &countLayout, int &number, bool constant);
std::vector<Memory> inputsOf(KernelBuilder &, ir::GroupOp, const GroupPlacement &, int &number);

} // namespace fil
