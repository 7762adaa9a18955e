// SPDX-License-Identifier: Apache-2.0
// `--tune`: tiles of contractions chosen by measuring the program itself, each contraction where it stands and at the sizes of the plan.
#pragma once
#include "codegen/cpu/target.h"
#include "codegen/package/package.h"
#include "lang/sema/plan.h"

namespace fil {

/// The target with what was faster in `tuned`. Of each contraction the next best register tiles by the cost model and other lengths of k's blocks are
/// compiled and run, in `step` or, without one, in `run`, on random inputs; a change has to save 3 %. What is chosen never changes a bit of a result.
/// `report` gets a line for each contraction that changed, and one for the entry. Error E0516 where a size is not known.
Target tune(mlir::ModuleOp scheduled, const Target &, const sema::TrainSettings &, const PackageOptions &, std::string &report);

} // namespace fil
