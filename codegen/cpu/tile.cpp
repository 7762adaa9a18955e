// SPDX-License-Identifier: Apache-2.0
#include "codegen/cpu/tile.h"
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>
#include <numeric>

namespace fil {
using namespace llvm;

Value *emitQuads(IRBuilderBase &b, Value *sum, Value *x, Value *y) {
  auto *bytes = FixedVectorType::get(b.getInt8Ty(), 64);
  return b.CreateIntrinsic(Intrinsic::x86_avx512_vpdpbusd_512, {}, {sum, b.CreateBitCast(x, bytes), b.CreateBitCast(y, bytes)});
}
Type *elementType(IRBuilderBase &b, Element e) { return e == Element::F64 ? b.getDoubleTy() : b.getFloatTy(); }

namespace {

/// Accumulators of rows x vectors over all k: what the tile and the skinny form have in common.
struct Block {
  Element element;
  int lanes, vectors, unroll;
  SmallVector<Value *, 16> a, c;   ///< the address of each row at k = 0, n = 0
  Value *aK, *b, *bK, *k, *accumulate;
  SmallVector<Value *, 8> mask;    ///< one a vector; empty: all lanes
  int64_t ahead = 0;               ///< as TileOperands has it
  std::optional<Granules> granules{}; ///< then k has no meaning
  int64_t narrow = 0;              ///< as TileOperands has it
  Value *bNarrow = nullptr;
  Type *stored = nullptr;          ///< as TileOperands has it, and the next two
  int together = 1;
  std::function<Value *(Value *, int)> decode{};
  Value *offsets = nullptr, *last = nullptr; ///< as TileOperands has them
};

class BlockEmitter {
public:
  BlockEmitter(IRBuilderBase &b, const Block &block)
      : b(b), block(block), scalar(elementType(b, block.element)), bScalar(block.stored ? block.stored : scalar), vector(FixedVectorType::get(scalar, unsigned(block.lanes))) {}

  void emit() {
    Value *zero = Constant::getNullValue(vector);
    const bool quads = block.element == Element::Int8Quads;
    Values sums = emitIf(
        b, block.accumulate, [&] { return loadC(); }, [&] { return quads ? offsets() : Values(block.a.size() * size_t(block.vectors), zero); });
    if (quads)
      for (Value *&sum : sums) sum = b.CreateBitCast(sum, FixedVectorType::get(b.getInt32Ty(), unsigned(block.lanes)));
    if (block.granules) return storeC(listed(*block.granules, std::move(sums)));
    sums.push_back(block.b);
    sums.push_back(b.getInt64(0));
    Value *unrolled = b.CreateAnd(block.k, b.getInt64(-uint64_t(block.unroll)));
    sums = steps(b.getInt64(0), unrolled, block.unroll, sums);
    bool whole = isa<ConstantInt>(block.k) && cast<ConstantInt>(block.k)->getSExtValue() % block.unroll == 0;
    if (block.unroll > 1 && !whole) sums = steps(unrolled, block.k, 1, sums);
    storeC(sums);
  }

private:
  Value *at(Value *base, int v) { return emitAt(b, scalar, base, b.getInt64(uint64_t(v * block.lanes))); }
  Align align() { return Align(uint64_t(elementBytes(block.element))); }
  Value *load(Value *base, int v) {
    if (block.mask.empty()) return b.CreateAlignedLoad(vector, at(base, v), align());
    return b.CreateMaskedLoad(vector, at(base, v), align(), block.mask[size_t(v)], Constant::getNullValue(vector));
  }

  Value *loadB(Value *base, int v, int step) {
    if (!block.stored) return load(base, v);
    Value *from = emitAt(b, bScalar, base, b.getInt64(uint64_t(v * block.lanes)));
    return block.decode(b.CreateAlignedLoad(FixedVectorType::get(bScalar, unsigned(block.lanes)), from, Align(uint64_t(bytesOfB()))), step);
  }
  int64_t bytesOfB() { return bScalar->getPrimitiveSizeInBits() / 8; }

  /// What stands behind the steps of a panel.
  Values offsets() {
    Values row, sums;
    for (int v = 0; v < block.vectors; ++v) row.push_back(load(emitAt(b, scalar, block.b, block.offsets), v));
    for (size_t i = 0; i < block.a.size(); ++i) sums.append(row);
    return sums;
  }
  Values loadC() {
    Values sums;
    for (Value *row : block.c)
      for (int v = 0; v < block.vectors; ++v) sums.push_back(load(row, v));
    return sums;
  }
  void storeC(ArrayRef<Value *> sums) {
    size_t i = 0;
    for (Value *row : block.c)
      for (int v = 0; v < block.vectors; ++v, ++i) {
        Value *sum = block.element == Element::Int8Quads ? b.CreateSelect(block.last, b.CreateSIToFP(sums[i], vector), b.CreateBitCast(sums[i], vector)) : sums[i];
        if (block.mask.empty()) b.CreateAlignedStore(sum, at(row, v), align());
        else b.CreateMaskedStore(sum, at(row, v), align(), block.mask[size_t(v)]);
      }
  }
  /// Carried are the sums, the row of B and the offset in A.
  Values steps(Value *begin, Value *end, int unroll, ArrayRef<Value *> initial) {
    return emitLoop(b, begin, end, unroll, initial, [&](Value *, ArrayRef<Value *> carried) { return onward(carried, unroll); });
  }
  /// What is carried after so many steps.
  Values onward(ArrayRef<Value *> carried, int unroll) {
    Values next(carried.begin(), carried.end());
    Value *offsetA = next.pop_back_val(), *rowB = next.pop_back_val();
    auto ahead = [&](Value *stride, int u) { return emitMul(b, stride, b.getInt64(uint64_t(u))); };
    for (int u = 0; u < unroll; ++u) addStep(emitAt(b, bScalar, rowB, ahead(block.bK, u / block.together)), emitAdd(b, offsetA, ahead(block.aK, u)), u % block.together, next);
    next.push_back(emitAt(b, bScalar, rowB, ahead(block.bK, unroll / block.together)));
    next.push_back(emitAdd(b, offsetA, ahead(block.aK, unroll)));
    return next;
  }
  Values listed(const Granules &g, Values sums) {
    const int64_t together = std::gcd<int64_t>(g.length, std::max(block.unroll, 2)), turns = g.length / together;
    sums.push_back(g.b);
    sums = emitLoop(b, b.getInt64(0), g.count, 1, sums, [&](Value *i, ArrayRef<Value *> now) {
      Value *step = b.CreateSExt(b.CreateAlignedLoad(b.getInt32Ty(), emitAt(b, b.getInt32Ty(), g.list, i), Align(4)), b.getInt64Ty());
      Values inside(now.begin(), now.end());
      Value *behind = b.CreateSub(step, g.first);
      if (g.whole) inside.back() = emitAt(b, bScalar, g.b, emitMul(b, behind, block.bK));
      inside.push_back(emitMul(b, behind, block.aK));
      if (turns == 1) {
        inside = onward(inside, int(together));
        inside.pop_back();
        return inside;
      }
      inside = emitLoop(b, b.getInt64(0), b.getInt64(uint64_t(turns)), 1, inside, [&](Value *, ArrayRef<Value *> carried) { return onward(carried, int(together)); });
      inside.pop_back();
      return inside;
    });
    sums.pop_back();
    return sums;
  }
  void addStep(Value *rowB, Value *offsetA, int step, Values &sums) {
    SmallVector<Value *, 8> row;
    const int together = block.narrow ? int(block.narrow) / block.lanes : block.vectors;
    Value *panel = rowB;
    for (int v = 0; v < block.vectors; ++v) {
      if (v && v % together == 0) panel = emitAt(b, bScalar, panel, block.bNarrow);
      row.push_back(loadB(panel, v % together, step));
    }
    if (block.ahead && step == 0) {
      const int perLine = int(64 / bytesOfB());
      for (int line = 0; line < block.vectors * block.lanes; line += perLine)
        emitPrefetch(b, bScalar, emitAt(b, bScalar, rowB, emitMul(b, block.bK, b.getInt64(uint64_t(block.ahead / (block.vectors * block.lanes))))), b.getInt64(uint64_t(line)), false);
    }
    size_t i = 0;
    for (Value *a : block.a) {
      Value *x = b.CreateVectorSplat(unsigned(block.lanes), b.CreateLoad(scalar, emitAt(b, scalar, a, offsetA)));
      for (int v = 0; v < block.vectors; ++v, ++i) sums[i] = added(x, row[size_t(v)], sums[i]);
    }
  }
  Value *added(Value *x, Value *y, Value *sum) {
    if (block.element == Element::Int8Quads) return emitQuads(b, sum, x, y);
    if (block.element != Element::Bf16Pairs) return b.CreateIntrinsic(Intrinsic::fma, {vector}, {x, y, sum});
    auto *pairs = FixedVectorType::get(b.getBFloatTy(), unsigned(2 * block.lanes));
    return b.CreateIntrinsic(Intrinsic::x86_avx512bf16_dpbf16ps_512, {}, {sum, b.CreateBitCast(x, pairs), b.CreateBitCast(y, pairs)});
  }

  IRBuilderBase &b;
  const Block &block;
  Type *scalar, *bScalar;
  FixedVectorType *vector;
};

/// `rows` row addresses from `base` on. Rows at and beyond `valid` (if given) are the last valid one: they compute what it computes
/// and write the same values to the same place, or they are all at `spare`.
SmallVector<Value *, 16> rowAddresses(IRBuilderBase &b, Type *scalar, Value *base, Value *stride, int rows, Value *valid, Value *spare = nullptr) {
  SmallVector<Value *, 16> result;
  Value *last = valid ? b.CreateSub(valid, b.getInt64(1)) : nullptr;
  for (int i = 0; i < rows; ++i) {
    Value *row = b.getInt64(uint64_t(i));
    if (valid && i && !spare) row = emitMin(b, row, last);
    Value *at = emitAt(b, scalar, base, emitMul(b, row, stride));
    result.push_back(spare && i ? b.CreateSelect(b.CreateICmpSLT(row, valid), at, spare) : at);
  }
  return result;
}

} // namespace

void emitTile(IRBuilderBase &b, const TileShape &shape, const TileOperands &o) {
  Type *scalar = elementType(b, shape.element);
  auto word = [&](int64_t v) { return b.getInt64(uint64_t(v)); };
  std::optional<Granules> granules; // of the panel at hand
  auto emitRows = [&](int rows, int unroll, Value *a, Value *panel, Value *c, Value *valid) {
    Block block{shape.element, shape.lanes, shape.vectors, unroll, {}, {}, o.aK, panel, o.bK, o.k, o.accumulate, {}};
    block.a = rowAddresses(b, scalar, a, o.aRow, rows, o.spare ? nullptr : valid);
    block.c = rowAddresses(b, scalar, c, o.cRow, rows, valid, o.spare);
    block.ahead = o.ahead, block.narrow = o.narrow, block.bNarrow = o.bNarrow, block.stored = o.stored, block.together = o.together, block.decode = o.decode, block.offsets = o.offsets, block.last = o.last;
    block.granules = granules;
    BlockEmitter(b, block).emit();
  };
  // Blocks of a whole register tile, the last of them perhaps with fewer rows; a rest up to half a tile has its own smaller body.
  int half = (shape.rows + 1) / 2;
  Value *rows = word(shape.rows), *wholeEnd = b.CreateMul(b.CreateSDiv(o.m, rows), rows), *rest = b.CreateSub(o.m, wholeEnd);
  Value *small = b.CreateAnd(b.CreateICmpSGT(rest, word(0)), b.CreateICmpSLE(rest, word(half)));
  if (shape.rows == 1) small = b.getFalse();
  Value *bigEnd = b.CreateSelect(small, wholeEnd, o.m);
  auto where = [&](Value *row, Value *panel, function_ref<void()> then) { o.wanted ? emitIf(b, o.wanted(row, panel), then) : then(); };
  if (o.granules) { // rows stay in the first-level cache, where their steps are picked; panels pass by as they lie
    auto row = [&](Value *i, int rows, Value *a, Value *c, Value *valid) {
      emitLoop(b, word(0), o.panels, 1, [&](Value *p) {
        where(i, p, [&] {
          granules = o.granules(p);
          emitRows(rows, shape.unroll, a, granules->b, emitAt(b, scalar, c, emitMul(b, p, word(shape.columns()))), valid);
        });
      });
    };
    Values ends = emitLoop(b, word(0), bigEnd, shape.rows, {o.a, o.c}, [&](Value *i, ArrayRef<Value *> at) {
      row(i, shape.rows, at[0], at[1], b.CreateSub(o.m, i));
      return Values{emitAt(b, scalar, at[0], o.aBlock), emitAt(b, scalar, at[1], emitMul(b, o.cRow, rows))};
    });
    emitIf(b, small, [&] { row(wholeEnd, half, ends[0], ends[1], rest); });
    return;
  }
  emitLoop(b, word(0), o.panels, 1, [&](Value *p) {
    Value *panel = emitAt(b, o.stored ? o.stored : scalar, o.b, emitMul(b, p, o.bPanel));
    Value *columns = emitAt(b, scalar, o.c, emitMul(b, p, word(shape.columns())));
    Values ends = emitLoop(b, word(0), bigEnd, shape.rows, {o.a, columns}, [&](Value *i, ArrayRef<Value *> at) {
      where(i, p, [&] { emitRows(shape.rows, shape.unroll, at[0], panel, at[1], b.CreateSub(o.m, i)); });
      return Values{emitAt(b, scalar, at[0], o.aBlock), emitAt(b, scalar, at[1], emitMul(b, o.cRow, rows))};
    });
    emitIf(b, small, [&] { where(wholeEnd, p, [&] { emitRows(half, shape.unroll, ends[0], panel, ends[1], rest); }); });
  });
}

void emitPicked(IRBuilderBase &b, Element element, int lanes, const PickedOperands &o) {
  Type *scalar = elementType(b, element);
  auto *vector = FixedVectorType::get(scalar, unsigned(lanes));
  const Align align(uint64_t(elementBytes(element)));
  auto word = [&](int64_t v) { return b.getInt64(uint64_t(v)); };
  auto listed = [&](Value *list, Value *i) { return b.CreateSExt(b.CreateAlignedLoad(b.getInt32Ty(), emitAt(b, b.getInt32Ty(), list, i), Align(4)), b.getInt64Ty()); };
  const int vectors = int(o.panel) / lanes;
  auto compute = [&](Value *first, int together) {
    SmallVector<Value *, 8> panels, where;
    for (int j = 0; j < together; ++j) {
      Value *p = listed(o.panels, b.CreateAdd(first, word(j)));
      panels.push_back(emitAt(b, scalar, o.b, b.CreateMul(p, o.bPanel)));
      where.push_back(emitAt(b, scalar, o.c, b.CreateMul(p, word(o.panel))));
    }
    auto step = [&](Value *k, Value *next, ArrayRef<Value *> sums) { // `next`: the step to ask for, or null
      Values sum(sums.begin(), sums.end());
      Value *x = b.CreateVectorSplat(unsigned(lanes), b.CreateAlignedLoad(scalar, emitAt(b, scalar, o.a, b.CreateMul(k, o.aK)), align));
      Value *row = b.CreateMul(k, word(o.panel)), *later = next ? b.CreateMul(next, word(o.panel)) : nullptr;
      size_t i = 0;
      for (Value *panel : panels) {
        if (later)
          for (int64_t line = 0; line < o.panel; line += 64 / elementBytes(element)) emitPrefetch(b, scalar, panel, b.CreateAdd(later, word(line)), false);
        for (int v = 0; v < vectors; ++v, ++i)
          sum[i] = b.CreateIntrinsic(Intrinsic::fma, {vector}, {x, b.CreateAlignedLoad(vector, emitAt(b, scalar, panel, b.CreateAdd(row, word(v * lanes))), align), sum[i]});
      }
      return sum;
    };
    Values sums(panels.size() * size_t(vectors), Constant::getNullValue(vector));
    if (o.steps)
      sums = emitLoop(b, word(0), o.stepCount, 1, sums, [&](Value *i, ArrayRef<Value *> now) {
        Value *begin = listed(o.steps, i), *next = listed(o.steps, b.CreateAdd(i, word(1)));
        const int64_t unroll = std::gcd<int64_t>(o.length, 4);
        return emitLoop(b, word(0), word(o.length), unroll, now, [&](Value *at, ArrayRef<Value *> in) {
          Values sum(in.begin(), in.end());
          for (int64_t u = 0; u < unroll; ++u) {
            Value *inside = b.CreateAdd(at, word(u));
            sum = step(b.CreateAdd(begin, inside), b.CreateAdd(next, inside), sum);
          }
          return sum;
        });
      });
    else {
      Value *whole = b.CreateAnd(o.k, word(-4));
      auto ahead = [&](Value *k) { return o.ahead ? b.CreateAdd(k, word(o.ahead / o.panel)) : nullptr; };
      sums = emitLoop(b, word(0), whole, 4, sums, [&](Value *k, ArrayRef<Value *> now) {
        Values sum(now.begin(), now.end());
        for (int u = 0; u < 4; ++u) {
          Value *at = b.CreateAdd(k, word(u));
          sum = step(at, ahead(at), sum);
        }
        return sum;
      });
      sums = emitLoop(b, whole, o.k, 1, sums, [&](Value *k, ArrayRef<Value *> now) { return step(k, nullptr, now); });
    }
    size_t i = 0;
    for (Value *c : where)
      for (int v = 0; v < vectors; ++v, ++i) b.CreateAlignedStore(sums[i], emitAt(b, scalar, c, word(v * lanes)), align);
  };
  // A sum waits four cycles for its last step, and a line comes from the second-level cache in hardly less than one: four sums at a time leave no gaps.
  // The last panel stands for those that lack, which costs no more than the wait.
  const int together = std::max(1, 4 / vectors);
  emitIf(b, b.CreateICmpNE(o.panelCount, word(0)), [&] {
    auto place = [&](Value *i) { return emitAt(b, b.getInt32Ty(), o.panels, i); };
    Value *last = b.CreateAlignedLoad(b.getInt32Ty(), place(b.CreateSub(o.panelCount, word(1))), Align(4));
    for (int i = 0; i + 1 < together; ++i) b.CreateAlignedStore(last, place(b.CreateAdd(o.panelCount, word(i))), Align(4));
    emitLoop(b, word(0), o.panelCount, together, [&](Value *i) { compute(i, together); });
  });
}

/// So many columns at once, a square of them and of k from `k` on, transposed in registers: sums[n] += a[k * aK] columns[n][k], in the order of k.
static Value *emitSquare(IRBuilderBase &b, Element element, int lanes, ArrayRef<Value *> columns, Value *k, Value *a, Value *aK, Value *sums) {
  Type *scalar = elementType(b, element);
  auto *vector = FixedVectorType::get(scalar, unsigned(lanes));
  const Align align(uint64_t(elementBytes(element)));
  auto word = [&](int64_t v) { return b.getInt64(uint64_t(v)); };
  SmallVector<Value *> x;
  for (Value *column : columns) {
    x.push_back(b.CreateAlignedLoad(vector, emitAt(b, scalar, column, k), align));
    emitPrefetch(b, scalar, column, b.CreateAdd(k, word(512 / elementBytes(element))), false);
  }
  emitTranspose(b, element, x);
  for (int j = 0; j < lanes; ++j) {
    Value *factor = b.CreateAlignedLoad(scalar, emitAt(b, scalar, a, b.CreateMul(b.CreateAdd(k, word(j)), aK)), align);
    sums = b.CreateIntrinsic(Intrinsic::fma, {vector}, {b.CreateVectorSplat(unsigned(lanes), factor), x[size_t(j)], sums});
  }
  return sums;
}
void emitPickedColumns(IRBuilderBase &b, Element element, int lanes, const PickedColumns &o) {
  Type *scalar = elementType(b, element);
  auto *vector = FixedVectorType::get(scalar, unsigned(lanes));
  const Align align(uint64_t(elementBytes(element)));
  auto word = [&](int64_t v) { return b.getInt64(uint64_t(v)); };
  auto place = [&](Value *i) { return emitAt(b, b.getInt32Ty(), o.list, i); };
  auto load = [&](Value *i) { return b.CreateAlignedLoad(b.getInt32Ty(), place(i), Align(4)); };
  BasicBlock &entry = b.GetInsertBlock()->getParent()->getEntryBlock();
  IRBuilder<> top(&entry, entry.begin());
  Value *found = top.CreateAlloca(vector);
  emitIf(b, b.CreateICmpNE(o.count, word(0)), [&] {
    Value *last = load(b.CreateSub(o.count, word(1)));
    for (int i = 0; i + 1 < lanes; ++i) b.CreateAlignedStore(last, place(b.CreateAdd(o.count, word(i))), Align(4));
    emitLoop(b, word(0), o.count, lanes, [&](Value *i) {
      SmallVector<Value *> numbers, columns;
      for (int j = 0; j < lanes; ++j) {
        numbers.push_back(b.CreateSExt(load(b.CreateAdd(i, word(j))), b.getInt64Ty()));
        columns.push_back(emitAt(b, scalar, o.b, b.CreateMul(numbers.back(), o.bRow)));
      }
      Value *sums = emitLoop(b, word(0), o.k, lanes, {Constant::getNullValue(vector)}, [&](Value *k, ArrayRef<Value *> now) -> Values { return {emitSquare(b, element, lanes, columns, k, o.a, o.aK, now[0])}; })[0];
      b.CreateStore(sums, found);
      for (int j = 0; j < lanes; ++j) b.CreateAlignedStore(b.CreateAlignedLoad(scalar, emitAt(b, scalar, found, word(j)), align), emitAt(b, scalar, o.c, numbers[size_t(j)]), align);
    });
  });
}
void emitPickedSteps(IRBuilderBase &b, Element element, int lanes, const PickedSteps &o) {
  Type *scalar = elementType(b, element);
  auto *vector = FixedVectorType::get(scalar, unsigned(lanes));
  const Align align(uint64_t(elementBytes(element)));
  auto word = [&](int64_t v) { return b.getInt64(uint64_t(v)); };
  auto step = [&](Value *i) { return b.CreateSExt(b.CreateAlignedLoad(b.getInt32Ty(), emitAt(b, b.getInt32Ty(), o.list, i), Align(4)), b.getInt64Ty()); };
  emitLoop(b, word(0), o.n, lanes, [&](Value *j) { b.CreateAlignedStore(Constant::getNullValue(vector), emitAt(b, scalar, o.c, j), align); });
  // Some rows of B pass over C, which stays in the first-level cache; the next ones are asked for meanwhile.
  auto together = [&](Value *i, int rows, bool ahead) {
    SmallVector<Value *> factors, from, later;
    for (int r = 0; r < rows; ++r) {
      Value *k = step(b.CreateAdd(i, word(r)));
      factors.push_back(b.CreateVectorSplat(unsigned(lanes), b.CreateAlignedLoad(scalar, emitAt(b, scalar, o.a, b.CreateMul(k, o.aK)), align)));
      from.push_back(emitAt(b, scalar, o.b, b.CreateMul(k, o.bK)));
      if (ahead) later.push_back(emitAt(b, scalar, o.b, b.CreateMul(step(b.CreateAdd(i, word(rows + r))), o.bK)));
    }
    emitLoop(b, word(0), o.n, lanes, [&](Value *j) {
      Value *at = emitAt(b, scalar, o.c, j), *sum = b.CreateAlignedLoad(vector, at, align);
      for (Value *row : later) emitPrefetch(b, scalar, row, j, false);
      for (auto [x, row] : zip(factors, from)) sum = b.CreateIntrinsic(Intrinsic::fma, {vector}, {x, b.CreateAlignedLoad(vector, emitAt(b, scalar, row, j), align), sum});
      b.CreateAlignedStore(sum, at, align);
    });
  };
  Value *whole = b.CreateAnd(o.count, word(-4));
  emitLoop(b, word(0), whole, 4, [&](Value *i) { together(i, 4, true); });
  emitLoop(b, whole, o.count, 1, [&](Value *i) { together(i, 1, false); });
}

void emitSkinny(IRBuilderBase &b, Element element, int lanes, int registers, const SkinnyOperands &o) {
  Type *scalar = elementType(b, element);
  auto word = [&](int64_t v) { return b.getInt64(uint64_t(v)); };
  auto *known = dyn_cast<ConstantInt>(o.m);

  // Rows at a time: with so many accumulators that several rows of B are on their way. More rows than the last pass over B again.
  struct Form { int rows, vectors; };
  SmallVector<Form> forms;
  for (int rows : {1, 4, 8}) {
    int vectors = std::min(8, (registers - 1) / (rows + 1));
    if (vectors >= 3 || rows == 1) forms.push_back({rows, vectors});
  }
  auto emitColumns = [&](Form f, Value *n0, bool masked) {
    Value *panel = emitAt(b, scalar, o.b, n0);
    Block block{element, lanes, f.vectors, f.rows == 1 && !masked ? 2 : 1, {}, {}, o.aK, panel, o.bK, o.k, o.accumulate, {}};
    if (masked)
      for (int v = 0; v < f.vectors; ++v)
        block.mask.push_back(emitMask(b, b.CreateSub(b.CreateSub(o.n, n0), word(v * lanes)), lanes));
    bool oneBlock = known && known->getSExtValue() <= f.rows;
    emitLoop(b, word(0), oneBlock ? word(1) : o.m, f.rows, [&](Value *i) {
      Value *valid = b.CreateSub(o.m, i);
      int rows = oneBlock ? int(known->getSExtValue()) : f.rows;
      block.a = rowAddresses(b, scalar, emitAt(b, scalar, o.a, emitMul(b, i, o.aRow)), o.aRow, rows, oneBlock ? nullptr : valid);
      block.c = rowAddresses(b, scalar, emitAt(b, scalar, emitAt(b, scalar, o.c, emitMul(b, i, o.cRow)), n0), o.cRow, rows,
                             oneBlock ? nullptr : valid);
      BlockEmitter(b, block).emit();
    });
  };
  for (size_t f = 0; f < forms.size(); ++f) {
    bool last = f + 1 == forms.size();
    Value *fits = last ? b.getTrue() : b.CreateICmpSLE(o.m, word(forms[f].rows));
    if (f > 0) fits = b.CreateAnd(fits, b.CreateICmpSGT(o.m, word(forms[f - 1].rows)));
    emitIf(b, fits, [&] {
      int64_t columns = int64_t(forms[f].vectors) * lanes;
      Value *wholeEnd = b.CreateMul(b.CreateSDiv(o.n, word(columns)), word(columns));
      emitLoop(b, word(0), wholeEnd, columns, [&](Value *n0) { emitColumns(forms[f], n0, false); });
      emitIf(b, b.CreateICmpSLT(wholeEnd, o.n), [&] { emitColumns(forms[f], wholeEnd, true); });
    });
  }
}

void emitDots(IRBuilderBase &b, Element element, int lanes, const DotOperands &o) {
  Type *scalar = elementType(b, element);
  auto *vector = FixedVectorType::get(scalar, unsigned(lanes));
  const Align align(uint64_t(elementBytes(element)));
  auto word = [&](int64_t v) { return b.getInt64(uint64_t(v)); };
  Value *whole = b.CreateAnd(o.k, word(-lanes)), *last = b.CreateSub(o.n, word(1));
  emitLoop(b, word(0), o.n, lanes, [&](Value *n) {
    SmallVector<Value *> columns; // beyond the last one, that
    for (int j = 0; j < lanes; ++j) columns.push_back(emitAt(b, scalar, o.b, b.CreateMul(emitMin(b, b.CreateAdd(n, word(j)), last), o.bRow)));
    Values sums = emitLoop(b, word(0), whole, lanes, {Constant::getNullValue(vector)}, [&](Value *k, ArrayRef<Value *> now) -> Values { return {emitSquare(b, element, lanes, columns, k, o.a, word(1), now[0])}; });
    sums = emitLoop(b, whole, o.k, 1, sums, [&](Value *k, ArrayRef<Value *> now) -> Values {
      Value *x = PoisonValue::get(vector), *a = b.CreateAlignedLoad(scalar, emitAt(b, scalar, o.a, k), align);
      for (int j = 0; j < lanes; ++j) x = b.CreateInsertElement(x, b.CreateAlignedLoad(scalar, emitAt(b, scalar, columns[size_t(j)], k), align), uint64_t(j));
      return {b.CreateIntrinsic(Intrinsic::fma, {vector}, {b.CreateVectorSplat(unsigned(lanes), a), x, now[0]})};
    });
    b.CreateMaskedStore(sums[0], emitAt(b, scalar, o.c, n), align, emitMask(b, b.CreateSub(o.n, n), lanes));
  });
}

} // namespace fil
