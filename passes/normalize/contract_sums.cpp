// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"
#include "passes/normalize/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_CONTRACTSUMSPASS
#include "passes/normalize/passes.h.inc"
namespace {

struct ContractSumsPass : impl::ContractSumsPassBase<ContractSumsPass> {
  void runOnOperation() override {
    const Dims dims(getOperation());
    SmallVector<ReduceOp> sums;
    getOperation().walk([&](ReduceOp r) { sums.push_back(r); });
    for (ReduceOp r : sums) {
      auto product = r.getX().getDefiningOp<MapOp>();
      if (r.getFn() != ReduceFn::sum || !product || product.getFn() != MapFn::mul || !product->hasOneUse()) continue;
      Value a = product.getArgs()[0], b = product.getArgs()[1];
      auto x = cast<ir::TensorType>(a.getType()), y = cast<ir::TensorType>(b.getType());
      auto isSummed = [&](StringAttr d) { return llvm::is_contained(r.getOver(), d); };
      auto brings = [&](ir::TensorType t, ir::TensorType other) { return llvm::any_of(t.getDims(), [&](StringAttr d) { return !isSummed(d) && !other.has(d); }); };
      if (!x.isReal() || !y.isReal() || !brings(x, y) || !brings(y, x)) continue;
      if (!llvm::all_of(strings(r.getOver()), [&](StringAttr d) { return x.has(d) && y.has(d); })) continue;
      OpBuilder at(r);
      BodyBuilder body(at, dims, r.getLoc());
      body.site = siteOf(r), body.role = *roleOf(r);
      r.replaceAllUsesWith(body.contract(a, b, {}, cast<ir::TensorType>(r.getType())));
      r.erase();
      product.erase();
    }
  }
};
} // namespace
} // namespace fil::passes
