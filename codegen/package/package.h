// SPDX-License-Identifier: Apache-2.0
// A scheduled module to what the runtime takes: every group becomes a kernel and a launch, every value a place in memory, every loop a list.
#pragma once
#include "codegen/cache/store.h"
#include "codegen/cpu/target.h"
#include "codegen/select/contraction.h"
#include "mlir/IR/BuiltinOps.h"
#include "runtime/exec/manifest.h"

namespace fil {

struct LaunchNote {
  std::string kernel, what; ///< what: rows and kept operations of its group, perhaps its part of the work and its tiles in brackets
  std::optional<ContractionDescriptor> contraction; ///< what its register tile was chosen for
  std::string entry, site;
};
struct ProgramNotes {
  std::vector<std::string> buffers; ///< of each what made its value, `model.fil:7  map exp at l[0..4]`; empty where no operation did
  std::vector<std::string> steps;   ///< of each position what happens there
};
/// For people: what was made, in the order of the launches.
struct PackageText {
  std::string kernels, llvm, assembly;
  std::vector<std::vector<LaunchNote>> launches; ///< for each group of the module, in the order of its text
  std::vector<ProgramNotes> programs;            ///< of the manifest
};
/// Which texts are wanted (assembly and optimised IR are made for them alone).
struct PackageOptions {
  bool kernels = false, llvm = false, assembly = false;
  bool code = true;           ///< else the manifest has none
  Store *store = nullptr; ///< of compileImage
  std::string build;
};

/// Milliseconds of the parts of one compilation.
struct PackageTimes { double emit = 0, compile = 0; int64_t kernels = 0, launches = 0, codeBytes = 0; };

/// The module is one after the stage `schedule`. Every kernel is emitted for each launch and compiled once.
Manifest package(mlir::ModuleOp, const Target &, const PackageOptions &, PackageText &, PackageTimes &);

} // namespace fil
