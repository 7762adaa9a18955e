// SPDX-License-Identifier: Apache-2.0
// An array as files hold it: element type, shape, elements in row-major order and the machine's byte order. The bytes may
// be a part of a mapped file.
#pragma once
#include "runtime/base/files.h"
#include "runtime/base/formats.h"
#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace fil {

enum class DType : uint8_t { F64, F32, BF16, I64, I32, I16, I8, U8, Bool, F16, E4M3, E5M2 };
size_t byteSize(DType);
std::optional<Format> formatOf(DType); ///< of reals narrower than f32
DType dtypeOf(Format);
const char *name(DType); ///< `f32`

/// Number of elements; none if a size is negative or the product, times `unit`, does not fit 63 bits.
std::optional<int64_t> elementCount(std::span<const int64_t> shape, int64_t unit = 1);
std::string shapeText(std::span<const int64_t> shape); ///< `[60000, 28, 28]`

/// Whether an array of shape `have` is one of shape `want`: neighbouring axes may be joined (28, 28 is 784), axes of size 1
/// may be missing or too many. The elements stay where they are.
bool joinsTo(std::span<const int64_t> have, std::span<const int64_t> want);

struct Array {
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
  std::shared_ptr<const std::byte> data; ///< aligned to the element

  int64_t elements() const;
  size_t bytes() const { return size_t(elements()) * byteSize(dtype); }
  template <class T> std::span<const T> as() const {
    return {reinterpret_cast<const T *>(data.get()), size_t(elements())};
  }
  /// An element as a number; exact for all types but I64 beyond 2^53.
  double at(int64_t element) const;

  /// New memory, all zero, aligned to 64 bytes, on huge pages if it is large; `fill` is where to write it.
  static Array make(DType, std::vector<int64_t> shape, std::byte *&fill);
  template <class T> static Array of(DType dtype, std::vector<int64_t> shape, const std::vector<T> &v) {
    std::byte *p;
    Array a = make(dtype, std::move(shape), p);
    std::copy_n(reinterpret_cast<const std::byte *>(v.data()), a.bytes(), p);
    return a;
  }
};

/// Element i of such data becomes x: narrow numbers are rounded to the nearest, whole ones cut. What Array::at reads.
void put(DType, std::byte *data, int64_t i, double x);

} // namespace fil
