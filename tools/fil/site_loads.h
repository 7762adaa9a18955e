// SPDX-License-Identifier: Apache-2.0
// What each site of a program costs at a plan's sizes: what `fil plan --diff` and `fil explain` compare.
#pragma once
#include "ir/ir.h"
#include "runtime/exec/binding.h"

namespace fil {

struct SiteLoad {
  double flops = 0, bytes = 0;                  ///< of one call; operands and results of each operation once
  int64_t params = 0, optimizer = 0, state = 0; ///< bytes that are kept
  SiteLoad &operator+=(const SiteLoad &o) {
    flops += o.flops, bytes += o.bytes, params += o.params, optimizer += o.optimizer, state += o.state;
    return *this;
  }
  bool operator==(const SiteLoad &) const = default;
};

/// `l.Attention.q`: a site without the turns of loops, which plans cut in different ways; of what is kept for a param the param.
std::string placeOf(llvm::StringRef site);
/// Of the ops and variables (by site) that are wanted. Error E0516 where the sizes do not decide it.
SiteLoad siteLoad(mlir::ModuleOp, bool f64, const Binding &sizes, llvm::function_ref<bool(mlir::Operation *)> ops, llvm::function_ref<bool(llvm::StringRef)> variables);
/// By place, of a module at the stage `train`: of its step, of `run` where there is none.
std::map<std::string, SiteLoad> siteLoads(mlir::ModuleOp, bool f64, const Binding &sizes);
/// `1.2e+09 -> 8.1e+08 (0.68x)`
std::string changeText(double from, double to);

} // namespace fil
