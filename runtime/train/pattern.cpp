// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/pattern.h"
#include "runtime/train/whole.h"
#include <algorithm>
#include <bit>
#include <cmath>
#include <fmt/format.h>
#include <functional>
#include <numeric>

namespace fil {

static int64_t product(std::span<const int64_t> shape) { return std::accumulate(shape.begin(), shape.end(), int64_t(1), std::multiplies<>()); }

namespace {
/// How a map lies: `before` times [slots, inner] or [outer, slots] times `after`, its neighbours of the right side in granules of `columns`.
struct Shape {
  Shape(const VariableInfo &map, std::span<const int64_t> pattern) : group(map.thinned->group), columns(map.thinned->columns) {
    const size_t axis = size_t(map.thinned->axis);
    const std::vector<int64_t> all = numbersShape(map);
    const std::span<const int64_t> s(all);
    before = product(s.first(axis)), after = product(s.subspan(axis + 2));
    slots = s[axis + (group ? 1 : 0)], outer = pattern[axis], inner = group ? group : s[axis + 1];
  }
  int64_t group, columns, before, after, slots, outer, inner;

  int64_t dense(int64_t b, int64_t o, int64_t i, int64_t a) const { return ((b * outer + o) * inner + i) * after + a; }
  int64_t value(int64_t b, int64_t x, int64_t y, int64_t a) const { return ((b * (group ? outer : slots) + x) * (group ? slots : inner) + y) * after + a; }
};
double magnitude(double x) { return std::isnan(x) ? HUGE_VAL : std::fabs(x); }
/// The positions of the `n` largest, ascending; of equals the first.
std::vector<int64_t> largest(const std::vector<double> &x, int64_t n) {
  std::vector<int64_t> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + n, order.end(), [&](int64_t a, int64_t b) { return x[size_t(a)] != x[size_t(b)] ? x[size_t(a)] > x[size_t(b)] : a < b; });
  std::sort(order.begin(), order.begin() + n);
  order.resize(size_t(n));
  return order;
}
} // namespace

std::vector<std::string> patternOf(const VariableInfo &map) {
  if (map.thinned->group) return {map.name + ".pattern"};
  return {map.name + ".slots", map.name + ".places"};
}

std::vector<int64_t> denseShape(const VariableInfo &map, const VariableInfo &pattern) {
  const Shape s(map, pattern.shape);
  std::vector<int64_t> shape = numbersShape(map);
  const auto at = shape.begin() + map.thinned->axis;
  *at = s.outer * s.inner;
  shape.erase(at + 1);
  return shape;
}

std::vector<Array> compressed(const Array &dense, const VariableInfo &map, const VariableInfo &pattern) {
  const Shape s(map, pattern.shape);
  std::byte *to;
  std::vector<Array> made{Array::make(dense.dtype, numbersShape(map), to)};
  const size_t size = byteSize(dense.dtype);
  auto copy = [&](int64_t value, int64_t from) { std::copy_n(dense.data.get() + size_t(from) * size, size, to + size_t(value) * size); };
  if (s.group) {
    std::vector<int8_t> bits(size_t(s.before * s.outer * s.after));
    std::vector<double> x(size_t(s.inner));
    for (int64_t b = 0; b < s.before; ++b)
      for (int64_t o = 0; o < s.outer; ++o)
        for (int64_t a = 0; a < s.after; ++a) {
          for (int64_t i = 0; i < s.inner; ++i) x[size_t(i)] = magnitude(dense.at(s.dense(b, o, i, a)));
          uint8_t &byte = reinterpret_cast<uint8_t &>(bits[size_t((b * s.outer + o) * s.after + a)]);
          int64_t slot = 0;
          for (int64_t i : largest(x, s.slots)) byte |= uint8_t(1u << i), copy(s.value(b, o, slot++, a), s.dense(b, o, i, a));
        }
    made.push_back(Array::of<int8_t>(DType::I8, pattern.shape, bits));
    return made;
  }
  const int64_t parts = s.after / s.columns;
  std::vector<int64_t> placesShape(pattern.shape);
  placesShape[size_t(map.thinned->axis)] = s.slots;
  std::vector<int32_t> slots(size_t(s.before * s.outer * parts), -1), places(size_t(s.before * s.slots * parts));
  std::vector<double> x(size_t(s.outer));
  for (int64_t b = 0; b < s.before; ++b)
    for (int64_t part = 0; part < parts; ++part) {
      for (int64_t o = 0; o < s.outer; ++o) {
        x[size_t(o)] = 0;
        for (int64_t i = 0; i < s.inner; ++i)
          for (int64_t a = 0; a < s.columns; ++a) x[size_t(o)] += magnitude(dense.at(s.dense(b, o, i, part * s.columns + a)));
      }
      int64_t slot = 0;
      for (int64_t o : largest(x, s.slots)) {
        slots[size_t((b * s.outer + o) * parts + part)] = int32_t(slot), places[size_t((b * s.slots + slot) * parts + part)] = int32_t(o);
        for (int64_t i = 0; i < s.inner; ++i)
          for (int64_t a = 0; a < s.columns; ++a) copy(s.value(b, slot, i, part * s.columns + a), s.dense(b, o, i, part * s.columns + a));
        ++slot;
      }
    }
  made.push_back(Array::of<int32_t>(DType::I32, pattern.shape, slots)), made.push_back(Array::of<int32_t>(DType::I32, placesShape, places));
  return made;
}

Array expanded(const Array &values, const Array &pattern, const VariableInfo &map, const VariableInfo &of) {
  const Shape s(map, of.shape);
  std::byte *to;
  Array dense = Array::make(values.dtype, denseShape(map, of), to);
  const size_t size = byteSize(values.dtype);
  for (int64_t b = 0; b < s.before; ++b)
    for (int64_t o = 0; o < s.outer; ++o)
      for (int64_t a = 0; a < s.after; ++a) {
        const int64_t code = int64_t(pattern.at((b * s.outer + o) * (s.after / s.columns) + a / s.columns));
        for (int64_t i = 0; i < s.inner; ++i) {
          if (s.group ? !(code >> i & 1) : code < 0) continue;
          const int64_t from = s.group ? s.value(b, o, std::popcount(uint64_t(code) & ((uint64_t(1) << i) - 1)), a) : s.value(b, code, i, a);
          std::copy_n(values.data.get() + size_t(from) * size, size, to + size_t(s.dense(b, o, i, a)) * size);
        }
      }
  return dense;
}

std::string flawOf(const std::vector<Array> &pattern, const VariableInfo &map) {
  const Shape s(map, pattern[0].shape);
  if (s.group) {
    for (int64_t i = 0; i < pattern[0].elements(); ++i)
      if (const auto bits = uint8_t(int64_t(pattern[0].at(i))); std::popcount(bits) != s.slots || bits >> s.group) return fmt::format("a group of {} has {} weights in `{}`, and the plan keeps {}", s.group, std::popcount(bits), patternOf(map)[0], s.slots);
    return {};
  }
  const int64_t parts = s.after / s.columns;
  int64_t there = 0;
  for (int64_t i = 0; i < pattern[0].elements(); ++i) there += pattern[0].at(i) >= 0;
  for (int64_t b = 0; b < s.before; ++b)
    for (int64_t slot = 0; slot < s.slots; ++slot)
      for (int64_t part = 0; part < parts; ++part) {
        const auto place = int64_t(pattern[1].at((b * s.slots + slot) * parts + part));
        if (place < 0 || place >= s.outer || int64_t(pattern[0].at((b * s.outer + place) * parts + part)) != slot) return fmt::format("`{}` and `{}` contradict each other", patternOf(map)[0], patternOf(map)[1]);
      }
  return there == pattern[1].elements() ? "" : fmt::format("`{}` has {} granules, and the plan keeps {}", patternOf(map)[0], there, pattern[1].elements());
}

} // namespace fil
