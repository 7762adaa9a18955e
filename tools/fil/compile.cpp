// SPDX-License-Identifier: Apache-2.0
// `fil compile`: an Executable, or any stage on the way to it.
#include "tools/driver/compile.h"
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
  options.contracts = true;
  options.emit = emit, options.stopAfter = stopAfter, options.dumpDir = a.dumpDir;
  if (!a.out.empty() && !emit) {
    if (o.backend == "reference") throw Error(Exit::Input, "E0801", "the reference walks a program and makes no code that could be saved", "leave `--backend=reference` out, or print a stage: `--emit=STAGE -o FILE`");
    if (stopAfter) throw Error(Exit::Usage, "E0108", fmt::format("`--stop-after={}` ends before there is an Executable for `-o`", a.stopAfter), "`--emit=STAGE -o FILE` writes a stage");
    options.saveTo = a.out;
  }
  Compiled c = Compiler(*session->program, session->plan, options).run();
  if (report(*session->program) != Exit::Ok) return Exit::Input;
  printTimes(a);
  if (emit && a.out.empty()) fmt::print("{}", c.emitted);
  else if (emit) writeFile(systemFiles(), a.out, c.emitted);
  return Exit::Ok;
}

} // namespace fil
