// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "llvm/ADT/MapVector.h"
#include "passes/sparsity/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_GATHERMEMBERSPASS
#include "passes/sparsity/passes.h.inc"
namespace {

ir::TensorType tensorOf(Value v) { return cast<ir::TensorType>(v.getType()); }

/// The members' rows, 0 where there is no member; null of others.
GatherOp rowsOf(Value v) {
  PresentOp present;
  if (auto m = v.getDefiningOp<MapOp>(); m && m.getFn() == MapFn::select) {
    auto otherwise = m.getArgs()[2].getDefiningOp<ConstantOp>();
    present = m.getArgs()[0].getDefiningOp<PresentOp>();
    if (!present || !otherwise || !otherwise.getValue().isZero()) return {};
    v = m.getArgs()[1];
  }
  auto g = v.getDefiningOp<GatherOp>();
  return g && isa<SubsetType>(g.getIndex().getType()) && (!present || present.getSubset() == g.getIndex()) ? g : GatherOp();
}

struct GatherMembersPass : impl::GatherMembersPassBase<GatherMembersPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    const auto ours = linesOf<GatherAttr>(module);
    if (ours.empty()) return;
    Dims dims(module);
    const SubsetLines lines(module);
    struct Use { GatherAttr facet; int gathered = 0, left = 0, several = 0; };
    llvm::MapVector<Attribute, Use> uses; // by the line's place: it may be of several sites
    for (auto [site, facet] : ours) uses[LocationAttr(placeOf(site, facet))].facet = facet;
    module.walk([&](ContractOp c) {
      if (c->getParentOfType<FuncOp>().getEntry().empty()) return;
      auto line = [&](Value subset) -> Use * {
        const auto l = lines.of(subset);
        return isa_and_nonnull<GatherAttr>(l.facet) ? &uses[LocationAttr(placeOf(l.site, l.facet))] : nullptr;
      };
      if (c.getSubsets().size() == 1)
        if (Use *use = line(c.getSubsets()[0])) ++use->gathered, use->several += gathersSeveral(c, dims); // it reads so already
      for (unsigned i : {0u, 1u}) {
        GatherOp g = rowsOf(c->getOperand(i));
        Use *use = g ? line(g.getIndex()) : nullptr;
        if (!use || !canReadThrough(c, g.getIndex(), c->getOperand(1 - i))) continue;
        if (inEightBits(c) || skips(c, dims)) {
          ++use->left;
          continue;
        }
        ++use->gathered;
        c->setOperand(i, g.getX());
        if (c.getSubsets().empty()) c.getSubsetsMutable().append(g.getIndex());
        use->several += gathersSeveral(c, dims);
      }
    });
    for (auto &[place, use] : uses) {
      auto tell = [&](const char *what) { emitWarning(Location(cast<LocationAttr>(place))) << "W0314: " << what; };
      if (!use.gathered && use.left) tell("the line changes nothing: products of the members' rows round them to 8 bits, or leave out granules of the other side, and read them in memory");
      else if (!use.gathered) tell("the line changes nothing: no product reads the members' rows");
      else if (use.facet.getBlock() && !use.several) tell("`block` changes nothing: no product has several members in a tile");
    }
    for (auto [site, facet] : ours) consume(site, facet, getArgument());
  }

  /// Nothing else in it has the dim that the members are of, but what is read through the same subset.
  static bool canReadThrough(ContractOp c, Value subset, Value other) {
    const StringAttr of = cast<SubsetType>(subset.getType()).getOf();
    if (tensorOf(c.getResult()).has(of) || c.getRoster()) return false;
    if (!c.getSubsets().empty()) return c.getSubsets().size() == 1 && c.getSubsets()[0] == subset;
    return !tensorOf(other).has(of);
  }
  /// A format of the site in which numbers have a scale.
  bool inEightBits(ContractOp c) {
    FormatAttr innermost = innermostLine<FormatAttr>(getOperation(), c.getSite()).second;
    auto out = innermost ? formatNamed(stringifySiteFormat(innermost.getOut())) : std::nullopt;
    return innermost && (innermost.coarse() || (out && bytesOf(*out) == 1));
  }
};
} // namespace
} // namespace fil::passes
