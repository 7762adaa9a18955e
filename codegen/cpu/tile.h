// SPDX-License-Identifier: Apache-2.0
// The inner part of every contraction: code for one cache tile, C[m,n] (+)= sum_k A[m,k] B[k,n], held in registers over all k of
// the block. Each element is one chain of fused multiply-adds in the order of k that starts from zero (or from what the block
// before left), in the tile as in the skinny form: neither the cut of k nor the form changes a bit. Of pairs of bf16 a link of the chain is what vdpbf16ps
// makes of two products: subnormal numbers are 0, and there are two roundings, so it differs from the sum in f32. Sums of bytes are exact, and rounded once.
// All sizes and strides are i64, strides in elements; constants are folded. No read or write lies outside of what is stated.
#pragma once
#include "codegen/cpu/loops.h"
#include "codegen/select/contraction.h"
#include <functional>

namespace fil {

llvm::Type *elementType(llvm::IRBuilderBase &, Element);
/// sum, of 16 i32, plus the products of four unsigned bytes of x and four signed ones of y.
llvm::Value *emitQuads(llvm::IRBuilderBase &, llvm::Value *sum, llvm::Value *x, llvm::Value *y);

/// Of a panel that has some granules of k alone, `length` steps each: its columns of B one granule behind the other, and where each begins.
struct Granules {
  llvm::Value *b = nullptr;      ///< instead of TileOperands::b
  llvm::Value *list = nullptr;   ///< i32: steps of k, multiples of `length`
  llvm::Value *count = nullptr;
  llvm::Value *first = nullptr;  ///< the step that `a` begins with
  int64_t length = 1;
  bool whole = false;            ///< b has all steps from `first` on, each at its place
};

struct TileOperands {
  llvm::Value *m = nullptr;      ///< rows, 1 or more
  llvm::Value *panels = nullptr; ///< panels of B, each shape.columns() wide
  llvm::Value *k = nullptr;      ///< steps of this block

  /// A[i,k] = a[(i / rows) * aBlock + (i % rows) * aRow + k * aK], rows of the register tile. In place: aBlock = rows * aRow. As
  /// emitPackA leaves it: aRow = 1, aK = rows.
  llvm::Value *a = nullptr, *aRow = nullptr, *aK = nullptr, *aBlock = nullptr;

  /// B[k, p * columns + n] = b[p * bPanel + k * bK + n]; all columns of a panel are read. As emitPackB leaves it: bK = columns.
  llvm::Value *b = nullptr, *bPanel = nullptr, *bK = nullptr;
  llvm::Type *stored = nullptr;  ///< of the elements of B, where these are not what is computed with: then `decode` makes that of them
  int together = 1;              ///< so many steps have one stored row of B, `bK` from the next ones; `k` and the shape's unroll are multiples
  std::function<llvm::Value *(llvm::Value *, int step)> decode; ///< `step` of those together
  int64_t ahead = 0;             ///< elements of B, rows of a panel, that are asked for so long before they are read; 0: none
  int64_t narrow = 0;            ///< panels of so many columns in place of one of shape.columns(), `bNarrow` apart; bK = narrow. 0: none
  llvm::Value *bNarrow = nullptr;

  /// C[i, n] = c[i * cRow + n]; m rows of panels * columns are read and written.
  llvm::Value *c = nullptr, *cRow = nullptr;
  llvm::Value *accumulate = nullptr; ///< i1: continue what C holds; else C is only written
  /// Of Int8Quads: how far behind `b` each panel has its row of offsets, and whether this is the last block of k: until then C holds i32.
  llvm::Value *offsets = nullptr, *last = nullptr;

  /// With A as emitPackA leaves it, in whole panels: where rows are written that m does not have, a row of a panel. Saves an address for each row of A.
  llvm::Value *spare = nullptr;

  std::function<Granules(llvm::Value *panel)> granules; ///< none: all of k
  /// Is the register tile from this row on, of that panel, wanted? Of others C is left as it is. None: all are.
  std::function<llvm::Value *(llvm::Value *row, llvm::Value *panel)> wanted;
};
void emitTile(llvm::IRBuilderBase &, const TileShape &, const TileOperands &);

/// Few rows, B in place with n contiguous: C[i,n] (+)= sum_k A[i,k] B[k,n] for n < `n` exactly (the last columns are masked).
struct SkinnyOperands {
  llvm::Value *m = nullptr, *n = nullptr, *k = nullptr;
  llvm::Value *a = nullptr, *aRow = nullptr, *aK = nullptr; ///< A[i,k] = a[i * aRow + k * aK]
  llvm::Value *b = nullptr, *bK = nullptr;                  ///< B[k,n] = b[k * bK + n]
  llvm::Value *c = nullptr, *cRow = nullptr;                ///< C[i,n] = c[i * cRow + n]
  llvm::Value *accumulate = nullptr;                        ///< i1, as above
};
/// Right for any m >= 1, meant for m <= 8. A constant m emits only what it needs. `registers` of the target.
void emitSkinny(llvm::IRBuilderBase &, Element, int lanes, int registers, const SkinnyOperands &);

/// One row, of whose columns and steps only those are computed that lists name: C[n] = sum_k A[k] B[k,n].
struct PickedOperands {
  llvm::Value *a = nullptr, *aK = nullptr;           ///< A[k] = a[k * aK]
  llvm::Value *b = nullptr, *bPanel = nullptr;       ///< B[k, p * panel + n] = b[p * bPanel + k * panel + n]
  int64_t panel = 0;                                 ///< columns of a panel, a multiple of the lanes
  llvm::Value *panels = nullptr, *panelCount = nullptr; ///< i32: which panels; room for three more behind them
  llvm::Value *steps = nullptr, *stepCount = nullptr;   ///< i32: first steps of granules of k, each `length` long; room for one more behind them. Null: all k
  int64_t length = 1;
  llvm::Value *k = nullptr;
  llvm::Value *c = nullptr;                          ///< C[p * panel + n]
  int64_t ahead = 0;
};
void emitPicked(llvm::IRBuilderBase &, Element, int lanes, const PickedOperands &);

/// One row, of few of whose columns the products are wanted, each with k contiguous: C[n] = sum_k A[k] B[n,k] for the n of a list, in the order of k.
struct PickedColumns {
  llvm::Value *a = nullptr, *aK = nullptr, *b = nullptr, *bRow = nullptr, *c = nullptr; ///< A[k] = a[k * aK], B[n,k] = b[n * bRow + k], C[n] = c[n]
  llvm::Value *list = nullptr, *count = nullptr; ///< i32; room for as many more behind them as a vector has lanes
  llvm::Value *k = nullptr;                      ///< a multiple of the lanes
};
void emitPickedColumns(llvm::IRBuilderBase &, Element, int lanes, const PickedColumns &);
/// One row, of which few steps of k are wanted, B in place with n contiguous: C[n] = sum_k A[k] B[k,n] for the k of a list, in its order.
struct PickedSteps {
  llvm::Value *a = nullptr, *aK = nullptr, *b = nullptr, *bK = nullptr, *c = nullptr; ///< B[k,n] = b[k * bK + n]
  llvm::Value *list = nullptr, *count = nullptr; ///< i32; four more behind them may be read
  llvm::Value *n = nullptr;                      ///< a multiple of the lanes
};
void emitPickedSteps(llvm::IRBuilderBase &, Element, int lanes, const PickedSteps &);
/// x[i][j] becomes x[j][i]: as many vectors as lanes.
void emitTranspose(llvm::IRBuilderBase &, Element, llvm::MutableArrayRef<llvm::Value *> x);

/// One row, both operands with k contiguous: c[n] = sum_k a[k] b[n * bRow + k], in the order of k.
struct DotOperands { llvm::Value *n = nullptr, *k = nullptr, *a = nullptr, *b = nullptr, *bRow = nullptr, *c = nullptr; };
void emitDots(llvm::IRBuilderBase &, Element, int lanes, const DotOperands &);

/// X[i,k] = from[i * stride + k * strideK], i < count, k < steps, to panels of `columns`: to[(i / columns) * panel +
/// k * columns + i % columns], with zeros where i >= count in the last panel. Fast where one of the strides is the constant 1.
struct PackOperands {
  llvm::Value *from = nullptr, *stride = nullptr, *strideK = nullptr;
  llvm::Value *count = nullptr, *steps = nullptr;
  llvm::Value *to = nullptr, *panel = nullptr; ///< panel: elements from panel to panel, at least steps * columns
};
/// B: `count` is n, panels of shape.columns().
void emitPackB(llvm::IRBuilderBase &, const TileShape &, const PackOperands &);
/// A: `count` is m, panels of shape.rows; read it with aRow = 1, aK = shape.rows, aBlock = panel.
void emitPackA(llvm::IRBuilderBase &, const TileShape &, const PackOperands &);

} // namespace fil
