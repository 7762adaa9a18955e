// SPDX-License-Identifier: Apache-2.0
#include "ir/layers.h"
#include "passes/precision/passes.h"
#include "passes/precision/rounding.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_NARROWCACHESPASS
#include "passes/precision/passes.h.inc"
namespace {

struct NarrowCachesPass : impl::NarrowCachesPassBase<NarrowCachesPass> {
  using NarrowCachesPassBase::NarrowCachesPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    Dims table(module);
    Rounder made(module, table);
    dims = &table, rounder = &made;
    SmallVector<CacheOp> all;
    module.walk([&](CacheOp c) {
      if (cast<ir::TensorType>(c.getType()).isReal() && formatOf(c)) all.push_back(c);
    });
    for (CacheOp c : all) narrow(c, *formatOf(c));
  }

private:
  Dims *dims = nullptr;
  Rounder *rounder = nullptr;

  std::optional<Format> formatOf(CacheOp c) { return formatFor(c.getSite().substr(c.getSite().rfind('.') + 1), formats); }

  /// What is appended is rounded first, in all entries alike; what is looked back at is what was kept.
  void narrow(CacheOp c, Format format) {
    OpBuilder b(c);
    BodyBuilder body(b, *dims, c.getLoc());
    body.site = c.getSite(), body.role = c.getRole();
    Rounding r{format};
    for (StringAttr d : llvm::reverse(cast<ir::TensorType>(c.getX().getType()).getDims()))
      if (r.scaled() && d != c.getFromAttr()) { // no scale is of two positions
        r.tile(*dims, d, keptTile);
        break;
      }
    QuantizeOp q = rounder->quantize(body, c.getX(), r);
    auto f = c->getParentOfType<FuncOp>();
    WriteOp write; // of prefill and decode
    for (auto w : f.getBody().front().getOps<WriteOp>())
      if (w.getVariable() == c.getSite()) write = w;
    SmallVector<std::pair<VariableOp, Value>> presents;
    auto kept = [&](Value part, const Twine &suffix) -> Value {
      SmallVector<StringAttr> whole(cast<ir::TensorType>(part.getType()).getDims());
      std::replace(whole.begin(), whole.end(), c.getFromAttr(), c.getToAttr());
      const auto type = dims->tensor(&getContext(), whole, cast<ir::TensorType>(part.getType()).getElement());
      VariableOp v = write ? storage(c, suffix, type) : VariableOp();
      Value past;
      if (c.getPast()) {
        OpBuilder first = OpBuilder::atBlockBegin(&f.getBody().front());
        past = bringInto(makeRead(first, v, Role::forward), c->getBlock());
      }
      Value present = CacheOp::create(b, c.getLoc(), type, part, past, c.getFromAttr(), c.getToAttr(), c.getSiteAttr(), c.getRoleAttr());
      if (v) presents.push_back({v, present});
      return present;
    };
    Value numbers = kept(q.getResult(), ""), scales = q.getScale() ? kept(q.getScale(), "#scale") : Value();
    Value wide = DequantizeOp::create(b, c.getLoc(), c.getType(), numbers, scales, q.getTilesAttr(), q.getLengthsAttr(), c.getSiteAttr(), c.getRoleAttr());
    c.replaceAllUsesWith(wide);
    Block *block = c->getBlock();
    c.erase();
    if (!write) return;
    for (auto &[v, present] : presents) {
      Value whole = bringOut(present, *dims);
      OpBuilder end(f.getBody().front().getTerminator());
      makeWrite(end, v, whole, Role::update);
    }
    const StringRef symbol = write.getVariable();
    write.erase();
    clean(block);
    for (auto old : llvm::make_early_inc_range(f.getBody().front().getOps<ReadOp>()))
      if (old.getVariable() == symbol && old.use_empty()) old.erase();
  }
  /// The loops around give the wide present no more, and take the wide past no more.
  static void clean(Block *block) {
    auto loop = dyn_cast<LayersOp>(block->getParentOp());
    if (!loop) return;
    dropUnusedResults(loop);
    clean(loopOf(block)->getBlock());
    dropUnused(loopOf(block));
  }
  static LayersOp loopOf(Block *b) { return cast<LayersOp>(b->getParentOp()); }

  /// The cache's variable in the narrow type, or one beside it for its scales, both for all loops around.
  VariableOp storage(CacheOp c, const Twine &suffix, ir::TensorType type) {
    auto v = SymbolTable::lookupNearestSymbolFrom<VariableOp>(c, c.getSiteAttr());
    SmallVector<StringAttr> declared(type.getDims()), stored(type.getDims());
    for (StringAttr l : strings(v.getLoops())) stored.push_back(l);
    const auto whole = dims->tensor(&getContext(), stored, type.getElement());
    const std::string name = (c.getSite() + suffix).str();
    if (name == c.getSite()) return v.setType(whole), v;
    if (auto made = SymbolTable::lookupNearestSymbolFrom<VariableOp>(c, StringAttr::get(&getContext(), name))) return made;
    return stateBeside(v, suffix, whole, declared, 0, VariableKind::cache);
  }
};
} // namespace
} // namespace fil::passes
