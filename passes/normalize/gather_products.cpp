// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "passes/normalize/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_GATHERPRODUCTSPASS
#include "passes/normalize/passes.h.inc"
namespace {

ir::TensorType tensorOf(Value v) { return cast<ir::TensorType>(v.getType()); }

struct GatherProductsPass : impl::GatherProductsPassBase<GatherProductsPass> {
  void runOnOperation() override {
    const Dims dims(getOperation());
    for (FuncOp f : getOperation().getOps<FuncOp>()) {
      std::map<std::string, Size> lengths; // of what is looked back at: all positions
      SmallVector<ContractOp> all;
      f.walk([&](CacheOp c) { lengths[c.getTo().str()] = Size::symbol(c.getFrom().str()); });
      f.walk([&](ContractOp c) { all.push_back(c); });
      for (ContractOp c : all) // in order: the next product may follow its first one
        for (unsigned side : {0u, 1u})
          if (GatherOp rows = membersRows(c->getOperand(side)); rows && isLess(c, side, rows, dims, lengths)) {
            multiplyFirst(c, side, rows, dims);
            break;
          }
    }
  }

  /// Whatever the sizes, does the product of all rows multiply no more often than that of the members' rows?
  static bool isLess(ContractOp c, unsigned side, GatherOp rows, const Dims &dims, const std::map<std::string, Size> &lengths) {
    auto subset = cast<SubsetType>(rows.getIndex().getType());
    const ir::TensorType other = tensorOf(c->getOperand(1 - side));
    auto chosen = [&](StringAttr d) { return d == subset.getMembers() || llvm::is_contained(subset.getPer(), d); };
    if (!c.getSubsets().empty() || other.has(subset.getOf()) || other.has(subset.getMembers()) || llvm::any_of(strings(c.getOver()), chosen)) return false;
    auto points = [&](ir::TensorType t) {
      Size n(1);
      for (StringAttr d : t.getDims()) n = n * dims.value(d.getValue());
      for (StringAttr d : other.getDims())
        if (!t.has(d)) n = n * dims.value(d.getValue());
      return n.substitute([&](const std::string &name) {
        auto length = lengths.find(name);
        return length == lengths.end() ? std::nullopt : std::optional(length->second);
      });
    };
    const auto ratio = (points(tensorOf(rows)) / points(tensorOf(rows.getX()))).constant();
    return ratio && !(*ratio < Rational(1));
  }

  static void multiplyFirst(ContractOp c, unsigned side, GatherOp rows, const Dims &dims) {
    OpBuilder b(c);
    BodyBuilder body(b, dims, c.getLoc());
    body.site = c.getSite(), body.role = c.getRole();
    const auto over = strings(c.getOver());
    SmallVector<StringAttr> left;
    for (ir::TensorType t : {tensorOf(rows.getX()), tensorOf(c->getOperand(1 - side))})
      for (StringAttr d : t.getDims())
        if (!llvm::is_contained(over, d) && !llvm::is_contained(left, d)) left.push_back(d);
    Value operands[] = {c.getLhs(), c.getRhs()};
    operands[side] = rows.getX();
    Value product = body.contract(operands[0], operands[1], {}, dims.tensor(c.getContext(), left, tensorOf(c.getResult()).getElement()));
    c.replaceAllUsesWith(GatherOp::create(b, rows.getLoc(), c.getType(), product, rows.getIndex(), rows.getDimAttr(), rows.getSiteAttr(), rows.getRoleAttr()).getResult());
    c.erase();
  }
};
} // namespace
} // namespace fil::passes
