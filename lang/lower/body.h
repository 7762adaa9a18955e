// SPDX-License-Identifier: Apache-2.0
// Turns the graph of one function into the body of a fil.func.
#pragma once
#include "ir/ir.h"
#include "lang/sema/typed.h"
#include <set>

namespace fil {

/// Names and types shared by all functions of a module.
class LowerContext {
public:
  LowerContext(mlir::MLIRContext *ctx, const SourceManager &sources) : ctx(ctx), sources(sources) {}
  mlir::MLIRContext *ctx;
  const SourceManager &sources;
  std::map<const sema::Variable *, std::string> symbols;

  mlir::StringAttr string(const std::string &s) const { return mlir::StringAttr::get(ctx, s); }
  mlir::ArrayAttr names(llvm::ArrayRef<const sema::Dim *>) const;
  ir::TensorType type(const sema::Type &) const;
  ir::SubsetType subset(const sema::Node &) const;
  mlir::Type typeOf(const sema::Node &) const; ///< of any value
  /// The type with the dims of `loops` added.
  mlir::Type stacked(mlir::Type, llvm::ArrayRef<const sema::Loop *> loops) const;
  /// What one turn sees of storage stacked over `loop`.
  mlir::Type sliced(mlir::Type, const sema::Loop *loop) const;
  mlir::Location location(Span) const;

private:
  std::map<std::string, int> order_;
  friend void noteOrder(LowerContext &, const sema::DimTable &);
};
void noteOrder(LowerContext &, const sema::DimTable &);

/// Emits a `fil.func` with the entry's name at the end of the module.
ir::FuncOp lowerFunction(LowerContext &, mlir::ModuleOp, const sema::Graph &, llvm::StringRef name, llvm::StringRef entry,
                         llvm::ArrayRef<std::string> outputNames);

} // namespace fil
