// SPDX-License-Identifier: Apache-2.0
// Options of all subcommands, and what they share.
#include "tools/fil/commands.h"
#include "tools/fil/compiler_library.h"
#include <CLI/CLI.hpp>

namespace fil {

struct Commands::Options {
  CommonOptions common;
  CompileArguments compile;
  TrainArguments train;
  ReplayArguments replay;
  ValidateArguments validate;
  CalibrateArguments calibrate;
  ConvertArguments convert;
  RunArguments run;
  SampleArguments sample;
  bool json = false;
  ExplainArguments explain;
  PlanArguments plan;
  std::string topic;
};

template <class F> CLI::App *Commands::add(CLI::App &app, const char *name, const char *what, F run) {
  CLI::App *sub = app.add_subcommand(name, what);
  sub->callback([this, run] { chosen = run; });
  return sub;
}

namespace {

/// An option that may be repeated; spreadLists has made one of each value.
CLI::Option *addList(CLI::App *sub, const char *name, std::vector<std::string> &to, const char *what) {
  return sub->add_option(name, to, what)->expected(1)->allow_extra_args(false)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}
void addFiles(CLI::App *sub, CommonOptions &o) {
  sub->add_option("FILE", o.files, "the program: .fil files in any order")->required();
  addList(sub, "--dim", o.dims, "NAME=SIZE..: sizes of declared dims")->type_name("NAME=SIZE");
}
void addTarget(CLI::App *sub, CommonOptions &o) {
  sub->add_option("--target-cpu", o.targetCpu, "native, x86-64-v3, x86-64-v4 or x86-64-v4+bf16")->check(CLI::IsMember({"native", "x86-64-v3", "x86-64-v4", "x86-64-v4+bf16"}))->type_name("CPU")->capture_default_str();
}
void addCommon(CLI::App *sub, CommonOptions &o, const char *plan, bool planRequired = false) {
  addFiles(sub, o);
  sub->add_option("--plan", o.plan, plan)->type_name("PLAN")->required(planRequired);
  addList(sub, "--set", o.set, "KEY=VALUE..: settings put over the plan's, e.g. train.steps=50")->type_name("KEY=VALUE");
  sub->add_option("--data-dir", o.dataDir, "where files that the plan names are looked up; else beside the plan's file")->type_name("DIR");
  sub->add_option("--threads", o.threads, "threads to compute with; the cores unless given")->check(CLI::Range(1, 1024))->type_name("N");
  addTarget(sub, o);
  sub->add_option("--backend", o.backend, "cpu: generated code; reference: the slow definition of every operation")->check(CLI::IsMember({"cpu", "reference"}))->type_name("NAME")->capture_default_str();
}
void addAdapters(CLI::App *sub, std::vector<std::string> &to) {
  addList(sub, "--adapter", to, "[N=]FILE..: adapters of their own files, over those of the checkpoint; N from 0, where the plan has several")->type_name("[N=]FILE");
}
void addTune(CLI::App *sub, CommonOptions &o) { sub->add_flag("--tune", o.tune, "chooses the tiles of contractions by running the program at the plan's sizes; results stay the same"); }
void addTiming(CLI::App *sub, TimingArguments &a) {
  sub->add_flag("--timing", a.timing, "on stderr, where the time went until the program was compiled");
  sub->add_option("--trace", a.trace, "the same as a file for chrome://tracing or Perfetto")->type_name("FILE");
}
void addProfile(CLI::App *sub, ProfileArguments &a) {
  sub->add_flag("--profile", a.profile, "on stderr, the launches by the time that they took, beside the limits of this machine");
  sub->add_option("--profile-out", a.profileOut, "the same, and as a file for `fil explain --kernels --profile FILE`")->type_name("FILE")->each([&a](const std::string &) { a.profile = true; });
}
const char *anyPlan = "a plan of the program; without it every default holds";

} // namespace

Commands::Commands(CLI::App &app) : options(std::make_unique<Options>()) {
  Options &o = *options;
  app.require_subcommand(1);
  app.set_version_flag("--version", fmt::format("Filigree, compiler {:.12}", compilerId));
  CLI::App *sub = add(app, "check", "types of every let, parameters, FLOPs and bytes", [&o] { return compilerLibrary().check(o.common, o.json); });
  addFiles(sub, o.common);
  sub->add_option("--plan", o.common.plan, "the plan to take; else a model's only one, else the defaults");
  sub->add_flag("--json", o.json, "one JSON object on stdout");

  sub = add(app, "compile", "compiles to an Executable, or prints a stage on the way", [&o] { return compilerLibrary().compile(o.common, o.compile); });
  addCommon(sub, o.common, anyPlan);
  sub->add_option("-o", o.compile.out, "the Executable, or with --emit the stage's text")->type_name("OUT");
  sub->add_option("--emit", o.compile.emit, "prints a stage and ends there: ast typed fil normalize lora sparsity qat autodiff train precision schedule kernels llvm asm")->type_name("STAGE");
  sub->add_option("--stop-after", o.compile.stopAfter, "ends after a stage")->type_name("STAGE");
  sub->add_option("--dump-dir", o.compile.dumpDir, "a numbered file for each stage")->type_name("DIR");
  addTune(sub, o.common);
  addTiming(sub, o.compile);

  sub = add(app, "train", "trains a model by a plan; checkpoint, metrics.jsonl, tape and log go to --out", [&o] { return train(o.common, o.train); });
  addCommon(sub, o.common, "the plan to train by", true);
  sub->add_option("--out", o.train.out, "the folder of last.safetensors, metrics.jsonl, tape.jsonl and train.log")->type_name("DIR")->required();
  sub->add_option("--data", o.train.data, "in place of the file of a plan that names just one")->type_name("FILE");
  sub->add_option("--weights", o.train.weights, "begins at step 0 with the params and states of a checkpoint")->type_name("CKPT");
  addAdapters(sub, o.train.adapter);
  sub->add_option("--steps", o.train.steps, "stops after step N, counted from 0 also with --resume; the schedule stays the plan's")->check(CLI::NonNegativeNumber)->type_name("N");
  sub->add_option("--seed", o.train.seed, "in place of the plan's seed")->type_name("N");
  sub->add_flag("--resume", o.train.resume, "goes on from DIR/last.safetensors, bit for bit");
  addTune(sub, o.common);
  addTiming(sub, o.train);
  addProfile(sub, o.train);

  sub = add(app, "replay", "does a run again by its tape, and compares its decisions and checkpoints bit for bit", [&o] { return fil::replay(o.common, o.replay); });
  sub->add_option("TAPE", o.replay.tape, "tape.jsonl of the folder of a `fil train`; it has the program and the plan")->required();
  sub->add_option("--until", o.replay.until, "ends after step N; else after the last that the tape notes")->check(CLI::PositiveNumber)->type_name("N");
  sub->add_option("--out", o.replay.out, "a folder for checkpoint, metrics and log; else nothing is written")->type_name("DIR");
  sub->add_option("--data-dir", o.common.dataDir, "where the data are now; else where they were")->type_name("DIR");
  sub->add_option("--threads", o.common.threads, "threads to compute with; the cores unless given")->check(CLI::Range(1, 1024))->type_name("N");

  sub = add(app, "validate", "trains the plan and the plain one alike, and checks how much worse the plan is allowed to be", [&o] { return fil::validate(o.common, o.validate); });
  addCommon(sub, o.common, "the plan, whose `require` says what must hold", true);
  sub->add_option("--data", o.validate.data, "in place of the file of a plan that names just one")->type_name("FILE");
  sub->add_option("--weights", o.validate.weights, "a checkpoint that all begin with; else the base of the plan's `lora`, else first values")->type_name("CKPT");
  sub->add_option("--steps", o.validate.steps, "ends after step N; the schedule stays the plan's")->check(CLI::PositiveNumber)->type_name("N");
  sub->add_option("--seed", o.validate.seed, "in place of the plan's seed")->type_name("N");

  sub = add(app, "calibrate", "chooses on data how much each gate of a trained model keeps, under the plan's budget", [&o] { return fil::calibrate(o.common, o.calibrate); });
  addCommon(sub, o.common, "the plan, whose gates leave `keep` open and whose `sparsity` has a `budget`", true);
  sub->add_option("--weights", o.calibrate.weights, "the checkpoint of the trained model; predictors that it lacks are made of its maps")->type_name("CKPT")->required();
  sub->add_option("--data", o.calibrate.data, "in place of the file of a plan that names just one")->type_name("FILE");
  sub->add_option("--samples", o.calibrate.samples, "held-out samples to measure the loss on, whole batches")->check(CLI::PositiveNumber)->type_name("N")->capture_default_str();
  sub->add_option("--seed", o.calibrate.seed, "of what is random in the loss")->type_name("N");
  sub->add_option("--group", o.calibrate.group, "writes weights in which neurons that are large together are neighbours, so that gates choose granules of them with less loss")->type_name("CKPT");
  sub->add_option("--out", o.calibrate.out, "the file of the plan PLAN_calibrated, which says what each gate keeps; else it goes to stdout")->type_name("FILE");

  sub = add(app, "convert", "writes what a plan has trained by `qat` as whole numbers, and the plan to run them", [&o] { return fil::convert(o.common, o.convert); });
  addCommon(sub, o.common, "another plan than the checkpoint's; one that has `int8` or `int4` rounds weights as they are");
  sub->add_option("--weights", o.convert.weights, "the checkpoint")->type_name("CKPT")->required();
  sub->add_option("--out", o.convert.out, "the file of weights, which carries the plan PLAN_whole")->type_name("FILE")->required();

  sub = add(app, "run", "computes a trained model on arrays", [&o] { return fil::run(o.common, o.run); });
  addCommon(sub, o.common, "another plan than the checkpoint's");
  sub->add_option("--weights", o.run.weights, "the checkpoint")->type_name("CKPT")->required();
  addAdapters(sub, o.run.adapter);
  addList(sub, "--in", o.run.in, "NAME=FILE.npy..: the model's inputs")->type_name("NAME=FILE.npy")->required();
  sub->add_option("--out", o.run.out, "the result as npy; without it, as text on stdout")->type_name("OUT.npy");
  addProfile(sub, o.run);

  sub = add(app, "sample", "writes text with a trained language model over bytes", [&o] { return sample(o.common, o.sample); });
  addCommon(sub, o.common, "another plan than the checkpoint's");
  sub->add_option("--weights", o.sample.weights, "the checkpoint")->type_name("CKPT")->required();
  addAdapters(sub, o.sample.adapter);
  sub->add_option("--prompt", o.sample.prompt, "what the text begins with; a line end, not printed, unless given")->type_name("TEXT");
  sub->add_option("--tokens", o.sample.tokens, "how many bytes to write")->check(CLI::NonNegativeNumber)->type_name("N")->capture_default_str();
  sub->add_option("--temperature", o.sample.temperature, "below 1 likelier, above 1 bolder; 0 takes the likeliest")->check(CLI::NonNegativeNumber)->type_name("X")->capture_default_str();
  sub->add_option("--top-k", o.sample.topK, "draws from the K likeliest alone; 0: from all")->check(CLI::NonNegativeNumber)->type_name("K")->capture_default_str();
  sub->add_option("--seed", o.sample.seed, "of what is drawn")->type_name("N")->capture_default_str();
  addProfile(sub, o.sample);

  sub = add(app, "explain", "what became of a site, of all kernels or of the memory of a program", [&o] {
    ExplainArguments &e = o.explain;
    const bool whole = e.kernels || e.memory;
    if (e.kernels && e.memory) throw Error(Exit::Usage, "E0108", "`--kernels` and `--memory` are two reports: one at a time");
    if (!whole && !(e.entry.empty() && e.at.empty())) throw Error(Exit::Usage, "E0108", "`--entry` and `--at` belong to `--kernels` or `--memory`");
    if (!e.profile.empty() && e.memory) throw Error(Exit::Usage, "E0108", "`--profile` belongs to a SITE or `--kernels`");
    if (!whole) {
      e.site = o.common.files.back();
      o.common.files.pop_back();
    }
    if (o.common.files.empty()) throw Error(Exit::Usage, "E0108", "`fil explain` takes files and a SITE as its last argument, or `--kernels` or `--memory`", "`fil explain model.fil 'l[*].Attention.q'`");
    return compilerLibrary().explain(o.common, e);
  });
  addCommon(sub, o.common, anyPlan);
  addTune(sub, o.common);
  sub->get_option("FILE")->description("the program's .fil files, then the SITE")->type_name("FILE.. SITE");
  sub->add_flag("--kernels", o.explain.kernels, "in place of a SITE: each kernel with its code, launches, operations and bytes");
  sub->add_flag("--memory", o.explain.memory, "in place of a SITE: the arena of each entry, and what is alive at its peak");
  sub->add_option("--entry", o.explain.entry, "of this entry alone: init step eval run prefill decode")->type_name("NAME");
  addList(sub, "--at", o.explain.at, "NAME=SIZE..: dims that have a size when the program is called; else the plan's batch and window")->type_name("NAME=SIZE");
  sub->add_option("--profile", o.explain.profile, "of a SITE or with --kernels, what was measured: a file of --profile-out")->type_name("FILE");

  sub = add(app, "plan", "a whole plan with the origin of each setting; or what one plan changes beside another one", [&o] {
    if (o.plan.expand == !o.plan.diff.empty()) throw Error(Exit::Usage, "E0108", "`fil plan` takes `--expand` or `--diff A B`", "`fil plan model.fil --plan p --expand`");
    return compilerLibrary().plan(o.common, o.plan);
  });
  addFiles(sub, o.common);
  sub->add_option("--plan", o.common.plan, "with --expand: the plan; without it every default holds")->type_name("PLAN");
  addList(sub, "--set", o.common.set, "KEY=VALUE..: settings put over the plan's")->type_name("KEY=VALUE");
  addTarget(sub, o.common);
  sub->add_flag("--expand", o.plan.expand, "prints the plan with every default; what it prints is a plan that means the same");
  sub->add_option("--diff", o.plan.diff, "two plans: what the second changes in operations, bytes, state, error and kernels, by site")->expected(2)->type_name("A B");

  sub = add(app, "cache", "compiled programs and kernels on disk: lists, verifies or clears them", [&o] { return cache(o.topic); });
  sub->add_option("WHAT", o.topic, "list: what is there, the last used first; verify: removes what is damaged; clear: removes everything")->check(CLI::IsMember({"list", "verify", "clear"}))->required();

  sub = add(app, "help", "a command, or an error code: fil help E0207", [&o, &app] {
    const CLI::App *topic = nullptr;
    for (const CLI::App *c : app.get_subcommands({}))
      if (c->get_name() == o.topic) topic = c;
    if (!topic && !o.topic.empty()) return help(o.topic);
    if (topic) fmt::print("{}", topic->help("fil"));
    else fmt::print("{}", app.get_formatter()->make_help(&app, "fil", CLI::AppFormatMode::Normal)); // app.help() would be that of `help`
    return Exit::Ok;
  });
  sub->add_option("TOPIC", o.topic, "a command or a code");
}
Commands::~Commands() = default;
Exit Commands::run() { return chosen(); }

std::vector<std::string> spreadLists(int argc, char **argv) {
  auto isPair = [](std::string_view s) {
    size_t n = 0;
    while (n < s.size() && (std::isalnum(static_cast<unsigned char>(s[n])) || s[n] == '_' || s[n] == '.')) ++n;
    return n > 0 && n < s.size() && s[n] == '=';
  };
  std::vector<std::string> spread;
  for (int i = 1; i < argc; ++i) {
    spread.push_back(argv[i]);
    if (spread.back() != "--dim" && spread.back() != "--set" && spread.back() != "--in" && spread.back() != "--at" && spread.back() != "--adapter") continue;
    const std::string option = spread.back();
    if (i + 1 < argc) spread.push_back(argv[++i]);
    while (i + 1 < argc && isPair(argv[i + 1])) spread.push_back(option), spread.push_back(argv[++i]);
  }
  return spread;
}

Exit help(const std::string &topic) {
  const MessageRow *row = findRow(topic);
  if (!row) throw Error(Exit::Usage, "E0108", fmt::format("there is no command and no message `{}`", topic), "`fil help` lists the commands");
  std::string text = row->text;
  for (char n = '0'; n <= '9'; ++n) // what a message is about
    for (size_t at; (at = text.find({'{', n, '}'})) != std::string::npos;) text.replace(at, 3, "..");
  fmt::print("{} {}: {}\n\n{}\n", row->severity == Severity::Error ? "error" : "warning", row->code, text, row->explain);
  return Exit::Ok;
}

} // namespace fil
