// SPDX-License-Identifier: Apache-2.0
// `fil check`: mistakes, or the types and costs of a program.
#include "tools/fil/commands.h"
#include "tools/fil/program_report.h"

namespace fil {

Exit check(const CommonOptions &o, bool json) {
  auto p = LoadedProgram::load(systemFiles(), o.files, {dimOptions(o.dims)});
  ProgramReport r;
  if (p->ok()) r = ProgramReport::of(*p, o.plan);
  Exit exit = report(*p);
  if (json) fmt::print("{}", r.json(p->diags));
  else if (exit == Exit::Ok) fmt::print("{}", r.text());
  return exit;
}

} // namespace fil
