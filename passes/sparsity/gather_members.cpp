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

struct GatherMembersPass : impl::GatherMembersPassBase<GatherMembersPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    Dims dims(module);
    const SubsetLines lines(module);
    struct Use { GatherAttr facet; int gathered = 0, left = 0, several = 0; };
    llvm::MapVector<Attribute, Use> uses; // by the line's place: it may be of several sites
    llvm::MapVector<StringAttr, Use> own; // by the site that chooses, of which no line says anything
    const auto ours = linesOf<GatherAttr>(module);
    for (auto [site, facet] : ours) uses[LocationAttr(placeOf(site, facet))].facet = facet;
    for (FuncOp f : module.getOps<FuncOp>()) {
      if (f.getEntry().empty()) continue;
      llvm::DenseSet<std::pair<StringAttr, StringAttr>> caches; // positions, and all that is kept of them
      f.walk([&](CacheOp c) { caches.insert({c.getFromAttr(), c.getToAttr()}); });
      f.walk([&](ContractOp c) {
        auto use = [&](Value subset) -> Use * {
          const auto l = lines.of(subset);
          if (isa_and_nonnull<GatherAttr>(l.facet)) return &uses[LocationAttr(placeOf(l.site, l.facet))];
          auto type = cast<SubsetType>(subset.getType());
          auto choice = subset.getDefiningOp<TopKOp>();
          const bool each = llvm::any_of(type.getPer(), [&](StringAttr d) { return caches.count({d, type.getOf()}); });
          return each && choice && !l.facet ? &own[choice.getSiteAttr()] : nullptr;
        };
        if (c.getSubsets().size() == 1)
          if (Use *u = use(c.getSubsets()[0])) ++u->gathered, u->several += gathersSeveral(c, dims); // it reads so already
        for (unsigned i : {0u, 1u}) {
          GatherOp g = membersRows(c->getOperand(i));
          Use *u = g ? use(g.getIndex()) : nullptr;
          if (!u || !canReadThrough(c, g.getIndex(), c->getOperand(1 - i))) continue;
          if (inEightBits(c) || skips(c, dims)) {
            ++u->left;
            continue;
          }
          ++u->gathered;
          Operation *rows = c->getOperand(i).getDefiningOp(); // the gather, or a choice between it and 0
          c->setOperand(i, g.getX());
          if (c.getSubsets().empty()) c.getSubsetsMutable().append(g.getIndex());
          for (Operation *op : {rows, rows == g ? nullptr : g.getOperation()})
            if (op && op->use_empty()) op->erase();
          u->several += gathersSeveral(c, dims);
        }
      });
    }
    for (auto &[place, use] : uses) {
      auto tell = [&](const char *what) { emitWarning(Location(cast<LocationAttr>(place))) << "W0314: " << what; };
      if (!use.gathered && use.left) tell("the line changes nothing: products of the members' rows round them to 8 bits, or leave out granules of the other side, and read them in memory");
      else if (!use.gathered) tell("the line changes nothing: no product reads the members' rows");
      else if (use.facet.getBlock() && !use.several) tell("`block` changes nothing: no product has several members in a tile");
    }
    for (auto [site, facet] : ours) consume(site, facet, getArgument());
    for (auto &[site, use] : own)
      if (use.gathered) consume(rowOf(site), GatherAttr::get(&getContext(), 0), getArgument());
  }

  SiteOp rowOf(StringAttr site) {
    for (auto row : getOperation().getOps<SiteOp>())
      if (row.getPathAttr() == site) return row;
    OpBuilder b(&getContext());
    b.setInsertionPointAfter(*getOperation().getOps<DimsOp>().begin());
    return SiteOp::create(b, b.getUnknownLoc(), site, b.getArrayAttr({}), b.getArrayAttr({}));
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
