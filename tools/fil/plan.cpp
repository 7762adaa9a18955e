// SPDX-License-Identifier: Apache-2.0
// `fil plan`: a whole plan with the origin of each setting, and what one plan changes beside another one.
#include "lang/lower/facets.h"
#include "passes/analysis/cost.h"
#include "runtime/base/philox.h"
#include "runtime/exec/file.h"
#include "tools/driver/compile.h"
#include "tools/driver/entry_sizes.h"
#include "tools/fil/explain_program.h"
#include "tools/fil/session.h"

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

/// What a site costs in the entry that is compared, and what is kept for it.
struct Load {
  double flops = 0, bytes = 0;          ///< operands and results of each operation once
  int64_t params = 0, optimizer = 0, state = 0; ///< bytes
  std::set<std::string> kernels;
  int64_t launches = 0;
  Load &operator+=(const Load &o) {
    flops += o.flops, bytes += o.bytes, params += o.params, optimizer += o.optimizer, state += o.state, launches += o.launches;
    kernels.insert(o.kernels.begin(), o.kernels.end());
    return *this;
  }
  int64_t kept() const { return params + optimizer + state; }
  bool operator==(const Load &o) const { return flops == o.flops && bytes == o.bytes && kept() == o.kept() && kernels.size() == o.kernels.size() && launches == o.launches; }
};

/// `l.Attention.q`: without the turns of loops, which plans cut in different ways, and of what is kept for a param the param.
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

/// A plan, compiled and measured out at its batch and window.
class Measured {
public:
  std::string name, entry, format, remat, sizes;
  std::map<std::string, Load> sites;
  Load all;
  int64_t arena = 0, code = 0;

  Measured(LoadedProgram &p, const sema::CheckedPlan &plan, const CommonOptions &o) : name(plan.name), format(plan.precision), remat(plan.remat.sites.empty() ? plan.remat.rule : fmt::format("{}", fmt::join(plan.remat.sites, " "))) {
    Compiler middle(p, plan, {});
    auto module = middle.module(Stage::train_);
    if (!module) return;
    const auto manifest = compiled(p, plan, o);
    if (!manifest) return;
    const Manifest &m = *manifest;
    entry = passes::entryPoint(*module, "step") ? "step" : "run";
    const Program &program = *wantedPrograms(m, entry).at(0);
    const Binding at = entrySizes(program, m, plan.train, {});
    sizes = sizesText(at);
    operations(*module, at);
    for (auto v : module->getOps<ir::VariableOp>()) variable(v, ir::Dims(*module), at);
    launches(program.steps, m, 1);
    arena = arenaBytes(program, m, at), code = int64_t(m.code.size());
    for (auto &[site, load] : sites) all += load;
  }

private:
  double valueAt(const Size &s, const Binding &at) {
    auto c = atSizes(s, at).constant();
    return c ? c->value() : 0;
  }
  void operations(ModuleOp module, const Binding &at) {
    const ir::Dims dims(module);
    passes::entryPoint(module, entry).walk([&](ir::Costed op) {
      if (isa<ir::LayersOp>(op)) return;
      Size turns(1);
      for (auto l = op->getParentOfType<ir::LayersOp>(); l; l = l->getParentOfType<ir::LayersOp>()) turns = turns * Size(int64_t(l.getHi() - l.getLo()));
      const ir::Cost c = turns * op.cost(dims);
      Load &load = sites[placeOf(ir::siteOf(op))];
      load.flops += valueAt(c.flops, at), load.bytes += valueAt(c.moved(format == "f64" ? 8 : 4), at);
    });
  }
  void variable(ir::VariableOp v, const ir::Dims &dims, const Binding &at) {
    if (v.getKind() == ir::VariableKind::cache) return;
    const int64_t bytes = int64_t(valueAt(dims.elements(v.getType()), at)) * (format == "f64" ? 8 : 4);
    Load &load = sites[placeOf(v.getSite())];
    (v.getKind() == ir::VariableKind::param ? load.params : v.getKind() == ir::VariableKind::state ? load.state : load.optimizer) += bytes;
  }
  void launches(const std::vector<Step> &steps, const Manifest &m, int64_t times) {
    for (const Step &s : steps) {
      if (auto *l = std::get_if<Launch>(&s.is)) sites[placeOf(l->site)].kernels.insert(m.kernels[size_t(l->kernel)].key), sites[placeOf(l->site)].launches += times;
      else if (auto *loop = std::get_if<LoopStep>(&s.is)) launches(loop->body, m, times * loop->turns);
      else if (auto *choice = std::get_if<ChoiceStep>(&s.is)) launches(choice->above, m, times);
      else if (auto *once = std::get_if<OnceStep>(&s.is)) launches(once->body, m, times);
    }
  }
};

std::string number(double x) { return x == 0 ? "0" : std::abs(x) < 1e5 ? fmt::format("{:.0f}", x) : fmt::format("{:.3g}", x); }
std::string change(double a, double b) {
  if (a == b) return number(a);
  return number(a) + " -> " + number(b) + (a ? fmt::format(" ({:.2f}x)", b / a) : "");
}

void printDiff(const Measured &a, const Measured &b) {
  fmt::print("{} -> {}, of `{}`{}{}\n", a.name, b.name, a.entry, a.sizes.empty() ? "" : " at " + a.sizes, a.sizes == b.sizes ? "" : " -> " + (b.sizes.empty() ? "no sizes" : b.sizes));
  fmt::print("  {:<22} {}\n", "operations", change(a.all.flops, b.all.flops));
  fmt::print("  {:<22} {}\n", "bytes moved", change(a.all.bytes, b.all.bytes));
  fmt::print("  {:<22} {}\n", "params, bytes", change(double(a.all.params), double(b.all.params)));
  fmt::print("  {:<22} {}\n", "optimizer, bytes", change(double(a.all.optimizer), double(b.all.optimizer)));
  fmt::print("  {:<22} {}\n", "states, bytes", change(double(a.all.state), double(b.all.state)));
  fmt::print("  {:<22} {}\n", "arena, bytes", change(double(a.arena), double(b.arena)));
  fmt::print("  {:<22} {}\n", "kernels", change(double(a.all.kernels.size()), double(b.all.kernels.size())));
  fmt::print("  {:<22} {}\n", "launches", change(double(a.all.launches), double(b.all.launches)));
  fmt::print("  {:<22} {}\n", "code, bytes", change(double(a.code), double(b.code)));
  auto roundoff = [](const std::string &format) { return std::pow(2.0, format == "f64" ? -53 : -24); };
  fmt::print("  {:<22} {}\n", "rounding, relative", a.format == b.format ? fmt::format("{:.2g}", roundoff(a.format)) : fmt::format("{:.2g} -> {:.2g}", roundoff(a.format), roundoff(b.format)));
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
      if (from != to) line += fmt::format("{}{} {}", line.empty() ? "" : "; ", what, change(from, to));
    };
    add("operations", x.flops, y.flops), add("bytes", x.bytes, y.bytes), add("params", double(x.params), double(y.params)), add("optimizer", double(x.optimizer), double(y.optimizer));
    add("states", double(x.state), double(y.state)), add("kernels", double(x.kernels.size()), double(y.kernels.size())), add("launches", double(x.launches), double(y.launches));
    fmt::print("{}\n  {}\n", site, line);
  }
  fmt::print("{} sites are the same\n", same);
}

/// With what `refuse` would say of `compile`, which it takes.
sema::CheckedPlan planOf(LoadedProgram &p, const std::string &name, const CommonOptions &o, bool compiles) {
  sema::CheckedPlan plan = p.plan(name, o.set);
  if (p.diags.errors()) return plan;
  MLIRContext context(MLIRContext::Threading::DISABLED);
  context.loadDialect<ir::FilDialect>();
  if (composeFacets(&context, plan.facets, p.diags) && compiles) sema::refuse(plan, "train", p.diags);
  return plan;
}
} // namespace

Exit plan(const CommonOptions &o, const PlanArguments &a) {
  auto p = LoadedProgram::load(systemFiles(), o.files, {dimOptions(o.dims), {}});
  if (report(*p) != Exit::Ok) return Exit::Input;
  if (a.diff.empty()) {
    const sema::CheckedPlan plan = planOf(*p, o.plan, o, false);
    return report(*p) == Exit::Ok ? expand(*p, plan, o) : Exit::Input;
  }
  std::vector<Measured> both;
  std::string model;
  for (const std::string &name : a.diff) {
    const sema::CheckedPlan plan = planOf(*p, name, o, true);
    if (report(*p) != Exit::Ok) return Exit::Input;
    if (!model.empty() && plan.model != model) throw Error(Exit::Input, "P0414", fmt::format("`{}` is a plan for `{}`, and `{}` one for `{}`", a.diff[0], model, name, plan.model), "compare plans of one model");
    model = plan.model;
    both.emplace_back(*p, plan, o);
    if (report(*p) != Exit::Ok) return Exit::Input;
  }
  printDiff(both[0], both[1]);
  return Exit::Ok;
}

} // namespace fil
