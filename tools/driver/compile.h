// SPDX-License-Identifier: Apache-2.0
// A checked program and its plan to an Executable, or to a printed stage on the way.
#pragma once
#include "codegen/cpu/target.h"
#include "codegen/package/package.h"
#include "lang/sema/plan.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "runtime/exec/compiled_executable.h"
#include "tools/driver/options.h"
#include "tools/driver/program.h"

namespace fil {

/// Takes `--mlir-*` out of a command's arguments and gives them to MLIR. Error (usage) for one that it does not know.
std::vector<std::string> takeMlirFlags(std::vector<std::string> arguments);

struct Compiled {
  std::unique_ptr<Executable> executable; ///< null where a stage ended it
  std::string emitted;                    ///< text of the stage asked for
  mlir::OwningOpRef<mlir::ModuleOp> scheduled; ///< in the compiler's context
  std::vector<std::vector<LaunchNote>> launches; ///< for each group of `scheduled`, in the order of its text; empty for the reference
  std::vector<ProgramNotes> programs;            ///< of `manifest`
  Target target;                                 ///< with what was tuned; of generated code
  std::optional<Manifest> manifest;              ///< with CompileOptions::keepGroups
};

/// The module at the end of `last` (fil to precision); mistakes of the program are in its diagnostics and give null.
class Compiler {
public:
  Compiler(LoadedProgram &, const sema::CheckedPlan &, CompileOptions);
  Compiled run();
  /// The module after a stage of the middle (fil .. precision).
  mlir::OwningOpRef<mlir::ModuleOp> module(Stage last);
  std::shared_ptr<mlir::MLIRContext> context;

private:
  LoadedProgram &program;
  const sema::CheckedPlan &plan;
  CompileOptions options;
  Compiled result;
  std::optional<Stage> last;     ///< where it ends: --stop-after, else --emit
  bool said = false;             ///< passes had something to say, on stderr
  size_t messages;               ///< of the program before

  /// Notes the text of a stage; true if it is the last one asked for.
  bool done(Stage, const std::function<std::string()> &text);
  mlir::OwningOpRef<mlir::ModuleOp> lowered();
  void pass(Stage, mlir::ModuleOp);
  void generate(mlir::ModuleOp);
  bool boundsMemory() const { return options.contracts && llvm::any_of(plan.costs, [](auto &c) { return c.metric == "mem"; }); }
};

/// A module after the precision pass, scheduled and compiled for the CPU.
Manifest cpuManifest(mlir::ModuleOp, const Target &, const std::string &remat = "auto", const PackageOptions & = {});
std::unique_ptr<CompiledExecutable> cpuExecutable(mlir::ModuleOp, const Target &, const std::string &remat = "auto", const PackageOptions & = {});

} // namespace fil
