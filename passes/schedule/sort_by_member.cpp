// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "llvm/ADT/MapVector.h"
#include "passes/schedule/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_SORTBYMEMBERPASS
#include "passes/schedule/passes.h.inc"
namespace {

ir::TensorType tensorOf(Value v) { return cast<ir::TensorType>(v.getType()); }

struct SortByMemberPass : impl::SortByMemberPassBase<SortByMemberPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    Dims dims(module);
    const SubsetLines lines(module);
    llvm::MapVector<Attribute, bool> acts; // by the line's place: it may be of several sites
    SmallVector<std::pair<SiteOp, Attribute>> ours;
    for (SiteOp site : module.getOps<SiteOp>())
      for (Attribute a : site.getFacets())
        if (isa<GroupedAttr>(a)) ours.push_back({site, a}), acts[LocationAttr(placeOf(site, a))];
    SmallVector<ContractOp> all;
    for (FuncOp f : module.getOps<FuncOp>())
      f.walk([&](ContractOp c) {
        if (c.getSubsets().size() == 1 && !c.getRoster()) all.push_back(c);
      });
    for (ContractOp c : all) {
      const auto line = lines.of(c.getSubsets()[0]);
      if (auto gather = dyn_cast_or_null<GatherAttr>(line.facet)) {
        setGathers(c, gather.getBlock());
        continue;
      }
      auto f = c->getParentOfType<FuncOp>();
      const bool left = tensorOf(c.getLhs()).has(cast<SubsetType>(c.getSubsets()[0].getType()).getOf());
      if (!sortable(c) || (f.getEntry() == "decode" && !staysAsItIs(left ? c.getLhs() : c.getRhs(), f))) continue;
      const bool grouped = isa_and_nonnull<GroupedAttr>(line.facet);
      if (sort(c, dims, grouped) && grouped) acts[LocationAttr(placeOf(line.site, line.facet))] = true;
    }
    for (auto &[place, act] : acts)
      if (!act) emitWarning(Location(cast<LocationAttr>(place))) << "W0314: the line changes nothing: no product has points that share what they chose";
    for (auto [site, facet] : ours) consume(site, facet, getArgument());
  }

  /// One side of the points has all their dims, the other one none.
  static bool sortable(ContractOp c) {
    auto s = cast<SubsetType>(c.getSubsets()[0].getType());
    auto lhs = tensorOf(c.getLhs()), rhs = tensorOf(c.getRhs()), result = tensorOf(c.getResult());
    auto hasPer = [&](ir::TensorType t) { return llvm::all_of(s.getPer(), [&](StringAttr d) { return t.has(d); }); };
    auto hasNone = [&](ir::TensorType t) { return llvm::none_of(s.getPer(), [&](StringAttr d) { return t.has(d); }); };
    if (result.has(s.getOf())) return !lhs.has(s.getOf()) && !rhs.has(s.getOf()) && hasNone(result) && c.getOver().size() == s.getPer().size() + 1;
    if (lhs.has(s.getOf()) == rhs.has(s.getOf())) return false;
    auto chosen = lhs.has(s.getOf()) ? lhs : rhs, other = lhs.has(s.getOf()) ? rhs : lhs;
    return hasPer(other) && hasPer(result) && hasNone(chosen);
  }

  /// `anyway`: however small its tiles.
  bool sort(ContractOp c, Dims &dims, bool anyway) {
    Value subset = c.getSubsets()[0];
    auto s = cast<SubsetType>(subset.getType());
    auto result = tensorOf(c.getResult());
    const bool sumsMembers = !result.has(s.getOf()) && !result.has(s.getMembers());
    OpBuilder b(c);
    BodyBuilder body(b, dims, c.getLoc());
    body.site = c.getSite(), body.role = c.getRole();
    SmallVector<StringAttr> each(result.getDims());
    if (sumsMembers) each.push_back(s.getMembers());
    auto y = body.contract(c.getLhs(), c.getRhs(), subset, dims.tensor(&getContext(), each, result.getElement())).getDefiningOp<ContractOp>();
    const ContractionDims d = classifySorted(y);
    if (anyway ? !d.joint || d.rows.empty() || d.columns.empty() || d.summed.empty() : !worthTiles(d, dims)) return y.erase(), false;
    y.getRosterMutable().assign(roster(subset, dims));
    c.replaceAllUsesWith(sumsMembers ? body.reduce(ReduceFn::sum, y, s.getMembers()) : y);
    c.erase();
    return true;
  }

  /// One for a subset, right behind it.
  Value roster(Value subset, Dims &dims) {
    for (Operation *u : subset.getUsers())
      if (auto r = dyn_cast<RosterOp>(u)) return r;
    auto s = cast<SubsetType>(subset.getType());
    std::string size = (dims.value(s.getOf().getValue()) + 2 + dims.elements(s)).str(), &dim = rosterDims[size];
    if (dim.empty()) dim = dims.add(getOperation(), "roster", size);
    OpBuilder b(&getContext());
    b.setInsertionPointAfterValue(subset);
    auto site = subset.getDefiningOp() ? subset.getDefiningOp()->getInherentAttr("site").value_or(nullptr) : nullptr;
    return RosterOp::create(b, subset.getLoc(), dims.tensor(&getContext(), b.getStringAttr(dim), IntType::get(&getContext())), subset,
                            site ? cast<StringAttr>(site) : b.getStringAttr(""), RoleAttr::get(&getContext(), Role::forward));
  }
  std::map<std::string, std::string> rosterDims; ///< by size
};
} // namespace
} // namespace fil::passes
