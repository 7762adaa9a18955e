// SPDX-License-Identifier: Apache-2.0
#include "tools/driver/contracts.h"
#include "passes/analysis/cost.h"
#include "runtime/base/status.h"
#include "tools/driver/arena.h"
#include "tools/driver/entry_sizes.h"
#include <algorithm>

namespace fil {
namespace {

Binding sizesOf(mlir::ModuleOp module, const sema::CheckedPlan &plan) {
  Binding at = plan.train.window;
  at[plan.train.batchDim] = plan.train.batch;
  module.walk([&](ir::CacheOp c) {
    if (auto t = at.find(c.getFrom().str()); t != at.end()) at.emplace(c.getTo().str(), t->second);
  });
  return at;
}
double measured(const std::string &metric, mlir::ModuleOp module, const sema::CheckedPlan &plan, const sema::CostContract &c) {
  const ir::Dims dims(module);
  if (metric == "flops") {
    ir::FuncOp f = passes::entryPoint(module, "step");
    if (!f) f = passes::entryPoint(module, "run");
    const Size flops = atSizes(passes::cost(f).flops, sizesOf(module, plan));
    auto n = flops.constant();
    if (!n) throw Error(Exit::Input, "E0516", fmt::format("`{}` cannot be checked: it depends on {}", metric, flops.str()), "bind it: `train { window T=128; batch 32 }`");
    return n->value();
  }
  double all = 0;
  for (auto v : module.getOps<ir::VariableOp>()) {
    if (v.getKind() == ir::VariableKind::cache || (metric == "params" && v.getKind() != ir::VariableKind::param)) continue;
    all += dims.atMost(dims.elements(v.getType())) * (metric == "params" ? 1 : plan.precision == "f64" ? 8 : 4);
  }
  return all;
}
double measured(const Manifest &m, const sema::CheckedPlan &plan) {
  int64_t most = 0;
  for (const Program &p : m.programs)
    if (p.entry.name != "init") most = std::max(most, arenaBytes(p, m, entrySizes(p, m, plan.train, {})));
  return double(keptBytes(m) + most);
}
std::string number(double x) { return x < 1e6 ? fmt::format("{:.0f}", x) : fmt::format("{:.4g}", x); }

void hold(const LoadedProgram &p, const sema::CostContract &c, double x, const std::function<double()> &plain) {
  const double of = c.ofPlain ? plain() : 1, ratio = x / of;
  const bool holds = c.comparison == "<=" ? ratio <= c.value : c.comparison == "<" ? ratio < c.value : c.comparison == ">=" ? ratio >= c.value : ratio > c.value;
  if (holds) return;
  const std::string is = c.ofPlain ? fmt::format("{:.3f}x: {} of {}", ratio, number(x), number(of)) : number(x);
  const auto at = p.sources.place(c.span.file, c.span.begin);
  throw Error(Exit::Numeric, "P0441", fmt::format("the plan requires {} {} {}{}, but it is {}\n --> {}:{}:{}", c.metric, c.comparison, c.ofPlain ? fmt::format("{}", c.value) : number(c.value), c.ofPlain ? "x dense" : "", is, p.sources.name(c.span.file), at.line, at.column),
              "change what costs it (`fil plan --diff` tells by site), or what is required");
}
} // namespace

void checkCosts(const LoadedProgram &p, const sema::CheckedPlan &plan, mlir::ModuleOp module, const std::function<mlir::OwningOpRef<mlir::ModuleOp>()> &plain) {
  mlir::OwningOpRef<mlir::ModuleOp> other;
  for (const sema::CostContract &c : plan.costs) {
    if (c.metric == "mem") continue;
    hold(p, c, measured(c.metric, module, plan, c), [&] {
      if (!other) other = plain();
      return measured(c.metric, *other, plan, c);
    });
  }
}
void checkMemory(const LoadedProgram &p, const sema::CheckedPlan &plan, const Manifest &m, const std::function<Manifest()> &plain) {
  for (const sema::CostContract &c : plan.costs)
    if (c.metric == "mem") hold(p, c, measured(m, plan), [&] { return measured(plain(), plan); });
}

} // namespace fil
