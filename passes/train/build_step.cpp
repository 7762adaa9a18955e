// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"
#include "llvm/ADT/MapVector.h"
#include "passes/train/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_BUILDSTEPPASS
#include "passes/train/passes.h.inc"
namespace {

struct BuildStepPass : impl::BuildStepPassBase<BuildStepPass> {
  using BuildStepPassBase::BuildStepPassBase;

  void runOnOperation() override {
    for (FuncOp f : getOperation().getOps<FuncOp>())
      if (f.getEntry() == "grad" && failed(build(f))) return signalPassFailure();
    for (FuncOp f : llvm::make_early_inc_range(getOperation().getOps<FuncOp>()))
      if (f.getEntry().empty()) f.erase();
    for (auto v : getOperation().getOps<VariableOp>()) v.removeOptimizerAttr();
  }

  /// The input of that name, added where there is none.
  Value input(FuncOp f, StringRef name, Type type) {
    Block &block = f.getBody().front();
    for (unsigned i = 0; i < block.getNumArguments(); ++i)
      if (f.inputName(i) == name) return block.getArgument(i);
    Builder b(f.getContext());
    SmallVector<Type> in(f.getArgumentTypes());
    in.push_back(type);
    SmallVector<Attribute> names(f.getArgAttrs()->begin(), f.getArgAttrs()->end());
    names.push_back(b.getDictionaryAttr(b.getNamedAttr("fil.name", b.getStringAttr(name))));
    f.setFunctionTypeAttr(TypeAttr::get(b.getFunctionType(in, f.getResultTypes())));
    f.setArgAttrsAttr(b.getArrayAttr(names));
    return block.addArgument(type, f.getLoc());
  }

  LogicalResult build(FuncOp f) {
    ModuleOp module = getOperation();
    MLIRContext *ctx = &getContext();
    Dims dims(module);
    SymbolTable symbols(module);
    auto end = cast<ReturnOp>(f.getBody().front().getTerminator());
    OpBuilder b(end);
    BodyBuilder body(b, dims, f.getLoc());
    body.role = Role::update;

    Value loss;
    llvm::MapVector<VariableOp, Value> gradients;
    for (auto [i, v] : llvm::enumerate(end.getValues())) {
      if (f.outputName(i) == "loss") loss = v;
      if (auto var = f.getResultAttrOfType<FlatSymbolRefAttr>(i, "fil.grad")) gradients[symbols.lookup<VariableOp>(var.getValue())] = v;
    }
    Value sum = body.constant(0);
    for (auto [var, g] : gradients) sum = body.add(sum, body.reduce(ReduceFn::sum, body.mul(g, g), cast<ir::TensorType>(g.getType()).getDims()));
    Value norm = body.map(MapFn::sqrt, {sum});
    if (clip > 0) {
      Value scale = body.map(MapFn::min, {body.constant(1), body.div(body.constant(clip), body.add(norm, body.constant(1e-6)))});
      for (auto &[var, g] : gradients) g = body.mul(g, scale);
    }
    auto scalarInt = ir::TensorType::get(ctx, {}, IntType::get(ctx)), scalar = ir::TensorType::get(ctx, {}, RealType::get(ctx));
    Value t = body.map(MapFn::cast, {input(f, "step", scalarInt)}), lr = input(f, "lr", scalar);
    for (auto [var, g] : gradients)
      if (failed(optimize(f, var, g, t, lr, b))) return failure();

    end.getValuesMutable().assign({loss, norm});
    auto named = [&](StringRef n) { return b.getDictionaryAttr(b.getNamedAttr("fil.name", b.getStringAttr(n))); };
    f.setFunctionTypeAttr(TypeAttr::get(b.getFunctionType(f.getArgumentTypes(), {loss.getType(), norm.getType()})));
    f.setResAttrsAttr(b.getArrayAttr({named("loss"), named("grad_norm")}));
    f.setEntry("step");
    f.setName("step");
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
    auto read = [&](VariableOp v) -> Value {
      for (auto r : f.getBody().front().getOps<ReadOp>())
        if (r.getVariable() == v.getSymName()) return r.getResult();
      return ReadOp::create(b, v.getLoc(), v.getType(), FlatSymbolRefAttr::get(v.getSymNameAttr()), v.getSiteAttr(), update);
    };
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
                              FlatSymbolRefAttr());
  }
};
} // namespace
} // namespace fil::passes
