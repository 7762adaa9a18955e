// SPDX-License-Identifier: Apache-2.0
// What train, replay and validate do alike: a session's program and data, ready for the first step.
#pragma once
#include "runtime/train/train.h"
#include "tools/driver/data.h"
#include "tools/fil/session.h"

namespace fil {

struct Training {
  std::unique_ptr<Executable> program; ///< with its first values, or those of the session's checkpoint
  BoundData data;
  TrainOptions options;
};
/// None where lowering found mistakes, which are then on stderr. Nothing is written where `out` is empty.
std::optional<Training> prepareTraining(Session &, const CommonOptions &, const TrainArguments &);
/// To stderr.
Progress progressTo(int64_t step);
/// The first signal lets the step finish; the second ends the process as it would have anyway.
void catchSignals();

} // namespace fil
