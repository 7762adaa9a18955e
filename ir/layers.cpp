// SPDX-License-Identifier: Apache-2.0
#include "ir/layers.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
namespace fil::ir {

Value outsideOf(Value v) {
  auto a = dyn_cast<BlockArgument>(v);
  auto loop = a ? dyn_cast<LayersOp>(a.getOwner()->getParentOp()) : LayersOp();
  return loop && a.getArgNumber() > loop.getCarried().size() ? loop.getOperand(a.getArgNumber() - 1) : Value();
}

Value outermost(Value v) {
  while (Value outside = outsideOf(v)) v = outside;
  return v;
}

Value bringBeside(Value v, function_ref<Value(ReadOp)> beside) {
  if (auto r = v.getDefiningOp<ReadOp>()) return beside(r);
  Value outside = outsideOf(v), other = outside ? bringBeside(outside, beside) : Value();
  if (!other) return {};
  auto loop = cast<LayersOp>(cast<BlockArgument>(v).getOwner()->getParentOp());
  LayersEdit edit(loop);
  const bool stacked = cast<BlockArgument>(v).getArgNumber() < 1 + loop.getCarried().size() + loop.getStacked().size();
  Value inside = stacked ? edit.stacked(other) : edit.shared(other);
  edit.finish();
  return inside;
}

Value bringInto(Value v, Block *block) {
  auto loop = dyn_cast<LayersOp>(block->getParentOp());
  if (!loop) return v;
  v = bringInto(v, loop->getBlock());
  LayersEdit edit(cast<LayersOp>(block->getParentOp())); // another op, where it lies in a loop itself
  auto t = dyn_cast<TensorType>(v.getType());
  Value inside = t && t.has(cast<LayersOp>(block->getParentOp()).getDimAttr()) ? edit.stacked(v) : edit.shared(v);
  edit.finish();
  return inside;
}
Value bringOut(Value v, const Dims &dims) {
  while (auto loop = dyn_cast<LayersOp>(v.getParentBlock()->getParentOp())) {
    LayersEdit edit(loop);
    edit.yield(v, stackedType(dims, v.getType(), loop.getDimAttr()));
    v = edit.finish().getResults().back();
  }
  return v;
}

BlockArgument LayersEdit::shared(Value outside) {
  for (auto [i, v] : llvm::enumerate(op.getShared()))
    if (v == outside) return op.block().getArgument(1 + op.getCarried().size() + op.getStacked().size() + newStacked.size() + i);
  for (auto [i, v] : llvm::enumerate(newShared))
    if (v == outside) return op.block().getArgument(1 + op.getNumOperands() + newStacked.size() + i);
  newShared.push_back(outside);
  return op.block().addArgument(outside.getType(), outside.getLoc());
}
BlockArgument LayersEdit::stacked(Value outside, Type slice) {
  const size_t at = 1 + op.getCarried().size() + op.getStacked().size() + newStacked.size();
  newStacked.push_back(outside);
  return op.block().insertArgument(at, slice, outside.getLoc());
}
BlockArgument LayersEdit::stacked(Value tensor) {
  auto t = cast<TensorType>(tensor.getType());
  SmallVector<StringAttr> left(t.getDims());
  llvm::erase(left, op.getDimAttr());
  return stacked(tensor, TensorType::get(t.getContext(), left, t.getElement()));
}
unsigned LayersEdit::yield(Value inside, Type whole) {
  newYields.push_back(inside), newResults.push_back(whole);
  return newYields.size() - 1;
}
LayersOp LayersEdit::finish() {
  OpBuilder b(op);
  SmallVector<Type> results(op.getResultTypes());
  llvm::append_range(results, newResults);
  SmallVector<Value> stacked(op.getStacked()), shared(op.getShared());
  llvm::append_range(stacked, newStacked), llvm::append_range(shared, newShared);
  auto made = LayersOp::create(b, op.getLoc(), results, op.getCarried(), stacked, shared, op.getIndexAttr(), op.getDimAttr(), op.getLoAttr(),
                               op.getHiAttr(), op.getReverseAttr(), op.getSiteAttr(), op.getRoleAttr());
  made.getBody().takeBody(op.getBody());
  Operation *end = made.block().getTerminator();
  end->insertOperands(end->getNumOperands(), newYields);
  op.replaceAllUsesWith(made.getResults().take_front(op.getNumResults()));
  op.erase();
  return made;
}

Type stackedType(const Dims &dims, Type slice, StringAttr loop) {
  MLIRContext *ctx = slice.getContext();
  if (auto t = dyn_cast<TensorType>(slice)) {
    SmallVector<StringAttr> all(t.getDims());
    all.push_back(loop);
    return dims.tensor(ctx, all, t.getElement());
  }
  auto s = cast<SubsetType>(slice);
  SmallVector<StringAttr> per(s.getPer());
  per.push_back(loop);
  dims.sort(per);
  return SubsetType::get(ctx, s.getOf(), per, s.getMembers());
}

LayersOp dropUnused(LayersOp op) {
  SmallVector<Value> stacked, shared;
  llvm::BitVector gone(op.block().getNumArguments());
  for (auto [a, v] : llvm::zip(op.stackedArgs(), op.getStacked())) a.use_empty() ? (void)gone.set(a.getArgNumber()) : stacked.push_back(v);
  for (auto [a, v] : llvm::zip(op.sharedArgs(), op.getShared())) a.use_empty() ? (void)gone.set(a.getArgNumber()) : shared.push_back(v);
  if (gone.none()) return op;
  OpBuilder b(op);
  auto made = LayersOp::create(b, op.getLoc(), op.getResultTypes(), op.getCarried(), stacked, shared, op.getIndexAttr(), op.getDimAttr(),
                               op.getLoAttr(), op.getHiAttr(), op.getReverseAttr(), op.getSiteAttr(), op.getRoleAttr());
  op.block().eraseArguments(gone);
  made.getBody().takeBody(op.getBody());
  op.replaceAllUsesWith(made.getResults());
  op.erase();
  return made;
}

LayersOp dropUnusedResults(LayersOp op) {
  SmallVector<Value> used;
  SmallVector<Type> types;
  const size_t carried = op.getCarried().size();
  llvm::BitVector gone(op.getNumResults());
  for (auto [i, r] : llvm::enumerate(op.getResults())) i >= carried && r.use_empty() ? (void)gone.set(i) : (used.push_back(r), types.push_back(r.getType()));
  if (gone.none()) return op;
  OpBuilder b(op);
  auto made = LayersOp::create(b, op.getLoc(), types, op.getCarried(), op.getStacked(), op.getShared(), op.getIndexAttr(), op.getDimAttr(),
                               op.getLoAttr(), op.getHiAttr(), op.getReverseAttr(), op.getSiteAttr(), op.getRoleAttr());
  made.getBody().takeBody(op.getBody());
  made.block().getTerminator()->eraseOperands(gone);
  for (auto [from, to] : llvm::zip(used, made.getResults())) from.replaceAllUsesWith(to);
  op.erase();
  return made;
}
void bringParts(Value whole, ValueRange parts, function_ref<void(OpBuilder &, Value, ValueRange)> join) {
  llvm::SetVector<LayersOp> loops;
  for (Operation *user : whole.getUsers())
    if (auto loop = dyn_cast<LayersOp>(user); loop && !llvm::is_contained(loop.getCarried(), whole)) loops.insert(loop);
  for (LayersOp loop : loops) {
    SmallVector<BlockArgument> inside;
    for (auto [a, v] : llvm::zip(loop.stackedArgs(), loop.getStacked()))
      if (v == whole) inside.push_back(a);
    for (auto [a, v] : llvm::zip(loop.sharedArgs(), loop.getShared()))
      if (v == whole) inside.push_back(a);
    LayersEdit edit(loop);
    const bool stacked = llvm::is_contained(loop.getStacked(), whole);
    SmallVector<Value> brought;
    for (Value v : parts) brought.push_back(stacked ? edit.stacked(v) : edit.shared(v));
    loop = edit.finish();
    for (BlockArgument a : inside) {
      if (a.getType() == brought[0].getType()) continue;
      bringParts(a, brought, join);
      OpBuilder b = OpBuilder::atBlockBegin(a.getOwner());
      if (!a.use_empty()) join(b, a, brought);
    }
    dropUnused(loop);
  }
}
void bringNarrow(Value wide, Value narrow) {
  bringParts(wide, narrow, [](OpBuilder &b, Value v, ValueRange parts) {
    auto loop = cast<LayersOp>(b.getInsertionBlock()->getParentOp());
    v.replaceAllUsesWith(DequantizeOp::create(b, v.getLoc(), v.getType(), parts[0], Value(), b.getArrayAttr({}), b.getDenseI64ArrayAttr({}), loop.getSiteAttr(), loop.getRoleAttr()));
  });
}

} // namespace fil::ir
