// SPDX-License-Identifier: Apache-2.0
// `fil train`: a plan's recipe on its data, to a folder with checkpoint, metrics and log.
#include "runtime/train/train.h"
#include "runtime/base/log.h"
#include "runtime/base/settings.h"
#include "tools/driver/data.h"
#include "tools/driver/timeline.h"
#include "tools/fil/cached_program.h"
#include <csignal>
#include <unistd.h>

namespace fil {
namespace {

std::atomic<bool> interrupted;

/// The first signal lets the step finish; the second ends the process as it would have anyway.
void catchSignals() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = true; };
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

std::optional<Checkpoint> startingPoint(const TrainArguments &a) {
  const std::string last = a.out + "/last.safetensors";
  if (a.resume && !systemFiles().exists(last)) throw Error(Exit::Input, "E0501", fmt::format("there is no `{}` to go on from", last), "leave `--resume` out to begin");
  if (a.resume || !a.weights.empty()) return readCheckpoint(systemFiles(), a.resume ? last : a.weights);
  return {};
}

TrainOptions optionsOf(const Session &s, const TrainArguments &a, const std::string &target, Dataset &data, Binding sizes) {
  const sema::TrainSettings &t = s.plan.train;
  TrainOptions r;
  r.folder = a.out;
  const int64_t epoch = data.stepsPerEpoch(t.batch);
  r.schedule = {t.optimizer.lr, t.optimizer.warmup, t.steps ? *t.steps : t.epochs.value_or(1) * epoch, t.optimizer.cosine};
  r.stopAt = a.steps;
  r.batchDim = t.batchDim, r.batch = t.batch, r.sizes = std::move(sizes);
  r.validates = t.validates, r.validateEvery = t.validateEvery ? *t.validateEvery : t.steps ? 0 : epoch;
  r.checkpointEvery = t.checkpointEvery.value_or(0);
  for (const sema::MetricUse &m : t.metrics) r.metrics.push_back(m.name);
  for (const sema::Contract &c : s.plan.contracts) r.contracts.push_back({c.metric, c.comparison, c.value});
  for (const sema::TopologyEdits &e : s.plan.edits) {
    if (double(e.every) >= e.until * double(r.schedule.steps))
      throw Error(Exit::Input, "P0443", fmt::format("`{}` never changes its mask: the first time would be step {}, and the last is before step {:.0f}", e.line, e.every, e.until * double(r.schedule.steps)), findRow("P0443")->help);
    r.edits.push_back({e.every, e.until});
  }
  r.info = {0, a.seed.value_or(t.seed), 0, s.plan.model, s.plan.name, s.plan.text, s.program->dimSizes(), s.dimsGiven, target, 0, 0};
  r.interrupted = &interrupted;
  return r;
}

/// Where a resumed run begins; what it must have in common with the run before.
void goOn(TrainOptions &options, const Checkpoint &c, const TrainArguments &a, Dataset &data, Progress &progress) {
  const CheckpointInfo &before = c.info;
  if (a.seed && *a.seed != before.seed)
    throw Error(Exit::Input, "E0513", fmt::format("`{}` was trained with seed {}, not {}", c.path, before.seed, *a.seed), "leave `--seed` out, or begin anew from it with `--weights`");
  if (data.trainSamples() != before.trainSamples)
    throw Error(Exit::Input, "E0513", fmt::format("`{}` was trained on {} samples, but the data have {}", c.path, before.trainSamples, data.trainSamples()), "name the same data, or begin anew from it with `--weights`");
  if (before.target != options.info.target) progress.note(fmt::format("note: the checkpoint was written by code for `{}`, this is `{}`: bits may differ", before.target, options.info.target));
  progress.note(fmt::format("going on after step {} by the plan that the checkpoint carries; `--set` changes it", before.step));
  options.info.step = before.step, options.info.seed = before.seed, options.info.seconds = before.seconds;
}

} // namespace

Exit train(const CommonOptions &o, const TrainArguments &a) {
  if (a.resume && !a.weights.empty()) throw Error(Exit::Usage, "E0108", "`--resume` goes on from the folder's own checkpoint; `--weights` begins anew", "give one of them");
  if (a.resume && !a.adapter.empty()) throw Error(Exit::Usage, "E0108", "`--resume` goes on with the adapters of the folder's checkpoint", "leave `--adapter` out, or begin anew with `--weights`");
  auto session = Session::open(o, "train", startingPoint(a), !a.resume);
  if (!session) return Exit::Input;
  if (a.resume && session->plan.name != o.plan)
    throw Error(Exit::Input, "E0513", fmt::format("the run in `{}` follows the plan `{}`, not `{}`", a.out, session->plan.name, o.plan), "name that plan, or begin anew from it with `--weights`");
  sema::TrainSettings &settings = session->plan.train;
  if (session->plan.lora.adapters > 1) throw Error(Exit::Input, "P0440", fmt::format("the plan `{}` has {} adapters at once, and these are run, not trained", session->plan.name, session->plan.lora.adapters), "train each by a plan without `adapters`; `fil run --adapter 0=A 1=B` loads what it wrote");
  if (!session->plan.hasTrain) throw Error(Exit::Input, "E0510", fmt::format("the plan `{}` has no `train`: it does not say how to train", session->plan.name), "write `train { data ..; steps .. }` in it");
  if (!a.data.empty()) replaceFile(settings, a.data);
  const DataPlaces places{o.dataDir, session->program->folderOf(session->plan.name)};
  if (!session->checkpoint && !session->plan.lora.base.empty()) {
    session->checkpoint = readCheckpoint(systemFiles(), places.find(systemFiles(), session->plan.lora.base));
    checkDims(*session->program, *session->checkpoint);
  }
  PlanData files = readData(systemFiles(), settings, places);
  systemFiles().makeFolder(a.out);
  openLog(a.out + "/train.log");

  timeline().lap("data");
  auto program = compileProgram(*session, o);
  if (!program) return Exit::Input;
  printTimes(a);
  if (!program->find("step")) throw Error(Exit::Input, "P0418", fmt::format("no loss of the program fits `{}`", session->plan.model), "declare one: `loss nll(y: .., t: ..) = ..`, whose first parameter is what the model returns");
  BoundData data = bindData(std::move(files), *program, settings);
  TrainOptions options = optionsOf(*session, a, program->target(), *data.set, std::move(data.sizes));

  const bool terminal = isatty(STDERR_FILENO);
  const int64_t end = std::min(options.schedule.steps, options.stopAt.value_or(options.schedule.steps));
  Progress progress(systemClock(), terminal, end, [](const std::string &text) {
    std::fputs(text.c_str(), stderr);
    std::fflush(stderr);
  });
  initialize(*program, options.info.seed);
  if (session->checkpoint) restore(*program, *session->checkpoint, a.resume ? Restore::All : Restore::Weights);
  loadAdapters(*program, a.adapter);
  if (a.resume) goOn(options, *session->checkpoint, a, *data.set, progress);
  int64_t parameters = 0, adapters = 0;
  for (const VariableInfo &v : program->variables())
    if (v.kind == VariableInfo::Param) (v.adapter ? adapters : parameters) += *elementCount(v.shape);
  const std::string trained = adapters ? fmt::format(", {} of adapters ({:.2f}%) are trained", adapters, 100.0 * double(adapters) / double(parameters)) : "";
  progress.note(fmt::format("{}: {} parameters{}, plan {}, steps {} to {}", session->plan.model, parameters, trained, session->plan.name, options.info.step, end));
  if (adapters && !session->checkpoint) progress.note("note: the frozen weights are first values; `lora on load(\"FILE\")` or `--weights` names trained ones");
  logInfo("plan {}, model {}, back end {}, seed {}: {} parameters, steps {} to {} of {}", session->plan.name, session->plan.model, o.backend, options.info.seed, parameters, options.info.step, end, options.schedule.steps);

  catchSignals();
  if (a.profile) startProfile(*program);
  TrainResult result = fil::train(*program, *data.set, systemFiles(), systemClock(), progress, options);
  if (result.interrupted) progress.note(fmt::format("stopped after step {}; `--resume` goes on", result.step));
  else if (!result.finished && !options.contracts.empty()) progress.note(fmt::format("stopped after step {} of {}: what the plan requires is checked at its end", result.step, options.schedule.steps));
  progress.note(fmt::format("checkpoint: {}/last.safetensors", a.out));
  if (a.profile) printProfile(*program, session->plan.precision, a.profileOut);
  return Exit::Ok;
}

} // namespace fil
