// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/metrics.h"
#include "runtime/base/status.h"

namespace fil {
namespace {

[[noreturn]] void misfit(const std::string &metric, const std::string &why) {
  throw Error(Exit::Input, "E0521", fmt::format("`{}` cannot be measured: {}", metric, why),
              "`accuracy` compares the output with a label `index<V>` over V or a bool label; `recall` and `fpr` take a bool label");
}

/// Row-major distances of an array's axes.
std::vector<int64_t> strides(const std::vector<int64_t> &shape) {
  std::vector<int64_t> s(shape.size(), 1);
  for (size_t k = shape.size(); k-- > 1;) s[k - 1] = s[k] * shape[k];
  return s;
}

/// Calls fn(element of the label, first element of the output that it is compared with).
template <class F> void forLabels(const Array &output, const Array &label, const std::vector<size_t> &axis, F &&fn) {
  auto step = strides(output.shape);
  std::vector<int64_t> at(label.shape.size(), 0);
  const int64_t n = label.elements();
  int64_t o = 0;
  for (int64_t i = 0; i < n; ++i) {
    fn(i, o);
    for (size_t k = at.size(); k-- > 0;) {
      o += step[axis[k]];
      if (++at[k] < label.shape[k]) break;
      o -= step[axis[k]] * label.shape[k], at[k] = 0;
    }
  }
}

} // namespace

bool isDataMetric(std::string_view name) { return name == "accuracy" || name == "recall" || name == "fpr"; }

MetricCounts::MetricCounts(std::vector<std::string> metrics, const Port &output, const Port &label) : metrics_(std::move(metrics)), truth_(!label.indexBound) {
  if (metrics_.empty()) return;
  const std::string &first = metrics_[0];
  for (const std::string &m : metrics_) {
    if (!isDataMetric(m)) misfit(m, "it is no metric on data");
    if (m != "accuracy" && !truth_) misfit(m, fmt::format("the label `{}` is an index, not a bool", label.name));
  }
  std::vector<bool> used(output.dims.size(), false);
  for (const std::string &dim : label.dims) {
    size_t k = 0;
    while (k < output.dims.size() && output.dims[k] != dim) ++k;
    if (k == output.dims.size()) misfit(first, fmt::format("the label `{}` has a dim `{}` that the output lacks", label.name, dim));
    axis_.push_back(k), used[k] = true;
  }
  size_t left = 0;
  for (size_t k = 0; k < used.size(); ++k)
    if (!used[k]) classAxis_ = k, ++left;
  if (left != (truth_ ? 0u : 1u)) misfit(first, fmt::format("the output has {} dims that the label `{}` lacks", left, label.name));
  if (!truth_ && !(output.sizes[classAxis_] == *label.indexBound)) misfit(first, fmt::format("the label `{}` is no index of the output's `{}`", label.name, output.dims[classAxis_]));
}

void MetricCounts::add(const Array &output, const Array &label) {
  if (metrics_.empty()) return;
  labels_ += label.elements();
  truth_ ? addTruths(output, label) : addClasses(output, label);
}

void MetricCounts::addClasses(const Array &output, const Array &label) {
  const int64_t classes = output.shape[classAxis_], step = strides(output.shape)[classAxis_];
  forLabels(output, label, axis_, [&](int64_t i, int64_t o) {
    int64_t best = -1;
    double most = 0;
    for (int64_t c = 0; c < classes; ++c)
      if (double v = output.at(o + c * step); best < 0 ? v == v : v > most) best = c, most = v;
    hits_ += best == int64_t(label.at(i));
  });
}

void MetricCounts::addTruths(const Array &output, const Array &label) {
  forLabels(output, label, axis_, [&](int64_t i, int64_t o) {
    const bool said = output.at(o) > 0.5, is = label.at(i) != 0;
    hits_ += said == is && output.at(o) == output.at(o);
    positives_ += is, found_ += is && said, alarms_ += !is && said;
  });
}

std::vector<std::pair<std::string, double>> MetricCounts::values() const {
  auto share = [](int64_t part, int64_t of) { return of ? double(part) / double(of) : 0.0; };
  std::vector<std::pair<std::string, double>> all;
  for (const std::string &m : metrics_)
    all.push_back({m, m == "accuracy" ? share(hits_, labels_) : m == "recall" ? share(found_, positives_) : share(alarms_, labels_ - positives_)});
  return all;
}

const Port *labelOf(const Entry &validates, const Entry &runs) {
  const Port *label = nullptr;
  for (const Port &p : validates.inputs) {
    bool taken = p.name == "seed" || p.name == "step" || !(p.indexBound || p.dtype == DType::Bool);
    for (const Port &q : runs.inputs) taken = taken || q.name == p.name;
    if (taken) continue;
    if (label) return nullptr;
    label = &p;
  }
  return label;
}

} // namespace fil
