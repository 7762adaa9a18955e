// SPDX-License-Identifier: Apache-2.0
// Plans: one table holds every key of the language with the kinds of its values; clauses that act become typed here, the
// rest stays checked text until a pass acts on it, and is refused by the command that would have to act.
#pragma once
#include "lang/sema/check.h"

namespace fil::sema {

/// `x=idx("a.gz")/255`, `text("a.txt")`
struct DataSource {
  std::string input;               ///< the input that it feeds; empty for `text`, which gives tok, pos and t
  enum Kind { Text, Idx, Npy } kind = Text;
  std::vector<std::string> files;  ///< as written; globs allowed for text
  double scale = 1;                ///< each element times this (`/255`)
  Span span;
};

struct OptimizerSettings {
  std::string name = "adamw";      ///< a function of lang/std
  std::map<std::string, double> statics; ///< b1, b2, eps, wd | momentum, wd
  double lr = 1e-3;
  std::optional<double> clip;      ///< bound of the global gradient norm
  int64_t warmup = 0;
  bool cosine = false;             ///< decay to 0 over the steps after the warm-up
};

struct MetricUse { std::string name; Span span; }; ///< `accuracy`

struct TrainSettings {
  std::vector<DataSource> data;
  std::map<std::string, int64_t> window; ///< `window T=128`
  double split = 0.9;
  std::string batchDim = "B";
  int64_t batch = 32;
  std::optional<int64_t> steps, epochs;  ///< at most one; neither: 1 epoch
  OptimizerSettings optimizer;
  const ast::Function *loss = nullptr;   ///< the model's only loss, or the one that the plan calls
  const ast::Expr *lossCall = nullptr;
  uint64_t seed = 0;
  std::optional<int64_t> validateEvery;  ///< steps; none: end of each epoch, else of the run
  bool validates = false;
  std::vector<DataSource> validation;    ///< empty: the rest of `split`
  std::vector<MetricUse> metrics;
  std::optional<int64_t> checkpointEvery;
};

struct Contract { ///< `accuracy >= 0.975 on val`, checked at the end of `train`
  std::string metric, comparison; ///< `<` `<=` `>` `>=`
  double value;                   ///< shares as 0 to 1
  std::string on;                 ///< `val`, or empty: the validation data where there are any, else the training data
  Span span;
};

/// `flops <= 0.40x dense`, checked when the plan is compiled, at its batch and window.
struct CostContract {
  std::string metric;             ///< flops (of a step; of `run`, where there is no loss), params (elements), state (bytes kept), mem (bytes kept and of the largest arena)
  std::string comparison;
  double value;
  bool ofPlain;                   ///< times that of the plan without facets
  Span span;
  std::string text;
};

/// `loss within 0.25% of f32`, `accuracy drop <= 0.8pp`: how much worse it may be than the plain plan; checked by `fil validate`.
struct DriftContract {
  std::string metric;             ///< a metric of the data
  std::string comparison;         ///< `<` `<=`
  double value;                   ///< shares as 0 to 1
  bool relative;                  ///< of the plain plan's value; else points
  Span span;
  std::string text;
};

/// `latency(B=1) <= 25ms`: the median time of a call of `run`; checked by `fil validate`.
struct LatencyContract {
  int64_t batch = 1;              ///< rows of a call
  std::string comparison;
  double value;                   ///< seconds, or a share of the plain plan's
  bool ofPlain;
  Span span;
  std::string text;
};

/// `partition { remat .. }`: what layers save for their gradient, and what the gradient computes again.
struct Remat {
  std::string rule = "auto";      ///< auto, none, attn or all
  std::vector<std::string> sites; ///< with auto: always computed again; as passes know them
};

/// `lora on load(..) { budget .. }`, beside its lines of sites.
struct LoraSettings {
  std::string base;               ///< file of the base weights; empty: none is named
  int64_t adapters = 1;           ///< at once: each row of the batch dim has one of them
  double budget = 0;              ///< adapters may have this share of the model's params; 0: lines give ranks
};

/// When masks of weights change: in each `every`-th step before the share `until` of the run.
struct TopologyEdits {
  int64_t every;
  double until;
};

/// `precision { master split; moments bf16 m=e4m3 rounding=nearest; cache bf16; saved e4m3 }`
struct StateFormats {
  std::string master = "f32";        ///< of trained params: f32 or split
  std::vector<std::string> moments;  ///< formats of what the optimizer keeps: of all, or of the state of a name, `m=e4m3`; none: f32
  bool nearest = false;              ///< rounded to the nearest; else at random
  std::vector<std::string> caches;   ///< formats of what can be looked back at: of all, or of caches of a name, `ks=e4m3`; none: f32
  std::string saved = "f32";         ///< of what loops save for their gradient
};

/// `out_snr < 22dB`
struct SignalBound {
  std::string signal;            ///< out_snr, snr (dB), underflow or sat (shares)
  std::string comparison;        ///< `<` `<=` `>` `>=`
  double value;
};
/// `precision { adapt every=200 { up ..; down .. for 3; budget flops <= 8%; rest 2 } }`
struct AdaptSettings {
  int64_t every = 200;           ///< steps between two looks
  std::vector<std::vector<SignalBound>> up, down; ///< any of these, all bounds of which hold
  int64_t times = 1;             ///< looks in a row at which `down` holds
  double budget = 1;             ///< products above their format may have this share of a step's operations
  int64_t rest = 0;              ///< looks after a change at which the site stays
};

/// A line of a plan about how sites are computed; its sites as the program has them, or one that is empty: the whole program.
struct PlanFacet {
  std::string kind;                             ///< as facets are called in ir/facets.td
  std::map<std::string, std::string> settings;  ///< as written
  std::vector<std::string> sites;
  Span span;
  std::string text;                             ///< the line
  std::optional<TopologyEdits> edits;           ///< of masks
  std::vector<std::string> sharing;             ///< of masks: the sites that share the line's density
  /// A gate whose share is still to be chosen.
  bool open() const { return kind == "gate" && !settings.contains("keep"); }
};
/// Of a setting that is a number: `20%` is 0.2.
std::optional<double> numberIn(const std::string &text);

/// A clause that no pass acts on yet.
struct Refused {
  Msg code;              ///< E06xx
  std::string clause;    ///< as written
  std::string command;   ///< the command that would have to act: `train`, `run`, `serve`
  Span span;
};

struct PlanTree; ///< plan_tree.h

struct CheckedPlan {
  std::string name, model;
  TrainSettings train;
  bool hasTrain = false;
  std::string precision = "f32"; ///< f32 or f64
  StateFormats state;
  std::optional<AdaptSettings> adapt;
  Remat remat;
  LoraSettings lora;
  double gateBudget = 0;         ///< `run` may have this share of the operations that it has without gates; 0: lines say what gates keep
  std::vector<PlanFacet> facets; ///< of a program whose loops are cut as `cuts` says
  LoopCuts cuts;                 ///< where facets part the turns of a loop
  std::set<std::string> limited; ///< subsets with a capacity, as CheckOptions has them
  std::vector<Contract> contracts;
  std::vector<CostContract> costs;
  std::vector<DriftContract> drifts;
  std::vector<LatencyContract> latencies;
  bool bitExact = false;         ///< required: no instruction that rounds otherwise than products are defined
  /// Is there anything that `fil validate` alone checks?
  bool validated() const { return !drifts.empty() || !latencies.empty(); }
  std::vector<Refused> refused;
  std::string text;              ///< canonical text of the whole plan with `from` resolved: what a checkpoint keeps
  std::shared_ptr<const PlanTree> tree; ///< what `text` prints; owns `train.lossCall`
};

/// Does it keep maps as whole numbers that nothing beside them trains? Then it is a plan of `run`, and there is no step to look at.
bool onlyRuns(const CheckedPlan &);
/// Reports the clauses that `command` would have to act on and cannot; true if there are any. What concerns `compile` concerns
/// every command that compiles, and what concerns `train` concerns `validate`, which trains.
bool refuse(const CheckedPlan &, const std::string &command, Diagnostics &diags);
/// All plans of a program; mistakes go to `diags`.
std::vector<CheckedPlan> checkPlans(Program &, Diagnostics &diags);
/// The plan when none is named: every default.
CheckedPlan defaultPlan(Program &, const std::string &model, Diagnostics &diags);
/// The same plan against a program whose loops are cut otherwise.
CheckedPlan checkAgain(Program &, const CheckedPlan &, Diagnostics &diags);
/// The plan without facets, which are to be compared with it: what `sparsity`, `precision`, `lora` say is gone, and what is required.
CheckedPlan plainPlan(Program &, const CheckedPlan &);
/// The text of the plan NAME_whole, which keeps what this one trains by `qat` as whole numbers: `qat bits=4 acts=8` becomes `**: int4 acts=8`. Empty where it has no `qat`.
std::string convertedPlan(const CheckedPlan &);
/// The whole plan: `text` with every default that acts written out. It means the same plan.
std::string expanded(const CheckedPlan &);
/// The same with a comment at each line: where it comes from, and whether it is exact, approximate (and its measure) or checked only.
std::string expanded(const CheckedPlan &, const SourceManager &);
/// `--set train.steps=50`: sets one key of a plan; false with a message if there is no such key or the value does not fit.
bool setKey(Program &, CheckedPlan &, const std::string &assignment, Diagnostics &diags);

} // namespace fil::sema
