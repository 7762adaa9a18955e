// SPDX-License-Identifier: Apache-2.0
// Number formats that are narrower than f32: what a number becomes in them, and its bits. Generated code does the same with vectors
// (codegen/cpu/formats.cpp), and a test compares the two.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace fil {

enum class Format : uint8_t { Bf16, F16, E4M3, E5M2, Int8 };

/// One sign bit, then the exponent, then the fraction, whose leading 1 is not written; exponent 0: subnormal numbers, as in IEEE 754. Without exponent bits:
/// whole numbers, in two's complement.
struct FormatTraits {
  const char *name;
  int exponentBits, fractionBits, bias;
  double largest;
  bool saturates;           ///< what is larger becomes the largest number, else infinity. e4m3 has no infinity (Micikevicius et al. 2022)
  constexpr int bits() const { return 1 + exponentBits + fractionBits; }
  constexpr bool whole() const { return exponentBits == 0; }
};
constexpr FormatTraits traits(Format f) {
  switch (f) {
  case Format::Bf16: return {"bf16", 8, 7, 127, 0x1.fep127, false};
  case Format::F16: return {"f16", 5, 10, 15, 65504, false};
  case Format::E4M3: return {"e4m3", 4, 3, 7, 448, true};
  case Format::E5M2: return {"e5m2", 5, 2, 15, 57344, true};
  default: return {"int8", 0, 7, 0, 127, true};
  }
}
constexpr int bytesOf(Format f) { return traits(f).bits() / 8; }
std::optional<Format> formatNamed(std::string_view name);

/// The nearest number of the format, of two the even one. NaN stays NaN; of whole numbers it is 0, and the least is one below minus the largest.
double rounded(Format, double);
/// The same, but |x| goes up where `random`, in (0, 1), is below its distance from the lower neighbour in steps.
double roundedAtRandom(Format, double x, double random);
/// The parts of an f32, and the f32 of them: see fil.part.
int16_t lowPart(float);
uint16_t highPart(float);
float joined(uint16_t high, int16_t low);
/// Of a number of the format. NaN has one form: all bits but the sign, which is the only one that e4m3 has.
uint16_t encoded(Format, double);
double decoded(Format, uint16_t bits);

} // namespace fil
