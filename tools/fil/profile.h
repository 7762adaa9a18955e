// SPDX-License-Identifier: Apache-2.0
// What launches took, beside what the machine could do: its multiplications and its memory, probed in the same run.
#pragma once
#include "runtime/base/files.h"
#include "runtime/exec/compiled_executable.h"
#include <functional>

namespace fil {

/// A second of all threads of the pool: multiply-adds (each counts 2) of data in registers, bytes read from or copied in memory.
struct Limits {
  double flops = 0, bytes = 0;
  int threads = 0;
  std::string format, target;
  /// The least seconds that a launch may take: whichever limit it meets first.
  double seconds(double f, double b) const { return std::max(f / flops, b / bytes); }
  std::string str() const;
};
/// Takes some tenths of a second. `format`: f32 or f64.
Limits probe(const std::string &target, const std::string &format);

struct Profile {
  Limits limits;
  std::vector<LaunchTime> launches; ///< the longest first

  static Profile of(const CompiledExecutable &, const std::string &format);
  std::string table() const;
  /// What the launches took that are wanted, together, in words; empty where none ran.
  std::string told(const std::function<bool(const LaunchTime &)> &wanted) const;
  std::string json() const;
  /// Error E0501 where there is no file, E0522 where it is no profile.
  static Profile read(Files &, const std::string &path);
};

} // namespace fil
