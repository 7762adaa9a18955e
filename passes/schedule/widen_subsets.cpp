// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "passes/schedule/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_WIDENSUBSETSPASS
#include "passes/schedule/passes.h.inc"
namespace {

/// A contraction by register tiles does some 32 times the operations of one that follows members point by point.
constexpr int64_t mostWidening = 32;

ir::TensorType tensorOf(Value v) { return cast<ir::TensorType>(v.getType()); }

struct WidenSubsetsPass : impl::WidenSubsetsPassBase<WidenSubsetsPass> {
  void runOnOperation() override {
    Dims dims(getOperation());
    SmallVector<ContractOp> all;
    for (FuncOp f : getOperation().getOps<FuncOp>())
      if (f.getEntry() != "decode") f.walk([&](ContractOp c) { all.push_back(c); });
    for (ContractOp c : all) widen(c, dims);
  }

  void widen(ContractOp c, const Dims &dims) {
    if (c.getSubsets().size() != 1 || c.getRoster() || gathers(c)) return;
    Value s = c.getSubsets()[0];
    auto subset = cast<SubsetType>(s.getType());
    StringAttr of = subset.getOf(), members = subset.getMembers();
    auto whole = dims.value(of.getValue()).constant(), part = dims.value(members.getValue()).constant();
    if (!whole || !part || whole->num > mostWidening * part->num) return;
    auto lhs = tensorOf(c.getLhs()), rhs = tensorOf(c.getRhs()), result = cast<ir::TensorType>(c.getType());
    // The subset's own dims must be those of one operand, which then stands for each point of them.
    OpBuilder b(c);
    BodyBuilder body(b, dims, c.getLoc());
    body.site = c.getSite(), body.role = c.getRole();
    auto with = [&](ir::TensorType t, StringAttr gone, StringAttr come) {
      SmallVector<StringAttr> list(t.getDims());
      llvm::erase(list, gone);
      if (!llvm::is_contained(list, come)) list.push_back(come);
      return dims.tensor(&getContext(), list, t.getElement());
    };
    auto hasPer = [&](ir::TensorType t) { return llvm::all_of(subset.getPer(), [&](StringAttr d) { return t.has(d); }); };
    auto spread = [&](Value v) -> Value { // members to their places of the whole dim
      return ScatterOp::create(b, c.getLoc(), with(tensorOf(v), members, of), v, s, of, c.getSite(), c.getRole());
    };
    auto finish = [&](Value v) {
      c.replaceAllUsesWith(v);
      c.erase();
    };
    const bool left = lhs.has(of), right = rhs.has(of);
    if (result.has(of)) { // adds into the whole dim: of what has members
      if (left || right) return;
      if (lhs.has(members) && rhs.has(members) && hasPer(lhs) && hasPer(rhs)) return finish(body.contract(spread(c.getLhs()), spread(c.getRhs()), {}, result));
      for (auto [v, w] : {std::pair<Value, Value>{c.getLhs(), c.getRhs()}, std::pair<Value, Value>{c.getRhs(), c.getLhs()}})
        if (tensorOf(v).has(members) && hasPer(tensorOf(v)) && !tensorOf(w).has(members)) return finish(body.contract(spread(v), w, {}, result));
      return;
    }
    if (left == right) return;
    Value selected = left ? Value(c.getLhs()) : Value(c.getRhs()), other = left ? Value(c.getRhs()) : Value(c.getLhs());
    auto o = tensorOf(other);
    if (tensorOf(selected).has(members) || !hasPer(o)) return;
    if (!result.has(members)) { // members are summed
      if (o.has(members)) finish(body.contract(spread(other), selected, {}, result));
      return;
    }
    if (!hasPer(result)) return;
    Value y = body.contract(o.has(members) ? spread(other) : other, selected, {}, with(result, members, of));
    finish(GatherOp::create(b, c.getLoc(), result, y, s, of, c.getSite(), c.getRole()));
  }
};
} // namespace
} // namespace fil::passes
