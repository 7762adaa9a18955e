// SPDX-License-Identifier: Apache-2.0
// What `fil check` says of a program, as data: the types of its lets, and for each model its params, states and costs.
#pragma once
#include "lang/sema/plan.h"
#include "tools/driver/program.h"

namespace fil {

struct ProgramReport {
  struct Let { std::string file; uint32_t line, column; std::string name, type, site; };
  struct Variable {
    std::string site, type;
    Size count;
    bool state;
  };
  struct Work { Size flops, bytes; }; ///< formulas in symbolic dims; bytes: every operand and result of every operation once
  struct Model {
    std::string name, plan, loss, format; ///< plan and loss may be empty
    std::vector<Variable> variables;
    Size params, states, adapters; ///< elements; adapters: those that the plan adds
    Work forward;
    std::optional<Work> step;             ///< where there is a loss
  };
  std::vector<Let> lets;
  std::vector<Model> models;

  /// Of a program without mistakes. `plan`: the one to take; empty: a model's only one, else all defaults. What lowering finds is added to
  /// the program's diagnostics.
  static ProgramReport of(LoadedProgram &, const std::string &plan);
  std::string text() const;
  /// The same, and all messages of the program, as one object.
  std::string json(const Diagnostics &) const;
};

/// A formula for people: `2.16e6*B*T + 4096*B*T^2`, the heaviest terms first.
std::string readable(const Size &);

} // namespace fil
