// SPDX-License-Identifier: Apache-2.0
// Maps that are stored as the weights that they have, and their pattern: from dense weights and back. docs/plans.md says what the variables beside a map hold.
#pragma once
#include "runtime/exec/executable.h"

namespace fil {

/// `NAME.pattern`, one byte a group; or `NAME.slots` and `NAME.places`.
std::vector<std::string> patternOf(const VariableInfo &map);

/// The shape of the map with all of its weights. `pattern` is the first of its patternOf.
std::vector<int64_t> denseShape(const VariableInfo &map, const VariableInfo &pattern);
/// Keeps the weights of largest magnitude in each group, or the granules whose magnitudes have the largest sums; of equals the first. NaN is larger than all.
/// The map's values, of the type of `dense`, then its patternOf.
std::vector<Array> compressed(const Array &dense, const VariableInfo &map, const VariableInfo &pattern);
/// All weights, 0 where the map has none.
Array expanded(const Array &values, const Array &pattern, const VariableInfo &map, const VariableInfo &of);

/// What is wrong with the pattern (the arrays of its patternOf); empty: nothing.
std::string flawOf(const std::vector<Array> &pattern, const VariableInfo &map);

} // namespace fil
