// SPDX-License-Identifier: Apache-2.0
#include "tests/programs/compiled.h"
#include "mlir/Pass/PassManager.h"
#include "passes/pipeline/pipeline.h"
#include "tests/support/program.h"
#include <cmath>

namespace fil::programs {

static void runPasses(mlir::ModuleOp module, const char *what, const std::function<void(mlir::PassManager &)> &fill) {
  std::string messages;
  mlir::ScopedDiagnosticHandler handler(module.getContext(), [&](mlir::Diagnostic &d) {
    if (d.getSeverity() == mlir::DiagnosticSeverity::Error) messages += d.str() + "\n";
    return mlir::success();
  });
  mlir::PassManager pm(module.getContext());
  fill(pm);
  if (mlir::failed(passes::run(pm, module))) throw std::runtime_error(std::string("the stage ") + what + " fails: " + messages);
}

CompiledProgram::CompiledProgram(const std::string &text, std::map<std::string, int64_t> dims, const std::string &optimizer, const std::string &model) {
  MemoryFiles files;
  files.content["test.fil"] = text;
  loaded = LoadedProgram::load(files, {"test.fil"}, {std::move(dims)});
  if (!loaded->ok()) throw std::runtime_error(loaded->diags.render());
  if (!loaded->plans.empty()) plan = loaded->plan(loaded->plans[0].name);
  if (!loaded->ok()) throw std::runtime_error(loaded->diags.render());
  plan.model = loaded->model(model)->name.name;
  plan.train.loss = nullptr;
  for (const ast::Function *f : loaded->program->functions())
    if (f->kind == ast::Function::Loss && !optimizer.empty()) plan.train.loss = f;
  plan.train.optimizer = {};
  plan.train.optimizer.name = optimizer;
  Compiler compiler(*loaded, plan, {});
  context = compiler.context;
  auto module = compiler.module(Stage::fil_);
  if (!module) throw std::runtime_error(loaded->diags.render());
  auto keep = [&](Stage stage) { modules.push_back({stage, mlir::cast<mlir::ModuleOp>(module.get()->clone())}); };
  keep(Stage::fil_);
  runPasses(*module, "normalize", [](auto &pm) { passes::normalize(pm); });
  keep(Stage::normalize_);
  runPasses(*module, "lora", [](auto &pm) { passes::lora(pm); });
  runPasses(*module, "sparsity", [](auto &pm) { passes::sparsity(pm); });
  runPasses(*module, "qat", [](auto &pm) { passes::qat(pm); });
  runPasses(*module, "autodiff", [](auto &pm) { passes::autodiff(pm); });
  keep(Stage::autodiff_);
  runPasses(*module, "train", [](auto &pm) { passes::train(pm, {}); });
  keep(Stage::train_);
}
mlir::ModuleOp CompiledProgram::at(Stage stage) const {
  for (const Module &m : modules)
    if (m.stage == stage) return *m.module;
  throw std::runtime_error("no such stage is kept");
}
std::unique_ptr<Executable> CompiledProgram::executable(mlir::OwningOpRef<mlir::ModuleOp> module, const std::string &format, const std::string &backend) const {
  runPasses(*module, "precision", [&](auto &pm) { passes::precision(pm, {0, format, plan.state.master, plan.state.moments, plan.state.nearest, plan.remat.rule, plan.remat.sites, plan.state.caches, plan.state.saved}); });
  return makeExecutable(backend, context, std::move(module));
}

std::map<std::string, size_t> byName(const Executable &x) {
  std::map<std::string, size_t> all;
  for (size_t i = 0; i < x.variables().size(); ++i) all[x.variables()[i].name] = i;
  return all;
}
std::vector<double> get(const Executable &x, const std::string &name) { return numbers(x.get(byName(x).at(name))); }
void set(Executable &x, const std::string &name, const std::vector<double> &v) {
  const size_t i = byName(x).at(name);
  x.set(i, array(x.get(i), v));
}
std::vector<double> numbers(const Array &a) { return values(a); }
std::vector<double> output(const Entry &e, const std::vector<Array> &results, const std::string &name) {
  for (size_t i = 0; i < e.outputs.size(); ++i)
    if (e.outputs[i].name == name) return numbers(results[i]);
  throw std::runtime_error("no output " + name);
}
double distance(const std::vector<double> &a, const std::vector<double> &b) {
  if (a.size() != b.size()) return INFINITY;
  double most = 0, scale = 1;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isfinite(a[i]) != std::isfinite(b[i])) return INFINITY;
    if (!std::isfinite(a[i])) continue;
    most = std::max(most, std::fabs(a[i] - b[i])), scale = std::max(scale, std::fabs(a[i]));
  }
  return most / scale;
}

} // namespace fil::programs
