// SPDX-License-Identifier: Apache-2.0
#include "passes/analysis/work.h"
#include "passes/normalize/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_CONTRACTSUMSPASS
#include "passes/normalize/passes.h.inc"
namespace {

constexpr int64_t fewest = 16; ///< rows, or columns, that tiles are worth

int64_t elements(Value v, const Dims &dims) { return assumed(dims.elements(v.getType())); }
/// Of what elementwise functions make v.
int64_t elementsRead(Value v, const Dims &dims, bool last = true) {
  Operation *op = v.getDefiningOp();
  if (!isa_and_nonnull<MapOp, BroadcastOp, StopGradOp>(op) || (!last && !llvm::all_equal(v.getUsers()))) return elements(v, dims);
  int64_t n = 0;
  for (Value x : op->getOperands()) n += elementsRead(x, dims, false);
  return n;
}

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
      auto brings = [&](ir::TensorType t, ir::TensorType other) { // so many rows, or columns
        Size n(1);
        for (StringAttr d : t.getDims())
          if (!isSummed(d) && !other.has(d)) n = n * dims.value(d.getValue());
        return assumed(n);
      };
      auto isMade = [&](Value v) { return v.hasOneUse() && elements(v, dims) > elementsRead(v, dims) + elements(r, dims); };
      if (!x.isReal() || !y.isReal() || brings(x, y) < fewest || brings(y, x) < fewest || isMade(a) || isMade(b)) continue;
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
