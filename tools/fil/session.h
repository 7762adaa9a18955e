// SPDX-License-Identifier: Apache-2.0
// What train, run, sample, compile and explain begin with: the program, the plan (named, carried by a checkpoint, or all defaults) with
// `--set` over it, and the refusal of clauses that nothing acts on.
#pragma once
#include "runtime/base/files.h"
#include "runtime/exec/compiled_executable.h"
#include "runtime/train/checkpoint.h"
#include "tools/driver/options.h"
#include "tools/driver/program.h"
#include "tools/fil/commands.h"

namespace fil {

struct Session {
  std::unique_ptr<LoadedProgram> program;
  sema::CheckedPlan plan;
  std::optional<Checkpoint> checkpoint;
  std::map<std::string, int64_t> dimsGiven;
  bool neurons = false; ///< the program tells how large neurons of gates are

  /// Null where the program or plan has mistakes, which are then on stderr. A checkpoint's dims hold: another `--dim` is an Error E0513.
  /// Its plan holds unless `planFromFiles`. Clauses that `command` would have to act on and cannot are mistakes.
  static std::optional<Session> open(const CommonOptions &, const char *command, std::optional<Checkpoint>, bool planFromFiles, Files &sources = systemFiles());

  CompileOptions compileOptions(const CommonOptions &) const;
};

/// The program may have changed since the checkpoint was written. Error E0513 where a dim has another size.
void checkDims(const LoadedProgram &, const Checkpoint &);
/// Loads `FILE`, `3=FILE`; E0523 for a program without adapters.
void loadAdapters(Executable &, const std::vector<std::string> &given);
/// Where the time went until now, as was asked for.
void printTimes(const TimingArguments &);
/// Measures each launch from here on. Error E0801 of the reference, which has none.
void startProfile(Executable &);
/// What was measured, the longest first, beside the limits of this machine: to stderr, and to a file unless `out` is empty.
void printProfile(const Executable &, const std::string &format, const std::string &out);

} // namespace fil
