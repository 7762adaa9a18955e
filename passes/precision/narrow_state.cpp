// SPDX-License-Identifier: Apache-2.0
#include "ir/layers.h"
#include "passes/precision/passes.h"
#include "passes/precision/rounding.h"
#include "ir/streams.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_NARROWSTATEPASS
#include "passes/precision/passes.h.inc"
namespace {

struct NarrowStatePass : impl::NarrowStatePassBase<NarrowStatePass> {
  using NarrowStatePassBase::NarrowStatePassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    Dims table(module);
    Rounder made(module, table);
    dims = &table, rounder = &made;
    for (auto v : llvm::make_early_inc_range(module.getOps<VariableOp>())) {
      auto type = cast<ir::TensorType>(v.getType());
      if (!type.isReal()) continue;
      if (v.getKind() == VariableKind::optimizer) {
        if (auto f = formatFor(v.getSymName().rsplit('#').second, moments)) keepNarrow(v, *f);
      } else if (v.getKind() == VariableKind::param && v.getTrained() && !v.getAdapter() && master == "split") split(v); // files of adapters are f32
    }
  }

private:
  Dims *dims = nullptr;
  Rounder *rounder = nullptr;

  struct At { FuncOp f; SmallVector<ReadOp> reads; WriteOp write; };
  /// Where functions read and write it.
  SmallVector<At> uses(VariableOp v) {
    SmallVector<At> all;
    for (FuncOp f : getOperation().getOps<FuncOp>()) {
      At at{f, {}, {}};
      for (Operation &op : f.getBody().front()) {
        if (auto r = dyn_cast<ReadOp>(op); r && r.getVariable() == v.getSymName()) at.reads.push_back(r);
        if (auto w = dyn_cast<WriteOp>(op); w && w.getVariable() == v.getSymName()) at.write = w;
      }
      if (!at.reads.empty() || at.write) all.push_back(at);
    }
    return all;
  }
  BodyBuilder bodyAt(OpBuilder &b, VariableOp v) {
    BodyBuilder body(b, *dims, v.getLoc());
    body.site = v.getSite(), body.role = Role::update;
    return body;
  }

  void keepNarrow(VariableOp v, Format format) {
    auto type = cast<ir::TensorType>(v.getType());
    Rounding r{format};
    SmallVector<StringAttr> declared(strings(v.getDeclared()));
    if (r.scaled() && !declared.empty()) r.tile(*dims, declared.back(), keptTile);
    VariableOp scale;
    if (r.scaled()) {
      auto left = rounder->scaleDims(type.getDims(), r), axes = rounder->scaleDims(declared, r);
      scale = stateBeside(v, ".scale", dims->tensor(&getContext(), left, type.getElement()), axes, 0, VariableKind::optimizer);
    }
    v.setType(type.withElement(elementOf(&getContext(), format)));
    for (At &at : uses(v)) {
      QuantizeOp q;
      if (at.write) {
        OpBuilder b(at.write);
        BodyBuilder body = bodyAt(b, v);
        q = rounder->quantize(body, at.write.getValue(), r, random(at.f, body, v, type));
        at.write.getValueMutable().assign(q.getResult());
        if (scale) makeWrite(b, scale, q.getScale(), Role::update);
      }
      for (ReadOp old : at.reads) {
        OpBuilder b(old);
        BodyBuilder body = bodyAt(b, v);
        Value narrow = makeRead(b, v, Role::update), s = scale ? makeRead(b, scale, Role::update) : Value();
        assert(q && "who reads what the optimizer keeps writes it too");
        old.getResult().replaceAllUsesWith(Rounder::dequantize(body, q, narrow, s));
        old.erase();
      }
    }
  }
  /// Uniform numbers of the step and the element; null where there is no step, or the plan wants the nearest.
  Value random(FuncOp f, BodyBuilder &body, VariableOp v, ir::TensorType type) {
    if (nearest) return {};
    for (auto [i, a] : llvm::enumerate(f.getBody().front().getArguments()))
      if (f.inputName(unsigned(i)) == "step") {
        Value seed = ConstantOp::create(body.builder, body.loc, cast<ir::TensorType>(a.getType()), body.builder.getF64FloatAttr(0), v.getSiteAttr(), RoleAttr::get(body.builder.getContext(), Role::update));
        return randomFor(body, v, ".rounding", type, seed, a, false);
      }
    return {};
  }

  void split(VariableOp v) {
    auto type = cast<ir::TensorType>(v.getType());
    MLIRContext *ctx = &getContext();
    const ir::TensorType high = type.withElement(elementOf(ctx, Format::Bf16)), low = type.withElement(IntegerType::get(ctx, 16));
    VariableOp rest = stateBeside(v, "#low", low, strings(v.getDeclared()), 0, VariableKind::optimizer);
    v.setType(high);
    auto role = RoleAttr::get(ctx, Role::update);
    for (At &at : uses(v)) {
      if (at.write) {
        OpBuilder b(at.write);
        Value x = at.write.getValue();
        makeWrite(b, rest, PartOp::create(b, v.getLoc(), low, x, b.getUnitAttr(), v.getSiteAttr(), role), Role::update);
        at.write.getValueMutable().assign(PartOp::create(b, v.getLoc(), high, x, UnitAttr(), v.getSiteAttr(), role));
      }
      for (ReadOp old : at.reads) {
        OpBuilder b(old);
        Value part = ReadOp::create(b, old.getLoc(), high, old.getVariableAttr(), old.getSiteAttr(), old.getRoleAttr()), whole;
        auto wide = DequantizeOp::create(b, old.getLoc(), type, part, Value(), b.getArrayAttr({}), b.getDenseI64ArrayAttr({}), old.getSiteAttr(), old.getRoleAttr());
        bringNarrow(old.getResult(), part);
        for (OpOperand &use : llvm::make_early_inc_range(old.getResult().getUses())) {
          const bool update = roleOf(use.getOwner()) == Role::update;
          if (update && !whole) whole = JoinOp::create(b, v.getLoc(), type, part, makeRead(b, rest, Role::update), v.getSiteAttr(), role);
          use.set(update ? whole : wide.getResult());
        }
        old.erase();
      }
    }
  }
};
} // namespace
} // namespace fil::passes
