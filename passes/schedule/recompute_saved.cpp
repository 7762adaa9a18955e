// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "ir/layers.h"
#include "passes/analysis/work.h"
#include "passes/schedule/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_RECOMPUTESAVEDPASS
#include "passes/schedule/passes.h.inc"
namespace {

constexpr int mostOperations = 64; // an element, in additions
constexpr int mostSteps = 128;     // of a wide contraction
constexpr int64_t longLength = 1024;

/// Are these many small products whose results are larger than what they are made of, like the scores of attention? They grow with the
/// product of two lengths, and computing them again reads what fits the cache. Lengths that are not known count as long.
bool isWide(Operation *op, const Dims &dims) {
  auto c = dyn_cast<ContractOp>(op);
  if (!c || !c.getSubsets().empty()) return false;
  ContractionDims d = classify(c);
  auto elements = [&](const Size &s) { return s.eval([](const std::string &) { return std::optional<int64_t>(longLength); })->value(); };
  auto of = [&](Value v) { return elements(dims.elements(v.getType())); };
  double steps = 1;
  for (StringAttr x : d.summed) steps *= elements(dims.value(x.getValue()));
  return !d.batch.empty() && steps <= mostSteps && worthTiles(d, dims) && of(c.getResult()) >= of(c.getLhs()) + of(c.getRhs());
}

/// One forward loop and its reverse.
class Pair {
public:
  Pair(LayersOp forward, LayersOp reverse, const Dims &dims) : forward(forward), reverse(reverse), dims(dims) {}

  void run() {
    SmallVector<std::pair<BlockArgument, Value>> saved; // in the reverse body, in the forward body
    for (auto [a, v] : llvm::zip(reverse.stackedArgs(), reverse.getStacked()))
      if (auto r = dyn_cast<OpResult>(v); r && r.getOwner() == forward && r.getResultNumber() >= forward.getCarried().size()) saved.push_back({a, forward.yielded()[r.getResultNumber()]});
    SmallVector<std::pair<BlockArgument, Value>> again;
    for (auto [a, v] : saved) {
      Operation *op = v.getDefiningOp();
      if (op && isa<ir::TensorType>(v.getType()) && !isDear(op) && reachable(v) && cost(v) <= mostOperations) again.push_back({a, v});
      else here[v] = a;
    }
    if (again.empty()) return;
    LayersEdit in(reverse), out(forward);
    reverseEdit = &in, forwardEdit = &out;
    b.setInsertionPoint(&reverse.block().front());
    for (auto [a, v] : again) a.replaceAllUsesWith(compute(v));
    finish();
  }

private:
  LayersOp forward, reverse;
  const Dims &dims;
  OpBuilder b{forward.getContext()};
  llvm::DenseMap<Value, Value> here; ///< values of the forward body in the reverse body
  llvm::DenseMap<Value, int> costs;
  LayersEdit *reverseEdit = nullptr, *forwardEdit = nullptr;

  /// Results that are never computed twice.
  bool isDear(Operation *op) {
    if (isa<ContractOp>(op)) return !isWide(op, dims);
    return isa<ReduceOp, TopKOp, ScatterOp, UnwindowOp, RandomOp, LayersOp>(op) || (isa<CacheOp>(op) && cast<CacheOp>(op).getPast());
  }
  int cost(Value v) {
    Operation *op = v.getDefiningOp();
    if (!op || isDear(op) || here.count(v)) return 1;
    if (auto it = costs.find(v); it != costs.end()) return it->second;
    int c = 1;
    if (auto m = dyn_cast<MapOp>(op)) c = additionsOf(m.getFn());
    if (isa<ContractOp>(op)) return costs[v] = c;
    for (Value a : op->getOperands()) c = std::min(1000, c + cost(a));
    return costs[v] = c;
  }
  /// Can all that it comes from be had in the reverse body?
  bool reachable(Value v) {
    if (here.count(v)) return true;
    Operation *op = v.getDefiningOp();
    if (!op) { // a carried value only if it is saved under its own name
      auto a = cast<BlockArgument>(v);
      if (!llvm::is_contained(forward.carriedArgs(), a)) return true;
      return llvm::is_contained(forward.yielded().drop_front(forward.getCarried().size()), v) && savedUnder(v);
    }
    if (isDear(op)) return op->getNumResults() == 1;
    return llvm::all_of(op->getOperands(), [&](Value o) { return reachable(o); });
  }
  Value savedUnder(Value v) {
    for (auto [a, w] : llvm::zip(reverse.stackedArgs(), reverse.getStacked()))
      if (auto r = dyn_cast<OpResult>(w); r && r.getOwner() == forward && r.getResultNumber() >= forward.getCarried().size() && forward.yielded()[r.getResultNumber()] == v) return a;
    return {};
  }

  Value compute(Value v) {
    Value &known = here[v];
    if (known) return known;
    if (auto a = dyn_cast<BlockArgument>(v)) return here[v] = argument(a);
    Operation *op = v.getDefiningOp();
    if (isDear(op)) { // saved from now on
      Value s = savedUnder(v);
      if (!s) {
        Type whole = stackedType(dims, v.getType(), forward.getDimAttr());
        unsigned number = forwardEdit->yield(v, whole);
        placeholders.push_back({placeholder(whole), number});
        s = reverseEdit->stacked(placeholders.back().first, v.getType());
      }
      return here[v] = s;
    }
    IRMapping map;
    for (Value o : op->getOperands()) map.map(o, compute(o));
    return here[v] = b.clone(*op, map)->getResult(0);
  }
  Value argument(BlockArgument a) {
    if (a == forward.turn()) return reverse.turn();
    if (llvm::is_contained(forward.carriedArgs(), a)) return savedUnder(a);
    Value outside = forward.getOperand(a.getArgNumber() - 1);
    if (llvm::is_contained(forward.sharedArgs(), a)) return reverseEdit->shared(outside);
    for (auto [inside, w] : llvm::zip(reverse.stackedArgs(), reverse.getStacked()))
      if (w == outside) return inside;
    return reverseEdit->stacked(outside, a.getType());
  }

  // A new stacked operand of the reverse loop is the result of a forward loop that is made later: until then a value of its type.
  SmallVector<std::pair<Value, unsigned>> placeholders; ///< with their number among the forward loop's new results
  Value placeholder(Type whole) {
    OpBuilder at(forward);
    return UnrealizedConversionCastOp::create(at, forward.getLoc(), whole, ValueRange()).getResult(0);
  }
  void finish() {
    const unsigned before = forward.getNumResults();
    LayersOp made = forwardEdit->finish();
    reverse = reverseEdit->finish();
    for (auto [p, number] : placeholders) {
      p.replaceAllUsesWith(made.getResult(before + number));
      p.getDefiningOp()->erase();
    }
    dropUnused(reverse);
    dropUnusedResults(made);
  }
};

struct RecomputeSavedPass : impl::RecomputeSavedPassBase<RecomputeSavedPass> {
  void runOnOperation() override {
    Dims dims(getOperation());
    for (FuncOp f : getOperation().getOps<FuncOp>()) {
      SmallVector<LayersOp> reverses;
      f.walk([&](LayersOp l) {
        if (l.getReverse()) reverses.push_back(l);
      });
      for (LayersOp r : reverses) {
        LayersOp from;
        for (Value v : r.getStacked())
          if (auto l = v.getDefiningOp<LayersOp>(); l && !l.getReverse() && l.getDim() == r.getDim() && l->getBlock() == r->getBlock()) from = l;
        if (from) Pair(from, r, dims).run();
      }
    }
  }
};
} // namespace
} // namespace fil::passes
