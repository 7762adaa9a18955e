// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/storages.h"
#include "runtime/base/status.h"
#include <algorithm>
#include <cstring>

namespace fil {
namespace {
[[noreturn]] void broken(const std::string &why) { throw Error(Exit::Internal, "E0702", "a compiled program contradicts itself: " + why); }
} // namespace

Storages::Storages(std::vector<Storage> storages, std::vector<VariableRow> rows, const Binding &bounds)
    : storages_(std::move(storages)), rows_(std::move(rows)), places_(storages_.size()), bytes_(storages_.size(), 0) {
  kept_ = allocate(false, [&](const Size &size, const Storage &s) { return valueOf(size, bounds, s.symbol); });
  for (const Storage &s : storages_) {
    if ((s.kind == Storage::Derived) == s.from.empty()) broken(fmt::format("`{}` is derived of nothing, or no derived storage", s.symbol));
    for (int v : s.from)
      if (v < 0 || size_t(v) >= storages_.size() || storages_[size_t(v)].kind != Storage::Variable) broken(fmt::format("`{}` is derived of no variable", s.symbol));
  }
  for (const VariableRow &r : rows_) {
    const std::string &name = r.info.name;
    if (r.storage < 0 || size_t(r.storage) >= storages_.size() || storages_[size_t(r.storage)].kind != Storage::Variable) broken(fmt::format("variable `{}` has no storage", name));
    const Placed &p = places_[size_t(r.storage)];
    if (r.info.dtype != storages_[size_t(r.storage)].dtype) broken(fmt::format("variable `{}` has another element type than its storage", name));
    if (r.axes.size() != r.info.shape.size() || r.axes.size() + r.turns.size() != p.extents.size()) broken(fmt::format("variable `{}` has other axes than its storage", name));
    std::vector<int> seen(p.extents.size(), 0);
    auto axis = [&](int a) -> int64_t {
      if (a < 0 || size_t(a) >= seen.size() || seen[size_t(a)]++) broken(fmt::format("variable `{}` names axis {} of its storage wrongly", name, a));
      return p.extents[size_t(a)];
    };
    for (auto &[a, turn] : r.turns)
      if (turn < 0 || turn >= axis(a)) broken(fmt::format("variable `{}` lies outside of its storage", name));
    for (size_t d = 0; d < r.axes.size(); ++d)
      if (axis(r.axes[d]) != r.info.shape[d]) broken(fmt::format("variable `{}` has another shape than its storage", name));
  }
}

Pages Storages::allocate(bool caches, const std::function<int64_t(const Size &, const Storage &)> &value) {
  int64_t total = 0;
  std::vector<int64_t> offsets(storages_.size());
  for (size_t i = 0; i < storages_.size(); ++i) {
    const Storage &s = storages_[i];
    if ((s.kind == Storage::Cache) != caches) continue;
    Placed &p = places_[i];
    p.extents.clear();
    for (const Size &e : s.extents) p.extents.push_back(value(e, s));
    auto n = elementCount(p.extents, int64_t(byteSize(s.dtype)));
    if (!n || *n * int64_t(byteSize(s.dtype)) > INT64_MAX / 2 - total)
      throw Error(Exit::Resource, "E0701", fmt::format("no memory for `{}`: {} of {}", s.symbol, shapeText(p.extents), name(s.dtype)));
    bytes_[i] = *n * int64_t(byteSize(s.dtype));
    p.strides.assign(p.extents.size(), int64_t(byteSize(s.dtype)));
    for (size_t d = p.extents.size(); d-- > 1;) p.strides[d - 1] = p.strides[d] * std::max<int64_t>(p.extents[d], 1);
    offsets[i] = total;
    total += (bytes_[i] + 63) & -64;
  }
  Pages pages{size_t(total)};
  for (size_t i = 0; i < storages_.size(); ++i)
    if ((storages_[i].kind == Storage::Cache) == caches) places_[i].data = pages.data() + offsets[i];
  return pages;
}

void Storages::resetCaches(int64_t batch, int64_t capacity, const Binding &bounds) {
  hasCaches_ = false;
  for (size_t i = 0; i < storages_.size(); ++i)
    if (storages_[i].kind == Storage::Cache) places_[i].data = nullptr;
  caches_ = Pages(); // before the new ones: there may be no room for both
  caches_ = allocate(true, [&](const Size &size, const Storage &s) {
    Binding bound = bounds;
    for (const std::string &name : size.symbols()) bound.emplace(name, name.ends_with("#cap") ? capacity : batch);
    return valueOf(size, bound, s.symbol);
  });
  hasCaches_ = true;
}

/// f(byte in the array, pointer into the storage, elements, stride of the storage) for each run along the last declared axis.
template <class F> void Storages::eachRun(size_t row, F f) const {
  const VariableRow &r = rows_[row];
  const Placed &p = places_[size_t(r.storage)];
  const int64_t element = int64_t(byteSize(r.info.dtype));
  std::byte *start = p.data;
  for (auto &[axis, turn] : r.turns) start += turn * p.strides[size_t(axis)];
  const auto &shape = r.info.shape;
  if (shape.empty()) return f(0, start, 1, element);
  if (*elementCount(shape) == 0) return;
  const size_t inner = shape.size() - 1;
  std::vector<int64_t> at(shape.size(), 0);
  for (int64_t done = 0;; done += shape[inner] * element) {
    std::byte *from = start;
    for (size_t d = 0; d < inner; ++d) from += at[d] * p.strides[size_t(r.axes[d])];
    f(done, from, shape[inner], p.strides[size_t(r.axes[inner])]);
    size_t d = inner;
    while (d > 0 && ++at[d - 1] == shape[d - 1]) at[--d] = 0;
    if (d == 0) return;
  }
}

static void moveElements(std::byte *to, int64_t toStride, const std::byte *from, int64_t fromStride, int64_t n, int64_t element) {
  if (toStride == element && fromStride == element) std::memcpy(to, from, size_t(n * element));
  else
    for (int64_t i = 0; i < n; ++i) std::memcpy(to + i * toStride, from + i * fromStride, size_t(element));
}

Array Storages::get(size_t row) const {
  const VariableInfo &info = rows_[row].info;
  const int64_t element = int64_t(byteSize(info.dtype));
  std::byte *fill;
  Array a = Array::make(info.dtype, info.shape, fill);
  eachRun(row, [&](int64_t at, const std::byte *from, int64_t n, int64_t stride) { moveElements(fill + at, element, from, stride, n, element); });
  return a;
}

void Storages::set(size_t row, const Array &value) {
  const VariableInfo &info = rows_[row].info;
  const int64_t element = int64_t(byteSize(info.dtype));
  if (value.dtype != info.dtype || value.shape != info.shape)
    throw Error(Exit::Internal, "E0702", fmt::format("`{}` is {}{}, not {}{}", info.name, name(info.dtype), shapeText(info.shape), name(value.dtype), shapeText(value.shape)));
  eachRun(row, [&](int64_t at, std::byte *to, int64_t n, int64_t stride) { moveElements(to, stride, value.data.get() + at, element, n, element); });
}

} // namespace fil
