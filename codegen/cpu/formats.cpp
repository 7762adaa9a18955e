// SPDX-License-Identifier: Apache-2.0
// Narrow numbers in vectors of f32: fil::rounded, encoded and decoded (runtime/base/formats.h), bit for bit on every machine. So no conversion of
// the machine is used that treats subnormal numbers in its own way, as vcvtneps2bf16 does; vcvtps2ph and vcvtph2ps (f16) are as IEEE 754 has them.
#include "codegen/cpu/kernel_builder.h"

namespace fil {
using namespace llvm;

static Value *constant(Value *like, uint64_t v) { return ConstantInt::get(like->getType(), v); }
static Type *with(Value *like, Type *t) {
  auto *v = dyn_cast<FixedVectorType>(like->getType());
  return v ? FixedVectorType::get(t, v->getNumElements()) : t;
}

Value *KernelBuilder::rounded(Format f, Value *x, Value *random) {
  const FormatTraits t = traits(f);
  if (t.whole()) {
    if (random) match(x, random);
    Value *r = random ? intrinsic(Intrinsic::floor, {x}) : intrinsic(Intrinsic::roundeven, {x});
    if (random) r = b.CreateFAdd(r, b.CreateSelect(b.CreateFCmpOLT(random, b.CreateFSub(x, r)), like(x, 1), like(x, 0)));
    r = b.CreateSelect(b.CreateFCmpOGT(r, like(x, -t.largest - 1)), r, like(x, -t.largest - 1)), r = b.CreateSelect(b.CreateFCmpOLT(r, like(x, t.largest)), r, like(x, t.largest));
    return b.CreateSelect(b.CreateFCmpUNO(x, x), like(x, 0), b.CreateFAdd(r, like(x, 0))); // no -0
  }
  if (f == Format::F16 && !f64 && !random) return b.CreateFPExt(b.CreateFPTrunc(x, with(x, b.getHalfTy())), x->getType());
  const int fraction = f64 ? 52 : 23, drop = fraction - t.fractionBits;
  Type *whole = with(x, f64 ? i64 : i32);
  auto asWhole = [&](Value *v) { return b.CreateBitCast(v, whole); };
  Value *raw = asWhole(x), *magnitude = b.CreateAnd(raw, constant(raw, ~uint64_t(0) >> (f64 ? 1 : 33))), *sign = b.CreateXor(raw, magnitude);
  const uint64_t dropped = (uint64_t(1) << drop) - 1;
  Value *a = b.CreateBitCast(magnitude, x->getType()), *up;
  if (random) { // the distance from the lower neighbour, in steps
    match(x, random);
    Value *distance = b.CreateFMul(b.CreateUIToFP(b.CreateAnd(magnitude, constant(raw, dropped)), x->getType()), like(x, std::ldexp(1.0, -drop)));
    up = b.CreateAdd(magnitude, b.CreateSelect(b.CreateFCmpOLT(random, distance), constant(raw, dropped + 1), constant(raw, 0)));
  } else {
    Value *odd = b.CreateAnd(b.CreateLShr(magnitude, constant(raw, uint64_t(drop))), constant(raw, 1));
    up = b.CreateAdd(magnitude, b.CreateAdd(odd, constant(raw, dropped >> 1)));
  }
  Value *r = b.CreateAnd(up, constant(raw, ~dropped));
  if (f != Format::Bf16 || f64) { // bf16 has the exponents of f32
    Value *sum = like(x, std::ldexp(1.0, fraction + 1 - t.bias - t.fractionBits)); // its neighbours are as far apart as subnormal numbers
    Value *subnormal = b.CreateFSub(b.CreateFAdd(a, sum), sum);
    if (random) {
      Value *steps = b.CreateFMul(a, like(x, std::ldexp(1.0, t.bias - 1 + t.fractionBits))), *lower = intrinsic(Intrinsic::floor, {steps});
      subnormal = b.CreateFAdd(lower, b.CreateSelect(b.CreateFCmpOLT(random, b.CreateFSub(steps, lower)), like(x, 1), like(x, 0)));
      subnormal = b.CreateFMul(subnormal, like(x, std::ldexp(1.0, 1 - t.bias - t.fractionBits)));
    }
    r = b.CreateSelect(b.CreateFCmpOLT(a, like(x, std::ldexp(1.0, 1 - t.bias))), asWhole(subnormal), r);
    Value *most = asWhole(like(x, t.largest));
    r = b.CreateSelect(b.CreateICmpUGT(r, most), t.saturates ? most : asWhole(ConstantFP::getInfinity(x->getType())), r);
  }
  r = b.CreateSelect(b.CreateFCmpUNO(x, x), x, b.CreateBitCast(b.CreateOr(r, sign), x->getType()));
  if (!random) roundedFrom[r] = {f, x};
  return r;
}

/// rounded and encoded at once, for 8 bits and f32: the rounded number is not made where nobody else reads it.
Value *KernelBuilder::nearestBits(Format f, Value *x) {
  const FormatTraits t = traits(f);
  const int drop = 23 - t.fractionBits;
  Value *raw = bits(x), *magnitude = b.CreateAnd(raw, constant(raw, 0x7fffffff)), *a = asFloat(magnitude);
  Value *odd = b.CreateAnd(b.CreateLShr(magnitude, constant(raw, uint64_t(drop))), constant(raw, 1));
  Value *up = b.CreateAdd(magnitude, b.CreateAdd(odd, constant(raw, (uint64_t(1) << (drop - 1)) - 1)));
  Value *normal = b.CreateSub(b.CreateLShr(up, constant(raw, uint64_t(drop))), constant(raw, uint64_t(127 - t.bias) << t.fractionBits));
  Value *sum = like(x, std::ldexp(1.0, 24 - t.bias - t.fractionBits)); // its neighbours are as far apart as subnormal numbers
  Value *small = b.CreateSub(bits(b.CreateFAdd(a, sum)), bits(sum));
  Value *r = b.CreateSelect(b.CreateFCmpOLT(a, like(x, std::ldexp(1.0, 1 - t.bias))), small, normal);
  Value *most = constant(raw, fil::encoded(f, t.saturates ? t.largest : INFINITY));
  r = b.CreateSelect(b.CreateICmpULT(r, most), r, most);
  r = b.CreateOr(r, b.CreateAnd(b.CreateLShr(raw, constant(raw, 24)), constant(raw, 0x80)));
  return chosen(b.CreateTrunc(b.CreateSelect(b.CreateFCmpUNO(x, x), constant(raw, 0x7f), r), with(x, b.getInt8Ty())));
}
Value *KernelBuilder::chosen(Value *narrow) { return isVector(narrow) ? b.CreateXor(narrow, splat(unknownZero(narrow->getType()->getScalarType()))) : narrow; }

Value *KernelBuilder::encoded(Format f, Value *x) {
  const FormatTraits t = traits(f);
  if (auto it = roundedFrom.find(x); it != roundedFrom.end() && it->second.first == f && t.bits() == 8 && !f64) return nearestBits(f, it->second.second);
  if (f64) x = b.CreateFPTrunc(x, with(x, b.getFloatTy())); // exact: it is a number of the format
  Value *raw = bits(x);
  Type *narrow = with(x, b.getIntNTy(unsigned(t.bits())));
  // NaN is chosen behind the truncation: LLVM 22 joins a truncation with the masked store behind it, and writes 32 bits where that has a constant mask of one lane. Of whole numbers, which it
  // may know to be none, something stands behind it that it cannot know: the highest bit of an address, which is 0. NaN becomes 0.
  if (t.whole()) return chosen(b.CreateTrunc(b.CreateFreeze(b.CreateFPToSI(x, raw->getType())), narrow));
  auto orNan = [&](Value *wide, uint64_t nan) { return b.CreateSelect(b.CreateFCmpUNO(x, x), ConstantInt::get(narrow, nan), b.CreateTrunc(wide, narrow)); };
  if (f == Format::F16) {
    Value *bits = b.CreateBitCast(b.CreateFPTrunc(x, with(x, b.getHalfTy())), narrow);
    return b.CreateSelect(b.CreateFCmpUNO(x, x), ConstantInt::get(narrow, 0x7fff), bits);
  }
  if (f == Format::Bf16) return orNan(b.CreateLShr(raw, constant(raw, 16)), 0x7fff);
  const int drop = 23 - t.fractionBits;
  Value *magnitude = b.CreateAnd(raw, constant(raw, 0x7fffffff)), *a = asFloat(magnitude);
  Value *normal = b.CreateSub(b.CreateLShr(magnitude, constant(raw, uint64_t(drop))), constant(raw, uint64_t(127 - t.bias) << t.fractionBits));
  Value *small = b.CreateFPToSI(b.CreateFMul(a, like(x, std::ldexp(1.0, t.bias - 1 + t.fractionBits))), raw->getType());
  Value *isSmall = b.CreateFCmpOLT(a, like(x, std::ldexp(1.0, 1 - t.bias)));
  Value *r = b.CreateSelect(isSmall, b.CreateSelect(isSmall, small, constant(raw, 0)), normal);
  return orNan(b.CreateOr(r, b.CreateAnd(b.CreateLShr(raw, constant(raw, 24)), constant(raw, 0x80))), 0x7f);
}

Value *KernelBuilder::decoded(Format f, Value *stored) {
  Value *x = decodedF32(f, stored);
  return f64 ? b.CreateFPExt(x, with(x, real)) : x;
}
Value *KernelBuilder::decodedF32(Format f, Value *stored) {
  const FormatTraits t = traits(f);
  Type *to = with(stored, b.getFloatTy());
  if (t.whole()) return b.CreateSIToFP(b.CreateSExt(stored, with(stored, i32)), to);
  if (f == Format::F16) return b.CreateFPExt(b.CreateBitCast(stored, with(stored, b.getHalfTy())), to);
  if (f == Format::E4M3) { // the bits of an f16 of 2^-8 the size, subnormal or not
    Value *wide = b.CreateShl(b.CreateSExt(stored, with(stored, b.getInt16Ty())), 7);
    Value *half = b.CreateAnd(wide, constant(wide, 0xbf80)), *nan = b.CreateICmpEQ(b.CreateAnd(wide, constant(wide, 0x3f80)), constant(wide, 0x3f80));
    half = b.CreateBitCast(b.CreateSelect(nan, constant(wide, 0x7e00), half), with(stored, b.getHalfTy()));
    return b.CreateFMul(b.CreateFPExt(half, to), ConstantFP::get(to, 256));
  }
  Value *raw = b.CreateZExt(stored, with(stored, i32));
  if (f == Format::Bf16) return b.CreateBitCast(b.CreateShl(raw, constant(raw, 16)), to);
  const int drop = 23 - t.fractionBits;
  Value *magnitude = b.CreateAnd(raw, constant(raw, 0x7f)), *sign = b.CreateShl(b.CreateAnd(raw, constant(raw, 0x80)), constant(raw, 24));
  Value *normal = b.CreateAdd(b.CreateShl(magnitude, constant(raw, uint64_t(drop))), constant(raw, uint64_t(127 - t.bias) << 23));
  Value *small = b.CreateFMul(b.CreateSIToFP(magnitude, to), ConstantFP::get(to, std::ldexp(1.0, 1 - t.bias - t.fractionBits)));
  Value *r = b.CreateSelect(b.CreateICmpULT(magnitude, constant(raw, 1u << t.fractionBits)), b.CreateBitCast(small, normal->getType()), normal);
  const uint64_t special = ((1u << t.exponentBits) - 1) << t.fractionBits; // infinity and, above, NaN
  r = b.CreateSelect(b.CreateICmpUGE(magnitude, constant(raw, special)), b.CreateOr(constant(raw, 0x7f800000), b.CreateShl(b.CreateAnd(magnitude, constant(raw, 3)), constant(raw, 21))), r);
  return b.CreateBitCast(b.CreateOr(r, sign), to);
}

Value *KernelBuilder::inverseOfPower(Value *x) {
  if (f64) return b.CreateFDiv(like(x, 1), x);
  Value *raw = bits(x);
  return asFloat(b.CreateSub(constant(raw, 254u << 23), raw));
}
Value *KernelBuilder::part(Value *x, bool low) {
  Value *single = f64 ? b.CreateFPTrunc(x, with(x, b.getFloatTy())) : x, *raw = bits(single);
  if (low) return b.CreateAShr(b.CreateShl(raw, constant(raw, 16)), constant(raw, 16));
  Value *high = b.CreateAnd(b.CreateAdd(raw, constant(raw, 0x8000)), constant(raw, 0xffff0000));
  high = b.CreateSelect(b.CreateFCmpUNO(single, single), constant(raw, 0x7fff0000), high);
  Value *r = b.CreateBitCast(high, single->getType());
  return f64 ? b.CreateFPExt(r, x->getType()) : r;
}
Value *KernelBuilder::joined(Value *high, Value *low) {
  match(high, low);
  Value *single = f64 ? b.CreateFPTrunc(high, with(high, b.getFloatTy())) : high;
  Value *r = b.CreateBitCast(b.CreateAdd(bits(single), low), single->getType());
  return f64 ? b.CreateFPExt(r, high->getType()) : r;
}

} // namespace fil
