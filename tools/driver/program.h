// SPDX-License-Identifier: Apache-2.0
// From file names to a checked program: what every command begins with.
#pragma once
#include "lang/parse/parse.h"
#include "lang/sema/plan.h"
#include "runtime/base/files.h"
#include <deque>

namespace fil {

/// The files of one command with the standard library, parsed and checked. Owns all that the program refers to.
class LoadedProgram {
public:
  SourceManager sources;
  Diagnostics diags{sources};
  std::deque<ast::File> files;
  std::unique_ptr<sema::Program> program; ///< null where a file does not parse
  std::vector<sema::CheckedPlan> plans;   ///< of all files; empty where the program has mistakes
  bool ok() const { return program && diags.errors() == 0; }

  /// Files that cannot be read, are folders or declare nothing are Errors; mistakes in them go to `diags`.
  static std::unique_ptr<LoadedProgram> load(Files &, const std::vector<std::string> &paths, const sema::CheckOptions &);
  /// The only model; Error E0106 where there is none or several and `named` is empty.
  const ast::Function *model(const std::string &named = {}) const;
  /// The plan that is named; with no name the only one, or all defaults where the program has none. Then each of `set`
  /// (`train.steps=50`). Error E0106 where the name is unknown or needed; mistakes in `set` go to `diags`.
  sema::CheckedPlan plan(const std::string &named = {}, const std::vector<std::string> &set = {});
};

} // namespace fil
