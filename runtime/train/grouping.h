// SPDX-License-Identifier: Apache-2.0
// Neurons of a gate that are large in the same rows become neighbours, so that granules of them are chosen with less loss. Who computes them does not notice: rows of the maps that make
// them and columns of those that read them change places alike.
#pragma once
#include "runtime/exec/executable.h"

namespace fil {

/// How large the neurons of one gate, in one turn of its loops, are in some rows.
struct Profile {
  int64_t neurons = 0, rows = 0;
  std::vector<float> magnitudes; ///< neurons x rows
};
/// An order in which co-active neurons stand together: place i has neuron order[i]. The profiles, less their means and of length 1, are halved by the direction in which they differ most, again and
/// again, until parts have `granule` neurons, which divides them; those of a part stand as they did. The same on every call.
std::vector<int64_t> coactiveOrder(const Profile &, int64_t granule);
/// Of all magnitudes the share that the `keep` share of granules have which are the largest in each row (at least one).
double heldShare(const Profile &, const std::vector<int64_t> &order, int64_t granule, double keep);

/// What a program with the entry `neurons` can group: variables by the turn of the gate that they belong to.
struct NeuronGroup {
  std::string output;                                  ///< of `neurons`
  std::vector<std::pair<std::string, int64_t>> turn;
  std::string counted;                                 ///< the output's axis that counts the neurons
  int64_t granule = 0;
  std::vector<size_t> variables;
};
std::vector<NeuronGroup> neuronGroups(const Executable &);
/// Some of the rows that an output of `neurons` has, evenly, behind those that the profile has already.
void addRows(Profile &, const NeuronGroup &, const Port &, const Array &output, int64_t rows);
/// The variables with their neurons in this order. E0510 for one that is stored by granules, patterns or as whole numbers.
void reorder(Executable &, const NeuronGroup &, const std::vector<int64_t> &order);
/// The same of an array: along an axis, place i has what stood at order[i].
Array reordered(const Array &, int axis, const std::vector<int64_t> &order);

} // namespace fil
