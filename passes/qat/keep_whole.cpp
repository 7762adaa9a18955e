// SPDX-License-Identifier: Apache-2.0
#include "ir/layers.h"
#include "passes/qat/passes.h"
#include "passes/qat/quantizer.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_KEEPWHOLEPASS
#include "passes/qat/passes.h.inc"
namespace {

struct Kept {
  VariableOp map;
  WholeAttr facet;
  VariableOp scale, inputScale;
};

struct KeepWholePass : impl::KeepWholePassBase<KeepWholePass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (linesOf<WholeAttr>(module).empty()) return;
    Dims dims(module);
    llvm::StringSet<> written; // by an entry that computes, as `step` does
    module.walk([&](WriteOp w) {
      if (w->getParentOfType<FuncOp>().getEntry() != "init") written.insert(w.getVariable());
    });
    std::vector<Kept> all;
    llvm::DenseSet<Operation *> used;
    for (auto v : llvm::make_early_inc_range(module.getOps<VariableOp>())) {
      auto [line, facet] = lineOf<WholeAttr>(v);
      if (!facet) continue;
      if (written.contains(v.getSymName())) {
        emitError(placeOf(line, facet)) << "P0453: `" << v.getSite() << "` is trained, and the plan keeps it as whole numbers";
        return signalPassFailure();
      }
      all.push_back({v, facet, {}, {}});
      used.insert(line);
    }
    for (Kept &x : all) prepare(x, dims);
    consumeLines<WholeAttr>(module, getArgument(), used);
    for (Kept &x : all)
      for (FuncOp f : module.getOps<FuncOp>()) {
        first(f, x, dims);
        read(f, x, dims);
      }
    for (Kept &x : all) x.map.setType(narrow(x));
  }

private:
  ir::TensorType narrow(Kept &x) { return cast<ir::TensorType>(x.map.getType()).withElement(elementOf(&getContext(), Format::Int8)); }
  void prepare(Kept &x, const Dims &dims) {
    MLIRContext *ctx = &getContext();
    const MapSides sides = sidesOf(x.map);
    const SmallVector<StringAttr> right = x.facet.getPer() == ScalesPer::channel ? sides.right : SmallVector<StringAttr>();
    const auto none = InitAttr::get(ctx, InitKind::constant, 0.0, 0.0);
    x.scale = paramBeside(x.map, "scale", sides.families, {}, right, none, dims, x.map);
    if (x.facet.getActs()) x.inputScale = paramBeside(x.map, "in_scale", {}, {}, {}, none, dims, x.scale);
    for (VariableOp v : {x.scale, x.inputScale})
      if (v) v.setTrained(false), v->setAttr("fil.scale", UnitAttr::get(ctx));
    x.map->setAttr("fil.bits", Builder(ctx).getI64IntegerAttr(x.facet.getBits()));
  }

  /// First values: the largest magnitude of a scale's elements is the largest number.
  void first(FuncOp f, Kept &x, Dims &dims) {
    for (auto w : llvm::make_early_inc_range(f.getBody().front().getOps<WriteOp>())) {
      if (w.getVariable() != x.map.getSymName()) continue;
      OpBuilder b(w);
      BodyBuilder body(b, dims, w.getLoc());
      body.site = siteOf(x.map), body.role = Role::update;
      SmallVector<StringAttr> over;
      for (StringAttr d : cast<ir::TensorType>(x.map.getType()).getDims())
        if (!cast<ir::TensorType>(x.scale.getType()).has(d)) over.push_back(d);
      Value most = body.reduce(ReduceFn::max, body.map(MapFn::abs, {w.getValue()}), over), one = body.constant(1);
      Value scale = body.select(body.map(MapFn::gt, {most, body.constant(0)}), body.mul(most, body.constant(1 / WholeRange(x.facet.getBits()).high)), one);
      Value numbers = roundedBy(w.getValue(), scale, x.facet.getBits(), body).numbers;
      numbers = QuantizeOp::create(b, w.getLoc(), narrow(x), numbers, Value(), Value(), b.getArrayAttr({}), b.getDenseI64ArrayAttr({}), w.getSiteAttr(), w.getRoleAttr());
      makeWrite(b, x.map, numbers, Role::update), makeWrite(b, x.scale, scale, Role::update);
      if (x.inputScale) makeWrite(b, x.inputScale, body.fit(body.constant(0), cast<ir::TensorType>(x.inputScale.getType())), Role::update);
      w.erase();
    }
  }
  void read(FuncOp f, Kept &x, Dims &dims) {
    for (ReadOp r : readsOf(f, x.map)) {
      SmallVector<Operation *> users(r->getUsers());
      OpBuilder b(r);
      b.setInsertionPointAfter(r);
      Value inputScale = x.inputScale ? makeRead(b, x.inputScale, Role::forward) : Value();
      Quantizer quantizer{x.map, dims, makeRead(b, x.scale, Role::forward), 0, x.facet.getActs(), false, {}};
      quantizer.inputScale = [&](Value, ContractOp, Value weight, BodyBuilder &) { return bringBeside(weight, [&](ReadOp) { return inputScale; }); };
      quantizer.quantize(r.getResult(), users);
      b.setInsertionPoint(r);
      Value numbers = ReadOp::create(b, r.getLoc(), narrow(x), r.getVariableAttr(), r.getSiteAttr(), r.getRoleAttr());
      Value wide = DequantizeOp::create(b, r.getLoc(), r.getType(), numbers, Value(), b.getArrayAttr({}), b.getDenseI64ArrayAttr({}), r.getSiteAttr(), r.getRoleAttr());
      bringNarrow(r.getResult(), numbers);
      r.getResult().replaceAllUsesWith(wide);
      r.erase();
    }
  }
};
} // namespace
} // namespace fil::passes
