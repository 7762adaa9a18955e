// SPDX-License-Identifier: Apache-2.0
// `fil plan`: a whole plan with the origin of each setting, and what one plan changes beside another one.
#include "lang/lower/facets.h"
#include "passes/analysis/cost.h"
#include "runtime/base/philox.h"
#include "runtime/exec/file.h"
#include "tools/driver/arena.h"
#include "tools/driver/compile.h"
#include "tools/driver/entry_sizes.h"
#include "tools/fil/session.h"
#include "tools/fil/site_loads.h"

using namespace mlir;
namespace fil {
namespace {

std::optional<Manifest> compiled(LoadedProgram &p, const sema::CheckedPlan &plan, const CommonOptions &o) {
  CompileOptions options;
  options.targetCpu = o.targetCpu, options.keepGroups = true;
  Compiler compiler(p, plan, options);
  return compiler.run().manifest;
}
/// Of all that runs: the same for plans that mean the same.
std::string hashOf(Manifest m) {
  m.plan.clear();
  return fmt::format("{:016x}", fnv1a64(fileOf(m)));
}

Exit expand(LoadedProgram &p, const sema::CheckedPlan &plan, const CommonOptions &o) {
  fmt::print("{}", sema::expanded(plan, p.sources));
  if (!plan.refused.empty()) {
    std::set<std::string> codes;
    for (const sema::Refused &r : plan.refused) codes.insert(row(r.code).code);
    fmt::print("// no program: {} clauses are checked only ({})\n", plan.refused.size(), fmt::join(codes, ", "));
    return Exit::Ok;
  }
  const auto manifest = compiled(p, plan, o);
  if (report(p) != Exit::Ok) return Exit::Input;
  if (manifest) fmt::print("// program {}, for {}\n", hashOf(*manifest), manifest->target);
  return Exit::Ok;
}

/// With what its launches are.
struct Load : SiteLoad {
  std::set<std::string> kernels;
  int64_t launches = 0;
  double roundoff = 0; ///< the largest relative error of one rounding
  Load &operator+=(const Load &o) {
    SiteLoad::operator+=(o);
    launches += o.launches, roundoff = std::max(roundoff, o.roundoff);
    kernels.insert(o.kernels.begin(), o.kernels.end());
    return *this;
  }
  bool operator==(const Load &o) const { return SiteLoad::operator==(o) && kernels.size() == o.kernels.size() && launches == o.launches && roundoff == o.roundoff; }
};

/// A plan, compiled and measured out at its batch and window.
class Measured {
public:
  std::string name, entry, format, sizes;
  std::map<std::string, Load> sites;
  Load all;
  int64_t arena = 0, code = 0;
  Size running; ///< operations of `run`, where there is a step too

  Measured(LoadedProgram &p, const sema::CheckedPlan &plan, const CommonOptions &o) : name(plan.name), format(plan.precision) {
    Compiler middle(p, plan, {});
    auto module = middle.module(Stage::precision_);
    if (!module) return;
    const auto manifest = compiled(p, plan, o);
    if (!manifest) return;
    const Manifest &m = *manifest;
    entry = passes::entryPoint(*module, "step") ? "step" : "run";
    const Program &program = *wantedPrograms(m, entry).at(0);
    const Binding at = entrySizes(program, m, plan.train, {});
    sizes = sizesText(at);
    for (auto &[site, load] : siteLoads(*module, format == "f64", at)) static_cast<SiteLoad &>(sites[site]) = load;
    launches(program.steps, m, 1);
    auto rounds = [&](llvm::StringRef site, double error) { sites[placeOf(site)].roundoff = std::max(sites[placeOf(site)].roundoff, error); };
    for (auto &[site, load] : sites) load.roundoff = std::pow(2.0, format == "f64" ? -53 : -24);
    module->walk([&](mlir::Operation *op) {
      if (!mlir::isa<ir::QuantizeOp, ir::PartOp>(op) || op->getParentOfType<ir::FuncOp>().getEntry() == "init") return;
      auto q = mlir::dyn_cast<ir::QuantizeOp>(op);
      if (auto f = mlir::cast<ir::TensorType>(op->getResult(0).getType()).format()) rounds(ir::siteOf(op), std::pow(2.0, (q && q.getRandom() ? 0 : -1) - traits(*f).fractionBits));
    });
    for (auto site : module->getOps<ir::SiteOp>())
      for (auto c : site.getConsumed().getAsRange<ir::ConsumedAttr>()) {
        if (auto qat = mlir::dyn_cast<ir::QatAttr>(c.getFacet())) rounds(site.getPath(), std::ldexp(1.0, -int(qat.getBits())));
        if (auto kept = mlir::dyn_cast<ir::WholeAttr>(c.getFacet())) rounds(site.getPath(), std::ldexp(1.0, -int(kept.getBits())));
      }
    arena = arenaBytes(program, m, at), code = int64_t(m.code.size());
    for (auto &[site, load] : sites) all += load;
    if (auto run = passes::entryPoint(*module, "run"); run && entry != "run") running = passes::cost(run).flops;
  }

private:
  void launches(const std::vector<Step> &steps, const Manifest &m, int64_t times) {
    for (const Step &s : steps) {
      if (auto *l = std::get_if<Launch>(&s.is)) sites[placeOf(l->site)].kernels.insert(m.kernels[size_t(l->kernel)].key), sites[placeOf(l->site)].launches += times;
      else if (auto *loop = std::get_if<LoopStep>(&s.is)) launches(loop->body, m, times * loop->turns);
      else if (auto *choice = std::get_if<ChoiceStep>(&s.is)) launches(choice->above, m, times);
      else if (auto *once = std::get_if<OnceStep>(&s.is)) launches(once->body, m, times);
    }
  }
};

std::string roundoffText(double a, double b) { return a == b ? fmt::format("{:.2g}", a) : fmt::format("{:.2g} -> {:.2g}", a, b); }

void printDiff(const Measured &a, const Measured &b) {
  fmt::print("{} -> {}, of `{}`{}{}\n", a.name, b.name, a.entry, a.sizes.empty() ? "" : " at " + a.sizes, a.sizes == b.sizes ? "" : " -> " + (b.sizes.empty() ? "no sizes" : b.sizes));
  fmt::print("  {:<22} {}\n", "operations", changeText(a.all.flops, b.all.flops));
  if (!(a.running == b.running)) fmt::print("  {:<22} {} -> {}\n", "operations of `run`", a.running.str(), b.running.str());
  fmt::print("  {:<22} {}\n", "bytes moved", changeText(a.all.bytes, b.all.bytes));
  fmt::print("  {:<22} {}\n", "params, bytes", changeText(double(a.all.params), double(b.all.params)));
  fmt::print("  {:<22} {}\n", "optimizer, bytes", changeText(double(a.all.optimizer), double(b.all.optimizer)));
  fmt::print("  {:<22} {}\n", "states, bytes", changeText(double(a.all.state), double(b.all.state)));
  fmt::print("  {:<22} {}\n", "arena, bytes", changeText(double(a.arena), double(b.arena)));
  fmt::print("  {:<22} {}\n", "kernels", changeText(double(a.all.kernels.size()), double(b.all.kernels.size())));
  fmt::print("  {:<22} {}\n", "launches", changeText(double(a.all.launches), double(b.all.launches)));
  fmt::print("  {:<22} {}\n", "code, bytes", changeText(double(a.code), double(b.code)));
  fmt::print("  {:<22} {}\n", "rounding, relative", roundoffText(a.all.roundoff, b.all.roundoff));
  std::set<std::string> places;
  for (const Measured *m : {&a, &b})
    for (auto &[site, load] : m->sites) places.insert(site);
  size_t same = 0;
  for (const std::string &site : places) {
    auto load = [&](const Measured &m) { auto it = m.sites.find(site); return it == m.sites.end() ? Load() : it->second; };
    const Load x = load(a), y = load(b);
    if (x == y) {
      ++same;
      continue;
    }
    std::string line;
    auto add = [&](const char *what, double from, double to) {
      if (from != to) line += fmt::format("{}{} {}", line.empty() ? "" : "; ", what, changeText(from, to));
    };
    add("operations", x.flops, y.flops), add("bytes", x.bytes, y.bytes), add("params", double(x.params), double(y.params)), add("optimizer", double(x.optimizer), double(y.optimizer));
    add("states", double(x.state), double(y.state)), add("kernels", double(x.kernels.size()), double(y.kernels.size())), add("launches", double(x.launches), double(y.launches));
    if (x.roundoff != y.roundoff && x.roundoff && y.roundoff) line += fmt::format("{}rounding {}", line.empty() ? "" : "; ", roundoffText(x.roundoff, y.roundoff));
    fmt::print("{}\n  {}\n", site, line);
  }
  fmt::print("{} sites are the same\n", same);
}

/// With its facets composed; if it is to be compiled, clauses that nothing acts on are mistakes.
sema::CheckedPlan planOf(LoadedProgram &p, const std::string &name, const CommonOptions &o, bool compiles) {
  sema::CheckedPlan plan = p.plan(name, o.set);
  if (p.diags.errors()) return plan;
  if (composeFacets(plan.facets, p.diags) && compiles) sema::refuse(plan, "train", p.diags);
  return plan;
}
} // namespace

Exit plan(const CommonOptions &o, const PlanArguments &a) {
  auto p = LoadedProgram::load(systemFiles(), o.files, {dimOptions(o.dims), {}});
  if (report(*p) != Exit::Ok) return Exit::Input;
  if (a.diff.empty()) {
    sema::CheckedPlan plan = planOf(*p, o.plan, o, false);
    if (sema::onlyRuns(plan)) plan.train.loss = nullptr;
    return report(*p) == Exit::Ok ? expand(*p, plan, o) : Exit::Input;
  }
  std::vector<sema::CheckedPlan> plans;
  std::string model;
  for (const std::string &name : a.diff) {
    const sema::CheckedPlan &plan = plans.emplace_back(planOf(*p, name, o, true));
    if (report(*p) != Exit::Ok) return Exit::Input;
    if (!model.empty() && plan.model != model) throw Error(Exit::Input, "P0414", fmt::format("`{}` is a plan for `{}`, and `{}` one for `{}`", a.diff[0], model, name, plan.model), "compare plans of one model");
    model = plan.model;
  }
  const bool runs = std::any_of(plans.begin(), plans.end(), sema::onlyRuns);
  std::vector<Measured> both;
  for (sema::CheckedPlan &plan : plans) {
    if (runs) plan.train.loss = nullptr;
    both.emplace_back(*p, plan, o);
    if (report(*p) != Exit::Ok) return Exit::Input;
  }
  printDiff(both[0], both[1]);
  return Exit::Ok;
}

} // namespace fil
