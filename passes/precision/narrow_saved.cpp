// SPDX-License-Identifier: Apache-2.0
#include "ir/layers.h"
#include "passes/analysis/saved_values.h"
#include "passes/precision/passes.h"
#include "passes/precision/rounding.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_NARROWSAVEDPASS
#include "passes/precision/passes.h.inc"
namespace {

constexpr int64_t unknownLength = 1024;
constexpr int64_t smallShare = 64;

struct NarrowSavedPass : impl::NarrowSavedPassBase<NarrowSavedPass> {
  using NarrowSavedPassBase::NarrowSavedPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    Dims table(module);
    Rounder made(module, table);
    dims = &table, rounder = &made;
    SmallVector<LayersOp> loops; // inner ones last: what an outer one saves of them is narrow then
    module.walk<WalkOrder::PreOrder>([&](LayersOp l) {
      if (!l.getReverse()) loops.push_back(l);
    });
    notes = savedValues(module);
    bool any = false;
    for (LayersOp l : loops) any |= narrow(l);
    noteSavedValues(module, notes);
    if (!any) emitWarning(module.getLoc()) << "W0317: nothing is saved in " << format;
  }

private:
  Dims *dims = nullptr;
  Rounder *rounder = nullptr;
  std::vector<SavedValue> notes;

  int64_t elements(Type t) const {
    return dims->elements(t).eval([](const std::string &) { return std::optional<int64_t>(unknownLength); })->value();
  }
  static bool isSaved(OpResult r) {
    return !r.use_empty() && llvm::all_of(r.getUses(), [](OpOperand &use) {
      auto l = dyn_cast<LayersOp>(use.getOwner());
      return l && l.getReverse() && llvm::is_contained(l.getStacked(), use.get());
    });
  }
  static bool isWider(Type t, Format f) {
    auto tensor = dyn_cast<ir::TensorType>(t);
    return tensor && (tensor.isReal() || isa<FloatType>(tensor.getElement())) && ir::bytesOf(t, sizeof(float)) > fil::bytesOf(f);
  }

  bool narrow(LayersOp loop) {
    const Format to = *formatNamed(format);
    SmallVector<unsigned> chosen;
    int64_t largest = 0;
    for (unsigned i = loop.getCarried().size(); i < loop.getNumResults(); ++i)
      if (isSaved(loop->getResult(i)) && isa<ir::TensorType>(loop.yielded()[i].getType())) largest = std::max(largest, elements(loop.yielded()[i].getType()));
    for (unsigned i = loop.getCarried().size(); i < loop.getNumResults(); ++i)
      if (Type t = loop.yielded()[i].getType(); isSaved(loop->getResult(i)) && isWider(t, to) && elements(t) * smallShare >= largest) chosen.push_back(i);
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
      QuantizeOp q = rounder->quantize(body, v, roundingOf(v, to));
      auto bring = [&](Value part) { return edit.yield(part, stackedType(*dims, part.getType(), loop.getDimAttr())); };
      Made m{i, bring(q.getResult()), {}, q};
      if (q.getScale()) m.scales = bring(q.getScale());
      all.push_back(m);
      note(loop, loop.yielded()[i], q.getResult().getType());
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
  void note(LayersOp loop, Value v, Type kept) {
    Operation *op = v.getDefiningOp();
    const StringRef entry = loop->getParentOfType<FuncOp>().getEntry(), site = siteOf(op ? op : loop.getOperation());
    auto it = llvm::find_if(notes, [&](const SavedValue &s) { return !s.again && s.entry == entry && s.site == site && s.what == (op ? titleOf(op) : "carried") && s.type == v.getType(); });
    if (it != notes.end()) it->type = kept, it->why += ", in " + format.getValue();
  }
  Rounding roundingOf(Value v, Format to) const {
    Rounding r{to};
    if (auto all = cast<ir::TensorType>(v.getType()).getDims(); r.scaled() && !all.empty()) r.tile(*dims, all.back(), keptTile);
    return r;
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
