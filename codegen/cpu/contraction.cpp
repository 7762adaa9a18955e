// SPDX-License-Identifier: Apache-2.0
// Contractions by register tiles. A kernel packs the right side into panels; another one computes cache tiles of the result in scratch and runs
// the epilogue over each. Operands that are memory with one stride along rows, columns and sums are read as they are or packed by copies; all
// others (gathers, windows, several dims that do not join) are packed through the evaluator, lanes along the panel's own direction.
#include "codegen/cpu/evaluator.h"
#include "codegen/cpu/group_kernel.h"
#include "codegen/cpu/tile.h"
#include "ir/contraction.h"

namespace fil {
using namespace ir;
using mlir::dyn_cast, mlir::cast, mlir::isa;
using mlir::Operation, mlir::StringAttr;
using LV = llvm::Value *;
using Dimlist = llvm::SmallVector<StringAttr>;

namespace {

Size extents(const Dims &dims, const Dimlist &list) {
  Size n(1);
  for (StringAttr d : list) n = n * dims.value(d.getValue());
  return n;
}
Dimlist inOrder(const Dimlist &list, const Layout &like) {
  Dimlist sorted;
  for (StringAttr d : like.order)
    if (llvm::is_contained(list, d)) sorted.push_back(d);
  for (StringAttr d : list)
    if (!llvm::is_contained(sorted, d)) sorted.push_back(d);
  return sorted;
}

/// The stride of several dims, outermost first, where they lie in memory as one.
std::optional<Size> joined(const Dims &dims, const Dimlist &list, llvm::function_ref<Size(StringAttr)> stride) {
  std::optional<Size> innermost, next;
  for (StringAttr x : llvm::reverse(list)) {
    Size size = dims.value(x.getValue());
    if (size == Size(1)) continue;
    Size s = stride(x);
    if (!innermost) innermost = s;
    else if (!(s == *next)) return std::nullopt;
    next = s * size;
  }
  return innermost ? innermost : Size(1);
}

/// An operand as memory with one stride in each direction.
struct Plain {
  int input = -1;          ///< of the group
  Size outer, sum;         ///< elements between neighbours of rows or columns, of summed ones
  llvm::SmallVector<Size> batch;
};

/// What both kernels know.
class Problem {
public:
  Problem(const Target &target, const Dims &dims, bool f64, GroupOp group, const GroupPlacement &at) : dims(dims), group(group), at(at), c(group.tiled()) {
    d = classify(c);
    const Layout &result = resultLayout();
    for (StringAttr x : llvm::reverse(result.order)) { // the innermost dim that is no batch belongs to the columns
      if (llvm::is_contained(d.batch, x) || dims.value(x.getValue()) == Size(1)) continue;
      if (llvm::is_contained(d.rows, x)) std::swap(d.rows, d.columns), leftOperand = 1;
      break;
    }
    d.rows = inOrder(d.rows, result), d.columns = inOrder(d.columns, result), d.batch = inOrder(d.batch, result);
    if (const Layout *l = layoutOf(c->getOperand(unsigned(leftOperand)))) d.summed = inOrder(d.summed, *l);
    m = extents(dims, d.rows), n = extents(dims, d.columns), k = extents(dims, d.summed), batch = extents(dims, d.batch);
    auto known = [](const Size &s) { return s.constant() ? std::optional(s.constant()->num) : std::nullopt; };
    ContractionSizes sizes{known(m), known(n), known(k)};
    shape = chooseShape(target, f64 ? Element::F64 : Element::F32, sizes);
    blocks = chooseBlocks(target, shape, sizes);
    // Where the number of rows is not known: tiles small enough that threads end together.
    if (!sizes.m) blocks.mc = std::min<int64_t>(blocks.mc, (256 + shape.rows - 1) / shape.rows * shape.rows);
    // Enough tiles for several threads.
    auto tilesOf = [&] { return ((*sizes.m + blocks.mc - 1) / blocks.mc) * ((*sizes.n + blocks.nc - 1) / blocks.nc) * known(batch).value_or(8); };
    if (sizes.m && sizes.n)
      while (tilesOf() < 8) {
        const int64_t mc = (blocks.mc / 2 + shape.rows - 1) / shape.rows * shape.rows, nc = (blocks.nc / 2 + shape.columns() - 1) / shape.columns() * shape.columns();
        if (mc < blocks.mc && blocks.mc > 4 * shape.rows) blocks.mc = mc;
        else if (nc < blocks.nc) blocks.nc = nc;
        else if (mc < blocks.mc) blocks.mc = mc;
        else break;
      }
    left = plain(leftOperand, d.rows), right = plain(1 - leftOperand, d.columns);
  }
  const Dims &dims;
  GroupOp group;
  const GroupPlacement &at;
  ContractOp c;
  ContractionDims d;
  int leftOperand = 0; ///< whose own dims are the rows
  Size m, n, k, batch;
  TileShape shape;
  CacheBlocks blocks;
  std::optional<Plain> left, right;

  Size panels() const { return Size::ceil(n / Size(shape.columns())); }
  Size packedElements() const { return panels() * Size(shape.columns()) * k; } ///< of one batch

private:
  /// How the contraction's result stands in memory if it does, else the group's first one.
  const Layout &resultLayout() {
    for (auto [y, p] : llvm::zip(group.yielded(), at.results))
      if (y == c.getResult()) return p.layout;
    return at.results[0].layout;
  }
  /// Of an operand that is an input, under the names that the contraction sees; through renames.
  const Layout *layoutOf(mlir::Value v) {
    while (auto *op = v.getDefiningOp()) {
      if (!isa<RenameOp, StopGradOp>(op) && !(isa<CacheOp>(op) && !cast<CacheOp>(op).getPast())) return nullptr;
      v = op->getOperand(0);
    }
    return &at.inputs[cast<mlir::BlockArgument>(v).getArgNumber()].layout;
  }
  std::optional<Plain> plain(int operand, const Dimlist &outer) {
    mlir::Value v = c->getOperand(unsigned(operand));
    for (mlir::Value s : c.getSubsets())
      if (cast<TensorType>(v.getType()).has(cast<SubsetType>(s.getType()).getOf())) return std::nullopt;
    llvm::SmallVector<std::pair<StringAttr, StringAttr>> names; // as the contraction calls a dim, as the memory does
    for (StringAttr x : cast<TensorType>(v.getType()).getDims()) names.push_back({x, x});
    auto renamed = [&](StringAttr to, StringAttr from) {
      for (auto &[outside, inside] : names)
        if (inside == to) inside = from;
    };
    while (auto *op = v.getDefiningOp()) {
      if (auto r = dyn_cast<RenameOp>(op)) renamed(r.getToAttr(), r.getFromAttr());
      else if (auto h = dyn_cast<CacheOp>(op); h && !h.getPast()) renamed(h.getToAttr(), h.getFromAttr());
      else if (!isa<StopGradOp>(op)) return std::nullopt;
      v = op->getOperand(0);
    }
    Plain p;
    p.input = int(cast<mlir::BlockArgument>(v).getArgNumber());
    const Layout &layout = at.inputs[size_t(p.input)].layout;
    auto stride = [&](StringAttr x) {
      for (auto &[outside, inside] : names)
        if (outside == x) return layout.strides[size_t(llvm::find(layout.order, inside) - layout.order.begin())];
      return Size();
    };
    auto o = joined(dims, outer, stride), s = joined(dims, d.summed, stride);
    if (!o || !s) return std::nullopt;
    p.outer = *o, p.sum = *s;
    for (StringAttr x : d.batch) p.batch.push_back(stride(x));
    return p;
  }
};

class ContractionEmitter {
public:
  ContractionEmitter(const Target &t, Problem &p, bool f64) : k(t, p.dims, f64), p(p), e(k, p.group, inputs()) {}

  EmittedKernel pack() {
    LV packed = k.buffer(number);
    // A tile is a panel of one batch.
    emitLoop(k.b, k.begin(), k.end(), 1, [&](LV tile) {
      LV panels = k.size(p.panels());
      Point batch;
      digits(k.b.CreateUDiv(tile, panels), p.d.batch, batch);
      LV first = k.b.CreateMul(k.b.CreateURem(tile, panels), k.number(p.shape.columns()));
      LV to = elementAt(packed, k.b.CreateMul(tile, k.b.CreateMul(k.number(p.shape.columns()), k.size(p.k))));
      LV count = emitMin(k.b, k.number(p.shape.columns()), k.b.CreateSub(k.size(p.n), first));
      if (p.right) {
        PackOperands o;
        o.from = elementAt(start(*p.right, batch), k.b.CreateMul(first, k.size(p.right->outer)));
        o.stride = k.size(p.right->outer), o.strideK = k.size(p.right->sum);
        o.count = count, o.steps = k.size(p.k), o.to = to, o.panel = k.number(0);
        emitPackB(k.b, p.shape, o);
      } else e.scope([&] {
        emitLoop(k.b, k.number(0), k.size(p.k), 1, [&](LV step) {
          Point q = batch;
          digits(step, p.d.summed, q);
          LV row = elementAt(to, k.b.CreateMul(step, k.number(p.shape.columns())));
          for (int v = 0; v < p.shape.vectors; ++v) e.scope([&] {
            const int offset = v * k.lanes;
            Point r = q;
            LV mask = emitMask(k.b, k.b.CreateSub(count, k.number(offset)), k.lanes);
            laneDigits(k.b.CreateAdd(first, k.number(offset)), p.d.columns, p.n, mask, r);
            k.b.CreateAlignedStore(clear(e.side(p.c, 1 - p.leftOperand, r), mask), elementAt(row, k.number(offset)), align());
          });
        });
      });
    });
    k.finish();
    return {std::move(k.made), k.sizes, p.batch * p.panels(), k.scratchBytes, 1, "packing"};
  }

  EmittedKernel product() {
    int count = number;
    std::vector<Memory> results;
    for (auto [v, r] : llvm::zip(p.group.yielded(), p.at.results)) results.push_back(memoryOf(k, v.getType(), r.layout, r.counts, count, false));
    LV packed = k.buffer(count);
    const int64_t mc = p.blocks.mc, nc = p.blocks.nc, kc = p.blocks.kc, columns = p.shape.columns();
    LV M = k.size(p.m), N = k.size(p.n), K = k.size(p.k);
    Size mTiles = Size::ceil(p.m / Size(mc)), nTiles = Size::ceil(p.n / Size(nc));
    auto nKnown = p.n.constant();
    const int64_t rowC = nKnown ? std::min<int64_t>(nc, (nKnown->num + columns - 1) / columns * columns) : nc;
    const int64_t bytes = p.shape.element == Element::F64 ? 8 : 4;
    std::optional<std::pair<Size, Size>> direct = inPlace(); // strides of rows and columns in the result
    LV tileC = direct ? nullptr : k.allocateScratch(Size(mc * rowC * bytes));
    const bool packsA = !p.left || !(p.left->sum == Size(1));
    auto kKnown = p.k.constant();
    const int64_t rowA = (kKnown ? std::min(kc, (kKnown->num + k.lanes - 1) / k.lanes * k.lanes) : kc) + 16; // rows on different cache sets
    LV packedA = packsA ? k.allocateScratch(Size((mc + p.shape.rows) * rowA * bytes)) : nullptr;

    emitLoop(k.b, k.begin(), k.end(), 1, [&](LV tile) {
      LV perBatch = k.size(mTiles * nTiles);
      LV inBatch = k.b.CreateURem(tile, perBatch), number = k.b.CreateUDiv(tile, perBatch);
      LV m0 = k.b.CreateMul(k.b.CreateUDiv(inBatch, k.size(nTiles)), k.number(mc));
      LV n0 = k.b.CreateMul(k.b.CreateURem(inBatch, k.size(nTiles)), k.number(nc));
      LV rows = emitMin(k.b, k.number(mc), k.b.CreateSub(M, m0)), cols = emitMin(k.b, k.number(nc), k.b.CreateSub(N, n0));
      Point batch;
      digits(number, p.d.batch, batch);
      TileOperands t;
      t.m = rows;
      t.panels = k.b.CreateUDiv(k.b.CreateAdd(cols, k.number(columns - 1)), k.number(columns));
      t.bPanel = k.b.CreateMul(K, k.number(columns));
      LV b0 = elementAt(packed, k.b.CreateMul(number, k.size(p.packedElements())));
      b0 = elementAt(b0, k.b.CreateMul(k.b.CreateUDiv(n0, k.number(columns)), t.bPanel));
      if (direct) {
        t.cRow = k.size(direct->first);
        LV at = startOf(results[0], batch);
        t.c = elementAt(elementAt(at, k.b.CreateMul(m0, t.cRow)), n0);
      } else t.c = tileC, t.cRow = k.number(rowC);
      emitLoop(k.b, k.number(0), K, kc, [&](LV k0) {
        t.k = emitMin(k.b, k.number(kc), k.b.CreateSub(K, k0));
        t.accumulate = kKnown && kKnown->num <= kc ? k.b.getFalse() : k.b.CreateICmpNE(k0, k.number(0));
        t.b = elementAt(b0, k.b.CreateMul(k0, k.number(columns)));
        leftSide(t, batch, m0, k0, packedA, rowA);
        emitTile(k.b, p.shape, t);
      });
      if (!direct) epilogue(batch, m0, n0, rows, cols, tileC, rowC, results);
    });
    k.finish();
    return {std::move(k.made), k.sizes, p.batch * mTiles * nTiles, k.scratchBytes, 1, p.shape.str() + ", " + p.blocks.str() + (direct ? ", in place" : "")};
  }

  /// Row by row, columns in vectors, the right side in place (its columns are neighbours in memory).
  EmittedKernel fewRows() {
    int count = number;
    std::vector<Memory> results;
    for (auto [v, r] : llvm::zip(p.group.yielded(), p.at.results)) results.push_back(memoryOf(k, v.getType(), r.layout, r.counts, count, false));
    const int64_t nc = p.blocks.nc, bytes = p.shape.element == Element::F64 ? 8 : 4;
    Size nTiles = Size::ceil(p.n / Size(nc));
    LV tileC = k.allocateScratch(Size((nc + k.lanes) * bytes));
    emitLoop(k.b, k.begin(), k.end(), 1, [&](LV tile) {
      Point batch;
      digits(k.b.CreateUDiv(tile, k.size(nTiles)), p.d.batch, batch);
      LV n0 = k.b.CreateMul(k.b.CreateURem(tile, k.size(nTiles)), k.number(nc));
      LV cols = emitMin(k.b, k.number(nc), k.b.CreateSub(k.size(p.n), n0));
      LV left = start(*p.left, batch), right = elementAt(start(*p.right, batch), n0);
      emitLoop(k.b, k.number(0), k.size(p.m), 1, [&](LV i) {
        SkinnyOperands s;
        s.m = k.number(1), s.n = cols, s.k = k.size(p.k);
        s.a = elementAt(left, k.b.CreateMul(i, k.size(p.left->outer))), s.aRow = k.number(0), s.aK = k.size(p.left->sum);
        s.b = right, s.bK = k.size(p.right->sum);
        s.c = tileC, s.cRow = k.number(nc), s.accumulate = k.b.getFalse();
        emitSkinny(k.b, p.shape.element, k.lanes, k.target.registers, s);
        epilogue(batch, i, n0, k.number(1), cols, tileC, nc, results);
      });
    });
    k.finish();
    return {std::move(k.made), k.sizes, p.batch * nTiles, k.scratchBytes, 1, "few rows"};
  }

private:
  KernelBuilder k;
  Problem &p;
  int number = 0; ///< of the first buffer behind the inputs
  Evaluator e;

  std::vector<Memory> inputs() {
    std::vector<Memory> all;
    for (auto [v, where] : llvm::zip(p.group.getInputs(), p.at.inputs)) all.push_back(memoryOf(k, v.getType(), where.layout, where.counts, number, where.constant));
    return all;
  }
  llvm::Align align() { return llvm::Align(p.shape.element == Element::F64 ? 8 : 4); }
  LV elementAt(LV pointer, LV offset) { return emitAt(k.b, k.real, pointer, offset); }
  LV clear(LV v, LV mask) { return k.b.CreateSelect(mask, k.splat(v), llvm::Constant::getNullValue(k.vector(k.real))); }

  /// A number as coordinates, the last dim fastest.
  void digits(LV x, const Dimlist &list, Point &to) {
    for (size_t i = list.size(); i-- > 0;) {
      LV n = k.extent(list[i]);
      to.set(list[i], {i ? k.b.CreateURem(x, n) : x, 0, nullptr});
      if (i) x = k.b.CreateUDiv(x, n);
    }
  }
  /// The numbers x, x + 1, .. of the lanes as coordinates; masked lanes are somewhere inside.
  void laneDigits(LV x, const Dimlist &list, const Size &total, LV mask, Point &to) {
    to.mask = mask;
    auto last = p.dims.value(list.back().getValue()).constant();
    if (list.size() == 1 || (last && last->num % k.lanes == 0)) {
      digits(x, list, to);
      to.set(list.back(), {to(list.back()).base, 1, nullptr});
      return;
    }
    LV all = k.b.CreateAdd(k.splat(x), k.laneNumbers(k.i64));
    all = k.b.CreateSelect(mask, all, llvm::Constant::getNullValue(all->getType()));
    auto *narrow = k.vector(k.i32);
    LV rest = k.b.CreateTrunc(all, narrow);
    for (size_t i = list.size(); i-- > 0;) {
      LV n = k.splat(k.b.CreateTrunc(k.extent(list[i]), k.i32));
      to.set(list[i], {nullptr, 0, k.b.CreateZExt(i ? k.b.CreateURem(rest, n) : rest, k.vector(k.i64))});
      if (i) rest = k.b.CreateUDiv(rest, n);
    }
  }
  LV start(const Plain &x, const Point &batch) {
    LV at = memory(x.input);
    for (auto [d, s] : llvm::zip(p.d.batch, x.batch)) at = elementAt(at, k.b.CreateMul(batch(d).base, k.size(s)));
    return at;
  }
  LV memory(int input) {
    int buffer = 0;
    for (int i = 0; i < input; ++i) buffer += isa<SubsetType>(p.group.getInputs()[unsigned(i)].getType()) ? 2 : 1;
    return k.buffer(buffer);
  }
  LV startOf(const Memory &m, const Point &batch) {
    LV at = m.pointer;
    for (auto [d, s] : llvm::zip(m.layout.order, m.layout.strides))
      if (batch.has(d)) at = elementAt(at, k.b.CreateMul(batch(d).base, k.size(s)));
    return at;
  }

  /// The product may be written where it belongs if nothing follows it and whole panels fit.
  std::optional<std::pair<Size, Size>> inPlace() {
    int kept = 0;
    for (Operation &op : p.group.block()) kept += GroupOp::kept(&op);
    auto n = p.n.constant();
    if (kept != 1 || !n || n->num % p.shape.columns()) return std::nullopt;
    const Layout &layout = p.at.results[0].layout;
    auto stride = [&](StringAttr x) { return layout.strides[size_t(llvm::find(layout.order, x) - layout.order.begin())]; };
    auto rows = joined(p.dims, p.d.rows, stride), columns = joined(p.dims, p.d.columns, stride);
    if (!rows || !columns || !(*columns == Size(1))) return std::nullopt;
    return std::pair(*rows, *columns);
  }

  void leftSide(TileOperands &t, const Point &batch, LV m0, LV k0, LV packed, int64_t rowA) {
    const int64_t r = p.shape.rows;
    if (p.left) {
      LV outer = k.size(p.left->outer), sum = k.size(p.left->sum);
      LV from = elementAt(start(*p.left, batch), k.b.CreateAdd(k.b.CreateMul(m0, outer), k.b.CreateMul(k0, sum)));
      if (!packed) {
        t.a = from, t.aRow = outer, t.aK = k.number(1), t.aBlock = k.b.CreateMul(outer, k.number(r));
        return;
      }
      PackOperands o;
      o.from = from, o.stride = outer, o.strideK = sum, o.count = t.m, o.steps = t.k, o.to = packed;
      o.panel = k.b.CreateMul(t.k, k.number(r));
      emitPackA(k.b, p.shape, o);
      t.a = packed, t.aRow = k.number(1), t.aK = k.number(r), t.aBlock = o.panel;
      return;
    }
    e.scope([&] { // row by row, lanes along the summed dims
      emitLoop(k.b, k.number(0), t.m, 1, [&](LV i) {
        Point q = batch;
        digits(k.b.CreateAdd(m0, i), p.d.rows, q);
        LV row = elementAt(packed, k.b.CreateMul(i, k.number(rowA)));
        emitLoop(k.b, k.number(0), t.k, k.lanes, [&](LV step) {
          e.scope([&] {
            Point x = q;
            LV mask = emitMask(k.b, k.b.CreateSub(t.k, step), k.lanes);
            laneDigits(k.b.CreateAdd(k0, step), p.d.summed, p.k, mask, x);
            k.b.CreateAlignedStore(clear(e.side(p.c, p.leftOperand, x), mask), elementAt(row, step), align());
          });
        });
      });
    });
    t.a = packed, t.aRow = k.number(rowA), t.aK = k.number(1), t.aBlock = k.number(rowA * r);
  }

  void epilogue(const Point &batch, LV m0, LV n0, LV rows, LV cols, LV tile, int64_t rowC, llvm::ArrayRef<Memory> results) {
    e.scope([&] {
      emitLoop(k.b, k.number(0), rows, 1, [&](LV i) {
        Point row = batch;
        digits(k.b.CreateAdd(m0, i), p.d.rows, row);
        LV from = elementAt(tile, k.b.CreateMul(i, k.number(rowC)));
        auto vectors = [&](LV j, LV mask) {
          e.scope([&] {
            Point q = row;
            laneDigits(k.b.CreateAdd(n0, j), p.d.columns, p.n, mask ? mask : llvm::Constant::getAllOnesValue(k.vector(k.i1)), q);
            q.mask = mask;
            LV x = k.b.CreateAlignedLoad(k.vector(k.real), elementAt(from, j), align());
            e.remember(p.c.getResult(), q, x);
            for (Operation &op : p.group.block()) {
              if (!GroupOp::kept(&op)) continue;
              mlir::Value v = op.getResult(0);
              LV y = e.value(v, q);
              for (auto [r, m] : llvm::zip(p.group.yielded(), results))
                if (r == v) k.store(m, [&](StringAttr d) { return q(d); }, k.splat(y), mask);
            }
          });
        };
        LV whole = k.b.CreateAnd(cols, k.number(-int64_t(k.lanes)));
        emitLoop(k.b, k.number(0), whole, k.lanes, [&](LV j) { vectors(j, nullptr); });
        auto n = p.n.constant();
        if (!n || n->num % k.lanes) emitIf(k.b, k.b.CreateICmpNE(whole, cols), [&] { vectors(whole, emitMask(k.b, k.b.CreateSub(cols, whole), k.lanes)); });
      });
    });
  }
};

} // namespace

EmittedContraction emitContraction(const Target &target, const Dims &dims, bool f64, GroupOp group, const GroupPlacement &placement) {
  Problem p(target, dims, f64, group, placement);
  EmittedContraction out{ContractionEmitter(target, p, f64).pack(), ContractionEmitter(target, p, f64).product(), {}};
  out.packedBytes = p.batch * p.packedElements() * Size(f64 ? 8 : 4);
  return out;
}

FewRows emitFewRows(const Target &target, const Dims &dims, bool f64, GroupOp group, const GroupPlacement &placement) {
  Problem p(target, dims, f64, group, placement);
  if (p.left && p.right && p.right->outer == Size(1)) return {ContractionEmitter(target, p, f64).fewRows(), p.m};
  return {emitRows(target, dims, f64, group, placement), p.m};
}

} // namespace fil
