// SPDX-License-Identifier: Apache-2.0
// Where a command's time goes, from the start of its process on: laps follow each other without a gap, so that they sum to the wall time.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace fil {

class Timeline {
public:
  /// The first lap, `start`, is the processor time that the process has taken so far: to load it and its libraries.
  Timeline();
  /// From the last lap's end until now.
  void lap(std::string_view what) { split(what, now() - end_); }
  /// The first `seconds` of what would be the next lap.
  void split(std::string_view what, double seconds);

  struct Lap { std::string what; double begin, seconds; };
  const std::vector<Lap> &laps() const { return laps_; }
  /// `asm  0.512 s` a line, laps of one name together, and their sum.
  std::string table() const;
  /// In the format of chrome://tracing and Perfetto.
  std::string trace() const;

private:
  std::vector<Lap> laps_;
  double start_, end_; ///< of a steady clock
  static double now();
};
/// The process's.
Timeline &timeline();

} // namespace fil
