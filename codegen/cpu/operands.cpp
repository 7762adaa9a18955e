// SPDX-License-Identifier: Apache-2.0
#include "codegen/cpu/operands.h"

namespace fil {
using namespace ir;
using mlir::dyn_cast, mlir::isa;
using mlir::StringAttr;
using LV = llvm::Value *;

Size extents(const Dims &dims, llvm::ArrayRef<StringAttr> list) {
  Size n(1);
  for (StringAttr d : list) n = n * dims.value(d.getValue());
  return n;
}
Dimlist inOrder(llvm::ArrayRef<StringAttr> list, llvm::ArrayRef<StringAttr> like) {
  Dimlist sorted;
  for (StringAttr d : like)
    if (llvm::is_contained(list, d)) sorted.push_back(d);
  for (StringAttr d : list)
    if (!llvm::is_contained(sorted, d)) sorted.push_back(d);
  return sorted;
}
std::optional<Size> joined(const Dims &dims, llvm::ArrayRef<StringAttr> list, llvm::function_ref<Size(StringAttr)> stride) {
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

std::optional<Plain> plainOf(const Dims &dims, mlir::Value v, llvm::function_ref<const Layout *(mlir::Value)> layout, llvm::ArrayRef<StringAttr> outer, llvm::ArrayRef<StringAttr> summed,
                             llvm::ArrayRef<StringAttr> batch) {
  llvm::SmallVector<std::pair<StringAttr, StringAttr>> names; // as the contraction calls a dim, as the memory does
  for (StringAttr x : llvm::cast<TensorType>(v.getType()).getDims()) names.push_back({x, x});
  auto renamed = [&](StringAttr to, StringAttr from) {
    for (auto &[outside, inside] : names)
      if (inside == to) inside = from;
  };
  const Layout *memory;
  while (!(memory = layout(v))) {
    auto *op = v.getDefiningOp();
    if (!op) return std::nullopt;
    if (auto r = dyn_cast<RenameOp>(op)) renamed(r.getToAttr(), r.getFromAttr());
    else if (auto h = dyn_cast<CacheOp>(op); h && !h.getPast()) renamed(h.getToAttr(), h.getFromAttr());
    else if (auto m = dyn_cast<MaskOp>(op); m && m.getZeros()) {}
    else if (auto q = dyn_cast<DequantizeOp>(op); !isa<StopGradOp>(op) && (!q || q.getScale())) return std::nullopt;
    v = op->getOperand(0);
  }
  auto stride = [&](StringAttr x) {
    for (auto &[outside, inside] : names)
      if (outside == x)
        if (auto *at = llvm::find(memory->order, inside); at != memory->order.end()) return memory->strides[size_t(at - memory->order.begin())];
    return Size();
  };
  auto o = joined(dims, outer, stride), s = joined(dims, summed, stride);
  if (!o || !s) return std::nullopt;
  Plain p{v, *o, *s, {}};
  for (StringAttr x : batch) p.batch.push_back(stride(x));
  return p;
}

void digits(KernelBuilder &k, LV x, llvm::ArrayRef<StringAttr> list, Point &to) {
  for (size_t i = list.size(); i-- > 0;) {
    LV n = k.extent(list[i]);
    to.set(list[i], {i ? k.b.CreateURem(x, n) : x, 0, nullptr});
    if (i) x = k.b.CreateUDiv(x, n);
  }
}
void laneDigits(KernelBuilder &k, LV x, bool aligned, llvm::ArrayRef<StringAttr> list, LV mask, Point &to) {
  to.mask = mask;
  if (aligned) to.together = std::max<int64_t>(to.together, k.lanes);
  auto last = k.dims.value(list.back().getValue()).constant();
  if (list.size() == 1 || (aligned && last && last->num % k.lanes == 0)) {
    digits(k, x, list, to);
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
void emitAlong(Evaluator &e, const Point &at, llvm::ArrayRef<StringAttr> list, LV first, bool aligned, LV count, int64_t width, LV to, llvm::function_ref<LV(const Point &)> value) {
  KernelBuilder &k = e.k;
  for (int64_t offset = 0; offset < width; offset += k.lanes) e.scope([&] {
    Point p = at;
    LV mask = emitMask(k.b, k.b.CreateSub(count, k.number(offset)), k.lanes);
    laneDigits(k, k.b.CreateAdd(first, k.number(offset)), aligned, list, mask, p);
    LV x = k.b.CreateSelect(mask, k.splat(value(p)), llvm::Constant::getNullValue(k.vector(k.real)));
    k.b.CreateAlignedStore(x, emitAt(k.b, k.real, to, k.number(offset)), llvm::Align(k.f64 ? 8 : 4));
  });
}

void emitEpilogue(Evaluator &e, ContractOp c, llvm::ArrayRef<Memory> results, const Point &row, llvm::ArrayRef<StringAttr> columns, LV first, bool aligned, LV count, bool whole, LV sums) {
  KernelBuilder &k = e.k;
  auto vectors = [&](LV j, LV mask) {
    e.scope([&] {
      Point q = row;
      laneDigits(k, k.b.CreateAdd(first, j), aligned, columns, mask ? mask : llvm::Constant::getAllOnesValue(k.vector(k.i1)), q);
      q.mask = mask;
      e.remember(c.getResult(), q, sums ? LV(k.b.CreateAlignedLoad(k.vector(k.real), emitAt(k.b, k.real, sums, j), llvm::Align(k.f64 ? 8 : 4))) : llvm::Constant::getNullValue(k.vector(k.real)));
      for (mlir::Operation &op : e.group.block()) {
        if (!GroupOp::kept(&op)) continue;
        mlir::Value v = op.getResult(0);
        LV y = e.value(v, q);
        for (auto [r, m] : llvm::zip(e.group.yielded(), results))
          if (r == v) k.store(m, [&](StringAttr d) { return q(d); }, k.splat(y), mask);
      }
    });
  };
  LV rest = k.b.CreateAnd(count, k.number(-int64_t(k.lanes)));
  emitLoop(k.b, k.number(0), rest, k.lanes, [&](LV j) { vectors(j, nullptr); });
  if (!whole) emitIf(k.b, k.b.CreateICmpNE(rest, count), [&] { vectors(rest, emitMask(k.b, k.b.CreateSub(count, rest), k.lanes)); });
}

} // namespace fil
