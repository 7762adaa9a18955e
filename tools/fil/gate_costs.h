// SPDX-License-Identifier: Apache-2.0
// What a call of `run` costs as a function of how many granules each open gate lets pass.
#pragma once
#include "runtime/exec/binding.h"
#include "tools/driver/program.h"
#include <map>

namespace fil {

struct GateCosts {
  /// Operations, and the gates that leave a part of them out: variables of the program, as files call them. Or operations that choose for a gate, which are none where it lets all pass.
  struct Term { double operations; std::vector<std::string> gates; std::string chooses; };
  std::vector<Term> terms;
  double dense = 0;                                       ///< without gates and what predicts for them
  std::map<std::string, std::vector<std::string>> maps;   ///< by gate, the sites of the maps that make its neurons
  /// Where each gate lets pass this share.
  double at(const std::map<std::string, double> &shares) const {
    double sum = 0;
    for (const Term &t : terms) {
      double part = !t.chooses.empty() && shares.at(t.chooses) >= 1 ? 0 : t.operations;
      for (const std::string &g : t.gates) part *= shares.at(g);
      sum += part;
    }
    return sum;
  }
};
/// At the plan's batch and window, and the sizes of data.
GateCosts gateCosts(LoadedProgram &, const sema::CheckedPlan &, const Binding &data);

} // namespace fil
