// SPDX-License-Identifier: Apache-2.0
// Groups row by row. A tile is one point of the group's rows; for it the kept ops are computed in their order, in stages: a stage is a nest
// of loops over what is left of the dims (inner ones, then summed ones), with all ops that need the same nest and nothing that the nest has
// not finished. Lanes of vectors lie along the dim in which most memory is contiguous: an inner dim (then sums over it end in a tree over
// the lanes), or one of the rows (then a tile is a vector of rows, and sums need no tree).
#include "codegen/cpu/evaluator.h"
#include "codegen/cpu/group_kernel.h"
#include "llvm/ADT/MapVector.h"

namespace fil {
using namespace ir;
using mlir::dyn_cast, mlir::cast, mlir::isa;
using mlir::Operation, mlir::StringAttr;
using LV = llvm::Value *;
using Dimlist = llvm::SmallVector<StringAttr, 6>;

namespace {

bool contains(const Dimlist &list, StringAttr d) { return llvm::is_contained(list, d); }
void addTo(Dimlist &list, llvm::ArrayRef<StringAttr> dims) {
  for (StringAttr d : dims)
    if (!contains(list, d)) list.push_back(d);
}

/// What is summed for one element of the result.
Dimlist summed(Operation *op) {
  if (auto r = dyn_cast<ReduceOp>(op)) return strings(r.getOver());
  if (auto c = dyn_cast<ContractOp>(op)) return strings(c.getOver());
  Dimlist over;
  if (auto u = dyn_cast<UnwindowOp>(op))
    for (auto w : u.getWindows().getAsRange<WindowDimAttr>()) over.push_back(w.getWindow());
  return over;
}
bool isSum(Operation *op) { return !summed(op).empty(); }

struct Stage {
  llvm::SmallVector<Operation *> ops;
  Dimlist inner, over; ///< loops, outermost first; a sum is complete when the loops of `over` are
};

class RowEmitter {
public:
  RowEmitter(const Target &t, const Dims &dims, bool f64, GroupOp g, const GroupPlacement &p) : k(t, dims, f64), group(g), at(p), e(k, g, inputs(p)) {}

  EmittedKernel run() {
    int number = 0;
    for (auto [v, p] : llvm::zip(group.getInputs(), at.inputs)) number += isa<SubsetType>(v.getType()) ? 2 : 1;
    for (auto [v, p] : llvm::zip(group.yielded(), at.results)) results[v] = memoryOf(k, v.getType(), p.layout, p.counts, number, false);
    for (Operation &op : group.block())
      if (GroupOp::kept(&op)) kept.push_back(&op);
    rows = inOrder(strings(group.getRows()));
    formStages();
    chooseLanes();
    if (auto s = dyn_cast<ScatterOp>(kept[0])) rowLoop([&](Point p) { scatter(s, p); });
    else if (auto t = dyn_cast<TopKOp>(kept[0])) rowLoop([&](Point p) { topk(t, p); });
    else if (auto r = dyn_cast<RosterOp>(kept[0])) rowLoop([&](Point) { roster(r); });
    else {
      for (Stage &s : stages)
        for (Operation *op : s.ops) makeRoom(op, s);
      rowLoop([&](Point p) {
        for (Stage &s : stages) stage(s, p);
      });
    }
    k.finish();
    EmittedKernel out{std::move(k.made), k.sizes, tiles(), k.scratchBytes, grain(), {}};
    return out;
  }

private:
  KernelBuilder k;
  GroupOp group;
  const GroupPlacement &at;
  Evaluator e;
  llvm::SmallVector<Operation *> kept;
  llvm::DenseMap<mlir::Value, Memory> results;
  Dimlist rows;         ///< tiles, one coordinate each
  StringAttr laneRow;   ///< lanes are rows: tiles of `lanes` along this dim, beside `rows`
  llvm::MapVector<StringAttr, double> votes; ///< elements that are neighbours along a dim
  std::vector<Stage> stages;
  llvm::DenseMap<Operation *, Memory> room;       ///< scratch of results that stay for the row
  llvm::DenseMap<Operation *, LV> accumulators;

  std::vector<Memory> inputs(const GroupPlacement &p) {
    std::vector<Memory> all;
    int number = 0;
    for (auto [v, where] : llvm::zip(group.getInputs(), p.inputs)) all.push_back(memoryOf(k, v.getType(), where.layout, where.counts, number, where.constant));
    return all;
  }
  std::optional<int64_t> known(StringAttr d) {
    auto c = k.dims.value(d.getValue()).constant();
    return c ? std::optional(c->num) : std::nullopt;
  }
  static Dimlist dimsOf(mlir::Value v) {
    if (auto s = dyn_cast<SubsetType>(v.getType())) return Dimlist(s.getPer());
    return Dimlist(cast<TensorType>(v.getType()).getDims());
  }
  /// As the largest result or input has them.
  Dimlist inOrder(Dimlist list) {
    const Layout *best = nullptr;
    for (auto *all : {&at.results, &at.inputs})
      for (const Placement &p : *all)
        if (!best || p.layout.order.size() > best->order.size()) best = &p.layout;
    Dimlist sorted;
    if (best)
      for (StringAttr d : best->order)
        if (contains(list, d)) sorted.push_back(d);
    addTo(sorted, list);
    return sorted;
  }

  // ---- stages ----

  Dimlist innerOf(Operation *op) {
    Dimlist inner;
    if (auto c = dyn_cast<CacheOp>(op)) { // an append: the positions of x
      for (StringAttr d : dimsOf(c.getX()))
        if (!contains(rows, d)) inner.push_back(d);
      return inner;
    }
    if (isa<TopKOp, RosterOp, ScatterOp>(op)) return inner;
    for (StringAttr d : dimsOf(op->getResult(0)))
      if (!contains(rows, d)) inner.push_back(d);
    return inOrder(inner);
  }
  /// May the op be computed in the same turn of the stage's loops? It may read what the stage computes at the same point only.
  bool follows(Operation *op, const Stage &s) {
    llvm::SmallPtrSet<Operation *, 16> seen;
    std::function<bool(mlir::Value, bool)> fine = [&](mlir::Value v, bool same) {
      Operation *def = v.getDefiningOp();
      if (!def) return true;
      if (llvm::is_contained(s.ops, def)) return same && !isSum(def);
      if (GroupOp::kept(def)) return true;
      const bool plain = isa<MapOp, BroadcastOp, StopGradOp>(def);
      if (same && plain && !seen.insert(def).second) return true;
      return llvm::all_of(def->getOperands(), [&](mlir::Value o) { return fine(o, same && plain); });
    };
    const bool plain = isa<MapOp, BroadcastOp, StopGradOp, ReduceOp>(op);
    return llvm::all_of(op->getOperands(), [&](mlir::Value o) { return fine(o, plain); });
  }
  void formStages() {
    for (Operation *op : kept) {
      Dimlist inner = innerOf(op), over = inOrder(summed(op));
      auto same = [](const Dimlist &x, const Dimlist &y) { return x.size() == y.size() && llvm::all_of(x, [&](StringAttr d) { return contains(y, d); }); };
      if (!stages.empty() && !isa<CacheOp>(op)) {
        Stage &s = stages.back();
        Dimlist mine = inner, its = s.inner;
        llvm::append_range(mine, over), llvm::append_range(its, s.over);
        const bool nest = same(mine, its) && (over.empty() || s.over.empty() || same(over, s.over));
        if (nest && follows(op, s) && !llvm::any_of(s.ops, [](Operation *o) { return isa<CacheOp>(o); })) {
          if (!over.empty()) s.inner = inner, s.over = over;
          s.ops.push_back(op);
          continue;
        }
      }
      stages.push_back({{op}, inner, over});
    }
  }

  void vote(const Layout &l) {
    double elements = 1;
    for (StringAttr d : l.order) elements *= double(known(d).value_or(64));
    for (size_t i = l.order.size(); i-- > 0;) {
      auto stride = l.strides[i].constant();
      if (!stride || stride->num != 1) return;
      if (known(l.order[i]) != 1) return void(votes[l.order[i]] += elements);
    }
  }
  StringAttr favourite(const Dimlist &among) {
    StringAttr best;
    double most = 0;
    for (auto [d, n] : votes)
      if (contains(among, d) && n > most && known(d) != 1) best = d, most = n;
    return best;
  }
  void chooseLanes() {
    for (auto *all : {&at.inputs, &at.results})
      for (const Placement &p : *all) vote(p.layout);
    Dimlist all = rows;
    bool inner = false;
    for (Stage &s : stages) addTo(all, s.inner), addTo(all, s.over), inner |= !s.inner.empty() || !s.over.empty();
    if (isa<TopKOp>(kept[0])) return;
    StringAttr best = favourite(isa<ScatterOp>(kept[0]) ? rows : all);
    if (!best || !contains(rows, best)) return;
    auto n = known(best);
    if (!inner && !isa<ScatterOp>(kept[0]) && (rows.size() > 1 || (n && *n <= 4096))) { // elementwise: the last dim is run through
      llvm::erase(rows, best);
      stages.clear();
      formStages();
      return;
    }
    llvm::erase(rows, best);
    laneRow = best;
  }

  // ---- tiles ----

  Size tiles() {
    Size n(1);
    for (StringAttr d : rows) n = n * k.dims.value(d.getValue());
    return laneRow ? n * laneTiles() : n;
  }
  Size laneTiles() { return Size::ceil(k.dims.value(laneRow.getValue()) / Size(k.lanes)); }
  /// Tiles that one visit to the queue takes: some ten thousand elements.
  int64_t grain() {
    int64_t work = laneRow ? k.lanes : 1;
    for (Stage &s : stages) {
      int64_t n = 1;
      for (Dimlist *list : {&s.inner, &s.over})
        for (StringAttr d : *list) n *= known(d).value_or(128);
      work = std::max(work, n * int64_t(s.ops.size()));
    }
    return std::clamp<int64_t>(16384 / work, 1, 4096);
  }

  /// body(point) for each tile begin..end-1; coordinates count up like digits.
  void rowLoop(llvm::function_ref<void(Point)> body) {
    llvm::SmallVector<LV> extents;
    Dimlist order = rows;
    for (StringAttr d : rows) extents.push_back(k.extent(d));
    if (laneRow) order.push_back(laneRow), extents.push_back(k.size(laneTiles()));
    LV rest = k.begin();
    Values first(order.size());
    for (size_t i = order.size(); i-- > 0;) {
      first[i] = i ? k.b.CreateURem(rest, extents[i]) : rest;
      if (i) rest = k.b.CreateUDiv(rest, extents[i]);
    }
    emitLoop(k.b, k.begin(), k.end(), 1, first, [&](LV, llvm::ArrayRef<LV> now) {
      Point p;
      for (auto [d, c] : llvm::zip(rows, now)) p.set(d, {c, 0, nullptr});
      if (laneRow) {
        LV base = k.b.CreateMul(now.back(), k.number(k.lanes));
        p.set(laneRow, {base, 1, nullptr});
        auto n = known(laneRow);
        if (!n || *n % k.lanes) p.mask = emitMask(k.b, k.b.CreateSub(k.extent(laneRow), base), k.lanes);
        laneBase = base;
      }
      e.scope([&] { body(p); });
      Values next(now.begin(), now.end());
      LV carry = k.number(1);
      for (size_t i = order.size(); i-- > 0;) {
        next[i] = k.b.CreateAdd(next[i], carry);
        if (!i) break;
        LV full = k.b.CreateICmpEQ(next[i], extents[i]);
        next[i] = k.b.CreateSelect(full, k.number(0), next[i]);
        carry = k.b.CreateZExt(full, k.i64);
      }
      return next;
    });
  }
  LV laneBase = nullptr;

  // ---- a stage ----

  bool readLater(Operation *op, const Stage &s) {
    llvm::SmallPtrSet<Operation *, 16> seen;
    std::function<bool(Operation *)> later = [&](Operation *o) {
      for (Operation *u : o->getUsers()) {
        if (isa<YieldOp>(u) || !seen.insert(u).second) continue;
        if (GroupOp::kept(u) ? !llvm::is_contained(s.ops, u) : later(u)) return true;
      }
      return false;
    };
    return later(op);
  }
  /// Scratch for a result that later stages read and that is not written to memory anyway.
  void makeRoom(Operation *op, const Stage &s) {
    mlir::Value v = op->getResult(0);
    Dimlist inner = innerOf(op);
    if (inner.empty() || results.count(v) || !readLater(op, s)) return;
    Memory m;
    m.element = k.stored(cast<TensorType>(v.getType()).getElement());
    StringAttr last = laneRow ? laneRow : favourite(inner);
    if (last) llvm::erase(inner, last), inner.push_back(last);
    Size n(1);
    for (StringAttr d : llvm::reverse(inner)) {
      m.layout.order.insert(m.layout.order.begin(), d);
      m.layout.strides.insert(m.layout.strides.begin(), n);
      n = n * (d == laneRow ? Size(k.lanes) : k.dims.value(d.getValue()));
    }
    m.pointer = k.allocateScratch(n * Size(int64_t(k.made.module->getDataLayout().getTypeAllocSize(m.element))));
    room[op] = m;
  }
  /// The room as the row at hand sees it.
  Memory roomOf(Operation *op) {
    Memory m = room.lookup(op);
    if (laneRow) m.pointer = k.b.CreateGEP(m.element, m.pointer, k.b.CreateNeg(laneBase));
    return m;
  }

  void stage(Stage &s, const Point &row) {
    Dimlist loops = s.inner;
    llvm::append_range(loops, s.over);
    StringAttr lane = laneRow ? StringAttr() : favourite(loops);
    if (!laneRow && !lane && !loops.empty()) lane = loops.back();
    const bool tree = lane && contains(s.over, lane);
    bool vector = laneRow || tree;
    for (StringAttr d : s.inner) vector |= d == lane;
    for (Operation *op : s.ops)
      if (isSum(op)) accumulators[op] = k.local(accumulatorType(op, vector));
    nest(s, loops, 0, lane, row);
    for (Operation *op : s.ops)
      if (room.count(op)) e.reside(op->getResult(0), roomOf(op));
      else if (results.count(op->getResult(0)) && !innerOf(op).empty() && !isa<CacheOp>(op)) e.reside(op->getResult(0), results[op->getResult(0)]);
  }

  void nest(Stage &s, const Dimlist &loops, size_t i, StringAttr lane, const Point &p) {
    if (i == s.inner.size()) {
      for (Operation *op : s.ops)
        if (isSum(op)) start(op);
    }
    if (i == loops.size()) body(s, p);
    else {
      StringAttr d = loops[i];
      LV n = k.extent(d);
      auto turn = [&](LV at, int64_t step, LV mask) {
        Point q = p;
        q.set(d, {at, step, nullptr});
        q.mask = k.both(q.mask, mask);
        e.scope([&] { nest(s, loops, i + 1, lane, q); });
        if (i == s.inner.size())
          for (Operation *op : s.ops)
            if (isSum(op) && inTwoLevels(op, s)) flush(op);
      };
      if (d != lane) emitLoop(k.b, k.number(0), n, 1, [&](LV at) { turn(at, 0, nullptr); });
      else if (auto c = known(d)) {
        const int64_t whole = *c / k.lanes * k.lanes;
        if (whole == k.lanes) turn(k.number(0), 1, nullptr);
        else if (whole) emitLoop(k.b, k.number(0), k.number(whole), k.lanes, [&](LV at) { turn(at, 1, nullptr); });
        if (whole != *c) turn(k.number(whole), 1, emitMask(k.b, k.number(*c - whole), k.lanes));
      } else {
        LV whole = k.b.CreateAnd(n, k.number(-int64_t(k.lanes)));
        emitLoop(k.b, k.number(0), whole, k.lanes, [&](LV at) { turn(at, 1, nullptr); });
        emitIf(k.b, k.b.CreateICmpNE(n, whole), [&] { turn(whole, 1, emitMask(k.b, k.b.CreateSub(n, whole), k.lanes)); });
      }
    }
    if (i == s.inner.size())
      for (Operation *op : s.ops)
        if (isSum(op)) end(op, p, lane && contains(s.over, lane), inTwoLevels(op, s));
  }

  void body(Stage &s, const Point &p) {
    for (Operation *op : s.ops) {
      mlir::Value v = op->getResult(0);
      if (isSum(op)) {
        add(op, p);
        continue;
      }
      if (auto c = dyn_cast<CacheOp>(op)) { // x's positions are the last ones
        LV x = e.value(c.getX(), p);
        LV first = k.b.CreateSub(k.extent(c.getToAttr()), k.extent(c.getFromAttr()));
        k.store(results[v], [&](StringAttr d) { return d == c.getToAttr() ? k.plus(p(c.getFromAttr()), first) : p(d); }, x, p.mask);
        continue;
      }
      auto c = dyn_cast<ContractOp>(op); // over nothing: a product
      LV x = c ? e.product(c, p) : e.value(v, p);
      if (c) e.remember(v, p, x);
      keep(op, p, x);
    }
  }
  /// A finished element goes where it is asked for.
  void keep(Operation *op, const Point &p, LV x) {
    mlir::Value v = op->getResult(0);
    auto where = [&](StringAttr d) { return p(d); };
    if (auto it = results.find(v); it != results.end()) k.store(it->second, where, x, p.mask);
    if (room.count(op)) k.store(roomOf(op), where, x, p.mask);
    if (innerOf(op).empty()) e.reside(v, x);
  }

  // ---- sums ----

  llvm::StructType *accumulatorType(Operation *op, bool vector) {
    auto r = dyn_cast<ReduceOp>(op);
    llvm::Type *value = k.scalar(cast<TensorType>(r ? r.getX().getType() : op->getResult(0).getType()).getElement());
    auto wide = [&](llvm::Type *t) { return vector ? k.vector(t) : t; };
    return llvm::StructType::get(*k.made.context, {wide(value), wide(k.i32), wide(value)});
  }
  static bool findsPosition(Operation *op) {
    auto r = dyn_cast<ReduceOp>(op);
    return r && (r.getFn() == ReduceFn::argmax || r.getFn() == ReduceFn::argmin);
  }
  static int direction(Operation *op) { // of a reduction: sum 0, largest 1, smallest -1
    auto r = dyn_cast<ReduceOp>(op);
    if (!r || r.getFn() == ReduceFn::sum) return 0;
    return r.getFn() == ReduceFn::max || r.getFn() == ReduceFn::argmax ? 1 : -1;
  }
  struct Cell { LV value, position, total; llvm::Type *type, *positionType; };
  /// Over several dims a sum has two levels, one of each turn of the outermost loop and one of these: the error grows with their lengths, not
  /// with the product.
  static bool inTwoLevels(Operation *op, const Stage &s) { return s.over.size() > 1 && direction(op) == 0; }
  void flush(Operation *op) {
    Cell c = cell(op);
    k.b.CreateStore(combine(op, k.b.CreateLoad(c.type, c.total), k.b.CreateLoad(c.type, c.value)), c.total);
    k.b.CreateStore(neutral(op, c.type), c.value);
  }
  Cell cell(Operation *op) {
    auto *slot = llvm::cast<llvm::AllocaInst>(accumulators[op]);
    auto *type = llvm::cast<llvm::StructType>(slot->getAllocatedType());
    return {k.b.CreateStructGEP(type, slot, 0), k.b.CreateStructGEP(type, slot, 1), k.b.CreateStructGEP(type, slot, 2), type->getElementType(0), type->getElementType(1)};
  }
  LV neutral(Operation *op, llvm::Type *t) {
    if (t->isFPOrFPVectorTy()) return direction(op) ? llvm::ConstantFP::getInfinity(t, direction(op) > 0) : llvm::ConstantFP::get(t, 0);
    const int64_t v = direction(op) == 0 ? 0 : direction(op) > 0 ? INT32_MIN : INT32_MAX;
    return llvm::ConstantInt::get(t, uint64_t(v), true);
  }
  void start(Operation *op) {
    Cell c = cell(op);
    k.b.CreateStore(neutral(op, c.type), c.value);
    if (!direction(op)) k.b.CreateStore(neutral(op, c.type), c.total);
    if (findsPosition(op)) k.b.CreateStore(llvm::ConstantInt::get(c.positionType, INT32_MAX), c.position);
  }
  LV better(Operation *op, LV x, LV than) {
    const bool real = x->getType()->isFPOrFPVectorTy(), more = direction(op) > 0;
    if (real) return more ? k.b.CreateFCmpOGT(x, than) : k.b.CreateFCmpOLT(x, than);
    return more ? k.b.CreateICmpSGT(x, than) : k.b.CreateICmpSLT(x, than);
  }
  LV combine(Operation *op, LV x, LV y) {
    if (direction(op)) return k.b.CreateSelect(better(op, y, x), y, x);
    return x->getType()->isFPOrFPVectorTy() ? k.b.CreateFAdd(x, y) : k.b.CreateAdd(x, y);
  }
  void add(Operation *op, const Point &p) {
    auto r = dyn_cast<ReduceOp>(op);
    Cell c = cell(op);
    LV x = r ? e.value(r.getX(), p) : isa<ContractOp>(op) ? e.product(cast<ContractOp>(op), p) : e.windowed(cast<UnwindowOp>(op), p);
    LV before = k.b.CreateLoad(c.type, c.value);
    if (before->getType()->isVectorTy()) {
      x = k.splat(x);
      if (p.mask) x = k.b.CreateSelect(k.splat(p.mask), x, neutral(op, c.type));
    }
    if (!findsPosition(op)) {
      k.b.CreateStore(combine(op, before, x), c.value);
      return;
    }
    LV at = k.positions(p(strings(r.getOver())[0]));
    at = k.b.CreateTrunc(at, KernelBuilder::isVector(at) ? k.vector(k.i32) : k.i32);
    if (c.positionType->isVectorTy()) at = k.splat(at);
    LV now = k.b.CreateLoad(c.positionType, c.position);
    // Positions rise, so only a better value replaces; the first of all that is not NaN does in any case.
    LV none = k.b.CreateICmpEQ(now, llvm::ConstantInt::get(c.positionType, INT32_MAX));
    LV isNumber = x->getType()->isFPOrFPVectorTy() ? k.b.CreateFCmpORD(x, x) : llvm::ConstantInt::getTrue(none->getType());
    if (p.mask && none->getType()->isVectorTy()) isNumber = k.b.CreateAnd(isNumber, k.splat(p.mask));
    LV take = k.b.CreateAnd(isNumber, k.b.CreateOr(none, better(op, x, before)));
    k.b.CreateStore(k.b.CreateSelect(take, x, before), c.value);
    k.b.CreateStore(k.b.CreateSelect(take, at, now), c.position);
  }
  void end(Operation *op, const Point &p, bool tree, bool twoLevels) {
    Cell c = cell(op);
    LV x = k.b.CreateLoad(c.type, twoLevels ? c.total : c.value);
    if (findsPosition(op)) {
      LV at = k.b.CreateLoad(c.positionType, c.position);
      if (tree) { // the best value, then the lowest of its positions
        LV best = k.horizontal(x, [&](LV a, LV b) { return combine(op, a, b); });
        LV none = llvm::ConstantInt::get(c.positionType, INT32_MAX);
        LV is = x->getType()->isFPOrFPVectorTy() ? k.b.CreateFCmpOEQ(x, k.splat(best)) : k.b.CreateICmpEQ(x, k.splat(best));
        at = k.horizontal(k.b.CreateSelect(is, at, none), [&](LV a, LV b) { return k.b.CreateSelect(k.b.CreateICmpSLT(b, a), b, a); });
      }
      LV none = llvm::ConstantInt::get(at->getType(), INT32_MAX);
      x = k.b.CreateSelect(k.b.CreateICmpEQ(at, none), llvm::Constant::getNullValue(at->getType()), at);
    } else if (tree) x = k.horizontal(x, [&](LV a, LV b) { return combine(op, a, b); });
    keep(op, p, x);
  }

  // ---- scatter: rows are the result's dims but the indexed one; what a row adds, it adds in the order of y ----

  void scatter(ScatterOp s, const Point &row) {
    Memory m = results[s.getResult()];
    auto into = [&](const Index &at, const Point &p) { return [&, at](StringAttr d) { return d == s.getDimAttr() ? at : p(d); }; };
    auto type = cast<TensorType>(s.getType());
    LV zero = llvm::Constant::getNullValue(k.scalar(type.getElement()));
    emitLoop(k.b, k.number(0), k.extent(s.getDimAttr()), 1, [&](LV i) { k.store(m, into({i, 0, nullptr}, row), laneRow ? k.splat(zero) : zero, row.mask); });
    Dimlist space = dimsOf(s.getY()), loops;
    addTo(space, dimsOf(s.getIndex()));
    if (auto t = dyn_cast<SubsetType>(s.getIndex().getType())) addTo(space, {t.getMembers()});
    for (StringAttr d : inOrder(space))
      if (!row.has(d)) loops.push_back(d);
    std::function<void(size_t, const Point &)> nest = [&](size_t i, const Point &p) {
      if (i < loops.size()) {
        emitLoop(k.b, k.number(0), k.extent(loops[i]), 1, [&](LV at) {
          Point q = p;
          q.set(loops[i], {at, 0, nullptr});
          e.scope([&] { nest(i + 1, q); });
        });
        return;
      }
      auto [at, exists] = e.position(s.getIndex(), p);
      auto addIn = [&](LV mask) {
        auto where = into(at, p);
        LV y = e.value(s.getY(), p), before = k.load(m, where, mask);
        k.match(y, before);
        k.store(m, where, y->getType()->isFPOrFPVectorTy() ? k.b.CreateFAdd(before, y) : k.b.CreateAdd(before, y), mask);
      };
      if (exists && !KernelBuilder::isVector(exists)) emitIf(k.b, exists, [&] { e.scope([&] { addIn(p.mask); }); });
      else addIn(k.both(p.mask, exists));
    };
    nest(0, row);
  }

  // ---- roster: how many points each position has, where they begin, and then the points in order ----

  void roster(RosterOp r) {
    auto &b = k.b;
    auto type = cast<SubsetType>(r.getSubset().getType());
    Dimlist loops(type.getPer());
    loops.push_back(type.getMembers());
    LV positions = k.extent(type.getOf()), out = results[r.getResult()].pointer;
    LV next = k.allocateScratch((k.dims.value(type.getOf().getValue()) + 1) * Size(4));
    auto at = [&](LV array, LV i) { return emitAt(b, k.i32, array, i); };
    auto read = [&](LV array, LV i) { return b.CreateLoad(k.i32, at(array, i)); };
    auto each = [&](llvm::function_ref<void(LV slot, LV point)> body) { // points in order
      std::function<void(size_t, const Point &, LV)> nest = [&](size_t i, const Point &p, LV number) {
        if (i < loops.size()) {
          LV n = k.extent(loops[i]);
          emitLoop(b, k.number(0), n, 1, [&](LV x) {
            Point q = p;
            q.set(loops[i], {x, 0, nullptr});
            e.scope([&] { nest(i + 1, q, b.CreateAdd(b.CreateMul(number, n), x)); });
          });
          return;
        }
        auto [member, exists] = e.position(r.getSubset(), p);
        body(b.CreateSelect(exists, member.base, positions), number);
      };
      nest(0, Point(), k.number(0));
    };
    LV slots = b.CreateAdd(positions, k.number(1));
    emitLoop(b, k.number(0), slots, 1, [&](LV i) { b.CreateStore(b.getInt32(0), at(next, i)); });
    each([&](LV slot, LV) { b.CreateStore(b.CreateAdd(read(next, slot), b.getInt32(1)), at(next, slot)); });
    LV total = emitLoop(b, k.number(0), slots, 1, {b.getInt32(0)}, [&](LV i, llvm::ArrayRef<LV> sum) -> Values {
      LV n = read(next, i);
      b.CreateStore(sum[0], at(next, i)), b.CreateStore(sum[0], at(out, i));
      return {b.CreateAdd(sum[0], n)};
    })[0];
    b.CreateStore(total, at(out, slots));
    LV points = emitAt(b, k.i32, out, b.CreateAdd(slots, k.number(1)));
    each([&](LV slot, LV point) {
      LV place = read(next, slot);
      b.CreateStore(b.CreateTrunc(point, k.i32), at(points, b.CreateSExt(place, k.i64)));
      b.CreateStore(b.CreateAdd(place, b.getInt32(1)), at(next, slot));
    });
  }

  // ---- top-k: keys that order like the scores, the k-th largest by bisection over its bits, then one pass in rising order ----

  void topk(TopKOp t, const Point &row) {
    auto type = cast<SubsetType>(t.getResult().getType());
    Memory out = results[t.getResult()];
    auto &b = k.b;
    llvm::Type *keyType = k.f64 ? k.i64 : k.i32;
    const int64_t bytes = k.f64 ? 8 : 4, bits = bytes * 8;
    LV n = k.extent(t.getDimAttr()), members = k.extent(type.getMembers());
    LV keys = k.allocateScratch(k.dims.value(t.getDim()) * Size(bytes));
    auto *vectorType = k.vector(keyType);
    auto constant = [&](llvm::Type *ty, uint64_t v) { return llvm::ConstantInt::get(ty, v); };
    // Runs over the row, the last vector masked: part(position, mask).
    auto each = [&](llvm::function_ref<void(LV, LV)> part) {
      LV whole = b.CreateAnd(n, k.number(-int64_t(k.lanes)));
      emitLoop(b, k.number(0), whole, k.lanes, [&](LV i) { e.scope([&] { part(i, nullptr); }); });
      emitIf(b, b.CreateICmpNE(n, whole), [&] { e.scope([&] { part(whole, emitMask(b, b.CreateSub(n, whole), k.lanes)); }); });
    };
    auto total = [&](llvm::function_ref<LV(LV)> condition) { // members of the row whose key fulfils it
      LV sum = k.local(vectorType);
      b.CreateStore(constant(vectorType, 0), sum);
      each([&](LV i, LV mask) {
        LV at = b.CreateInBoundsGEP(keyType, keys, i);
        LV x = mask ? LV(b.CreateMaskedLoad(vectorType, at, llvm::Align(4), mask, constant(vectorType, 0))) : LV(b.CreateAlignedLoad(vectorType, at, llvm::Align(4)));
        LV yes = k.both(condition(x), mask);
        b.CreateStore(b.CreateAdd(b.CreateLoad(vectorType, sum), b.CreateZExt(yes, vectorType)), sum);
      });
      return k.horizontal(b.CreateLoad(vectorType, sum), [&](LV x, LV y) { return b.CreateAdd(x, y); });
    };
    each([&](LV i, LV mask) {
      Point p = row;
      p.set(t.getDimAttr(), {i, 1, nullptr});
      p.mask = mask;
      LV score = k.splat(e.value(t.getScore(), p));
      LV raw = b.CreateBitCast(score, vectorType);
      LV negative = b.CreateICmpSLT(raw, constant(vectorType, 0));
      LV sign = constant(vectorType, uint64_t(1) << (bits - 1));
      // -0 equals 0.
      raw = b.CreateSelect(b.CreateFCmpOEQ(score, llvm::ConstantFP::get(score->getType(), 0)), sign, b.CreateSelect(negative, b.CreateNot(raw), b.CreateOr(raw, sign)));
      LV present = b.CreateFCmpORD(score, score);
      if (t.getMask()) present = k.both(present, e.value(t.getMask(), p));
      LV key = b.CreateSelect(k.splat(present), raw, constant(vectorType, 0));
      LV at = b.CreateInBoundsGEP(keyType, keys, i);
      if (mask) b.CreateMaskedStore(key, at, llvm::Align(4), mask);
      else b.CreateAlignedStore(key, at, llvm::Align(4));
    });
    LV candidates = total([&](LV x) { return b.CreateICmpNE(x, constant(vectorType, 0)); });
    LV most = b.CreateTrunc(members, keyType);
    LV count = b.CreateSelect(b.CreateICmpULT(candidates, most), candidates, most);
    LV threshold = emitLoop(b, k.number(0), k.number(bits), 1, {constant(keyType, 0)}, [&](LV bit, llvm::ArrayRef<LV> carried) -> Values {
      LV shift = b.CreateSub(constant(keyType, uint64_t(bits - 1)), b.CreateZExtOrTrunc(bit, keyType));
      LV tried = b.CreateOr(carried[0], b.CreateShl(constant(keyType, 1), shift));
      LV enough = b.CreateICmpUGE(total([&](LV x) { return b.CreateICmpUGE(x, k.splat(tried)); }), count);
      return {b.CreateSelect(enough, tried, carried[0])};
    })[0];
    LV above = total([&](LV x) { return b.CreateICmpUGT(x, k.splat(threshold)); });
    LV narrow = b.CreateZExtOrTrunc(count, k.i32);
    auto where = [&](LV slot) {
      return [&, slot](StringAttr d) { return d == type.getMembers() ? Index{slot, 0, nullptr} : row(d); };
    };
    Values last = emitLoop(b, k.number(0), n, 1, {k.number(0), b.CreateSub(count, above)}, [&](LV i, llvm::ArrayRef<LV> carried) -> Values {
      LV x = b.CreateLoad(keyType, b.CreateInBoundsGEP(keyType, keys, i));
      LV tie = b.CreateAnd(b.CreateICmpEQ(x, threshold), b.CreateICmpNE(carried[1], constant(keyType, 0)));
      LV take = b.CreateAnd(b.CreateOr(b.CreateICmpUGT(x, threshold), tie), b.CreateICmpNE(x, constant(keyType, 0)));
      emitIf(b, take, [&] { k.store(out, where(carried[0]), b.CreateTrunc(i, k.i32), nullptr); });
      return {b.CreateAdd(carried[0], b.CreateZExt(take, k.i64)), b.CreateSub(carried[1], b.CreateZExt(b.CreateAnd(tie, take), keyType))};
    });
    emitLoop(b, last[0], members, 1, [&](LV i) { k.store(out, where(i), constant(k.i32, 0), nullptr); });
    k.storeCount(out, [&](StringAttr d) { return row(d); }, narrow);
  }
};

} // namespace

EmittedKernel emitRows(const Target &target, const Dims &dims, bool f64, GroupOp group, const GroupPlacement &placement) {
  return RowEmitter(target, dims, f64, group, placement).run();
}

} // namespace fil
