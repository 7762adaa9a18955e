// SPDX-License-Identifier: Apache-2.0
// One program compiled through the stages, each kept; executables of any of them.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "tools/driver/compile.h"
#include <functional>

namespace fil::programs {

class CompiledProgram {
public:
  /// By the first plan of the text, if it has one. Throws std::runtime_error with the program's messages where it is refused, naming the stage where a pass fails.
  /// Without an optimizer: of the model alone.
  explicit CompiledProgram(const std::string &text, std::map<std::string, int64_t> dims = {}, const std::string &optimizer = "sgd", const std::string &model = {});

  std::unique_ptr<LoadedProgram> loaded;
  sema::CheckedPlan plan;
  std::shared_ptr<mlir::MLIRContext> context;
  struct Module { Stage stage; mlir::OwningOpRef<mlir::ModuleOp> module; };
  std::vector<Module> modules;    ///< fil, normalize, autodiff, train; precision is chosen by `run`
  mlir::ModuleOp at(Stage) const;
  mlir::OwningOpRef<mlir::ModuleOp> copy(Stage s) const { return mlir::cast<mlir::ModuleOp>(at(s)->clone()); }
  /// A module in a format, for a back end; null where the back end is not built.
  std::unique_ptr<Executable> executable(mlir::OwningOpRef<mlir::ModuleOp>, const std::string &format = "f64", const std::string &backend = "reference") const;
};

/// The number of each variable.
std::map<std::string, size_t> byName(const Executable &);
std::vector<double> numbers(const Array &);
/// Of a variable by its name.
std::vector<double> get(const Executable &, const std::string &name);
void set(Executable &, const std::string &name, const std::vector<double> &);
/// The output of that name.
std::vector<double> output(const Entry &, const std::vector<Array> &results, const std::string &name);
/// The largest distance, relative to 1 + the largest value; infinite where only one of them is a number.
double distance(const std::vector<double> &, const std::vector<double> &);

} // namespace fil::programs
