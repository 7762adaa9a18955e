// SPDX-License-Identifier: Apache-2.0
#include "codegen/cpu/tile.h"
#include <llvm/IR/Intrinsics.h>
#include <numeric>

namespace fil {
using namespace llvm;

Type *elementType(IRBuilderBase &b, Element e) { return e == Element::F32 ? b.getFloatTy() : b.getDoubleTy(); }

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
};

class BlockEmitter {
public:
  BlockEmitter(IRBuilderBase &b, const Block &block)
      : b(b), block(block), scalar(elementType(b, block.element)), vector(FixedVectorType::get(scalar, unsigned(block.lanes))) {}

  void emit() {
    Value *zero = Constant::getNullValue(vector);
    Values sums = emitIf(
        b, block.accumulate, [&] { return loadC(); }, [&] { return Values(block.a.size() * size_t(block.vectors), zero); });
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

  Values loadC() {
    Values sums;
    for (Value *row : block.c)
      for (int v = 0; v < block.vectors; ++v) sums.push_back(load(row, v));
    return sums;
  }
  void storeC(ArrayRef<Value *> sums) {
    size_t i = 0;
    for (Value *row : block.c)
      for (int v = 0; v < block.vectors; ++v, ++i)
        if (block.mask.empty()) b.CreateAlignedStore(sums[i], at(row, v), align());
        else b.CreateMaskedStore(sums[i], at(row, v), align(), block.mask[size_t(v)]);
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
    for (int u = 0; u < unroll; ++u) addStep(emitAt(b, scalar, rowB, ahead(block.bK, u)), emitAdd(b, offsetA, ahead(block.aK, u)), next);
    next.push_back(emitAt(b, scalar, rowB, ahead(block.bK, unroll)));
    next.push_back(emitAdd(b, offsetA, ahead(block.aK, unroll)));
    return next;
  }
  Values listed(const Granules &g, Values sums) {
    const int64_t together = std::gcd<int64_t>(g.length, std::max(block.unroll, 2)), turns = g.length / together;
    sums.push_back(g.b);
    sums = emitLoop(b, b.getInt64(0), g.count, 1, sums, [&](Value *i, ArrayRef<Value *> now) {
      Value *step = b.CreateSExt(b.CreateAlignedLoad(b.getInt32Ty(), emitAt(b, b.getInt32Ty(), g.list, i), Align(4)), b.getInt64Ty());
      Values inside(now.begin(), now.end());
      inside.push_back(emitMul(b, b.CreateSub(step, g.first), block.aK));
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
  void addStep(Value *rowB, Value *offsetA, Values &sums) {
    SmallVector<Value *, 8> row;
    for (int v = 0; v < block.vectors; ++v) row.push_back(load(rowB, v));
    if (block.ahead) {
      const int perLine = 64 / elementBytes(block.element);
      for (int line = 0; line < block.vectors * block.lanes; line += perLine)
        emitPrefetch(b, scalar, rowB, b.getInt64(uint64_t(block.ahead + line)), false);
    }
    size_t i = 0;
    for (Value *a : block.a) {
      Value *x = b.CreateVectorSplat(unsigned(block.lanes), b.CreateLoad(scalar, emitAt(b, scalar, a, offsetA)));
      for (int v = 0; v < block.vectors; ++v, ++i)
        sums[i] = b.CreateIntrinsic(Intrinsic::fma, {vector}, {x, row[size_t(v)], sums[i]});
    }
  }

  IRBuilderBase &b;
  const Block &block;
  Type *scalar;
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
    block.ahead = o.ahead;
    block.granules = granules;
    BlockEmitter(b, block).emit();
  };
  // Blocks of a whole register tile, the last of them perhaps with fewer rows; a rest up to half a tile has its own smaller body.
  int half = (shape.rows + 1) / 2;
  Value *rows = word(shape.rows), *wholeEnd = b.CreateMul(b.CreateSDiv(o.m, rows), rows), *rest = b.CreateSub(o.m, wholeEnd);
  Value *small = b.CreateAnd(b.CreateICmpSGT(rest, word(0)), b.CreateICmpSLE(rest, word(half)));
  if (shape.rows == 1) small = b.getFalse();
  Value *bigEnd = b.CreateSelect(small, wholeEnd, o.m);
  if (o.granules) { // rows stay in the first-level cache, where their steps are picked; panels pass by as they lie
    auto row = [&](int rows, Value *a, Value *c, Value *valid) {
      emitLoop(b, word(0), o.panels, 1, [&](Value *p) {
        granules = o.granules(p);
        emitRows(rows, shape.unroll, a, granules->b, emitAt(b, scalar, c, emitMul(b, p, word(shape.columns()))), valid);
      });
    };
    Values ends = emitLoop(b, word(0), bigEnd, shape.rows, {o.a, o.c}, [&](Value *i, ArrayRef<Value *> at) {
      row(shape.rows, at[0], at[1], b.CreateSub(o.m, i));
      return Values{emitAt(b, scalar, at[0], o.aBlock), emitAt(b, scalar, at[1], emitMul(b, o.cRow, rows))};
    });
    emitIf(b, small, [&] { row(half, ends[0], ends[1], rest); });
    return;
  }
  emitLoop(b, word(0), o.panels, 1, [&](Value *p) {
    auto where = [&](Value *row, function_ref<void()> then) { o.wanted ? emitIf(b, o.wanted(row, p), then) : then(); };
    Value *panel = emitAt(b, scalar, o.b, emitMul(b, p, o.bPanel));
    Value *columns = emitAt(b, scalar, o.c, emitMul(b, p, word(shape.columns())));
    Values ends = emitLoop(b, word(0), bigEnd, shape.rows, {o.a, columns}, [&](Value *i, ArrayRef<Value *> at) {
      where(i, [&] { emitRows(shape.rows, shape.unroll, at[0], panel, at[1], b.CreateSub(o.m, i)); });
      return Values{emitAt(b, scalar, at[0], o.aBlock), emitAt(b, scalar, at[1], emitMul(b, o.cRow, rows))};
    });
    emitIf(b, small, [&] { where(wholeEnd, [&] { emitRows(half, shape.unroll, ends[0], panel, ends[1], rest); }); });
  });
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
  Value *zero = Constant::getNullValue(vector), *whole = b.CreateAnd(o.k, word(-lanes)), *mask = emitMask(b, b.CreateSub(o.k, whole), lanes);
  auto load = [&](Value *at, Value *masked) -> Value * {
    if (masked) return b.CreateMaskedLoad(vector, at, align, masked, zero);
    return b.CreateAlignedLoad(vector, at, align);
  };
  // `count` columns from n on share the loads of a; their sums do not wait for each other.
  auto columns = [&](Value *n, int count) {
    SmallVector<Value *> rows;
    for (int j = 0; j < count; ++j) rows.push_back(emitAt(b, scalar, o.b, emitMul(b, b.CreateAdd(n, word(j)), o.bRow)));
    auto add = [&](Value *k, Value *masked, ArrayRef<Value *> sums) {
      Values next;
      Value *x = load(emitAt(b, scalar, o.a, k), masked);
      for (auto [row, sum] : zip(rows, sums)) next.push_back(b.CreateIntrinsic(Intrinsic::fma, {vector}, {x, load(emitAt(b, scalar, row, k), masked), sum}));
      return next;
    };
    Values sums = emitLoop(b, word(0), whole, lanes, Values(size_t(count), zero), [&](Value *k, ArrayRef<Value *> now) { return add(k, nullptr, now); });
    if (auto *known = dyn_cast<ConstantInt>(o.k); !known || known->getSExtValue() % lanes)
      sums = emitIf(b, b.CreateICmpSLT(whole, o.k), [&] { return add(whole, mask, sums); }, [&] { return sums; });
    for (auto [j, sum] : enumerate(sums)) {
      Value *all = emitTree(b, sum, [&](Value *x, Value *y) { return b.CreateFAdd(x, y); });
      b.CreateAlignedStore(all, emitAt(b, scalar, o.c, b.CreateAdd(n, word(int64_t(j)))), align);
    }
  };
  Value *four = b.CreateAnd(o.n, word(-4));
  emitLoop(b, word(0), four, 4, [&](Value *n) { columns(n, 4); });
  emitLoop(b, four, o.n, 1, [&](Value *n) { columns(n, 1); });
}

} // namespace fil
