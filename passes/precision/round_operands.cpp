// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "ir/layers.h"
#include "passes/analysis/cost.h"
#include "passes/precision/levels.h"
#include "passes/precision/passes.h"
#include "passes/precision/rounding.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_ROUNDOPERANDSPASS
#include "passes/precision/passes.h.inc"
namespace {

ArrayRef<StringAttr> dimsOf(Value v) { return cast<ir::TensorType>(v.getType()).getDims(); }
std::optional<Format> formatOf(SiteFormat f) { return formatNamed(stringifySiteFormat(f)); }

std::string keyOf(Value v, const Rounding &r) {
  std::string s = std::to_string(uintptr_t(v.getAsOpaquePointer())) + " " + traits(r.format).name;
  for (StringAttr d : r.reduced) s += " " + d.str();
  for (auto &[d, n] : r.tiles) s += " " + d.str() + "/" + std::to_string(n);
  return s;
}

/// The facets of formats, by site.
class Formats {
public:
  /// Tells of lines that concern no product.
  void tellUnused() const {
    std::map<std::string, std::pair<Location, bool>> lines; // by place
    for (const Placed &p : all) {
      if (p.site.empty() || !formatOf(p.facet.getForward()) || isa<UnknownLoc>(p.at)) continue;
      std::string place;
      llvm::raw_string_ostream(place) << p.at;
      auto it = lines.try_emplace(place, p.at, false).first;
      it->second.second |= p.used;
    }
    for (auto &[place, line] : lines)
      if (!line.second) emitWarning(line.first) << "W0313: none of the line's sites is multiplied as it is: its format changes nothing";
  }
  Formats(ModuleOp m, StringRef pass) {
    for (auto v : m.getOps<VariableOp>())
      if (v.getAdapter()) adapters.insert(v.getSite());
    for (auto site : m.getOps<SiteOp>())
      for (Attribute a : site.getFacets())
        if (auto f = dyn_cast<FormatAttr>(a)) all.push_back({site.getPath().str(), f, placeOf(site, a), false});
    for (auto site : m.getOps<SiteOp>())
      for (Attribute a : site.getFacets())
        if (isa<FormatAttr>(a)) consume(site, a, pass);
  }
  bool empty() const { return all.empty(); }
  /// Of the innermost site that the place lies within; an adapter has the whole program's.
  FormatAttr at(StringRef place) {
    Placed *found = nullptr;
    for (Placed &p : all)
      if ((p.site.empty() || (within(place, p.site) && !adapters.contains(place))) && (!found || p.site.size() >= found->site.size())) found = &p;
    if (!found) return {};
    found->used = true;
    return found->facet;
  }

private:
  struct Placed {
    std::string site;
    FormatAttr facet;
    Location at;
    bool used;
  };
  std::vector<Placed> all;
  llvm::StringSet<> adapters;
};

class Operands {
public:
  Operands(ModuleOp module, Formats &formats, Dims &dims) : module(module), formats(formats), dims(dims), lines(module), rounder(module, dims), b(module.getContext()) {
    for (auto v : module.getOps<VariableOp>())
      if (v.getKind() == VariableKind::param) params.insert(v.getSite());
      else if (v.getSite().ends_with("#level")) levels[v.getSite().drop_back(StringRef("#level").size())] = v;
  }

  void function(FuncOp f) {
    known.clear();
    SmallVector<ContractOp> all;
    f.walk([&](ContractOp c) {
      if (!c.getOver().empty()) all.push_back(c);
    });
    Levels within(f);
    for (ContractOp c : all) // before values are known: results of loops get other names
      if (VariableOp level = levels.lookup(c.getSite())) within.at(level, c->getBlock());
    std::map<std::string, Size> ops; // of products with a level, and of the entry
    if (f.getEntry() == "observe") ops = operations(f);
    for (ContractOp c : all) {
      FormatAttr format = formats.at(c.getSite());
      auto out = format && params.contains(c.getSite()) && c.getRole() != Role::wgrad && c.getRole() != Role::update ? formatOf(format.getOut()) : std::nullopt;
      if (!out) continue;
      Operation *last = c; // what is left out of it is seen between the product and the rounding
      if (auto m = gateBehind(c)) last = m;
      if (Operation *scaled = last->hasOneUse() ? *last->user_begin() : nullptr; scaled && scaled->hasAttr("fil.scaling")) last = scaled; // of whole numbers
      b.setInsertionPointAfter(last);
      Value kept = converted(last->getResult(0), {*out, {}, {}}, c);
      last->getResult(0).replaceAllUsesExcept(kept, kept.getDefiningOp()->getOperand(0).getDefiningOp());
    }
    Signals signals(f, dims);
    for (ContractOp c : all) {
      FormatAttr format = formats.at(c.getSite());
      if (!format || c.getRole() == Role::update) continue;
      auto narrow = formatOf(format.of(c.getRole()));
      if (narrow && bytesOf(*narrow) == 1 && !params.contains(c.getSite())) narrow = formatOf(format.getOut());
      if (VariableOp level = levels.lookup(c.getSite()); level && narrow) adapted(c, format, level, within, f.getEntry() == "observe" ? &signals : nullptr);
      else if (narrow)
        for (unsigned i : {0u, 1u}) c->setOperand(i, rounded(c->getOperand(i), rounding(c, i, *narrow, format)));
    }
    signals.finish(ops);
    SmallVector<LayersOp> loops;
    f.walk<WalkOrder::PreOrder>([&](LayersOp l) {
      if (!l.getReverse()) loops.push_back(l);
    });
    for (LayersOp l : loops) saveNarrow(l);
  }

private:
  ModuleOp module;
  Formats &formats;
  Dims &dims;
  const SubsetLines lines;
  Rounder rounder;
  OpBuilder b;
  llvm::StringSet<> params;           ///< their sites
  /// Of sites whose format adapts the state that says which one they have, for each turn of their loops. Beside it stands `SITE#steady`, which is training's alone.
  llvm::StringMap<VariableOp> levels;
  std::map<std::string, Value> known; ///< what is rounded already

  std::map<std::string, Size> operations(FuncOp f) {
    std::map<std::string, Size> all;
    f.walk([&](Costed op) {
      if (isa<LayersOp>(op)) return;
      const Size n = turns(op) * op.cost(dims).flops;
      all[""] = all[""] + n;
      if (isa<ContractOp>(op) && levels.contains(siteOf(op))) all[siteOf(op).str()] = all[siteOf(op).str()] + n;
    });
    return all;
  }
  /// The operands as the site's level says. `signals`: what each format does to them is told.
  void adapted(ContractOp c, FormatAttr facet, VariableOp level, Levels &within, Signals *signals) {
    const auto ladder = ladderOf(facet, c.getRole());
    Value now = within.at(level, c->getBlock());
    Rungs sides[2];
    for (unsigned i : {0u, 1u})
      for (Format format : ladder) sides[i].rounded.push_back(rounded(c->getOperand(i), rounding(c, i, format, facet)));
    for (unsigned i : {0u, 1u}) {
      Value x = sides[i].exact = c->getOperand(i), chosen = x;
      b.setInsertionPoint(c);
      BodyBuilder body(b, dims, c.getLoc());
      body.site = c.getSite(), body.role = c.getRole();
      for (size_t k = ladder.size(); k-- > 0;) chosen = body.select(body.map(MapFn::lt, {now, body.whole(levelAbove(ladder[k]))}), sides[i].rounded[k], chosen);
      if (auto m = x.getDefiningOp<MaskOp>()) { // what is 0 stays 0, and is seen to be
        Operation *again = b.clone(*m);
        again->setOperand(0, chosen);
        chosen = again->getResult(0);
      }
      c->setOperand(i, chosen);
    }
    if (signals && (c.getRole() == Role::forward || c.getRole() == Role::saved)) signals->add(c, level, ladder, sides[0], sides[1]);
  }

  Rounding rounding(ContractOp c, unsigned operand, Format format, FormatAttr facet) {
    Rounding r{format, {}, {}};
    if (!r.scaled()) return r;
    Value v = c->getOperand(operand);
    ArrayRef<int64_t> tile = isWeight(v) ? facet.getWeights() : facet.getActivations();
    SmallVector<StringAttr> own, summed;
    for (StringAttr d : dimsOf(v))
      if (!apart(c, v, d)) (llvm::is_contained(strings(c.getOver()), d) || selects(c, d) ? summed : own).push_back(d);
    auto cut = [&](ArrayRef<StringAttr> list, int64_t length) {
      if (length == 0) r.reduced.append(list.begin(), list.end());
      else if (length > 1 && !list.empty()) r.tile(dims, list.back(), length);
    };
    cut(own, tile[0]), cut(summed, tile[1]);
    return r;
  }
  /// Of weights that are grouped by member, no scale is of two members.
  bool apart(ContractOp c, Value v, StringAttr d) const {
    return isWeight(v) && llvm::any_of(c.getSubsets(), [&](Value s) { return cast<SubsetType>(s.getType()).getOf() == d && isa_and_nonnull<GroupedAttr>(lines.of(s).facet); });
  }
  /// Does it follow from variables alone, as a masked map and its sum with an adapter do?
  static bool isWeight(Value v) {
    if (Value outside = outsideOf(v)) return isWeight(outside);
    Operation *op = v.getDefiningOp();
    if (!op || isa<LayersOp>(op)) return false;
    return isa<ReadOp, ConstantOp>(op) || (op->getNumOperands() && llvm::all_of(op->getOperands(), isWeight));
  }
  /// Is it read at the members of a subset that is summed?
  static bool selects(ContractOp c, StringAttr d) {
    return llvm::any_of(c.getSubsets(), [&](Value s) {
      auto t = cast<SubsetType>(s.getType());
      return t.getOf() == d && llvm::is_contained(strings(c.getOver()), t.getMembers());
    });
  }

  /// The value as a product reads it.
  Value rounded(Value v, const Rounding &r) {
    Value &made = known[keyOf(v, r)];
    if (made) return made;
    Operation *op = v.getDefiningOp();
    if (isOf(v, r)) return made = v;
    // Rounding element by element goes through views; masks and gathers then read what is rounded. What a gate leaves is a value of its own.
    auto gate = dyn_cast_or_null<MaskOp>(op);
    if (gate && (!gate.getChosen() || gate.getZeros())) gate = {};
    const bool view = !gate && isa_and_nonnull<RenameOp, StopGradOp, BroadcastOp, MaskOp, ExpandOp, GatherOp, WindowOp>(op);
    if (auto cache = dyn_cast_or_null<CacheOp>(op); cache && isOf(cache.getX(), r)) return known[keyOf(v, r)] = v; // what it looks back at was rounded before it was kept
    auto choice = dyn_cast_or_null<MapOp>(op); // of a window's padding: what is absent is 0, before and after
    if (choice && choice.getFn() == MapFn::select && !r.scaled() && isZero(choice.getArgs()[2])) {
      Value x = rounded(choice.getArgs()[1], r);
      b.setInsertionPointAfter(op);
      auto copy = cast<MapOp>(b.clone(*op));
      copy->setOperand(1, x);
      return known[keyOf(v, r)] = copy.getResult();
    }
    if (view && !r.scaled()) {
      Value x = rounded(op->getOperand(0), r);
      b.setInsertionPointAfter(op);
      Operation *copy = b.clone(*op);
      copy->setOperand(0, x);
      return known[keyOf(v, r)] = copy->getResult(0);
    }
    if (Value outside = paramOf(v) ? outsideOf(v) : Value()) return known[keyOf(v, r)] = enter(cast<BlockArgument>(v), outside, r);
    if (op) b.setInsertionPointAfter(op);
    else b.setInsertionPointToStart(cast<BlockArgument>(v).getOwner());
    Value x = converted(v, r, op);
    if (auto m = dyn_cast_or_null<MaskOp>(op); m && !gate) { // what is 0 stays 0, and is seen to be
      Operation *again = b.clone(*m);
      again->setOperand(0, x);
      x = again->getResult(0);
    }
    return known[keyOf(v, r)] = x;
  }
  /// Are these numbers of the format already?
  static bool isOf(Value v, const Rounding &r) {
    auto q = v.getDefiningOp<DequantizeOp>();
    return q && !q.getScale() && !r.scaled() && cast<ir::TensorType>(q.getX().getType()).format() == r.format;
  }
  static bool isZero(Value v) {
    auto c = v.getDefiningOp<ConstantOp>();
    return c && c.getValue().isZero();
  }
  /// A param of a loop is rounded before it, for all turns.
  Value enter(BlockArgument a, Value outside, const Rounding &r) {
    auto loop = cast<LayersOp>(a.getOwner()->getParentOp());
    const bool stacked = a.getArgNumber() < 1 + loop.getCarried().size() + loop.getStacked().size();
    Value before = rounded(outside, r);
    auto from = before.getDefiningOp<DequantizeOp>(); // null where a view of the param is brought in
    LayersEdit edit(loop);
    auto bring = [&](Value v) -> Value { return stacked && cast<ir::TensorType>(v.getType()).has(loop.getDimAttr()) ? edit.stacked(v) : edit.shared(v); };
    Value x = bring(from ? from.getX() : before), scale = from && from.getScale() ? bring(from.getScale()) : Value();
    edit.finish();
    known.clear(); // its results have other names now
    if (!from) return x;
    b.setInsertionPointToStart(a.getOwner());
    return DequantizeOp::create(b, a.getLoc(), a.getType(), x, scale, from.getTilesAttr(), from.getLengthsAttr(), from.getSiteAttr(), from.getRoleAttr());
  }
  /// quantize and dequantize, at the builder's place.
  Value converted(Value v, const Rounding &r, Operation *like) {
    BodyBuilder body(b, dims, v.getLoc());
    if (like && roleOf(like)) body.site = siteOf(like), body.role = *roleOf(like);
    else if (auto loop = dyn_cast<LayersOp>(b.getInsertionBlock()->getParentOp())) body.site = siteOf(loop), body.role = loop.getRole();
    return rounder.dequantize(body, rounder.quantize(body, v, r));
  }

  // ---- what turns save ----

  /// A stacked result that is a narrow value made wide, or that its readers round at once, is saved as the narrow value.
  void saveNarrow(LayersOp loop) {
    struct Saved { OpResult result; Value narrow; };
    SmallVector<Saved> all;
    for (OpResult r : loop.stackedResults()) {
      Value v = loop.yielded()[r.getResultNumber()];
      if (Value narrow = narrowOf(v, r)) all.push_back({r, narrow});
    }
    if (all.empty()) return;
    const unsigned before = loop.getNumResults();
    SmallVector<unsigned> numbers, places;
    LayersEdit edit(loop);
    for (Saved &s : all) places.push_back(s.result.getResultNumber()), numbers.push_back(edit.yield(s.narrow, stackedType(dims, s.narrow.getType(), loop.getDimAttr())));
    loop = edit.finish();
    for (auto [place, number] : llvm::zip(places, numbers)) {
      Value narrow = loop.getResult(before + number), wide = loop.getResult(place);
      for (OpOperand &use : llvm::make_early_inc_range(wide.getUses())) {
        auto reader = dyn_cast<LayersOp>(use.getOwner());
        if (!reader || !llvm::is_contained(reader.getStacked(), wide)) continue;
        for (unsigned i = 0; i < reader.getStacked().size(); ++i)
          if (reader.getStacked()[i] == wide) read(reader.stackedArgs()[i], cast<ir::TensorType>(narrow.getType()), i, reader, narrow);
      }
    }
  }
  /// What may be saved in place of the value.
  Value narrowOf(Value v, OpResult stacked) {
    if (!llvm::all_of(stacked.getUses(), [&](OpOperand &u) { return isa<LayersOp>(u.getOwner()) && outsideUse(u); })) return {};
    if (auto q = v.getDefiningOp<DequantizeOp>(); q && !q.getScale()) return q.getX();
    std::optional<Format> format;
    for (OpOperand &u : stacked.getUses())
      for (Operation *user : cast<LayersOp>(u.getOwner()).block().getArgument(1 + u.getOperandNumber()).getUsers()) {
        auto q = dyn_cast<QuantizeOp>(user);
        auto own = q && !q.getScale() ? cast<ir::TensorType>(q.getType()).format() : std::nullopt;
        if (!own || (format && format != own)) return {};
        format = own;
      }
    if (!format) return {};
    for (Operation *user : v.getUsers())
      if (auto q = dyn_cast<QuantizeOp>(user); q && !q.getScale() && cast<ir::TensorType>(q.getType()).format() == format) return q.getResult();
    return {};
  }
  static bool outsideUse(OpOperand &u) {
    auto l = cast<LayersOp>(u.getOwner());
    return u.getOperandNumber() >= l.getCarried().size() && u.getOperandNumber() < l.getCarried().size() + l.getStacked().size();
  }
  /// The reader's argument becomes a narrow one.
  void read(BlockArgument a, ir::TensorType narrow, unsigned number, LayersOp reader, Value whole) {
    reader.getStackedMutable()[number].set(whole);
    auto wide = cast<ir::TensorType>(a.getType());
    const ir::TensorType type = wide.withElement(narrow.getElement());
    a.setType(type);
    b.setInsertionPointToStart(a.getOwner());
    auto site = StringAttr::get(b.getContext(), siteOf(reader));
    auto back = DequantizeOp::create(b, a.getLoc(), wide, a, Value(), b.getArrayAttr({}), b.getDenseI64ArrayAttr({}), site, reader.getRoleAttr());
    for (OpOperand &use : llvm::make_early_inc_range(a.getUses())) {
      if (use.getOwner() == back) continue;
      auto q = dyn_cast<QuantizeOp>(use.getOwner());
      if (q && q.getType() == type && !q.getScale()) q.getResult().replaceAllUsesWith(a), q.erase();
      else use.set(back);
    }
    if (back.use_empty()) back.erase();
  }
};

struct RoundOperandsPass : impl::RoundOperandsPassBase<RoundOperandsPass> {
  void runOnOperation() override {
    Formats formats(getOperation(), getArgument());
    if (formats.empty()) return;
    Dims dims(getOperation());
    Operands operands(getOperation(), formats, dims);
    for (FuncOp f : getOperation().getOps<FuncOp>())
      if (!f.getEntry().empty()) operands.function(f);
    formats.tellUnused();
  }
};
} // namespace
} // namespace fil::passes
