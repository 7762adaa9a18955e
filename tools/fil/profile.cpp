// SPDX-License-Identifier: Apache-2.0
#include "tools/fil/profile.h"
#include "codegen/cpu/machine.h"
#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"
#include "runtime/memory/limits.h"
#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

namespace fil {
namespace {

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

std::string share(const LaunchTime &t, const Limits &l) {
  const double least = l.seconds(t.flops, t.bytes);
  return least > 0 && t.seconds > 0 ? fmt::format("{:.0f}% {}", 100 * least / t.seconds, t.flops / l.flops > t.bytes / l.bytes ? "flops" : "bytes") : "";
}

} // namespace

std::string Limits::str() const { return fmt::format("{:.1f} GFLOP/s ({}, {}), {:.1f} GB/s, {} thread{}", flops / 1e9, format, target, bytes / 1e9, threads, threads == 1 ? "" : "s"); }

Limits probe(const std::string &target, const std::string &format) {
  ThreadPool &pool = processPool();
  Limits l{0, 0, pool.threads(), format, target};
  const int64_t parts = pool.threads();
  std::vector<double> operations(static_cast<size_t>(parts));
  const double seconds = least(8, [&] { pool.run(parts, 1, [&](int64_t i, int64_t, int) { operations[size_t(i)] = multiplyAdds(target.starts_with("x86-64-v4") ? 16 : 8, 1 << 18); }); });
  l.flops = std::reduce(operations.begin(), operations.end()) / seconds / (format == "f64" ? 2 : 1);
  MemoryTraffic memory(std::clamp<int64_t>(4 * findCaches().l3, 128 << 20, 512 << 20));
  l.bytes = double(memory.bytes()) / std::min(least(4, [&] { memory.read(); }), least(4, [&] { memory.copy(); }));
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
  return text + fmt::format("{:9.4f}\nlimits, measured in this run: {}; what stays in caches may pass that of bytes, and pairs of bf16 that of operations\n", sum, limits.str());
}

std::string Profile::told(const std::function<bool(const LaunchTime &)> &wanted) const {
  LaunchTime sum;
  for (const LaunchTime &t : launches)
    if (wanted(t)) sum.seconds += t.seconds, sum.calls += t.calls, sum.flops += t.flops, sum.bytes += t.bytes;
  if (sum.calls == 0) return {};
  return fmt::format("{} launches in {:.4g} s, {:.1f} GFLOP/s, {:.1f} GB/s, {:.0f} % of the limit ({})", sum.calls, sum.seconds, sum.flops / sum.seconds / 1e9, sum.bytes / sum.seconds / 1e9,
                     100 * limits.seconds(sum.flops, sum.bytes) / sum.seconds, sum.flops / limits.flops > sum.bytes / limits.bytes ? "operations" : "bytes");
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
