// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "passes/schedule/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_EXPOSERESULTSPASS
#include "passes/schedule/passes.h.inc"
namespace {

struct ExposeResultsPass : impl::ExposeResultsPassBase<ExposeResultsPass> {
  void runOnOperation() override {
    Dims dims(getOperation());
    for (FuncOp f : getOperation().getOps<FuncOp>()) {
      f.walk([&](ContractOp c) { splitScatter(c, dims); });
      f.walk([&](ReduceOp r) { splitSum(r, dims); });
      block(f.getBody().front());
    }
  }

  template <class Op> BodyBuilder builder(OpBuilder &b, Op op, const Dims &dims) {
    BodyBuilder body(b, dims, op.getLoc());
    body.site = op.getSite(), body.role = op.getRole();
    return body;
  }

  /// The result has S where the iteration has members s#: contract over the members, then scatter.
  void splitScatter(ContractOp c, const Dims &dims) {
    if (c.getRoster() || vectorsOfMembers(c, dims)) return;
    auto result = cast<ir::TensorType>(c.getType());
    Value into;
    for (Value s : c.getSubsets())
      if (result.has(cast<SubsetType>(s.getType()).getOf())) into = s;
    if (!into) return;
    auto subset = cast<SubsetType>(into.getType());
    SmallVector<StringAttr> all;
    for (StringAttr d : result.getDims())
      if (d != subset.getOf()) all.push_back(d);
    llvm::append_range(all, subset.getPer());
    all.push_back(subset.getMembers());
    OpBuilder b(c);
    Value y = builder(b, c, dims).contract(c.getLhs(), c.getRhs(), c.getSubsets(), dims.tensor(&getContext(), all, result.getElement()));
    Value r = ScatterOp::create(b, c.getLoc(), result, y, into, subset.getOf(), c.getSite(), c.getRole());
    c.replaceAllUsesWith(r);
    c.erase();
  }

  /// All of a tensor of several dims to a scalar: the first dim is left for a second sum.
  void splitSum(ReduceOp r, const Dims &dims) {
    auto over = strings(r.getOver());
    if (r.getFn() != ReduceFn::sum || over.size() < 2 || !cast<ir::TensorType>(r.getType()).getDims().empty()) return;
    dims.sort(over);
    OpBuilder b(r);
    BodyBuilder body = builder(b, r, dims);
    // Few rows would leave threads without work: two dims are left then.
    auto n = dims.value(over[0].getValue()).constant();
    const size_t left = n && n->num < 64 && over.size() > 2 ? 2 : 1;
    Value rows = body.reduce(ReduceFn::sum, r.getX(), ArrayRef(over).drop_front(left));
    Value sum = body.reduce(ReduceFn::sum, rows, cast<ir::TensorType>(rows.getType()).getDims());
    r.replaceAllUsesWith(sum);
    r.erase();
  }

  void block(Block &block) {
    for (auto loop : block.getOps<LayersOp>()) this->block(loop.block());
    llvm::DenseSet<Value> taken;
    for (Operation &op : llvm::make_early_inc_range(block)) {
      if (!isa<ReturnOp, YieldOp, WriteOp, LayersOp>(op)) continue;
      auto loop = dyn_cast<LayersOp>(op.getParentOp());
      auto inner = dyn_cast<LayersOp>(op);
      for (OpOperand &use : op.getOpOperands()) {
        Value v = use.get();
        if (inner && use.getOperandNumber() >= inner.getCarried().size()) break;
        const bool ends = isa<YieldOp>(op) && use.getOperandNumber() < loop.getCarried().size();
        if (ends && v == loop.carriedArgs()[use.getOperandNumber()]) continue; // carried on as it is
        if (isa<WriteOp>(op) && isCache(v, cast<WriteOp>(op))) continue;       // the loop writes into the cache itself
        Operation *def = v.getDefiningOp();
        // What a loop carries is overwritten by its turns.
        auto from = dyn_cast_or_null<LayersOp>(def); // an inner loop writes what it stacks to its place in the outer one
        if (from && isa<YieldOp>(op) && !ends && cast<OpResult>(v).getResultNumber() >= from.getCarried().size() && use.getOperandNumber() >= loop.getCarried().size() && taken.insert(v).second) continue;
        const bool own = def && !isa<LayersOp, ReadOp>(def) && (!inner || v.hasOneUse()) && taken.insert(v).second;
        if (own || !isa<ir::TensorType>(v.getType())) continue;
        OpBuilder b(&op);
        use.set(BroadcastOp::create(b, op.getLoc(), v.getType(), v, b.getStringAttr(""), RoleAttr::get(&getContext(), Role::forward)));
      }
    }
  }
  static bool isCache(Value v, WriteOp w) {
    auto var = SymbolTable::lookupNearestSymbolFrom<VariableOp>(w, w.getVariableAttr());
    return var.getKind() == VariableKind::cache && v.getDefiningOp<LayersOp>();
  }
};
} // namespace
} // namespace fil::passes
