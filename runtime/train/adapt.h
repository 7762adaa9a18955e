// SPDX-License-Identifier: Apache-2.0
// Formats that follow the data: what a look at a program's products says of each, and which level each gets for it.
#pragma once
#include "runtime/exec/executable.h"

namespace fil {

struct SignalBound { ///< `out_snr < 22dB`
  std::string signal, comparison;
  double value = 0;
};
struct AdaptRule {
  int64_t every = 200;
  std::vector<std::vector<SignalBound>> up, down; ///< any of these, all bounds of which hold
  int64_t times = 1;                              ///< looks in a row at which `down` holds
  double budget = 1;                              ///< products above their format may have this share of a step's operations
  int64_t rest = 0;                               ///< looks after a change at which the product stays
  /// In steps whose number this divides, but in the last tenth of the run.
  bool looks(int64_t step, double progress) const { return step % every == 0 && progress < 0.9; }
};

/// A product's change.
struct FormatChange {
  std::string product, from, to; ///< `l[3].Attention.q`
  std::string why;
  bool refused = false;          ///< the budget is used up: it stays
};

/// Of a program with the entry `observe`.
class Adaptation {
public:
  Adaptation(Executable &, AdaptRule);
  const AdaptRule &rule() const { return rule_; }
  const Entry &observe() const { return *entry_; }
  /// From what `observe` has returned. A product goes up one level where `up` holds of the format that it has, the worst first, as long as the budget lasts; down, where `down` has held of
  /// the format below in `times` looks. The states of the program are set.
  std::vector<FormatChange> decide(const std::vector<Array> &outputs);
  /// Of a step's operations, in products above their format, as the last look found it.
  std::optional<double> promoted() const { return promoted_; }
  int64_t products() const { return int64_t(products_.size()); }
  int64_t promotedProducts() const { return wide_; }

private:
  /// As the program has it: `l[0..4].Attention.q`.
  struct Site {
    std::string name;
    std::vector<std::string> formats;                                    ///< that round; behind them f32
    std::map<std::pair<std::string, std::string>, std::vector<size_t>> signals; ///< outputs by signal and format
    size_t ops = 0, turns = 0;                                           ///< output; how often it is
  };
  /// In one turn of its loops.
  struct Product {
    std::string name;
    size_t site, turn, level, steady;                                    ///< the last two are variables
  };
  Executable &program_;
  const Entry *entry_;
  AdaptRule rule_;
  std::vector<Site> sites_;
  std::vector<Product> products_;
  size_t ops_ = 0;
  std::optional<double> promoted_;
  int64_t wide_ = 0;
};

} // namespace fil
