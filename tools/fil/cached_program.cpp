// SPDX-License-Identifier: Apache-2.0
#include "tools/fil/cached_program.h"
#include "codegen/cache/store.h"
#include "codegen/cpu/machine.h"
#include "runtime/base/log.h"
#include "runtime/base/settings.h"
#include "runtime/exec/file.h"
#include "tools/driver/timeline.h"
#include "tools/fil/compiler_library.h"

namespace fil {

/// All that decides what a program is compiled to.
static std::string keyOf(const Session &s, const CompileOptions &o) {
  std::string key = fmt::format("model {}, plan {}, for {}{}{}\ncompiler {}\n{}{}", s.plan.model, s.plan.name.empty() ? "default" : s.plan.name, o.targetCpu, o.tune ? ", tuned" : "", o.neurons ? ", neurons" : "", o.build, settingsCacheKey(), machineText());
  for (auto &[dim, size] : s.program->dimSizes()) key += fmt::format("{}={}\n", dim, size);
  key += fmt::format("loss {}\n{}\n", s.plan.train.loss ? s.plan.train.loss->name.name : "none", s.plan.text);
  for (const ast::File &f : s.program->files) key += fmt::format("---- {} bytes\n{}", s.program->sources.text(f.file).size(), s.program->sources.text(f.file));
  return key;
}

std::unique_ptr<Executable> compileProgram(Session &s, const CommonOptions &o) {
  CompileOptions options = s.compileOptions(o);
  options.contracts = s.plan.train.loss; // of training: who runs what was trained takes it as it is
  if (auto store = o.backend == "cpu" && !options.mlirFlags ? Store::ofUser() : std::nullopt) {
    options.programKey = keyOf(s, options);
    if (auto found = store->find("program", options.programKey)) {
      try {
        auto loaded = loadExecutable(manifestOf(found->text(), "the cache's program"));
        timeline().lap("cache");
        return loaded;
      } catch (const Error &e) { // another version's, or not what was written: made anew
        logDebug("cache: {}", e.what());
        store->drop("program", options.programKey);
      }
    }
  }
  auto made = compilerLibrary().program(*s.program, s.plan, options);
  report(*s.program);
  return made;
}

} // namespace fil
