// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"
#include "llvm/ADT/MapVector.h"
#include "passes/train/passes.h"
#include "ir/streams.h"
#include <numbers>

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_BUILDSTEPPASS
#include "passes/train/passes.h.inc"
namespace {

using Gradients = llvm::MapVector<VariableOp, Value>;

/// What `grad` returns: the loss, and the gradient of each trained variable.
std::pair<Value, Gradients> results(FuncOp f) {
  SymbolTable symbols(f->getParentOfType<ModuleOp>());
  Value loss;
  Gradients gradients;
  for (auto [i, v] : llvm::enumerate(cast<ReturnOp>(f.getBody().front().getTerminator()).getValues())) {
    if (f.outputName(i) == "loss") loss = v;
    if (auto var = f.getResultAttrOfType<FlatSymbolRefAttr>(i, "fil.grad")) gradients[symbols.lookup<VariableOp>(var.getValue())] = v;
  }
  return {loss, gradients};
}
Value normOf(const Gradients &gradients, BodyBuilder &body) {
  Value sum = body.constant(0);
  for (auto &[var, g] : gradients) sum = body.add(sum, body.reduce(ReduceFn::sum, body.mul(g, g), cast<ir::TensorType>(g.getType()).getDims()));
  return body.map(MapFn::sqrt, {sum});
}
/// What the function reads of it.
Value known(FuncOp f, VariableOp v, OpBuilder &b) {
  auto reads = readsOf(f, v);
  return reads.empty() ? makeRead(b, v, Role::update) : reads[0].getResult();
}
/// Makes it an entry that returns these two.
void finish(FuncOp f, StringRef entry, Value loss, Value norm) {
  Builder b(f.getContext());
  cast<ReturnOp>(f.getBody().front().getTerminator()).getValuesMutable().assign({loss, norm});
  auto named = [&](StringRef n) { return b.getDictionaryAttr(b.getNamedAttr("fil.name", b.getStringAttr(n))); };
  f.setFunctionTypeAttr(TypeAttr::get(b.getFunctionType(f.getArgumentTypes(), {loss.getType(), norm.getType()})));
  f.setResAttrsAttr(b.getArrayAttr({named("loss"), named("grad_norm")}));
  f.setEntry(entry);
  f.setName(entry);
}

/// A copy of `grad` becomes the entry `edit`, which changes masks: of granules that stay or come, those that come are 0, and so is what the
/// optimizer keeps for them.
class EditBuilder {
public:
  EditBuilder(ModuleOp module, FuncOp f) : module(module), f(f), ctx(f.getContext()), dims(module), b(f.getBody().front().getTerminator()), body(b, dims, f.getLoc()) { body.role = Role::update; }

  void run() {
    // Who grows must be known of all granules: gradients of masked weights are taken before the mask.
    f.walk([](MaskOp m) {
      if (m.getRole() == Role::wgrad) m.replaceAllUsesWith(m.getX()), m.erase();
    });
    auto [loss, gradients] = results(f);
    step = scalarInput(f, "step", IntType::get(ctx)), progress = scalarInput(f, "progress", RealType::get(ctx));
    Gradients shown; // the norm is of what a step would have
    for (auto [var, g] : gradients) shown[var] = var.getMask() ? masked(g, read(maskOf(var)), var) : g;
    finish(f, "edit", loss, normOf(shown, body));
    for (auto [var, g] : gradients)
      if (var.getMask()) change(var, g);
  }

private:
  ModuleOp module;
  FuncOp f;
  MLIRContext *ctx;
  Dims dims;
  OpBuilder b;
  BodyBuilder body;
  Value step, progress;

  VariableOp maskOf(VariableOp v) { return SymbolTable::lookupNearestSymbolFrom<VariableOp>(v, v.getMaskAttr()); }
  Value read(VariableOp v) { return known(f, v, b); }
  void write(VariableOp v, Value to) { makeWrite(b, v, to, Role::update); }
  Value masked(Value x, Value mask, VariableOp v) {
    return MaskOp::create(b, v.getLoc(), v.getType(), x, mask, granulesOf(v), DenseI64ArrayAttr(), UnitAttr(), UnitAttr(), v.getSiteAttr(), RoleAttr::get(ctx, Role::update));
  }
  Value whole(Value real) { // rounded down, an int
    return MapOp::create(b, body.loc, ir::TensorType::get(ctx, {}, IntType::get(ctx)), MapFnAttr::get(ctx, MapFn::cast), ValueRange{body.map(MapFn::floor, {real})}, b.getStringAttr(body.site), RoleAttr::get(ctx, Role::update));
  }

  /// The sum of magnitudes in each granule.
  Value scores(Value x, VariableOp var, VariableOp mask) {
    Value s = body.map(MapFn::abs, {x});
    auto pairs = strings(granulesOf(var));
    for (size_t i = 0; i < pairs.size(); i += 2) {
      const int64_t n = MaskOp::length(dims, pairs[i], pairs[i + 1]);
      auto window = b.getStringAttr(dims.named(module, (pairs[i].getValue() + "%" + Twine(n)).str(), Size(n)));
      s = body.reduce(ReduceFn::sum, body.cut(s, pairs[i], pairs[i + 1], window, n), {window});
    }
    return body.fit(s, cast<ir::TensorType>(mask.getType()).withElement(RealType::get(ctx)));
  }

  void change(VariableOp var, Value gradient) {
    VariableOp mask = maskOf(var);
    TopologyAttr t = *mask.getTopology();
    body.loc = var.getLoc(), body.site = var.getSite();
    Value before = read(mask), weight = read(var), least = body.constant(-1);
    const auto over = maskDims(mask);
    const double n = granulesIn(mask, dims), kept = t.kept(n), until = t.getUntil().convertToDouble(), density = t.getDensity().convertToDouble();
    Value magnitude = body.select(before, scores(weight, var, mask), least), p = body.div(progress, body.constant(until)), after;
    if (t.getMethod() == TopologyMethod::prune) {
      // Of the next time: the last one leaves the density.
      Value next = body.add(body.constant(1), body.div(body.constant(double(t.getEvery())), body.map(MapFn::cast, {step})));
      Value left = body.map(MapFn::max, {body.constant(0), body.sub(body.constant(1), body.mul(p, next))});
      Value share = body.add(body.constant(density), body.mul(body.constant(1 - density), body.mul(left, body.mul(left, left))));
      Value count = body.map(MapFn::max, {body.constant(kept), body.mul(share, body.constant(n))});
      after = body.map(MapFn::logical_and, {before, body.highest(magnitude, whole(count), over)});
    } else {
      Value share = body.constant(t.getAlpha().convertToDouble());
      const bool random = t.getMethod() == TopologyMethod::set;
      if (!random) share = body.mul(body.mul(share, body.constant(0.5)), body.add(body.constant(1), body.map(MapFn::cos, {body.mul(p, body.constant(std::numbers::pi))})));
      Value changed = whole(body.mul(share, body.constant(kept)));
      Value stays = body.map(MapFn::logical_and, {before, body.highest(magnitude, body.sub(body.whole(int64_t(kept)), changed), over)});
      Value worth = random ? randomFor(body, mask, ".grow", cast<ir::TensorType>(magnitude.getType()), scalarInput(f, "seed", IntType::get(ctx)), step, false) : scores(gradient, var, mask);
      Value comes = body.highest(body.select(stays, least, worth), changed, over);
      after = body.map(MapFn::logical_or, {stays, comes});
    }
    Value due = body.map(MapFn::logical_and, {body.map(MapFn::eq, {body.map(MapFn::mod, {step, body.whole(t.getEvery())}), body.whole(0)}), body.map(MapFn::lt, {progress, body.constant(until)})});
    after = body.select(due, after, before);
    Value same = body.map(MapFn::logical_and, {before, after});
    write(mask, after);
    write(var, masked(weight, same, var));
    for (auto v : module.getOps<VariableOp>())
      if (v.getKind() == VariableKind::optimizer && v.getSite().starts_with((var.getSite() + "#").str())) write(v, masked(read(v), same, var));
  }
};

struct BuildStepPass : impl::BuildStepPassBase<BuildStepPass> {
  using BuildStepPassBase::BuildStepPassBase;

  void runOnOperation() override {
    for (FuncOp f : llvm::make_early_inc_range(getOperation().getOps<FuncOp>())) {
      if (f.getEntry() != "grad") continue;
      FuncOp edit = changesTopology() ? cast<FuncOp>(OpBuilder(f).clone(*f)) : FuncOp();
      if (edit) edit.setName("edit");
      if (failed(build(f))) return signalPassFailure();
      if (edit) EditBuilder(getOperation(), edit).run();
    }
    for (FuncOp f : llvm::make_early_inc_range(getOperation().getOps<FuncOp>()))
      if (f.getEntry().empty()) f.erase();
    for (auto v : getOperation().getOps<VariableOp>()) v.removeOptimizerAttr();
  }

  bool changesTopology() {
    return llvm::any_of(getOperation().getOps<VariableOp>(), [](VariableOp v) { return v.getMask() && v.getTrained(); });
  }

  LogicalResult build(FuncOp f) {
    ModuleOp module = getOperation();
    MLIRContext *ctx = &getContext();
    Dims dims(module);
    OpBuilder b(f.getBody().front().getTerminator());
    BodyBuilder body(b, dims, f.getLoc());
    body.role = Role::update;

    auto [loss, gradients] = results(f);
    Value norm = normOf(gradients, body);
    if (clip > 0) {
      Value scale = body.map(MapFn::min, {body.constant(1), body.div(body.constant(clip), body.add(norm, body.constant(1e-6)))});
      for (auto &[var, g] : gradients) g = body.mul(g, scale);
    }
    Value t = body.map(MapFn::cast, {scalarInput(f, "step", IntType::get(ctx))}), lr = scalarInput(f, "lr", RealType::get(ctx));
    for (auto [var, g] : gradients)
      if (failed(optimize(f, var, g, t, lr, b))) return failure();

    finish(f, "step", loss, norm);
    return success();
  }

  /// The optimizer function's body, for one variable.
  LogicalResult optimize(FuncOp f, VariableOp var, Value gradient, Value t, Value lr, OpBuilder &b) {
    if (!var.getOptimizer()) return var.emitOpError("is trained, but has no optimizer");
    auto function = SymbolTable::lookupNearestSymbolFrom<FuncOp>(var, var.getOptimizerAttr());
    if (!function) return var.emitOpError("names no function: @") << *var.getOptimizer();
    MLIRContext *ctx = &getContext();
    auto site = var.getSiteAttr();
    auto update = RoleAttr::get(ctx, Role::update);
    auto read = [&](VariableOp v) { return known(f, v, b); };
    IRMapping map;
    llvm::StringMap<VariableOp> kept;
    for (BlockArgument a : function.getBody().front().getArguments()) {
      StringRef name = function.inputName(a.getArgNumber());
      Value v = name == "p" ? read(var) : name == "g" ? gradient : name == "t" ? t : name == "lr" ? lr : Value();
      if (!v) {
        kept[name] = keep(var, name);
        v = read(kept[name]);
      }
      map.map(a, v);
    }
    // The function is of some param's type: all its dims stand for all of this one's.
    ir::TensorType formal, actual = cast<ir::TensorType>(var.getType());
    for (BlockArgument a : function.getBody().front().getArguments())
      if (function.inputName(a.getArgNumber()) == "p") formal = cast<ir::TensorType>(a.getType());
    for (Operation &op : function.getBody().front().without_terminator()) {
      auto type = cast<ir::TensorType>(op.getResult(0).getType());
      if (type.getDims() != formal.getDims() && !type.getDims().empty()) return op.emitOpError("is neither of the param's dims nor a scalar");
      auto reduce = dyn_cast<ReduceOp>(op);
      if (reduce && actual.getDims().empty()) {
        map.map(reduce.getResult(), map.lookup(reduce.getX()));
        continue;
      }
      Operation *copy = b.clone(op, map);
      if (type.getDims() == formal.getDims()) copy->getResult(0).setType(ir::TensorType::get(ctx, actual.getDims(), type.getElement()));
      if (reduce) cast<ReduceOp>(copy).setOverAttr(b.getArrayAttr(SmallVector<Attribute>(actual.getDims().begin(), actual.getDims().end())));
      copy->setInherentAttr(b.getStringAttr("role"), update);
      copy->setInherentAttr(b.getStringAttr("site"), site);
    }
    auto results = cast<ReturnOp>(function.getBody().front().getTerminator()).getValues();
    for (auto [i, v] : llvm::enumerate(results)) {
      StringRef name = function.outputName(i);
      VariableOp to = name == "p" ? var : kept.lookup(name);
      if (!to) return function.emitOpError("returns `") << name << "`, which it does not take";
      WriteOp::create(b, var.getLoc(), FlatSymbolRefAttr::get(to.getSymNameAttr()), map.lookup(v), site, update);
    }
    return success();
  }

  VariableOp keep(VariableOp var, StringRef name) {
    OpBuilder b(var);
    b.setInsertionPointAfter(var);
    auto text = [&](StringRef base) { return b.getStringAttr(base + "#" + name); };
    return VariableOp::create(b, var.getLoc(), text(var.getSymName()), var.getTypeAttr(), text(var.getSite()), InitAttr::get(&getContext(), InitKind::constant, 0.0, 0.0),
                              var.getDeclaredAttr(), var.getLoopsAttr(), VariableKindAttr::get(&getContext(), VariableKind::optimizer), UnitAttr(), FloatAttr(), IntegerAttr(),
                              FlatSymbolRefAttr(), FlatSymbolRefAttr(), TopologyAttr());
  }
};
} // namespace
} // namespace fil::passes
