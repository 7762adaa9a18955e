// SPDX-License-Identifier: Apache-2.0
#include "ir/layers.h"
#include "passes/analysis/cost.h"
#include "passes/analysis/saved_values.h"
#include "passes/analysis/work.h"
#include "passes/precision/passes.h"
#include "passes/precision/rounding.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_NARROWSAVEDPASS
#include "passes/precision/passes.h.inc"
namespace {

constexpr int64_t smallShare = 64;

struct NarrowSavedPass : impl::NarrowSavedPassBase<NarrowSavedPass> {
  using NarrowSavedPassBase::NarrowSavedPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    Dims table(module);
    Rounder made(module, table);
    dims = &table, rounder = &made;
    if (!entryPoint(module, "step")) return;
    for (LayersOp l : forward(module)) loopDims.insert(l.getDimAttr());
    notes = savedValues(module);
    bool any = false;
    for (size_t i = 0; i < forward(module).size(); ++i) any |= narrow(forward(module)[i]); // an edit may replace any of them, each in its place
    noteSavedValues(module, notes);
    if (!any) emitWarning(module.getLoc()) << "W0317: nothing is saved in " << format;
  }

private:
  Dims *dims = nullptr;
  Rounder *rounder = nullptr;
  std::vector<SavedValue> notes;
  llvm::DenseSet<StringAttr> loopDims;

  /// Outer loops first.
  static SmallVector<LayersOp> forward(ModuleOp module) {
    SmallVector<LayersOp> loops;
    module.walk<WalkOrder::PreOrder>([&](LayersOp l) {
      if (!l.getReverse()) loops.push_back(l);
    });
    return loops;
  }
  int64_t elements(Type t) const { return assumed(dims->elements(t)); }
  static bool isSaved(OpResult r) {
    return !r.use_empty() && llvm::all_of(r.getUses(), [](OpOperand &use) {
      auto l = dyn_cast<LayersOp>(use.getOwner());
      return l && l.getReverse() && llvm::is_contained(l.getStacked(), use.get());
    });
  }
  /// How a value of this type is kept, if that takes less than it does: of its dims of known length the last one has the scales, or a longer one where that is short.
  std::optional<Rounding> roundingOf(Type t) const {
    Rounding r{*formatNamed(format)};
    auto tensor = dyn_cast<ir::TensorType>(t);
    if (!tensor || !(tensor.isReal() || isa<FloatType>(tensor.getElement()))) return {};
    int64_t neighbours = 0;
    StringAttr along;
    for (StringAttr d : llvm::reverse(tensor.getDims()))
      if (auto n = dims->value(d.getValue()).constant(); n && !loopDims.contains(d) && std::min(n->num, keptTile) > neighbours) neighbours = std::min(n->num, keptTile), along = d;
    if (r.scaled() && !along) return {};
    if (r.scaled()) r.tile(*dims, along, keptTile);
    const double bytes = fil::bytesOf(r.format) + (r.scaled() ? double(sizeof(float)) / double(neighbours) : 0);
    return bytes < double(ir::bytesOf(t, sizeof(float))) ? std::optional(r) : std::nullopt;
  }

  bool narrow(LayersOp loop) {
    SmallVector<unsigned> chosen;
    int64_t largest = 0;
    for (unsigned i = loop.getCarried().size(); i < loop.getNumResults(); ++i)
      if (isSaved(loop->getResult(i)) && isa<ir::TensorType>(loop.yielded()[i].getType())) largest = std::max(largest, elements(loop.yielded()[i].getType()));
    for (unsigned i = loop.getCarried().size(); i < loop.getNumResults(); ++i)
      if (Type t = loop.yielded()[i].getType(); isSaved(loop->getResult(i)) && roundingOf(t) && elements(t) * smallShare >= largest && !loop.yielded()[i].getDefiningOp<RandomOp>()) chosen.push_back(i);
    if (chosen.empty()) return false;
    LayersEdit edit(loop);
    struct Made { unsigned wide, numbers; std::optional<unsigned> scales; QuantizeOp rounded; };
    SmallVector<Made> all;
    for (unsigned i : chosen) {
      Value v = loop.yielded()[i];
      OpBuilder b(&getContext());
      b.setInsertionPointAfterValue(v);
      Operation *op = v.getDefiningOp();
      BodyBuilder body(b, *dims, v.getLoc());
      body.site = siteOf(op ? op : loop.getOperation()), body.role = Role::saved;
      if (auto q = dyn_cast_or_null<QuantizeOp>(op)) v = rounder->dequantize(body, q);
      QuantizeOp q = rounder->quantize(body, v, *roundingOf(loop.yielded()[i].getType()));
      auto bring = [&](Value part) { return edit.yield(part, stackedType(*dims, part.getType(), loop.getDimAttr())); };
      Made m{i, bring(q.getResult()), {}, q};
      if (q.getScale()) m.scales = bring(q.getScale());
      all.push_back(m);
      note(loop, loop.yielded()[i], q);
    }
    const unsigned before = loop.getNumResults();
    loop = edit.finish();
    for (const Made &m : all) {
      SmallVector<Value> parts{loop->getResult(before + m.numbers)};
      if (m.scales) parts.push_back(loop->getResult(before + *m.scales));
      bringParts(loop->getResult(m.wide), parts, [&](OpBuilder &b, Value v, ValueRange parts) { join(b, v, parts, m.rounded); });
    }
    dropUnusedResults(loop);
    return true;
  }
  /// Values that are noted alike are one like the other.
  void note(LayersOp loop, Value v, QuantizeOp kept) {
    Operation *op = v.getDefiningOp();
    const StringRef entry = loop->getParentOfType<FuncOp>().getEntry(), site = siteOf(op ? op : loop.getOperation());
    auto it = llvm::find_if(notes, [&](const SavedValue &s) { return !s.again && s.entry == entry && s.site == site && s.what == (op ? titleOf(op) : "carried") && s.type == v.getType(); });
    if (it == notes.end()) return;
    it->type = kept.getResult().getType(), it->why += ", in " + format.getValue();
    if (kept.getScale()) it->scales = kept.getScale().getType();
  }
  /// What a reverse turn reads in the place of v: the numbers made wide. A v of 16 bits is made wide by its readers.
  void join(OpBuilder &b, Value v, ValueRange parts, QuantizeOp like) {
    auto loop = cast<LayersOp>(b.getInsertionBlock()->getParentOp());
    BodyBuilder body(b, *dims, v.getLoc());
    body.site = loop.getSite(), body.role = Role::saved;
    Value wide = Rounder::dequantize(body, like, parts[0], parts.size() > 1 ? parts[1] : Value());
    if (wide.getType() == v.getType()) return v.replaceAllUsesWith(wide);
    for (Operation *user : llvm::make_early_inc_range(v.getUsers()))
      if (auto d = dyn_cast<DequantizeOp>(user)) d.replaceAllUsesWith(wide), d.erase();
    if (!v.use_empty()) v.replaceAllUsesWith(rounder->quantize(body, wide, {cast<ir::TensorType>(v.getType()).getElement().isBF16() ? Format::Bf16 : Format::F16}));
  }
};
} // namespace
} // namespace fil::passes
