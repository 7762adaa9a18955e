// SPDX-License-Identifier: Apache-2.0
#include "ir/layers.h"
#include "passes/normalize/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_HOISTINVARIANTSPASS
#include "passes/normalize/passes.h.inc"
namespace {

/// Finds and moves what does not change from turn to turn.
class Hoister {
public:
  void loop(LayersOp loop) {
    for (auto inner : llvm::to_vector(loop.block().getOps<LayersOp>())) this->loop(inner);
    llvm::DenseMap<Value, Value> outside; // of invariant values; null until it is needed there
    for (auto [a, v] : llvm::zip(loop.sharedArgs(), loop.getShared())) outside[a] = v;
    SmallVector<Operation *> invariant;
    for (Operation &op : loop.block().without_terminator())
      if (op.getNumRegions() == 0 && isPure(&op) && !isa<CacheOp>(op) && llvm::all_of(op.getOperands(), [&](Value v) { return outside.count(v); })) {
        for (Value r : op.getResults()) outside[r] = {};
        invariant.push_back(&op);
      }
    LayersEdit edit(loop);
    OpBuilder b(loop);
    bool changed = false;
    for (Operation *op : invariant) {
      auto type = dyn_cast<ir::TensorType>(op->getResult(0).getType());
      const bool worth = op->getNumOperands() && type && type.isReal() && !type.getDims().empty() && !isa<BroadcastOp, RenameOp, SliceOp>(op);
      const bool leaves = llvm::any_of(op->getUsers(), [&](Operation *u) { return !llvm::is_contained(invariant, u); });
      if (!worth || !leaves) continue;
      Value before = copy(op, outside, b);
      BlockArgument inside = edit.shared(before);
      op->getResult(0).replaceAllUsesWith(inside);
      outside[inside] = before; // later invariant ops use it
      changed = true;
    }
    if (changed) edit.finish();
  }

private:
  Value copy(Operation *op, llvm::DenseMap<Value, Value> &outside, OpBuilder &b) {
    if (Value here = outside.lookup(op->getResult(0))) return here;
    IRMapping map;
    for (Value v : op->getOperands()) {
      Value o = outside.lookup(v);
      map.map(v, o ? o : copy(v.getDefiningOp(), outside, b));
    }
    return outside[op->getResult(0)] = b.clone(*op, map)->getResult(0);
  }
};

struct HoistInvariantsPass : impl::HoistInvariantsPassBase<HoistInvariantsPass> {
  void runOnOperation() override {
    Hoister h;
    for (FuncOp f : getOperation().getOps<FuncOp>())
      for (auto loop : llvm::to_vector(f.getBody().front().getOps<LayersOp>())) h.loop(loop);
  }
};
} // namespace
} // namespace fil::passes
