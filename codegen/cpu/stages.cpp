// SPDX-License-Identifier: Apache-2.0
#include "codegen/cpu/stages.h"

namespace fil {
using namespace ir;
using mlir::dyn_cast, mlir::cast, mlir::isa;
using mlir::Operation, mlir::StringAttr;
using LV = llvm::Value *;

bool contains(const Dimlist &list, StringAttr d) { return llvm::is_contained(list, d); }
void addTo(Dimlist &list, llvm::ArrayRef<StringAttr> dims) {
  for (StringAttr d : dims)
    if (!contains(list, d)) list.push_back(d);
}

namespace {

/// What is summed for one element of the result.
Dimlist summed(Operation *op) {
  if (foldOf(op)) return {}; // over rows
  if (auto r = dyn_cast<ReduceOp>(op)) return strings(r.getOver());
  if (auto c = dyn_cast<ContractOp>(op)) return strings(c.getOver());
  Dimlist over;
  if (auto u = dyn_cast<UnwindowOp>(op))
    for (auto w : u.getWindows().getAsRange<WindowDimAttr>()) over.push_back(w.getWindow());
  return over;
}
bool isSum(Operation *op) { return !summed(op).empty(); }

bool findsPosition(Operation *op) {
  auto r = dyn_cast<ReduceOp>(op);
  return r && (r.getFn() == ReduceFn::argmax || r.getFn() == ReduceFn::argmin);
}
int direction(Operation *op) { // of a reduction: sum 0, largest 1, smallest -1
  auto r = dyn_cast<ReduceOp>(op);
  if (!r || r.getFn() == ReduceFn::sum) return 0;
  return r.getFn() == ReduceFn::max || r.getFn() == ReduceFn::argmax ? 1 : -1;
}
int additions(MapOp m) {
  switch (m.getFn()) {
  case MapFn::pow: return isa_and_nonnull<ConstantOp>(m.getArgs()[1].getDefiningOp()) ? 1 : 40;
  case MapFn::exp: case MapFn::log: case MapFn::sin: case MapFn::cos: case MapFn::tanh: case MapFn::erf: return 20;
  case MapFn::div: case MapFn::sqrt: case MapFn::rsqrt: case MapFn::mod: return 10;
  default: return 1;
  }
}
/// Over several dims a sum has two levels, one of each turn of the outermost loop and one of these: the error grows with their lengths, not
/// with the product.
bool inTwoLevels(Operation *op, const Stages::Stage &s) { return s.over.size() > 1 && direction(op) == 0; }

} // namespace

std::optional<int64_t> Stages::known(StringAttr d) {
  auto c = k.dims.value(d.getValue()).constant();
  return c ? std::optional(c->num) : std::nullopt;
}
Dimlist Stages::dimsOf(mlir::Value v) {
  if (auto s = dyn_cast<SubsetType>(v.getType())) return Dimlist(s.getPer());
  return Dimlist(cast<TensorType>(v.getType()).getDims());
}
Dimlist Stages::inOrder(const Dimlist &list) { return fil::inOrder(list, order); }

Dimlist Stages::innerOf(Operation *op) {
  Dimlist inner;
  if (auto c = dyn_cast<CacheOp>(op)) { // an append: the positions of x
    for (StringAttr d : dimsOf(c.getX()))
      if (!contains(rows, d)) inner.push_back(d);
    return inner;
  }
  if (isa<TopKOp, HighestOp, RosterOp, ScatterOp>(op)) return inner;
  auto fold = foldOf(op);
  for (StringAttr d : dimsOf(op->getResult(0)))
    if (!contains(rows, d) && !(fold && d == fold->blocks)) inner.push_back(d);
  return inOrder(inner);
}
/// May the op be computed in the same turn of the stage's loops? It may read what the stage computes at the same point only.
bool Stages::follows(Operation *op, const Stage &s) {
  llvm::SmallPtrSet<Operation *, 16> seen;
  std::function<bool(mlir::Value, bool)> fine = [&](mlir::Value v, bool same) {
    Operation *def = v.getDefiningOp();
    if (!def) return true;
    if (llvm::is_contained(s.ops, def)) return same && !isSum(def);
    if (GroupOp::kept(def)) return true;
    if (same && isa<MapOp, BroadcastOp, StopGradOp>(def) && !seen.insert(def).second) return true;
    return llvm::all_of(def->getOpOperands(), [&](mlir::OpOperand &o) { return fine(o.get(), same && pointwise(def, o.getOperandNumber())); });
  };
  if (auto f = foldOf(op)) return fine(f->x, true);
  return llvm::all_of(op->getOpOperands(), [&](mlir::OpOperand &o) { return fine(o.get(), isa<ReduceOp>(op) || pointwise(op, o.getOperandNumber())); });
}
void Stages::form(llvm::ArrayRef<Operation *> kept) {
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

void Stages::vote(const Layout &l) {
  double elements = 1;
  for (StringAttr d : l.order) elements *= double(known(d).value_or(64));
  for (size_t i = l.order.size(); i-- > 0;) {
    auto stride = l.strides[i].constant();
    if (!stride || stride->num != 1) return;
    if (known(l.order[i]) != 1) return void(votes[l.order[i]] += elements);
  }
}
StringAttr Stages::favourite(const Dimlist &among) {
  StringAttr best;
  double most = 0;
  for (auto [d, n] : votes) {
    StringAttr of = contains(among, d) ? d : insideOf(d, among);
    if (of && n > most && known(of) != 1) best = of, most = n;
  }
  return best;
}
/// Of the list, the dim that runs through windows of d which touch: neighbours along it are neighbours in memory too.
StringAttr Stages::insideOf(StringAttr d, const Dimlist &list) {
  if (stages.empty()) return {};
  for (auto w : stages[0].ops[0]->getBlock()->getOps<WindowOp>())
    for (auto x : w.getWindows().getAsRange<WindowDimAttr>())
      if (x.getIn() == d && contains(list, x.getWindow()) && known(x.getWindow()) == x.getStride()) return x.getWindow();
  return {};
}

bool Stages::readLater(Operation *op, const Stage &s) {
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
void Stages::makeRoom() {
  for (Stage &s : stages)
    for (Operation *op : s.ops) makeRoom(op, s);
}
/// Scratch for a result that later stages read and that is not written to memory anyway.
void Stages::makeRoom(Operation *op, const Stage &s) {
  mlir::Value v = op->getResult(0);
  Dimlist inner = innerOf(op);
  if (inner.empty() || results.count(v) || !readLater(op, s)) return;
  Memory m;
  m.element = k.scratch(cast<TensorType>(v.getType()).getElement());
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
Memory Stages::roomOf(Operation *op) {
  Memory m = room.lookup(op);
  if (laneRow) m.pointer = k.b.CreateGEP(m.element, m.pointer, k.b.CreateNeg(laneBase));
  return m;
}

void Stages::emit(const Point &row) {
  for (Stage &s : stages) stage(s, row);
}
void Stages::stage(Stage &s, const Point &row) {
  Dimlist loops = s.inner;
  llvm::append_range(loops, s.over);
  StringAttr lane = laneRow ? StringAttr() : favourite(loops);
  if (!laneRow && !lane && !loops.empty()) lane = loops.back();
  const bool tree = lane && contains(s.over, lane);
  s.chains = chainsOf(s, lane);
  bool vector = laneRow || tree;
  for (StringAttr d : s.inner) vector |= d == lane;
  for (Operation *op : s.ops) {
    if (!isSum(op)) continue;
    auto &all = accumulators[op];
    all.clear();
    for (size_t i = 0; i < s.chains; ++i) all.push_back(k.local(accumulatorType(op, vector)));
  }
  nest(s, loops, 0, lane, row);
  for (Operation *op : s.ops)
    if (room.count(op)) e.reside(op->getResult(0), roomOf(op));
    else if (results.count(op->getResult(0)) && !innerOf(op).empty() && !isa<CacheOp>(op)) e.reside(op->getResult(0), results[op->getResult(0)].front());
}

int Stages::work(Stage &s) {
  if (s.work) return *s.work;
  std::function<int(Operation *, bool)> of = [&](Operation *op, bool first) {
    if (!op || (!first && GroupOp::kept(op)) || isa<ConstantOp, SizeOp>(op)) return 0;
    auto m = dyn_cast<MapOp>(op);
    int n = m ? additions(m) : isa<ReduceOp, ContractOp, BroadcastOp, StopGradOp, RenameOp, IotaOp>(op) ? 1 : 10;
    for (mlir::Value v : op->getOperands())
      if (n < 1000) n += of(v.getDefiningOp(), false);
    return n;
  };
  int total = 0;
  for (Operation *op : s.ops) total += of(op, true);
  s.work = total;
  return total;
}
size_t Stages::chainsOf(Stage &s, StringAttr lane) {
  constexpr int64_t chains = 4;
  if (s.over.empty() || llvm::any_of(s.ops, findsPosition) || work(s) > 8) return 1;
  const bool along = s.over.back() == lane;
  auto n = known(s.over.back());
  return (n ? *n >= 2 * chains * (along ? k.lanes : 1) : along) ? chains : 1;
}

void Stages::lookAhead() {
  if (laneRow || rows.empty()) return;
  auto loopsOf = [](const Stage &s) {
    Dimlist all = s.inner;
    llvm::append_range(all, s.over);
    return all;
  };
  auto runs = [&](const Stage &s, const Layout &l) { // along all that the row has of it, innermost in memory last
    Dimlist loops = loopsOf(s);
    int64_t bytes = k.f64 ? 8 : 4;
    size_t inner = 0;
    for (StringAttr d : l.order) {
      if (contains(rows, d)) continue;
      if (!contains(loops, d)) return false;
      bytes *= known(d).value_or(0), ++inner;
    }
    if (!inner || inner != loops.size() || !llvm::is_contained(l.order, rows.back())) return false;
    return contains(loops, l.order.back()) && l.strides.back() == Size(1) && bytes >= 1024 && bytes <= k.target.l1 / 3;
  };
  llvm::DenseSet<mlir::Value> seen;
  std::function<void(mlir::Value)> read = [&](mlir::Value v) {
    if (Operation *op = v.getDefiningOp()) {
      if (!GroupOp::kept(op) && isa<MapOp, BroadcastOp, StopGradOp>(op))
        for (mlir::Value o : op->getOperands()) read(o);
      return;
    }
    const Memory *m = e.memory(v);
    if (!m || !m->element->isFloatingPointTy() || !seen.insert(v).second) return;
    Stage *most = nullptr;
    for (Stage &s : stages)
      if (runs(s, m->layout) && (!most || work(s) >= work(*most))) most = &s;
    if (most) most->ahead.push_back({*m, false, true});
  };
  for (size_t i = 0; i < stages.size(); ++i)
    for (Operation *op : stages[i].ops) {
      for (mlir::Value v : op->getOperands()) read(v);
      auto it = results.find(op->getResult(0));
      if (it == results.end() || !it->second[0].element->isFloatingPointTy() || !runs(stages[i], it->second[0].layout)) continue;
      size_t before = i;
      while (before > 0 && !runs(stages[before - 1], it->second[0].layout)) --before;
      if (before) stages[before - 1].ahead.push_back({it->second[0], true, false});
      else stages[i].ahead.push_back({it->second[0], true, true});
    }
}

void Stages::nest(Stage &s, const Dimlist &loops, size_t i, StringAttr lane, const Point &p) {
  if (i == s.inner.size()) {
    for (Operation *op : s.ops)
      if (isSum(op)) start(op);
  }
  if (i == loops.size()) body(s, p);
  else {
    StringAttr d = loops[i];
    auto limit = limits.find(d);
    const bool limited = limit != limits.end();
    LV first = limited ? limit->second.first : k.number(0), end = limited ? limit->second.second : k.extent(d);
    auto turn = [&](LV at, int64_t step, LV mask) {
      Point q = p;
      q.set(d, {at, step, nullptr});
      q.mask = k.both(q.mask, mask);
      if (d == lane) q.together = k.lanes;
      e.scope([&] { nest(s, loops, i + 1, lane, q); });
      if (i == s.inner.size())
        for (Operation *op : s.ops)
          if (isSum(op) && inTwoLevels(op, s)) flush(op);
    };
    const bool innermost = i + 1 == loops.size();
    const int64_t step = d == lane ? k.lanes : 1, chains = innermost ? int64_t(s.chains) : 1;
    // Where sizes are known, a short turn takes the vectors of a cache line: less to count, and to fetch ahead.
    const int64_t line = d == lane ? std::max(1, 64 / (k.lanes * (k.f64 ? 8 : 4))) : 1, many = chains == 1 && innermost && work(s) <= 8 ? line : chains;
    // Whole steps, several chains in a turn and then one at a time; the last lanes are masked.
    auto steps = [&](LV from, int64_t count) {
      for (int64_t n = 0; n < count; ++n) {
        chain = chains > 1 ? size_t(n) : 0, startsLine = n % line == 0;
        turn(emitAdd(k.b, from, k.number(n * step)), d == lane, nullptr);
      }
      chain = 0, startsLine = true;
    };
    auto run = [&](LV from, LV to, int64_t count) {
      emitLoop(k.b, from, to, step * count, [&](LV at) { steps(at, count); });
    };
    auto c = known(d);
    if (c && !limited) {
      const int64_t whole = *c / step * step, together = whole / (step * many) * step * many;
      auto part = [&](int64_t from, int64_t to, int64_t count) {
        if (to - from == step * count) steps(k.number(from), count);
        else if (to > from) run(k.number(from), k.number(to), count);
      };
      if (many > 1) part(0, together, many);
      part(many > 1 ? together : 0, whole, 1);
      if (whole != *c) turn(k.number(whole), 1, emitMask(k.b, k.number(*c - whole), k.lanes));
    } else {
      auto wholeOf = [&](int64_t n) { return n == 1 ? end : emitAdd(k.b, first, k.b.CreateAnd(k.b.CreateSub(end, first), k.number(-n))); };
      LV whole = wholeOf(step), from = first;
      if (chains > 1) run(first, from = wholeOf(step * chains), chains);
      run(from, whole, 1);
      if (d == lane) emitIf(k.b, k.b.CreateICmpNE(end, whole), [&] { turn(whole, 1, emitMask(k.b, k.b.CreateSub(end, whole), k.lanes)); });
    }
  }
  if (i == s.inner.size())
    for (Operation *op : s.ops)
      if (isSum(op)) end(op, p, lane && contains(s.over, lane), inTwoLevels(op, s));
}

void Stages::body(Stage &s, const Point &p) {
  if (startsLine)
    for (const Ahead &a : s.ahead)
      k.prefetch(a.memory, [&](StringAttr d) { return d == rows.back() && a.next ? k.plus(p(d), k.number(1)) : p(d); }, a.written);
  for (Operation *op : s.ops) {
    mlir::Value v = op->getResult(0);
    if (isSum(op)) {
      add(op, p);
      continue;
    }
    if (auto c = dyn_cast<CacheOp>(op)) { // x's positions are the last ones
      LV x = e.value(c.getX(), p);
      LV first = k.b.CreateSub(k.extent(c.getToAttr()), k.extent(c.getFromAttr()));
      k.store(results[v].front(), [&](StringAttr d) { return d == c.getToAttr() ? k.plus(p(c.getFromAttr()), first) : p(d); }, x, p.mask);
      continue;
    }
    if (auto f = foldOf(op)) {
      const Memory &m = results[v].front();
      auto at = [&](StringAttr d) { return p(d); };
      LV x = k.splat(e.value(f->x, p)), before = k.splat(k.load(m, at, p.mask));
      k.store(m, at, k.b.CreateSelect(k.splat(firstOfBlock), x, combine(op, before, x)), p.mask);
      continue;
    }
    auto c = dyn_cast<ContractOp>(op); // over nothing: a product
    LV x = c ? e.product(c, p) : e.value(v, p);
    if (c) e.remember(v, p, x);
    keep(op, p, x);
  }
}
/// A finished element goes where it is asked for.
void Stages::keep(Operation *op, const Point &p, LV x) {
  mlir::Value v = op->getResult(0);
  auto where = [&](StringAttr d) { return p(d); };
  if (auto it = results.find(v); it != results.end())
    for (const Memory &m : it->second) k.store(m, where, x, p.mask);
  if (room.count(op)) k.store(roomOf(op), where, x, p.mask);
  if (innerOf(op).empty()) e.reside(v, x);
}

// ---- sums ----

llvm::StructType *Stages::accumulatorType(Operation *op, bool vector) {
  auto r = dyn_cast<ReduceOp>(op);
  llvm::Type *value = k.scalar(cast<TensorType>(r ? r.getX().getType() : op->getResult(0).getType()).getElement());
  auto wide = [&](llvm::Type *t) { return vector ? k.vector(t) : t; };
  return llvm::StructType::get(*k.made.context, {wide(value), wide(k.i32), wide(value)});
}
Stages::Cell Stages::cell(Operation *op, size_t chain) {
  auto *slot = llvm::cast<llvm::AllocaInst>(accumulators[op][chain]);
  auto *type = llvm::cast<llvm::StructType>(slot->getAllocatedType());
  return {k.b.CreateStructGEP(type, slot, 0), k.b.CreateStructGEP(type, slot, 1), k.b.CreateStructGEP(type, slot, 2), type->getElementType(0), type->getElementType(1)};
}
LV Stages::neutral(Operation *op, llvm::Type *t) {
  if (t->isFPOrFPVectorTy()) return direction(op) ? llvm::ConstantFP::getInfinity(t, direction(op) > 0) : llvm::ConstantFP::get(t, 0);
  const int64_t v = direction(op) == 0 ? 0 : direction(op) > 0 ? INT32_MIN : INT32_MAX;
  return llvm::ConstantInt::get(t, uint64_t(v), true);
}
void Stages::start(Operation *op) {
  Cell c = cell(op, 0);
  for (size_t i = 0; i < accumulators[op].size(); ++i) k.b.CreateStore(neutral(op, c.type), cell(op, i).value);
  if (!direction(op)) k.b.CreateStore(neutral(op, c.type), c.total);
  if (findsPosition(op)) k.b.CreateStore(llvm::ConstantInt::get(c.positionType, INT32_MAX), c.position);
}
LV Stages::better(Operation *op, LV x, LV than) {
  const bool real = x->getType()->isFPOrFPVectorTy(), more = direction(op) > 0;
  if (real) return more ? k.b.CreateFCmpOGT(x, than) : k.b.CreateFCmpOLT(x, than);
  return more ? k.b.CreateICmpSGT(x, than) : k.b.CreateICmpSLT(x, than);
}
LV Stages::combine(Operation *op, LV x, LV y) {
  if (direction(op)) return k.b.CreateSelect(better(op, y, x), y, x);
  return x->getType()->isFPOrFPVectorTy() ? k.b.CreateFAdd(x, y) : k.b.CreateAdd(x, y);
}
LV Stages::together(Operation *op) {
  llvm::SmallVector<LV, 4> all;
  for (size_t i = 0; i < accumulators[op].size(); ++i) {
    Cell c = cell(op, i);
    all.push_back(k.b.CreateLoad(c.type, c.value));
  }
  for (; all.size() > 1; all.resize(all.size() / 2))
    for (size_t i = 0; i < all.size() / 2; ++i) all[i] = combine(op, all[i], all[i + all.size() / 2]);
  return all[0];
}
void Stages::flush(Operation *op) {
  Cell c = cell(op, 0);
  k.b.CreateStore(combine(op, k.b.CreateLoad(c.type, c.total), together(op)), c.total);
  for (size_t i = 0; i < accumulators[op].size(); ++i) k.b.CreateStore(neutral(op, c.type), cell(op, i).value);
}
void Stages::add(Operation *op, const Point &p) {
  auto r = dyn_cast<ReduceOp>(op);
  Cell c = cell(op, chain);
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
void Stages::end(Operation *op, const Point &p, bool tree, bool twoLevels) {
  Cell c = cell(op, 0);
  LV x = twoLevels ? k.b.CreateLoad(c.type, c.total) : together(op);
  if (findsPosition(op)) {
    LV at = k.b.CreateLoad(c.positionType, c.position);
    if (tree) { // the best value, then the lowest of its positions
      LV best = emitTree(k.b, x, [&](LV a, LV b) { return combine(op, a, b); });
      LV none = llvm::ConstantInt::get(c.positionType, INT32_MAX);
      LV is = x->getType()->isFPOrFPVectorTy() ? k.b.CreateFCmpOEQ(x, k.splat(best)) : k.b.CreateICmpEQ(x, k.splat(best));
      at = emitTree(k.b, k.b.CreateSelect(is, at, none), [&](LV a, LV b) { return k.b.CreateSelect(k.b.CreateICmpSLT(b, a), b, a); });
    }
    LV none = llvm::ConstantInt::get(at->getType(), INT32_MAX);
    x = k.b.CreateSelect(k.b.CreateICmpEQ(at, none), llvm::Constant::getNullValue(at->getType()), at);
  } else if (tree) x = emitTree(k.b, x, [&](LV a, LV b) { return combine(op, a, b); });
  keep(op, p, x);
}


} // namespace fil
