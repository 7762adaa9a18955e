// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/train.h"
#include "runtime/train/adapter.h"
#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "runtime/train/metrics.h"
#include "runtime/train/tape.h"
#include <cmath>

namespace fil {
namespace {

const Entry &entryOf(const Executable &program, std::string_view name) {
  const Entry *e = program.find(name);
  if (!e) throw Error(Exit::Internal, "E0702", fmt::format("the program has no entry `{}`", name));
  return *e;
}
size_t outputOf(const Entry &e, std::string_view name) {
  for (size_t i = 0; i < e.outputs.size(); ++i)
    if (e.outputs[i].name == name) return i;
  throw Error(Exit::Internal, "E0702", fmt::format("entry `{}` has no output `{}`", e.name, name));
}
std::vector<std::string> allMetrics(const TrainOptions &o) {
  std::vector<std::string> all;
  auto add = [&](const std::string &m) {
    if (m != "loss" && std::find(all.begin(), all.end(), m) == all.end()) all.push_back(m);
  };
  for (const std::string &m : o.metrics) add(m);
  for (const Contract &c : o.contracts) add(c.metric);
  return all;
}

class Trainer {
public:
  Trainer(Executable &program, Dataset &data, Files &files, Clock &clock, Progress &progress, const TrainOptions &o)
      : program(program), data(data), files(files), clock(clock), progress(progress), o(o), step(entryOf(program, "step")),
        eval(entryOf(program, "eval")), edit(program.find("edit")), adaptation(o.adapt && program.find("observe") ? std::optional<Adaptation>(std::in_place, program, *o.adapt) : std::nullopt),
        feed(entries(), data, o.batchDim, o.sizes), lossAt(outputOf(step, "loss")), normAt(outputOf(step, "grad_norm")), validates(o.validates || !o.contracts.empty()), done(o.info.step) {
    result.step = done;
    if (validates && data.validationSamples() == 0)
      throw Error(Exit::Input, "E0509", "no sample is held out to validate on", "lower `split`, or name data after `validate`");
    metrics(); // that they fit is known before the first step
  }

  TrainResult run() {
    const int64_t end = std::min(o.schedule.steps, o.stopAt.value_or(o.schedule.steps));
    files.makeFolder(o.folder);
    const double begun = clock.seconds() - o.info.seconds;
    seconds = [this, begun] { return clock.seconds() - begun; };
    MetricsFile lines(files, o.folder + "/metrics.jsonl", done);
    const bool nothingToDo = done >= end;
    while (done < end && !result.interrupted) {
      StepReport r = oneStep();
      result.interrupted = o.interrupted && o.interrupted->load() && done < end;
      if (validationIsDue() && !result.interrupted) validate(r);
      r.seconds = seconds();
      lines.add(r);
      progress.step(r);
      if (r.validLoss) tell(r);
      if (o.tape && o.tape->wants(done)) o.tape->note(noteOf(program, done, false));
      if (r.validLoss || result.interrupted || done == end || (o.checkpointEvery && done % o.checkpointEvery == 0)) save();
    }
    result.finished = done >= o.schedule.steps;
    if (adaptation && !nothingToDo) progress.note(fmt::format("formats: {} of {} products above their own{}", adaptation->promotedProducts(), adaptation->products(), adaptation->promoted() ? fmt::format(", with {:.2f}% of a step's operations", 100 * *adaptation->promoted()) : ""));
    if (nothingToDo) idle();
    if (result.finished) checkContracts();
    return result;
  }

private:
  Executable &program;
  Dataset &data;
  Files &files;
  Clock &clock;
  Progress &progress;
  const TrainOptions &o;
  const Entry &step, &eval, *edit;
  std::optional<Adaptation> adaptation;
  Feed feed;
  size_t lossAt, normAt;
  bool validates;
  int64_t done;
  Batch batch;
  TrainResult result;
  std::function<double()> seconds;

  bool validationIsDue() const { return validates && (done == o.schedule.steps || (o.validateEvery && done % o.validateEvery == 0)); }

  std::vector<const Entry *> entries() const {
    std::vector<const Entry *> all{&step, &eval};
    if (edit) all.push_back(edit);
    if (adaptation) all.push_back(&adaptation->observe());
    return all;
  }
  double progressAt(int64_t n) const { return double(n) / double(o.schedule.steps); }
  bool editIsDue(int64_t n) const {
    return edit && n && std::any_of(o.edits.begin(), o.edits.end(), [&](const Edits &e) { return n % e.every == 0 && progressAt(n) < e.until; });
  }
  /// A look that meets an edit waits for the next step that has none.
  bool lookIsDue(int64_t n) const {
    if (!adaptation || editIsDue(n)) return false;
    while (n > 0 && !adaptation->rule().looks(n, progressAt(n)) && editIsDue(n - 1)) --n;
    return adaptation->rule().looks(n, progressAt(n));
  }

  StepReport oneStep() {
    const double from = clock.seconds();
    data.trainBatch(o.info.seed, done, o.batch, batch);
    StepReport r;
    r.lr = o.schedule.at(done);
    const bool looks = lookIsDue(done);
    const Entry &now = editIsDue(done) ? *edit : looks ? adaptation->observe() : step; // all return the same two first
    auto out = program.run(now, feed.inputs(now, batch, {o.info.seed, done, r.lr, progressAt(done)}));
    r.step = ++done, result.step = done;
    if (&now == edit && o.tape) o.tape->note(noteOf(program, done, true));
    r.loss = out[lossAt].at(0), r.gradNorm = out[normAt].at(0);
    if (!std::isfinite(r.loss) || !std::isfinite(r.gradNorm))
      throw Error(Exit::Numeric, "E0706", fmt::format("the {} of step {} is {}", std::isfinite(r.loss) ? "gradient" : "loss", done, std::isfinite(r.loss) ? r.gradNorm : r.loss),
                  "lower `lr`, add `warmup`, or bound the gradient by `clip`; the last checkpoint is from before this step");
    if (looks) adapt(out, r);
    const int64_t tokens = data.tokensPerSample();
    r.tokens = tokens > 0;
    r.rate = double(batch.size * std::max<int64_t>(tokens, 1)) / std::max(clock.seconds() - from, 1e-9);
    return r;
  }

  void adapt(const std::vector<Array> &out, StepReport &r) {
    TapeNote note{done, "adapt", {}};
    for (const FormatChange &c : adaptation->decide(out)) {
      const std::string text = fmt::format("{} -> {}{}: {}", c.from, c.to, c.refused ? " refused, the budget is used up" : "", c.why);
      note.hashes[c.product] = text;
      progress.note(fmt::format("step {}: {} {}", done, c.product, text));
      logInfo("step {}: {} {}", done, c.product, text);
    }
    if (o.tape && !note.hashes.empty()) o.tape->note(note);
    r.promoted = adaptation->promoted();
  }

  MetricCounts metrics() const {
    std::vector<std::string> names = allMetrics(o);
    if (names.empty()) return MetricCounts({}, {}, {});
    const Entry *run = program.find("run");
    const Port *label = run ? labelOf(eval, *run) : nullptr;
    if (!label) throw Error(Exit::Input, "E0521", fmt::format("`{}` cannot be measured: the loss has not just one label", names[0]), "a label is an input of the loss alone, an `index<V>` or a bool");
    return MetricCounts(names, eval.outputs[outputOf(eval, "y")], *label);
  }

  /// The mean over all held-out samples: batches count by their samples, in a fixed order.
  void validate(StepReport &r) {
    MetricCounts counts = metrics();
    const size_t loss = outputOf(eval, "loss"), y = outputOf(eval, "y");
    const Entry *run = program.find("run");
    const Port *label = run && !allMetrics(o).empty() ? labelOf(eval, *run) : nullptr;
    double sum = 0;
    int64_t samples = 0;
    for (int64_t i = 0; i < data.validationBatches(o.batch); ++i) {
      data.validationBatch(i, o.batch, batch);
      auto inputs = feed.inputs(eval, batch, {o.info.seed, done, 0});
      auto out = program.run(eval, inputs);
      sum += out[loss].at(0) * double(batch.size), samples += batch.size;
      if (label) counts.add(out[y], inputs[size_t(label - eval.inputs.data())]);
    }
    result.validLoss = r.validLoss = sum / double(samples);
    result.metrics = r.metrics = counts.values();
  }

  void tell(const StepReport &r) {
    std::string line = fmt::format("step {}: validation loss {:.4f}", r.step, *r.validLoss);
    for (auto &[name, value] : r.metrics) line += fmt::format(", {} {:.4f}", name, value);
    progress.note(line);
    logInfo("{}", line);
  }

  void save() {
    CheckpointInfo info = o.info;
    info.step = done, info.seconds = seconds();
    info.trainSamples = data.trainSamples(), info.heldSamples = data.validationSamples();
    writeCheckpoint(files, o.folder + "/last.safetensors", program, info);
    if (o.tape) o.tape->note(noteOf(program, done, false));
    if (hasAdapters(program)) writeAdapter(files, o.folder + "/adapter.safetensors", program, info.model);
    logInfo("step {}: checkpoint written", done);
  }

  /// No step was left. The folder still gets its checkpoint, and a finished run its validation.
  void idle() {
    if (result.finished && validates) {
      StepReport r;
      r.step = done;
      validate(r);
      tell(r);
    }
    save();
  }

  void checkContracts() {
    for (const Contract &c : o.contracts) {
      double measured = result.validLoss.value_or(0);
      for (auto &[name, value] : result.metrics)
        if (name == c.metric) measured = value;
      if (!c.holds(measured))
        throw Error(Exit::Numeric, "E0705", fmt::format("the plan requires {} {} {}, but it is {:.4f} on the held-out samples", c.metric, c.comparison, c.value, measured),
                    "train longer or otherwise, or lower what is required; the checkpoint is written");
      logInfo("required {} {} {}: it is {:.4f}", c.metric, c.comparison, c.value, measured);
    }
  }
};

} // namespace

bool Contract::holds(double x) const {
  if (comparison == ">=") return x >= value;
  if (comparison == "<=") return x <= value;
  if (comparison == ">") return x > value;
  if (comparison == "<") return x < value;
  if (comparison == "==") return x == value;
  if (comparison == "!=") return x != value;
  throw Error(Exit::Internal, "E0702", fmt::format("`{}` compares nothing", comparison));
}

TrainResult train(Executable &program, Dataset &data, Files &files, Clock &clock, Progress &progress, const TrainOptions &o) {
  return Trainer(program, data, files, clock, progress, o).run();
}

void initialize(Executable &program, uint64_t seed) {
  const Entry &init = entryOf(program, "init");
  std::vector<Array> inputs;
  for (const Port &p : init.inputs) inputs.push_back(scalarInput(p, p.name == "seed" ? programSeed(seed) : 0));
  program.run(init, inputs);
}

} // namespace fil
