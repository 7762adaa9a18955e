// SPDX-License-Identifier: Apache-2.0
// `fil train`: a plan's recipe on its data, to a folder with checkpoint, metrics, tape and log. `fil replay`: the same again, by the tape.
#include "runtime/train/tape.h"
#include "runtime/base/memory_files.h"
#include "runtime/base/philox.h"
#include "runtime/base/log.h"
#include "runtime/base/settings.h"
#include "tools/driver/timeline.h"
#include "tools/fil/cached_program.h"
#include "tools/fil/training.h"
#include <csignal>
#include <filesystem>
#include <unistd.h>

namespace fil {
namespace {

std::atomic<bool> interrupted;

std::optional<Checkpoint> startingPoint(const TrainArguments &a) {
  const std::string last = a.out + "/last.safetensors";
  if (a.resume && !systemFiles().exists(last)) throw Error(Exit::Input, "E0501", fmt::format("there is no `{}` to go on from", last), "leave `--resume` out to begin");
  if (a.resume || !a.weights.empty()) return readCheckpoint(systemFiles(), a.resume ? last : a.weights);
  return {};
}

TrainOptions optionsOf(const Session &s, const TrainArguments &a, const Executable &program, Dataset &data, Binding sizes) {
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
  for (const sema::PlanFacet &f : s.plan.facets) {
    if (f.kind == "qat") { // as fake_quantize.cpp has it
      auto number = [&](const char *key) { return f.settings.contains(key) ? sema::numberIn(f.settings.at(key)).value_or(0) : 0; };
      const double steps = double(r.schedule.steps), of = number("steps") > 0 ? std::min(number("steps"), steps) : steps;
      if (steps > 0 && of * (1 - number("warm")) < (number("steps") > 0 ? 0.5 : 1) - 1e-6) throw Error(Exit::Input, "P0458", fmt::format("`{}` never begins: behind `warm` less than a step of {:.0f} is left", f.text, of), findRow("P0458")->help);
    }
    if (!f.edits || !program.find("edit")) continue; // masks of frozen maps stand still
    const sema::TopologyEdits &e = *f.edits;
    if (double(e.every) >= e.until * double(r.schedule.steps))
      throw Error(Exit::Input, "P0443", fmt::format("`{}` never changes its mask: the first time would be step {}, and the last is before step {:.0f}", f.text, e.every, e.until * double(r.schedule.steps)), findRow("P0443")->help);
    r.edits.push_back({e.every, e.until});
  }
  if (s.plan.adapt) {
    const sema::AdaptSettings &from = *s.plan.adapt;
    auto bounds = [](const std::vector<std::vector<sema::SignalBound>> &any) {
      std::vector<std::vector<SignalBound>> all;
      for (auto &b : any)
        for (all.emplace_back(); const sema::SignalBound &x : b) all.back().push_back({x.signal, x.comparison, x.value});
      return all;
    };
    r.adapt = {from.every, bounds(from.up), bounds(from.down), from.times, from.budget, from.rest};
  }
  r.info = {0, a.seed.value_or(t.seed), 0, s.plan.model, s.plan.name, s.plan.text, s.program->dimSizes(), s.dimsGiven, program.target(), 0, 0};
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

void catchSignals() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = true; };
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

std::optional<Training> prepareTraining(Session &s, const CommonOptions &o, const TrainArguments &a) {
  sema::TrainSettings &settings = s.plan.train;
  if (s.plan.lora.adapters > 1) throw Error(Exit::Input, "P0440", fmt::format("the plan `{}` has {} adapters at once, and these are run, not trained", s.plan.name, s.plan.lora.adapters), "train each by a plan without `adapters`; `fil run --adapter 0=A 1=B` loads what it wrote");
  if (!s.plan.hasTrain) throw Error(Exit::Input, "E0510", fmt::format("the plan `{}` has no `train`: it does not say how to train", s.plan.name), "write `train { data ..; steps .. }` in it");
  if (!a.data.empty()) replaceFile(settings, a.data);
  const DataPlaces places{o.dataDir, s.program->folderOf(s.plan.name)};
  if (!s.checkpoint && !s.plan.lora.base.empty()) {
    s.checkpoint = readCheckpoint(systemFiles(), places.find(systemFiles(), s.plan.lora.base));
    checkDims(*s.program, *s.checkpoint);
  }
  PlanData files = readData(systemFiles(), settings, places);
  if (!a.out.empty()) {
    systemFiles().makeFolder(a.out);
    openLog(a.out + "/train.log");
  }
  timeline().lap("data");
  auto program = compileProgram(s, o);
  if (!program) return {};
  printTimes(a);
  if (!program->find("step")) throw Error(Exit::Input, "P0418", fmt::format("no loss of the program fits `{}`", s.plan.model), "declare one: `loss nll(y: .., t: ..) = ..`, whose first parameter is what the model returns");
  BoundData data = bindData(std::move(files), *program, settings);
  TrainOptions options = optionsOf(s, a, *program, *data.set, std::move(data.sizes));
  initialize(*program, options.info.seed);
  if (s.checkpoint) restore(*program, *s.checkpoint, a.resume ? Restore::All : Restore::Weights);
  loadAdapters(*program, a.adapter);
  return Training{std::move(program), std::move(data), std::move(options)};
}
Progress progressTo(int64_t end) {
  return Progress(systemClock(), isatty(STDERR_FILENO), end, [](const std::string &text) {
    std::fputs(text.c_str(), stderr);
    std::fflush(stderr);
  });
}

namespace {
std::string absolute(const std::string &path) { return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string(); }
std::string hashOf(const std::string &file) { return fmt::format("{:016x}", fnv1a64(systemFiles().read(file).text())); }

TapeHead headOf(const Session &s, const CommonOptions &o, const TrainArguments &a, const CheckpointInfo &info, Dataset &data) {
  TapeHead h;
  h.info = info, h.info.trainSamples = data.trainSamples(), h.info.heldSamples = data.validationSamples();
  for (size_t i = 0; i < o.files.size(); ++i) h.sources.push_back({absolute(o.files[i]), std::string(s.program->sources.text(uint32_t(i) + 2))}); // the library is the first
  h.dataDir = absolute(o.dataDir), h.data = absolute(a.data);
  if (s.checkpoint && !a.resume) h.weights = absolute(s.checkpoint->path), h.weightsHash = hashOf(s.checkpoint->path);
  for (const std::string &file : a.adapter) h.adapters.push_back(absolute(file));
  return h;
}

} // namespace

Exit train(const CommonOptions &o, const TrainArguments &a) {
  if (a.resume && !a.weights.empty()) throw Error(Exit::Usage, "E0108", "`--resume` goes on from the folder's own checkpoint; `--weights` begins anew", "give one of them");
  if (a.resume && !a.adapter.empty()) throw Error(Exit::Usage, "E0108", "`--resume` goes on with the adapters of the folder's checkpoint", "leave `--adapter` out, or begin anew with `--weights`");
  auto session = Session::open(o, "train", startingPoint(a), !a.resume);
  if (!session) return Exit::Input;
  if (a.resume && session->plan.name != o.plan)
    throw Error(Exit::Input, "E0513", fmt::format("the run in `{}` follows the plan `{}`, not `{}`", a.out, session->plan.name, o.plan), "name that plan, or begin anew from it with `--weights`");
  auto t = prepareTraining(*session, o, a);
  if (!t) return Exit::Input;
  TrainOptions &options = t->options;
  const int64_t end = std::min(options.schedule.steps, options.stopAt.value_or(options.schedule.steps));
  Progress progress = progressTo(end);
  const TapeHead head = headOf(*session, o, a, options.info, *t->data.set); // of the plan as it is now
  if (a.resume) goOn(options, *session->checkpoint, a, *t->data.set, progress);
  TapeFile tape(systemFiles(), a.out + "/tape.jsonl", head, options.info.step);
  options.tape = &tape;
  if (!tape.goesOn()) progress.note("note: the folder has no tape that this run could go on; `fil replay` will not be able to do it again");
  int64_t parameters = 0, adapters = 0;
  for (const VariableInfo &v : t->program->variables())
    if (v.kind == VariableInfo::Param) (v.adapter ? adapters : parameters) += *elementCount(v.shape);
  const std::string trained = adapters ? fmt::format(", {} of adapters ({:.2f}%) are trained", adapters, 100.0 * double(adapters) / double(parameters)) : "";
  progress.note(fmt::format("{}: {} parameters{}, plan {}, steps {} to {}", session->plan.model, parameters, trained, session->plan.name, options.info.step, end));
  if (adapters && !session->checkpoint) progress.note("note: the frozen weights are first values; `lora on load(\"FILE\")` or `--weights` names trained ones");
  logInfo("plan {}, model {}, back end {}, seed {}: {} parameters, steps {} to {} of {}", session->plan.name, session->plan.model, o.backend, options.info.seed, parameters, options.info.step, end, options.schedule.steps);

  catchSignals();
  if (a.profile) startProfile(*t->program);
  TrainResult result = fil::train(*t->program, *t->data.set, systemFiles(), systemClock(), progress, options);
  if (result.interrupted) progress.note(fmt::format("stopped after step {}; `--resume` goes on", result.step));
  else if (!result.finished && !options.contracts.empty()) progress.note(fmt::format("stopped after step {} of {}: what the plan requires is checked at its end", result.step, options.schedule.steps));
  if (session->plan.validated()) progress.note("what the plan requires of its latency or beside the plain plan is checked by `fil validate`");
  progress.note(fmt::format("checkpoint: {}/last.safetensors", a.out));
  if (a.profile) printProfile(*t->program, session->plan.precision, a.profileOut);
  return Exit::Ok;
}

Exit replay(const CommonOptions &given, const ReplayArguments &a) {
  const TapeRecord record = readTape(systemFiles(), a.tape);
  const TapeHead &head = record.head;
  int64_t last = 0;
  for (const TapeNote &n : record.notes) last = std::max(last, n.step);
  const int64_t until = a.until.value_or(record.otherwise.value_or(last));
  if (until < 1 || until > last) throw Error(Exit::Usage, "E0108", fmt::format("the tape `{}` has notes of steps up to {}, not {}", a.tape, last, until), "`--until` is a step of the run");
  if (record.otherwise && until > *record.otherwise)
    throw Error(Exit::Input, "E0524", fmt::format("after step {} the run went on by another plan or on another target than it was begun with", *record.otherwise), fmt::format("replay `--until {}`", *record.otherwise));
  CommonOptions o = given;
  MemoryFiles sources;
  for (auto &[name, text] : head.sources) sources.content[name] = text, o.files.push_back(name);
  o.plan = head.info.planName;
  if (o.dataDir.empty()) o.dataDir = head.dataDir;
  if (head.info.target == "reference") o.backend = "reference";
  else o.targetCpu = head.info.target;
  auto session = Session::open(o, "train", Checkpoint{a.tape, head.info, {}}, false, sources);
  if (!session) return Exit::Input;
  session->checkpoint.reset();
  if (!head.weights.empty()) {
    if (hashOf(head.weights) != head.weightsHash) throw Error(Exit::Input, "E0524", fmt::format("the run began with `{}`, which has changed since", head.weights), "put the file back that it began with");
    session->checkpoint = readCheckpoint(systemFiles(), head.weights);
  }
  TrainArguments t;
  t.out = a.out, t.data = head.data, t.adapter = head.adapters, t.seed = head.info.seed, t.steps = until;
  auto training = prepareTraining(*session, o, t);
  if (!training) return Exit::Input;
  Dataset &data = *training->data.set;
  if (data.trainSamples() != head.info.trainSamples || data.validationSamples() != head.info.heldSamples)
    throw Error(Exit::Input, "E0524", fmt::format("the run was on {} samples, but the data have {}", head.info.trainSamples, data.trainSamples()), "name the same data: `--data-dir`");
  Progress progress = progressTo(until);
  progress.note(fmt::format("{}: replaying the plan {} to step {}", session->plan.model, session->plan.name, until));
  TapeCheck check(record);
  training->options.tape = &check;
  training->options.validates |= !training->options.contracts.empty(); // each validation writes a checkpoint
  training->options.contracts.clear();                                 // whether they hold is known
  MemoryFiles nowhere;
  Files &to = a.out.empty() ? static_cast<Files &>(nowhere) : systemFiles();
  catchSignals();
  TrainResult result = fil::train(*training->program, data, to, systemClock(), progress, training->options);
  if (result.interrupted) progress.note(fmt::format("stopped after step {}", result.step));
  else check.finish(until);
  progress.note(check.edits + check.formats + check.states ? fmt::format("the same to the bit: {} checkpoints, {} edits, {} changes of formats", check.states, check.edits, check.formats) : "nothing on the tape up to there to compare with");
  if (!a.out.empty()) progress.note(fmt::format("checkpoint: {}/last.safetensors", a.out));
  return Exit::Ok;
}

} // namespace fil
