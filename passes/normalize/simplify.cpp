// SPDX-License-Identifier: Apache-2.0
#include "ir/layers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "passes/normalize/passes.h"
#include <cmath>

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_SIMPLIFYPASS
#include "passes/normalize/passes.h.inc"
namespace {

std::optional<double> constantOf(Value v) {
  if (auto c = v.getDefiningOp<ConstantOp>()) return c.getValue().convertToDouble();
  return std::nullopt;
}

/// The function at a point, in f64; none where it is not worth it.
std::optional<double> evaluate(MapFn fn, ArrayRef<double> a) {
  switch (fn) {
  case MapFn::add: return a[0] + a[1];
  case MapFn::sub: return a[0] - a[1];
  case MapFn::mul: return a[0] * a[1];
  case MapFn::div: return a[0] / a[1];
  case MapFn::pow: return std::pow(a[0], a[1]);
  case MapFn::min: return std::min(a[0], a[1]);
  case MapFn::max: return std::max(a[0], a[1]);
  case MapFn::neg: return -a[0];
  case MapFn::sqrt: return std::sqrt(a[0]);
  case MapFn::rsqrt: return 1 / std::sqrt(a[0]);
  case MapFn::exp: return std::exp(a[0]);
  case MapFn::log: return std::log(a[0]);
  case MapFn::cast: return a[0];
  default: return std::nullopt;
  }
}

class Simplifier {
public:
  explicit Simplifier(ModuleOp module) : dims(module), b(module.getContext()) {}

  bool block(Block &block) {
    bool changed = false;
    for (Operation &op : llvm::make_early_inc_range(block)) {
      if (auto loop = dyn_cast<LayersOp>(op)) changed |= this->block(loop.block());
      b.setInsertionPoint(&op);
      if (Value v = replacement(&op)) {
        op.getResult(0).replaceAllUsesWith(v);
        changed = true;
      }
    }
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block))) {
      if (isOpTriviallyDead(&op)) op.erase(), changed = true;
      else if (auto loop = dyn_cast<LayersOp>(op)) changed |= dropUnused(loop) != loop;
    }
    return changed;
  }

private:
  Dims dims;
  OpBuilder b;

  /// What the op's result may be replaced by, or null.
  Value replacement(Operation *op) {
    if (auto m = dyn_cast<MapOp>(op)) return map(m);
    if (auto r = dyn_cast<BroadcastOp>(op)) return r.getX().getType() == r.getResult().getType() ? r.getX() : Value();
    if (auto r = dyn_cast<RenameOp>(op)) {
      auto before = r.getX().getDefiningOp<RenameOp>();
      if (before && before.getFrom() == r.getTo() && before.getTo() == r.getFrom()) return before.getX();
    }
    if (auto s = dyn_cast<SizeOp>(op))
      if (auto c = dims.value(*Size::parse(s.getSize())).constant())
        return ConstantOp::create(b, s.getLoc(), s.getType(), b.getF64FloatAttr(c->value()), s.getSiteAttr(), s.getRoleAttr());
    return {};
  }

  Value map(MapOp m) {
    auto arg = [&](int i) -> Value { return m.getArgs()[i]; };
    auto same = [&](Value v) { return v.getType() == m.getType() ? v : Value(); };
    auto is = [&](int i, double v) { return constantOf(arg(i)) == v; };
    SmallVector<double> values;
    for (Value a : m.getArgs())
      if (auto c = constantOf(a)) values.push_back(*c);
    auto type = cast<ir::TensorType>(m.getType());
    if (values.size() == m.getArgs().size() && type.isReal())
      if (auto v = evaluate(m.getFn(), values)) return ConstantOp::create(b, m.getLoc(), m.getType(), b.getF64FloatAttr(*v), m.getSiteAttr(), m.getRoleAttr());
    switch (m.getFn()) {
    case MapFn::add: return is(1, 0) ? same(arg(0)) : is(0, 0) ? same(arg(1)) : Value();
    case MapFn::sub: return is(1, 0) ? same(arg(0)) : Value();
    case MapFn::mul: return is(1, 1) ? same(arg(0)) : is(0, 1) ? same(arg(1)) : Value();
    case MapFn::div: return is(1, 1) ? same(arg(0)) : Value();
    case MapFn::cast: return same(arg(0));
    case MapFn::neg:
      if (auto n = arg(0).getDefiningOp<MapOp>(); n && n.getFn() == MapFn::neg) return n.getArgs()[0];
      return {};
    case MapFn::pow:
      if (is(1, 1)) return same(arg(0));
      if (is(1, 2)) return MapOp::create(b, m.getLoc(), m.getType(), MapFnAttr::get(m.getContext(), MapFn::mul), ValueRange{arg(0), arg(0)}, m.getSiteAttr(), m.getRoleAttr());
      return {};
    case MapFn::select: // under the same condition the inner choice is known
      for (int i : {1, 2})
        if (auto s = arg(i).getDefiningOp<MapOp>(); s && s.getFn() == MapFn::select && s.getArgs()[0] == arg(0)) {
          SmallVector<Value> args(m.getArgs());
          args[i] = s.getArgs()[i];
          SmallVector<StringAttr> all;
          for (Value a : args) llvm::append_range(all, cast<ir::TensorType>(a.getType()).getDims());
          if (dims.tensor(m.getContext(), all, type.getElement()) != m.getType()) continue;
          return MapOp::create(b, m.getLoc(), m.getType(), m.getFnAttr(), args, m.getSiteAttr(), m.getRoleAttr());
        }
      return {};
    default: return {};
    }
  }
};

struct SimplifyPass : impl::SimplifyPassBase<SimplifyPass> {
  void runOnOperation() override {
    Simplifier s(getOperation());
    for (FuncOp f : getOperation().getOps<FuncOp>())
      while (s.block(f.getBody().front())) {}
  }
};
} // namespace
} // namespace fil::passes
