// SPDX-License-Identifier: Apache-2.0
#include "tools/fil/site_loads.h"
#include "passes/analysis/cost.h"
#include "tools/driver/entry_sizes.h"

using namespace mlir;
namespace fil {

std::string placeOf(StringRef site) {
  std::string s;
  for (size_t i = 0; i < site.size(); ++i) {
    if (site[i] == '#') break;
    if (site[i] == '[' && i + 1 < site.size() && site[i + 1] != '*')
      while (site[i] != ']') ++i;
    else s += site[i];
  }
  return s.empty() ? "(no site)" : s;
}

/// Tells `add` the site and the load of each op of the entry, and of each variable, that is wanted.
static void eachLoad(ModuleOp module, bool f64, const Binding &sizes, llvm::function_ref<bool(Operation *)> ops, llvm::function_ref<bool(StringRef)> variables, llvm::function_ref<void(StringRef, const SiteLoad &)> add) {
  const ir::Dims dims(module);
  ir::FuncOp f = passes::entryPoint(module, "step");
  if (!f) f = passes::entryPoint(module, "run");
  f.walk([&](ir::Costed op) {
    if (isa<ir::LayersOp>(op) || !ops(op)) return;
    const ir::Cost c = passes::turns(op) * op.cost(dims);
    SiteLoad load;
    load.flops = numberAt(c.flops, sizes, "the cost"), load.bytes = numberAt(c.moved(f64 ? 8 : 4), sizes, "the cost");
    add(ir::siteOf(op), load);
  });
  for (auto v : module.getOps<ir::VariableOp>()) {
    if (v.getKind() == ir::VariableKind::cache || !variables(v.getSite())) continue;
    SiteLoad load;
    (v.getKind() == ir::VariableKind::param ? load.params : v.getKind() == ir::VariableKind::state ? load.state : load.optimizer) = int64_t(dims.atMost(dims.elements(v.getType()))) * ir::bytesOf(v.getType(), f64 ? 8 : 4);
    add(v.getSite(), load);
  }
}

SiteLoad siteLoad(ModuleOp module, bool f64, const Binding &sizes, llvm::function_ref<bool(Operation *)> ops, llvm::function_ref<bool(StringRef)> variables) {
  SiteLoad all;
  eachLoad(module, f64, sizes, ops, variables, [&](StringRef, const SiteLoad &load) { all += load; });
  return all;
}
std::map<std::string, SiteLoad> siteLoads(ModuleOp module, bool f64, const Binding &sizes) {
  std::map<std::string, SiteLoad> all;
  eachLoad(module, f64, sizes, [](Operation *) { return true; }, [](StringRef) { return true; }, [&](StringRef site, const SiteLoad &load) { all[placeOf(site)] += load; });
  return all;
}

std::string changeText(double from, double to) {
  auto number = [](double x) { return x == 0 ? "0" : std::abs(x) < 1e5 ? fmt::format("{:.0f}", x) : fmt::format("{:.3g}", x); };
  return from == to ? number(from) : number(from) + " -> " + number(to) + (from ? fmt::format(" ({:.2f}x)", to / from) : "");
}

} // namespace fil
