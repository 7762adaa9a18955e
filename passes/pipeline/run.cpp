// SPDX-License-Identifier: Apache-2.0
// What holds of the site table after every pass: each facet is still there, or consumed by just that pass. What a pass decides by itself it may add, consumed.
#include "ir/ir.h"
#include "mlir/Pass/PassInstrumentation.h"
#include "passes/pipeline/pipeline.h"
#include <set>

using namespace mlir;
namespace fil::passes {
namespace {

using Placed = std::multiset<std::pair<std::string, const void *>>; // site, attribute
struct Table { Placed facets, consumed; };
Table tableOf(ModuleOp module) {
  Table t;
  for (auto s : module.getOps<ir::SiteOp>()) {
    for (Attribute a : s.getFacets()) t.facets.insert({s.getPath().str(), a.getAsOpaquePointer()});
    for (Attribute a : s.getConsumed()) t.consumed.insert({s.getPath().str(), a.getAsOpaquePointer()});
  }
  return t;
}

class FacetCheck : public PassInstrumentation {
public:
  explicit FacetCheck(bool &broken) : broken(broken) {}
  void runBeforePass(Pass *, Operation *op) override {
    if (auto m = dyn_cast<ModuleOp>(op)) before = tableOf(m);
  }
  void runAfterPass(Pass *pass, Operation *op) override {
    auto m = dyn_cast<ModuleOp>(op);
    if (!m) return;
    const Table after = tableOf(m);
    Placed expected = before.facets; // less what the pass says it has consumed
    for (auto &[site, pointer] : after.consumed) {
      if (before.consumed.count({site, pointer})) continue;
      auto c = cast<ir::ConsumedAttr>(Attribute::getFromOpaquePointer(pointer));
      auto it = expected.find({site, c.getFacet().getAsOpaquePointer()});
      if (c.getBy() != pass->getArgument()) return fail(m, pass);
      if (it != expected.end()) expected.erase(it);
    }
    for (auto &x : before.consumed)
      if (!after.consumed.count(x)) return fail(m, pass);
    if (expected != after.facets) fail(m, pass);
  }

private:
  bool &broken;
  Table before;
  void fail(ModuleOp m, Pass *pass) {
    broken = true;
    m.emitError() << "the pass `" << pass->getArgument() << "` changed the site table without consuming what it took out";
  }
};
} // namespace

LogicalResult run(PassManager &pm, ModuleOp module) {
  bool broken = false;
  pm.addInstrumentation(std::make_unique<FacetCheck>(broken));
  return failure(failed(pm.run(module)) || broken);
}
} // namespace fil::passes
