// SPDX-License-Identifier: Apache-2.0
#include "mlir/IR/IRMapping.h"
#include "passes/analysis/scores.h"
#include "passes/schedule/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_SPLITSUMSPASS
#include "passes/schedule/passes.h.inc"
namespace {

using List = SmallVector<StringAttr>;
ir::TensorType tensorOf(Value v) { return cast<ir::TensorType>(v.getType()); }

struct SplitSumsPass : impl::SplitSumsPassBase<SplitSumsPass> {
  void runOnOperation() override {
    const Dims dims(getOperation());
    for (FuncOp f : getOperation().getOps<FuncOp>()) {
      if (f.getEntry() == "decode") continue;
      SmallVector<Block *> blocks{&f.getBody().front()};
      f.walk([&](LayersOp l) { blocks.push_back(&l.block()); });
      for (Block *block : blocks) run(*block, dims);
    }
  }

  static void run(Block &block, const Dims &dims) {
    const ScoreRows rows(block, dims);
    llvm::DenseSet<Operation *> gone;
    for (auto r : llvm::to_vector(block.getOps<ReduceOp>()))
      if (r.getFn() == ReduceFn::sum && !gone.contains(r) && rows.of(r.getX())) sumLater(r, dims, gone);
    for (Operation &op : llvm::make_early_inc_range(block)) {
      if (auto r = dyn_cast<ReduceOp>(op); r && r.getFn() == ReduceFn::sum) split(r, 0, rows, dims);
      if (auto c = dyn_cast<ContractOp>(op); c && c.getSubsets().empty() && !c.getRoster())
        for (unsigned whole : {0, 1})
          if (llvm::all_of(tensorOf(c->getOperand(1 - whole)).getDims(), [&](StringAttr d) { return tensorOf(c->getOperand(whole)).has(d); })) {
            split(c, whole, rows, dims);
            break;
          }
    }
  }
  /// A sum that is multiplied by what has only dims that are left, and summed again, is one sum behind the product.
  static void sumLater(ReduceOp first, const Dims &dims, llvm::DenseSet<Operation *> &gone) {
    SmallVector<Operation *> products;
    Value sum = first.getResult(), x = first.getX();
    ReduceOp last;
    while (!last && sum.hasOneUse()) {
      OpOperand &use = *sum.use_begin();
      auto m = dyn_cast<MapOp>(use.getOwner());
      last = dyn_cast<ReduceOp>(use.getOwner());
      if (last ? last.getFn() != ReduceFn::sum : !m || m.getType() != first.getType() || !(m.getFn() == MapFn::mul || m.getFn() == MapFn::neg || (m.getFn() == MapFn::div && use.getOperandNumber() == 0))) return;
      if (m) products.push_back(m), sum = m.getResult();
    }
    if (!last) return;
    OpBuilder b(last);
    sum = first.getResult();
    for (Operation *p : products) {
      IRMapping map;
      map.map(sum, x);
      Operation *made = b.clone(*p, map);
      made->getResult(0).setType(first.getX().getType());
      x = made->getResult(0), sum = p->getResult(0);
    }
    List over = strings(first.getOver());
    llvm::append_range(over, strings(last.getOver()));
    last.replaceAllUsesWith(builder(b, last, dims).reduce(ReduceFn::sum, x, over));
    gone.insert(last);
    last.erase();
    for (Operation *p : llvm::reverse(products)) p->erase();
    first.erase();
  }
  static BodyBuilder builder(OpBuilder &b, Operation *op, const Dims &dims) {
    BodyBuilder body(b, dims, op->getLoc());
    body.site = siteOf(op), body.role = *roleOf(op);
    return body;
  }
  /// A sum of the op's operand, which is all that is summed.
  static void split(Operation *op, unsigned operand, const ScoreRows &rows, const Dims &dims) {
    const auto whole = tensorOf(op->getOperand(operand));
    const List over = strings(op->getAttrOfType<ArrayAttr>("over"));
    const ScoreRow *known = rows.of(op->getOperand(operand));
    if (!known) return;
    const auto &row = known->along;
    if (row.size() >= over.size() || !llvm::all_of(row, [&](StringAttr d) { return llvm::is_contained(over, d); })) return;
    List left, rest;
    for (StringAttr d : whole.getDims())
      if (!llvm::is_contained(row, d)) left.push_back(d);
    for (StringAttr d : over)
      if (!llvm::is_contained(row, d)) rest.push_back(d);
    OpBuilder b(op);
    BodyBuilder body = builder(b, op, dims);
    Value sums = isa<ReduceOp>(op) ? body.reduce(ReduceFn::sum, op->getOperand(0), row)
                                   : body.contract(op->getOperand(0), op->getOperand(1), {}, dims.tensor(op->getContext(), left, tensorOf(op->getResult(0)).getElement()));
    op->replaceAllUsesWith(ValueRange{body.reduce(ReduceFn::sum, sums, rest)});
    op->erase();
  }
};
} // namespace
} // namespace fil::passes
