// SPDX-License-Identifier: Apache-2.0
// Keys that order like the scores are counted against thresholds between the least and the largest one: by turns where the counts of both ends put the wanted
// one, and in the middle, so that a few passes find it and none takes more than twice its bits. A threshold with the right count ends the search. Then one pass in
// rising order collects what is above.
#include "codegen/cpu/highest.h"
#include "llvm/IR/IntrinsicInst.h"

namespace fil {
using namespace ir;
using mlir::cast, mlir::StringAttr;
using LV = llvm::Value *;

constexpr int64_t together = 4; ///< vectors of keys in a turn of a pass

Highest::Keys Highest::makeKeys(const Size &room) {
  auto *type = llvm::cast<llvm::IntegerType>(k.f64 ? k.i64 : k.i32);
  Keys keys{k.allocateScratch((room + Size(together * k.lanes)) * Size(type->getBitWidth() / 8)), nullptr, type, k.vector(type), k.local(k.vector(type)), k.local(k.vector(type))};
  const auto bits = type->getBitWidth();
  k.b.CreateStore(llvm::ConstantInt::get(keys.vector, llvm::APInt::getSignedMaxValue(bits)), keys.least);
  k.b.CreateStore(llvm::ConstantInt::get(keys.vector, llvm::APInt::getSignedMinValue(bits)), keys.most);
  return keys;
}
LV Highest::place(const Keys &keys, LV i) { return emitAt(k.b, keys.type, keys.at, i); }
llvm::Constant *Highest::number(const Keys &keys, int64_t x) { return llvm::ConstantInt::get(keys.vector, uint64_t(x), true); }

void Highest::fill(Keys &keys, LV to, LV n, llvm::function_ref<std::pair<LV, LV>(LV, LV)> score) {
  auto &b = k.b;
  const unsigned bits = keys.type->getBitWidth();
  auto part = [&](LV i, LV mask) {
    e.scope([&] {
      auto [x, present] = score(i, mask);
      x = b.CreateFAdd(k.splat(x), llvm::ConstantFP::get(k.vector(k.real), 0)); // -0 equals 0
      LV raw = b.CreateBitCast(x, keys.vector), magnitude = llvm::ConstantInt::get(keys.vector, llvm::APInt::getSignedMaxValue(bits));
      raw = b.CreateXor(raw, b.CreateAnd(b.CreateAShr(raw, number(keys, bits - 1)), magnitude));
      LV counts = k.both(k.both(present, mask), b.CreateFCmpORD(x, x));
      counts = k.splat(counts);
      LV key = b.CreateSelect(counts, raw, llvm::ConstantInt::get(keys.vector, llvm::APInt::getSignedMinValue(bits)));
      auto better = [&](LV best, llvm::Intrinsic::ID which, LV than) { b.CreateStore(b.CreateBinaryIntrinsic(which, b.CreateLoad(keys.vector, best), than), best); };
      better(keys.most, llvm::Intrinsic::smax, key), better(keys.least, llvm::Intrinsic::smin, b.CreateSelect(counts, raw, magnitude));
      b.CreateAlignedStore(key, place(keys, b.CreateAdd(to, i)), llvm::Align(bits / 8)); // there is room behind the last
    });
  };
  LV whole = b.CreateAnd(n, k.number(-int64_t(k.lanes)));
  emitLoop(b, k.number(0), whole, k.lanes, [&](LV i) { part(i, nullptr); });
  emitIf(b, b.CreateICmpNE(n, whole), [&] { part(whole, emitMask(b, b.CreateSub(n, whole), k.lanes)); });
}
void Highest::finish(Keys &keys, LV n) {
  auto &b = k.b;
  const unsigned bits = keys.type->getBitWidth();
  LV none = llvm::ConstantInt::get(keys.vector, llvm::APInt::getSignedMinValue(bits));
  for (int64_t j = 0; j < together; ++j) b.CreateAlignedStore(none, place(keys, b.CreateAdd(n, k.number(j * k.lanes))), llvm::Align(bits / 8));
  keys.n = n;
  auto tree = [&](LV v, llvm::Intrinsic::ID which) {
    return b.CreateSExtOrTrunc(emitTree(b, b.CreateLoad(keys.vector, v), [&](LV x, LV y) { return b.CreateBinaryIntrinsic(which, x, y); }), k.i64);
  };
  keys.lowest = tree(keys.least, llvm::Intrinsic::smin), keys.highest = tree(keys.most, llvm::Intrinsic::smax);
  keys.candidates = above(keys, llvm::ConstantInt::get(k.i64, uint64_t(k.f64 ? INT64_MIN : int64_t(INT32_MIN))));
}

LV Highest::above(const Keys &keys, LV key) {
  auto &b = k.b;
  LV limit = k.splat(b.CreateTrunc(key, keys.type)), none = llvm::Constant::getNullValue(keys.vector);
  Values sums = emitLoop(b, k.number(0), keys.n, together * k.lanes, Values(size_t(together), none), [&](LV i, llvm::ArrayRef<LV> now) {
    Values next;
    for (int64_t j = 0; j < together; ++j) {
      LV x = b.CreateAlignedLoad(keys.vector, place(keys, b.CreateAdd(i, k.number(j * k.lanes))), llvm::Align(keys.type->getBitWidth() / 8));
      next.push_back(b.CreateSub(now[size_t(j)], b.CreateSExt(b.CreateICmpSGT(x, limit), keys.vector)));
    }
    return next;
  });
  auto add = [&](LV x, LV y) { return b.CreateAdd(x, y); };
  return b.CreateZExtOrTrunc(emitTree(b, add(add(sums[0], sums[1]), add(sums[2], sums[3])), add), k.i64);
}

Highest::Threshold Highest::find(const Keys &keys, LV count) {
  auto &b = k.b;
  // `low` has at least `count` keys at it or above, `high` fewer.
  auto open = [&](LV low, LV high, LV atLow) { return b.CreateAnd(b.CreateICmpUGT(b.CreateSub(high, low), k.number(1)), b.CreateICmpUGT(atLow, count)); };
  Values first{keys.lowest, b.CreateAdd(keys.highest, k.number(1)), keys.candidates, k.number(0)};
  Values found = emitIf(b, open(first[0], first[1], first[2]), [&] {
    Values last = emitRepeat(b, {first[0], first[1], first[2], first[3], b.getFalse()}, [&](llvm::ArrayRef<LV> now) -> Values {
      LV low = now[0], high = now[1], atLow = now[2], atHigh = now[3], apart = b.CreateSub(high, low);
      auto real = [&](LV x) { return b.CreateUIToFP(x, b.getDoubleTy()); };
      LV share = b.CreateFDiv(real(b.CreateSub(atLow, count)), real(b.CreateSub(atLow, atHigh)));
      LV guess = b.CreateIntrinsic(llvm::Intrinsic::fptoui_sat, {k.i64, b.getDoubleTy()}, {b.CreateFMul(share, real(apart))});
      LV step = b.CreateSelect(now[4], b.CreateLShr(apart, 1), guess);
      step = b.CreateBinaryIntrinsic(llvm::Intrinsic::umin, b.CreateBinaryIntrinsic(llvm::Intrinsic::umax, step, k.number(1)), b.CreateSub(apart, k.number(1)));
      LV middle = b.CreateAdd(low, step), there = above(keys, b.CreateSub(middle, k.number(1))), enough = b.CreateICmpUGE(there, count);
      Values next{b.CreateSelect(enough, middle, low), b.CreateSelect(enough, high, middle), b.CreateSelect(enough, there, atLow), b.CreateSelect(enough, atHigh, there), b.CreateNot(now[4])};
      next.push_back(open(next[0], next[1], next[2]));
      return next;
    });
    last.pop_back();
    return last;
  }, [&] { return first; });
  LV exact = b.CreateICmpEQ(found[2], count);
  LV key = b.CreateSelect(exact, b.CreateSub(found[0], k.number(1)), found[0]);
  key = b.CreateSelect(b.CreateICmpEQ(count, k.number(0)), k.number(k.f64 ? INT64_MAX : INT32_MAX), key);
  return {key, b.CreateSelect(exact, k.number(0), b.CreateSub(count, found[3]))};
}

Values Highest::eachChosen(const Keys &keys, Threshold t, llvm::ArrayRef<LV> carried, llvm::function_ref<Values(LV, LV, llvm::ArrayRef<LV>)> visit) {
  auto &b = k.b;
  LV limit = k.splat(b.CreateTrunc(t.key, keys.type));
  Values first{t.ties};
  first.append(carried.begin(), carried.end());
  Values last = emitLoop(b, k.number(0), keys.n, k.lanes, first, [&](LV i, llvm::ArrayRef<LV> now) {
    LV x = b.CreateAlignedLoad(keys.vector, place(keys, i), llvm::Align(keys.type->getBitWidth() / 8));
    LV equal = bits(b.CreateICmpEQ(x, limit)), some = b.CreateAnd(b.CreateICmpNE(equal, k.number(0)), b.CreateICmpNE(now[0], k.number(0)));
    Values ties = emitIf(b, some, [&] { // the lowest bits
      Values left = emitLoop(b, k.number(0), k.number(k.lanes), 1, {equal, now[0], k.number(0)}, [&](LV, llvm::ArrayRef<LV> c) -> Values {
        LV bit = b.CreateSelect(b.CreateICmpNE(c[1], k.number(0)), b.CreateAnd(c[0], b.CreateNeg(c[0])), k.number(0));
        return {b.CreateXor(c[0], bit), b.CreateSub(c[1], b.CreateZExt(b.CreateICmpNE(bit, k.number(0)), k.i64)), b.CreateOr(c[2], bit)};
      });
      return Values{left[1], left[2]};
    }, [&] { return Values{now[0], k.number(0)}; });
    LV chosen = b.CreateOr(b.CreateICmpSGT(x, limit), b.CreateBitCast(b.CreateTrunc(ties[1], b.getIntNTy(unsigned(k.lanes))), k.vector(k.i1)));
    Values next{ties[0]};
    llvm::append_range(next, visit(i, chosen, now.drop_front()));
    return next;
  });
  return Values(last.begin() + 1, last.end());
}

LV Highest::numbersOfBits() {
  llvm::SmallVector<uint64_t> table;
  for (unsigned byte = 0; byte < 256; ++byte) {
    uint64_t row = 0;
    unsigned n = 0;
    for (unsigned bit = 0; bit < 8; ++bit)
      if (byte >> bit & 1) row |= uint64_t(bit) << 8 * n++;
    table.push_back(row);
  }
  auto *data = llvm::ConstantDataArray::get(*k.made.context, table);
  return new llvm::GlobalVariable(*k.made.module, data->getType(), true, llvm::GlobalValue::PrivateLinkage, data, "bits");
}

void Highest::topk(TopKOp t, const Point &row, const Memory &out, LV begin, LV end) {
  auto &b = k.b;
  auto type = cast<SubsetType>(t.getResult().getType());
  Keys keys = makeKeys(k.dims.value(t.getDim()));
  LV n = b.CreateSub(end, begin), members = k.extent(type.getMembers());
  fill(keys, k.number(0), n, [&](LV i, LV mask) -> std::pair<LV, LV> {
    Point p = row;
    p.set(t.getDimAttr(), {b.CreateAdd(begin, i), 1, nullptr});
    p.mask = mask;
    LV score = e.value(t.getScore(), p);
    return {score, t.getMask() ? e.value(t.getMask(), p) : nullptr};
  });
  finish(keys, n);
  LV count = emitMin(b, keys.candidates, members), list = k.allocateScratch((k.dims.value(type.getMembers().getValue()) + Size(16)) * Size(4)), table = numbersOfBits();
  auto *eight = llvm::FixedVectorType::get(k.i32, 8);
  eachChosen(keys, find(keys, count), {k.number(0)}, [&](LV i, LV chosen, llvm::ArrayRef<LV> slot) -> Values {
    LV all = bits(chosen), to = slot[0];
    for (int lane = 0; lane < k.lanes; lane += 8) {
      LV byte = b.CreateAnd(b.CreateLShr(all, k.number(lane)), k.number(255));
      LV lanes = b.CreateBitCast(b.CreateAlignedLoad(k.i64, emitAt(b, k.i64, table, byte), llvm::Align(8)), llvm::FixedVectorType::get(k.i8, 8));
      LV first = b.CreateTrunc(b.CreateAdd(b.CreateAdd(begin, i), k.number(lane)), k.i32);
      b.CreateAlignedStore(b.CreateAdd(b.CreateZExt(lanes, eight), b.CreateVectorSplat(8, first)), emitAt(b, k.i32, list, to), llvm::Align(4));
      to = b.CreateAdd(to, b.CreateUnaryIntrinsic(llvm::Intrinsic::ctpop, byte));
    }
    return {to};
  });
  emitLoop(b, k.number(0), members, k.lanes, [&](LV i) {
    LV mask = emitMask(b, b.CreateSub(members, i), k.lanes), there = emitMask(b, b.CreateSub(count, i), k.lanes), none = llvm::Constant::getNullValue(k.vector(k.i32));
    LV x = b.CreateSelect(there, b.CreateMaskedLoad(k.vector(k.i32), emitAt(b, k.i32, list, i), llvm::Align(4), there, none), none);
    k.store(out, [&](StringAttr d) { return d == type.getMembers() ? Index{i, 1, nullptr} : row(d); }, x, mask);
  });
  k.storeCount(out, [&](StringAttr d) { return row(d); }, b.CreateTrunc(count, k.i32));
}

void Highest::highest(HighestOp h, const Point &row, const Memory &out) {
  auto &b = k.b;
  Dimlist over = strings(h.getOver());
  k.dims.sort(over);
  Dimlist outer = over;
  StringAttr last = outer.pop_back_val();
  Keys keys = makeKeys(extents(k.dims, over));
  LV length = k.extent(last), n = k.size(extents(k.dims, over));
  emitLoop(b, k.number(0), k.size(extents(k.dims, outer)), 1, [&](LV line) {
    Point at = row;
    digits(k, line, outer, at);
    fill(keys, b.CreateMul(line, length), length, [&](LV i, LV mask) -> std::pair<LV, LV> {
      Point p = at;
      p.set(last, {i, 1, nullptr});
      p.mask = mask;
      return {e.value(h.getScore(), p), nullptr};
    });
  });
  finish(keys, n);
  LV wanted = emitMax(b, k.number(0), b.CreateSExtOrTrunc(e.value(h.getCount(), row), k.i64));
  eachChosen(keys, find(keys, emitMin(b, keys.candidates, wanted)), {}, [&](LV i, LV chosen, llvm::ArrayRef<LV>) -> Values {
    e.scope([&] {
      Point p = row;
      laneDigits(k, i, true, over, emitMask(b, b.CreateSub(n, i), k.lanes), p);
      k.store(out, [&](StringAttr d) { return p(d); }, chosen, p.mask);
    });
    return {};
  });
}

} // namespace fil
