// SPDX-License-Identifier: Apache-2.0
// `fil check`: mistakes, or the types and costs of a program.
#include "tools/fil/commands.h"

namespace fil {

Exit check(const CommonOptions &o, bool json) {
  auto p = LoadedProgram::load(systemFiles(), o.files, {dimOptions(o.dims)});
  Exit exit = report(*p);
  if (exit != Exit::Ok) return exit;
  std::string site;
  for (const sema::LetType &l : p->program->lets) {
    auto at = p->sources.place(l.span.file, l.span.begin);
    fmt::print("{}:{}:{}: {}: {}{}\n", p->sources.name(l.span.file), at.line, at.column, l.name, l.type, l.site.empty() ? "" : "  at " + l.site);
  }
  return Exit::Ok;
}

} // namespace fil
