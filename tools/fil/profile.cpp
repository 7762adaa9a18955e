// SPDX-License-Identifier: Apache-2.0
#include "tools/fil/profile.h"
#include "codegen/cpu/machine.h"
#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"
#include "runtime/memory/pages.h"
#include <algorithm>
#include <cstring>
#include <immintrin.h>
#include <nlohmann/json.hpp>

namespace fil {
namespace {

constexpr int chains = 12; ///< two units, four or five cycles
constexpr int64_t rounds = 1 << 18;

__attribute__((target("avx2,fma"))) float multiplyAdd256() {
  __m256 x[chains], a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
  for (int c = 0; c < chains; ++c) x[c] = _mm256_set1_ps(float(c));
  for (int64_t i = 0; i < rounds; ++i)
    for (auto &v : x) v = _mm256_fmadd_ps(v, a, b);
  for (int c = 1; c < chains; ++c) x[0] = _mm256_add_ps(x[0], x[c]);
  return _mm256_cvtss_f32(x[0]);
}
__attribute__((target("avx512f"))) float multiplyAdd512() {
  __m512 x[chains], a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
  for (int c = 0; c < chains; ++c) x[c] = _mm512_set1_ps(float(c));
  for (int64_t i = 0; i < rounds; ++i)
    for (auto &v : x) v = _mm512_fmadd_ps(v, a, b);
  for (int c = 1; c < chains; ++c) x[0] = _mm512_add_ps(x[0], x[c]);
  return _mm512_cvtss_f32(x[0]);
}

/// The shortest of some runs.
template <class F> double least(int runs, F f) {
  double best = 1e9;
  for (int i = 0; i < runs; ++i) {
    const double start = systemClock().seconds();
    f();
    best = std::min(best, systemClock().seconds() - start);
  }
  return best;
}

/// A result that nobody wants, so that it is computed.
template <class T> void keep(T x) { asm volatile("" : : "g"(x) : "memory"); }

std::string share(const LaunchTime &t, const Limits &l) {
  const double least = l.seconds(t.flops, t.bytes);
  return least > 0 && t.seconds > 0 ? fmt::format("{:.0f}% {}", 100 * least / t.seconds, t.flops / l.flops > t.bytes / l.bytes ? "flops" : "bytes") : "";
}

} // namespace

std::string Limits::str() const { return fmt::format("{:.1f} GFLOP/s ({}, {}), {:.1f} GB/s, {} thread{}", flops / 1e9, format, target, bytes / 1e9, threads, threads == 1 ? "" : "s"); }

Limits probe(const std::string &target, const std::string &format) {
  ThreadPool &pool = processPool();
  Limits l{0, 0, pool.threads(), format, target};
  const bool wide = target == "x86-64-v4";
  const int64_t parts = pool.threads();
  const double seconds = least(8, [&] { pool.run(parts, 1, [&](int64_t, int64_t, int) { keep(wide ? multiplyAdd512() : multiplyAdd256()); }); });
  l.flops = double(parts * rounds * chains * 2 * (wide ? 16 : 8)) / seconds / (format == "f64" ? 2 : 1);

  const int64_t bytes = std::clamp<int64_t>(4 * findCaches().l3, 128 << 20, 512 << 20), piece = 1 << 20, pieces = bytes / piece;
  Pages memory(static_cast<size_t>(bytes));
  pool.run(pieces, 1, [&](int64_t i, int64_t end, int) { std::memset(memory.data() + i * piece, 1, size_t((end - i) * piece)); });
  const double reading = least(4, [&] {
    pool.run(pieces, 4, [&](int64_t i, int64_t end, int) {
      auto *word = reinterpret_cast<const uint64_t *>(memory.data() + i * piece);
      uint64_t sum = 0;
      for (int64_t n = (end - i) * piece / 8, k = 0; k < n; ++k) sum += word[k];
      keep(sum);
    });
  });
  const double copying = least(4, [&] {
    pool.run(pieces / 2, 4, [&](int64_t i, int64_t end, int) { std::memcpy(memory.data() + i * piece, memory.data() + (pieces / 2 + i) * piece, size_t((end - i) * piece)); });
  });
  l.bytes = double(bytes) / std::min(reading, copying);
  return l;
}

Profile Profile::of(const CompiledExecutable &e, const std::string &format) {
  Profile p{probe(e.target(), format), e.times()};
  std::ranges::stable_sort(p.launches, std::ranges::greater(), &LaunchTime::seconds);
  return p;
}

std::string Profile::table() const {
  double sum = 0;
  for (const LaunchTime &t : launches) sum += t.seconds;
  std::string text = fmt::format("{:>9} {:>6} {:>9} {:>8} {:>7} {:>11}  launch\n", "seconds", "share", "calls", "GFLOP/s", "GB/s", "of limit");
  for (const LaunchTime &t : launches)
    text += fmt::format("{:9.4f} {:5.1f}% {:9} {:8.1f} {:7.1f} {:>11}  {} {}: {}\n", t.seconds, 100 * t.seconds / sum, t.calls, t.flops / std::max(t.seconds, 1e-9) / 1e9, t.bytes / std::max(t.seconds, 1e-9) / 1e9, share(t, limits), t.entry, t.site, t.what);
  return text + fmt::format("{:9.4f}\nlimits, measured in this run: {}; what stays in caches may pass that of bytes\n", sum, limits.str());
}

std::string Profile::json() const {
  nlohmann::json j{{"filigree_profile", 1}, {"limits", {{"flops", limits.flops}, {"bytes", limits.bytes}, {"threads", limits.threads}, {"format", limits.format}, {"target", limits.target}}}, {"launches", nlohmann::json::array()}};
  for (const LaunchTime &t : launches)
    j["launches"].push_back({{"entry", t.entry}, {"site", t.site}, {"what", t.what}, {"kernel", t.kernel}, {"seconds", t.seconds}, {"calls", t.calls}, {"flops", t.flops}, {"bytes", t.bytes}});
  return j.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Profile Profile::read(Files &files, const std::string &path) {
  const Blob content = files.read(path);
  try {
    const auto j = nlohmann::json::parse(content.text());
    if (j.at("filigree_profile") != 1) throw std::invalid_argument("another version");
    const auto &l = j.at("limits");
    Profile p{{l.at("flops"), l.at("bytes"), l.at("threads"), l.at("format"), l.at("target")}, {}};
    for (auto &t : j.at("launches")) p.launches.push_back({t.at("entry"), t.at("site"), t.at("what"), t.at("kernel"), t.at("seconds"), t.at("calls"), t.at("flops"), t.at("bytes")});
    return p;
  } catch (const std::exception &e) {
    throw Error(Exit::Input, "E0522", fmt::format("`{}` is no profile", path), "`fil run --profile-out FILE` writes one");
  }
}

} // namespace fil
