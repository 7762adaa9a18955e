// SPDX-License-Identifier: Apache-2.0
// First values of a gate's predictors where a checkpoint has the map alone: of its singular vectors, the best approximation of their rank; of channels that are
// squeezed the map's magnitudes.
#pragma once
#include "runtime/exec/executable.h"

namespace fil {

/// `left` (rows x rank) times `right` (rank x columns) is nearest to w (rows x columns, row-major), and both have columns and rows of equal lengths:
/// singular vectors by subspace iteration (Halko, Martinsson, Tropp 2011), times the square roots of the singular values. The same on every call.
void lowRank(const std::vector<double> &w, int64_t rows, int64_t columns, int64_t rank, std::vector<double> &left, std::vector<double> &right);

/// Sets `SITE.gate_A` and `SITE.gate_B` of the map SITE, by the name of the first of them, or `SITE.gate_S`: the sums of magnitudes over windows.
void makePredictor(Executable &, const std::string &first);

} // namespace fil
