// SPDX-License-Identifier: Apache-2.0
// A compiled program that runs: an Executable made of a Manifest. See ../README.md for how a step runs.
#pragma once
#include "runtime/abi/kernel.h"
#include "runtime/exec/manifest.h"
#include <span>

namespace fil {

/// How long the calls of one launch (copy, fill) took together.
struct LaunchTime {
  std::string entry, site, what;
  std::string kernel;             ///< its key; empty of a copy or fill
  double seconds = 0;
  int64_t calls = 0;
  double flops = 0, bytes = 0;    ///< of all calls, by the cost model
};

class CompiledExecutable : public Executable {
public:
  /// Switches the measurement of launches on or off; on forgets what was measured. Costs some 50 ns a launch while on.
  virtual void profile(bool on) = 0;
  /// Of launches that ran, in the order of the programs' text.
  virtual std::vector<LaunchTime> times() const = 0;
  /// Bytes of the arena, as large as the largest step so far needed it.
  virtual int64_t arenaBytes() const = 0;
};

/// Maps the code and allocates the variables, all zero. Error E0702 where the manifest contradicts itself, E0704 where its code is for
/// another machine, E0701 without memory. `kernels`, for tests, stand in for the rows of Manifest::kernels.
std::unique_ptr<CompiledExecutable> loadExecutable(Manifest, std::span<const fil_kernel> kernels = {});

} // namespace fil
