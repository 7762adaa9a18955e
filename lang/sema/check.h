// SPDX-License-Identifier: Apache-2.0
// The checker: syntax trees to typed programs and checked plans. Knows no MLIR.
#pragma once
#include "lang/diag/diag.h"
#include "lang/sema/typed.h"
#include <functional>
#include <set>

namespace fil::sema {

/// Turns at which equal turns of a loop are parted all the same, by the loop's path without turns: `l`, `Stack.l`.
using LoopCuts = std::map<std::string, std::set<int64_t>>;

struct CheckOptions {
  std::map<std::string, int64_t> dims; ///< `--dim D=64`
  LoopCuts cuts;                       ///< of a plan
  std::set<std::string> limited;       ///< subsets that a plan has leave out members, by their path without turns: `l.MoE.e`
};

struct LetType { Span span; std::string name, type; const Site *site; }; ///< what `fil check` prints

struct FunctionArg { ///< of elaborateFunction: a tensor, or a static number
  Type type;
  std::optional<double> number;
};

/// All files of one command and the standard library. Checks every declaration; keeps what graphs and plans need.
class Program {
public:
  /// `files` outlive the program. Mistakes go to `diags`.
  static std::unique_ptr<Program> check(const std::vector<const ast::File *> &files, Diagnostics &diags, const CheckOptions &);
  virtual ~Program() = default;

  DimTable dims;
  std::deque<Variable> variables; ///< of all models elaborated so far, in declared order
  std::vector<LetType> lets;

  virtual const std::vector<const ast::Function *> &functions() const = 0;
  virtual const std::vector<const ast::Plan *> &plans() const = 0;
  virtual const ast::Function *find(std::string_view name) const = 0;

  /// A model alone (loss empty), or model and loss as one graph (outputs: result, loss). Variables are shared between
  /// graphs of one model. `lossCall` is `focal(gamma=2)` of the plan, or null for the model's only loss.
  virtual std::unique_ptr<Graph> elaborateModel(const std::string &model, const ast::Function *loss, const ast::Expr *lossCall, bool training) = 0;
  /// A library function at given argument types and statics by name, e.g. `adamw`. Outputs: the members of its tuple.
  virtual std::unique_ptr<Graph> elaborateFunction(const std::string &name, const std::vector<std::pair<std::string, FunctionArg>> &args) = 0;
};

} // namespace fil::sema
