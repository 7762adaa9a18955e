// SPDX-License-Identifier: Apache-2.0
// One walk backwards over a block: which values have an adjoint, where forward values can be had, what is added up.
#pragma once
#include "ir/layers.h"
#include "llvm/ADT/MapVector.h"

namespace fil::passes {

/// The values whose adjoint is wanted: those that depend on the roots by differentiable ways.
class Activity {
public:
  bool has(mlir::Value v) const { return active.contains(v); }
  bool insert(mlir::Value v) { return active.insert(v).second; }
  /// Marks what depends on active values, in this block and its loops; true if anything is new.
  bool propagate(mlir::Block &);

private:
  llvm::DenseSet<mlir::Value> active;
};

/// Where the reverse of a block finds that block's forward values.
class Scope {
public:
  virtual ~Scope() = default;
  virtual mlir::Value use(mlir::Value forward) = 0;
  virtual void renamed(mlir::Value from, mlir::Value to) {}
};

/// At a function's top level forward and reverse stand in one block.
class FunctionScope : public Scope {
public:
  mlir::Value use(mlir::Value forward) override;
};

/// The reverse of a loop is a loop of its own: operands of the forward loop become its operands too, other values are saved.
class LoopScope : public Scope {
public:
  LoopScope(ir::LayersOp loop, Scope &outer, mlir::Block &reverse) : loop(loop), outer(outer), reverse(reverse) {}
  mlir::Value use(mlir::Value forward) override;
  void renamed(mlir::Value from, mlir::Value to) override;

  struct Operand { mlir::Value outside; mlir::BlockArgument inside; };
  llvm::SmallVector<Operand> stacked, shared;
  struct Saved { mlir::Value value; mlir::BlockArgument inside; };
  llvm::SmallVector<Saved> saved;

private:
  ir::LayersOp loop;
  Scope &outer;
  mlir::Block &reverse;
  llvm::DenseMap<mlir::Value, mlir::Value> known;
  mlir::BlockArgument argument(mlir::Type type, mlir::Location loc) { return reverse.addArgument(type, loc); }
};

class Sweep : public ir::GradBuilder {
public:
  Sweep(mlir::OpBuilder &b, const ir::Dims &dims, mlir::Location loc, Scope &scope, Activity &activity, Sweep *parent)
      : GradBuilder(b, dims, loc), scope(scope), activity(activity), parent(parent) {}

  /// From `last` back to the start of its block. `seedsAux`: further losses met on the way are seeded.
  llvm::LogicalResult reverse(mlir::Operation *last, bool seedsAux);
  mlir::Value adjoint(mlir::Value v) const { return adjoints.lookup(v); }
  mlir::Value adjointOrZero(mlir::Value v);
  mlir::Value zero(mlir::Type);
  /// Values that are a variable's: what is added to them is a weight gradient.
  static bool isParam(mlir::Value);

  mlir::Value use(mlir::Value forward) override { return scope.use(forward); }
  bool wants(mlir::Value operand) const override { return activity.has(operand); }
  void add(mlir::Value operand, mlir::Value adjoint) override;
  llvm::LogicalResult reverseLayers(ir::LayersOp, mlir::ValueRange seeds) override;
  llvm::LogicalResult seedAux(ir::AuxOp) override;

private:
  Scope &scope;
  Activity &activity;
  Sweep *parent;
  bool seedsAux = false;
  llvm::DenseMap<mlir::Value, mlir::Value> adjoints;
  llvm::DenseSet<mlir::Value> paramAdjoints, otherAdjoints; ///< of variables; of what the walk comes to later
  void renamed(mlir::Value from, mlir::Value to);
  void markWgrad(mlir::Operation *before);
};

} // namespace fil::passes
