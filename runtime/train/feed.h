// SPDX-License-Identifier: Apache-2.0
// From samples to the inputs of an entry: which sizes the data give to symbolic dims, the batch along the axis that the program has it
// on, and the inputs that no data feed: `seed`, `step`, `lr`, `progress`, and `pos`, which counts the positions of a window.
#pragma once
#include "runtime/data/dataset.h"
#include "runtime/exec/binding.h"

namespace fil {

/// Sizes of symbolic dims that arrays of samples imply: file axes against the axes of the inputs that they feed. `known` holds what the
/// plan says (`window T=128`); the batch's dim is not bound.
Binding bindFromData(const std::vector<Entry> &, const std::vector<NamedArray> &, const std::string &batchDim, Binding known);

class Feed {
public:
  /// Binds the data set to what the entries take. E0510 where nothing feeds an input; E0516 where a dim has no size.
  Feed(const std::vector<const Entry *> &entries, Dataset &, std::string batchDim, Binding sizes);

  struct Scalars {
    uint64_t seed = 0;
    int64_t step = 0;
    double lr = 0;
    double progress = 0; ///< share of the run that is over
  };
  /// The entry's inputs. They refer to the batch's memory where they can.
  std::vector<Array> inputs(const Entry &, const Batch &, const Scalars &) const;

private:
  std::string batchDim_;
  Binding sizes_;
};

/// The size of an index's dim, where it is known here; a bounded dim (`Card <= 4096`) that no axis has is known to the program alone,
/// which checks it itself.
std::optional<int64_t> knownBound(const Port &, const Binding &);
/// `seed` as the int32 of a program; seeds below 2^31 stay as they are.
int32_t programSeed(uint64_t seed);
/// A number as a scalar of the port's type.
Array scalarInput(const Port &, double value);

} // namespace fil
