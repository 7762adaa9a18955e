// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"
#include "passes/schedule/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_COMPAREINDICESPASS
#include "passes/schedule/passes.h.inc"
namespace {

struct CompareIndicesPass : impl::CompareIndicesPassBase<CompareIndicesPass> {
  void runOnOperation() override {
    Dims dims(getOperation());
    for (FuncOp f : getOperation().getOps<FuncOp>())
      f.walk([&](ScatterOp s) {
        if (addsOnce(s)) compare(s, dims);
      });
  }

  /// Has the result every dim of y and the index? Then at most one element of y is added to each of its points.
  static bool addsOnce(ScatterOp s) {
    auto result = cast<ir::TensorType>(s.getType());
    auto inside = [&](Value v) {
      auto t = dyn_cast<ir::TensorType>(v.getType());
      return t && llvm::all_of(t.getDims(), [&](StringAttr d) { return d != s.getDimAttr() && result.has(d); });
    };
    return inside(s.getY()) && inside(s.getIndex());
  }

  void compare(ScatterOp s, const Dims &dims) {
    OpBuilder b(s);
    BodyBuilder body(b, dims, s.getLoc());
    body.site = s.getSite(), body.role = s.getRole();
    auto result = cast<ir::TensorType>(s.getType());
    auto whole = cast<ir::TensorType>(s.getIndex().getType()).withElement(IntType::get(&getContext()));
    Value index = MapOp::create(b, s.getLoc(), whole, MapFnAttr::get(&getContext(), MapFn::cast), s.getIndex(), s.getSiteAttr(), s.getRoleAttr());
    Value here = body.map(MapFn::eq, {body.iota(s.getDim()), index});
    Value zero = ConstantOp::create(b, s.getLoc(), ir::TensorType::get(&getContext(), {}, result.getElement()), b.getF64FloatAttr(0), s.getSiteAttr(), s.getRoleAttr());
    s.replaceAllUsesWith(body.map(MapFn::select, {here, s.getY(), zero}));
    s.erase();
  }
};
} // namespace
} // namespace fil::passes
