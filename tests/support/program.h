// SPDX-License-Identifier: Apache-2.0
// A program in a string, compiled for the reference back end: what tests of passes and back ends begin with.
#pragma once
#include "runtime/base/memory_files.h"
#include "runtime/exec/binding.h"
#include "tools/driver/compile.h"
#include <random>

namespace fil {

struct TestProgram {
  std::unique_ptr<LoadedProgram> loaded;
  sema::CheckedPlan plan;
  std::unique_ptr<Executable> executable;
  std::mt19937_64 random{1};

  /// Compiles up to `last` (autodiff: the entry `grad`; train: `step`), then formats. Empty `executable` and messages in `errors` if it is refused.
  TestProgram(const std::string &text, Stage last, const std::string &format = "f64", std::map<std::string, int64_t> dims = {},
              const std::string &optimizer = "adamw", const std::string &backend = "reference");
  std::string errors() const { return loaded->diags.render(); }

  const Entry &entry(const std::string &name) const;
  /// Random inputs at these sizes: reals near a normal distribution, indices and bools uniform, `step` 3, `seed` 5, `lr` 0.1.
  std::vector<Array> inputs(const Entry &, const Binding &sizes);
  /// Every variable gets random values (states positive ones).
  void randomize();
  size_t variable(const std::string &name) const;
};

/// A module after the precision pass as a back end runs it: `reference`, `cpu`, `exact` (the CPU, as `require { bit_exact }` has it), or the CPU limited to `x86-64-v3`; behind the latter perhaps a rule, ` remat all`.
std::unique_ptr<Executable> makeExecutable(const std::string &backend, std::shared_ptr<mlir::MLIRContext>, mlir::OwningOpRef<mlir::ModuleOp>);

std::vector<double> values(const Array &);
Array array(const Array &like, const std::vector<double> &);

} // namespace fil
