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

/// Tells `add` the site and the load of each op of the entry, and of each variable.
static void eachLoad(ModuleOp module, bool f64, const Binding &sizes, llvm::function_ref<void(Operation *, StringRef, const SiteLoad &)> add) {
  const ir::Dims dims(module);
  auto valueAt = [&](const Size &s) {
    auto c = atSizes(s, sizes).constant();
    return c ? c->value() : 0;
  };
  ir::FuncOp f = passes::entryPoint(module, "step");
  if (!f) f = passes::entryPoint(module, "run");
  f.walk([&](ir::Costed op) {
    if (isa<ir::LayersOp>(op)) return;
    Size turns(1);
    for (auto l = op->getParentOfType<ir::LayersOp>(); l; l = l->getParentOfType<ir::LayersOp>()) turns = turns * Size(int64_t(l.getHi() - l.getLo()));
    const ir::Cost c = turns * op.cost(dims);
    SiteLoad load;
    load.flops = valueAt(c.flops), load.bytes = valueAt(c.moved(f64 ? 8 : 4));
    add(op, ir::siteOf(op), load);
  });
  for (auto v : module.getOps<ir::VariableOp>()) {
    if (v.getKind() == ir::VariableKind::cache) continue;
    SiteLoad load;
    (v.getKind() == ir::VariableKind::param ? load.params : v.getKind() == ir::VariableKind::state ? load.state : load.optimizer) = int64_t(valueAt(dims.elements(v.getType()))) * (f64 ? 8 : 4);
    add(v, v.getSite(), load);
  }
}

SiteLoad siteLoad(ModuleOp module, bool f64, const Binding &sizes, llvm::function_ref<bool(Operation *)> ops, llvm::function_ref<bool(StringRef)> variables) {
  SiteLoad all;
  eachLoad(module, f64, sizes, [&](Operation *op, StringRef site, const SiteLoad &load) {
    if (isa<ir::VariableOp>(op) ? variables(site) : ops(op)) all += load;
  });
  return all;
}
std::map<std::string, SiteLoad> siteLoads(ModuleOp module, bool f64, const Binding &sizes) {
  std::map<std::string, SiteLoad> all;
  eachLoad(module, f64, sizes, [&](Operation *, StringRef site, const SiteLoad &load) { all[placeOf(site)] += load; });
  return all;
}

std::string changeText(double from, double to) {
  auto number = [](double x) { return x == 0 ? "0" : std::abs(x) < 1e5 ? fmt::format("{:.0f}", x) : fmt::format("{:.3g}", x); };
  return from == to ? number(from) : number(from) + " -> " + number(to) + (from ? fmt::format(" ({:.2f}x)", to / from) : "");
}

} // namespace fil
