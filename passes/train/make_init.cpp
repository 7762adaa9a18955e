// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"
#include "passes/train/passes.h"
#include "ir/streams.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_MAKEINITPASS
#include "passes/train/passes.h.inc"
namespace {

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

    llvm::StringMap<Value> masks;
    for (auto v : module.getOps<VariableOp>()) {
      auto topology = v.getTopology();
      if (!topology) continue;
      BodyBuilder body(b, dims, v.getLoc());
      body.site = v.getSite(), body.role = Role::update;
      masks[v.getSymName()] = firstMask(body, v, *topology, seed, step);
    }
    for (auto v : module.getOps<VariableOp>()) {
      if (v.getKind() == VariableKind::cache) continue;
      BodyBuilder body(b, dims, v.getLoc());
      body.site = v.getSite(), body.role = Role::update;
      auto type = cast<ir::TensorType>(v.getType());
      InitAttr init = v.getInit();
      Value value = masks.lookup(v.getSymName());
      if (value) {
      } else if (init.getKind() == InitKind::constant) value = body.fit(type.isReal() ? body.constant(init.a()) : body.whole(int64_t(init.a())), type);
      else {
        const bool normal = init.getKind() == InitKind::normal;
        value = randomFor(body, v, "", type, seed, step, normal);
        double scale = normal ? init.b() : init.b() - init.a();
        value = body.mul(value, body.constant(scale));
        if (init.a() != 0) value = body.add(value, body.constant(init.a()));
      }
      if (v.getMask()) value = MaskOp::create(b, v.getLoc(), type, value, masks.lookup(*v.getMask()), granulesOf(v), DenseI64ArrayAttr(), UnitAttr(), UnitAttr(), v.getSiteAttr(), role);
      makeWrite(b, v, value, Role::update);
    }
    ReturnOp::create(b, f.getLoc(), ValueRange());
  }

  /// Random granules, as many as stay; all of what is pruned later.
  Value firstMask(BodyBuilder &body, VariableOp mask, TopologyAttr topology, Value seed, Value step) {
    MLIRContext *ctx = &getContext();
    OpBuilder &b = body.builder;
    auto type = cast<ir::TensorType>(mask.getType());
    auto site = mask.getSiteAttr();
    auto role = RoleAttr::get(ctx, body.role);
    if (topology.getMethod() == TopologyMethod::prune) {
      Value yes = ConstantOp::create(b, mask.getLoc(), ir::TensorType::get(ctx, {}, BoolType::get(ctx)), b.getF64FloatAttr(1), site, role);
      return body.fit(yes, type);
    }
    const auto over = maskDims(mask);
    Value count = body.whole(int64_t(topology.kept(granulesIn(mask, body.dims))));
    Value order = randomFor(body, mask, "", type.withElement(RealType::get(ctx)), seed, step, false);
    return body.highest(order, count, over);
  }
};
} // namespace
} // namespace fil::passes
