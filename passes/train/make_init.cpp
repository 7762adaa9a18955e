// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"
#include "passes/train/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_MAKEINITPASS
#include "passes/train/passes.h.inc"
namespace {

/// The first turn of each `[lo..hi]` in a site's path.
SmallVector<int64_t> firstTurns(StringRef site) {
  SmallVector<int64_t> all;
  while (true) {
    auto [head, tail] = site.split('[');
    if (tail.empty()) return all;
    int64_t lo = 0;
    auto [range, rest] = tail.split(']');
    if (range.contains("..") && !range.split("..").first.getAsInteger(10, lo)) all.push_back(lo);
    site = rest;
  }
}

struct MakeInitPass : impl::MakeInitPassBase<MakeInitPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    MLIRContext *ctx = &getContext();
    Dims dims(module);
    auto scalarInt = ir::TensorType::get(ctx, {}, IntType::get(ctx));
    OpBuilder b(ctx);
    auto name = b.getDictionaryAttr(b.getNamedAttr("fil.name", b.getStringAttr("seed")));
    b.setInsertionPointToEnd(module.getBody());
    auto f = FuncOp::create(b, module.getLoc(), b.getStringAttr("init"), TypeAttr::get(b.getFunctionType({scalarInt}, {})), b.getStringAttr("init"), b.getArrayAttr(name), b.getArrayAttr({}));
    Block *block = &f.getBody().emplaceBlock();
    Value seed = block->addArgument(scalarInt, f.getLoc());
    b.setInsertionPointToEnd(block);
    auto role = RoleAttr::get(ctx, Role::update);
    Value step = ConstantOp::create(b, f.getLoc(), scalarInt, b.getF64FloatAttr(0), b.getStringAttr(""), role);

    for (auto v : module.getOps<VariableOp>()) {
      if (v.getKind() == VariableKind::cache) continue;
      BodyBuilder body(b, dims, v.getLoc());
      body.site = v.getSite(), body.role = Role::update;
      auto type = cast<ir::TensorType>(v.getType());
      InitAttr init = v.getInit();
      Value value;
      if (init.getKind() == InitKind::constant) value = body.fit(body.constant(init.a()), type);
      else {
        SmallVector<Value> turns;
        for (auto [d, lo] : llvm::zip_equal(strings(v.getLoops()), firstTurns(v.getSite()))) {
          Value first = ConstantOp::create(b, v.getLoc(), scalarInt, b.getF64FloatAttr(double(lo)), v.getSiteAttr(), role);
          turns.push_back(body.add(body.iota(d), first));
        }
        const bool normal = init.getKind() == InitKind::normal;
        value = RandomOp::create(b, v.getLoc(), type, seed, step, turns, v.getSiteAttr(), normal ? b.getUnitAttr() : UnitAttr(), v.getSiteAttr(), role);
        double scale = normal ? init.b() : init.b() - init.a();
        value = body.mul(value, body.constant(scale));
        if (init.a() != 0) value = body.add(value, body.constant(init.a()));
      }
      WriteOp::create(b, v.getLoc(), FlatSymbolRefAttr::get(v.getSymNameAttr()), value, v.getSiteAttr(), role);
    }
    ReturnOp::create(b, f.getLoc(), ValueRange());
  }
};
} // namespace
} // namespace fil::passes
