// SPDX-License-Identifier: Apache-2.0
// Element types and shapes.
#include "runtime/data/array.h"
#include "runtime/base/status.h"
#include "runtime/memory/pages.h"
#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace fil {

size_t byteSize(DType t) {
  switch (t) {
  case DType::F64:
  case DType::I64: return 8;
  case DType::F32:
  case DType::I32: return 4;
  case DType::BF16:
  case DType::F16:
  case DType::I16: return 2;
  case DType::I8:
  case DType::U8:
  case DType::E4M3:
  case DType::E5M2:
  case DType::Bool: return 1;
  }
  return 0;
}

std::optional<Format> formatOf(DType t) {
  for (Format f : {Format::Bf16, Format::F16, Format::E4M3, Format::E5M2})
    if (dtypeOf(f) == t) return f;
  return std::nullopt;
}
DType dtypeOf(Format f) {
  switch (f) {
  case Format::Bf16: return DType::BF16;
  case Format::F16: return DType::F16;
  case Format::E4M3: return DType::E4M3;
  case Format::E5M2: return DType::E5M2;
  default: return DType::I8;
  }
}

const char *name(DType t) {
  static const char *const names[] = {"f64", "f32", "bf16", "i64", "i32", "i16", "i8", "u8", "bool", "f16", "e4m3", "e5m2"};
  return names[int(t)];
}

std::optional<int64_t> elementCount(std::span<const int64_t> shape, int64_t unit) {
  int64_t n = 1, largest = unit;
  bool empty = false;
  for (int64_t d : shape) {
    if (d < 0) return std::nullopt;
    if (d == 0) empty = true;
    else if (__builtin_mul_overflow(largest, d, &largest)) return std::nullopt;
    else n *= d;
  }
  return empty ? 0 : n;
}

std::string shapeText(std::span<const int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

bool joinsTo(std::span<const int64_t> have, std::span<const int64_t> want) {
  auto n = elementCount(have);
  if (!n || n != elementCount(want)) return false;
  std::vector<int64_t> left;
  std::copy_if(have.begin(), have.end(), std::back_inserter(left), [](int64_t d) { return d != 1; });
  size_t h = 0;
  for (int64_t w : want) {
    if (w == 1) continue;
    int64_t product = 1;
    do {
      if (h == left.size()) return false;
      product *= left[h++]; // no overflow: a part of a count that fits
    } while (product != w && product != 0 && product < w);
    if (product != w) return false;
  }
  return h == left.size();
}

int64_t Array::elements() const { return *elementCount(shape); }

void put(DType dtype, std::byte *data, int64_t i, double x) {
  switch (dtype) {
  case DType::F64: reinterpret_cast<double *>(data)[i] = x; return;
  case DType::F32: reinterpret_cast<float *>(data)[i] = float(x); return;
  case DType::BF16:
  case DType::F16: reinterpret_cast<uint16_t *>(data)[i] = encoded(*formatOf(dtype), rounded(*formatOf(dtype), x)); return;
  case DType::E4M3:
  case DType::E5M2: reinterpret_cast<uint8_t *>(data)[i] = uint8_t(encoded(*formatOf(dtype), rounded(*formatOf(dtype), x))); return;
  case DType::I64: reinterpret_cast<int64_t *>(data)[i] = int64_t(x); return;
  case DType::I32: reinterpret_cast<int32_t *>(data)[i] = int32_t(x); return;
  case DType::I16: reinterpret_cast<int16_t *>(data)[i] = int16_t(x); return;
  case DType::I8: reinterpret_cast<int8_t *>(data)[i] = int8_t(x); return;
  case DType::U8: reinterpret_cast<uint8_t *>(data)[i] = uint8_t(x); return;
  case DType::Bool: reinterpret_cast<uint8_t *>(data)[i] = x != 0; return;
  }
}
double Array::at(int64_t i) const {
  const std::byte *p = data.get();
  switch (dtype) {
  case DType::F64: return reinterpret_cast<const double *>(p)[i];
  case DType::F32: return reinterpret_cast<const float *>(p)[i];
  case DType::BF16:
  case DType::F16: return decoded(*formatOf(dtype), reinterpret_cast<const uint16_t *>(p)[i]);
  case DType::E4M3:
  case DType::E5M2: return decoded(*formatOf(dtype), reinterpret_cast<const uint8_t *>(p)[i]);
  case DType::I64: return double(reinterpret_cast<const int64_t *>(p)[i]);
  case DType::I32: return reinterpret_cast<const int32_t *>(p)[i];
  case DType::I16: return reinterpret_cast<const int16_t *>(p)[i];
  case DType::I8: return reinterpret_cast<const int8_t *>(p)[i];
  case DType::U8: return reinterpret_cast<const uint8_t *>(p)[i];
  case DType::Bool: return reinterpret_cast<const uint8_t *>(p)[i] != 0;
  }
  return 0;
}

Array Array::make(DType dtype, std::vector<int64_t> shape, std::byte *&fill) {
  auto n = elementCount(shape, int64_t(byteSize(dtype)));
  constexpr size_t line = 64, large = size_t(2) << 20; // from there on page faults and TLB misses count
  const size_t bytes = n ? size_t(*n) * byteSize(dtype) : 0;
  std::shared_ptr<std::byte> data;
  if (n && bytes >= large) {
    auto pages = std::make_shared<Pages>(bytes);
    data = {pages, pages->data()};
  } else if (n) {
    const size_t whole = std::max((bytes + line - 1) / line * line, line);
    data = {static_cast<std::byte *>(std::aligned_alloc(line, whole)), [](std::byte *p) { std::free(p); }};
    if (data) std::memset(data.get(), 0, whole);
  }
  if (!data)
    throw Error(Exit::Resource, "E0701",
                fmt::format("no memory for an array {} of {}", shapeText(shape), name(dtype)));
  fill = data.get();
  return {dtype, std::move(shape), std::move(data)};
}

} // namespace fil
