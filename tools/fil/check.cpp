// SPDX-License-Identifier: Apache-2.0
// `fil check`: mistakes, or the types of a program and what its models cost.
#include "tools/fil/commands.h"
#include "tools/fil/program_report.h"

namespace fil {

Exit check(const CommonOptions &o, bool json) {
  auto p = LoadedProgram::load(systemFiles(), o.files, {dimOptions(o.dims)});
  ProgramReport r;
  if (p->ok()) r = ProgramReport::of(*p, o.plan);
  if (json) {
    p->diags.sort();
    fmt::print("{}", r.json(p->diags));
    return p->diags.errors() ? Exit::Input : Exit::Ok;
  }
  Exit exit = report(*p);
  if (exit == Exit::Ok) fmt::print("{}", r.text());
  return exit;
}

} // namespace fil
