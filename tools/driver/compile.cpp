// SPDX-License-Identifier: Apache-2.0
#include "tools/driver/compile.h"
#include "tools/driver/contracts.h"
#include "tools/driver/timeline.h"
#include "tools/driver/tune.h"
#include "codegen/cpu/image.h"
#include "codegen/package/package.h"
#include "codegen/reference/reference.h"
#include "lang/lower/lower.h"
#include "mlir/IR/AsmState.h"
#include "mlir/Pass/PassManager.h"
#include "passes/pipeline/pipeline.h"
#include "runtime/base/status.h"
#include "runtime/exec/file.h"
#include "runtime/exec/compiled_executable.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"
#include <unistd.h>

namespace fil {

std::vector<std::string> takeMlirFlags(std::vector<std::string> arguments) {
  std::vector<const char *> flags{"fil"};
  std::vector<std::string> rest;
  for (const std::string &a : arguments) {
    if (a.starts_with("--mlir-")) flags.push_back(a.c_str());
    else rest.push_back(a);
  }
  if (flags.size() == 1) return rest;
  mlir::registerPassManagerCLOptions();
  mlir::registerAsmPrinterCLOptions();
  std::string errors;
  llvm::raw_string_ostream out(errors);
  if (!llvm::cl::ParseCommandLineOptions(int(flags.size()), flags.data(), "", &out))
    throw Error(Exit::Usage, "E0108", "MLIR does not know these flags: " + errors.substr(0, errors.find('\n')), "`fil-opt --help` lists those that begin with --mlir-");
  return rest;
}

static std::string text(mlir::ModuleOp m) {
  std::string s;
  llvm::raw_string_ostream out(s);
  m.print(out);
  return s + "\n";
}

Compiler::Compiler(LoadedProgram &p, const sema::CheckedPlan &plan, CompileOptions o)
    : context(std::make_shared<mlir::MLIRContext>(mlir::MLIRContext::Threading::DISABLED)), program(p), plan(plan), options(std::move(o)),
      last(options.stopAfter ? options.stopAfter : options.emit), messages(p.diags.all().size()) {}

static const char *suffix(Stage s) {
  switch (s) {
  case Stage::ast_: return ".fil";
  case Stage::typed_: return ".txt";
  case Stage::llvm_: return ".ll";
  case Stage::asm_: return ".s";
  default: return ".mlir";
  }
}

bool Compiler::done(Stage stage, const std::function<std::string()> &text) {
  const bool emit = options.emit == stage;
  if (emit || !options.dumpDir.empty()) {
    std::string s = text();
    if (!options.dumpDir.empty()) {
      systemFiles().makeFolder(options.dumpDir);
      writeFile(systemFiles(), fmt::format("{}/{:02}-{}{}", options.dumpDir, int(stage) + 1, name(stage), suffix(stage)), s);
    }
    if (emit) result.emitted = std::move(s);
    timeline().lap("print");
  }
  return last == stage;
}

mlir::OwningOpRef<mlir::ModuleOp> Compiler::lowered() {
  LowerOptions lo;
  lo.model = plan.model;
  lo.loss = plan.train.loss, lo.lossCall = plan.train.lossCall;
  lo.facets = plan.facets, lo.loraBudget = plan.lora.budget, lo.adapters = plan.lora.adapters, lo.batchDim = plan.train.batchDim;
  if (lo.loss) lo.optimizer = OptimizerChoice{plan.train.optimizer.name, plan.train.optimizer.statics};
  auto m = lower(context.get(), *program.program, program.diags, lo);
  if (!m && !program.diags.errors()) throw Error(Exit::Internal, "E0901", "the lowered program is not valid", "please report this with the program");
  return m;
}

void Compiler::pass(Stage stage, mlir::ModuleOp module) {
  mlir::PassManager pm(context.get());
  if (options.mlirFlags && failed(mlir::applyPassManagerCLOptions(pm))) throw Error(Exit::Usage, "E0108", "MLIR's flags do not fit together");
  passes::PipelineOptions po{plan.train.optimizer.clip.value_or(0), plan.precision, plan.state.master, plan.state.moments, plan.state.nearest, plan.remat.rule, plan.remat.sites, plan.state.caches, plan.state.saved, options.neurons};
  switch (stage) {
  case Stage::normalize_: passes::normalize(pm); break;
  case Stage::lora_: passes::lora(pm); break;
  case Stage::sparsity_: passes::sparsity(pm, po); break;
  case Stage::qat_: passes::qat(pm); break;
  case Stage::autodiff_: passes::autodiff(pm); break;
  case Stage::train_: passes::train(pm, po); break;
  case Stage::precision_: passes::precision(pm, po); break;
  case Stage::schedule_: passes::schedule(pm, po); break;
  default: return;
  }
  std::optional<Error> refusal; // what a pass cannot do with a valid program and plan, by its code
  mlir::ScopedDiagnosticHandler handler(context.get(), [&](mlir::Diagnostic &d) {
    const bool error = d.getSeverity() == mlir::DiagnosticSeverity::Error;
    std::string where;
    if (auto at = mlir::dyn_cast<mlir::FileLineColLoc>(d.getLocation())) where = fmt::format("\n --> {}:{}:{}", at.getFilename().str(), at.getLine(), at.getColumn());
    const std::string message = d.str(), code = message.substr(0, message.find(':'));
    const MessageRow *row = findRow(code);
    if (row && error) {
      if (!refusal) refusal.emplace(Exit::Input, code, message.substr(code.size() + 2) + where, row->help);
    } else if (error || d.getSeverity() <= mlir::DiagnosticSeverity::Warning) {
      fmt::print(stderr, "{}{}\n", error ? "error[E0901]: " + message : row ? fmt::format("warning[{}]{}", code, message.substr(code.size())) : "warning: " + message, where);
      said = true;
    }
    return mlir::success();
  });
  mlir::OwningOpRef<mlir::ModuleOp> copy = mlir::cast<mlir::ModuleOp>(module->clone());
  if (mlir::succeeded(passes::run(pm, module))) return;
  if (refusal) throw *refusal;
  std::string file = fmt::format("fil-{}-{}.mlir", name(stage), getpid());
  writeFile(systemFiles(), file, text(*copy));
  throw Error(Exit::Internal, "E0901", fmt::format("the stage `{}` failed on a valid program", name(stage)), fmt::format("please report this with `{}`, the program before that stage", file));
}

mlir::OwningOpRef<mlir::ModuleOp> Compiler::module(Stage end) {
  auto m = lowered();
  timeline().lap(name(Stage::fil_));
  if (!m) return m;
  if (done(Stage::fil_, [&] { return text(*m); })) return m;
  for (Stage s : {Stage::normalize_, Stage::lora_, Stage::sparsity_, Stage::qat_, Stage::autodiff_, Stage::train_, Stage::precision_, Stage::schedule_}) {
    if (s > end) break;
    pass(s, *m);
    timeline().lap(name(s));
    if (s == Stage::precision_ && options.contracts && !plan.costs.empty()) {
      const sema::CheckedPlan plain = sema::plainPlan(*program.program, plan);
      Compiler other(program, plain, {}); // its context outlives the module
      checkCosts(program, plan, *m, [&] { return other.module(Stage::precision_); });
      timeline().lap("contracts");
    }
    if (done(s, [&] { return text(*m); })) break;
  }
  return m;
}

Compiled Compiler::run() {
  const bool reference = options.backend == "reference";
  auto astText = [&] {
    std::string all;
    for (size_t i = 1; i < program.files.size(); ++i) all += ast::print(program.files[i], program.sources);
    return all;
  };
  if (done(Stage::ast_, astText)) return std::move(result);
  auto typedText = [&] {
    std::string all;
    for (bool training : {true, false})
      if (plan.train.loss || !training)
        if (auto g = program.program->elaborateModel(plan.model, training ? plan.train.loss : nullptr, plan.train.lossCall, training)) all += sema::print(*g);
    return all;
  };
  if (done(Stage::typed_, typedText)) return std::move(result);
  auto m = module(reference && !last ? Stage::precision_ : Stage::schedule_);
  if (!m || (last && *last <= Stage::schedule_)) return std::move(result);
  if (reference && boundsMemory()) throw Error(Exit::Input, "E0801", "the reference has no arena, so `mem` of the plan's `require` cannot be checked", "leave `--backend=reference` out, or use a plan without it");
  if (reference && !last) result.executable = referenceExecutable(context, std::move(m));
  else generate(*m);
  if (options.keepGroups && !result.launches.empty()) result.scheduled = std::move(m);
  return std::move(result);
}

Manifest cpuManifest(mlir::ModuleOp module, const Target &target, const std::string &remat, const PackageOptions &made) {
  mlir::PassManager pm(module.getContext());
  passes::PipelineOptions options;
  options.remat = remat;
  passes::schedule(pm, options);
  if (mlir::failed(pm.run(module))) throw Error(Exit::Internal, "E0901", "the stage `schedule` failed on a valid program");
  PackageText text;
  PackageTimes times;
  return package(module, target, made, text, times);
}
std::unique_ptr<CompiledExecutable> cpuExecutable(mlir::ModuleOp module, const Target &target, const std::string &remat, const PackageOptions &made) { return loadExecutable(cpuManifest(module, target, remat, made)); }

void Compiler::generate(mlir::ModuleOp m) {
  auto wanted = [&](Stage s) { return options.emit == s || !options.dumpDir.empty(); };
  PackageText text;
  PackageTimes times;
  auto store = options.build.empty() ? std::nullopt : Store::ofUser();
  const PackageOptions po{wanted(Stage::kernels_), wanted(Stage::llvm_), wanted(Stage::asm_), last != Stage::kernels_, store ? &*store : nullptr, options.build};
  result.target = findTarget(options.targetCpu);
  result.target.dots &= !plan.bitExact;
  if (options.tune) {
    std::string report;
    result.target = tune(m, result.target, plan.train, po, report);
    fmt::print(stderr, "{}", report);
    timeline().lap("tune");
  }
  Manifest made = package(m, result.target, po, text, times);
  if (boundsMemory()) {
    const sema::CheckedPlan plain = sema::plainPlan(*program.program, plan);
    CompileOptions plainOptions;
    plainOptions.targetCpu = options.targetCpu, plainOptions.keepGroups = true;
    checkMemory(program, plan, made, [&] {
      Compiler other(program, plain, plainOptions);
      return std::move(*other.run().manifest);
    });
  }
  made.plan = plan.text, made.dims = program.dimSizes();
  if (options.keepGroups) result.launches = std::move(text.launches), result.programs = std::move(text.programs), result.manifest = made;
  timeline().split(name(Stage::kernels_), times.emit / 1e3);
  if (done(Stage::kernels_, [&] { return text.kernels; })) return;
  timeline().lap(name(Stage::asm_));
  if (done(Stage::llvm_, [&] { return text.llvm; })) return;
  if (done(Stage::asm_, [&] { return text.assembly; })) return;
  if (!options.saveTo.empty()) saveManifest(systemFiles(), options.saveTo, made);
  if (auto why = store ? store->refusal() : std::error_code()) {
    fmt::print(stderr, "warning: nothing is kept in the cache {}: {}\n  = help: FIL_CACHE_DIR names another folder, and FIL_CACHE_BYTES=0 keeps nothing\n", store->folder.string(), why.message());
  } else if (store) {
    // What said something is compiled again, so that it says it again.
    if (!options.programKey.empty() && !said && program.diags.all().size() == messages) store->put("program", options.programKey, fileOf(made));
    store->trimWhenDue();
    timeline().lap("keep");
  }
  result.executable = loadExecutable(std::move(made));
  timeline().lap("load");
}

} // namespace fil
