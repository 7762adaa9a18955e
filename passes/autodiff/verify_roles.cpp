// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"
#include "passes/autodiff/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_VERIFYROLESPASS
#include "passes/autodiff/passes.h.inc"
namespace {
/// forward and saved come first, then dgrad, wgrad, update.
int rank(Role r) { return r == Role::forward || r == Role::saved ? 0 : int(r); }

struct VerifyRolesPass : impl::VerifyRolesPassBase<VerifyRolesPass> {
  void runOnOperation() override {
    getOperation().walk([&](Operation *op) {
      auto role = roleOf(op);
      if (!role || isa<LayersOp>(op)) return;
      for (Value v : op->getOperands()) {
        Operation *from = v.getDefiningOp();
        auto before = from && !isa<LayersOp>(from) ? roleOf(from) : std::nullopt;
        if (!before || rank(*before) <= rank(*role)) continue;
        auto error = op->emitOpError("of role ") << stringifyRole(*role) << " uses a value of role " << stringifyRole(*before);
        error.attachNote(from->getLoc()) << "which comes from here";
        signalPassFailure();
      }
    });
  }
};
} // namespace
} // namespace fil::passes
