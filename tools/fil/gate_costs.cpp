// SPDX-License-Identifier: Apache-2.0
#include "tools/fil/gate_costs.h"
#include "ir/contraction.h"
#include "ir/layers.h"
#include "passes/analysis/cost.h"
#include "tools/driver/compile.h"
#include "tools/driver/entry_sizes.h"
#include <algorithm>

namespace fil {
using namespace mlir;

/// The site with each `[lo..hi]` replaced by its loop's turn.
static std::string ofTurn(StringRef site, ArrayRef<int64_t> turns) {
  std::string text;
  size_t loop = 0;
  while (!site.empty()) {
    auto [before, rest] = site.split('[');
    text += before;
    if (rest.empty()) break;
    auto [inside, after] = rest.split(']');
    text += "[" + (inside.contains("..") && loop < turns.size() ? std::to_string(turns[loop++]) : inside.str()) + "]";
    site = after;
  }
  return text;
}
/// The site of the variable that says how many granules pass.
static StringRef gateOf(ir::MaskOp m) {
  auto highest = m ? m.getMask().getDefiningOp<ir::HighestOp>() : ir::HighestOp();
  auto read = highest ? ir::outermost(highest.getCount()).getDefiningOp<ir::ReadOp>() : ir::ReadOp();
  return read ? SymbolTable::lookupNearestSymbolFrom<ir::VariableOp>(read, read.getVariableAttr()).getSite() : StringRef();
}

GateCosts gateCosts(LoadedProgram &program, const sema::CheckedPlan &plan, const Binding &data) {
  GateCosts costs;
  Compiler compiler(program, plan, {});
  auto module = compiler.module(Stage::sparsity_);
  if (!module) return costs;
  const ir::Dims dims(*module);
  Binding sizes = trainingSizes(*module, plan.train);
  sizes.insert(data.begin(), data.end());
  passes::entryPoint(*module, "run").walk([&](Operation *op) {
    auto costed = dyn_cast<ir::Costed>(op);
    if (!costed || isa<ir::LayersOp>(op)) return;
    const double operations = numberAt(costed.cost(dims).flops, sizes, "the operations of `run`");
    if (operations == 0) return;
    SmallVector<ir::LayersOp> loops;
    for (auto l = op->getParentOfType<ir::LayersOp>(); l; l = l->getParentOfType<ir::LayersOp>()) loops.insert(loops.begin(), l);
    auto contract = dyn_cast<ir::ContractOp>(op);
    const auto skip = contract ? ir::skipsInRows(contract, dims) : std::nullopt;
    const bool predicts = ir::siteOf(op).contains(".gate_");
    SmallVector<int64_t> turns;
    std::function<void()> each = [&] {
      if (turns.size() < loops.size()) {
        ir::LayersOp l = loops[turns.size()];
        for (int64_t t = int64_t(l.getLo()); t < int64_t(l.getHi()); ++t) turns.push_back(t), each(), turns.pop_back();
        return;
      }
      GateCosts::Term term{operations, {}, {}};
      if (predicts) term.chooses = ofTurn(StringRef(ir::siteOf(op)).split(".gate_").first, turns); // a map, for now
      if (skip)
        for (ir::MaskOp m : {skip->columns, skip->sum})
          if (StringRef gate = gateOf(m); !gate.empty()) {
            term.gates.push_back(ofTurn(gate, turns));
          }
      if (StringRef gate = contract ? gateOf(ir::gateBehind(contract)) : StringRef(); !gate.empty()) {
        auto &maps = costs.maps[ofTurn(gate, turns)];
        const std::string site = ofTurn(ir::siteOf(op), turns);
        if (std::find(maps.begin(), maps.end(), site) == maps.end()) maps.push_back(site);
      }
      if (!predicts) costs.dense += skip ? operations / skip->share() : operations; // what gates of known shares leave out is not counted
      costs.terms.push_back(std::move(term));
    };
    each();
  });
  for (GateCosts::Term &term : costs.terms) {
    if (term.chooses.empty()) continue;
    const auto gate = std::find_if(costs.maps.begin(), costs.maps.end(), [&](auto &g) { return StringRef(g.first).starts_with(term.chooses + ".gate_") || llvm::is_contained(g.second, term.chooses); });
    term.chooses = gate == costs.maps.end() ? "" : gate->first; // of a line that says what it keeps
  }
  return costs;
}
} // namespace fil
