// SPDX-License-Identifier: Apache-2.0
// Elementwise functions. f32: own polynomials on scalars and vectors (range reduction and coefficients as in Cephes, those of erf, sin and
// cos after N. Juffa); f64: libm through the launch table. NaN and infinities come out as in libm.
#include "codegen/cpu/kernel_builder.h"
#include "runtime/abi/kernel.h"
#include <llvm/IR/IntrinsicsX86.h>

namespace fil {
using namespace llvm;
using ir::MapFn;

Value *KernelBuilder::intrinsic(Intrinsic::ID id, ArrayRef<Value *> args) { return b.CreateIntrinsic(id, {args[0]->getType()}, args); }
Value *KernelBuilder::horner(Value *x, std::initializer_list<double> c) {
  Value *r = like(x, *c.begin());
  for (auto it = c.begin() + 1; it != c.end(); ++it) r = fma(r, x, like(x, *it));
  return r;
}
Value *KernelBuilder::eachLane(int field, ArrayRef<Value *> args) {
  auto *f = FunctionType::get(b.getDoubleTy(), SmallVector<Type *>(args.size(), b.getDoubleTy()), false);
  auto one = [&](ArrayRef<Value *> xs) {
    SmallVector<Value *> wide;
    for (Value *x : xs) wide.push_back(b.CreateFPExt(x, b.getDoubleTy()));
    return b.CreateFPTrunc(service(field, f, wide), xs[0]->getType());
  };
  if (!isVector(args[0])) return one(args);
  Value *r = PoisonValue::get(args[0]->getType());
  for (int i = 0; i < lanes; ++i) {
    SmallVector<Value *> xs;
    for (Value *a : args) xs.push_back(b.CreateExtractElement(a, uint64_t(i)));
    r = b.CreateInsertElement(r, one(xs), uint64_t(i));
  }
  return r;
}

/// x = n ln2 + r, |r| <= ln2/2; e^r by a polynomial (minimax of the relative error, 3e-9), times 2^n in one rounding, so that results down
/// to the smallest denormal are right.
Value *KernelBuilder::exp(Value *x) {
  Value *c = b.CreateSelect(b.CreateFCmpOGT(x, like(x, 89)), like(x, 89), x);
  c = b.CreateSelect(b.CreateFCmpOLT(c, like(x, -104)), like(x, -104), c);
  const double magic = 12582912 + 254; // 1.5 * 2^23: adding it rounds to a whole number; n + 254 stands in the low bits
  Value *t = fma(c, like(x, 1.44269504088896341), like(x, magic));
  Value *n = b.CreateFSub(t, like(x, magic));
  Value *r = fma(n, like(x, -0.693359375), c);
  r = fma(n, like(x, 2.12194440e-4), r);
  Value *p = horner(r, {1.3814540580e-3, 8.3687454462e-3, 4.1668388993e-2, 1.6666521132e-1, 4.9999994040e-1, 1, 1});
  if (isVector(x) && lanes == 16) {
    Type *all = b.getInt16Ty();
    return b.CreateIntrinsic(Intrinsic::x86_avx512_mask_scalef_ps_512, {}, {p, n, p, ConstantInt::getAllOnesValue(all), b.getInt32(4)});
  }
  // Two powers whose exponents add up to n: all of 2^n is not always a number.
  Value *i = bits(t), *half = b.CreateLShr(i, whole(i, 1));
  auto power = [&](Value *e) { return asFloat(b.CreateShl(e, whole(e, 23))); };
  return b.CreateFMul(b.CreateFMul(p, power(half)), power(b.CreateSub(i, half)));
}

/// x = m 2^e with m in [sqrt(1/2), sqrt(2)); log m by a polynomial in m - 1.
Value *KernelBuilder::log(Value *x) {
  Value *tiny = b.CreateFCmpOLT(x, like(x, 0x1p-126));
  Value *v = b.CreateSelect(tiny, b.CreateFMul(x, like(x, 0x1p23)), x);
  Value *raw = bits(v);
  Value *e = b.CreateAShr(b.CreateSub(raw, whole(raw, 0x3f3504f3)), whole(raw, 23));
  Value *f = b.CreateFSub(asFloat(b.CreateSub(raw, b.CreateShl(e, whole(e, 23)))), like(x, 1));
  Value *exponent = b.CreateFSub(b.CreateSIToFP(e, x->getType()), b.CreateSelect(tiny, like(x, 23), like(x, 0)));
  Value *z = b.CreateFMul(f, f);
  Value *p = horner(f, {7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1,
                        3.3333331174e-1});
  Value *y = b.CreateFMul(b.CreateFMul(p, f), z);
  y = fma(exponent, like(x, -2.12194440e-4), y);
  y = fma(z, like(x, -0.5), y);
  Value *r = fma(exponent, like(x, 0.693359375), b.CreateFAdd(f, y));
  const double inf = std::numeric_limits<double>::infinity();
  r = b.CreateSelect(b.CreateFCmpOEQ(x, like(x, 0)), like(x, -inf), r);
  r = b.CreateSelect(b.CreateFCmpOEQ(x, like(x, inf)), x, r);
  return b.CreateSelect(b.CreateFCmpULT(x, like(x, 0)), like(x, std::numeric_limits<double>::quiet_NaN()), r);
}

Value *KernelBuilder::tanh(Value *x) {
  Value *a = intrinsic(Intrinsic::fabs, {x}), *z = b.CreateFMul(x, x);
  Value *small = horner(z, {-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1});
  small = fma(b.CreateFMul(small, z), x, x);
  Value *large = b.CreateFSub(like(x, 1), b.CreateFDiv(like(x, 2), b.CreateFAdd(exp(b.CreateFAdd(a, a)), like(x, 1))));
  large = intrinsic(Intrinsic::copysign, {large, x});
  return b.CreateSelect(b.CreateFCmpOLT(a, like(x, 0.625)), small, large);
}

Value *KernelBuilder::erf(Value *x) {
  Value *t = intrinsic(Intrinsic::fabs, {x}), *s = b.CreateFMul(x, x);
  Value *r = fma(like(x, -1.72853470e-5), t, like(x, 3.83197126e-4));
  Value *u = fma(like(x, -3.88396438e-3), t, like(x, 2.42546219e-2));
  r = fma(r, s, u);
  for (double c : {-1.06777877e-1, -6.34846687e-1, -1.28717512e-1}) r = fma(r, t, like(x, c));
  r = fma(r, t, b.CreateFNeg(t));
  Value *large = intrinsic(Intrinsic::copysign, {b.CreateFSub(like(x, 1), exp(r)), x});
  Value *small = horner(s, {-5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1});
  small = fma(small, x, x);
  // Beyond 4 the polynomial in the exponent has left its range.
  large = b.CreateSelect(b.CreateFCmpOGT(t, like(x, 4)), intrinsic(Intrinsic::copysign, {like(x, 1), x}), large);
  return b.CreateSelect(b.CreateFCmpOGT(t, like(x, 0.927734375)), large, small);
}

/// Beyond 65,536, where the three parts of pi/2 are too few, lane by lane as libm has it; in a vector of which a lane is there.
Value *KernelBuilder::sinCos(Value *x, bool cosine) {
  Value *isFar = b.CreateFCmpOGT(intrinsic(Intrinsic::fabs, {x}), like(x, 65536));
  return emitIf(b, isVector(x) ? b.CreateOrReduce(isFar) : isFar, [&]() -> Values {
    const int field = cosine ? FIL_COS : FIL_SIN;
    if (!isVector(x)) return {eachLane(field, {x})};
    return emitLoop(b, b.getInt64(0), b.getInt64(uint64_t(lanes)), 1, {x}, [&](Value *i, ArrayRef<Value *> done) -> Values {
      return {b.CreateInsertElement(done[0], eachLane(field, {b.CreateExtractElement(x, i)}), i)};
    });
  }, [&]() -> Values { return {sinCosNear(x, cosine)}; })[0];
}
/// x = n pi/2 + r in three steps of fused multiply-adds.
Value *KernelBuilder::sinCosNear(Value *x, bool cosine) {
  const double magic = 12582912;
  Value *t = fma(x, like(x, 0.636619772), like(x, magic));
  Value *i = bits(t), *n = b.CreateFSub(t, like(x, magic));
  Value *r = fma(n, like(x, -1.57079601e+00), x);
  r = fma(n, like(x, -3.13916473e-07), r);
  r = fma(n, like(x, -5.39030253e-15), r);
  if (cosine) i = b.CreateAdd(i, whole(i, 1));
  Value *z = b.CreateFMul(r, r);
  Value *s = horner(z, {2.86567956e-6, -1.98559923e-4, 8.33338592e-3, -1.66666672e-1});
  s = fma(b.CreateFMul(s, z), r, r);
  Value *c = horner(z, {2.44677067e-5, -1.38877297e-3, 4.16666567e-2, -5.00000000e-1, 1.0});
  Value *odd = b.CreateICmpNE(b.CreateAnd(i, whole(i, 1)), whole(i, 0));
  Value *v = b.CreateSelect(odd, c, s);
  Value *minus = b.CreateICmpNE(b.CreateAnd(i, whole(i, 2)), whole(i, 0));
  return b.CreateSelect(minus, b.CreateFNeg(v), v);
}

Value *KernelBuilder::power(Value *x, Value *y) {
  auto *c = dyn_cast<ConstantFP>(y);
  if (auto *v = dyn_cast<Constant>(y); v && isVector(y)) c = dyn_cast_or_null<ConstantFP>(v->getSplatValue());
  if (c) { // whole exponents are products
    const double e = c->getValueAPF().convertToDouble();
    if (e == std::floor(e) && std::fabs(e) <= 8 && e != 0) {
      Value *r = nullptr, *square = x;
      for (int n = int(std::fabs(e)); n; n >>= 1, square = b.CreateFMul(square, square))
        if (n & 1) r = r ? b.CreateFMul(r, square) : square;
      return e < 0 ? b.CreateFDiv(like(x, 1), r) : r;
    }
    if (e == 0.5) return intrinsic(Intrinsic::sqrt, {x});
  }
  return eachLane(8, {x, y});
}

/// x / y with one y for all lanes: what depends on y alone is moved out of loops, and a vector costs two products. Off by one unit in the last
/// place at most; y is brought near 1 by a power of two first, so that neither it nor its reciprocal is a denormal.
Value *KernelBuilder::quotient(Value *x, Value *y) {
  Value *size = intrinsic(Intrinsic::fabs, {y});
  Value *power = b.CreateSelect(b.CreateFCmpOLT(size, like(y, 0x1p-64)), like(y, 0x1p64), like(y, 1));
  power = b.CreateSelect(b.CreateFCmpOGT(size, like(y, 0x1p64)), like(y, 0x1p-64), power);
  return b.CreateFMul(b.CreateFMul(x, splat(power)), splat(b.CreateFDiv(like(y, 1), b.CreateFMul(y, power))));
}

/// 1 / x by 14 bits and one step of Newton's, off by one unit in the last place at most: 4 operations where a division keeps a port for 16 cycles.
/// Where the step makes no number, as x or the bits are 0 or infinite, the bits are the result.
Value *KernelBuilder::reciprocal(Value *x) {
  Value *r = b.CreateIntrinsic(Intrinsic::x86_avx512_rcp14_ps_512, {}, {x, x, ConstantInt::getAllOnesValue(b.getInt16Ty())});
  Value *e = fma(b.CreateFNeg(x), r, like(x, 1));
  return b.CreateSelect(b.CreateFCmpOGT(e, like(x, -1)), fma(r, e, r), r);
}

Value *KernelBuilder::function1(MapFn fn, Value *x) {
  switch (fn) {
  case MapFn::exp: return f64 ? eachLane(FIL_EXP, {x}) : exp(x);
  case MapFn::log: return f64 ? eachLane(FIL_LOG, {x}) : log(x);
  case MapFn::sin: return f64 ? eachLane(FIL_SIN, {x}) : sinCos(x, false);
  case MapFn::cos: return f64 ? eachLane(FIL_COS, {x}) : sinCos(x, true);
  case MapFn::tanh: return f64 ? eachLane(FIL_TANH, {x}) : tanh(x);
  case MapFn::erf: return f64 ? eachLane(FIL_ERF, {x}) : erf(x);
  case MapFn::sqrt: return intrinsic(Intrinsic::sqrt, {x});
  case MapFn::rsqrt: return b.CreateFDiv(like(x, 1), intrinsic(Intrinsic::sqrt, {x}));
  case MapFn::floor: return intrinsic(Intrinsic::floor, {x});
  case MapFn::ceil: return intrinsic(Intrinsic::ceil, {x});
  case MapFn::round: return intrinsic(Intrinsic::roundeven, {x});
  default: llvm_unreachable("a function of one real");
  }
}

Value *KernelBuilder::map(MapFn fn, ArrayRef<Value *> given, mlir::Type from, mlir::Type to) {
  SmallVector<Value *, 3> a(given);
  const bool isReal = a[fn == MapFn::select ? 1 : 0]->getType()->isFPOrFPVectorTy();
  if (fn == MapFn::div && isReal && !f64 && isVector(a[0]) && !isVector(a[1])) return quotient(a[0], a[1]);
  if (auto *one = dyn_cast<ConstantFP>(a[0]); one && one->isExactlyValue(1) && fn == MapFn::div && !f64 && lanes == 16 && isVector(a[1])) return reciprocal(a[1]);
  if (a.size() == 2) match(a[0], a[1]);
  if (fn == MapFn::select) {
    match(a[1], a[2]);
    if (isVector(a[0])) a[1] = splat(a[1]), a[2] = splat(a[2]);
    return b.CreateSelect(a[0], a[1], a[2]);
  }
  Value *x = a[0], *y = a.size() > 1 ? a[1] : nullptr;
  auto compare = [&](CmpInst::Predicate real, CmpInst::Predicate whole) { return isReal ? b.CreateFCmp(real, x, y) : b.CreateICmp(whole, x, y); };
  switch (fn) {
  case MapFn::add: return isReal ? b.CreateFAdd(x, y) : b.CreateAdd(x, y);
  case MapFn::sub: return isReal ? b.CreateFSub(x, y) : b.CreateSub(x, y);
  case MapFn::mul: return isReal ? b.CreateFMul(x, y) : b.CreateMul(x, y);
  case MapFn::div: return isReal ? b.CreateFDiv(x, y) : b.CreateSDiv(x, y);
  case MapFn::pow: return power(x, y);
  case MapFn::mod:
    if (isReal) return b.CreateFSub(x, b.CreateFMul(intrinsic(Intrinsic::floor, {b.CreateFDiv(x, y)}), y));
    else {
      Value *r = b.CreateSRem(x, y), *zero = whole(x, 0);
      Value *wrong = b.CreateAnd(b.CreateICmpNE(r, zero), b.CreateICmpSLT(b.CreateXor(r, y), zero));
      return b.CreateSelect(wrong, b.CreateAdd(r, y), r);
    }
  case MapFn::pow2ceil: {
    x = b.CreateSelect(b.CreateFCmpOGT(x, like(x, 0x1p-126)), x, like(x, 0x1p-126)), x = b.CreateSelect(b.CreateFCmpOLT(x, like(x, 0x1p126)), x, like(x, 0x1p126));
    Type *whole = f64 ? isVector(x) ? vector(i64) : i64 : integers(x);
    const uint64_t fraction = (uint64_t(1) << (f64 ? 52 : 23)) - 1;
    Value *up = b.CreateAdd(b.CreateBitCast(x, whole), ConstantInt::get(whole, fraction));
    return b.CreateBitCast(b.CreateAnd(up, ConstantInt::get(whole, ~fraction)), x->getType());
  }
  case MapFn::min: return b.CreateSelect(isReal ? b.CreateFCmpOLT(y, x) : b.CreateICmpSLT(y, x), y, x);
  case MapFn::max: return b.CreateSelect(isReal ? b.CreateFCmpOGT(y, x) : b.CreateICmpSGT(y, x), y, x);
  case MapFn::neg: return isReal ? b.CreateFNeg(x) : b.CreateNeg(x);
  case MapFn::abs: return isReal ? intrinsic(Intrinsic::fabs, {x}) : b.CreateSelect(b.CreateICmpSLT(x, whole(x, 0)), b.CreateNeg(x), x);
  case MapFn::sign:
    if (isReal) {
      Value *r = b.CreateSelect(b.CreateFCmpOGT(x, like(x, 0)), like(x, 1), like(x, 0));
      return b.CreateSelect(b.CreateFCmpOLT(x, like(x, 0)), like(x, -1), r);
    }
    return b.CreateSelect(b.CreateICmpSLT(x, whole(x, 0)), whole(x, -1), b.CreateSelect(b.CreateICmpSGT(x, whole(x, 0)), whole(x, 1), whole(x, 0)));
  case MapFn::eq: return compare(CmpInst::FCMP_OEQ, CmpInst::ICMP_EQ);
  case MapFn::ne: return compare(CmpInst::FCMP_UNE, CmpInst::ICMP_NE);
  case MapFn::lt: return compare(CmpInst::FCMP_OLT, CmpInst::ICMP_SLT);
  case MapFn::le: return compare(CmpInst::FCMP_OLE, CmpInst::ICMP_SLE);
  case MapFn::gt: return compare(CmpInst::FCMP_OGT, CmpInst::ICMP_SGT);
  case MapFn::ge: return compare(CmpInst::FCMP_OGE, CmpInst::ICMP_SGE);
  case MapFn::logical_and: return b.CreateAnd(x, y);
  case MapFn::logical_or: return b.CreateOr(x, y);
  case MapFn::logical_not: return b.CreateNot(x);
  case MapFn::cast: {
    Type *t = isVector(x) ? vector(scalar(to)) : scalar(to);
    if (x->getType() == t) return x;
    if (isReal) return b.CreateFPToSI(x, t);
    const bool isBool = mlir::isa<ir::BoolType>(from);
    if (t->isFPOrFPVectorTy()) return isBool ? b.CreateUIToFP(x, t) : b.CreateSIToFP(x, t);
    return b.CreateZExt(x, t);
  }
  default: return function1(fn, x);
  }
}

// ---- random numbers: runtime/base/philox.h, lane by lane the same arithmetic ----

Value *KernelBuilder::random(Value *key, Value *step, Value *element, bool normal) {
  auto low = [&](Value *v) { return b.CreateTrunc(v, isVector(v) ? vector(i32) : i32); };
  auto high = [&](Value *v) { return low(b.CreateLShr(v, whole(v, 32))); };
  match(key, element);
  if (isVector(element)) step = splat(step);
  auto wide = [&](Value *v) { return b.CreateZExt(v, isVector(v) ? vector(i64) : i64); };
  auto round = [&](ArrayRef<Value *> c) -> Values { // four words of the counter, two of the key
    Value *w0 = wide(c[0]), *w2 = wide(c[2]);
    Value *p0 = b.CreateMul(w0, whole(w0, 0xD2511F53)), *p1 = b.CreateMul(w2, whole(w2, 0xCD9E8D57));
    return {b.CreateXor(b.CreateXor(high(p1), c[1]), c[4]), low(p1), b.CreateXor(b.CreateXor(high(p0), c[3]), c[5]), low(p0),
            b.CreateAdd(c[4], whole(c[4], int32_t(0x9E3779B9))), b.CreateAdd(c[5], whole(c[5], int32_t(0xBB67AE85)))};
  };
  // Normal numbers are drawn once, at the beginning: what repeats is a loop, which compiles in a fifth of the time.
  auto times = [&](int64_t begin, int64_t end, Values v, function_ref<Values(Value *, ArrayRef<Value *>)> body) {
    if (normal) return emitLoop(b, b.getInt64(uint64_t(begin)), b.getInt64(uint64_t(end)), 1, v, body);
    for (int64_t n = begin; n < end; ++n) v = body(b.getInt64(uint64_t(n)), v);
    return v;
  };
  Values c = times(0, 10, {low(element), high(element), low(step), high(step), low(key), high(key)}, [&](Value *, ArrayRef<Value *> now) { return round(now); });
  Type *d = isVector(element) ? vector(b.getDoubleTy()) : b.getDoubleTy();
  auto number = [&](double v) { return ConstantFP::get(d, v); };
  auto unit = [&](Value *hi, Value *lo) {
    Value *v = b.CreateOr(b.CreateShl(wide(hi), whole(wide(hi), 32)), wide(lo));
    return b.CreateFMul(b.CreateFAdd(b.CreateUIToFP(b.CreateLShr(v, whole(v, 12)), d), number(0.5)), number(0x1p-52));
  };
  Type *result = isVector(element) ? vector(real) : real;
  if (!normal) {
    if (f64) return unit(c[1], c[0]);
    Value *top = b.CreateLShr(c[1], whole(c[1], 9));
    return b.CreateFMul(b.CreateFAdd(b.CreateUIToFP(top, result), ConstantFP::get(result, 0.5)), ConstantFP::get(result, 0x1p-23));
  }
  Value *u = unit(c[1], c[0]), *turn = unit(c[3], c[2]);
  auto asReal = [&](Value *n) {
    Value *x = b.CreateSIToFP(n, b.getDoubleTy());
    return isVector(element) ? splat(x) : x;
  };
  // exactLog(u)
  Type *wholes = isVector(element) ? vector(i64) : i64;
  Value *raw = b.CreateBitCast(u, wholes);
  Value *e = b.CreateAShr(b.CreateSub(raw, whole(raw, 0x3fe6a09e667f3bcd)), whole(raw, 52));
  Value *m = b.CreateBitCast(b.CreateSub(raw, b.CreateShl(e, whole(e, 52))), d);
  Value *s = b.CreateFDiv(b.CreateFSub(m, number(1)), b.CreateFAdd(m, number(1))), *z = b.CreateFMul(s, s);
  Value *p = times(0, 10, {number(1.0 / 21)}, [&](Value *i, ArrayRef<Value *> now) -> Values {
    Value *k = asReal(b.CreateSub(b.getInt64(19), b.CreateShl(i, 1)));
    return {b.CreateFAdd(b.CreateFMul(now[0], z), b.CreateFDiv(number(1), k))};
  })[0];
  Value *logarithm = b.CreateFAdd(b.CreateFMul(b.CreateSIToFP(e, d), number(0x1.62e42fefa39efp-1)), b.CreateFMul(b.CreateFMul(number(2.0), s), p));
  // exactCosTurn(turn)
  Value *q = b.CreateFMul(number(4.0), turn), *k = intrinsic(Intrinsic::floor, {b.CreateFAdd(q, number(0.5))});
  Value *t = b.CreateFMul(b.CreateFSub(q, k), number(0x1.921fb54442d18p+0)), *zz = b.CreateFMul(t, t);
  Value *quarter = b.CreateAnd(b.CreateFPToSI(k, wholes), whole(raw, 3));
  Value *sine = b.CreateICmpNE(b.CreateAnd(quarter, whole(raw, 1)), whole(raw, 0));
  Value *r = times(0, 8, {number(1.0)}, [&](Value *i, ArrayRef<Value *> now) -> Values {
    Value *n = b.CreateSub(b.getInt64(16), b.CreateShl(i, 1)), *square = b.CreateMul(n, n);
    Value *divisor = b.CreateSelect(sine, asReal(b.CreateAdd(square, n)), asReal(b.CreateSub(square, n)));
    return {b.CreateFSub(number(1.0), b.CreateFDiv(b.CreateFMul(now[0], zz), divisor))};
  })[0];
  Value *cosine = b.CreateSelect(sine, b.CreateFMul(r, t), r);
  Value *minus = b.CreateOr(b.CreateICmpEQ(quarter, whole(raw, 1)), b.CreateICmpEQ(quarter, whole(raw, 2)));
  cosine = b.CreateSelect(minus, b.CreateFNeg(cosine), cosine);
  Value *x = b.CreateFMul(intrinsic(Intrinsic::sqrt, {b.CreateFMul(number(-2.0), logarithm)}), cosine);
  return f64 ? x : b.CreateFPTrunc(x, result);
}

} // namespace fil
