// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "ir/layers.h"
#include "passes/analysis/saved_values.h"
#include "passes/analysis/work.h"
#include "passes/schedule/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_RECOMPUTESAVEDPASS
#include "passes/schedule/passes.h.inc"
namespace {

constexpr int mostOperations = 64; // an element, in additions
constexpr int mostOfScores = 256;  // which need not be in memory then
constexpr int mostSteps = 128;     // of a wide contraction

/// Are these many small products whose results are larger than what they are made of, like the scores of attention? They grow with the
/// product of two lengths, and computing them again reads what fits the cache. Lengths that are not known count as long.
bool isWide(ContractOp c, const Dims &dims) {
  if (!c.getSubsets().empty()) return false;
  ContractionDims d = classify(c);
  auto of = [&](Value v) { return assumed(dims.elements(v.getType())); };
  double steps = 1;
  for (StringAttr x : d.summed) steps *= assumed(dims.value(x.getValue()));
  return !d.batch.empty() && steps <= mostSteps && worthTiles(d, dims) && of(c.getResult()) >= of(c.getLhs()) + of(c.getRhs());
}

/// What the plan says of saved values.
struct Rule {
  StringRef name; ///< auto, none, attn, all
  ArrayRef<std::string> sites;
  bool reductions; ///< of what is saved, so that what is kept in few bits has the sum and the largest that go with it

  /// The plan wants the op's results computed again, whatever that costs.
  bool forces(Operation *op) const {
    return name == "all" || llvm::any_of(sites, [op](StringRef s) { return within(siteOf(op), s); });
  }
};

struct Decision { bool again; std::string why; };

/// What a block computes that its gradient reads, and how the gradient gets it.
class Forward {
protected:
  Forward(Block &block, const Dims &dims, const Rule &rule) : block(block), dims(dims), rule(rule) {
    for (auto c : block.getOps<ContractOp>())
      if (isWide(c, dims)) scores.insert(c);
  }
  virtual ~Forward() = default;
  Block &block;
  const Dims &dims;
  const Rule &rule;
  llvm::SmallSetVector<Operation *, 4> scores; ///< and other wide contractions
  OpBuilder b{block.getParentOp()->getContext()};
  // Values of the block where the gradient is: what is kept or comes from outside; what the gradient reads, computed again; and the parts
  // of the turn that are done again for what is dear and forced. Scores are in both, so that the turn's and the gradient's each stay within
  // their strips; the gradient's are marked, or they would be found equal.
  llvm::DenseMap<Value, Value> kept, reads, turn;
  llvm::DenseMap<Value, int> costs;
  llvm::DenseSet<Value> foreseen;
  bool redoes = false; ///< reductions of what is foreseen
  bool ofKept = false; ///< what was asked for last comes from something that is kept
  llvm::DenseMap<Operation *, bool> reducedAgain;

  virtual bool isCarried(BlockArgument) { return false; } ///< from turn to turn
  virtual bool mayUse(BlockArgument) { return true; }
  virtual Value argument(BlockArgument a) { return a; }   ///< where the gradient is
  virtual Value saved(Value v) { return v; }
  virtual bool isMarked(Operation *) { return true; }     ///< where the gradient reads it

  Decision decide(Value v) {
    Operation *op = v.getDefiningOp();
    if (auto q = dyn_cast_or_null<QuantizeOp>(op)) op = q.getX().getDefiningOp(); // it is saved where what it rounds would be
    if (!op) return {false, "the turn begins with it"};
    if (isChoice(op)) return {false, "what was chosen stays chosen"};
    if (isReducedAgain(op)) return {true, "what it reduces is rounded"};
    if (rule.name == "none") return {false, "the plan has nothing computed again"};
    if (rule.forces(op)) return reachable(v) ? Decision{true, "the plan says so"} : Decision{false, "what it comes from cannot be had again"};
    if (rule.name == "attn" && !isScores(v)) return {false, "the plan has scores computed again, and nothing else"};
    if (isSum(op)) return {false, "a sum of contractions that nothing else reads"};
    if (isDear(op)) return {false, isa<ContractOp>(op) ? "a contraction, and not one whose result is larger than its operands" : "`" + op->getName().stripDialect().str() + "` is not done twice"};
    if (!reachable(v)) return {false, "what it comes from is not kept"};
    if (isa<ContractOp>(op)) return {true, "a contraction whose result is larger than its operands"};
    const int c = cost(v), most = isScores(v) ? mostOfScores : mostOperations;
    return {c <= most, std::to_string(c) + " additions an element" + (c <= most ? "" : ", more than " + std::to_string(most))};
  }
  bool isReducedAgain(Operation *op) {
    auto r = dyn_cast<ReduceOp>(op);
    if (!r || !redoes || r.getFn() == ReduceFn::argmax || r.getFn() == ReduceFn::argmin) return false;
    auto [it, fresh] = reducedAgain.try_emplace(op, false);
    if (!fresh) return it->second;
    ofKept = false;
    const bool again = reachable(r.getX(), true) && ofKept;
    return reducedAgain[op] = again;
  }
  /// Results that are never computed twice, whatever the plan says: choices, and what is appended to.
  static bool isChoice(Operation *op) {
    return !llvm::all_of(op->getResultTypes(), [](Type t) { return isa<ir::TensorType>(t); }) || (isa<CacheOp>(op) && cast<CacheOp>(op).getPast());
  }
  /// Results that are not computed twice unless the plan says so.
  bool isDear(Operation *op) {
    if (isa<ContractOp>(op)) return !scores.contains(op);
    if (auto q = dyn_cast<QuantizeOp>(op)) return q.getX().getDefiningOp() && isDear(q.getX().getDefiningOp());
    return isSum(op) || isChoice(op) || (isa<ReduceOp>(op) && !isReducedAgain(op)) || isa<HighestOp, ScatterOp, UnwindowOp, RandomOp, LayersOp>(op);
  }
  /// The sum of dear contractions stands for them: one value to keep in place of several.
  bool isSum(Operation *op) {
    auto m = dyn_cast<MapOp>(op);
    return m && m.getFn() == MapFn::add && llvm::all_of(m.getArgs(), [&](Value v) {
      Operation *part = v.getDefiningOp();
      return part && v.hasOneUse() && v.getType() == m.getType() && (isSum(part) || (isa<ContractOp>(part) && !scores.contains(part)));
    });
  }
  bool isKept(Operation *op) { return isChoice(op) || (isDear(op) && !rule.forces(op)); }
  /// Has it all the dims of the turn's scores, or of other wide contractions?
  bool isScores(Value v) { return scoresOf(v) != nullptr; }
  /// Which ones.
  ContractOp scoresOf(Value v) {
    auto *found = llvm::find_if(scores, [&](Operation *c) { return hasDims(v, tensorOf(c->getResult(0)).getDims()); });
    return found == scores.end() ? nullptr : cast<ContractOp>(*found);
  }
  static ir::TensorType tensorOf(Value v) { return cast<ir::TensorType>(v.getType()); }
  static bool hasDims(Value v, ArrayRef<StringAttr> wanted) {
    auto t = dyn_cast<ir::TensorType>(v.getType());
    return t && llvm::all_of(wanted, [&](StringAttr d) { return t.has(d); });
  }
  int cost(Value v) {
    Operation *op = v.getDefiningOp();
    if (!op || isKept(op) || kept.count(v) || isReducedAgain(op)) return 1;
    if (auto it = costs.find(v); it != costs.end()) return it->second;
    int c = 1;
    if (auto m = dyn_cast<MapOp>(op)) c = additionsOf(m.getFn());
    if (isa<ContractOp>(op)) return costs[v] = c;
    for (Value a : op->getOperands()) c = std::min(1000, c + cost(a));
    return costs[v] = c;
  }
  /// Can all that it comes from be had in the reverse body? `known`: of what is foreseen.
  bool reachable(Value v, bool known = false) {
    llvm::DenseSet<Value> seen; // and not found wanting
    return reachable(v, known, seen);
  }
  bool reachable(Value v, bool known, llvm::DenseSet<Value> &seen) {
    if (kept.count(v) || foreseen.contains(v)) return ofKept = true;
    if (!seen.insert(v).second) return true;
    Operation *op = v.getDefiningOp();
    if (known && (op ? isKept(op) : isCarried(cast<BlockArgument>(v)))) return false;
    if (!op) return mayUse(cast<BlockArgument>(v));
    if (isKept(op)) return op->getNumResults() == 1;
    return llvm::all_of(op->getOperands(), [&](Value o) { return reachable(o, known, seen); });
  }

  Value clone(Value v, llvm::DenseMap<Value, Value> &known) {
    if (auto it = kept.find(v); it != kept.end()) return it->second;
    if (auto a = dyn_cast<BlockArgument>(v)) return kept[v] = argument(a);
    Operation *op = v.getDefiningOp();
    if (isKept(op)) return kept[v] = saved(v);
    if (auto it = known.find(v); it != known.end()) return it->second;
    const bool read = &known == &reads;
    if (read && isDear(op)) return known[v] = clone(v, turn);
    IRMapping map;
    for (Value o : op->getOperands()) map.map(o, clone(o, known));
    Operation *again = b.clone(*op, map);
    if (read && isa<ContractOp>(op) && isMarked(op)) again->setAttr("fil.read", b.getUnitAttr());
    for (auto [r, made] : llvm::zip(op->getResults(), again->getResults())) known[r] = made;
    return known[v];
  }
};

/// One forward loop and its reverse.
class Pair : Forward {
public:
  Pair(LayersOp forward, LayersOp reverse, const Dims &dims, const Rule &rule) : Forward(forward.block(), dims, rule), forward(forward), reverse(reverse) {}

  /// Notes what became of each saved value.
  void run(StringRef entry, std::vector<SavedValue> &notes) {
    auto note = [&](Value v, const Decision &d) {
      Operation *op = v.getDefiningOp();
      notes.push_back({entry.str(), siteOf(op ? op : forward.getOperation()).str(), op ? titleOf(op) : "carried", v.getType(), int64_t(forward.getHi() - forward.getLo()), d.again, d.why});
    };
    SmallVector<std::pair<BlockArgument, Value>> saved; // in the reverse body, in the forward body
    for (auto [a, v] : llvm::zip(reverse.stackedArgs(), reverse.getStacked()))
      if (auto r = dyn_cast<OpResult>(v); r && r.getOwner() == forward && r.getResultNumber() >= forward.getCarried().size()) saved.push_back({a, forward.yielded()[r.getResultNumber()]});
    if (rule.reductions) foresee(saved);
    SmallVector<std::pair<BlockArgument, Value>> again;
    for (auto [a, v] : saved) {
      const Decision d = decide(v);
      if (d.again) again.push_back({a, v});
      else kept[v] = a;
      note(v, d);
    }
    if (again.empty()) return;
    LayersEdit in(reverse), out(forward);
    reverseEdit = &in, forwardEdit = &out;
    b.setInsertionPoint(&reverse.block().front());
    for (auto [a, v] : again) a.replaceAllUsesWith(clone(v, reads));
    for (Value v : added) note(v, {false, "what is computed again is made of it"});
    finish();
  }

private:
  LayersOp forward, reverse;
  LayersEdit *reverseEdit = nullptr, *forwardEdit = nullptr;
  SmallVector<Value> added; ///< saved, though the gradient does not read them

  /// What will be kept where no reduction is done again.
  void foresee(ArrayRef<std::pair<BlockArgument, Value>> saved) {
    SmallVector<Value> made;
    for (auto [a, v] : saved)
      if (decide(v).again) made.push_back(v);
      else kept[v] = a, foreseen.insert(v);
    llvm::DenseSet<Value> seen;
    std::function<void(Value)> collect = [&](Value v) {
      if (foreseen.contains(v) || !seen.insert(v).second) return;
      Operation *op = v.getDefiningOp();
      if (!op || isKept(op)) foreseen.insert(v);
      else llvm::for_each(op->getOperands(), collect);
    };
    llvm::for_each(made, collect);
    kept.clear(), costs.clear(), redoes = true;
  }
  bool isCarried(BlockArgument a) override { return llvm::is_contained(forward.carriedArgs(), a); }
  bool isMarked(Operation *op) override { return rule.forces(op); }
  /// What turns carry is saved for a value that the plan forces, and used by others where it is saved anyway.
  bool mayUse(BlockArgument a) override { return !isCarried(a) || rule.name == "all" || !rule.sites.empty() || savedUnder(a); }
  Value savedUnder(Value v) {
    for (auto [a, w] : llvm::zip(reverse.stackedArgs(), reverse.getStacked()))
      if (auto r = dyn_cast<OpResult>(w); r && r.getOwner() == forward && r.getResultNumber() >= forward.getCarried().size() && forward.yielded()[r.getResultNumber()] == v) return a;
    return {};
  }
  /// A value of the forward body that is saved, from now on if it was not.
  Value saved(Value v) override {
    if (Value s = savedUnder(v)) return s;
    Type whole = stackedType(dims, v.getType(), forward.getDimAttr());
    unsigned number = forwardEdit->yield(v, whole);
    added.push_back(v);
    placeholders.push_back({placeholder(whole), number});
    return reverseEdit->stacked(placeholders.back().first, v.getType());
  }
  Value argument(BlockArgument a) override {
    if (a == forward.turn()) return reverse.turn();
    if (isCarried(a)) return saved(a);
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

/// What a block computes before its own gradient. Of scores alone, since what is smaller costs less memory than two lengths together; and of those
/// that do not stay inside as it is, where the gradient goes by the same rows.
class Straight : Forward {
public:
  Straight(Block &block, const Dims &dims, const Rule &rule) : Forward(block, dims, rule) {}

  void run(StringRef entry, std::vector<SavedValue> &notes) {
    std::vector<std::pair<Operation *, Value>> again; // with the first that reads it
    for (Operation &op : block) {
      if (isOfGradient(&op) || op.getNumResults() != 1 || !isa<ir::TensorType>(op.getResult(0).getType())) continue;
      const Value v = op.getResult(0);
      Operation *first = nullptr;
      for (OpOperand &use : v.getUses())
        if (isOfGradient(use.getOwner()) && (!first || use.getOwner()->isBeforeInBlock(first))) first = use.getOwner();
      if (!first || !isScores(v) || !waits(v)) continue;
      const Decision d = decide(v);
      if (d.again) again.push_back({first, v});
      notes.push_back({entry.str(), siteOf(&op).str(), titleOf(&op), v.getType(), 1, d.again, d.why});
    }
    llvm::stable_sort(again, [](const auto &x, const auto &y) { return x.first->isBeforeInBlock(y.first); });
    for (auto [first, v] : again) {
      b.setInsertionPoint(first);
      Value made = clone(v, reads);
      v.replaceUsesWithIf(made, [](OpOperand &use) { return isOfGradient(use.getOwner()); });
    }
  }

private:
  /// Are scores read together with what other rows of theirs must be known for, as the gradient of a loss?
  bool waits(Value v) {
    const ContractionDims d = classify(scoresOf(v));
    auto ofRow = [&](Value x) { return hasDims(x, d.batch) && (hasDims(x, d.rows) || hasDims(x, d.columns)); };
    llvm::DenseSet<Value> near{v}, far;
    for (Operation *op = v.getDefiningOp()->getNextNode(); op; op = op->getNextNode()) {
      bool isNear = false, isFar = false, readsScores = false;
      for (Value x : op->getOperands()) isNear |= near.contains(x), isFar |= far.contains(x), readsScores |= near.contains(x) && isScores(x);
      if (readsScores && isFar) return true;
      for (Value r : op->getResults()) {
        if (isFar || (isNear && !ofRow(r))) far.insert(r);
        else if (isNear) near.insert(r);
      }
    }
    return false;
  }
  static bool isOfGradient(Operation *op) { return llvm::is_contained({Role::dgrad, Role::wgrad}, roleOf(op).value_or(Role::forward)); }
};

struct RecomputeSavedPass : impl::RecomputeSavedPassBase<RecomputeSavedPass> {
  using RecomputeSavedPassBase::RecomputeSavedPassBase;

  void runOnOperation() override {
    Dims dims(getOperation());
    const SmallVector<std::string> forced(sites.begin(), sites.end());
    const Rule said{rule.getValue(), forced, reductions};
    std::vector<SavedValue> notes;
    for (FuncOp f : getOperation().getOps<FuncOp>()) {
      Straight(f.getBody().front(), dims, said).run(f.getEntry(), notes);
      SmallVector<LayersOp> reverses; // outer ones first: their reverse may do an inner loop again
      f.walk<WalkOrder::PreOrder>([&](LayersOp l) {
        if (l.getReverse()) reverses.push_back(l);
      });
      for (LayersOp r : reverses) {
        LayersOp from;
        for (Value v : r.getStacked())
          if (auto l = v.getDefiningOp<LayersOp>(); l && !l.getReverse() && l.getDim() == r.getDim() && l->getBlock() == r->getBlock()) from = l;
        if (from) Pair(from, r, dims, said).run(f.getEntry(), notes);
      }
    }
    noteSavedValues(getOperation(), notes);
  }
};
} // namespace

} // namespace fil::passes
