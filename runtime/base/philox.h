// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): random numbers as a pure function
// of (key, counter), so that tile, thread, shard and recomputation never change a value. Generated code must do the same
// arithmetic, which is therefore written down here step by step, with nothing but + - * / sqrt and integer operations.
//
// The numbers of a site: key = seed xor fnv1a64(path of the site), counter = (step, index of the element in the
// canonical order of dims), one block of four words for each element.
#pragma once
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace fil {

/// FNV-1a, 64 bits: stable over machines and releases.
constexpr uint64_t fnv1a64(std::string_view text) {
  uint64_t h = 0xcbf29ce484222325ull;
  for (char c : text) h = (h ^ uint8_t(c)) * 0x100000001b3ull;
  return h;
}

using PhiloxBlock = std::array<uint32_t, 4>;

/// The raw generator: ten rounds of counter c under key (k0, k1).
constexpr PhiloxBlock philox4x32(PhiloxBlock c, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = uint64_t(0xD2511F53u) * c[0], p1 = uint64_t(0xCD9E8D57u) * c[2];
    c = {uint32_t(p1 >> 32) ^ c[1] ^ k0, uint32_t(p1), uint32_t(p0 >> 32) ^ c[3] ^ k1,
         uint32_t(p0)};
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  return c;
}

/// Counter words: element low, element high, step low, step high. Key words: low, high.
constexpr PhiloxBlock philox(uint64_t key, uint64_t step, uint64_t element) {
  return philox4x32({uint32_t(element), uint32_t(element >> 32), uint32_t(step),
                     uint32_t(step >> 32)},
                    uint32_t(key), uint32_t(key >> 32));
}
constexpr uint64_t streamKey(uint64_t seed, std::string_view site) { return seed ^ fnv1a64(site); }

/// In (0,1), exact: (the upper 52 of the 64 bits high:low + 1/2) / 2^52.
constexpr double unitDouble(uint32_t high, uint32_t low) {
  uint64_t bits = uint64_t(high) << 32 | low;
  return (double(bits >> 12) + 0.5) * 0x1p-52;
}
/// In (0,1), exact: (the upper 23 bits + 1/2) / 2^23. Of the same word `high` it is within 2^-23 of unitDouble, so that f32
/// and f64 draw nearly the same numbers.
constexpr float unitFloat(uint32_t high) { return (float(high >> 9) + 0.5f) * 0x1p-23f; }

constexpr double uniformDouble(const PhiloxBlock &b) { return unitDouble(b[1], b[0]); }
constexpr float uniformFloat(const PhiloxBlock &b) { return unitFloat(b[1]); }

/// Whole numbers 0..n-1 (n > 0): the high half of the 128-bit product; its bias is below n/2^64.
constexpr uint64_t uniformBelow(const PhiloxBlock &b, uint64_t n) {
  uint64_t x = uint64_t(b[1]) << 32 | b[0];
  return uint64_t(((unsigned __int128)x * n) >> 64);
}

/// log(u) for normal u > 0, error below 2^-50 relative. u = m * 2^e with m in [sqrt(1/2), sqrt(2)), found on the bits; with
/// s = (m-1)/(m+1), z = s*s: log m = 2s (1 + z/3 + z^2/5 + .. + z^10/21) by Horner from the last term; result
/// e*ln2 + log m.
inline double exactLog(double u) {
  int64_t bits = std::bit_cast<int64_t>(u);
  int64_t e = (bits - 0x3fe6a09e667f3bcd) >> 52; // bits of sqrt(1/2)
  double m = std::bit_cast<double>(bits - (e << 52));
  double s = (m - 1.0) / (m + 1.0), z = s * s;
  double p = 1.0 / 21;
  for (int k = 19; k >= 1; k -= 2) p = p * z + 1.0 / k;
  return double(e) * 0x1.62e42fefa39efp-1 + 2.0 * s * p;
}

/// cos(2*pi*u) for 0 <= u <= 1, error below 2^-51 absolute. q = 4u, k = floor(q + 1/2), r = q - k (exact), t = r*pi/2;
/// by k mod 4: C(t), -S(t), -C(t), S(t), where C = 1 - t^2/2! + .. + t^16/16!, S = t (1 - t^2/3! + .. + t^16/17!) by Horner
/// in t^2.
inline double exactCosTurn(double u) {
  double q = 4.0 * u, k = std::floor(q + 0.5), t = (q - k) * 0x1.921fb54442d18p+0, z = t * t;
  int quarter = int(k) & 3;
  bool sine = quarter & 1;
  double p = 1.0;
  for (int n = 16; n >= 2; n -= 2) p = 1.0 - p * z / double(sine ? n * (n + 1) : n * (n - 1));
  if (sine) p *= t;
  return quarter == 1 || quarter == 2 ? -p : p;
}

/// Mean 0, deviation 1, by Box and Muller: sqrt(-2 log u1) cos(2 pi u2), u1 from words 1:0, u2 from words 3:2. A normal
/// number in f32 is this value rounded.
inline double normalDouble(const PhiloxBlock &b) {
  double u1 = unitDouble(b[1], b[0]), u2 = unitDouble(b[3], b[2]);
  return std::sqrt(-2.0 * exactLog(u1)) * exactCosTurn(u2);
}

} // namespace fil
