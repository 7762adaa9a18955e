// SPDX-License-Identifier: Apache-2.0
// The end of compiler_library.h that lies in the library.
#include "lang/lower/facets.h"
#include "tools/driver/compile.h"
#include "tools/fil/compiler_library.h"

namespace fil {

static std::unique_ptr<Executable> program(LoadedProgram &p, const sema::CheckedPlan &plan, const CompileOptions &options) {
  return std::move(Compiler(p, plan, options).run().executable);
}

} // namespace fil

extern "C" const fil::CompilerLibrary fil_compiler_library;
const fil::CompilerLibrary fil_compiler_library = {fil::check, fil::compile, fil::explain, fil::plan, fil::program, fil::gateCosts, fil::composeFacets, fil::takeMlirFlags};
