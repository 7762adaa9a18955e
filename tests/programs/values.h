// SPDX-License-Identifier: Apache-2.0
// Points at which executables are run and compared.
#pragma once
#include "runtime/exec/binding.h"
#include <map>
#include <random>
#include <string>
#include <vector>

namespace fil::programs {

/// Values of the variables by row (`l[2].g`), inputs by name.
struct Point {
  std::map<std::string, std::vector<double>> variables, inputs;
};

class Values {
public:
  Values(uint64_t seed, Binding sizes) : random(seed), sizes(std::move(sizes)) {}
  /// Random values for what the point does not have yet: reals near a normal distribution, states positive, `step` 3, `seed` 5, `lr` 1.
  void fill(Point &, const Executable &, const Entry &);
  /// The entry's inputs at the point, in its order.
  std::vector<Array> inputs(const Point &, const Entry &) const;
  /// Sets all variables to those of the point.
  static void set(const Point &, Executable &);
  std::mt19937_64 random;
  const Binding sizes;
};

/// Runs an entry at the point, its variables set anew.
std::vector<Array> runAt(const Point &, Executable &, const std::string &entry, Values &);

} // namespace fil::programs
