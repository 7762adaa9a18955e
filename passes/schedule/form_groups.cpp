// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "llvm/ADT/MapVector.h"
#include "passes/analysis/scores.h"
#include "passes/analysis/work.h"
#include "passes/schedule/passes.h"
#include <set>

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_FORMGROUPSPASS
#include "passes/schedule/passes.h.inc"
namespace {

using Dimset = SmallVector<StringAttr, 6>;

Dimset dimsOf(Value v) {
  if (auto t = dyn_cast<ir::TensorType>(v.getType())) return Dimset(t.getDims());
  return Dimset(cast<SubsetType>(v.getType()).getPer());
}
bool isView(Operation *op) { return isa<RenameOp, SliceOp, BroadcastOp, StopGradOp, DequantizeOp, UnpackOp>(op) || (isa<CacheOp>(op) && !cast<CacheOp>(op).getPast()); }
/// Computed once for each element, never again where it is used.
bool isStage(Operation *op) {
  return isa<ReduceOp, ContractOp, TopKOp, HighestOp, RosterOp, ScatterOp, UnwindowOp, RandomOp>(op) || (isa<CacheOp>(op) && cast<CacheOp>(op).getPast());
}
bool isFold(Operation *op) { return foldOf(op).has_value(); }
/// Windows that only a fold reads: it reads their points where they stand.
bool isCut(Operation *op) { return llvm::any_of(op->getUsers(), isFold); }
/// The dims whose points an op computes on their own.
Dimset rowsOf(Operation *op) {
  if (isa<RosterOp>(op)) return {};
  Dimset rows = dimsOf(op->getResult(0));
  if (auto f = foldOf(op)) { // its blocks stand behind all other rows
    rows.erase(llvm::find(rows, f->blocks), rows.end());
    rows.push_back(f->in);
  }
  if (auto s = dyn_cast<ScatterOp>(op)) llvm::erase(rows, s.getDimAttr());
  if (auto h = dyn_cast<HighestOp>(op))
    for (StringAttr d : strings(h.getOver())) llvm::erase(rows, d);
  if (auto c = dyn_cast<CacheOp>(op)) llvm::erase(rows, c.getToAttr());
  return rows;
}

/// What stands in memory.
class Keeper {
public:
  explicit Keeper(const Dims &dims) : dims(dims) {}
  void block(Block &block) {
    UnitAttr yes = UnitAttr::get(block.getParentOp()->getContext());
    for (Operation &op : block) {
      if (isa<LayersOp, ReadOp, WriteOp>(op) || op.getNumResults() != 1) continue;
      Value r = op.getResult(0);
      bool keep = isStage(&op) || isa<QuantizeOp, PartOp>(op) || masksProduct(&op);
      if (auto m = dyn_cast<MaskOp>(op); m && m.getZeros()) continue; // a view
      for (OpOperand &use : r.getUses()) keep |= isa<ReturnOp, WriteOp, YieldOp, LayersOp>(use.getOwner()) || (feedsContraction(use) && !isView(&op));
      const bool computed = op.getNumOperands() != 0;
      if (isCut(&op) || (!keep && isLeftOut(&op))) continue;
      if (!keep && computed && !r.hasOneUse() && costAtPoint(r) > 12) keep = true;
      if (!keep && computed && costAtPoint(r) > 80) keep = true;
      if (keep) op.setAttr("fil.kept", yes), cost[r] = 1;
    }
  }

private:
  const Dims &dims;
  llvm::DenseMap<Value, int> cost;

  /// What a product leaves out is seen where its mask is in its group alone.
  bool masksProduct(Operation *op) {
    auto m = dyn_cast<MaskOp>(op);
    auto c = m ? m.getX().getDefiningOp<ContractOp>() : ContractOp();
    auto s = c ? skips(c, dims) : std::nullopt;
    return (s && s->masked == 2) || (c && m.getChosen() && c->hasOneUse());
  }
  /// A mask whose products all leave out what it does: they look at it, and read what is masked where it stands.
  bool isLeftOut(Operation *op) {
    auto m = dyn_cast<MaskOp>(op);
    Operation *x = m ? m.getX().getDefiningOp() : nullptr;
    if (x && !GroupOp::kept(x) && !isa<ReadOp, LayersOp, DequantizeOp, UnpackOp, ExpandOp>(x)) return false;
    return m && !m->use_empty() && llvm::all_of(m->getUsers(), [&](Operation *user) {
      auto c = dyn_cast<ContractOp>(user);
      auto s = c ? skips(c, dims) : std::nullopt;
      return s && s->masked < 2 && s->mask == m;
    });
  }
  static bool isExpanded(Value v) {
    if (auto m = v.getDefiningOp<MaskOp>()) v = m.getX();
    return v.getDefiningOp<ExpandOp>();
  }
  bool overlaps(WindowOp w) {
    return llvm::any_of(w.getWindows().getAsRange<WindowDimAttr>(), [&](WindowDimAttr d) {
      auto length = dims.value(d.getWindow().getValue()).constant();
      return !length || length->num > d.getStride();
    });
  }
  /// Through views: a contraction reads an operand many times, so what it reads is in memory; gathers are done while packing.
  bool feedsContraction(OpOperand &use) {
    Operation *user = use.getOwner();
    if (auto c = dyn_cast<ContractOp>(user)) {
      if (auto s = skips(c, dims); s && int(use.getOperandNumber()) == s->masked) return false;
      if (isExpanded(use.get()) && worthPacking(c, dims)) return false; // its panels are packed once
      return !isa<SubsetType>(use.get().getType()) && !isa_and_nonnull<GatherOp, WindowOp>(withoutZeros(use.get()).getDefiningOp());
    }
    if (auto w = dyn_cast<WindowOp>(user); w && overlaps(w)) // each element is read for many windows
      for (Operation *reader : user->getUsers()) {
        if (auto m = dyn_cast<MaskOp>(reader); m && m.getZeros() && m->hasOneUse()) reader = *m->user_begin();
        if (isa<ContractOp>(reader)) return true;
      }
    if (auto m = dyn_cast<MaskOp>(user); m && use.getOperandNumber() == 1) return false; // read by its granules
    if (isView(user) || isa<GatherOp, WindowOp, MaskOp>(user)) {
      if (isa<GatherOp, DequantizeOp>(user) && use.getOperandNumber() != 0) return isa<DequantizeOp>(user);
      for (OpOperand &next : user->getResult(0).getUses())
        if (feedsContraction(next)) return true;
    }
    return false;
  }
  /// Work of computing a value anew at one point, in additions; what is kept costs one load.
  int costAtPoint(Value v) {
    Operation *op = v.getDefiningOp();
    if (!op || GroupOp::kept(op) || isa<ReadOp, LayersOp>(op)) return 1;
    if (auto it = cost.find(v); it != cost.end()) return it->second;
    int c = 1;
    if (auto m = dyn_cast<MapOp>(op)) c = additionsOf(m.getFn());
    if (isa<ConcatOp, UnsliceOp, WindowOp, GatherOp, MaskOp, ExpandOp>(op)) c = 4;
    if (isa<CompressOp>(op)) c = 12; // each vector is gathered
    for (Value a : op->getOperands()) c = std::min(1000, c + costAtPoint(a));
    return cost[v] = c;
  }
};

/// A group being formed.
struct Cluster {
  SmallVector<Operation *> ops; ///< kept ones, in order
  Dimset rows;
  bool tiled = false, open = true;
  llvm::SmallPtrSet<void *, 16> reads;
};
/// A value in memory that an op reads, and the dims along which it is read at the op's own point.
struct Leaf {
  Value value;
  Dimset own;
};

class Former {
public:
  Former(const Dims &dims, bool strips) : dims(dims), strips(strips) {}

  void block(Block &block) {
    std::vector<Cluster> clusters;
    llvm::DenseMap<Operation *, int> clusterOf;
    if (strips) scores.emplace(block, dims);
    for (Operation &op : block.without_terminator()) {
      if (isa<ReadOp, WriteOp>(op)) continue;
      if (!isa<LayersOp>(op) && !GroupOp::kept(&op)) continue;
      int earliest = -1;
      const auto &leaves = leavesBy[&op] = leavesOf(&op);
      for (const Leaf &l : leaves)
        if (auto it = clusterOf.find(l.value.getDefiningOp()); it != clusterOf.end()) earliest = std::max(earliest, it->second);
      clusterOf[&op] = place(&op, leaves, earliest, clusters, clusterOf);
    }
    for (size_t i = 0; i < clusters.size(); ++i)
      if (clusters[i].tiled)
        for (size_t j = i; j-- > 0;) absorb(clusters, j, i, clusterOf);
    emit(block, clusters);
  }

private:
  const Dims &dims;
  const bool strips; ///< are formed behind
  std::optional<ScoreRows> scores;
  llvm::DenseMap<Operation *, SmallVector<Leaf>> leavesBy; ///< of ops that are placed

  SmallVector<Leaf> leavesOf(Operation *op) {
    SmallVector<Leaf> all;
    std::set<std::pair<void *, std::string>> seen;
    if (isa<LayersOp>(op)) {
      for (Value v : op->getOperands()) all.push_back({v, {}});
      return all;
    }
    descend(op, rowsOf(op), all, seen);
    return all;
  }
  void visit(Value v, const Dimset &own, SmallVectorImpl<Leaf> &all, std::set<std::pair<void *, std::string>> &seen) {
    std::string key;
    for (StringAttr d : own) key += d.str() + " ";
    if (!seen.insert({v.getAsOpaquePointer(), key}).second) return;
    Operation *op = v.getDefiningOp();
    if (!op || GroupOp::kept(op) || isa<ReadOp, LayersOp>(op)) all.push_back({v, own});
    else descend(op, own, all, seen);
  }
  void descend(Operation *op, Dimset own, SmallVectorImpl<Leaf> &all, std::set<std::pair<void *, std::string>> &seen) {
    auto less = [&](std::initializer_list<StringAttr> gone) {
      Dimset left = own;
      for (StringAttr d : gone) llvm::erase(left, d);
      return left;
    };
    Dimset first = own; // of the first operand; further ones are indices, masks, arguments
    if (auto r = dyn_cast<RenameOp>(op)) first = less({r.getFromAttr(), r.getToAttr()});
    if (auto c = dyn_cast<CacheOp>(op)) first = less({c.getFromAttr(), c.getToAttr()});
    if (auto s = dyn_cast<SliceOp>(op)) first = less({s.getDimAttr(), s.getIntoAttr()});
    if (auto s = dyn_cast<UnsliceOp>(op)) first = less({s.getDimAttr(), s.getIntoAttr()});
    if (auto g = dyn_cast<GatherOp>(op)) first = less({g.getDimAttr()});
    if (auto s = dyn_cast<ScatterOp>(op)) first = less({s.getDimAttr()});
    if (auto c = dyn_cast<ConcatOp>(op)) {
      own = less({c.getIntoAttr()});
      for (StringAttr d : strings(c.getDims())) llvm::erase(own, d);
      first = own;
    }
    auto windows = [&](ArrayAttr list) {
      for (auto w : list.getAsRange<WindowDimAttr>())
        for (StringAttr d : {w.getIn(), w.getOut(), w.getWindow()}) llvm::erase(first, d);
    };
    if (auto w = dyn_cast<WindowOp>(op); w && !isCut(op)) windows(w.getWindows());
    if (auto w = dyn_cast<UnwindowOp>(op)) windows(w.getWindows());
    auto scales = [&](ArrayAttr tiles) {
      for (auto [i, d] : llvm::enumerate(strings(tiles)))
        if (i % 2 == 0) llvm::erase(own, d);
    };
    if (auto q = dyn_cast<QuantizeOp>(op)) {
      if (q.getRandom()) visit(q.getRandom(), own, all, seen);
      scales(q.getTiles());
    }
    if (auto q = dyn_cast<DequantizeOp>(op)) scales(q.getTiles());
    if (auto m = dyn_cast<MaskOp>(op)) // the mask along other dims
      for (auto [i, d] : llvm::enumerate(strings(m.getGranules())))
        if (i % 2 == 0) llvm::erase(own, d);
    auto thinned = [&](auto x, ArrayRef<StringAttr> gone) { // the values elsewhere along these, the pattern along the granules
      for (StringAttr d : gone) llvm::erase(first, d), llvm::erase(own, d);
      for (StringAttr d : strings(x.getGranules())) llvm::erase(own, d);
    };
    if (auto x = dyn_cast<ExpandOp>(op)) thinned(x, {x.getDimAttr()});
    if (auto x = dyn_cast<CompressOp>(op)) thinned(x, strings(x.getParts()));
    if (auto c = dyn_cast<ContractOp>(op)) { // read at the members
      for (Value s : c.getSubsets()) llvm::erase(first, cast<SubsetType>(s.getType()).getOf());
      visit(c.getRhs(), first, all, seen);
    }
    for (auto [i, v] : llvm::enumerate(op->getOperands())) visit(v, i == 0 ? first : own, all, seen);
  }

  int place(Operation *op, ArrayRef<Leaf> leaves, int earliest, std::vector<Cluster> &clusters, const llvm::DenseMap<Operation *, int> &clusterOf) {
    Cluster fresh;
    fresh.ops = {op};
    if (auto loop = dyn_cast<LayersOp>(op)) fresh.open = false;
    else {
      fresh.rows = rowsOf(op);
      auto contract = dyn_cast<ContractOp>(op);
      fresh.tiled = contract && (worthTiles(classify(contract), dims) || worthPacking(contract, dims) || contract.getRoster() || (gathers(contract) && gathersInTiles(contract, dims)) || vectorsOfMembers(contract, dims));
      if (fresh.tiled) op->setAttr("fil.tiled", UnitAttr::get(op->getContext()));
      if (isa<TopKOp, HighestOp, RosterOp, ScatterOp, CacheOp>(op) || sumsStrips(op)) fresh.open = false;
      if (!fresh.tiled && fresh.open) {
        if (earliest >= 0 && join(clusters[earliest], op, leaves, earliest, clusterOf, false)) return add(clusters[earliest], op, leaves), earliest;
        for (int c = int(clusters.size()) - 1; c > earliest; --c)
          if (join(clusters[c], op, leaves, c, clusterOf, true)) return add(clusters[c], op, leaves), c;
      }
    }
    for (const Leaf &l : leaves) fresh.reads.insert(l.value.getAsOpaquePointer());
    clusters.push_back(std::move(fresh));
    return int(clusters.size()) - 1;
  }
  /// A contraction of scores over what strips are cut along adds up strips: there is no whole result while these are worked on.
  bool sumsStrips(Operation *op) {
    auto c = dyn_cast<ContractOp>(op);
    return c && scores && llvm::any_of(ValueRange{c.getLhs(), c.getRhs()}, [&](Value v) {
      const ScoreRow *row = scores->of(v);
      return row && llvm::any_of(row->across, [&](StringAttr d) { return llvm::is_contained(c.getOver(), d); });
    });
  }
  void add(Cluster &c, Operation *op, ArrayRef<Leaf> leaves) {
    c.ops.push_back(op);
    llvm::erase_if(c.rows, [rows = rowsOf(op)](StringAttr d) { return !llvm::is_contained(rows, d); });
    for (const Leaf &l : leaves) c.reads.insert(l.value.getAsOpaquePointer());
  }

  bool join(const Cluster &c, Operation *op, ArrayRef<Leaf> leaves, int number, const llvm::DenseMap<Operation *, int> &clusterOf, bool beside) {
    if (!c.open || c.ops.size() >= 32 || c.reads.size() >= 24) return false;
    Dimset rows = rowsOf(op), common;
    for (StringAttr d : c.rows)
      if (llvm::is_contained(rows, d)) common.push_back(d);
    if (c.tiled && (isStage(op) || common.size() != c.rows.size() || rows.size() != c.rows.size())) return false;
    if (beside) { // does not depend on the group: it must at least read the same
      if (rows.size() != c.rows.size() || common.size() != rows.size()) return false;
      if (!rows.empty() && !llvm::any_of(leaves, [&](const Leaf &l) { return isa<ir::TensorType>(l.value.getType()) && dimsOf(l.value).size() && c.reads.contains(l.value.getAsOpaquePointer()); })) return false;
    }
    if (llvm::any_of(c.ops, isFold) && common.size() != c.rows.size()) return false; // a block is of the group's last rows
    if (isFold(op) && common.size() != rows.size()) return false;
    if (common.empty() && !(rows.empty() && c.rows.empty())) return false;
    if (common.size() != c.rows.size() && common.size() != rows.size() && !makesScale(c, op)) return false; // rows of both would become long
    if (!c.rows.empty() && !llvm::is_contained(common, c.rows.front())) return false;  // their elements lie far apart
    for (const Leaf &l : leaves) {
      auto it = clusterOf.find(l.value.getDefiningOp());
      if (it == clusterOf.end() || it->second != number) continue;
      if (!llvm::all_of(common, [&](StringAttr d) { return llvm::is_contained(l.own, d); })) return false;
    }
    for (Operation *o : c.ops)
      if (!fits(o, common)) return false;
    return fits(op, common);
  }
  /// Does the group make the scales of tiles by which the op rounds? They are of the row that it has at hand.
  static bool makesScale(const Cluster &c, Operation *op) {
    auto q = dyn_cast<QuantizeOp>(op);
    return q && !q.getTiles().empty() && q.getScale() && llvm::is_contained(c.ops, q.getScale().getDefiningOp());
  }
  /// Is what a row keeps of the op small?
  bool fits(Operation *op, const Dimset &rows) {
    int64_t n = 1, unknown = 0;
    auto fold = foldOf(op);
    for (StringAttr d : dimsOf(op->getResult(0))) {
      if (llvm::is_contained(rows, d) || (fold && d == fold->blocks)) continue;
      auto v = dims.value(d.getValue()).constant();
      v ? (void)(n *= v->num) : (void)++unknown;
    }
    return unknown <= 1 && n <= (unknown ? 64 : 16384);
  }

  /// Elementwise ops whose values a contraction's epilogue reads at its own point are computed there, if nobody in between wants them: what
  /// both read is read once, and what only the epilogue reads is never written.
  void absorb(std::vector<Cluster> &clusters, size_t from, size_t into, llvm::DenseMap<Operation *, int> &clusterOf) {
    Cluster &x = clusters[from], &y = clusters[into];
    auto sameRows = [&](const Dimset &rows) { return rows.size() == y.rows.size() && llvm::all_of(rows, [&](StringAttr d) { return llvm::is_contained(y.rows, d); }); };
    if (x.ops.empty() || x.tiled || !x.open || x.ops.size() + y.ops.size() > 32 || x.reads.size() + y.reads.size() > 24 || !sameRows(x.rows)) return;
    if (llvm::any_of(x.ops, [&](Operation *op) { return isStage(op) || !sameRows(rowsOf(op)); })) return;
    bool wanted = false;
    for (size_t c = from + 1; c <= into; ++c)
      for (Operation *op : clusters[c].ops)
        for (const Leaf &l : leavesBy[op]) {
          auto it = clusterOf.find(l.value.getDefiningOp());
          if (it == clusterOf.end() || it->second != int(from)) continue;
          if (c < into || isa<ContractOp>(op) || !sameRows(l.own)) return;
          wanted = true;
        }
    if (!wanted) return;
    for (Operation *op : x.ops) clusterOf[op] = int(into);
    y.ops.append(x.ops);
    llvm::sort(y.ops, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
    y.reads.insert(x.reads.begin(), x.reads.end());
    x.ops.clear();
  }

  void emit(Block &block, std::vector<Cluster> &clusters) {
    OpBuilder b(block.getTerminator());
    auto writes = llvm::to_vector(block.getOps<WriteOp>());
    for (auto r : llvm::to_vector(block.getOps<ReadOp>())) r->moveBefore(&block, block.begin());
    for (Cluster &c : clusters) {
      if (c.ops.empty()) continue;
      if (auto loop = dyn_cast<LayersOp>(c.ops[0])) loop->moveBefore(block.getTerminator());
      else group(c, b);
    }
    for (WriteOp w : writes) w->moveBefore(block.getTerminator());
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (!isa<GroupOp, LayersOp, ReadOp>(op) && isPure(&op) && op.use_empty() && !op.hasTrait<OpTrait::IsTerminator>()) op.erase();
  }

  void group(Cluster &c, OpBuilder &b) {
    llvm::SetVector<Operation *> inside(c.ops.begin(), c.ops.end());
    llvm::SetVector<Value> inputs;
    std::function<void(Operation *)> take = [&](Operation *op) { // what is computed inside
      for (Value v : op->getOperands()) {
        Operation *def = v.getDefiningOp();
        if (def && inside.contains(def)) continue;
        if (!def || GroupOp::kept(def) || isa<ReadOp, LayersOp, GroupOp>(def)) inputs.insert(v);
        else inside.insert(def), take(def);
      }
    };
    for (Operation *op : c.ops) take(op);
    SmallVector<Operation *> order(inside.begin(), inside.end());
    llvm::sort(order, [](Operation *x, Operation *y) { return x->isBeforeInBlock(y); });
    SmallVector<Value> results;
    SmallVector<Type> types;
    for (Operation *op : c.ops)
      if (llvm::any_of(op->getUsers(), [&](Operation *u) { return !inside.contains(u) || usedElsewhere(u, inside); })) results.push_back(op->getResult(0)), types.push_back(op->getResult(0).getType());
    Dimset rows = c.rows;
    dims.sort(rows);
    SmallVector<Attribute> names(rows.begin(), rows.end());
    auto made = GroupOp::create(b, c.ops.back()->getLoc(), types, inputs.getArrayRef(), b.getArrayAttr(names));
    Block *body = &made.getBody().emplaceBlock();
    IRMapping map;
    for (Value v : inputs) map.map(v, body->addArgument(v.getType(), v.getLoc()));
    OpBuilder in = OpBuilder::atBlockEnd(body);
    for (Operation *op : order) {
      Operation *copy = in.clone(*op, map);
      if (!llvm::is_contained(c.ops, op)) copy->removeAttr("fil.kept");
    }
    SmallVector<Value> yields;
    for (Value v : results) yields.push_back(map.lookup(v));
    YieldOp::create(in, made.getLoc(), yields);
    // Users behind the group read its result; those that are cloned into later groups find it as their operand.
    for (auto [v, r] : llvm::zip(results, made.getResults())) v.replaceUsesWithIf(r, [&](OpOperand &use) { return use.getOwner()->getBlock() == r.getDefiningOp()->getBlock() && !llvm::is_contained(c.ops, use.getOwner()); });
  }
  /// An op that is computed inside of this group, and of another one as well.
  bool usedElsewhere(Operation *op, const llvm::SetVector<Operation *> &inside) {
    if (GroupOp::kept(op)) return false;
    return llvm::any_of(op->getUsers(), [&](Operation *u) { return !inside.contains(u) || usedElsewhere(u, inside); });
  }
};

struct FormGroupsPass : impl::FormGroupsPassBase<FormGroupsPass> {
  void runOnOperation() override {
    Dims dims(getOperation());
    for (FuncOp f : getOperation().getOps<FuncOp>()) {
      SmallVector<Block *> blocks{&f.getBody().front()};
      f.walk([&](LayersOp l) { blocks.push_back(&l.block()); });
      for (Block *b : blocks) {
        Keeper(dims).block(*b);
        Former(dims, f.getEntry() != "decode").block(*b);
      }
    }
  }
};
} // namespace
} // namespace fil::passes
