// SPDX-License-Identifier: Apache-2.0
// One kernel being emitted as LLVM IR: its arguments, sizes, memory and vector arithmetic. Emitted directly, not through linalg and the
// vector dialect: converting a kernel through those costs 12 to 18 ms, this below 1 ms, and nothing behind it has to find again what
// the group says. The same lines serve every width: lanes and format are parameters.
#pragma once
#include "codegen/cpu/image.h"
#include "codegen/cpu/loops.h"
#include "ir/ir.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"

namespace fil {

/// A position along a dim: one number, or one for each lane.
struct Index {
  llvm::Value *base = nullptr;  ///< i64: of lane 0
  int64_t step = 0;             ///< lane i is at base + i * step
  llvm::Value *lanes = nullptr; ///< i64 vector, where lanes follow no rule; base and step have no meaning then
  bool uniform() const { return !lanes && step == 0; }
};

/// Where elements stand: the dims from outermost to innermost, and how far apart neighbours are.
struct Layout {
  llvm::SmallVector<mlir::StringAttr> order;
  llvm::SmallVector<Size> strides; ///< elements
};
/// Memory of a value. Of a subset: its members, and their counts.
struct Memory {
  llvm::Value *pointer = nullptr, *counts = nullptr;
  llvm::Type *element = nullptr; ///< as stored: bool is i8
  std::optional<Format> format;  ///< of narrow numbers; in registers they are reals
  Layout layout, countLayout;
  bool constant = false;         ///< nobody writes it while the kernel runs
};

class KernelBuilder {
public:
  KernelBuilder(const Target &target, const ir::Dims &dims, bool f64);

  KernelModule made;
  llvm::Function *function;
  llvm::IRBuilder<> b;
  const ir::Dims &dims;
  const Target &target;
  const bool f64;
  const int lanes;                 ///< of every vector of the kernel
  llvm::Type *real, *i1, *i8, *i32, *i64, *ptr;
  std::vector<Size> sizes;         ///< what the kernel's `sizes` are
  Size scratchBytes;

  llvm::Value *begin() const { return function->getArg(3); }
  llvm::Value *end() const { return function->getArg(4); }
  llvm::Value *buffer(int number);           ///< loaded once, at the entry
  llvm::Value *size(const Size &);           ///< i64: a constant, or one of `sizes`
  llvm::Value *extent(mlir::StringAttr d) { return size(dims.value(d.getValue())); }
  llvm::Value *formula(const Size &);        ///< double: any formula in dims, fractions too
  llvm::Value *allocateScratch(const Size &bytes);
  llvm::Value *local(llvm::Type *);          ///< a variable; becomes a register
  void finish();                             ///< returns, and lays the streams' names behind the sizes

  llvm::Type *scalar(mlir::Type element);    ///< in registers
  llvm::Type *stored(mlir::Type element);    ///< in memory
  /// In scratch: narrow numbers as the reals that they are.
  llvm::Type *scratch(mlir::Type element) { return llvm::isa<mlir::FloatType>(element) || element.isInteger(8) ? real : stored(element); }
  llvm::Type *vector(llvm::Type *t) { return llvm::FixedVectorType::get(t, unsigned(lanes)); }
  static bool isVector(llvm::Value *v) { return v->getType()->isVectorTy(); }
  llvm::Value *splat(llvm::Value *v) { return isVector(v) ? v : b.CreateVectorSplat(unsigned(lanes), v); }
  llvm::Value *number(int64_t v) { return b.getInt64(uint64_t(v)); }
  llvm::Value *laneNumbers(llvm::Type *element); ///< 0, 1, ..
  void match(llvm::Value *&x, llvm::Value *&y);  ///< both scalars or both vectors
  llvm::Value *both(llvm::Value *x, llvm::Value *y); ///< x and y; null is true

  Index plus(const Index &, llvm::Value *scalar);
  Index times(const Index &, int64_t);
  llvm::Value *positions(const Index &);             ///< i64, scalar or vector
  llvm::Value *inside(const Index &, llvm::Value *n); ///< i1: 0 <= index < n

  using Indices = llvm::function_ref<Index(mlir::StringAttr)>;
  llvm::Value *load(const Memory &, Indices, llvm::Value *mask);
  llvm::Value *loadCount(const Memory &, Indices, llvm::Value *mask);
  void store(const Memory &, Indices, llvm::Value *v, llvm::Value *mask);
  void prefetch(const Memory &, Indices, bool toWrite);
  void storeCount(const Memory &, Indices, llvm::Value *v);

  /// An elementwise function; operands may be scalars beside vectors. Accuracies: docs/performance.md.
  llvm::Value *map(ir::MapFn, llvm::ArrayRef<llvm::Value *> args, mlir::Type argElement, mlir::Type resultElement);
  llvm::Value *rounded(Format, llvm::Value *real, llvm::Value *random = nullptr);  ///< fil::rounded, or roundedAtRandom
  llvm::Value *inverseOfPower(llvm::Value *real);   ///< 1 / x of a power of two that pow2ceil gives
  llvm::Value *part(llvm::Value *real, bool low);   ///< fil::highPart as a real, or lowPart as i32
  llvm::Value *joined(llvm::Value *high, llvm::Value *low);
  llvm::Value *encoded(Format, llvm::Value *real);  ///< of numbers of the format, as they stand in memory
  llvm::Value *decoded(Format, llvm::Value *stored);
  /// 0, of an integer's type, which LLVM does not know to be that.
  llvm::Value *unknownZero(llvm::Type *);
  /// Philox of (key, step, element), all i64: see runtime/base/philox.h.
  llvm::Value *random(llvm::Value *key, llvm::Value *step, llvm::Value *element, bool normal);
  /// fil_launch::stream_key. The stream's name is data behind the sizes, found by one of them: a kernel holds no names.
  llvm::Value *streamKey(llvm::Value *seed, llvm::StringRef stream, llvm::ArrayRef<llvm::Value *> turns);

private:
  llvm::BasicBlock *entry;
  std::map<std::string, llvm::Value *> sizeValues;
  std::map<int, llvm::Value *> buffers;
  struct Stream { std::string name; size_t slot; llvm::Value *text; }; ///< slot: of the size that counts the words before the name
  std::vector<Stream> streams;
  llvm::Value *zeroInDisguise = nullptr;
  llvm::IRBuilder<> atEntry() { return llvm::IRBuilder<>(entry->getTerminator()); }

  struct Address { llvm::Value *offset = nullptr, *offsets = nullptr; bool contiguous = false; }; ///< neither: uniform
  Address address(const Layout &, Indices);
  llvm::Value *loadAt(llvm::Value *pointer, llvm::Type *element, const Address &, llvm::Value *mask, bool constant);
  void storeAt(llvm::Value *pointer, llvm::Type *element, const Address &, llvm::Value *v, llvm::Value *mask);
  llvm::Value *service(int field, llvm::FunctionType *, llvm::ArrayRef<llvm::Value *> args);

  llvm::DenseMap<llvm::Value *, std::pair<Format, llvm::Value *>> roundedFrom; ///< to the nearest
  llvm::Value *nearestBits(Format, llvm::Value *x);
  llvm::Value *chosen(llvm::Value *narrow); ///< the same, not to be joined with the store behind it: see encoded
  llvm::Value *decodedF32(Format, llvm::Value *stored);
  llvm::Value *intrinsic(llvm::Intrinsic::ID, llvm::ArrayRef<llvm::Value *>);
  llvm::Value *eachLane(int field, llvm::ArrayRef<llvm::Value *> args); ///< libm in float64, lane by lane
  llvm::Value *function1(ir::MapFn, llvm::Value *);
  llvm::Value *exp(llvm::Value *);
  llvm::Value *log(llvm::Value *);
  llvm::Value *tanh(llvm::Value *);
  llvm::Value *erf(llvm::Value *);
  llvm::Value *sinCos(llvm::Value *, bool cosine);
  llvm::Value *sinCosNear(llvm::Value *, bool cosine);
  llvm::Value *power(llvm::Value *, llvm::Value *);
  llvm::Value *quotient(llvm::Value *x, llvm::Value *y);
  llvm::Value *reciprocal(llvm::Value *x);
  llvm::Value *like(llvm::Value *x, double v) { return llvm::ConstantFP::get(x->getType(), v); }
  llvm::Value *bits(llvm::Value *x) { return b.CreateBitCast(x, integers(x)); }
  llvm::Value *asFloat(llvm::Value *i) { return b.CreateBitCast(i, isVector(i) ? vector(b.getFloatTy()) : b.getFloatTy()); }
  llvm::Type *integers(llvm::Value *x) { return isVector(x) ? vector(i32) : i32; }
  llvm::Value *whole(llvm::Value *x, int64_t v) { return llvm::ConstantInt::get(x->getType(), uint64_t(v), true); }
  llvm::Value *horner(llvm::Value *x, std::initializer_list<double> highestFirst);
  llvm::Value *fma(llvm::Value *x, llvm::Value *y, llvm::Value *z) { return intrinsic(llvm::Intrinsic::fma, {x, y, z}); }
};

} // namespace fil
