// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/formats.h"
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace fil {

std::optional<Format> formatNamed(std::string_view name) {
  for (Format f : {Format::Bf16, Format::F16, Format::E4M3, Format::E5M2, Format::Int8})
    if (name == traits(f).name) return f;
  return std::nullopt;
}

double rounded(Format f, double x) {
  const FormatTraits t = traits(f);
  if (t.whole()) return std::isnan(x) ? 0 : std::clamp(std::nearbyint(x), -t.largest - 1, t.largest) + 0.0;
  if (std::isnan(x)) return x;
  const double a = std::fabs(x);
  if (std::isinf(a)) return t.saturates ? std::copysign(t.largest, x) : x;
  int exponent = 0;
  std::frexp(a, &exponent);                                      // a = m 2^exponent, m in [1/2, 1)
  const int step = std::max(exponent - 1, 1 - t.bias) - t.fractionBits; // neighbours are 2^step apart
  const double r = std::ldexp(std::nearbyint(std::ldexp(a, -step)), step);
  if (r > t.largest) return std::copysign(t.saturates ? t.largest : std::numeric_limits<double>::infinity(), x);
  return std::copysign(r, x);
}

double roundedAtRandom(Format f, double x, double random) {
  const FormatTraits t = traits(f);
  if (t.whole()) return rounded(f, std::floor(x) + (random < x - std::floor(x)));
  const double a = std::fabs(x);
  if (!std::isfinite(a)) return rounded(f, x);
  int exponent = 0;
  std::frexp(a, &exponent);
  const int step = std::max(exponent - 1, 1 - t.bias) - t.fractionBits;
  const double steps = std::ldexp(a, -step), lower = std::floor(steps);
  return rounded(f, std::copysign(std::ldexp(random < steps - lower ? lower + 1 : lower, step), x));
}

uint16_t highPart(float x) { return std::isnan(x) ? 0x7fff : uint16_t((uint64_t(std::bit_cast<uint32_t>(x)) + 0x8000) >> 16); }
int16_t lowPart(float x) { return int16_t(std::bit_cast<uint32_t>(x)); }
float joined(uint16_t high, int16_t low) { return std::bit_cast<float>((uint32_t(high) << 16) + uint32_t(int32_t(low))); }

uint16_t encoded(Format f, double x) {
  const FormatTraits t = traits(f);
  if (t.whole()) return uint16_t(int(x)) & uint16_t((1 << t.bits()) - 1);
  const uint16_t sign = uint16_t(std::signbit(x) << (t.bits() - 1)), full = uint16_t(((1 << t.exponentBits) - 1) << t.fractionBits);
  if (std::isnan(x)) return uint16_t(full | ((1 << t.fractionBits) - 1));
  const double a = std::fabs(x);
  if (std::isinf(a)) return sign | full;
  int exponent = 0;
  std::frexp(a, &exponent);
  const int e = a == 0 ? 0 : std::max(exponent - 1 + t.bias, 0);
  if (e < 1) return uint16_t(sign | uint16_t(std::ldexp(a, t.bias - 1 + t.fractionBits)));
  const int fraction = int(std::ldexp(a, t.fractionBits - (e - t.bias))) - (1 << t.fractionBits);
  return uint16_t(sign | (e << t.fractionBits) | fraction);
}

double decoded(Format f, uint16_t bits) {
  const FormatTraits t = traits(f);
  if (t.whole()) return (bits ^ (1 << (t.bits() - 1))) - (1 << (t.bits() - 1));
  const int fraction = bits & ((1 << t.fractionBits) - 1), e = (bits >> t.fractionBits) & ((1 << t.exponentBits) - 1);
  const double sign = bits >> (t.bits() - 1) & 1 ? -1 : 1;
  if (e == (1 << t.exponentBits) - 1) {
    if (f == Format::E4M3 ? fraction == 7 : fraction != 0) return std::copysign(std::numeric_limits<double>::quiet_NaN(), sign);
    if (f != Format::E4M3) return sign * std::numeric_limits<double>::infinity();
  }
  return sign * (e ? std::ldexp(1 + std::ldexp(fraction, -t.fractionBits), e - t.bias) : std::ldexp(fraction, 1 - t.bias - t.fractionBits));
}

} // namespace fil
