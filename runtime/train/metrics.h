// SPDX-License-Identifier: Apache-2.0
// Metrics on data: counts over the outputs of all held-out samples. `accuracy` is the share of labels that the argmax of the output
// hits (of a bool label: output > 0.5); `recall` and `fpr` are those of a bool label.
#pragma once
#include "runtime/exec/executable.h"

namespace fil {

/// Names of the metrics on data other than `loss`.
bool isDataMetric(std::string_view name);

class MetricCounts {
public:
  /// `output` and `label` are ports of the entry that validates; Error E0521 where a metric does not fit them.
  MetricCounts(std::vector<std::string> metrics, const Port &output, const Port &label);
  /// Outputs and labels of one batch; elements are paired by the names of their axes. NaN is never a hit.
  void add(const Array &output, const Array &label);
  /// In the order given; a share of nothing is 0.
  std::vector<std::pair<std::string, double>> values() const;

private:
  void addClasses(const Array &output, const Array &label);
  void addTruths(const Array &output, const Array &label);

  std::vector<std::string> metrics_;
  std::vector<size_t> axis_; ///< for each axis of the label its axis of the output
  size_t classAxis_ = 0;     ///< of the output, where the label is an index
  bool truth_;
  int64_t labels_ = 0, hits_ = 0, positives_ = 0, found_ = 0, alarms_ = 0;
};

/// The input of `validates` that `runs` does not take and that a metric compares with the output: an index or a bool; null if none or several.
const Port *labelOf(const Entry &validates, const Entry &runs);

} // namespace fil
