// SPDX-License-Identifier: Apache-2.0
#include "passes/precision/levels.h"
#include "passes/precision/passes.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_ADDLEVELSPASS
#include "passes/precision/passes.h.inc"
namespace {

struct AddLevelsPass : impl::AddLevelsPassBase<AddLevelsPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    const auto lines = linesOf<AdaptAttr>(module);
    if (lines.empty()) return;
    llvm::StringSet<> multiplied;
    module.walk([&](ContractOp c) {
      if (!c.getOver().empty()) multiplied.insert(c.getSite());
    });
    Dims dims(module);
    SmallVector<VariableOp> made;
    for (auto v : llvm::make_early_inc_range(module.getOps<VariableOp>()))
      if (multiplied.contains(v.getSite()) && adapts(v))
        for (const char *suffix : {"#steady", "#level"}) made.push_back(stateBeside(v, suffix, dims.tensor(&getContext(), strings(v.getLoops()), IntType::get(&getContext())), {}, 0, VariableKind::state));
    for (auto [site, facet] : lines) {
      if (made.empty()) emitWarning(placeOf(site, facet)) << "W0316: nothing adapts: no param that is trained is multiplied in 8 or 16 bits in the forward pass";
      consume(site, facet, getArgument());
    }
    if (made.empty()) return;
    for (FuncOp f : llvm::make_early_inc_range(module.getOps<FuncOp>())) {
      if (f.getEntry() == "init") first(f, made, dims);
      if (f.getEntry() != "step") continue;
      auto observe = cast<FuncOp>(OpBuilder(f).clone(*f));
      observe.setName("observe"), observe.setEntry("observe");
    }
  }

private:
  /// Trained, in a format that rounds; whole numbers and adapters stay as they are.
  bool adapts(VariableOp v) {
    if (v.getKind() != VariableKind::param || !v.getTrained() || v.getAdapter() || v->hasAttr("fil.predictor") || v->hasAttr("fil.qat_bits") || v->hasAttr("fil.bits")) return false;
    auto format = dyn_cast_or_null<FormatAttr>(innermostFacet(getOperation(), v.getSite(), FacetKind::format));
    return format && !ladderOf(format, Role::forward).empty();
  }
  void first(FuncOp init, ArrayRef<VariableOp> states, const Dims &dims) {
    OpBuilder b(init.getBody().front().getTerminator());
    for (VariableOp v : states) {
      BodyBuilder body(b, dims, v.getLoc());
      body.site = v.getSite(), body.role = Role::update;
      makeWrite(b, v, body.fit(body.whole(0), cast<ir::TensorType>(v.getType())), Role::update);
    }
  }
};
} // namespace
} // namespace fil::passes
