// SPDX-License-Identifier: Apache-2.0
#include "passes/autodiff/passes.h"
#include "passes/autodiff/sweep.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_DIFFERENTIATEPASS
#include "passes/autodiff/passes.h.inc"
namespace {

struct DifferentiatePass : impl::DifferentiatePassBase<DifferentiatePass> {
  void runOnOperation() override {
    for (FuncOp f : getOperation().getOps<FuncOp>())
      if (f.getEntry() == "train" && failed(differentiate(f))) return signalPassFailure();
  }

  LogicalResult differentiate(FuncOp f) {
    ModuleOp module = getOperation();
    Block &block = f.getBody().front();
    auto end = cast<ReturnOp>(block.getTerminator());
    Value loss;
    for (auto [i, v] : llvm::enumerate(end.getValues()))
      if (f.outputName(i) == "loss") loss = v;
    if (!loss) return f.emitOpError("has no output `loss` to differentiate");

    Dims dims(module);
    Activity activity;
    SymbolTable symbols(module);
    llvm::MapVector<Attribute, Value> reads;
    for (auto read : block.getOps<ReadOp>()) {
      auto v = symbols.lookup<VariableOp>(read.getVariable());
      if (v.getTrained()) reads[read.getVariableAttr()] = read.getResult(), activity.insert(read.getResult());
    }
    while (activity.propagate(block)) {}

    FunctionScope scope;
    OpBuilder b(end);
    Sweep sweep(b, dims, f.getLoc(), scope, activity, nullptr);
    Operation *last = end->getPrevNode();
    sweep.role = Role::dgrad;
    sweep.add(loss, sweep.constant(1));
    if (failed(sweep.reverse(last, true))) return failure();

    SmallVector<Value> values(end.getValues());
    SmallVector<Type> types(end.getValues().getTypes());
    SmallVector<Attribute> names(f.getResAttrs()->begin(), f.getResAttrs()->end());
    for (auto v : module.getOps<VariableOp>()) {
      if (!v.getTrained()) continue;
      Value gradient = sweep.adjoint(reads.lookup(FlatSymbolRefAttr::get(v.getSymNameAttr())));
      if (!gradient) {
        v.emitWarning() << "W0312: nothing trains `" << v.getSite() << "`: the loss does not depend on it";
        continue;
      }
      values.push_back(gradient), types.push_back(gradient.getType());
      names.push_back(b.getDictionaryAttr(b.getNamedAttr("fil.grad", FlatSymbolRefAttr::get(v.getSymNameAttr()))));
    }
    end.getValuesMutable().assign(values);
    f.setFunctionTypeAttr(TypeAttr::get(b.getFunctionType(f.getArgumentTypes(), types)));
    f.setResAttrsAttr(b.getArrayAttr(names));
    f.setEntry("grad");
    f.walk([](AuxOp op) { op.erase(); });
    f.walk([](StopGradOp op) {
      op.getResult().replaceAllUsesWith(op.getX());
      op.erase();
    });
    return success();
  }
};
} // namespace
} // namespace fil::passes
