// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "passes/schedule/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_FORMSTRIPSPASS
#include "passes/schedule/passes.h.inc"
namespace {

using Dimset = SmallVector<StringAttr, 6>;

bool has(ArrayRef<StringAttr> list, StringAttr d) { return llvm::is_contained(list, d); }
bool within(ArrayRef<StringAttr> list, ArrayRef<StringAttr> whole) {
  return llvm::all_of(list, [&](StringAttr d) { return has(whole, d); });
}
ArrayRef<StringAttr> dimsOf(Value v) {
  if (auto s = dyn_cast<SubsetType>(v.getType())) return s.getPer();
  return cast<ir::TensorType>(v.getType()).getDims();
}

/// What one tile computes: all of the wide values at one point of `batch`, some rows of `strip` at a time.
struct Roles {
  Dimset batch, turns, inner, wide; ///< turns: loops around the strips; inner: what a row of a strip has several of; wide: the dims of the values that stay inside
  StringAttr strip;

  bool isWide(Value v) const {
    auto t = dyn_cast<ir::TensorType>(v.getType());
    return t && t.getDims().size() == wide.size() && within(t.getDims(), wide);
  }
  /// Does a value have rows of its own in each strip?
  bool local(ArrayRef<StringAttr> dims) const { return has(dims, strip) && within(batch, dims) && within(turns, dims); }
};

/// No members of subsets are read, no gathers or windows: what an op reads at a point follows from the names of its dims.
bool isPlain(GroupOp g) {
  return llvm::all_of(g.block(), [](Operation &op) {
    if (auto q = dyn_cast<QuantizeOp>(op); q && (q.getScale() || q.getRandom())) return false;
    if (auto d = dyn_cast<DequantizeOp>(op); d && !d.getTiles().empty()) return false; // a tile's scale is not of the point
    return isa<YieldOp>(op) || (isa<MapOp, QuantizeOp, DequantizeOp, ReduceOp, BroadcastOp, StopGradOp, RenameOp, ConstantOp, SizeOp, IotaOp, RandomOp, SliceOp, ConcatOp, ContractOp, CacheOp, TopKOp>(op) &&
           llvm::none_of(op.getOperandTypes(), [](Type t) { return isa<SubsetType>(t); }));
  });
}
/// Which of the wide values of a row are the highest is found where these are made: they need not be in memory.
bool chooses(GroupOp g) { return llvm::any_of(g.block(), llvm::IsaPred<TopKOp>); }
bool areLocal(GroupOp g, const Roles &r) {
  return llvm::all_of(g.block(), [&](Operation &op) {
    auto dims = GroupOp::kept(&op) ? dimsOf(op.getResult(0)) : ArrayRef<StringAttr>();
    const bool chosenInside = isa<TopKOp>(op) && llvm::any_of(dims, [&](StringAttr d) { return has(r.inner, d); }); // one choice for each row of a strip
    return !GroupOp::kept(&op) || (!isa<CacheOp>(op) && !chosenInside && r.local(dims));
  });
}
/// A contraction whose result has rows in each strip: the right side has none, so it is packed once for all strips.
bool fitsLocal(ContractOp c, const Roles &r) {
  auto ofStrip = [&](StringAttr d) { return d == r.strip || has(r.turns, d); };
  const bool l = llvm::any_of(dimsOf(c.getLhs()), ofStrip);
  if (l == llvm::any_of(dimsOf(c.getRhs()), ofStrip)) return false;
  auto left = dimsOf(l ? c.getLhs() : c.getRhs()), right = dimsOf(l ? c.getRhs() : c.getLhs());
  return llvm::none_of(right, [&](StringAttr d) { return has(r.inner, d); }) && llvm::all_of(dimsOf(c.getResult()), [&](StringAttr d) { // columns come from the right side alone
    return ofStrip(d) || has(r.batch, d) || has(r.inner, d) || !has(left, d);
  });
}
/// A contraction that sums the strips.
bool fitsSum(GroupOp g, ContractOp c, const Roles &r) {
  Dimset over(strings(c.getOver())), all(r.turns);
  all.push_back(r.strip);
  if (over.size() != all.size() || !within(over, all) || !within(r.batch, dimsOf(c.getResult()))) return false;
  bool rows = false, columns = false;
  for (StringAttr d : dimsOf(c.getResult())) {
    if (has(r.batch, d)) continue;
    const bool left = has(dimsOf(c.getLhs()), d), right = has(dimsOf(c.getRhs()), d);
    if (left == right) return false;
    rows |= left, columns |= right;
  }
  return rows && columns && llvm::count_if(g.block(), [](Operation &op) { return GroupOp::kept(&op); }) == 1;
}
bool fits(GroupOp g, const Roles &r) {
  if (g.strip() || !isPlain(g)) return false;
  ContractOp c = g.tiled();
  if (c && fitsSum(g, c, r)) return true;
  return (!c || fitsLocal(c, r)) && areLocal(g, r);
}

class StripFormer {
public:
  StripFormer(Block &block, const Dims &dims) : block(block), dims(dims) {}

  void run() {
    for (auto g : llvm::to_vector(block.getOps<GroupOp>())) {
      if (merged.contains(g)) continue;
      ContractOp c = g.tiled();
      if (!c || !isPlain(g)) continue;
      ContractionDims d = classify(c);
      if (d.batch.empty()) continue;
      SetVector best;
      Roles roles;
      for (bool rows : {true, false})
        for (bool inside : {false, true})
          for (StringAttr t : rows ? d.rows : d.columns) {
            Roles r{Dimset(d.batch), {}, {}, Dimset(dimsOf(c.getResult())), t};
            for (StringAttr x : rows ? d.rows : d.columns)
              if (x != t) (inside ? r.inner : r.turns).push_back(x);
            if (inside && !areFew(r.inner)) continue;
            SetVector found = grow(g, r);
            if (found.size() > best.size()) best = found, roles = r;
          }
      if (best.size() > 1) merge(best, roles);
    }
  }

private:
  using SetVector = llvm::SetVector<GroupOp>;
  Block &block;
  const Dims &dims;
  llvm::DenseSet<Operation *> merged;

  /// What stays inside makes a strip's rows longer.
  bool areFew(const Dimset &inner) const {
    int64_t n = 1;
    for (StringAttr d : inner) {
      auto size = dims.value(d.getValue()).constant();
      if (!size || (n *= size->num) > 16) return false;
    }
    return !inner.empty();
  }
  /// The groups that read or make wide values, from one on; empty where none of these values stays inside.
  SetVector grow(GroupOp seed, const Roles &r) {
    SetVector all;
    if (!fits(seed, r)) return all;
    all.insert(seed);
    for (size_t i = 0; i < all.size(); ++i) {
      auto take = [&](Operation *op) {
        auto g = dyn_cast_or_null<GroupOp>(op);
        if (!g || g->getBlock() != &block || all.contains(g) || !fits(g, r)) return;
        SmallVector<GroupOp> taken{g};
        all.insert(g);
        for (size_t k = 0; k < taken.size(); ++k) { // with what stands between, as a product behind whose sums a row of the others is divided
          const auto late = between(all);
          for (Value v : taken[k].getInputs())
            if (auto d = v.getDefiningOp<GroupOp>(); d && r.isWide(v) && late.contains(d) && fits(d, r) && all.insert(d)) taken.push_back(d);
        }
        if (!canStandTogether(all, r))
          for (GroupOp t : taken) all.remove(t);
      };
      GroupOp at = all[i];
      for (Value v : at.getInputs())
        if (r.isWide(v)) take(v.getDefiningOp());
      for (Value v : at.getResults())
        for (Operation *u : v.getUsers())
          if (auto g = dyn_cast<GroupOp>(u); r.isWide(v) || (g && chooses(g))) take(u);
    }
    auto stays = [&](Value v) { return r.isWide(v) && llvm::all_of(v.getUsers(), [&](Operation *u) { return isa<GroupOp>(u) && all.contains(cast<GroupOp>(u)); }); };
    if (!llvm::any_of(all, [&](GroupOp g) { return llvm::any_of(g.getResults(), stays); })) all.clear();
    return all;
  }
  /// Ops behind the first of the groups that need one of them, and are none of them.
  llvm::SetVector<Operation *> between(const SetVector &groups) {
    llvm::SetVector<Operation *> late;
    Operation *first = *llvm::min_element(groups, [](GroupOp a, GroupOp b) { return a->isBeforeInBlock(b); });
    for (Operation *op = first->getNextNode(); op; op = op->getNextNode()) {
      auto needed = [&](Value v) {
        Operation *def = v.getDefiningOp();
        return def && (late.contains(def) || (isa<GroupOp>(def) && groups.contains(cast<GroupOp>(def))));
      };
      if (llvm::any_of(op->getOperands(), needed) && !(isa<GroupOp>(op) && groups.contains(cast<GroupOp>(op)))) late.insert(op);
    }
    return late;
  }
  /// Nothing between them that one of them needs, none needs a sum over the strips of another, and each reads the others at its own rows.
  bool canStandTogether(const SetVector &groups, const Roles &r) {
    auto late = between(groups);
    return llvm::all_of(groups, [&](GroupOp g) {
      for (auto [a, v] : llvm::zip(g.block().getArguments(), g.getInputs())) {
        Operation *def = v.getDefiningOp();
        if (!def) continue;
        if (late.contains(def)) return false;
        if (isa<GroupOp>(def) && groups.contains(cast<GroupOp>(def)) && !(has(dimsOf(v), r.strip) && readAtOwnRows(a, r))) return false;
      }
      return llvm::all_of(g.block(), [&](Operation &op) { return !GroupOp::kept(&op) || readAtOwnRows(op.getResult(0), r); });
    });
  }
  /// No view on the way to what is kept gives another name to a dim of the rows, or moves along it.
  static bool readAtOwnRows(Value v, const Roles &r) {
    return llvm::all_of(v.getUsers(), [&](Operation *op) {
      Dimset moved;
      if (auto x = dyn_cast<RenameOp>(op)) moved = {x.getFromAttr(), x.getToAttr()};
      if (auto x = dyn_cast<CacheOp>(op)) moved = {x.getFromAttr(), x.getToAttr()};
      if (auto x = dyn_cast<SliceOp>(op)) moved = {x.getDimAttr(), x.getIntoAttr()};
      if (auto x = dyn_cast<ConcatOp>(op)) moved = strings(x.getDims()), moved.push_back(x.getIntoAttr());
      if (llvm::any_of(moved, [&](StringAttr d) { return d == r.strip || has(r.batch, d) || has(r.turns, d) || has(r.inner, d); })) return false;
      return isa<YieldOp>(op) || GroupOp::kept(op) || readAtOwnRows(op->getResult(0), r);
    });
  }

  void merge(const SetVector &found, const Roles &r) {
    SmallVector<GroupOp> groups(found.begin(), found.end());
    llvm::sort(groups, [](GroupOp a, GroupOp b) { return a->isBeforeInBlock(b); });
    auto late = between(found);
    // Users between the groups move behind them.
    Operation *behind = groups.back();
    for (Operation *op : late)
      if (op->isBeforeInBlock(groups.back())) op->moveAfter(behind), behind = op;

    llvm::SetVector<Value> inputs;
    SmallVector<Value> results;
    SmallVector<Type> types;
    for (GroupOp g : groups) {
      for (Value v : g.getInputs())
        if (auto d = v.getDefiningOp<GroupOp>(); !d || !found.contains(d)) inputs.insert(v);
      for (Value v : g.getResults())
        if (llvm::any_of(v.getUsers(), [&](Operation *u) { return !isa<GroupOp>(u) || !found.contains(cast<GroupOp>(u)); })) results.push_back(v), types.push_back(v.getType());
    }
    OpBuilder b(groups.back());
    Dimset rows(r.batch);
    dims.sort(rows);
    auto made = GroupOp::create(b, groups[0].getLoc(), types, inputs.getArrayRef(), b.getArrayAttr(SmallVector<Attribute>(rows.begin(), rows.end())));
    made->setAttr("fil.strip", r.strip);
    Block *body = &made.getBody().emplaceBlock();
    IRMapping map;
    for (Value v : inputs) map.map(v, body->addArgument(v.getType(), v.getLoc()));
    OpBuilder in = OpBuilder::atBlockEnd(body);
    for (GroupOp g : groups) {
      for (auto [a, v] : llvm::zip(g.block().getArguments(), g.getInputs())) map.map(a, map.lookup(v));
      for (Operation &op : g.block().without_terminator()) in.clone(op, map);
      for (auto [v, y] : llvm::zip(g.getResults(), g.yielded())) map.map(v, map.lookup(y));
    }
    SmallVector<Value> yields;
    for (Value v : results) yields.push_back(map.lookup(v));
    // What several groups computed for themselves is one op now.
    SmallVector<Operation *> own;
    for (Operation &op : llvm::make_early_inc_range(*body)) {
      if (GroupOp::kept(&op)) continue;
      auto *same = llvm::find_if(own, [&](Operation *o) { return OperationEquivalence::isEquivalentTo(o, &op, OperationEquivalence::IgnoreLocations); });
      if (same == own.end()) own.push_back(&op);
      else op.replaceAllUsesWith(*same), op.erase();
    }
    YieldOp::create(in, made.getLoc(), yields);
    for (auto [v, n] : llvm::zip(results, made.getResults())) v.replaceUsesWithIf(n, [&](OpOperand &use) { return !isa<GroupOp>(use.getOwner()) || !found.contains(cast<GroupOp>(use.getOwner())); });
    for (GroupOp g : llvm::reverse(groups)) merged.insert(g), g.erase();
    merged.insert(made);
  }
};

struct FormStripsPass : impl::FormStripsPassBase<FormStripsPass> {
  void runOnOperation() override {
    Dims dims(getOperation());
    for (FuncOp f : getOperation().getOps<FuncOp>()) {
      if (f.getEntry() == "decode") continue;
      SmallVector<Block *> blocks{&f.getBody().front()};
      f.walk([&](LayersOp l) { blocks.push_back(&l.block()); });
      for (Block *b : blocks) StripFormer(*b, dims).run();
    }
  }
};
} // namespace
} // namespace fil::passes
