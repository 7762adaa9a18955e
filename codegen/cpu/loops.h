// SPDX-License-Identifier: Apache-2.0
// Structured control flow over IRBuilder. All emitters of this folder insert at the end of an unterminated block and leave the
// builder at the end of another one; blocks are added to the function in the order of the text.
#pragma once
#include <llvm/ADT/STLFunctionalExtras.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/IRBuilder.h>

namespace fil {

using Values = llvm::SmallVector<llvm::Value *, 32>;

/// for (i = begin; i < end; i += step), i64, step > 0, with values carried from turn to turn: `body` gets those of the turn before
/// and returns the next ones. Returns the last ones (`initial` if there is no turn).
Values emitLoop(llvm::IRBuilderBase &, llvm::Value *begin, llvm::Value *end, int64_t step, llvm::ArrayRef<llvm::Value *> initial,
                llvm::function_ref<Values(llvm::Value *i, llvm::ArrayRef<llvm::Value *> carried)> body);
void emitLoop(llvm::IRBuilderBase &, llvm::Value *begin, llvm::Value *end, int64_t step,
              llvm::function_ref<void(llvm::Value *i)> body);

/// Once, and again as long as the last value that `body` returns, an i1, is true.
Values emitRepeat(llvm::IRBuilderBase &, llvm::ArrayRef<llvm::Value *> initial, llvm::function_ref<Values(llvm::ArrayRef<llvm::Value *> carried)> body);

/// Both branches return the same number of values; the chosen ones are returned. Constant conditions emit one branch.
Values emitIf(llvm::IRBuilderBase &, llvm::Value *condition, llvm::function_ref<Values()> then, llvm::function_ref<Values()> otherwise);
void emitIf(llvm::IRBuilderBase &, llvm::Value *condition, llvm::function_ref<void()> then);

/// i64 arithmetic that folds constants and does not wrap.
llvm::Value *emitMin(llvm::IRBuilderBase &, llvm::Value *, llvm::Value *);
llvm::Value *emitMax(llvm::IRBuilderBase &, llvm::Value *, llvm::Value *);
llvm::Value *emitMul(llvm::IRBuilderBase &, llvm::Value *, llvm::Value *);
llvm::Value *emitAdd(llvm::IRBuilderBase &, llvm::Value *, llvm::Value *);
/// The address of element `index` of an array of `type`.
llvm::Value *emitAt(llvm::IRBuilderBase &, llvm::Type *type, llvm::Value *pointer, llvm::Value *index);
/// <lanes x i1>: lanes below `valid` (any i64).
llvm::Value *emitMask(llvm::IRBuilderBase &, llvm::Value *valid, int lanes);
/// All lanes of a vector combined by a tree of halves.
llvm::Value *emitTree(llvm::IRBuilderBase &, llvm::Value *vector, llvm::function_ref<llvm::Value *(llvm::Value *, llvm::Value *)> combine);
/// Asks for the cache line of element `index` of an array of `type`, which may lie behind the end.
void emitPrefetch(llvm::IRBuilderBase &, llvm::Type *type, llvm::Value *pointer, llvm::Value *index, bool toWrite);

} // namespace fil
