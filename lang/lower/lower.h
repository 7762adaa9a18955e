// SPDX-License-Identifier: Apache-2.0
// Typed programs to the fil dialect: the only part of lang that includes MLIR.
#pragma once
#include "ir/ir.h"
#include "lang/sema/plan.h"

namespace fil {

/// The optimizer of a plan: a library function and its static arguments. Weight decay holds for maps only.
struct OptimizerChoice {
  std::string function;                  ///< `adamw`
  std::map<std::string, double> statics; ///< `b1`, `wd`, ..
};

struct LowerOptions {
  std::string model;
  const ast::Function *loss = nullptr;   ///< null: the model alone (no entries `train` and `eval`)
  const ast::Expr *lossCall = nullptr;
  std::optional<OptimizerChoice> optimizer;
  std::vector<sema::PlanFacet> facets;
  int64_t adapters = 1;                  ///< at once; each row of `batchDim` has one of them
  std::string batchDim = "B";
  double loraBudget = 0;                 ///< share of the params; 0: every line gives a rank
};

/// Entries `train` and `eval` (with a loss), `run`, and optimizer functions, in a verified module. Mistakes, facets
/// that do not compose among them, go to the diagnostics and give null.
mlir::OwningOpRef<mlir::ModuleOp> lower(mlir::MLIRContext *, sema::Program &, Diagnostics &, const LowerOptions &);

} // namespace fil
