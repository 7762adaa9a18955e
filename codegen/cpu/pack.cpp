// SPDX-License-Identifier: Apache-2.0
// Packing of operands into the panels that the tile reads: vector copies where the panel's direction is contiguous in memory,
// transposition in registers where k is, else element by element.
#include "codegen/cpu/tile.h"
#include <numeric>

namespace fil {
using namespace llvm;

namespace {

bool isOne(Value *v) {
  auto *c = dyn_cast<ConstantInt>(v);
  return c && c->isOne();
}

class Packer {
public:
  /// Groups of `width` neighbours of a panel are moved together.
  Packer(IRBuilderBase &b, Element element, int lanes, int columns, const PackOperands &o)
      : b(b), o(o), element(element), scalar(elementType(b, element)), align(uint64_t(elementBytes(element))), lanes(lanes), columns(columns),
        width(columns <= lanes ? columns : std::gcd(columns, lanes)) {}

  void emit() {
    if (isOne(o.stride)) return copyPanels();
    Value *count = b.CreateSDiv(b.CreateAdd(o.count, word(columns - 1)), word(columns));
    emitLoop(b, word(0), count, 1, [&](Value *p) {
      Value *first = emitMul(b, p, word(columns));
      Value *to = emitAt(b, scalar, o.to, emitMul(b, p, o.panel)), *left = b.CreateSub(o.count, first);
      Value *from = emitAt(b, scalar, o.from, emitMul(b, first, o.stride));
      if (isOne(o.strideK)) transposePanel(from, to, left);
      else gatherPanel(from, to, left);
    });
  }

private:
  Value *word(int64_t v) { return b.getInt64(uint64_t(v)); }
  FixedVectorType *vectorOf(int n) { return FixedVectorType::get(scalar, unsigned(n)); }
  Value *load(int n, Value *from) { return b.CreateAlignedLoad(vectorOf(n), from, align); }
  Value *load(int n, Value *from, Value *mask) {
    return b.CreateMaskedLoad(vectorOf(n), from, align, mask, Constant::getNullValue(vectorOf(n)));
  }
  void store(Value *v, Value *to) { b.CreateAlignedStore(v, to, align); }

  // The panel's direction is contiguous: a row of the panel is part of a row of memory, which is read once for all panels.
  void copyPanels() {
    using Read = function_ref<Value *(Value *at, int offset, int n)>;
    auto copyRow = [&](Value *first, Value *to, Value *k, Read read) {
      Value *source = emitAt(b, scalar, emitAt(b, scalar, o.from, first), emitMul(b, k, o.strideK)), *target = emitAt(b, scalar, to, emitMul(b, k, word(columns)));
      for (int offset = 0; offset < columns; offset += lanes) {
        int n = std::min(lanes, columns - offset);
        store(read(emitAt(b, scalar, source, word(offset)), offset, n), emitAt(b, scalar, target, word(offset)));
      }
    };
    // A step writes whole vectors, beyond its end into the next one, which is written later; the last steps write what is theirs.
    Value *panels = b.CreateSDiv(o.count, word(columns)), *unrolled = b.CreateAnd(emitMax(b, b.CreateSub(o.steps, word(1)), word(0)), word(-4));
    auto vector = [&](Value *at, int, int n) {
      const int all = int(PowerOf2Ceil(uint64_t(n)));
      return all == n ? load(n, at) : load(all, at, emitMask(b, word(n), all));
    };
    auto exact = [&](Value *at, int, int n) { return load(n, at); };
    auto whole = [&](Value *k, int steps, Read read) {
      emitLoop(b, word(0), panels, 1, [&](Value *p) {
        Value *first = emitMul(b, p, word(columns)), *to = emitAt(b, scalar, o.to, emitMul(b, p, o.panel));
        for (int u = 0; u < steps; ++u) copyRow(first, to, emitAdd(b, k, word(u)), read);
      });
    };
    emitLoop(b, word(0), unrolled, 4, [&](Value *k) { whole(k, 4, vector); });
    emitLoop(b, unrolled, o.steps, 1, [&](Value *k) { whole(k, 1, exact); });
    Value *first = emitMul(b, panels, word(columns)), *rest = b.CreateSub(o.count, first);
    emitIf(b, b.CreateICmpSGT(rest, word(0)), [&] {
      Value *to = emitAt(b, scalar, o.to, emitMul(b, panels, o.panel));
      SmallVector<Value *> masks;
      for (int offset = 0; offset < columns; offset += lanes) masks.push_back(emitMask(b, b.CreateSub(rest, word(offset)), std::min(lanes, columns - offset)));
      emitLoop(b, word(0), o.steps, 1, [&](Value *k) {
        copyRow(first, to, k, [&](Value *at, int offset, int n) { return load(n, at, masks[size_t(offset / lanes)]); });
      });
    });
  }

  // k is contiguous: `width` rows of memory, `lanes` steps of k at a time, are transposed in registers.
  void transposePanel(Value *from, Value *to, Value *left) {
    emitLoop(b, word(0), word(columns), width, [&](Value *offset) {
      Value *valid = b.CreateSub(left, offset), *target = emitAt(b, scalar, to, offset);
      emitIf(
          b, b.CreateICmpSGT(valid, word(0)),
          [&] {
            transposeGroup(emitAt(b, scalar, from, emitMul(b, offset, o.stride)), target, valid);
            return Values();
          },
          [&] {
            emitLoop(b, word(0), o.steps, 1, [&](Value *k) {
              store(Constant::getNullValue(vectorOf(width)), emitAt(b, scalar, target, emitMul(b, k, word(columns))));
            });
            return Values();
          });
    });
  }
  /// Rows beyond `valid` read the last valid one and are blended away. The last steps of k go through a block on the stack.
  void transposeGroup(Value *from, Value *to, Value *valid) {
    SmallVector<Value *> rows;
    Value *last = b.CreateSub(valid, word(1)), *mask = emitMask(b, valid, width);
    for (int i = 0; i < width; ++i) rows.push_back(emitAt(b, scalar, from, emitMul(b, i ? emitMin(b, word(i), last) : word(0), o.stride)));
    auto block = [&](Value *k, Value *kMask, Value *target, int targetStride) {
      SmallVector<Value *> x;
      for (Value *row : rows) x.push_back(kMask ? load(lanes, emitAt(b, scalar, row, k), kMask) : load(lanes, emitAt(b, scalar, row, k)));
      x.resize(size_t(lanes), PoisonValue::get(vectorOf(lanes)));
      emitTranspose(b, element, x);
      for (int i = 0; i < lanes; ++i) {
        Value *v = x[size_t(i)];
        if (width < lanes) {
          SmallVector<int> low(static_cast<size_t>(width));
          std::iota(low.begin(), low.end(), 0);
          v = b.CreateShuffleVector(v, low);
        }
        v = b.CreateSelect(mask, v, Constant::getNullValue(vectorOf(width)));
        store(v, emitAt(b, scalar, target, word(int64_t(i) * targetStride)));
      }
    };
    Value *wholeEnd = b.CreateAnd(o.steps, word(-lanes));
    emitLoop(b, word(0), wholeEnd, lanes, [&](Value *k) { block(k, nullptr, emitAt(b, scalar, to, emitMul(b, k, word(columns))), columns); });
    emitIf(b, b.CreateICmpSLT(wholeEnd, o.steps), [&] {
      BasicBlock &entry = b.GetInsertBlock()->getParent()->getEntryBlock();
      IRBuilder<> top(&entry, entry.begin());
      Value *stack = top.CreateAlloca(ArrayType::get(vectorOf(width), uint64_t(lanes)));
      Value *rest = b.CreateSub(o.steps, wholeEnd), *target = emitAt(b, scalar, to, emitMul(b, wholeEnd, word(columns)));
      auto onStack = [&](Value *k) { return b.CreateInBoundsGEP(ArrayType::get(scalar, uint64_t(width)), stack, k); };
      block(wholeEnd, emitMask(b, rest, lanes), stack, width);
      emitLoop(b, word(0), rest, 1, [&](Value *k) { store(load(width, onStack(k)), emitAt(b, scalar, target, emitMul(b, k, word(columns)))); });
    });
  }

  void gatherPanel(Value *from, Value *to, Value *left) {
    Value *valid = emitMin(b, left, word(columns));
    emitLoop(b, word(0), o.steps, 1, [&](Value *k) {
      Value *source = emitAt(b, scalar, from, emitMul(b, k, o.strideK)), *target = emitAt(b, scalar, to, emitMul(b, k, word(columns)));
      emitLoop(b, word(0), valid, 1, [&](Value *i) {
        store(b.CreateLoad(scalar, emitAt(b, scalar, source, emitMul(b, i, o.stride))), emitAt(b, scalar, target, i));
      });
      emitLoop(b, valid, word(columns), 1, [&](Value *i) { store(Constant::getNullValue(scalar), emitAt(b, scalar, target, i)); });
    });
  }

  IRBuilderBase &b;
  const PackOperands &o;
  Element element;
  Type *scalar;
  Align align;
  int lanes, columns, width;
};

} // namespace

// First the squares within 128 bits by unpacking, then ever larger ones are exchanged.
void emitTranspose(IRBuilderBase &b, Element element, MutableArrayRef<Value *> x) {
  const int lanes = int(x.size()), perLane = 16 / elementBytes(element);
  auto shuffle = [&](Value *p, Value *q, function_ref<int(int)> source) {
    SmallVector<int> indices;
    for (int j = 0; j < lanes; ++j) indices.push_back(source(j));
    return b.CreateShuffleVector(p, q, indices);
  };
  // Elements n and n+1 (as `size` pieces) of each 128 bits, alternately from p and q.
  auto unpack = [&](Value *p, Value *q, int size, bool high) {
    return shuffle(p, q, [&](int j) {
      int lane = j / perLane * perLane, within = j % perLane, piece = within / size;
      int index = lane + (high ? perLane / 2 : 0) + piece / 2 * size + within % size;
      return piece % 2 ? lanes + index : index;
    });
  };
  for (int i = 0; i < lanes; i += perLane) {
    Value **r = &x[size_t(i)];
    if (perLane == 2) {
      Value *low = unpack(r[0], r[1], 1, false), *high = unpack(r[0], r[1], 1, true);
      r[0] = low, r[1] = high;
      continue;
    }
    Value *a = unpack(r[0], r[1], 1, false), *c = unpack(r[0], r[1], 1, true);
    Value *d = unpack(r[2], r[3], 1, false), *e = unpack(r[2], r[3], 1, true);
    r[0] = unpack(a, d, 2, false), r[1] = unpack(a, d, 2, true);
    r[2] = unpack(c, e, 2, false), r[3] = unpack(c, e, 2, true);
  }
  for (int d = perLane; d < lanes; d *= 2)
    for (int i = 0; i < lanes; ++i)
      if (!(i & d)) {
        Value *p = x[size_t(i)], *q = x[size_t(i + d)];
        x[size_t(i)] = shuffle(p, q, [&](int j) { return j & d ? lanes + j - d : j; });
        x[size_t(i + d)] = shuffle(p, q, [&](int j) { return j & d ? lanes + j : j + d; });
      }
}

void emitPackB(IRBuilderBase &b, const TileShape &shape, const PackOperands &o) {
  Packer(b, shape.element, shape.lanes, shape.columns(), o).emit();
}
void emitPackA(IRBuilderBase &b, const TileShape &shape, const PackOperands &o) {
  Packer(b, shape.element, shape.lanes, shape.rows, o).emit();
}

} // namespace fil
