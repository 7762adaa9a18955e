// SPDX-License-Identifier: Apache-2.0
// `fil compile`: an Executable, or any stage on the way to it.
#include "tools/driver/compile.h"
#include "tools/fil/commands.h"

namespace fil {
Exit compile(const CommonOptions &o) {
  auto p = LoadedProgram::load(systemFiles(), o.files, {dimOptions(o.dims)});
  Exit exit = report(*p);
  if (exit != Exit::Ok) return exit;
  sema::CheckedPlan plan;
  plan.model = p->model()->name.name;
  for (auto *f : p->program->functions())
    if (f->kind == ast::Function::Loss) plan.train.loss = f;
  CompileOptions co;
  co.emit = stageOf(o.plan.empty() ? "fil" : o.plan);
  auto c = Compiler(*p, plan, co).run();
  fmt::print("{}", c.emitted);
  return Exit::Ok;
}
} // namespace fil
