// SPDX-License-Identifier: Apache-2.0
// What both sides of a row have in common: operands that are functions of their name, places of results that are compared, clocks, and lines on
// stdin that are answered with one line each.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fmt/format.h>
#include <functional>
#include <iostream>
#include <span>
#include <sstream>
#include <string>
#include <time.h>
#include <vector>

namespace fil::bench {

/// 24 random bits for element `i` of the operand `name`; torch_bench.py has the same.
class Bits {
public:
  explicit Bits(const std::string &name) {
    for (char c : name) key = (key ^ uint8_t(c)) * 16777619u;
  }
  uint32_t operator()(size_t i) const {
    uint32_t h = uint32_t(i) * 2654435761u + key;
    h = (h ^ (h >> 16)) * 0x45d9f3bu;
    return (h ^ (h >> 16)) >> 8;
  }
  float real(size_t i) const { return float((*this)(i)) * 0x1p-23f - 1; } ///< -1 to 1

private:
  uint32_t key = 2166136261u;
};
inline void fill(const std::string &name, std::span<float> values) {
  const Bits bits(name);
  for (size_t i = 0; i < values.size(); ++i) values[i] = bits.real(i);
}

/// Elements of a result that are compared, as JSON; one that is NaN anywhere has null in front.
inline std::string sample(std::span<const float> values) {
  std::string s = "[";
  if (std::ranges::any_of(values, [](float x) { return std::isnan(x); })) s += "null, ";
  for (size_t k = 0; k < std::min<size_t>(200, values.size()); ++k) s += fmt::format("{:.9g}, ", values[k * 2654435761u % values.size()]);
  return s + fmt::format("{:.9g}]", values.back());
}

/// Of the wall, or of this process's CPU time, which a load on the machine hardly changes where there is one thread.
inline double seconds(bool cpuTime) {
  timespec t;
  clock_gettime(cpuTime ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return double(t.tv_sec) + double(t.tv_nsec) * 1e-9;
}
/// Seconds a call, after some that do not count.
template <class F> double timed(int64_t before, int64_t n, bool cpuTime, F &&call) {
  for (int64_t i = 0; i < before; ++i) call();
  const double start = seconds(cpuTime);
  for (int64_t i = 0; i < n; ++i) call();
  return (seconds(cpuTime) - start) / double(n);
}

/// `answer` gets the first word of a line and the rest; between lines the process sleeps.
inline void serve(const std::string &ready, const std::function<std::string(const std::string &, std::istream &)> &answer) {
  fmt::print("{}\n", ready), std::fflush(stdout);
  for (std::string line, what; std::getline(std::cin, line) && line != "quit";) {
    std::istringstream words(line);
    words >> what;
    fmt::print("{}\n", answer(what, words)), std::fflush(stdout);
  }
}

} // namespace fil::bench
