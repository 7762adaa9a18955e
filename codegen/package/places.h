// SPDX-License-Identifier: Apache-2.0
// Where the values of one program stand: buffers with lifetimes, views of them, layouts.
#pragma once
#include "codegen/cpu/group_kernel.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/MapVector.h"
#include "runtime/exec/manifest.h"

namespace fil {

/// A value's memory. Of a subset: members, and their counts.
struct Place {
  View view, counts;
  Layout layout, countLayout;
};

/// Dims of a value; of a subset those of its members. `slots` gives the size that a dim has in memory.
using Slots = llvm::function_ref<Size(mlir::StringAttr)>;
/// Row-major.
Layout layoutOf(llvm::ArrayRef<mlir::StringAttr> order, Slots);
Size elementsOf(const Layout &, Slots);
int64_t elementBytes(mlir::Type value, bool f64);

/// The buffers of a program and how long they live.
class Buffers {
public:
  std::vector<Buffer> all;
  int position = 0; ///< of the step being made

  int add(Buffer::Kind kind, int index, Size bytes, std::string what);
  /// The step at hand reads or writes it.
  void touch(const View &v);
  void beginLoop() { loops.push_back({position, {}}); }
  /// What stood before the loop and is used in it lives until its end.
  void endLoop();

private:
  struct Loop { int begin; llvm::SmallVector<int> used; };
  std::vector<Loop> loops;
  std::vector<size_t> depths; ///< loops around the place where a buffer was made
};

/// Rules of order: which dims stand innermost.
class Layouts {
public:
  explicit Layouts(mlir::ModuleOp module);
  /// Loop dims first, then the canonical order.
  llvm::SmallVector<mlir::StringAttr> standard(llvm::ArrayRef<mlir::StringAttr> canonical) const;
  /// The same of a variable; dims that all its contractions have in both operands (an expert's) stand outside, as in their results. State of the
  /// optimizer follows the param that it is of.
  llvm::SmallVector<mlir::StringAttr> ofVariable(ir::VariableOp) const;
  /// The order in which a group writes a result if nobody asks for one: dims that a contraction has in both operands stand outside; what
  /// follows another value point by point has its order.
  llvm::SmallVector<mlir::StringAttr> natural(ir::GroupOp, unsigned result, llvm::ArrayRef<Place> inputs) const;

private:
  llvm::SmallPtrSet<void *, 8> loopDims;
  std::map<std::string, llvm::SmallPtrSet<void *, 4>> outer; ///< of params
};

/// Does the group read this input only where it writes that result, and never after it? Then both may be the same memory.
bool readsOwnPoint(ir::GroupOp, unsigned input, unsigned result);

} // namespace fil
