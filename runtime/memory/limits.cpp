// SPDX-License-Identifier: Apache-2.0
#include "runtime/memory/limits.h"
#include "runtime/base/thread_pool.h"
#include <atomic>
#include <cstring>

namespace fil {

namespace {

constexpr int chains = 12; // two units, four or five cycles; 16 registers are enough

#define FIL_MULTIPLY_ADDS(NAME, LANES, FEATURES)                                        \
  __attribute__((target(FEATURES))) float NAME(int64_t turns) {                         \
    using Vector = float __attribute__((ext_vector_type(LANES)));                       \
    Vector sums[chains] = {}, x = 0.5f + float(turns & 1), y = x * 0.25f;               \
    for (int64_t i = 0; i < turns; ++i)                                                 \
      _Pragma("unroll") for (Vector &s : sums) s = __builtin_elementwise_fma(s, x, y);  \
    float sum = 0;                                                                      \
    for (Vector &s : sums) sum += s[0];                                                 \
    return sum;                                                                         \
  }
FIL_MULTIPLY_ADDS(multiplyAdds8, 8, "avx2,fma")
FIL_MULTIPLY_ADDS(multiplyAdds16, 16, "avx512f")

using Line = uint64_t __attribute__((ext_vector_type(8)));
constexpr int64_t chunk = 1 << 18;
template <class F> void eachChunk(int64_t bytes, F &&f) {
  parallelFor((bytes + chunk - 1) / chunk, [&](int64_t i) { f(i * chunk, std::min(chunk, bytes - i * chunk)); });
}
} // namespace

double multiplyAdds(int lanes, int64_t turns) {
  volatile float keep = (lanes == 8 ? multiplyAdds8 : multiplyAdds16)(turns);
  (void)keep;
  return 2.0 * chains * lanes * double(turns);
}

MemoryTraffic::MemoryTraffic(int64_t bytes) : pages(size_t(bytes + 127) / 128 * 128) { std::memset(pages.data(), 1, pages.bytes()); }

void MemoryTraffic::read() {
  std::atomic<uint64_t> all = 0;
  eachChunk(int64_t(pages.bytes()), [&](int64_t from, int64_t n) {
    const Line *lines = reinterpret_cast<const Line *>(pages.data() + from);
    Line sums[2] = {};
    for (int64_t i = 0; i + 1 < n / 64; i += 2) {
      __builtin_prefetch(lines + i + 64), __builtin_prefetch(lines + i + 65);
      sums[0] += lines[i], sums[1] += lines[i + 1];
    }
    all += (sums[0] + sums[1])[0];
  });
  sum += all;
}
void MemoryTraffic::copy() {
  const int64_t half = int64_t(pages.bytes()) / 2;
  eachChunk(half, [&](int64_t from, int64_t n) { std::memcpy(pages.data() + half + from, pages.data() + from, size_t(n)); });
}
void MemoryTraffic::stream() {
  const int64_t half = int64_t(pages.bytes()) / 2;
  eachChunk(half, [&](int64_t from, int64_t n) {
    const Line *in = reinterpret_cast<const Line *>(pages.data() + from);
    Line *out = reinterpret_cast<Line *>(pages.data() + half + from);
    for (int64_t i = 0; i < n / 64; ++i) __builtin_nontemporal_store(in[i], out + i);
  });
}

} // namespace fil
