// SPDX-License-Identifier: Apache-2.0
// The way of a module from the lowered program to the back ends: one function for each stage.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"

namespace fil::passes {

struct PipelineOptions {
  double clip = 0;               ///< bound of the gradient norm; 0: none
  std::string format = "f32";    ///< of `real`
  std::string master = "f32";    ///< how trained params are kept: f32 or split
  std::vector<std::string> moments; ///< formats of what the optimizer keeps: of all, or of one state, `m=e4m3`
  bool nearest = false;          ///< these are rounded to the nearest, not at random
  std::string remat = "auto";    ///< what reverse loops compute again: auto, none, attn, all
  std::vector<std::string> rematSites; ///< with auto: in any case
  std::vector<std::string> caches;     ///< formats of what can be looked back at: of all, or of those of a name, `ks=e4m3`
  std::string saved = "f32";           ///< the format of what loops save for their gradient
  bool neurons = false;                ///< the entry `neurons`, for who groups them
};

void normalize(mlir::OpPassManager &);
void lora(mlir::OpPassManager &);
void sparsity(mlir::OpPassManager &, const PipelineOptions & = {});
void qat(mlir::OpPassManager &);
void autodiff(mlir::OpPassManager &);
void train(mlir::OpPassManager &, const PipelineOptions &);
void precision(mlir::OpPassManager &, const PipelineOptions &);
void schedule(mlir::OpPassManager &, const PipelineOptions &);

/// Runs the passes. A failure, and an error, where one of them takes a facet out of the site table that it has not marked as consumed.
mlir::LogicalResult run(mlir::PassManager &, mlir::ModuleOp);

/// For fil-opt.
void registerAllPasses();

} // namespace fil::passes
