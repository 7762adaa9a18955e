// SPDX-License-Identifier: Apache-2.0
// Groups row by row. A tile is one point of the group's rows; for it the kept ops are computed in their order, in stages. Lanes of vectors lie along the dim in which most memory is contiguous: an inner dim (then sums over it end in a tree over
// the lanes), or one of the rows (then a tile is a vector of rows, and sums need no tree).
#include "codegen/cpu/group_kernel.h"
#include "codegen/cpu/highest.h"
#include "codegen/cpu/stages.h"

namespace fil {
using namespace ir;
using mlir::dyn_cast, mlir::cast, mlir::isa;
using mlir::Operation, mlir::StringAttr;
using LV = llvm::Value *;

namespace {

struct Emitter {
  KernelBuilder kernel;
  int number = 0; ///< of the first buffer behind the inputs
  Evaluator evaluator;
  Emitter(const Target &t, const Dims &dims, bool f64, GroupOp g, const GroupPlacement &p) : kernel(t, dims, f64), evaluator(kernel, g, inputsOf(kernel, g, p, number)) {}
};

class RowEmitter : Emitter, Stages {
public:
  RowEmitter(const Target &t, const Dims &dims, bool f64, GroupOp g, const GroupPlacement &p) : Emitter(t, dims, f64, g, p), Stages(kernel, evaluator), group(g), at(p) {}

  EmittedKernel run() {
    for (auto [v, p] : llvm::zip(group.yielded(), at.results)) results[v] = {memoryOf(k, v.getType(), p.layout, p.counts, number, false)};
    for (Operation &op : group.block())
      if (GroupOp::kept(&op)) kept.push_back(&op);
    const Layout *largest = nullptr;
    for (auto *all : {&at.results, &at.inputs})
      for (const Placement &p : *all)
        if (!largest || p.layout.order.size() > largest->order.size()) largest = &p.layout;
    if (largest) order.assign(largest->order.begin(), largest->order.end());
    rows = inOrder(strings(group.getRows()));
    for (Operation *op : kept)
      if (auto f = foldOf(op)) fold = f;
    if (fold) llvm::erase(rows, fold->in), rows.push_back(fold->in);
    form(kept);
    chooseLanes();
    if (auto s = dyn_cast<ScatterOp>(kept[0])) rowLoop([&](Point p) { scatter(s, p); });
    else if (auto t = dyn_cast<TopKOp>(kept[0])) rowLoop([&](Point p) { Highest(k, e).topk(t, p, results[t.getResult()].front(), k.number(0), k.extent(t.getDimAttr())); });
    else if (auto h = dyn_cast<HighestOp>(kept[0])) rowLoop([&](Point p) { Highest(k, e).highest(h, p, results[h.getResult()].front()); });
    else if (auto r = dyn_cast<RosterOp>(kept[0])) rowLoop([&](Point) { roster(r); });
    else {
      makeRoom();
      lookAhead();
      rowLoop([&](Point p) { emit(p); });
    }
    k.finish();
    EmittedKernel out{std::move(k.made), k.sizes, tiles(), k.scratchBytes, grain(), {}};
    return out;
  }

private:
  GroupOp group;
  const GroupPlacement &at;
  llvm::SmallVector<Operation *> kept;
  std::optional<Fold> fold; ///< then a tile is a block of rows

  void chooseLanes() {
    const bool scatters = isa<ScatterOp>(kept[0]);
    if (!scatters)
      for (const Placement &p : at.inputs) vote(p.layout);
    for (const Placement &p : at.results) vote(p.layout); // a scatter's lanes store side by side
    Dimlist all = rows;
    bool inner = false;
    for (Stage &s : stages) addTo(all, s.inner), addTo(all, s.over), inner |= !s.inner.empty() || !s.over.empty();
    if (isa<TopKOp, HighestOp>(kept[0]) || fold) return;
    StringAttr best = favourite(scatters ? rows : all);
    if (!best || !contains(rows, best)) return;
    auto n = known(best);
    if (!inner && !scatters && (rows.size() > 1 || (n && *n <= 4096))) { // elementwise: the last dim is run through
      llvm::erase(rows, best);
      stages.clear();
      form(kept);
      return;
    }
    llvm::erase(rows, best);
    laneRow = best;
  }

  // ---- tiles ----

  Size tiles() {
    Size n(1);
    for (StringAttr d : rows) n = n * k.dims.value((fold && d == fold->in ? fold->blocks : d).getValue());
    return laneRow ? n * laneTiles() : n;
  }
  Size laneTiles() { return Size::ceil(k.dims.value(laneRow.getValue()) / Size(k.lanes)); }
  /// Tiles that one visit to the queue takes: some ten thousand elements.
  int64_t grain() {
    int64_t work = laneRow ? k.lanes : 1;
    if (auto s = dyn_cast<ScatterOp>(kept[0])) {
      int64_t n = 1;
      for (StringAttr d : spaceOf(s)) n *= contains(rows, d) || d == laneRow ? 1 : known(d).value_or(128);
      work *= n + known(s.getDimAttr()).value_or(128);
    }
    for (Stage &s : stages) {
      int64_t n = 1;
      for (Dimlist *list : {&s.inner, &s.over})
        for (StringAttr d : *list) n *= known(d).value_or(128);
      work = std::max(work, n * int64_t(s.ops.size()));
    }
    if (fold) work *= fold->rows;
    return std::clamp<int64_t>(16384 / work, 1, 4096);
  }

  /// body(point) for each tile begin..end-1; coordinates count up like digits.
  void rowLoop(llvm::function_ref<void(Point)> body) {
    llvm::SmallVector<LV> extents;
    Dimlist digits = rows;
    for (StringAttr d : rows) extents.push_back(k.extent(fold && d == fold->in ? fold->blocks : d));
    if (laneRow) digits.push_back(laneRow), extents.push_back(k.size(laneTiles()));
    LV rest = k.begin();
    Values first(digits.size());
    for (size_t i = digits.size(); i-- > 0;) {
      first[i] = i ? k.b.CreateURem(rest, extents[i]) : rest;
      if (i) rest = k.b.CreateUDiv(rest, extents[i]);
    }
    emitLoop(k.b, k.begin(), k.end(), 1, first, [&](LV, llvm::ArrayRef<LV> now) {
      Point p;
      for (auto [d, c] : llvm::zip(rows, now)) p.set(d, {c, 0, nullptr});
      if (laneRow) {
        LV base = k.b.CreateMul(now.back(), k.number(k.lanes));
        p.set(laneRow, {base, 1, nullptr}), p.together = k.lanes;
        auto n = known(laneRow);
        if (!n || *n % k.lanes) p.mask = emitMask(k.b, k.b.CreateSub(k.extent(laneRow), base), k.lanes);
        laneBase = base;
      }
      if (fold) {
        p.set(fold->blocks, p(fold->in));
        LV first = k.b.CreateMul(p(fold->in).base, k.number(fold->rows));
        emitLoop(k.b, first, emitMin(k.b, k.b.CreateAdd(first, k.number(fold->rows)), k.extent(fold->in)), 1, [&](LV row) {
          Point q = p;
          q.set(fold->in, {row, 0, nullptr});
          firstOfBlock = k.b.CreateICmpEQ(row, first);
          e.scope([&] { body(q); });
        });
      } else e.scope([&] { body(p); });
      Values next(now.begin(), now.end());
      LV carry = k.number(1);
      for (size_t i = digits.size(); i-- > 0;) {
        next[i] = k.b.CreateAdd(next[i], carry);
        if (!i) break;
        LV full = k.b.CreateICmpEQ(next[i], extents[i]);
        next[i] = k.b.CreateSelect(full, k.number(0), next[i]);
        carry = k.b.CreateZExt(full, k.i64);
      }
      return next;
    });
  }

  /// part(position, mask) for the vectors of 0..n-1; the last one's is masked, that of the others null.
  void eachVector(LV n, llvm::function_ref<void(LV, LV)> part) {
    LV whole = k.b.CreateAnd(n, k.number(-int64_t(k.lanes)));
    emitLoop(k.b, k.number(0), whole, k.lanes, [&](LV i) { e.scope([&] { part(i, nullptr); }); });
    emitIf(k.b, k.b.CreateICmpNE(n, whole), [&] { e.scope([&] { part(whole, emitMask(k.b, k.b.CreateSub(n, whole), k.lanes)); }); });
  }

  // ---- scatter: rows are the result's dims but the indexed one; what a row adds, it adds in the order of y ----

  static Dimlist spaceOf(ScatterOp s) {
    Dimlist space = dimsOf(s.getY());
    addTo(space, dimsOf(s.getIndex()));
    if (auto t = dyn_cast<SubsetType>(s.getIndex().getType())) addTo(space, {t.getMembers()});
    return space;
  }
  void scatter(ScatterOp s, const Point &row) {
    Memory m = results[s.getResult()].front();
    auto into = [&](const Index &at, const Point &p) { return [&, at](StringAttr d) { return d == s.getDimAttr() ? at : p(d); }; };
    auto type = cast<TensorType>(s.getType());
    LV zero = llvm::Constant::getNullValue(k.scalar(type.getElement()));
    LV n = k.extent(s.getDimAttr());
    if (!laneRow && favourite({s.getDimAttr()})) {
      eachVector(n, [&](LV i, LV mask) { k.store(m, into({i, 1, nullptr}, row), zero, mask); });
    } else emitLoop(k.b, k.number(0), n, 1, [&](LV i) { k.store(m, into({i, 0, nullptr}, row), laneRow ? k.splat(zero) : zero, row.mask); });
    Dimlist loops;
    for (StringAttr d : inOrder(spaceOf(s)))
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
    LV positions = k.extent(type.getOf()), out = results[r.getResult()].front().pointer;
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
};

} // namespace

EmittedKernel emitRows(const Target &target, const Dims &dims, bool f64, GroupOp group, const GroupPlacement &placement) {
  return RowEmitter(target, dims, f64, group, placement).run();
}

} // namespace fil
