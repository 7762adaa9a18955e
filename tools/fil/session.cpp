// SPDX-License-Identifier: Apache-2.0
#include "tools/fil/session.h"
#include "runtime/base/log.h"
#include "runtime/base/thread_pool.h"
#include "runtime/train/adapter.h"
#include "tools/driver/timeline.h"
#include "tools/fil/compiler_library.h"
#include "tools/fil/profile.h"
#include <algorithm>
#include <charconv>

namespace fil {
namespace {

/// The dims to check with: those of the checkpoint, which those of the command may only repeat.
std::map<std::string, int64_t> dimsFor(const CommonOptions &o, const std::optional<Checkpoint> &c) {
  auto given = dimOptions(o.dims);
  if (!c) return given;
  for (auto &[name, size] : given) {
    auto it = c->info.dims.find(name);
    if (it != c->info.dims.end() && it->second != size)
      throw Error(Exit::Input, "E0513", fmt::format("`{}` was trained with {}={}, not {}", c->path, name, it->second, size), "leave `--dim` out: a checkpoint carries its dims");
  }
  given.insert(c->info.dimsGiven.begin(), c->info.dimsGiven.end());
  return given;
}

} // namespace

void checkDims(const LoadedProgram &p, const Checkpoint &c) {
  for (auto &[name, size] : p.dimSizes()) {
    auto it = c.info.dims.find(name);
    if (it == c.info.dims.end() || it->second != size)
      throw Error(Exit::Input, "E0513", fmt::format("`{}` does not fit the program: `{}` is {} here, and {} in the checkpoint", c.path, name, size, it == c.info.dims.end() ? "absent" : std::to_string(it->second)),
                  "use the program and the dims (`--dim`) that it was trained with");
  }
}

void loadAdapters(Executable &program, const std::vector<std::string> &given) {
  if (!given.empty() && !hasAdapters(program)) throw Error(Exit::Input, "E0523", "`--adapter` is given, and the plan has no `lora`", "name a plan that has, by `--plan`");
  for (const std::string &a : given) {
    const size_t eq = a.find('=');
    int64_t slot = 0;
    const char *end = a.data() + eq;
    const bool numbered = eq != std::string::npos && eq > 0 && std::from_chars(a.data(), end, slot).ptr == end && slot >= 0;
    loadAdapter(program, systemFiles(), numbered ? a.substr(eq + 1) : a, slot);
  }
}

std::optional<Session> Session::open(const CommonOptions &o, const char *command, std::optional<Checkpoint> checkpoint, bool planFromFiles, Files &sources) {
  if (o.backend != "cpu" && o.backend != "reference") throw Error(Exit::Usage, "E0108", fmt::format("there is no back end `{}`", o.backend), "cpu or reference");
  if (o.threads > 0) setThreads(o.threads);
  Session s;
  std::string named = o.plan, model;
  std::optional<LoadedProgram::CarriedPlan> carried;
  if (checkpoint && !planFromFiles) {
    const CheckpointInfo &i = checkpoint->info;
    model = i.model, named = i.planName;
    if (!named.empty()) carried = {"plan of " + checkpoint->path, i.planName, i.plan};
  }
  auto dims = dimsFor(o, checkpoint);
  s.dimsGiven = dims;
  s.program = LoadedProgram::load(sources, o.files, {std::move(dims)}, carried);
  if (report(*s.program) != Exit::Ok) return {};
  s.plan = s.program->plan(named, o.set, model);
  if (report(*s.program) != Exit::Ok) return {};
  // What can never hold says more than what is not built yet; the rest is composed where the program is lowered.
  if (!s.plan.refused.empty() && s.plan.facets.size() > 1) compilerLibrary().composeFacets(s.plan.facets, s.program->diags);
  if (report(*s.program) != Exit::Ok) return {};
  sema::refuse(s.plan, command, s.program->diags);
  if (report(*s.program) != Exit::Ok) return {};
  if (command == std::string_view("run") || (command == std::string_view("compile") && sema::onlyRuns(s.plan))) s.plan.train.loss = nullptr; // the model alone
  if (checkpoint) checkDims(*s.program, *checkpoint);
  s.checkpoint = std::move(checkpoint);
  timeline().lap("plan");
  return s;
}

CompileOptions Session::compileOptions(const CommonOptions &o) const {
  CompileOptions c;
  c.backend = o.backend, c.targetCpu = o.targetCpu, c.mlirFlags = mlirFlagsGiven, c.build = compilerText(), c.tune = o.tune, c.neurons = neurons;
  if (c.tune && c.backend != "cpu") throw Error(Exit::Usage, "E0108", "the reference has no tiles that could be tuned", "leave `--tune` or `--backend=reference` out");
  return c;
}

void printTimes(const TimingArguments &a) {
  if (a.timing) fmt::print(stderr, "{}", timeline().table());
  if (!a.trace.empty()) writeFile(systemFiles(), a.trace, timeline().trace());
}

void startProfile(Executable &e) {
  auto *c = dynamic_cast<CompiledExecutable *>(&e);
  if (!c) throw Error(Exit::Input, "E0801", "the reference walks a program and has no launches that could be measured", "leave `--backend=reference` out");
  c->profile(true);
}
void printProfile(const Executable &e, const std::string &format, const std::string &out) {
  const Profile p = Profile::of(dynamic_cast<const CompiledExecutable &>(e), format);
  fmt::print(stderr, "{}", p.table());
  if (!out.empty()) writeFile(systemFiles(), out, p.json());
}

Exit report(LoadedProgram &p) {
  fmt::print(stderr, "{}", p.takeMessages());
  return p.diags.errors() ? Exit::Input : Exit::Ok;
}

std::map<std::string, int64_t> dimOptions(const std::vector<std::string> &given, const char *option) {
  std::map<std::string, int64_t> dims;
  for (const std::string &d : given) {
    size_t eq = d.find('=');
    int64_t size = 0;
    const char *end = d.data() + d.size();
    if (eq == std::string::npos || eq == 0 || std::from_chars(d.data() + eq + 1, end, size).ptr != end || size < 1)
      throw Error(Exit::Usage, "E0105", fmt::format("`{} {}` is not NAME=SIZE", option, d), fmt::format("write `{} D=64`", option));
    dims[d.substr(0, eq)] = size;
  }
  return dims;
}

} // namespace fil
