// SPDX-License-Identifier: Apache-2.0
// What the tests do to modules: values inside are shown outside, ops are put in the order of their roles.
#pragma once
#include "ir/ir.h"
#include "mlir/IR/OwningOpRef.h"
#include <set>
#include <string>
#include <vector>

namespace fil::programs {

struct ShownAux {
  bool restricted = false;
  std::set<std::string> trains;   ///< symbols of variables
  std::vector<std::string> loops; ///< dims of the loops around it, in the output's order
};
/// Every `fil.aux` of the entry `train` becomes an output `aux#i` (inside loops: stacked).
std::vector<ShownAux> showAux(mlir::ModuleOp);
/// Every `fil.stopgrad` of the entry `train` gives a further output `stop#i`; returns how many.
int showStops(mlir::ModuleOp);
/// Every `fil.stopgrad` is replaced by an input `stop#i` of the same numbering, so that its value stays when variables move.
void freezeStops(mlir::ModuleOp);

/// Ops of each block in the order forward and saved, dgrad, wgrad, update. Breaks dominance if a role depends on a later one.
void sortByRole(mlir::ModuleOp);

std::string textOf(mlir::ModuleOp);
/// Empty where text → module → text is the same, else what differs.
std::string roundTrip(mlir::ModuleOp);

} // namespace fil::programs
