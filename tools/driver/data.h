// SPDX-License-Identifier: Apache-2.0
// What a plan's `train` names as data, from files to a data set that fits a compiled program.
#pragma once
#include "lang/sema/plan.h"
#include "runtime/data/dataset.h"
#include "runtime/exec/binding.h"

namespace fil {

/// Where files of a plan are looked up: in `dataDir`, else beside the plan's file.
struct DataPlaces {
  std::string dataDir, besidePlan;
  std::string find(Files &, const std::string &written) const;
};

/// Files as read, checked but not yet bound to a program: before a compilation, so that a wrong name costs nothing.
struct PlanData {
  std::optional<Blob> text, heldText;
  std::vector<NamedArray> train, held;
};
/// Error E0510 where the plan names no data, or text and arrays together.
PlanData readData(Files &, const sema::TrainSettings &, const DataPlaces &);

struct BoundData {
  std::unique_ptr<Dataset> set;
  Binding sizes; ///< of symbolic dims other than the batch's: those of `window`, those that the files imply
};
BoundData bindData(PlanData, const Executable &, const sema::TrainSettings &);

/// `--data FILE`: put in place of the plan's only file. Error E0108 (usage) where it names none or several.
void replaceFile(sema::TrainSettings &, const std::string &file);

} // namespace fil
