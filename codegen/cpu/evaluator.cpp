// SPDX-License-Identifier: Apache-2.0
#include "codegen/cpu/evaluator.h"
#include "llvm/ADT/TypeSwitch.h"

namespace fil {
using namespace ir;
using mlir::dyn_cast, mlir::cast, mlir::isa;
using mlir::Operation, mlir::StringAttr;
using LV = llvm::Value *;

Memory memoryOf(KernelBuilder &k, mlir::Type type, const Layout &layout, const Layout &countLayout, int &number, bool constant) {
  Memory m;
  m.pointer = k.buffer(number++);
  m.layout = layout, m.constant = constant;
  if (isa<SubsetType>(type)) m.element = k.i32, m.counts = k.buffer(number++), m.countLayout = countLayout;
  else m.element = k.stored(cast<TensorType>(type).getElement()), m.format = cast<TensorType>(type).format();
  return m;
}

std::vector<Memory> inputsOf(KernelBuilder &k, GroupOp group, const GroupPlacement &at, int &number) {
  std::vector<Memory> all;
  for (auto [v, p] : llvm::zip(group.getInputs(), at.inputs)) all.push_back(memoryOf(k, v.getType(), p.layout, p.counts, number, p.constant));
  return all;
}

Evaluator::Evaluator(KernelBuilder &k, GroupOp group, llvm::ArrayRef<Memory> inputs) : k(k), group(group) {
  for (auto [a, m] : llvm::zip(group.block().getArguments(), inputs)) residences[a] = {m, nullptr};
  known.emplace_back();
}
void Evaluator::reside(mlir::Value v, const Memory &m) { residences[v] = {m, nullptr}; }
void Evaluator::reside(mlir::Value v, LV x) { residences[v] = {{}, x}; }

Evaluator::Key Evaluator::key(mlir::Value v, const Point &p) {
  Key key{v.getAsOpaquePointer(), p.mask};
  for (StringAttr d : cast<TensorType>(v.getType()).getDims()) {
    Index i = p(d);
    key.push_back(i.lanes ? i.lanes : i.base);
    key.push_back(reinterpret_cast<const void *>(i.lanes ? -1 : i.step));
  }
  return key;
}
void Evaluator::remember(mlir::Value v, const Point &p, LV x) { known.back()[key(v, p)] = x; }

LV Evaluator::value(mlir::Value v, const Point &p) {
  Key at = key(v, p);
  for (auto scope = known.rbegin(); scope != known.rend(); ++scope)
    if (auto it = scope->find(at); it != scope->end()) return it->second;
  LV x;
  if (auto it = residences.find(v); it != residences.end())
    x = it->second.value ? it->second.value : k.load(it->second.memory, [&](StringAttr d) { return p(d); }, p.mask);
  else x = compute(v.getDefiningOp(), p);
  known.back()[at] = x;
  return x;
}

Index Evaluator::add(const Index &x, const Index &y) {
  if (!x.lanes && !y.lanes) return {k.b.CreateAdd(x.base, y.base), x.step + y.step, nullptr};
  LV a = k.positions(x), b = k.positions(y);
  k.match(a, b);
  return {nullptr, 0, k.b.CreateAdd(a, b)};
}

LV Evaluator::guarded(LV condition, Point p, llvm::ArrayRef<StringAttr> moved, llvm::function_ref<LV(const Point &)> then) {
  if (!condition) return then(p);
  if (auto *c = llvm::dyn_cast<llvm::ConstantInt>(condition); c && c->isOne()) return then(p);
  if (KernelBuilder::isVector(condition)) p.mask = k.both(p.mask, condition);
  for (StringAttr d : moved) // one position for all lanes: the mask does not protect it
    if (Index i = p(d); i.uniform()) p.set(d, {k.b.CreateSelect(KernelBuilder::isVector(condition) ? k.inside(i, k.extent(d)) : condition, i.base, k.number(0)), 0, nullptr});
  LV v = then(p);
  return choose(condition, v, zero(v));
}

/// A position of each lane, or one for all.
static Index index(LV x) { return KernelBuilder::isVector(x) ? Index{nullptr, 0, x} : Index{x, 0, nullptr}; }
static LV narrow(KernelBuilder &k, LV x) { return k.b.CreateTrunc(x, KernelBuilder::isVector(x) ? k.vector(k.i32) : k.i32); }
Index Evaluator::spread(LV x) { return index(k.b.CreateSExt(x, KernelBuilder::isVector(x) ? k.vector(k.i64) : k.i64)); }
std::pair<Index, LV> Evaluator::position(mlir::Value index, const Point &p) {
  auto subset = dyn_cast<SubsetType>(index.getType());
  if (!subset) return {spread(value(index, p)), nullptr};
  const Memory &m = residences.find(index)->second.memory;
  auto at = [&](StringAttr d) { return p(d); };
  LV member = k.load(m, at, p.mask), count = k.loadCount(m, at, p.mask);
  LV number = narrow(k, k.positions(p(subset.getMembers())));
  k.match(number, count);
  return {spread(member), k.b.CreateICmpSLT(number, count)};
}

LV Evaluator::side(ContractOp c, int which, const Point &p) {
  Point q = p;
  LV exists = nullptr;
  llvm::SmallVector<StringAttr> moved;
  mlir::Value operand = c->getOperand(unsigned(which));
  for (mlir::Value s : c.getSubsets()) {
    auto t = cast<SubsetType>(s.getType());
    if (!cast<TensorType>(operand.getType()).has(t.getOf())) continue;
    auto [index, there] = position(s, p);
    q.move(t.getOf(), index);
    exists = k.both(exists, there);
    moved.push_back(t.getOf());
  }
  return guarded(exists, q, moved, [&](const Point &r) { return value(operand, r); });
}
LV Evaluator::product(ContractOp c, const Point &p) {
  LV x = side(c, 0, p), y = side(c, 1, p);
  k.match(x, y);
  LV r = k.b.CreateFMul(x, y);
  for (mlir::Value s : c.getSubsets()) { // members that do not exist add nothing, whoever is read through them
    auto [index, there] = position(s, p);
    r = choose(there, r, zero(r));
  }
  return r;
}

LV Evaluator::windowed(UnwindowOp u, const Point &p) {
  Point q = p;
  LV inside = nullptr;
  llvm::SmallVector<StringAttr> moved;
  for (auto w : u.getWindows().getAsRange<WindowDimAttr>()) {
    Index at = add(k.plus(p(w.getIn()), k.number(w.getBefore())), k.times(p(w.getWindow()), -1));
    LV fits = k.inside(at, k.b.CreateMul(k.extent(w.getOut()), k.number(w.getStride())));
    if (w.getStride() != 1) {
      LV x = k.positions(at);
      LV n = narrow(k, x), stride = llvm::ConstantInt::get(n->getType(), uint64_t(w.getStride()));
      LV quotient = k.b.CreateUDiv(n, stride);
      fits = k.b.CreateAnd(fits, k.b.CreateICmpEQ(k.b.CreateMul(quotient, stride), n));
      LV wide = k.b.CreateZExt(quotient, x->getType());
      at = index(wide);
    }
    q.move(w.getOut(), at);
    moved.push_back(w.getOut());
    inside = k.both(inside, fits);
  }
  return guarded(inside, q, moved, [&](const Point &r) { return value(u.getY(), r); });
}

LV Evaluator::inMask(MaskOp m, const Point &p) {
  auto pairs = strings(m.getGranules());
  return ofTile(m.getMask(), pairs, lengthsOf(pairs), p);
}
llvm::SmallVector<int64_t> Evaluator::lengthsOf(llvm::ArrayRef<StringAttr> pairs) {
  llvm::SmallVector<int64_t> lengths;
  for (size_t i = 0; i < pairs.size(); i += 2) lengths.push_back(MaskOp::length(k.dims, pairs[i], pairs[i + 1]));
  return lengths;
}
LV Evaluator::ofTile(mlir::Value v, llvm::ArrayRef<StringAttr> pairs, llvm::ArrayRef<int64_t> lengths, const Point &p) {
  Point q = p;
  StringAttr across, tile; // the only dim along which lanes lie, two tiles at most
  int64_t length = 0;
  auto inside = [&](StringAttr d, LV x) { // lanes beyond the dim are masked, their tile is not
    LV last = k.b.CreateSub(k.extent(d), k.number(1));
    return k.b.CreateIntrinsic(llvm::Intrinsic::smin, {k.i64}, {k.b.CreateIntrinsic(llvm::Intrinsic::smax, {k.i64}, {x, k.number(0)}), last});
  };
  LV place = nullptr; // of the first lane, perhaps outside
  for (auto [i, n] : llvm::enumerate(lengths)) {
    Index at = p(pairs[2 * i]);
    auto divided = [&](LV x) { return k.b.CreateUDiv(x, llvm::ConstantInt::get(x->getType(), uint64_t(n))); };
    auto floored = [&](LV x) { return k.b.CreateSelect(k.b.CreateICmpSLT(x, k.number(0)), k.b.CreateNot(divided(k.b.CreateNot(x))), divided(x)); };
    const bool neighbours = at.step == 1 && !at.lanes;
    if (at.uniform() || n == 1) q.set(pairs[2 * i + 1], n == 1 ? at : Index{divided(at.base), 0, nullptr});
    else if (neighbours && p.together && n % p.together == 0) q.set(pairs[2 * i + 1], {inside(pairs[2 * i + 1], floored(at.base)), 0, nullptr});
    else if (neighbours && n >= k.lanes && !across) across = pairs[2 * i], tile = pairs[2 * i + 1], length = n, place = floored(at.base), q.set(tile, {inside(tile, place), 0, nullptr});
    else q.set(pairs[2 * i + 1], {nullptr, 0, divided(k.positions(at))});
  }
  LV first = value(v, q);
  if (!across) return first;
  LV base = p(across).base, next = k.b.CreateAdd(place, k.number(1));
  q.set(tile, {inside(tile, next), 0, nullptr});
  LV second = value(v, q);
  LV left = k.b.CreateSub(k.b.CreateMul(next, k.number(length)), base); // lanes of the first tile
  return k.b.CreateSelect(k.b.CreateICmpULT(k.laneNumbers(k.i64), k.splat(left)), k.splat(first), k.splat(second));
}

LV Evaluator::choose(LV condition, LV x, LV y) {
  if (KernelBuilder::isVector(condition)) x = k.splat(x);
  k.match(x, y);
  return k.b.CreateSelect(condition, x, y);
}
/// Of eight bits: is the one there, and how many are before it?
std::pair<LV, LV> Evaluator::slotOfBit(LV bits, LV position) {
  k.match(bits, position);
  LV one = llvm::ConstantInt::get(bits->getType(), 1), bit = k.b.CreateShl(one, position);
  return {k.b.CreateICmpNE(k.b.CreateAnd(bits, bit), zero(bits)), k.b.CreateUnaryIntrinsic(llvm::Intrinsic::ctpop, k.b.CreateAnd(bits, k.b.CreateSub(bit, one)))};
}
LV Evaluator::bitsOf(mlir::Value pattern, const Point &p) {
  LV x = value(pattern, p); // whole numbers of 8 bits are read as reals
  return k.b.CreateFPToSI(x, KernelBuilder::isVector(x) ? k.vector(k.i32) : k.i32);
}
LV Evaluator::expanded(ExpandOp x, const Point &p) {
  const auto parts = strings(x.getParts()), granules = strings(x.getGranules());
  const auto lengths = lengthsOf(granules);
  LV at = k.positions(p(x.getDimAttr())), length = llvm::ConstantInt::get(at->getType(), uint64_t(x.getPlaces() ? lengths[0] : MaskOp::length(k.dims, x.getDimAttr(), parts[0])));
  LV inner = k.b.CreateURem(at, length);
  Point q = p;
  if (x.getPlaces()) {
    LV slot = ofTile(x.getPattern(), granules, lengths, p);
    q.set(parts[0], spread(slot)), q.set(parts[1], index(inner));
    return guarded(k.b.CreateICmpSGE(slot, zero(slot)), q, {parts[0]}, [&](const Point &r) { return value(x.getX(), r); });
  }
  q.set(parts[0], index(k.b.CreateUDiv(at, length)));
  auto [there, slot] = slotOfBit(bitsOf(x.getPattern(), q), narrow(k, inner));
  LV r = nullptr;
  for (int64_t s = 0, n = k.dims.value(parts[1].getValue()).constant()->num; s < n; ++s) {
    q.set(parts[1], {k.number(s), 0, nullptr});
    LV v = value(x.getX(), q);
    r = choose(k.b.CreateICmpEQ(slot, llvm::ConstantInt::get(slot->getType(), uint64_t(s))), v, r ? r : zero(v));
  }
  return choose(there, r, zero(r));
}
LV Evaluator::compressed(CompressOp x, const Point &p) {
  const auto parts = strings(x.getParts()), granules = strings(x.getGranules());
  Point q = p;
  if (x.getPlaces()) {
    const auto lengths = lengthsOf(granules);
    LV place = ofTile(x.getPlaces(), llvm::ArrayRef(granules).drop_front(2), llvm::ArrayRef(lengths).drop_front(), p);
    q.move(x.getDimAttr(), add(k.times(spread(place), lengths[0]), p(parts[1])));
    return value(x.getX(), q);
  }
  const int64_t length = MaskOp::length(k.dims, x.getDimAttr(), parts[0]);
  LV bits = bitsOf(x.getPattern(), p), wanted = narrow(k, k.positions(p(parts[1]))), r = nullptr;
  for (int64_t i = 0; i < length; ++i) {
    q.move(x.getDimAttr(), k.plus(k.times(p(parts[0]), length), k.number(i)));
    auto [there, slot] = slotOfBit(bits, k.b.getInt32(uint32_t(i)));
    LV v = value(x.getX(), q), other = wanted;
    k.match(slot, other);
    r = choose(k.both(there, k.b.CreateICmpEQ(slot, other)), v, r ? r : zero(v));
  }
  return r;
}

LV Evaluator::random(RandomOp r, const Point &p) {
  auto type = cast<TensorType>(r.getType());
  llvm::SmallVector<StringAttr> turnDims;
  llvm::SmallVector<LV> turns;
  for (mlir::Value t : r.getTurns()) {
    llvm::append_range(turnDims, cast<TensorType>(t.getType()).getDims());
    LV turn = value(t, p);
    turns.push_back(k.b.CreateSExt(turn, KernelBuilder::isVector(turn) ? k.vector(k.i64) : k.i64));
  }
  LV seed = k.b.CreateSExt(value(r.getSeed(), p), k.i64), step = k.b.CreateSExt(value(r.getStep(), p), k.i64);
  LV key;
  if (llvm::any_of(turns, [](LV t) { return KernelBuilder::isVector(t); })) {
    key = llvm::PoisonValue::get(k.vector(k.i64));
    for (int i = 0; i < k.lanes; ++i) {
      llvm::SmallVector<LV> lane;
      for (LV t : turns) lane.push_back(KernelBuilder::isVector(t) ? k.b.CreateExtractElement(t, uint64_t(i)) : t);
      key = k.b.CreateInsertElement(key, k.streamKey(seed, r.getStream(), lane), uint64_t(i));
    }
  } else key = k.streamKey(seed, r.getStream(), turns);
  LV element = k.number(0);
  for (StringAttr d : type.getDims()) {
    if (llvm::is_contained(turnDims, d)) continue;
    LV n = k.extent(d), at = k.positions(p(d));
    if (KernelBuilder::isVector(element) || KernelBuilder::isVector(at)) n = k.splat(n), at = k.splat(at), element = k.splat(element);
    element = k.b.CreateAdd(k.b.CreateMul(element, n), at);
  }
  return k.random(key, step, element, r.getNormal());
}

LV Evaluator::compute(Operation *op, const Point &p) {
  auto with = [&](StringAttr d, const Index &i) {
    Point q = p;
    q.move(d, i);
    return q;
  };
  auto renamed = [&](StringAttr from, StringAttr to) {
    Point q = p;
    q.set(from, p(to));
    return q;
  };
  auto resultType = cast<TensorType>(op->getResult(0).getType());
  return llvm::TypeSwitch<Operation *, LV>(op)
      .Case([&](ConstantOp c) -> LV {
        const double v = c.getValue().convertToDouble();
        llvm::Type *t = k.scalar(resultType.getElement());
        return t->isFloatingPointTy() ? llvm::ConstantFP::get(t, v) : llvm::ConstantInt::get(t, uint64_t(int64_t(v)), true);
      })
      .Case([&](SizeOp s) -> LV {
        Size size = k.dims.value(*Size::parse(s.getSize()));
        if (resultType.isReal()) return k.b.CreateFPTrunc(k.formula(size), k.real);
        return k.b.CreateTrunc(k.size(size), k.i32);
      })
      .Case([&](IotaOp i) {
        return narrow(k, k.positions(p(i.getDimAttr())));
      })
      .Case([&](RandomOp r) { return random(r, p); })
      .Case([&](MapOp m) {
        llvm::SmallVector<LV> args;
        for (mlir::Value a : m.getArgs()) args.push_back(value(a, p));
        return k.map(m.getFn(), args, cast<TensorType>(m.getArgs()[0].getType()).getElement(), resultType.getElement());
      })
      .Case([&](BroadcastOp b) { return value(b.getX(), p); })
      .Case([&](StopGradOp s) { return value(s.getX(), p); })
      .Case([&](RenameOp r) { return value(r.getX(), renamed(r.getFromAttr(), r.getToAttr())); })
      .Case([&](CacheOp c) { return value(c.getX(), renamed(c.getFromAttr(), c.getToAttr())); })
      .Case([&](SliceOp s) {
        LV from = k.size(k.dims.value(*Size::parse(s.getFrom())));
        return value(s.getX(), with(s.getDimAttr(), s.getInto().empty() ? Index{from, 0, nullptr} : k.plus(p(s.getIntoAttr()), from)));
      })
      .Case([&](UnsliceOp s) {
        LV from = k.size(k.dims.value(*Size::parse(s.getFrom())));
        Index at = k.plus(p(s.getDimAttr()), k.b.CreateNeg(from));
        const bool one = s.getInto().empty();
        LV there = k.inside(at, one ? k.number(1) : k.extent(s.getIntoAttr()));
        if (one) return guarded(there, p, {}, [&](const Point &q) { return value(s.getY(), q); });
        return guarded(there, with(s.getIntoAttr(), at), {s.getIntoAttr()}, [&](const Point &q) { return value(s.getY(), q); });
      })
      .Case([&](ConcatOp c) {
        LV result = nullptr;
        Size from;
        for (auto [a, d] : llvm::zip(c.getArgs(), strings(c.getDims()))) {
          Index at = k.plus(p(c.getIntoAttr()), k.b.CreateNeg(k.size(from)));
          LV there = k.inside(at, k.extent(d));
          LV part = guarded(there, with(d, at), {d}, [&](const Point &q) { return value(a, q); });
          if (result) {
            k.match(result, part);
            if (KernelBuilder::isVector(there)) result = k.splat(result), part = k.splat(part);
            result = k.b.CreateSelect(there, part, result);
          } else result = part;
          from = from + k.dims.value(d.getValue());
        }
        return result;
      })
      .Case([&](WindowOp w) {
        Point q = p;
        LV inside = nullptr;
        llvm::SmallVector<StringAttr> moved;
        for (auto d : w.getWindows().getAsRange<WindowDimAttr>()) {
          Index at = k.plus(add(k.times(p(d.getOut()), d.getStride()), p(d.getWindow())), k.number(-d.getBefore()));
          q.move(d.getIn(), at);
          Size last = (k.dims.value(d.getOut().getValue()) - 1) * d.getStride() + k.dims.value(d.getWindow().getValue()) - d.getBefore();
          auto beyond = (last - k.dims.value(d.getIn().getValue())).constant();
          if (d.getBefore() == 0 && beyond && !(Rational(0) < *beyond)) continue;
          moved.push_back(d.getIn());
          inside = k.both(inside, k.inside(at, k.extent(d.getIn())));
        }
        return guarded(inside, q, moved, [&](const Point &r) { return value(w.getX(), r); });
      })
      .Case([&](GatherOp g) {
        auto [at, exists] = position(g.getIndex(), p);
        return guarded(exists, with(g.getDimAttr(), at), {g.getDimAttr()}, [&](const Point &q) { return value(g.getX(), q); });
      })
      .Case([&](MaskOp m) {
        if (m.getZeros()) return value(m.getX(), p);
        LV keep = inMask(m, p), x = value(m.getX(), p);
        k.match(x, keep);
        return k.b.CreateSelect(keep, x, zero(x));
      })
      .Case([&](ExpandOp x) { return expanded(x, p); })
      .Case([&](CompressOp x) { return compressed(x, p); })
      .Case([&](QuantizeOp q) {
        LV x = value(q.getX(), p);
        if (q.getScale()) {
          LV s = ofTile(q.getScale(), strings(q.getTiles()), q.getLengths(), p);
          LV inverse = k.inverseOfPower(s); // exact: scales are powers of two
          k.match(x, inverse);
          x = k.b.CreateFMul(x, inverse);
        }
        return k.rounded(*resultType.format(), x, q.getRandom() ? value(q.getRandom(), p) : nullptr);
      })
      .Case([&](PartOp h) { return k.part(value(h.getX(), p), h.getLow()); })
      .Case([&](JoinOp j) { return k.joined(value(j.getHigh(), p), value(j.getLow(), p)); })
      .Case([&](DequantizeOp q) {
        LV x = value(q.getX(), p);
        if (!q.getScale()) return x;
        LV s = ofTile(q.getScale(), strings(q.getTiles()), q.getLengths(), p);
        k.match(x, s);
        return k.b.CreateFMul(x, s);
      })
      .Case([&](UnpackOp u) {
        const uint64_t bits = u.getBits(), n = 8 / bits;
        const Index at = p(u.getDimAttr());
        LV i = at.uniform() ? at.base : narrow(k, k.positions(at)), size = llvm::ConstantInt::get(i->getType(), n);
        LV byte = k.b.CreateUDiv(i, size), shift = k.b.CreateMul(k.b.CreateURem(i, size), llvm::ConstantInt::get(i->getType(), bits));
        Point q = p;
        q.set(u.getPackedAttr(), at.uniform() ? Index{byte, 0, nullptr} : index(k.b.CreateZExt(byte, k.positions(at)->getType())));
        LV x = value(u.getX(), q);
        shift = k.b.CreateIntCast(shift, shift->getType()->getWithNewType(k.i32), false);
        k.match(x, shift);
        LV whole = k.b.CreateFPToSI(x, x->getType()->getWithNewType(k.i32)), top = llvm::ConstantInt::get(whole->getType(), 32 - bits);
        return k.b.CreateSIToFP(k.b.CreateAShr(k.b.CreateShl(k.b.CreateAShr(whole, shift), top), top), x->getType());
      })
      .Case([&](PresentOp s) { return position(s.getSubset(), p).second; })
      .Case([&](MemberOp m) {
        return narrow(k, k.positions(position(m.getSubset(), p).first));
      })
      .Default([](Operation *o) -> LV { llvm_unreachable("an op that has a stage of its own"); });
}

} // namespace fil
