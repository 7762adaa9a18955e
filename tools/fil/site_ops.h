// SPDX-License-Identifier: Apache-2.0
// Which ops belong to a site, in a module of any stage from train on: those that stand at it or below it, and those that read, write or
// train a variable there. A weight's gradient stands where its forward op stands, often a block away from the weight: data flow finds it.
#pragma once
#include "ir/ir.h"
#include "llvm/ADT/SetVector.h"

namespace fil {

class SiteOps {
public:
  SiteOps(mlir::ModuleOp module, const ir::Dims &dims) : module(module), dims(dims) {}
  /// Of all entries. Only ops that do work.
  llvm::SetVector<mlir::Operation *> of(const std::string &site);
  /// False for constants, views and loops (whose ops are asked one by one).
  bool works(mlir::Operation *) const;

private:
  mlir::ModuleOp module;
  const ir::Dims &dims;
  void variables(ir::FuncOp, llvm::function_ref<bool(llvm::StringRef)> within, llvm::SetVector<mlir::Operation *> &);
};

/// `forward`, `wgrad`, ..; empty where the op has none.
llvm::StringRef roleOf(mlir::Operation *);
using ir::siteOf, ir::titleOf;

} // namespace fil
