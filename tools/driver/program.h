// SPDX-License-Identifier: Apache-2.0
// From file names to a checked program: what every command begins with.
#pragma once
#include "lang/parse/parse.h"
#include "lang/sema/plan.h"
#include "runtime/base/files.h"
#include <deque>
#include <set>

namespace fil {

/// The files of one command with the standard library, parsed and checked. Owns all that the program refers to.
class LoadedProgram {
public:
  SourceManager sources;
  Diagnostics diags{sources};
  std::deque<ast::File> files;
  std::unique_ptr<sema::Program> program; ///< null where a file does not parse
  std::vector<sema::CheckedPlan> plans;   ///< of all files; empty where the program has mistakes
  /// Messages that were not taken before, by place; one that comes again (a model is elaborated more than once) is taken once.
  std::string takeMessages();
  bool ok() const { return program && diags.errors() == 0; }

  /// A plan that does not stand in the files, or stands there otherwise: the one that a checkpoint carries.
  struct CarriedPlan { std::string where, name, text; };
  /// Files that cannot be read, are folders or declare nothing are Errors; mistakes in them go to `diags`. The carried plan takes the
  /// place of that of its name.
  static std::unique_ptr<LoadedProgram> load(Files &, const std::vector<std::string> &paths, const sema::CheckOptions &,
                                             const std::optional<CarriedPlan> &carried = {});
  /// Every dim of the `dims` lines that has a size.
  std::map<std::string, int64_t> dimSizes() const;
  /// The folder of the file in which the plan stands; for one that stands nowhere, of the first file.
  std::string folderOf(const std::string &plan) const;
  /// The only model; Error E0106 where there is none or several and `named` is empty.
  const ast::Function *model(const std::string &named = {}) const;
  /// The plan that is named; with no name, every default for the model (the only one, if that is not named either). Then each of `set`
  /// (`train.steps=50`). Error P0411 where there is no such plan; mistakes in `set` go to `diags`. The program is checked anew where the
  /// plan's facets part the turns of a loop.
  sema::CheckedPlan plan(const std::string &named, const std::vector<std::string> &set = {}, const std::string &model = {});

private:
  std::set<std::string> taken;
  sema::CheckOptions options;
  void checkProgram();
  uint32_t planFile = 0; ///< where the plan stood that a carried one took the place of
};

} // namespace fil
