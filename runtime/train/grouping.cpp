// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/grouping.h"
#include "runtime/base/status.h"
#include "runtime/base/philox.h"
#include <Eigen/Dense>
#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <numeric>

namespace fil {
namespace {

using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The first principal component of some rows of x, by power iteration.
Eigen::VectorXf direction(const Rows &x) {
  constexpr int turns = 12;
  Eigen::VectorXf d(x.cols());
  for (int64_t i = 0; i < d.size(); ++i) d[i] = float(normalDouble(philox(0, 0, uint64_t(i))));
  for (int i = 0; i < turns; ++i) {
    d = x.transpose() * (x * d);
    if (const float n = d.norm(); n > 0) d /= n;
  }
  return d;
}
void halve(const Rows &profiles, std::span<int64_t> part, int64_t granule) {
  const int64_t granules = int64_t(part.size()) / granule;
  if (granules <= 1) return std::sort(part.begin(), part.end());
  Rows x(int64_t(part.size()), profiles.cols());
  for (size_t i = 0; i < part.size(); ++i) x.row(int64_t(i)) = profiles.row(part[i]);
  x.rowwise() -= x.colwise().mean();
  const Eigen::VectorXf along = x * direction(x);
  std::vector<size_t> by(part.size());
  std::iota(by.begin(), by.end(), size_t(0));
  std::stable_sort(by.begin(), by.end(), [&](size_t i, size_t j) { return along[int64_t(i)] < along[int64_t(j)]; });
  std::vector<int64_t> sorted;
  for (size_t i : by) sorted.push_back(part[i]);
  std::copy(sorted.begin(), sorted.end(), part.begin());
  const size_t middle = size_t(granules / 2 * granule);
  halve(profiles, part.first(middle), granule), halve(profiles, part.subspan(middle), granule);
}

} // namespace

std::vector<int64_t> coactiveOrder(const Profile &p, int64_t granule) {
  Rows x = Eigen::Map<const Rows>(p.magnitudes.data(), p.neurons, p.rows);
  for (int64_t i = 0; i < x.rows(); ++i) {
    x.row(i).array() -= x.row(i).mean();
    if (const float n = x.row(i).norm(); n > 0) x.row(i) /= n;
  }
  std::vector<int64_t> order(static_cast<size_t>(p.neurons));
  std::iota(order.begin(), order.end(), int64_t(0));
  halve(x, order, granule);
  return order;
}

double heldShare(const Profile &p, const std::vector<int64_t> &order, int64_t granule, double keep) {
  const int64_t granules = p.neurons / granule, kept = std::max<int64_t>(1, int64_t(keep * double(granules)));
  double held = 0, all = 0;
  std::vector<double> sums(static_cast<size_t>(granules));
  for (int64_t row = 0; row < p.rows; ++row) {
    std::fill(sums.begin(), sums.end(), 0);
    for (int64_t i = 0; i < granules * granule; ++i) sums[size_t(i / granule)] += double(p.magnitudes[size_t(order[size_t(i)] * p.rows + row)]);
    std::partial_sort(sums.begin(), sums.begin() + kept, sums.end(), std::greater<>());
    held += std::accumulate(sums.begin(), sums.begin() + kept, 0.0), all += std::accumulate(sums.begin(), sums.end(), 0.0);
  }
  return all > 0 ? held / all : 1;
}

std::vector<NeuronGroup> neuronGroups(const Executable &program) {
  std::vector<NeuronGroup> groups;
  for (size_t i = 0; i < program.variables().size(); ++i) {
    const auto &n = program.variables()[i].neurons;
    if (!n) continue;
    auto same = std::find_if(groups.begin(), groups.end(), [&](const NeuronGroup &g) { return g.output == n->output && g.turn == n->turn; });
    if (same == groups.end()) same = groups.insert(groups.end(), {n->output, n->turn, n->counted, n->granule, {}});
    same->variables.push_back(i);
  }
  return groups;
}

void addRows(Profile &p, const NeuronGroup &g, const Port &port, const Array &output, int64_t rows) {
  std::vector<int64_t> strides(output.shape.size(), 1);
  for (size_t i = strides.size(); i-- > 1;) strides[i - 1] = strides[i] * output.shape[i];
  int64_t start = 0, step = 0, count = 0, all = 1;
  std::vector<std::pair<int64_t, int64_t>> free; // length and stride of axes that count rows
  for (size_t i = 0; i < strides.size(); ++i) {
    auto turn = std::find_if(g.turn.begin(), g.turn.end(), [&](const auto &t) { return t.first == port.dims[i]; });
    if (turn != g.turn.end()) start += turn->second * strides[i];
    else if (port.dims[i] == g.counted) step = strides[i], count = output.shape[i];
    else free.push_back({output.shape[i], strides[i]}), all *= output.shape[i];
  }
  rows = std::min(rows, all);
  Profile next{count, p.rows + rows, std::vector<float>(size_t(count * (p.rows + rows)))};
  for (int64_t f = 0; f < count; ++f) {
    std::copy_n(p.magnitudes.begin() + f * p.rows, p.rows, next.magnitudes.begin() + f * next.rows);
    for (int64_t r = 0; r < rows; ++r) {
      int64_t number = r * all / rows, at = start + f * step;
      for (size_t i = free.size(); i-- > 0; number /= free[i].first) at += number % free[i].first * free[i].second;
      next.magnitudes[size_t(f * next.rows + p.rows + r)] = float(output.at(at));
    }
  }
  p = std::move(next);
}

void reorder(Executable &program, const NeuronGroup &g, const std::vector<int64_t> &order) {
  const auto &all = program.variables();
  for (size_t v : g.variables) {
    const VariableInfo &info = all[v];
    const bool masked = std::any_of(all.begin(), all.end(), [&](const VariableInfo &x) { return x.name == info.name + ".mask"; });
    if (masked || info.thinned || info.bits || info.qatBits)
      throw Error(Exit::Input, "E0510", fmt::format("neurons of `{}` cannot change places: it is stored with a mask, a pattern or as whole numbers, which belong to the places", info.name), "group neurons of the dense weights, by a plan with the gates alone");
  }
  for (size_t v : g.variables) program.set(v, reordered(program.get(v), all[v].neurons->axis, order));
}

Array reordered(const Array &old, int axis, const std::vector<int64_t> &order) {
  const size_t size = byteSize(old.dtype), at = size_t(axis);
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < old.shape.size(); ++i) (i < at ? outer : inner) *= i == at ? 1 : old.shape[i];
  std::byte *to;
  const Array fresh = Array::make(old.dtype, old.shape, to);
  const int64_t n = old.shape[at];
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < n; ++i) std::memcpy(to + size_t((o * n + i) * inner) * size, old.data.get() + size_t((o * n + order[size_t(i)]) * inner) * size, size_t(inner) * size);
  return fresh;
}

} // namespace fil
