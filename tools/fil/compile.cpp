// SPDX-License-Identifier: Apache-2.0
// `fil compile`: an Executable, or any stage on the way to it.
#include "lang/lower/lower.h"
#include "tools/fil/commands.h"
#include "llvm/Support/raw_ostream.h"

namespace fil {
Exit compile(const CommonOptions &o) {
  auto p = LoadedProgram::load(systemFiles(), o.files, {dimOptions(o.dims)});
  Exit exit = report(*p);
  if (exit != Exit::Ok) return exit;
  mlir::MLIRContext ctx(mlir::MLIRContext::Threading::DISABLED);
  LowerOptions lo;
  lo.model = p->model()->name.name;
  for (auto *f : p->program->functions())
    if (f->kind == ast::Function::Loss) lo.loss = f;
  lo.optimizer = OptimizerChoice{"adamw", {{"b1", .9}, {"b2", .95}, {"eps", 1e-8}, {"wd", .1}}};
  auto m = lower(&ctx, *p->program, p->sources, lo);
  if (!m) return report(*p), Exit::Internal;
  m->print(llvm::outs());
  return Exit::Ok;
}
} // namespace fil
