// SPDX-License-Identifier: Apache-2.0
// The highest of many scores, of equal ones those of the lowest index: what `topk` and `highest` choose in a row.
#pragma once
#include "codegen/cpu/operands.h"

namespace fil {

class Highest {
public:
  Highest(KernelBuilder &k, Evaluator &e) : k(k), e(e) {}
  /// Writes the members in rising order, and how many there are. Candidates are the positions [begin, end).
  void topk(ir::TopKOp, const Point &row, const Memory &out, llvm::Value *begin, llvm::Value *end);
  /// Writes a bool for each score: is it among the highest?
  void highest(ir::HighestOp, const Point &row, const Memory &out);

private:
  KernelBuilder &k;
  Evaluator &e;

  /// Whole numbers in scratch that order like the scores; the least number is what cannot be chosen, and stands behind the last in as many places as a turn reads.
  struct Keys {
    llvm::Value *at, *n;
    llvm::IntegerType *type;
    llvm::Type *vector;
    llvm::Value *least, *most;              ///< vectors: of the candidates of each lane
    llvm::Value *candidates = nullptr, *lowest = nullptr, *highest = nullptr; ///< by `finish`: their number, the least and the largest key, as i64
  };
  Keys makeKeys(const Size &room);
  llvm::Value *place(const Keys &, llvm::Value *i);
  llvm::Constant *number(const Keys &, int64_t);
  /// The keys of `n` scores from `to` on; `score(i, mask)` gives a score, and whether it is a candidate (null: it is).
  void fill(Keys &, llvm::Value *to, llvm::Value *n, llvm::function_ref<std::pair<llvm::Value *, llvm::Value *>(llvm::Value *i, llvm::Value *mask)> score);
  void finish(Keys &, llvm::Value *n);
  /// How many keys are greater.
  llvm::Value *above(const Keys &, llvm::Value *key);
  /// Those greater than `key` are chosen, and so many of its equals.
  struct Threshold { llvm::Value *key, *ties; };
  Threshold find(const Keys &, llvm::Value *count);
  /// visit(i, which of the lanes are chosen, carried) for vectors of keys in rising order.
  Values eachChosen(const Keys &, Threshold, llvm::ArrayRef<llvm::Value *> carried, llvm::function_ref<Values(llvm::Value *, llvm::Value *, llvm::ArrayRef<llvm::Value *>)> visit);
  llvm::Value *bits(llvm::Value *mask) { return k.b.CreateZExt(k.b.CreateBitCast(mask, k.b.getIntNTy(unsigned(k.lanes))), k.i64); }
  /// Of each byte the numbers of its bits that are 1, one byte for each.
  llvm::Value *numbersOfBits();
};

} // namespace fil
