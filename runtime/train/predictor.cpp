// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/predictor.h"
#include "runtime/train/pattern.h"
#include "runtime/train/whole.h"
#include "runtime/base/philox.h"
#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

namespace fil {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

static Matrix orthonormal(const Matrix &x) { return Eigen::HouseholderQR<Matrix>(x).householderQ() * Matrix::Identity(x.rows(), x.cols()); }

void lowRank(const std::vector<double> &w, int64_t rows, int64_t columns, int64_t rank, std::vector<double> &left, std::vector<double> &right) {
  constexpr int64_t further = 8; // vectors beside those that are wanted
  constexpr int turns = 8;
  const Eigen::Map<const Matrix> x(w.data(), rows, columns);
  const int64_t tried = std::min({rank + further, rows, columns}), found = std::min(rank, tried);
  Matrix q(columns, tried);
  for (int64_t i = 0; i < q.size(); ++i) q.data()[i] = normalDouble(philox(0, 0, uint64_t(i)));
  q = orthonormal(x * q);
  for (int i = 0; i < turns; ++i) q = orthonormal(x * orthonormal(x.transpose() * q));
  const Matrix small = q.transpose() * x;
  const Eigen::BDCSVD<Eigen::MatrixXd> svd(small, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Eigen::VectorXd roots = svd.singularValues().head(found).cwiseSqrt();
  left.assign(size_t(rows * rank), 0), right.assign(size_t(rank * columns), 0);
  Eigen::Map<Matrix>(left.data(), rows, rank).leftCols(found) = q * svd.matrixU().leftCols(found) * roots.asDiagonal();
  Eigen::Map<Matrix>(right.data(), rank, columns).topRows(found) = roots.asDiagonal() * svd.matrixV().leftCols(found).transpose();
}

void makePredictor(Executable &program, const std::string &first) {
  const auto &all = program.variables();
  auto number = [&](const std::string &name) { return size_t(std::find_if(all.begin(), all.end(), [&](const VariableInfo &v) { return v.name == name; }) - all.begin()); };
  const std::string map = first.substr(0, first.rfind('.'));
  const size_t a = number(first);
  VariableInfo info = all[number(map)];
  Array weight = ofBytes(program.get(number(map)), info);
  if (info.thinned) {
    const size_t pattern = number(patternOf(info)[0]);
    weight = expanded(weight, program.get(pattern), info, all[pattern]);
    info.dims.erase(info.dims.begin() + info.thinned->axis); // its two are one again
  }
  if (info.thinned || info.together > 1) // of the name that the other has
    for (const std::string &d : all[a].dims)
      if (std::find(info.dims.begin(), info.dims.end(), d) == info.dims.end()) info.dims[size_t(info.thinned ? info.thinned->axis : info.packed)] = d;
  info.shape = weight.shape, info.together = 1;
  std::vector<double> values(size_t(weight.elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = weight.at(int64_t(i));
  if (info.bits) {
    const size_t scale = number(map + ".scale");
    const Array scales = program.get(scale);
    const auto places = placesIn(all[scale], info);
    for (size_t i = 0; i < values.size(); ++i) values[i] *= scales.at(places[i]);
  }
  std::byte *toA, *toB;
  const Array newA = Array::make(all[a].dtype, all[a].shape, toA);
  if (first.ends_with(".gate_S")) {
    const auto places = placesIn(all[a], info);
    std::vector<double> sums(size_t(newA.elements()));
    for (size_t i = 0; i < places.size(); ++i) sums[size_t(places[i])] += std::fabs(values[i]);
    for (size_t i = 0; i < sums.size(); ++i) put(all[a].dtype, toA, int64_t(i), sums[i]);
    return program.set(a, newA);
  }
  const size_t b = number(map + ".gate_B");
  int64_t families = 1;
  for (int d = 0; d < all[a].families; ++d) families *= all[a].shape[size_t(d)];
  const int64_t rank = all[a].shape.back(), rows = *elementCount(all[a].shape) / families / rank, columns = *elementCount(all[b].shape) / families / rank;
  const Array newB = Array::make(all[b].dtype, all[b].shape, toB);
  std::vector<double> w(size_t(rows * columns)), left, right;
  for (int64_t f = 0; f < families; ++f) {
    for (int64_t i = 0; i < rows * columns; ++i) w[size_t(i)] = values[size_t(f * rows * columns + i)];
    lowRank(w, rows, columns, rank, left, right);
    for (int64_t i = 0; i < rows * rank; ++i) put(all[a].dtype, toA, f * rows * rank + i, left[size_t(i)]);
    for (int64_t i = 0; i < rank * columns; ++i) put(all[b].dtype, toB, f * rank * columns + i, right[size_t(i)]);
  }
  program.set(a, newA), program.set(b, newB);
}
} // namespace fil
