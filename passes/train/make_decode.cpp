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
    Block &top = cache->getParentOfType<FuncOp>().getBody().front();
    SmallVector<Attribute> loops;
    Type type = cache.getResult().getType(); // of the storage
    for (auto l = cache->getParentOfType<LayersOp>(); l; l = l->getParentOfType<LayersOp>()) loops.insert(loops.begin(), l.getDimAttr()), type = stackedType(dims, type, l.getDimAttr());
    VariableOp storage = variable(cache, type, loops);
    if (append) { // the past comes in from outside
      OpBuilder b = OpBuilder::atBlockBegin(&top);
      cache.getPastMutable().assign(bringInto(makeRead(b, storage, Role::forward), cache->getBlock()));
    }
    Value present = bringOut(cache.getResult(), dims); // and the whole goes out
    OpBuilder b(top.getTerminator());
    makeWrite(b, storage, present, Role::update);
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
