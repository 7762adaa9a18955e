// SPDX-License-Identifier: Apache-2.0
// The loop of training: samples in, entry `step`, reports and checkpoints out. All arithmetic on parameters is in the compiled
// program; what this loop decides is a function of (seed, step), so that a resumed run has the bits of one that was never stopped.
#pragma once
#include "runtime/data/dataset.h"
#include "runtime/train/adapt.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/feed.h"
#include "runtime/train/report.h"
#include "runtime/train/schedule.h"
#include <atomic>

namespace fil {

struct Contract { ///< `accuracy >= 0.975` on the held-out samples; `loss` is the validation loss
  std::string metric, comparison;
  double value = 0;
  bool holds(double measured) const;
};

class Tape;

/// In each `every`-th step before the share `until` of the run, `edit` runs in place of `step`, if the program has it: the masks of its weights change.
struct Edits {
  int64_t every;
  double until;
};

struct TrainOptions {
  std::string folder;                     ///< last.safetensors and metrics.jsonl
  Schedule schedule;                      ///< its `steps` are the whole run's
  std::optional<int64_t> stopAt;          ///< steps done when it stops, counted from 0 also in a resumed run
  std::string batchDim = "B";
  int64_t batch = 32;
  Binding sizes;                          ///< of other symbolic dims: `window T=128`
  bool validates = false;
  int64_t validateEvery = 0;              ///< steps; 0: at the end alone
  int64_t checkpointEvery = 0;            ///< steps; 0: at validations and the end
  std::vector<std::string> metrics;       ///< besides the loss
  std::vector<Contract> contracts;
  std::vector<Edits> edits;
  std::optional<AdaptRule> adapt;         ///< `observe` runs in place of `step` where the rule looks, and the levels that it says hold from the next step on
  Tape *tape = nullptr;                   ///< gets a note of each edit, of each change of formats, and of each checkpoint
  CheckpointInfo info;                    ///< what each checkpoint says; `step` and `seconds` are where this run begins
  const std::atomic<bool> *interrupted = nullptr; ///< set by a signal: the step is finished, a checkpoint written
};

struct TrainResult {
  int64_t step = 0;                       ///< done
  bool finished = false, interrupted = false;
  std::optional<double> validLoss;        ///< of the last validation in this run
  std::vector<std::pair<std::string, double>> metrics;
};

/// Goes on from `info.step` with the variables as they are (`init` has run, or a checkpoint was restored). A loss or gradient that is
/// no finite number is Error E0706 (numeric) that names the step; a contract that does not hold at the end of the run, E0705.
TrainResult train(Executable &, Dataset &, Files &, Clock &, Progress &, const TrainOptions &);

/// Runs `init`.
void initialize(Executable &, uint64_t seed);

} // namespace fil
