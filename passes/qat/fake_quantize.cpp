// SPDX-License-Identifier: Apache-2.0
#include "ir/layers.h"
#include "passes/qat/passes.h"
#include "passes/qat/quantizer.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_FAKEQUANTIZEPASS
#include "passes/qat/passes.h.inc"
namespace {

/// Its first value, and what is learned.
struct Scale {
  VariableOp first, gain;
};
/// Scales are null of a map that is not trained: its own is what suits it, those of its inputs what suits each row.
struct Quantized {
  VariableOp map;
  QatAttr facet;
  bool ofSum;
  Scale weight, input;
};

/// The best step for normally distributed numbers (Max 1960, table 2), in means of their magnitudes, which are sqrt(2/pi) deviations.
double bestStep(int64_t bits) {
  const double deviations = bits == 2 ? 0.9957 : bits == 3 ? 0.5860 : bits == 4 ? 0.3352 : 0.0308;
  return deviations * 1.2533;
}

struct FakeQuantizePass : impl::FakeQuantizePassBase<FakeQuantizePass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (linesOf<QatAttr>(module).empty()) return;
    Dims table(module);
    dims = &table;
    std::vector<Quantized> all;
    llvm::DenseSet<Operation *> used;
    for (auto v : llvm::make_early_inc_range(module.getOps<VariableOp>()))
      if (auto [site, facet] = lineOf<QatAttr>(v); facet) all.push_back(prepare(v, facet)), used.insert(site);
    consumeLines<QatAttr>(module, getArgument(), used);
    for (Quantized &q : all)
      for (FuncOp f : module.getOps<FuncOp>())
        if (!f.getEntry().empty()) quantize(f, q);
  }

private:
  Dims *dims = nullptr;

  Quantized prepare(VariableOp v, QatAttr facet) {
    Quantized q{v, facet, false, {}, {}};
    for (SiteOp site : getOperation().getOps<SiteOp>())
      if (site.getPath() == v.getSite()) q.ofSum |= mergesMasked(site);
    if (!v.getTrained()) return q;
    v->setAttr("fil.qat_bits", Builder(&getContext()).getI64IntegerAttr(facet.getBits()));
    const MapSides sides = sidesOf(v);
    q.weight = addScale(v, "qat_scale", "qat_gain", sides.families, right(q), v);
    if (facet.getActs()) q.input = addScale(v, "qat_in_scale", "qat_in_gain", {}, {}, q.weight.gain);
    return q;
  }
  Scale addScale(VariableOp map, StringRef first, StringRef gain, ArrayRef<StringAttr> families, ArrayRef<StringAttr> right, VariableOp after) {
    const auto zero = InitAttr::get(&getContext(), InitKind::constant, 0.0, 0.0);
    Scale s;
    s.first = paramBeside(map, first, families, {}, right, zero, *dims, after);
    s.first.setKind(VariableKind::state), s.first.setTrained(false), s.first.removeOptimizerAttr();
    s.gain = paramBeside(map, gain, families, {}, right, zero, *dims, s.first);
    for (VariableOp v : {s.first, s.gain}) v->setAttr("fil.scale", UnitAttr::get(&getContext()));
    return s;
  }
  /// Dims of the right side that the map's scales have.
  static SmallVector<StringAttr> right(const Quantized &q) { return q.facet.getPer() == ScalesPer::channel ? sidesOf(q.map).right : SmallVector<StringAttr>(); }

  BodyBuilder bodyAt(OpBuilder &b, const Quantized &q, Location loc) {
    BodyBuilder body(b, *dims, loc);
    body.site = siteOf(q.map);
    return body;
  }
  /// A first value, 0 where it is not found yet.
  void keep(VariableOp v, Value x, FuncOp f) {
    OpBuilder b(f.getBody().front().getTerminator());
    BodyBuilder body(b, *dims, v.getLoc());
    body.site = siteOf(v);
    makeWrite(b, v, body.map(MapFn::max, {x, body.constant(0)}), Role::forward);
  }

  void quantize(FuncOp f, Quantized &q) {
    const bool train = f.getEntry() == "train";
    for (ReadOp r : readsOf(f, q.map)) {
      SmallVector<Operation *> users(r->getUsers());
      OpBuilder b(r);
      b.setInsertionPointAfter(r);
      BodyBuilder body = bodyAt(b, q, r.getLoc());
      const MapSides sides = sidesOf(q.map);
      SmallVector<StringAttr> own(strings(q.map.getLoops()));
      llvm::append_range(own, sides.families), llvm::append_range(own, right(q));
      const int64_t bits = q.facet.getBits(), inputBits = q.facet.getActs();
      Quantizer quantizer{q.map, *dims, {}, bits, inputBits, q.ofSum, {}};
      if (!q.weight.first) quantizer.scale = suiting(r, bits, own, body);
      else {
        Value first = head(makeRead(b, q.weight.first, Role::forward), f, q, body);
        if (train) keep(q.weight.first, first = found(first, suiting(r, bits, own, body), body), f);
        quantizer.scale = withGain(first, makeRead(b, q.weight.gain, Role::forward), train, elementsOf(sides.left) * (right(q).empty() ? elementsOf(sides.right) : 1), bits, body);
      }
      Value inputFirst, inputGain;
      if (q.input.first) inputFirst = head(makeRead(b, q.input.first, Role::forward), f, q, body), inputGain = makeRead(b, q.input.gain, Role::forward);
      SmallVector<Value> firsts; // of inputs, outside of loops
      quantizer.inputScale = [&](Value x, ContractOp product, Value weight, BodyBuilder &inner) {
        if (!inputFirst) { // each row has its own
          SmallVector<StringAttr> kept;
          for (StringAttr d : cast<ir::TensorType>(x.getType()).getDims())
            if (cast<ir::TensorType>(product.getType()).has(d) && !llvm::is_contained(strings(product.getOver()), d)) kept.push_back(d);
          return suiting(x, inputBits, kept, inner);
        }
        Value first = bringBeside(weight, [&](ReadOp) { return inputFirst; }), gain = bringBeside(weight, [&](ReadOp) { return inputGain; });
        if (train) firsts.push_back(outside(first = found(first, suiting(x, inputBits, {}, inner), inner), weight, q));
        SmallVector<StringAttr> summed;
        for (StringAttr d : strings(product.getOver()))
          if (cast<ir::TensorType>(x.getType()).has(d)) summed.push_back(d);
        return withGain(first, gain, train, elementsOf(summed), inputBits, inner);
      };
      quantizer.quantize(r.getResult(), users);
      if (firsts.empty()) continue;
      OpBuilder end(f.getBody().front().getTerminator());
      BodyBuilder last = bodyAt(end, q, r.getLoc());
      Value sum = firsts[0];
      for (Value v : ArrayRef(firsts).drop_front()) sum = last.add(sum, v);
      keep(q.input.first, last.div(sum, last.constant(double(firsts.size()))), f);
    }
  }

  // ---- scales ----

  /// What suits the values: the best step for the mean magnitude of those that are not 0, over all dims but the scale's own.
  Value suiting(Value x, int64_t bits, ArrayRef<StringAttr> own, BodyBuilder &body) {
    SmallVector<StringAttr> over;
    for (StringAttr d : cast<ir::TensorType>(x.getType()).getDims())
      if (!llvm::is_contained(own, d)) over.push_back(d);
    Value fixed = body.stopGrad(x), one = body.constant(1), zero = body.constant(0);
    Value count = body.reduce(ReduceFn::sum, body.select(body.map(MapFn::ne, {fixed, zero}), one, zero), over);
    Value mean = body.div(body.reduce(ReduceFn::sum, body.map(MapFn::abs, {fixed}), over), body.map(MapFn::max, {count, one}));
    return body.mul(mean, body.constant(bestStep(bits)));
  }
  /// In `train` the first value is 0 where it is to be found in this step, and -1 before that.
  Value head(Value first, FuncOp f, const Quantized &q, BodyBuilder &body) {
    const double warm = q.facet.getWarm().convertToDouble();
    const int64_t steps = q.facet.getSteps();
    if (f.getEntry() != "train" || (steps == 0 && warm == 0)) return first;
    Value progress = scalarInput(f, "progress", RealType::get(&getContext())), begins;
    if (steps == 0) begins = body.map(MapFn::ge, {progress, body.constant(warm)});
    else { // of the whole run so many steps are left as are over times (1 - progress) / progress
      Value over = body.map(MapFn::cast, {scalarInput(f, "step", IntType::get(&getContext()))});
      begins = body.map(MapFn::lt, {body.mul(over, body.sub(body.constant(1), progress)), body.mul(progress, body.constant(double(steps) * (1 - warm) + 0.5))});
    }
    return body.select(body.map(MapFn::logical_or, {begins, body.map(MapFn::gt, {first, body.constant(0)})}), first, body.constant(-1));
  }
  Value found(Value head, Value suits, BodyBuilder &body) { return body.select(body.map(MapFn::eq, {head, body.constant(0)}), suits, head); }
  /// `first * (1 + gain/8)^8`, which is first * exp(gain) for small gains, and has the same bits wherever it is computed: a step of the gain is a share of the scale. In `train` its
  /// gradient is made as strong beside the scale as those of `count` weights together are beside theirs (Esser et al. 2020, for the scale itself).
  Value withGain(Value first, Value gain, bool train, double count, int64_t bits, BodyBuilder &body) {
    if (train) {
      Value least = body.map(MapFn::max, {first, body.constant(1e-12)}), fixed = body.stopGrad(gain);
      Value strength = body.div(body.constant(1 / std::sqrt(count * std::ldexp(1.0, int(bits) - 1))), body.mul(least, least));
      gain = body.add(fixed, body.mul(body.sub(gain, fixed), body.stopGrad(strength)));
    }
    Value power = body.add(body.mul(gain, body.constant(0.125)), body.constant(1));
    for (int i = 0; i < 3; ++i) power = body.mul(power, power);
    return body.mul(first, power);
  }
  double elementsOf(ArrayRef<StringAttr> list) {
    double n = 1;
    for (StringAttr d : list) n *= dims->atMost(dims->value(d.getValue()));
    return n;
  }
  /// A value of the block that knows the map as `weight`, as it is known outside of all loops: stacked as the map is, else the mean over the turns.
  Value outside(Value v, Value weight, const Quantized &q) {
    for (Value next = outsideOf(weight); next; weight = next, next = outsideOf(weight)) {
      auto argument = cast<BlockArgument>(weight);
      auto loop = cast<LayersOp>(argument.getOwner()->getParentOp());
      const bool stacked = argument.getArgNumber() < 1 + loop.getCarried().size() + loop.getStacked().size();
      const unsigned before = loop.getNumResults();
      LayersEdit edit(loop);
      edit.yield(v, stackedType(*dims, v.getType(), loop.getDimAttr()));
      loop = edit.finish();
      v = loop.getResult(before);
      if (stacked) continue;
      OpBuilder b(loop);
      b.setInsertionPointAfter(loop);
      BodyBuilder body = bodyAt(b, q, loop.getLoc());
      v = body.div(body.reduce(ReduceFn::sum, v, {loop.getDimAttr()}), body.size(dims->value(loop.getDimAttr().getValue())));
    }
    return v;
  }
};
} // namespace
} // namespace fil::passes
