// SPDX-License-Identifier: Apache-2.0
#include "lang/sema/plan_table.h"
#include <algorithm>
#include <cctype>
#include <stdexcept>

namespace fil::sema {

static constexpr auto acts = std::nullopt;
static constexpr const char *adamwShape = "adamw(lr=ABOVE0:1e-3 b1=BELOW1:0.9 b2=BELOW1:0.999 wd=REAL:0 eps=ABOVE0:1e-8 clip=ABOVE0 warmup=COUNT:0 decay=constant|cosine:constant)";

const std::vector<ClauseRow> &clauseTable() {
  using A = About;
  static const std::vector<ClauseRow> rows = {
      // clause, key, shape, options, default, example, about, refused, command
      {"", "target", "cpu?", "", "cpu", "target cpu", A::Nothing, acts, "compile"},
      {"", "target", "cpu.avx2|cpu.avx512|sm90", "", "", "target cpu.avx512", A::Nothing, Msg::E0601, "compile"},
      {"target", "mem", "SIZE", "", "", "mem 16GiB", A::Nothing, Msg::E0601, "compile"},
      {"target", "threads", "INT", "", "", "threads 2", A::Nothing, Msg::E0601, "compile"},

      {"", "mesh", "", "virtual=auto|never|always NAME=INT", "", "mesh dp=2 tp=4 virtual=auto", A::Nothing, Msg::E0602, "compile"},

      {"", "sparsity", "", "", "", "sparsity { MoE.e*: grouped capacity=none }", A::Nothing, acts, "compile"},
      {"sparsity", "SITES", "gather", "block=INT", "", "MLA.s*: gather block=64", A::Subsets, acts, "compile"},
      {"sparsity", "SITES", "grouped", "capacity=none:none", "", "MoE.e*: grouped capacity=none", A::Subsets, acts, "compile"},
      {"sparsity", "SITES", "grouped", "capacity=ABOVE0!", "", "MoE.e*: grouped capacity=1.25", A::Subsets, acts, "compile", "points left out; measure: the loss without a capacity"},
      {"sparsity", "SITES", "gate neurons", "keep=SHARE predictor=lowrank(INT):lowrank(16) granule=INT:16 hysteresis=none|SHARE:none", "", "FFN: gate neurons keep=0.4 predictor=lowrank(8)", A::Maps, acts, "compile",
       "neurons left out; measure: the loss of the dense plan"},
      {"sparsity", "SITES", "gate channels", "keep=SHARE predictor=lowrank(INT)|squeeze:squeeze granule=INT:16 hysteresis=none|SHARE:none", "", "FFN: gate channels keep=0.5 granule=4", A::Maps, acts, "compile",
       "channels left out; measure: the loss of the dense plan"},
      {"sparsity", "budget", "FLOPBOUND", "", "", "budget flops <= 40%", A::Nothing, acts, "compile"},
      {"sparsity", "SITES", "nm(INT INT)", "", "", "wd: nm(2, 4)", A::Maps, acts, "compile", "weights left out; measure: the loss of the dense plan"},
      {"sparsity", "SITES", "blocks(GRANULE)", "density=SHARE!", "", "wd: blocks(4x4) density=0.5", A::Maps, acts, "compile", "weights left out; measure: the loss of the dense plan"},
      {"sparsity", "SITES", "set", "density=SHARE! every=INT:100 alpha=SHARE:0.3 until=SHARE:75% dist=erk|uniform:erk granule=channel|INT|GRANULE:1x1", "", "wd: set density=0.2 every=100", A::Maps, acts, "compile", "weights left out; measure: the loss of the dense plan"},
      {"sparsity", "SITES", "rigl", "density=SHARE! every=INT:100 alpha=SHARE:0.3 until=SHARE:75% dist=erk|uniform:erk granule=channel|INT|GRANULE:1x1", "",
       "e[*].wd: rigl density=0.2 every=100 alpha=0.3 until=75% dist=erk granule=1x16", A::Maps, acts, "compile", "weights left out; measure: the loss of the dense plan"},
      {"sparsity", "SITES", "prune", "density=SHARE! every=INT:100 until=SHARE:75% dist=erk|uniform:erk granule=channel|INT|GRANULE:1x1", "", "wd: prune density=0.5 until=50%", A::Maps, acts, "compile", "weights left out; measure: the loss of the dense plan"},

      {"", "precision", "", "", "", "precision { default f64 }", A::Nothing, acts, "compile"},
      {"precision", "default", "f32|f64", "", "f32", "default f64", A::Nothing, acts, "compile", "rounding; measure: f64"},
      {"precision", "default", "bf16|f16", "dgrad=f32|bf16|f16 wgrad=f32|bf16|f16 out=f32|bf16|f16", "", "default bf16", A::Nothing, acts, "compile", "rounding; measure: the loss of f32"},
      {"precision", "default", "int8|int4|int3|int2", "per=channel|tensor:channel acts=none|8|4:none", "", "default int8", A::Nothing, acts, "compile", "whole numbers; measure: the loss of f32"},
      {"precision", "default", "FORMAT", "", "", "default fp8", A::Nothing, Msg::E0604, "compile"},
      {"precision", "accum", "f32", "", "f32", "accum f32", A::Nothing, acts, "compile"},
      {"precision", "accum", "FORMAT", "", "", "accum bf16", A::Nothing, Msg::E0604, "compile"},
      {"precision", "master", "f32", "", "f32", "master f32", A::Nothing, acts, "compile"},
      {"precision", "master", "split", "", "", "master split", A::Nothing, acts, "compile", "trained params read as bf16; measure: the loss of f32"},
      {"precision", "master", "FORMAT", "", "", "master f16", A::Nothing, Msg::E0604, "compile"},
      {"precision", "moments", "f32", "", "f32", "moments f32", A::Nothing, acts, "compile"},
      {"precision", "moments", "f32|bf16|f16|e4m3|e5m2", "NAME=f32|bf16|f16|e4m3|e5m2 rounding=stochastic|nearest:stochastic", "", "moments bf16 m=e4m3", A::Nothing, acts, "compile", "rounding; measure: the loss of f32"},
      {"precision", "moments", "FORMAT", "", "", "moments int8", A::Nothing, Msg::E0604, "compile"},
      {"precision", "cache", "f32", "", "f32", "cache f32", A::Nothing, acts, "compile"},
      {"precision", "cache", "f32|bf16|f16|e4m3|e5m2", "NAME=f32|bf16|f16|e4m3|e5m2", "", "cache bf16", A::Nothing, acts, "compile", "rounding; measure: the loss of f32"},
      {"precision", "saved", "f32", "", "f32", "saved f32", A::Nothing, acts, "compile"},
      {"precision", "saved", "bf16|f16|e4m3|e5m2", "", "", "saved bf16", A::Nothing, acts, "compile", "rounding of gradients; measure: the loss of f32"},
      {"precision", "SITES", "f32|bf16|f16", "dgrad=f32|bf16|f16 wgrad=f32|bf16|f16 out=f32|bf16|f16", "", "{emb,loss}: f32", A::Any, acts, "compile", "rounding; measure: the loss of f32"},
      {"precision", "SITES", "fp8 (e4m3|e5m2)? tile(TILE TILE)?", "dgrad=f32|bf16|f16|e4m3|e5m2 wgrad=f32|bf16|f16|e4m3|e5m2 out=f32|bf16|f16 promote_every=INT", "",
       "{wg,wd}: fp8 e4m3 tile(1x128, 128x128) promote_every=128", A::Any, acts, "compile", "rounding; measure: the loss of f32"},
      {"precision", "SITES", "int8|int4|int3|int2", "per=channel|tensor:channel acts=none|8|4:none", "", "{wg,wd}: int4", A::Maps, acts, "compile", "whole numbers; measure: the loss of f32"},
      {"precision", "SITES", "FORMAT", "", "", "wd: f64", A::Any, Msg::E0604, "compile"},
      {"precision", "wire", "", "WIRE=f64|f32|bf16|f16|fp8|int8", "", "wire dp.grad=bf16", A::Nothing, Msg::E0604, "compile"},
      {"precision", "adapt", "", "every=INT:200", "", "adapt every=200 { up out_snr < 22dB }", A::Nothing, acts, "train", "formats that follow the data; measure: the loss of f32"},
      {"precision.adapt", "up", "SIGNAL", "", "out_snr < 22dB or underflow > 5%", "up out_snr < 22dB or underflow > 5%", A::Nothing, acts, "train"},
      {"precision.adapt", "down", "SIGNAL (for INT)?", "", "out_snr > 28dB for 3", "down out_snr > 28dB for 3", A::Nothing, acts, "train"},
      {"precision.adapt", "budget", "STEPBOUND", "", "flops <= 8%", "budget flops <= 8%", A::Nothing, acts, "train"},
      {"precision.adapt", "rest", "INT", "", "2", "rest 2", A::Nothing, acts, "train"},
      {"precision", "qat", "", "bits=8|4|3|2:8 per=channel|tensor:channel acts=none|8|4:none steps=INT warm=SHARE", "", "qat bits=4 acts=8 steps=2000 warm=20%", A::Nothing, acts, "compile", "whole numbers; measure: the loss of f32"},
      {"precision", "SITES", "qat", "bits=8|4|3|2:8 per=channel|tensor:channel acts=none|8|4:none steps=INT warm=SHARE", "", "{wg,wd}: qat bits=2", A::Maps, acts, "compile", "whole numbers; measure: the loss of f32"},

      {"", "lora", "(on load(STRING))?", "", "", "lora on load(\"base.ckpt\") { wd: r=8 alpha=16 }", A::Nothing, acts, "compile"},
      {"lora", "SITES", "", "r=INT alpha=ABOVE0 init=gauss|zero:gauss variant=plain|rs|dora:plain merge=auto|always|never|masked:auto", "", "wd: r=8 alpha=16 init=gauss merge=auto", A::Maps, acts, "compile", "updates of low rank; measure: the loss of training all"},
      {"lora", "adapters", "INT", "", "", "adapters 64", A::Nothing, acts, "compile"},
      {"lora", "budget", "PARAMBOUND", "", "", "budget params <= 1%", A::Nothing, acts, "compile"},

      {"", "partition", "", "", "", "partition { layers over pp by cost }", A::Nothing, acts, "compile"},
      {"partition", "layers", "over AXIS (by (cost|count))?", "", "", "layers over pp by cost", A::Nothing, Msg::E0606, "compile"},
      {"partition", "schedule", "1f1b|gpipe|zb_v", "microbatch=INT", "", "schedule 1f1b microbatch=8", A::Nothing, Msg::E0606, "compile"},
      {"partition", "remat", "auto|none|attn|all|SITE+", "", "auto", "remat attn", A::Nothing, acts, "compile"},
      {"partition", "search", "minimize METRIC (subject to CONDITION)?", "", "", "search minimize step_time subject to mem <= 120GiB { tp in 1, 2 }", A::Nothing, Msg::E0606, "compile"},
      {"partition.search", "NAME", "KNOB in (INT|none|attn|all|1f1b|gpipe|zb_v)+", "", "", "tp in 1, 2", A::Nothing, Msg::E0606, "compile"},
      {"partition", "DIM", "DIM over AXIS", "", "", "B over dp", A::Nothing, Msg::E0606, "compile"},

      {"", "train", "", "", "", "train { steps 100 }", A::Nothing, acts, "train"},
      {"train", "data", "READER?", "INPUT=READER", "", "data x=idx(\"images.gz\")/255, t=npy(\"labels.npy\")", A::Nothing, acts, "train"},
      {"train", "tokens", "bytes", "", "bytes", "tokens bytes", A::Nothing, acts, "train"},
      {"train", "tokens", "bpe(INT)", "", "", "tokens bpe(32768)", A::Nothing, Msg::E0607, "train"},
      {"train", "window", "", "FREE=INT!", "", "window T=128", A::Nothing, acts, "train"},
      {"train", "split", "SPLIT", "", "0.9", "split 0.9", A::Nothing, acts, "train"},
      {"train", "split", "by time", "", "", "split by time", A::Nothing, Msg::E0607, "train"},
      {"train", "batch", "INT", "", "32", "batch 32", A::Nothing, acts, "train"},
      {"train", "batch", "", "FREE=INT!", "", "batch B=32", A::Nothing, acts, "train"},
      {"train", "steps", "INT", "", "", "steps 2000", A::Nothing, acts, "train"},
      {"train", "epochs", "INT", "", "1", "epochs 5", A::Nothing, acts, "train"},
      {"train", "optim", adamwShape, "", "adamw",
       "optim adamw(lr=3e-4, wd=0.1, clip=1.0, warmup=100, decay=cosine)", A::Nothing, acts, "train"},
      {"train", "optim", "sgd(lr=ABOVE0! momentum=BELOW1:0 wd=REAL:0 clip=ABOVE0 warmup=COUNT:0 decay=constant|cosine:constant)", "", "",
       "optim sgd(lr=0.1, momentum=0.9, wd=1e-4)", A::Nothing, acts, "train"},
      {"train", "loss", "LOSS", "", "", "loss nll", A::Nothing, acts, "train"},
      {"train", "class_weight", "auto?", "", "", "class_weight auto", A::Nothing, Msg::E0607, "train"},
      {"train", "seed", "COUNT", "", "0", "seed 7", A::Nothing, acts, "train"},
      {"train", "validate", "(READER|DATAMETRIC)+?", "every=INT INPUT=READER", "", "validate every=200, accuracy", A::Nothing, acts, "train"},
      {"train", "checkpoint", "", "every=INT!", "", "checkpoint every=500", A::Nothing, acts, "train"},
      {"train", "schedule", "NAME|TIME", "", "", "schedule weekly", A::Nothing, Msg::E0607, "train"},
      {"train", "stage", "NAME (ltd layers RANGE)? (until CONDITION)?", "data=SHARE select=all|margin lr=RATIO keep=SHARE steps=INT FREE=INT", "",
       "stage mid T=1024 data=30% select=margin steps=20000", A::Nothing, Msg::E0607, "train"},

      {"", "distill", "from TEACHER", "", "", "distill from Teacher@\"teacher.ckpt\" { loss 0.7*kl(T=2, top=64) + 0.3*nll }", A::Nothing, Msg::E0608, "train"},
      {"distill", "loss", "LOSSES", "", "", "loss 0.7*kl(T=2, top=64) + 0.3*nll", A::Nothing, Msg::E0608, "train"},
      {"distill", "cache", "none|teacher", "", "", "cache teacher", A::Nothing, Msg::E0608, "train"},

      {"", "serve", "", "", "", "serve { batch fifo }", A::Nothing, acts, "serve"},
      {"serve", "classes", "CLASS+", "", "", "classes short(T <= 128, ttft <= 200ms) long(ttft <= 2s)", A::Nothing, Msg::E0609, "serve"},
      {"serve", "batch", "slack_first|fifo", "budget=auto|INT chunk=INT", "", "batch slack_first budget=auto chunk=512", A::Nothing, Msg::E0609, "serve"},
      {"serve", "replicas", "(INT|RANGE) (forecast (none|seasonal(TIME+)))?", "q=SHARE", "", "replicas 1..=8 forecast seasonal(1d, 7d) q=0.85", A::Nothing, Msg::E0609, "serve"},
      {"serve", "brownout", "fallback? -> OTHER", "", "", "brownout fallback -> smaller", A::Nothing, Msg::E0609, "serve"},

      {"", "explain", "", "", "", "explain { attribution ig(steps=32) }", A::Nothing, acts, "serve"},
      {"explain", "attribution", "(none|ig(steps=INT)) (as NAME)?", "top=INT", "", "attribution ig(steps=32) top=4 as reason_codes", A::Nothing, Msg::E0610, "serve"},
      {"explain", "monotone", "(LABEL (up|down))+", "", "", "monotone num.amount up", A::Nothing, Msg::E0610, "train"},

      {"", "rollout", "", "", "", "rollout { champion keep 2 }", A::Nothing, acts, "serve"},
      {"rollout", "shadow", "TIME -> canary PERCENT+ each TIME", "", "", "shadow 7d -> canary 1% 5% 25% 100% each 24h", A::Nothing, Msg::E0611, "serve"},
      {"rollout", "gate", "CONDITION+", "", "", "gate recall >= champion - 0.5pp, p99 <= 10ms", A::Nothing, Msg::E0611, "serve"},
      {"rollout", "champion", "keep INT", "", "", "champion keep 2", A::Nothing, Msg::E0611, "serve"},
      {"rollout", "rollback", "(auto|never) (on EVENT+)?", "", "", "rollback auto on gate fail", A::Nothing, Msg::E0611, "serve"},

      {"", "fallback", "", "", "", "fallback { alarm }", A::Nothing, acts, "serve"},
      {"fallback", "on", "EVENT+ -> MODEL", "", "", "on error, timeout 8ms, drift psi > 0.25, nan -> Rules", A::Nothing, Msg::E0612, "serve"},
      {"fallback", "breaker", "INT errors in TIME", "", "", "breaker 5 errors in 10s", A::Nothing, Msg::E0612, "serve"},
      {"fallback", "half_open", "TIME", "", "", "half_open 30s", A::Nothing, Msg::E0612, "serve"},
      {"fallback", "alarm", "", "", "", "alarm", A::Nothing, Msg::E0612, "serve"},

      {"", "require", "", "", "", "require { loss <= 3 }", A::Nothing, acts, "train"},
      {"require", "loss", "within PERCENT of f32", "", "", "loss within 0.25% of f32", A::Nothing, acts, "validate"},
      {"require", "loss", "within PERCENT of FORMAT", "", "", "loss within 0.25% of bf16", A::Nothing, Msg::E0613, "train"},
      {"require", "deterministic", "replay", "", "", "deterministic replay", A::Nothing, acts, "train"},
      {"require", "bit_exact", "", "", "", "bit_exact", A::Nothing, acts, "train"},
      {"require", "batch_invariant", "", "", "", "batch_invariant", A::Nothing, Msg::E0614, "compile"},
      {"require", "audit", "NAME+", "", "", "audit inputs_hash plan_hash score", A::Nothing, Msg::E0614, "serve"},
      {"require", "METRIC", "DATABOUND (on VALIDATION)?", "", "", "accuracy >= 0.975 on val", A::Nothing, acts, "train"},
      {"require", "METRIC", "COSTBOUND dense?", "", "", "flops <= 0.40x dense", A::Nothing, acts, "compile"},
      {"require", "METRIC", "LATENCYBOUND dense?", "", "", "latency(B=1) <= 25ms", A::Nothing, acts, "validate"},
      {"require", "METRIC", "METRICBOUND dense? (on VALIDATION)?", "", "", "p99 <= 25ms", A::Nothing, Msg::E0613, "train"},
      {"require", "METRIC", "DATAMETRIC DROP (on VALIDATION)?", "", "", "accuracy drop <= 0.8pp on val", A::Nothing, acts, "validate"},
  };
  return rows;
}

const std::vector<KindRow> &kindTable() {
  static const std::vector<KindRow> kinds = {
      {"INT", "a whole number from 1 on, such as `32`"},
      {"COUNT", "a whole number from 0 on, such as `100`"},
      {"REAL", "a number from 0 on, such as `0.1`"},
      {"ABOVE0", "a number above 0, such as `1e-3`"},
      {"BELOW1", "a number from 0 to below 1, such as `0.9`"},
      {"SPLIT", "a share above 0 and below 1, such as `0.9` or `90%`"},
      {"SHARE", "a share above 0 and up to 1, such as `0.4` or `40%`"},
      {"PERCENT", "a percentage, such as `25%`"},
      {"RATIO", "a ratio, such as `0.3x`"},
      {"SIZE", "a number of bytes in B KB MB GB TB KiB MiB GiB TiB, such as `16GiB`"},
      {"TIME", "a time in ns us ms s min h d, such as `200ms`"},
      {"TILE", "what shares a scale: `tensor`, `row`, or a shape such as `1x128`"},
      {"GRANULE", "neighbours along both sides of a map, such as `16x16`"},
      {"RANGE", "a range, such as `2..10`"},
      {"STRING", "a file in quotes, such as `\"a.npy\"`"},
      {"NAME", "a name"},
      {"FORMAT", "a number format: f64 f32 bf16 f16 int8 int4 fp8"},
      {"DIM", "a dim of the program"},
      {"FREE", "a dim that the program leaves open, such as `T`"},
      {"AXIS", "an axis of the plan's `mesh`"},
      {"WIRE", "an axis of the plan's `mesh` and what goes over it, such as `dp.grad`"},
      {"KNOB", "an axis of the plan's `mesh`, or `remat`, `schedule`, `microbatch`"},
      {"SITE", "a site of the model, such as `MLA.c`"},
      {"INPUT", "an input of the model or its loss"},
      {"LABEL", "an input with a label of one of its dims, such as `num.age`"},
      {"READER", "a reader: `text(\"..\")`, `idx(\"..\")` or `npy(\"..\")`, the last two also `/255`"},
      {"LOSS", "a loss of the program, such as `nll` or `focal(gamma=2)`"},
      {"LOSSES", "a sum of losses and `kl(..)`, such as `0.7*kl(T=2) + 0.3*nll`"},
      {"MODEL", "a model of the program"},
      {"TEACHER", "a model and its file, such as `Big@\"big.ckpt\"`"},
      {"OTHER", "a plan or a model of the program"},
      {"CLASS", "a class of requests, such as `short(T <= 128, ttft <= 200ms)`"},
      {"EVENT", "an event: error, nan, timeout TIME, drift CONDITION, gate fail"},
      {"CONDITION", "a comparison, such as `p99 <= 10ms`"},
      {"SIGNAL", "comparisons of out_snr, snr (in dB), underflow and sat (shares), such as `out_snr < 22dB or underflow > 5%`"},
      {"METRIC", "a metric: loss accuracy recall fpr flops params state mem latency p99 step_time"},
      {"DATAMETRIC", "a metric of the data: loss accuracy recall fpr"},
      {"DATABOUND", "a bound of loss, accuracy, recall or fpr, such as `accuracy >= 0.975`"},
      {"FLOPBOUND", "an upper bound of the operations of `run` as a share of those without gates, such as `flops <= 40%`"},
      {"STEPBOUND", "an upper bound of a share of a step's operations, such as `flops <= 8%`"},
      {"PARAMBOUND", "an upper bound of params as a share of the model's, such as `params <= 1%`"},
      {"COSTBOUND", "a bound of flops, params, state or mem, such as `state <= 0.5x` or `mem <= 2GiB`"},
      {"LATENCYBOUND", "a bound of the median time of a call of `run`, such as `latency(B=1) <= 25ms`"},
      {"METRICBOUND", "a bound of a metric, such as `p99 <= 25ms`"},
      {"DROP", "the bound of a drop, such as `drop <= 0.8pp`"},
      {"VALIDATION", "`val`, the data that `train` holds out"},
  };
  return kinds;
}

// ---- looking up ----

static bool open(const char *key) { return std::isupper((unsigned char)*key); }
int placeOf(const std::string &clause, const std::string &key) {
  int i = 0, last = int(clauseTable().size());
  for (const ClauseRow &r : clauseTable()) {
    ++i;
    if (clause == r.clause && key == r.key) return i;
  }
  return last + 1;
}
bool isClause(const std::string &clause) {
  return std::any_of(clauseTable().begin(), clauseTable().end(), [&](const ClauseRow &r) { return clause == r.clause; });
}
std::vector<const ClauseRow *> rowsOf(const std::string &clause, const std::string &key) {
  std::vector<const ClauseRow *> all;
  for (const ClauseRow &r : clauseTable())
    if (clause == r.clause && key == r.key) all.push_back(&r);
  return all;
}
std::vector<const ClauseRow *> openRowsOf(const std::string &clause) {
  std::vector<const ClauseRow *> all;
  for (const ClauseRow &r : clauseTable())
    if (clause == r.clause && open(r.key) && std::string(r.key) != "SITES") all.push_back(&r);
  return all;
}
std::vector<std::string> keysOf(const std::string &clause) {
  std::vector<std::string> all;
  for (const ClauseRow &r : clauseTable())
    if (clause == r.clause && !open(r.key) && (all.empty() || all.back() != r.key)) all.push_back(r.key);
  return all;
}

// ---- shapes ----

namespace {
class ShapeParser {
public:
  explicit ShapeParser(const std::string &s) : s(s) {}
  ValueShape either() {
    ValueShape e{ValueShape::Either, "", {}, {}};
    do e.parts.push_back(sequence());
    while (take('|'));
    return e.parts.size() == 1 ? std::move(e.parts[0]) : std::move(e);
  }
  std::vector<ValueShape::Option> options(char end) {
    std::vector<ValueShape::Option> all;
    while (skip(), at < s.size() && s[at] != end) {
      ValueShape::Option o{word(), {}, false, {}};
      expect('=');
      ValueShape e{ValueShape::Either, "", {}, {}};
      do e.parts.push_back(one());
      while (at < s.size() && s[at] == '|' && take('|'));
      o.value.push_back(std::move(e));
      o.must = at < s.size() && s[at] == '!' && take('!');
      if (at < s.size() && s[at] == ':')
        for (++at; at < s.size() && s[at] != ' ' && (s[at] != ')' || o.fallback.find('(') != std::string::npos);) o.fallback += s[at++];
      all.push_back(std::move(o));
    }
    return all;
  }
  bool done() { return skip(), at == s.size(); }

private:
  const std::string &s;
  size_t at = 0;
  void skip() {
    while (at < s.size() && s[at] == ' ') ++at;
  }
  bool take(char c) {
    skip();
    return at < s.size() && s[at] == c ? ++at, true : false;
  }
  void expect(char c) {
    if (!take(c)) throw std::logic_error("shape `" + s + "`: expected " + c + " at " + std::to_string(at));
  }
  std::string word() {
    size_t from = at;
    while (at < s.size() && (std::isalnum((unsigned char)s[at]) || s[at] == '_' || s[at] == '.')) ++at;
    if (at == from) throw std::logic_error("shape `" + s + "`: expected a word at " + std::to_string(at));
    return s.substr(from, at - from);
  }
  ValueShape sequence() {
    ValueShape q;
    while (skip(), at < s.size() && s[at] != '|' && s[at] != ')') {
      ValueShape p = one();
      while (at < s.size() && (s[at] == '?' || s[at] == '+')) {
        ValueShape outer{s[at++] == '?' ? ValueShape::Optional : ValueShape::Repeat, "", {}, {}};
        outer.parts.push_back(std::move(p));
        p = std::move(outer);
      }
      q.parts.push_back(std::move(p));
    }
    return q;
  }
  ValueShape one() {
    skip();
    if (at + 1 < s.size() && s[at] == '-') return at += 2, ValueShape{ValueShape::Arrow, "->", {}, {}};
    if (take('(')) {
      ValueShape e = either();
      expect(')');
      return e;
    }
    ValueShape w{ValueShape::Word, word(), {}, {}};
    if (std::isupper((unsigned char)w.text[0])) w.kind = ValueShape::Value;
    if (at < s.size() && s[at] == '(') {
      ++at;
      w.kind = ValueShape::Call;
      while (skip(), at < s.size() && s[at] != ')') { // positional arguments come first
        size_t before = at;
        word();
        bool named = at < s.size() && s[at] == '=';
        at = before;
        if (named) break;
        ValueShape p = one();
        if (at < s.size() && s[at] == '+') {
          ++at;
          ValueShape outer{ValueShape::Repeat, "", {}, {}};
          outer.parts.push_back(std::move(p));
          p = std::move(outer);
        }
        w.parts.push_back(std::move(p));
      }
      w.options = options(')');
      expect(')');
    }
    return w;
  }
};
} // namespace

ValueShape parseShape(const std::string &text) {
  ShapeParser p(text);
  ValueShape s = p.either();
  if (!p.done()) throw std::logic_error("shape `" + text + "`: something is left over");
  return s;
}
std::vector<ValueShape::Option> parseOptions(const std::string &text) { return ShapeParser(text).options('\0'); }
} // namespace fil::sema
