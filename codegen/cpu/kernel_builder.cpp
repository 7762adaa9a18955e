// SPDX-License-Identifier: Apache-2.0
// Arguments, sizes, addresses, loads and stores.
#include "codegen/cpu/kernel_builder.h"
#include <numeric>

namespace fil {
using namespace llvm;

KernelBuilder::KernelBuilder(const Target &t, const ir::Dims &d, bool f64)
    : made(makeKernelModule("kernel", t)), function(addKernelFunction(made, t)), b(*made.context), dims(d), target(t), f64(f64),
      lanes(f64 ? t.lanesF32 / 2 : t.lanesF32) {
  real = f64 ? b.getDoubleTy() : b.getFloatTy();
  i1 = b.getInt1Ty(), i8 = b.getInt8Ty(), i32 = b.getInt32Ty(), i64 = b.getInt64Ty(), ptr = b.getPtrTy();
  entry = BasicBlock::Create(*made.context, "entry", function);
  auto *body = BasicBlock::Create(*made.context, "body", function);
  b.SetInsertPoint(entry);
  b.CreateBr(body);
  b.SetInsertPoint(body);
}

static Instruction *invariant(Instruction *load) {
  load->setMetadata(LLVMContext::MD_invariant_load, MDNode::get(load->getContext(), {}));
  return load;
}
Value *KernelBuilder::buffer(int n) {
  Value *&v = buffers[n];
  if (!v) {
    auto e = atEntry();
    v = invariant(e.CreateLoad(ptr, e.CreateConstInBoundsGEP1_64(ptr, function->getArg(1), uint64_t(n))));
  }
  return v;
}
Value *KernelBuilder::size(const Size &s) {
  if (auto c = s.constant()) {
    assert(c->isWhole() && "sizes are whole");
    return number(c->num);
  }
  Value *&v = sizeValues[s.str()];
  if (!v) {
    auto e = atEntry();
    v = invariant(e.CreateLoad(i64, e.CreateConstInBoundsGEP1_64(i64, function->getArg(2), sizes.size())));
    sizes.push_back(s);
  }
  return v;
}
Value *KernelBuilder::formula(const Size &s) {
  // A quotient of two whole sizes: one rounding, and nothing follows the order of names.
  int64_t whole = 1;
  std::map<std::string, int> below;
  for (auto &[monomial, coefficient] : s.terms()) {
    whole = std::lcm(whole, coefficient.den);
    for (auto &[symbol, exponent] : monomial)
      if (exponent < 0) below[symbol] = std::max(below[symbol], -exponent);
  }
  Size divisor(whole);
  for (auto &[symbol, exponent] : below) divisor = divisor * Size::parse(symbol)->pow(exponent);
  Value *quotient = b.CreateSIToFP(size(s * divisor), b.getDoubleTy());
  return divisor == Size(1) ? quotient : b.CreateFDiv(quotient, b.CreateSIToFP(size(divisor), b.getDoubleTy()));
}
Value *KernelBuilder::allocateScratch(const Size &bytes) {
  // Each piece begins at a multiple of 64.
  Value *p = b.CreateInBoundsGEP(i8, function->getArg(5), size(scratchBytes));
  auto c = bytes.constant();
  scratchBytes = scratchBytes + (c ? Size((c->num + 63) / 64 * 64) : Size(64) * Size::ceil(bytes / Size(64)));
  return p;
}
Value *KernelBuilder::local(Type *t) {
  IRBuilder<> e(entry, entry->begin());
  return e.CreateAlloca(t);
}

Type *KernelBuilder::scalar(mlir::Type e) { return mlir::isa<ir::BoolType>(e) ? i1 : mlir::isa<ir::IntType, ir::IndexType, mlir::IntegerType>(e) ? i32 : real; }
Type *KernelBuilder::stored(mlir::Type e) {
  if (auto f = mlir::dyn_cast<mlir::FloatType>(e); f && f.getWidth() < 32) return b.getIntNTy(f.getWidth());
  if (e.isInteger()) return b.getIntNTy(e.getIntOrFloatBitWidth());
  return mlir::isa<ir::BoolType>(e) ? i8 : scalar(e);
}
Value *KernelBuilder::laneNumbers(Type *t) {
  SmallVector<Constant *> all;
  for (int i = 0; i < lanes; ++i) all.push_back(ConstantInt::get(t, uint64_t(i)));
  return ConstantVector::get(all);
}
void KernelBuilder::match(Value *&x, Value *&y) {
  if (isVector(x) != isVector(y)) (isVector(x) ? y : x) = splat(isVector(x) ? y : x);
}
Value *KernelBuilder::both(Value *x, Value *y) {
  if (!x || !y) return x ? x : y;
  match(x, y);
  return b.CreateAnd(x, y);
}

Index KernelBuilder::plus(const Index &i, Value *scalar) {
  if (i.lanes) return {nullptr, 0, b.CreateAdd(i.lanes, splat(scalar))};
  return {b.CreateAdd(i.base, scalar), i.step, nullptr};
}
Index KernelBuilder::times(const Index &i, int64_t n) {
  if (i.lanes) return {nullptr, 0, b.CreateMul(i.lanes, splat(number(n)))};
  return {b.CreateMul(i.base, number(n)), i.step * n, nullptr};
}
Value *KernelBuilder::positions(const Index &i) {
  if (i.lanes) return i.lanes;
  if (!i.step) return i.base;
  return b.CreateAdd(splat(i.base), b.CreateMul(laneNumbers(i64), splat(number(i.step))));
}
Value *KernelBuilder::inside(const Index &i, Value *n) {
  Value *p = positions(i);
  return b.CreateICmpULT(p, isVector(p) ? splat(n) : n);
}

KernelBuilder::Address KernelBuilder::address(const Layout &layout, Indices at) {
  Address a;
  a.offset = number(0);
  Value *stepSum = number(0);
  bool steps = false;
  for (auto [d, s] : zip(layout.order, layout.strides)) {
    Index i = at(d);
    Value *stride = size(s);
    if (i.lanes) {
      Value *o = b.CreateMul(i.lanes, splat(stride));
      a.offsets = a.offsets ? b.CreateAdd(a.offsets, o) : o;
      continue;
    }
    a.offset = b.CreateAdd(a.offset, b.CreateMul(i.base, stride));
    if (i.step) stepSum = b.CreateAdd(stepSum, b.CreateMul(number(i.step), stride)), steps = true;
  }
  auto *constant = dyn_cast<ConstantInt>(stepSum);
  if (!a.offsets && steps && constant && constant->isOne()) a.contiguous = true;
  else if (steps) {
    Value *o = b.CreateMul(laneNumbers(i64), splat(stepSum));
    a.offsets = a.offsets ? b.CreateAdd(a.offsets, o) : o;
  }
  return a;
}
Value *KernelBuilder::loadAt(Value *pointer, Type *element, const Address &a, Value *mask, bool constant) {
  Value *p = b.CreateInBoundsGEP(element, pointer, a.offset);
  const Align align = made.module->getDataLayout().getABITypeAlign(element);
  if (!a.contiguous && !a.offsets) {
    auto *l = b.CreateAlignedLoad(element, p, align);
    return constant ? invariant(l) : l;
  }
  if (a.contiguous) {
    if (!mask) {
      auto *l = b.CreateAlignedLoad(vector(element), p, align);
      return constant ? invariant(l) : l;
    }
    return b.CreateMaskedLoad(vector(element), p, align, splat(mask), Constant::getNullValue(vector(element)));
  }
  Value *all = b.CreateInBoundsGEP(element, p, a.offsets);
  return b.CreateMaskedGather(vector(element), all, align, mask ? splat(mask) : Constant::getAllOnesValue(vector(i1)), Constant::getNullValue(vector(element)));
}
Value *KernelBuilder::load(const Memory &m, Indices at, Value *mask) {
  Value *v = loadAt(m.pointer, m.element, address(m.layout, at), mask, m.constant);
  if (m.format) return decoded(*m.format, v);
  if (m.element->isIntegerTy(16)) return b.CreateSExt(v, isVector(v) ? vector(i32) : i32);
  return m.element == i8 ? b.CreateICmpNE(v, Constant::getNullValue(v->getType())) : v;
}
Value *KernelBuilder::loadCount(const Memory &m, Indices at, Value *mask) { return loadAt(m.counts, i32, address(m.countLayout, at), mask, m.constant); }

void KernelBuilder::storeAt(Value *pointer, Type *element, const Address &a, Value *v, Value *mask) {
  Value *p = b.CreateInBoundsGEP(element, pointer, a.offset);
  const Align align = made.module->getDataLayout().getABITypeAlign(element);
  if (!a.contiguous && !a.offsets) {
    assert(!isVector(v) && "one place for several lanes");
    b.CreateAlignedStore(v, p, align);
    return;
  }
  v = splat(v);
  if (a.contiguous) {
    if (mask) b.CreateMaskedStore(v, p, align, splat(mask));
    else b.CreateAlignedStore(v, p, align);
    return;
  }
  b.CreateMaskedScatter(v, b.CreateInBoundsGEP(element, p, a.offsets), align, mask ? splat(mask) : Constant::getAllOnesValue(vector(i1)));
}
void KernelBuilder::store(const Memory &m, Indices at, Value *v, Value *mask) {
  if (m.format) v = encoded(*m.format, v);
  else if (m.element->isIntegerTy(16)) { // no truncation in front of the store: see encoded
    auto *narrow = isVector(v) ? vector(m.element) : m.element;
    v = b.CreateSelect(b.CreateICmpEQ(v, Constant::getNullValue(v->getType())), Constant::getNullValue(narrow), b.CreateTrunc(v, narrow));
  }
  else if (m.element == i8) v = b.CreateZExt(v, isVector(v) ? vector(i8) : i8);
  storeAt(m.pointer, m.element, address(m.layout, at), v, mask);
}
void KernelBuilder::prefetch(const Memory &m, Indices at, bool toWrite) {
  emitPrefetch(b, m.element, m.pointer, address(m.layout, at).offset, toWrite);
}
void KernelBuilder::storeCount(const Memory &m, Indices at, Value *v) { storeAt(m.counts, i32, address(m.countLayout, at), v, nullptr); }

Value *KernelBuilder::unknownZero(Type *t) {
  auto e = atEntry();
  if (!zeroInDisguise) zeroInDisguise = e.CreateLShr(e.CreatePtrToInt(function->getArg(1), i64), 63);
  return b.CreateTrunc(zeroInDisguise, t);
}
Value *KernelBuilder::service(int field, FunctionType *type, ArrayRef<Value *> args) {
  auto e = atEntry();
  // Behind version and reserved stand pointers.
  Value *f = invariant(e.CreateLoad(ptr, e.CreateConstInBoundsGEP1_64(i8, function->getArg(0), uint64_t(8 + 8 * field))));
  auto *call = b.CreateCall(type, f, args);
  call->setDoesNotAccessMemory(), call->setDoesNotThrow(), call->addFnAttr(Attribute::WillReturn);
  return call;
}
Value *KernelBuilder::streamKey(Value *seed, StringRef stream, ArrayRef<Value *> turns) {
  auto s = std::find_if(streams.begin(), streams.end(), [&](const Stream &s) { return s.name == stream; });
  if (s == streams.end()) {
    auto e = atEntry();
    Value *words = function->getArg(2);
    Value *before = invariant(e.CreateLoad(i64, e.CreateConstInBoundsGEP1_64(i64, words, sizes.size())));
    s = streams.insert(s, Stream{stream.str(), sizes.size(), e.CreateInBoundsGEP(i64, words, before)});
    sizes.push_back(Size());
  }
  SmallVector<Value *> args{seed, s->text};
  for (int i = 0; i < 4; ++i) args.push_back(i < int(turns.size()) ? turns[size_t(i)] : number(0));
  return service(9, FunctionType::get(i64, {i64, ptr, i64, i64, i64, i64}, false), args);
}
void KernelBuilder::finish() {
  for (const Stream &s : streams) {
    sizes[s.slot] = Size(int64_t(sizes.size()));
    for (size_t at = 0; at <= s.name.size(); at += 8) { // its end is a zero byte
      int64_t word = 0;
      std::memcpy(&word, s.name.data() + at, std::min<size_t>(8, s.name.size() - at));
      sizes.push_back(Size(word));
    }
  }
  b.CreateRet(b.getInt32(0));
}

} // namespace fil
