// SPDX-License-Identifier: Apache-2.0
#include "tools/driver/timeline.h"
#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <time.h>

namespace fil {

double Timeline::now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

Timeline::Timeline() {
  timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  start_ = end_ = now() - (double(used.tv_sec) + 1e-9 * double(used.tv_nsec));
  lap("start");
}

void Timeline::split(std::string_view what, double seconds) {
  laps_.push_back({std::string(what), end_ - start_, seconds});
  end_ += seconds;
}

std::string Timeline::table() const {
  std::vector<std::pair<std::string, double>> rows;
  for (const Lap &l : laps_) {
    auto it = std::ranges::find(rows, l.what, &std::pair<std::string, double>::first);
    if (it == rows.end()) rows.emplace_back(l.what, l.seconds);
    else it->second += l.seconds;
  }
  std::string text;
  for (auto &[what, seconds] : rows) text += fmt::format("{:<12} {:8.3f} s\n", what, seconds);
  return text + fmt::format("{:<12} {:8.3f} s\n", "sum", end_ - start_);
}

std::string Timeline::trace() const {
  std::string events;
  for (const Lap &l : laps_) events += fmt::format("{}{{\"name\":\"{}\",\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":{:.1f},\"dur\":{:.1f}}}", events.empty() ? "" : ",\n", l.what, 1e6 * l.begin, 1e6 * l.seconds);
  return "{\"traceEvents\":[\n" + events + "\n]}\n";
}

Timeline &timeline() {
  static Timeline t;
  return t;
}

} // namespace fil
