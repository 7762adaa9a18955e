// SPDX-License-Identifier: Apache-2.0
// The end of compiler_library.h that lies in the library.
#include "runtime/exec/file.h"
#include "tools/driver/compile.h"
#include "tools/fil/compiler_library.h"

namespace fil {

static CompiledProgram program(LoadedProgram &p, const sema::CheckedPlan &plan, const CompileOptions &options) {
  CompileOptions o = options;
  o.keepFile = true;
  Compiled c = Compiler(p, plan, o).run();
  return {std::move(c.executable), std::move(c.file), c.said};
}

} // namespace fil

extern "C" const fil::CompilerLibrary fil_compiler_library;
const fil::CompilerLibrary fil_compiler_library = {fil::check, fil::compile, fil::explain, fil::program, fil::takeMlirFlags};
