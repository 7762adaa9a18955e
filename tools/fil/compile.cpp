// SPDX-License-Identifier: Apache-2.0
// `fil compile`: an Executable, or any stage on the way to it.
#include "tools/fil/session.h"

namespace fil {

Exit compile(const CommonOptions &o, const CompileArguments &a) {
  std::optional<Stage> emit, stopAfter;
  if (!a.emit.empty()) emit = stageOf(a.emit);
  if (!a.stopAfter.empty()) stopAfter = stageOf(a.stopAfter);
  if (emit && stopAfter && *stopAfter < *emit) throw Error(Exit::Usage, "E0108", fmt::format("`--stop-after={}` ends before the stage `{}` is there to be printed", a.stopAfter, a.emit));
  auto session = Session::open(o, "compile", {}, true);
  if (!session) return Exit::Input;
  CompileOptions options = session->compileOptions(o);
  options.emit = emit, options.stopAfter = stopAfter, options.dumpDir = a.dumpDir;
  Compiled c = Compiler(*session->program, session->plan, options).run();
  if (report(*session->program) != Exit::Ok) return Exit::Input;
  if (a.timing) printTimes(c.times);
  if (emit) {
    if (a.out.empty()) fmt::print("{}", c.emitted);
    else writeFile(systemFiles(), a.out, c.emitted);
  } else if (!a.out.empty()) {
    throw Error(Exit::Input, "E0801", fmt::format("the back end `{}` cannot save an Executable yet", o.backend), "`--emit=STAGE -o FILE` writes a stage");
  }
  return Exit::Ok;
}

} // namespace fil
