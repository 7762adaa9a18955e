// SPDX-License-Identifier: Apache-2.0
// The gradient of each body op. `seeds[0]` is the adjoint of the result (never null when a rule is called); at kinks: `max(a, b)`
// gives it to b where they are equal (so relu'(0) = 0), `max` and `min` over dims share it among equals, `abs'(0)` is 0. `round` passes it
// straight through (Bengio et al. 2013).
#include "ir/ir.h"

using namespace mlir;
namespace fil::ir {

static TensorType tensorOf(Value v) { return cast<TensorType>(v.getType()); }
template <class Op, class... A> static Value make(GradBuilder &g, Type type, A &&...args) {
  MLIRContext *ctx = type.getContext();
  return Op::create(g.builder, g.loc, type, std::forward<A>(args)..., StringAttr::get(ctx, g.site), RoleAttr::get(ctx, g.role));
}

// Without operands that have a gradient.
LogicalResult ConstantOp::adjoint(GradBuilder &, ValueRange) { return success(); }
LogicalResult SizeOp::adjoint(GradBuilder &, ValueRange) { return success(); }
LogicalResult IotaOp::adjoint(GradBuilder &, ValueRange) { return success(); }
LogicalResult RandomOp::adjoint(GradBuilder &, ValueRange) { return success(); }
LogicalResult TopKOp::adjoint(GradBuilder &, ValueRange) { return success(); }
LogicalResult HighestOp::adjoint(GradBuilder &, ValueRange) { return success(); }
LogicalResult PresentOp::adjoint(GradBuilder &, ValueRange) { return success(); }
LogicalResult MemberOp::adjoint(GradBuilder &, ValueRange) { return success(); }
LogicalResult RosterOp::adjoint(GradBuilder &, ValueRange) { return success(); }
LogicalResult QuantizeOp::adjoint(GradBuilder &, ValueRange) { return emitOpError("stands behind gradients"); }
LogicalResult PartOp::adjoint(GradBuilder &, ValueRange) { return emitOpError("stands behind gradients"); }
LogicalResult JoinOp::adjoint(GradBuilder &, ValueRange) { return emitOpError("stands behind gradients"); }
LogicalResult UnpackOp::adjoint(GradBuilder &, ValueRange) { return emitOpError("stands behind gradients"); }
LogicalResult DequantizeOp::adjoint(GradBuilder &, ValueRange) { return emitOpError("stands behind gradients"); }
LogicalResult StopGradOp::adjoint(GradBuilder &, ValueRange) { return success(); }

/// Of functions of one operand: the factor on the seed.
static Value factor(GradBuilder &g, MapOp op) {
  Value a = g.use(op.getArgs()[0]);
  auto r = [&] { return g.use(op.getResult()); };
  switch (op.getFn()) {
  case MapFn::neg: return g.constant(-1);
  case MapFn::abs: return g.map(MapFn::sign, {a});
  case MapFn::exp: return r();
  case MapFn::sqrt: return g.div(g.constant(0.5), r());
  case MapFn::rsqrt: {
    Value y = r();
    return g.mul(g.constant(-0.5), g.mul(y, g.mul(y, y)));
  }
  case MapFn::sin: return g.map(MapFn::cos, {a});
  case MapFn::cos: return g.neg(g.map(MapFn::sin, {a}));
  case MapFn::tanh: {
    Value y = r();
    return g.sub(g.constant(1), g.mul(y, y));
  }
  case MapFn::erf: return g.mul(g.constant(1.1283791670955126), g.map(MapFn::exp, {g.neg(g.mul(a, a))})); // 2/sqrt(pi)
  default: return {};
  }
}

LogicalResult MapOp::adjoint(GradBuilder &g, ValueRange seeds) {
  Value s = seeds[0];
  auto arg = [&](int i) { return getArgs()[i]; };
  auto use = [&](int i) { return g.use(getArgs()[i]); };
  auto wants = [&](int i) { return g.wants(getArgs()[i]); };
  switch (getFn()) {
  case MapFn::add:
  case MapFn::sub:
    if (wants(0)) g.add(arg(0), s);
    if (wants(1)) g.add(arg(1), getFn() == MapFn::add ? s : g.neg(s));
    return success();
  case MapFn::mul:
    if (wants(0)) g.add(arg(0), g.mul(s, use(1)));
    if (wants(1)) g.add(arg(1), g.mul(s, use(0)));
    return success();
  case MapFn::div: { // of a / b both are s / b, which is s r where r is a reciprocal
    if (!wants(0) && !wants(1)) return success();
    auto r = [&] { return g.use(getResult()); };
    auto one = arg(0).getDefiningOp<ConstantOp>();
    Value d = one && one.getValue().convertToDouble() == 1 ? g.mul(s, r()) : g.div(s, use(1));
    if (wants(0)) g.add(arg(0), d);
    if (wants(1)) g.add(arg(1), g.neg(g.mul(d, r())));
    return success();
  }
  case MapFn::pow: {
    Value zero = g.constant(0);
    if (wants(0)) { // b a^(b-1); 0 where b is 0, whatever a is
      Value b = use(1), d = g.mul(b, g.map(MapFn::pow, {use(0), g.sub(b, g.constant(1))}));
      g.add(arg(0), g.mul(s, g.select(g.map(MapFn::eq, {b, zero}), zero, d)));
    }
    if (wants(1)) { // r log a; 0 where a is 0
      Value a = use(0), d = g.mul(g.use(getResult()), g.map(MapFn::log, {a}));
      g.add(arg(1), g.mul(s, g.select(g.map(MapFn::gt, {a, zero}), d, zero)));
    }
    return success();
  }
  case MapFn::mod: // a - floor(a/b) b
    if (wants(0)) g.add(arg(0), s);
    if (wants(1)) g.add(arg(1), g.neg(g.mul(s, g.map(MapFn::floor, {g.div(use(0), use(1))}))));
    return success();
  case MapFn::min:
  case MapFn::max: {
    Value first = g.map(getFn() == MapFn::max ? MapFn::gt : MapFn::lt, {use(0), use(1)}), zero = g.constant(0);
    if (wants(0)) g.add(arg(0), g.select(first, s, zero));
    if (wants(1)) g.add(arg(1), g.select(first, zero, s));
    return success();
  }
  case MapFn::log:
    g.add(arg(0), g.div(s, use(0)));
    return success();
  case MapFn::select: {
    Value zero = g.constant(0);
    if (wants(1)) g.add(arg(1), g.select(use(0), s, zero));
    if (wants(2)) g.add(arg(2), g.select(use(0), zero, s));
    return success();
  }
  case MapFn::cast:
  case MapFn::round:
    if (wants(0)) g.add(arg(0), s);
    return success();
  default:
    if (wants(0))
      if (Value f = factor(g, *this)) g.add(arg(0), g.mul(s, f));
    return success();
  }
}

LogicalResult ReduceOp::adjoint(GradBuilder &g, ValueRange seeds) {
  if (getFn() == ReduceFn::argmin || getFn() == ReduceFn::argmax) return success();
  if (getFn() == ReduceFn::sum) {
    g.add(getX(), seeds[0]);
    return success();
  }
  Value best = g.map(MapFn::eq, {g.use(getX()), g.use(getResult())}), zero = g.constant(0);
  Value count = g.reduce(ReduceFn::sum, g.select(best, g.constant(1), zero), strings(getOver()));
  g.add(getX(), g.select(best, g.div(seeds[0], count), zero));
  return success();
}

LogicalResult ContractOp::adjoint(GradBuilder &g, ValueRange seeds) {
  SmallVector<Value> subsets;
  for (Value s : getSubsets()) subsets.push_back(g.use(s));
  auto one = [&](Value operand, Value other) {
    // A dim that only the operand has was summed alone: its adjoint repeats along it, which `add` does.
    SmallVector<StringAttr> dims;
    for (StringAttr d : tensorOf(operand).getDims()) {
      const bool known = tensorOf(other).has(d) || tensorOf(seeds[0]).has(d) || llvm::any_of(getSubsets(), [&](Value s) {
                           auto t = cast<SubsetType>(s.getType());
                           return t.getOf() == d || t.getMembers() == d || llvm::is_contained(t.getPer(), d);
                         });
      if (known) dims.push_back(d);
    }
    g.add(operand, g.contract(seeds[0], g.use(other), subsets, TensorType::get(getContext(), dims, tensorOf(operand).getElement())));
  };
  if (g.wants(getLhs())) one(getLhs(), getRhs());
  if (g.wants(getRhs())) one(getRhs(), getLhs());
  return success();
}

LogicalResult GatherOp::adjoint(GradBuilder &g, ValueRange seeds) {
  g.add(getX(), make<ScatterOp>(g, getX().getType(), seeds[0], g.use(getIndex()), getDimAttr()));
  return success();
}
LogicalResult ScatterOp::adjoint(GradBuilder &g, ValueRange seeds) {
  SmallVector<StringAttr> all;
  for (StringAttr d : tensorOf(seeds[0]).getDims())
    if (d != getDimAttr()) all.push_back(d);
  if (auto s = dyn_cast<SubsetType>(getIndex().getType())) {
    llvm::append_range(all, s.getPer());
    all.push_back(s.getMembers());
  } else llvm::append_range(all, tensorOf(getIndex()).getDims());
  auto type = g.dims.tensor(getContext(), all, tensorOf(getY()).getElement());
  g.add(getY(), make<GatherOp>(g, type, seeds[0], g.use(getIndex()), getDimAttr()));
  return success();
}

LogicalResult MaskOp::adjoint(GradBuilder &g, ValueRange seeds) {
  g.add(getX(), make<MaskOp>(g, getX().getType(), seeds[0], g.use(getMask()), getGranulesAttr(), getKeptAttr(), getChosenAttr(), UnitAttr()));
  return success();
}
template <class To, class From> static LogicalResult transposed(From op, GradBuilder &g, Value seed) {
  g.add(op.getX(), make<To>(g, op.getX().getType(), seed, g.use(op.getPattern()), op.getPlaces() ? g.use(op.getPlaces()) : Value(), op.getDimAttr(), op.getPartsAttr(), op.getGranulesAttr()));
  return success();
}
LogicalResult ExpandOp::adjoint(GradBuilder &g, ValueRange seeds) { return transposed<CompressOp>(*this, g, seeds[0]); }
LogicalResult CompressOp::adjoint(GradBuilder &g, ValueRange seeds) { return transposed<ExpandOp>(*this, g, seeds[0]); }
LogicalResult WindowOp::adjoint(GradBuilder &g, ValueRange seeds) {
  g.add(getX(), make<UnwindowOp>(g, getX().getType(), seeds[0], getWindowsAttr()));
  return success();
}
LogicalResult UnwindowOp::adjoint(GradBuilder &g, ValueRange seeds) {
  g.add(getY(), make<WindowOp>(g, getY().getType(), seeds[0], getWindowsAttr()));
  return success();
}
LogicalResult ConcatOp::adjoint(GradBuilder &g, ValueRange seeds) {
  Size from;
  auto whole = tensorOf(seeds[0]);
  for (auto [a, d] : llvm::zip(getArgs(), strings(getDims()))) {
    if (g.wants(a)) {
      SmallVector<StringAttr> all{d};
      for (StringAttr x : whole.getDims())
        if (x != getIntoAttr()) all.push_back(x);
      auto part = g.dims.tensor(getContext(), all, whole.getElement());
      g.add(a, make<SliceOp>(g, part, seeds[0], getIntoAttr(), StringAttr::get(getContext(), from.str()), d));
    }
    from = from + g.dims.value(d.getValue());
  }
  return success();
}
LogicalResult SliceOp::adjoint(GradBuilder &g, ValueRange seeds) {
  g.add(getX(), make<UnsliceOp>(g, getX().getType(), seeds[0], getDimAttr(), getFromAttr(), getIntoAttr()));
  return success();
}
LogicalResult UnsliceOp::adjoint(GradBuilder &g, ValueRange seeds) {
  g.add(getY(), make<SliceOp>(g, getY().getType(), seeds[0], getDimAttr(), getFromAttr(), getIntoAttr()));
  return success();
}
LogicalResult RenameOp::adjoint(GradBuilder &g, ValueRange seeds) {
  g.add(getX(), make<RenameOp>(g, getX().getType(), seeds[0], getToAttr(), getFromAttr()));
  return success();
}
LogicalResult BroadcastOp::adjoint(GradBuilder &g, ValueRange seeds) {
  g.add(getX(), seeds[0]);
  return success();
}
LogicalResult CacheOp::adjoint(GradBuilder &g, ValueRange seeds) {
  if (getPast()) return emitOpError("with a past belongs to decoding and has no gradient");
  g.add(getX(), make<RenameOp>(g, getX().getType(), seeds[0], getToAttr(), getFromAttr()));
  return success();
}
} // namespace fil::ir
