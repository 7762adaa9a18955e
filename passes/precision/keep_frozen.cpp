// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"
#include "passes/precision/passes.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_KEEPFROZENPASS
#include "passes/precision/passes.h.inc"
namespace {

/// A param that no entry but init writes, and that all its readers round to one 16-bit format is kept in it: the same bits, half the bytes.
struct KeepFrozenPass : impl::KeepFrozenPassBase<KeepFrozenPass> {
  void runOnOperation() override {
    llvm::StringMap<SmallVector<ReadOp>> reads;
    llvm::StringMap<SmallVector<WriteOp>> writes;
    getOperation().walk([&](Operation *op) {
      if (auto r = dyn_cast<ReadOp>(op)) reads[r.getVariable()].push_back(r);
      if (auto w = dyn_cast<WriteOp>(op)) writes[w.getVariable()].push_back(w);
    });
    for (auto v : getOperation().getOps<VariableOp>()) {
      if (v.getKind() != VariableKind::param || llvm::any_of(writes[v.getSymName()], [](WriteOp w) { return w->getParentOfType<FuncOp>().getEntry() != "init"; }) || !cast<ir::TensorType>(v.getType()).isReal() || reads[v.getSymName()].empty()) continue;
      Type narrow;
      auto fits = [&](Operation *user) {
        auto q = dyn_cast<QuantizeOp>(user);
        if (!q || q.getScale() || (narrow && q.getType() != narrow)) return false;
        narrow = q.getType();
        return true;
      };
      if (!llvm::all_of(reads[v.getSymName()], [&](ReadOp r) { return llvm::all_of(r->getUsers(), fits); }) || !narrow) continue;
      v.setType(narrow);
      for (ReadOp r : reads[v.getSymName()]) {
        SmallVector<Operation *> users(r->getUsers());
        r.getResult().setType(cast<ir::TensorType>(narrow));
        for (Operation *q : users) q->getResult(0).replaceAllUsesWith(r.getResult()), q->erase();
      }
      for (WriteOp w : writes[v.getSymName()]) {
        OpBuilder b(w);
        w.setOperand(QuantizeOp::create(b, w.getLoc(), narrow, w.getValue(), Value(), Value(), b.getArrayAttr({}), b.getDenseI64ArrayAttr({}), w.getSiteAttr(), w.getRoleAttr()));
      }
    }
  }
};
} // namespace
} // namespace fil::passes
