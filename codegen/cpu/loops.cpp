// SPDX-License-Identifier: Apache-2.0
#include "codegen/cpu/loops.h"
#include <llvm/IR/Intrinsics.h>
#include <numeric>

namespace fil {
using namespace llvm;

namespace {
BasicBlock *addBlock(IRBuilderBase &b, const char *name) {
  return BasicBlock::Create(b.getContext(), name, b.GetInsertBlock()->getParent());
}
} // namespace

Values emitLoop(IRBuilderBase &b, Value *begin, Value *end, int64_t step, ArrayRef<Value *> initial,
                function_ref<Values(Value *, ArrayRef<Value *>)> body) {
  BasicBlock *before = b.GetInsertBlock(), *loop = addBlock(b, "loop");
  BasicBlock *after = BasicBlock::Create(b.getContext(), "after");
  b.CreateCondBr(b.CreateICmpSLT(begin, end), loop, after);
  b.SetInsertPoint(loop);
  PHINode *i = b.CreatePHI(b.getInt64Ty(), 2, "i");
  i->addIncoming(begin, before);
  Values carried;
  for (Value *v : initial) {
    PHINode *phi = b.CreatePHI(v->getType(), 2);
    phi->addIncoming(v, before);
    carried.push_back(phi);
  }
  Values next = body(i, carried);
  assert(next.size() == initial.size());
  Value *following = b.CreateAdd(i, b.getInt64(uint64_t(step)), "", true, true);
  BasicBlock *last = b.GetInsertBlock();
  b.CreateCondBr(b.CreateICmpSLT(following, end), loop, after);
  i->addIncoming(following, last);
  for (size_t n = 0; n < carried.size(); ++n) cast<PHINode>(carried[n])->addIncoming(next[n], last);
  after->insertInto(before->getParent());
  b.SetInsertPoint(after);
  Values result;
  for (size_t n = 0; n < next.size(); ++n) {
    PHINode *phi = b.CreatePHI(next[n]->getType(), 2);
    phi->addIncoming(initial[n], before);
    phi->addIncoming(next[n], last);
    result.push_back(phi);
  }
  return result;
}

void emitLoop(IRBuilderBase &b, Value *begin, Value *end, int64_t step, function_ref<void(Value *)> body) {
  emitLoop(b, begin, end, step, {}, [&](Value *i, ArrayRef<Value *>) {
    body(i);
    return Values();
  });
}

Values emitRepeat(IRBuilderBase &b, ArrayRef<Value *> initial, function_ref<Values(ArrayRef<Value *>)> body) {
  BasicBlock *before = b.GetInsertBlock(), *loop = addBlock(b, "repeat");
  b.CreateBr(loop);
  b.SetInsertPoint(loop);
  Values carried;
  for (Value *v : initial) {
    PHINode *phi = b.CreatePHI(v->getType(), 2);
    phi->addIncoming(v, before);
    carried.push_back(phi);
  }
  Values next = body(carried);
  Value *again = next.pop_back_val();
  for (auto [phi, v] : llvm::zip_equal(carried, next)) cast<PHINode>(phi)->addIncoming(v, b.GetInsertBlock());
  BasicBlock *last = b.GetInsertBlock(), *after = addBlock(b, "after");
  b.SetInsertPoint(last);
  b.CreateCondBr(again, loop, after);
  b.SetInsertPoint(after);
  return next;
}

Values emitIf(IRBuilderBase &b, Value *condition, function_ref<Values()> then, function_ref<Values()> otherwise) {
  if (auto *known = dyn_cast<ConstantInt>(condition)) return known->isZero() ? otherwise() : then();
  BasicBlock *yes = addBlock(b, "then"), *no = BasicBlock::Create(b.getContext(), "else");
  BasicBlock *after = BasicBlock::Create(b.getContext(), "after");
  Function *function = b.GetInsertBlock()->getParent();
  b.CreateCondBr(condition, yes, no);
  b.SetInsertPoint(yes);
  Values a = then();
  BasicBlock *yesEnd = b.GetInsertBlock();
  b.CreateBr(after);
  no->insertInto(function);
  b.SetInsertPoint(no);
  Values c = otherwise();
  BasicBlock *noEnd = b.GetInsertBlock();
  b.CreateBr(after);
  after->insertInto(function);
  b.SetInsertPoint(after);
  assert(a.size() == c.size());
  Values result;
  for (size_t n = 0; n < a.size(); ++n) {
    PHINode *phi = b.CreatePHI(a[n]->getType(), 2);
    phi->addIncoming(a[n], yesEnd);
    phi->addIncoming(c[n], noEnd);
    result.push_back(phi);
  }
  return result;
}

void emitIf(IRBuilderBase &b, Value *condition, function_ref<void()> then) {
  emitIf(
      b, condition,
      [&] {
        then();
        return Values();
      },
      [] { return Values(); });
}

Value *emitMin(IRBuilderBase &b, Value *x, Value *y) {
  return x == y ? x : b.CreateSelect(b.CreateICmpSLT(x, y), x, y);
}
Value *emitMax(IRBuilderBase &b, Value *x, Value *y) {
  return x == y ? x : b.CreateSelect(b.CreateICmpSGT(x, y), x, y);
}
Value *emitMul(IRBuilderBase &b, Value *x, Value *y) {
  for (auto [one, other] : {std::pair(x, y), std::pair(y, x)})
    if (auto *c = dyn_cast<ConstantInt>(one); c && (c->isOne() || c->isZero())) return c->isOne() ? other : one;
  return b.CreateMul(x, y, "", false, true);
}
Value *emitAdd(IRBuilderBase &b, Value *x, Value *y) {
  for (auto [one, other] : {std::pair(x, y), std::pair(y, x)})
    if (auto *c = dyn_cast<ConstantInt>(one); c && c->isZero()) return other;
  return b.CreateAdd(x, y, "", false, true);
}
Value *emitAt(IRBuilderBase &b, Type *type, Value *pointer, Value *index) {
  if (auto *c = dyn_cast<ConstantInt>(index); c && c->isZero()) return pointer;
  return b.CreateInBoundsGEP(type, pointer, index);
}
Value *emitMask(IRBuilderBase &b, Value *valid, int lanes) {
  SmallVector<Constant *> indices;
  for (int i = 0; i < lanes; ++i) indices.push_back(b.getInt32(uint32_t(i)));
  Value *clamped = emitMin(b, emitMax(b, valid, b.getInt64(0)), b.getInt64(uint64_t(lanes)));
  return b.CreateICmpSLT(ConstantVector::get(indices), b.CreateVectorSplat(unsigned(lanes), b.CreateTrunc(clamped, b.getInt32Ty())));
}

Value *emitTree(IRBuilderBase &b, Value *v, function_ref<Value *(Value *, Value *)> combine) {
  // Vectors of half the length, no shuffles within whole ones: of two shuffles <2,3,2,3,4,..,15> of different <16 x i32> in one function
  // LLVM 22 makes the first one a broadcast of the elements 0 and 1 (AVX-512; the test `positions` had it).
  for (unsigned half = cast<FixedVectorType>(v->getType())->getNumElements() / 2; half >= 1; half /= 2) {
    SmallVector<int> low(half), high(half);
    std::iota(low.begin(), low.end(), 0), std::iota(high.begin(), high.end(), half);
    v = combine(b.CreateShuffleVector(v, low), b.CreateShuffleVector(v, high));
  }
  return b.CreateExtractElement(v, uint64_t(0));
}
void emitPrefetch(IRBuilderBase &b, Type *type, Value *pointer, Value *index, bool toWrite) {
  b.CreateIntrinsic(Intrinsic::prefetch, {b.getPtrTy()}, {b.CreateGEP(type, pointer, index), b.getInt32(toWrite), b.getInt32(3), b.getInt32(1)});
}

} // namespace fil
