// SPDX-License-Identifier: Apache-2.0
// What a run tells: `metrics.jsonl`, one object a line for each step, and a line for the person who watches.
#pragma once
#include "runtime/base/clock.h"
#include "runtime/base/files.h"
#include <functional>
#include <optional>
#include <utility>

namespace fil {

/// One line of metrics.jsonl. `step` counts steps done: the first line has 1.
struct StepReport {
  int64_t step = 0;
  double loss = 0, gradNorm = 0, lr = 0;
  double seconds = 0;                 ///< trained for so far, validations included
  double rate = 0;                    ///< tokens or samples of the step a second
  bool tokens = false;                ///< rate is in tokens
  std::optional<double> promoted;     ///< where the step looked at formats: the share of operations in products above theirs, from the next step on
  std::optional<double> validLoss;    ///< where the step was followed by a validation
  std::vector<std::pair<std::string, double>> metrics;
};

std::string jsonLine(const StepReport &);
/// Of a file with a `step` in each line, the lines of steps up to `last`; what is no such line ends the file.
std::string linesUpTo(std::string_view text, int64_t last);

/// The file, from a step on: lines of later steps (of a run that went on after the checkpoint) are dropped.
class MetricsFile {
public:
  MetricsFile(Files &, const std::string &path, int64_t fromStep);
  void add(const StepReport &);

private:
  std::unique_ptr<Appender> out_;
};

/// One line that is rewritten on a terminal, else a line now and then.
class Progress {
public:
  Progress(Clock &, bool terminal, int64_t totalSteps, std::function<void(const std::string &)> write);
  /// After a step; shown at most ten times a second, or each ten seconds where there is no terminal.
  void step(const StepReport &);
  /// A line that stays.
  void note(const std::string &line);

private:
  void show(const StepReport &, double left);

  Clock &clock_;
  bool terminal_, open_ = false;
  int64_t total_, first_ = -1;
  double started_ = 0, shown_ = -1e9;
  double rate_ = 0; ///< of late: single steps vary
  std::function<void(const std::string &)> write_;
};

std::string durationText(double seconds); ///< `2:05`, `1:02:05`

} // namespace fil
