// SPDX-License-Identifier: Apache-2.0
// What needs MLIR and LLVM, in a library of its own that is opened when it is first asked for: a start with a warm cache, `fil --help` and messages
// of the checker never wait for it. It lies beside the command, as ../lib/libfil_compiler.so.
#pragma once
#include "tools/fil/commands.h"
#include "tools/fil/gate_costs.h"
#include "tools/fil/session.h"

namespace fil {

struct CompilerLibrary {
  Exit (*check)(const CommonOptions &, bool json);
  Exit (*compile)(const CommonOptions &, const CompileArguments &);
  Exit (*explain)(const CommonOptions &, const ExplainArguments &);
  Exit (*plan)(const CommonOptions &, const PlanArguments &);
  /// Null where the program has mistakes, which are in its diagnostics.
  std::unique_ptr<Executable> (*program)(LoadedProgram &, const sema::CheckedPlan &, const CompileOptions &);
  GateCosts (*gateCosts)(LoadedProgram &, const sema::CheckedPlan &, const Binding &data);
  bool (*composeFacets)(const std::vector<sema::PlanFacet> &, Diagnostics &);
  std::vector<std::string> (*takeMlirFlags)(std::vector<std::string>);
};
/// Error E0702 where the library is missing or of another build.
const CompilerLibrary &compilerLibrary();
/// Were MLIR's own flags among the arguments? Then nothing comes from the cache.
inline bool mlirFlagsGiven = false;
/// A hash over that library, a quick sum of it, and the libraries that it loads itself, which may be replaced without a build.
extern const char *const compilerId;
extern const unsigned compilerSum;
extern const std::vector<const char *> compilerNeeds;
/// What compiled a program: the hash, and size and time of each library that is needed.
std::string compilerText();

} // namespace fil
