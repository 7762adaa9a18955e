// SPDX-License-Identifier: Apache-2.0
#include "ir/layers.h"
#include "passes/train/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_MAKEDECODEPASS
#include "passes/train/passes.h.inc"
namespace {

struct MakeDecodePass : impl::MakeDecodePassBase<MakeDecodePass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    FuncOp run;
    for (FuncOp f : module.getOps<FuncOp>())
      if (f.getEntry() == "run") run = f;
    if (!run || !run.walk([](CacheOp) { return WalkResult::interrupt(); }).wasInterrupted()) return;
    Dims dims(module);
    for (StringRef entry : {"prefill", "decode"}) {
      OpBuilder b(run);
      b.setInsertionPointAfter(run);
      auto f = cast<FuncOp>(b.clone(*run));
      f.setName(entry), f.setEntry(entry);
      SmallVector<CacheOp> caches;
      f.walk([&](CacheOp c) { caches.push_back(c); });
      for (CacheOp c : caches) keep(c, entry == "decode", dims);
    }
  }

  void keep(CacheOp cache, bool append, const Dims &dims) {
    auto f = cache->getParentOfType<FuncOp>();
    // The loops around, innermost first, and the type of the storage.
    SmallVector<LayersOp> loops;
    SmallVector<Attribute> loopDims;
    Type type = cache.getResult().getType();
    SmallVector<Type> types{type};
    for (auto l = cache->getParentOfType<LayersOp>(); l; l = l->getParentOfType<LayersOp>()) {
      loops.push_back(l), loopDims.insert(loopDims.begin(), l.getDimAttr());
      types.push_back(type = stackedType(dims, type, l.getDimAttr()));
    }
    VariableOp storage = variable(cache, type, loopDims);
    auto symbol = FlatSymbolRefAttr::get(storage.getSymNameAttr());

    if (append) { // the past comes in from outside
      OpBuilder b = OpBuilder::atBlockBegin(&f.getBody().front());
      Value past = ReadOp::create(b, cache.getLoc(), type, symbol, cache.getSiteAttr(), RoleAttr::get(&getContext(), Role::forward));
      for (int i = int(loops.size()) - 1; i >= 0; --i) {
        LayersEdit edit(loops[i]);
        past = edit.stacked(past, types[i]);
        loops[i] = edit.finish();
      }
      cache.getPastMutable().assign(past);
    }
    Value present = cache.getResult(); // and the whole goes out
    for (auto [i, l] : llvm::enumerate(loops)) {
      LayersEdit edit(l);
      edit.yield(present, types[i + 1]);
      l = edit.finish();
      present = l.getResults().back();
    }
    OpBuilder b(f.getBody().front().getTerminator());
    WriteOp::create(b, cache.getLoc(), symbol, present, cache.getSiteAttr(), RoleAttr::get(&getContext(), Role::update));
  }

  VariableOp variable(CacheOp cache, Type type, ArrayRef<Attribute> loops) {
    ModuleOp module = getOperation();
    if (auto v = module.lookupSymbol<VariableOp>(cache.getSite())) return v;
    OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
    for (auto v : module.getOps<VariableOp>()) b.setInsertionPointAfter(v);
    SmallVector<Attribute> declared;
    for (StringAttr d : cast<ir::TensorType>(cache.getResult().getType()).getDims()) declared.push_back(d);
    return VariableOp::create(b, cache.getLoc(), cache.getSiteAttr(), TypeAttr::get(type), cache.getSiteAttr(), InitAttr::get(&getContext(), InitKind::constant, 0.0, 0.0),
                              b.getArrayAttr(declared), b.getArrayAttr(loops), VariableKindAttr::get(&getContext(), VariableKind::cache), UnitAttr(), FloatAttr(), IntegerAttr(),
                              FlatSymbolRefAttr(), FlatSymbolRefAttr(), TopologyAttr());
  }
};
} // namespace
} // namespace fil::passes
