// SPDX-License-Identifier: Apache-2.0
// `fil check`: mistakes, or the types of a program and, from the dialect, what its models cost.
#include "ir/ir.h"
#include "tools/driver/compile.h"
#include "tools/fil/commands.h"
#include <nlohmann/json.hpp>

namespace fil {
namespace {

struct EntryCost { std::string entry, flops, bytes; };
struct ModelCost {
  std::string model, parameters, bytes;
  std::vector<EntryCost> entries;
};

Size unit(const std::string &format) { return Size(format == "f64" ? 8 : 4); }

/// Costs with every default, so in f32; none where the model does not lower.
std::optional<ModelCost> costOf(LoadedProgram &p, const std::string &model) {
  sema::CheckedPlan plan = p.plan("", {}, model);
  if (p.diags.errors()) return {};
  Compiler compiler(p, plan, {});
  auto module = compiler.module(plan.train.loss ? Stage::train_ : Stage::normalize_);
  if (!module) return {};
  ir::Dims dims(*module);
  const Size bytes = unit(plan.precision);
  ModelCost cost{model, "", "", {}};
  Size parameters;
  for (auto v : module->getOps<ir::VariableOp>())
    if (v.getKind() == ir::VariableKind::param) parameters = parameters + dims.elements(v.getType());
  cost.parameters = parameters.str(), cost.bytes = (bytes * parameters).str();
  for (ir::FuncOp f : module->getOps<ir::FuncOp>()) {
    if (f.getEntry() != "run" && f.getEntry() != "step") continue;
    ir::Cost sum;
    for (mlir::Operation &op : f.getBody().front())
      if (auto c = mlir::dyn_cast<ir::Costed>(op)) sum = sum + c.cost(dims);
    cost.entries.push_back({f.getEntry().str(), sum.flops.str(), (bytes * (sum.read + sum.written)).str()});
  }
  return cost;
}

/// Those of the library are not the user's.
bool isOwn(const sema::LetType &l) { return l.span.file > 1; }

nlohmann::ordered_json json(LoadedProgram &p, const std::vector<ModelCost> &costs) {
  nlohmann::ordered_json all;
  all["messages"] = nlohmann::ordered_json::parse(p.diags.json());
  all["lets"] = nlohmann::ordered_json::array();
  if (p.program && p.diags.errors() == 0)
    for (const sema::LetType &l : p.program->lets) {
      if (!isOwn(l)) continue;
      auto at = p.sources.place(l.span.file, l.span.begin);
      all["lets"].push_back({{"file", p.sources.name(l.span.file)}, {"line", at.line}, {"column", at.column}, {"name", l.name}, {"type", l.type}, {"site", l.site}});
    }
  all["models"] = nlohmann::ordered_json::array();
  for (const ModelCost &m : costs) {
    nlohmann::ordered_json j = {{"name", m.model}, {"parameters", m.parameters}, {"parameter_bytes", m.bytes}};
    for (const EntryCost &e : m.entries) j[e.entry] = {{"flops", e.flops}, {"bytes", e.bytes}};
    all["models"].push_back(std::move(j));
  }
  return all;
}

void print(const LoadedProgram &p, const std::vector<ModelCost> &costs) {
  for (const sema::LetType &l : p.program->lets) {
    if (!isOwn(l)) continue;
    auto at = p.sources.place(l.span.file, l.span.begin);
    fmt::print("{}:{}:{}: {}: {}{}\n", p.sources.name(l.span.file), at.line, at.column, l.name, l.type, l.site.empty() ? "" : "  at " + l.site);
  }
  for (const ModelCost &m : costs) {
    fmt::print("model {}: {} parameters, {} bytes\n", m.model, m.parameters, m.bytes);
    for (const EntryCost &e : m.entries) fmt::print("  {}: {} FLOPs, {} bytes moved\n", e.entry == "run" ? "forward" : "training step", e.flops, e.bytes);
  }
}

} // namespace

Exit check(const CommonOptions &o, bool asJson) {
  auto p = LoadedProgram::load(systemFiles(), o.files, {dimOptions(o.dims)});
  std::vector<ModelCost> costs;
  if (p->ok())
    for (const ast::Function *f : p->program->functions())
      if (f->kind == ast::Function::Model)
        if (auto cost = costOf(*p, f->name.name)) costs.push_back(std::move(*cost));
  if (asJson) {
    p->diags.sort();
    fmt::print("{}\n", json(*p, costs).dump(2));
    return p->diags.errors() ? Exit::Input : Exit::Ok;
  }
  Exit exit = report(*p);
  if (exit == Exit::Ok) print(*p, costs);
  return exit;
}

} // namespace fil
