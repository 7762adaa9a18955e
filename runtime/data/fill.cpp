// SPDX-License-Identifier: Apache-2.0
// Conversion of elements, one loop for each pair of types.
#include "runtime/data/fill.h"
#include "runtime/base/status.h"
#include <cmath>
#include <cstring>

namespace fil {
namespace {

template <Format f> struct Narrow {
  std::conditional_t<bytesOf(f) == 2, uint16_t, uint8_t> bits;
  operator double() const { return decoded(f, bits); }
};
struct Truth {
  uint8_t bits;
  operator double() const { return bits != 0; }
};

[[noreturn]] void misfit(const InputSpec &spec, const NamedArray &from, int64_t element, double value,
                         const std::string &why) {
  int64_t perSample = 1;
  for (size_t k = 1; k < from.array.shape.size(); ++k) perSample *= from.array.shape[k];
  std::string place = fmt::format("sample {}", element / perSample);
  if (perSample > 1) place += fmt::format(", element {}", element % perSample);
  throw Error(Exit::Input, "E0515", fmt::format("input `{}`, {}: {} {}", spec.name, place, value, why));
}

template <class From, class To>
void convert(const InputSpec &spec, const NamedArray &from, int64_t begin, int64_t count, To *to) {
  auto *p = reinterpret_cast<const From *>(from.array.data.get()) + begin;
  if constexpr (std::is_floating_point_v<To>) {
    for (int64_t i = 0; i < count; ++i) to[i] = To(double(p[i]) * from.scale);
    return;
  }
  constexpr double top = std::is_same_v<To, int64_t> ? 0x1p63 : 0x1p31;
  for (int64_t i = 0; i < count; ++i) {
    double v = double(p[i]) * from.scale;
    if (spec.dtype == DType::Bool) {
      if (v != 0 && v != 1) misfit(spec, from, begin + i, v, "is no truth value (0 or 1)");
    } else if (spec.indexBound) {
      if (!(v >= 0 && v < double(*spec.indexBound)))
        misfit(spec, from, begin + i, v, fmt::format("is no index of a dim of size {}", *spec.indexBound));
    }
    if (v != std::trunc(v) || !(v >= -top && v < top)) misfit(spec, from, begin + i, v, "is no whole number that fits");
    to[i] = std::is_integral_v<From> && from.scale == 1 && sizeof(From) <= sizeof(To) ? To(p[i]) : To(v);
  }
}

template <class To>
void convertTo(const InputSpec &spec, const NamedArray &from, int64_t begin, int64_t count, std::byte *out) {
  To *to = reinterpret_cast<To *>(out);
  switch (from.array.dtype) {
  case DType::F64: return convert<double>(spec, from, begin, count, to);
  case DType::F32: return convert<float>(spec, from, begin, count, to);
  case DType::BF16: return convert<Narrow<Format::Bf16>>(spec, from, begin, count, to);
  case DType::F16: return convert<Narrow<Format::F16>>(spec, from, begin, count, to);
  case DType::E4M3: return convert<Narrow<Format::E4M3>>(spec, from, begin, count, to);
  case DType::E5M2: return convert<Narrow<Format::E5M2>>(spec, from, begin, count, to);
  case DType::I64: return convert<int64_t>(spec, from, begin, count, to);
  case DType::I32: return convert<int32_t>(spec, from, begin, count, to);
  case DType::I16: return convert<int16_t>(spec, from, begin, count, to);
  case DType::I8: return convert<int8_t>(spec, from, begin, count, to);
  case DType::U8: return convert<uint8_t>(spec, from, begin, count, to);
  case DType::Bool: return convert<Truth>(spec, from, begin, count, to);
  }
}

} // namespace

void shapeField(Batch::Field &field, const InputSpec &spec, std::optional<int64_t> rows) {
  field.name = spec.name, field.dtype = spec.dtype;
  field.shape.assign(rows ? 1 : 0, rows.value_or(0));
  field.shape.insert(field.shape.end(), spec.sample.begin(), spec.sample.end());
  field.bytes.resize(size_t(*elementCount(field.shape)) * byteSize(spec.dtype));
}

void fillElements(const InputSpec &spec, const NamedArray &from, int64_t begin, int64_t count, std::byte *to) {
  switch (spec.dtype) {
  case DType::F32: return convertTo<float>(spec, from, begin, count, to);
  case DType::F64: return convertTo<double>(spec, from, begin, count, to);
  case DType::I32: return convertTo<int32_t>(spec, from, begin, count, to);
  case DType::I64: return convertTo<int64_t>(spec, from, begin, count, to);
  case DType::Bool: return convertTo<uint8_t>(spec, from, begin, count, to);
  default:
    throw Error(Exit::Internal, "E0702", fmt::format("no input has elements of {}", name(spec.dtype)));
  }
}

} // namespace fil
