// SPDX-License-Identifier: Apache-2.0
#include "tools/driver/contracts.h"
#include "passes/analysis/cost.h"
#include "runtime/base/status.h"
#include "tools/driver/arena.h"
#include "tools/driver/entry_sizes.h"
#include <algorithm>

namespace fil {
namespace {

double measured(const std::string &metric, mlir::ModuleOp module, const sema::TrainSettings &train, bool f64) {
  const ir::Dims dims(module);
  if (metric == "flops") {
    ir::FuncOp f = passes::entryPoint(module, "step");
    if (!f) f = passes::entryPoint(module, "run");
    return numberAt(passes::cost(f).flops, trainingSizes(module, train), "`flops`");
  }
  double all = 0;
  for (auto v : module.getOps<ir::VariableOp>()) {
    if (v.getKind() == ir::VariableKind::cache || (metric == "params" && v.getKind() != ir::VariableKind::param)) continue;
    all += dims.atMost(dims.elements(v.getType())) * double(metric == "params" ? 1 : ir::bytesOf(v.getType(), f64 ? 8 : 4));
  }
  return all;
}
double measured(const Manifest &m, const sema::TrainSettings &train) {
  int64_t most = 0;
  for (const Program &p : m.programs)
    if (p.entry.name != "init") most = std::max(most, arenaBytes(p, m, entrySizes(p, m, train, {})));
  return double(keptBytes(m) + most);
}
std::string number(double x) { return x < 1e6 ? fmt::format("{:.0f}", x) : fmt::format("{:.4g}", x); }

void hold(const LoadedProgram &p, const sema::CostContract &c, double x, const std::function<double()> &plain) {
  const double of = c.ofPlain ? plain() : 1, ratio = x / of;
  const bool holds = c.comparison == "<=" ? ratio <= c.value : c.comparison == "<" ? ratio < c.value : c.comparison == ">=" ? ratio >= c.value : ratio > c.value;
  if (holds) return;
  const std::string is = c.ofPlain ? fmt::format("{:.3f}x: {} of {}", ratio, number(x), number(of)) : number(x) + (c.metric == "state" || c.metric == "mem" ? " bytes" : "");
  const auto at = p.sources.place(c.span.file, c.span.begin);
  throw Error(Exit::Numeric, "P0441", fmt::format("the plan requires {}, but it is {}\n --> {}:{}:{}", c.text, is, p.sources.name(c.span.file), at.line, at.column),
              "change what costs it (`fil plan --diff` tells by site), or what is required");
}
} // namespace

void checkCosts(const LoadedProgram &p, const sema::CheckedPlan &plan, mlir::ModuleOp module, const std::function<mlir::OwningOpRef<mlir::ModuleOp>()> &plain) {
  mlir::OwningOpRef<mlir::ModuleOp> other;
  for (const sema::CostContract &c : plan.costs) {
    if (c.metric == "mem") continue;
    hold(p, c, measured(c.metric, module, plan.train, plan.precision == "f64"), [&] {
      if (!other) other = plain();
      return measured(c.metric, *other, plan.train, false); // its format is the default
    });
  }
}
void checkMemory(const LoadedProgram &p, const sema::CheckedPlan &plan, const Manifest &m, const std::function<Manifest()> &plain) {
  for (const sema::CostContract &c : plan.costs)
    if (c.metric == "mem") hold(p, c, measured(m, plan.train), [&] { return measured(plain(), plan.train); });
}

} // namespace fil
