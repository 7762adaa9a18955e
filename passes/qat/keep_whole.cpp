// SPDX-License-Identifier: Apache-2.0
#include "ir/layers.h"
#include "passes/qat/passes.h"
#include "passes/qat/quantizer.h"
#include "llvm/ADT/StringSet.h"
#include <cmath>

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
  StringAttr dim, packed; ///< several numbers of `dim` have a byte along `packed`; null: each has one
  int64_t together = 1;
  int64_t bits() const { return 8 / together; } ///< that a number takes
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
      all.push_back({v, facet, {}, {}, {}, {}});
      used.insert(line);
    }
    for (Kept &x : all) prepare(x, dims), pack(x, dims);
    consumeLines<WholeAttr>(module, getArgument(), used);
    for (Kept &x : all)
      for (FuncOp f : module.getOps<FuncOp>()) {
        first(f, x, dims);
        read(f, x, dims);
      }
    for (Kept &x : all) store(x, dims), dropUnread(x);
  }

private:
  ir::TensorType narrow(Kept &x, const Dims &dims) {
    SmallVector<StringAttr> stored(cast<ir::TensorType>(x.map.getType()).getDims());
    if (x.packed) llvm::replace(stored, x.dim, x.packed);
    return dims.tensor(&getContext(), stored, elementOf(&getContext(), Format::Int8));
  }
  void store(Kept &x, const Dims &dims) {
    x.map.setType(narrow(x, dims));
    if (!x.packed) return;
    SmallVector<StringAttr> declared = strings(x.map.getDeclared());
    llvm::replace(declared, x.dim, x.packed);
    SmallVector<Attribute> axes(declared.begin(), declared.end());
    x.map.setDeclaredAttr(ArrayAttr::get(&getContext(), axes));
    x.map->setAttr("fil.together", Builder(&getContext()).getI64IntegerAttr(x.together));
  }
  /// What is multiplied by nothing has no scale of that.
  void dropUnread(Kept &x) {
    if (!x.inputScale) return;
    SmallVector<Operation *> writes;
    for (FuncOp f : getOperation().getOps<FuncOp>()) {
      for (ReadOp r : readsOf(f, x.inputScale)) {
        if (!r->use_empty()) return;
        writes.push_back(r);
      }
      for (auto w : f.getBody().front().getOps<WriteOp>())
        if (w.getVariable() == x.inputScale.getSymName()) writes.push_back(w);
    }
    for (Operation *op : writes) op->erase();
    x.inputScale.erase();
  }
  /// Numbers of few bits share bytes along the last dim of the left side, where its length allows.
  void pack(Kept &x, Dims &dims) {
    const MapSides sides = sidesOf(x.map);
    if (x.facet.getBits() > 4 || sides.left.empty()) return;
    const StringAttr dim = sides.left.back();
    auto length = dims.value(dim.getValue()).constant();
    for (int64_t n : {4, 2}) {
      if (8 / n < x.facet.getBits() || !length || length->num % n) continue;
      x.dim = dim, x.together = n;
      StringAttr &made = bytes[{dim, n}];
      if (!made) made = StringAttr::get(&getContext(), dims.add(getOperation(), (dim.getValue() + "/" + Twine(n) + ":bytes").str(), std::to_string(length->num / n), dim.getValue()));
      x.packed = made;
      return;
    }
  }
  llvm::DenseMap<std::pair<StringAttr, int64_t>, StringAttr> bytes;
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
      if (x.packed) numbers = inBytes(numbers, x, body, dims);
      numbers = QuantizeOp::create(b, w.getLoc(), narrow(x, dims), numbers, Value(), Value(), b.getArrayAttr({}), b.getDenseI64ArrayAttr({}), w.getSiteAttr(), w.getRoleAttr());
      makeWrite(b, x.map, numbers, Role::update), makeWrite(b, x.scale, scale, Role::update);
      if (x.inputScale) makeWrite(b, x.inputScale, body.fit(body.constant(16 / std::ldexp(1.0, int(x.facet.getActs()))), cast<ir::TensorType>(x.inputScale.getType())), Role::update); // values up to 8, until a file says more
      w.erase();
    }
  }
  /// The bytes of such numbers: without sign, times what their place counts, and with the sign of the whole byte.
  Value inBytes(Value numbers, Kept &x, BodyBuilder &body, Dims &dims) {
    const StringAttr inside = StringAttr::get(&getContext(), dims.named(getOperation(), x.packed.getValue().str() + "%", Size(x.together)));
    auto wrapped = [&](Value v, double from, double by) { return body.select(body.map(MapFn::ge, {v, body.constant(from)}), body.sub(v, body.constant(by)), v); };
    const double whole = std::ldexp(1.0, int(x.bits()));
    Value v = body.cut(numbers, x.dim, x.packed, inside, x.together), zero = body.constant(0);
    v = body.select(body.map(MapFn::lt, {v, zero}), body.add(v, body.constant(whole)), v);
    Value count = body.constant(1), place = body.map(MapFn::cast, {body.iota(inside.getValue())});
    for (int64_t i = 1; i < x.together; ++i) count = body.select(body.map(MapFn::ge, {place, body.constant(double(i))}), body.constant(std::pow(whole, double(i))), count);
    return wrapped(body.reduce(ReduceFn::sum, body.mul(v, count), {inside}), 128, 256);
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
      Value numbers = ReadOp::create(b, r.getLoc(), narrow(x, dims), r.getVariableAttr(), r.getSiteAttr(), r.getRoleAttr());
      if (!x.packed) {
        Value wide = DequantizeOp::create(b, r.getLoc(), r.getType(), numbers, Value(), b.getArrayAttr({}), b.getDenseI64ArrayAttr({}), r.getSiteAttr(), r.getRoleAttr());
        bringNarrow(r.getResult(), numbers);
        r.getResult().replaceAllUsesWith(wide);
      } else {
        auto unpack = [&](OpBuilder &b, Value whole, ValueRange bytes) {
          whole.replaceAllUsesWith(UnpackOp::create(b, whole.getLoc(), whole.getType(), bytes[0], x.dim, x.packed, b.getI64IntegerAttr(x.bits()), x.map.getSiteAttr(), RoleAttr::get(&getContext(), Role::forward)));
        };
        bringParts(r.getResult(), numbers, unpack);
        if (!r->use_empty()) unpack(b, r.getResult(), numbers);
      }
      r.erase();
    }
  }
};
} // namespace
} // namespace fil::passes
