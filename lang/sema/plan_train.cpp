// SPDX-License-Identifier: Apache-2.0
// The clauses that act, typed: train, precision, contracts on data. Values have passed the table, so reading them cannot
// fail; what is checked here is how settings fit together and to the model.
#include "lang/sema/plan_check.h"
#include <algorithm>
#include <cmath>

namespace fil::sema {

using namespace ast;

const Setting *findSetting(const Settings &all, const std::string &key) {
  for (const Setting &s : all.settings)
    if (!s.path && keyOf(s).name == key && keyOf(s).whole) return &s;
  return nullptr;
}
const Item *optionOf(const Setting &s, const std::string &name) {
  for (const Phrase &p : s.phrases)
    for (const Item &i : p.items)
      if (i.kind == Item::Keyed && i.key.size() == 1 && i.key[0].name == name) return &i;
  return nullptr;
}
std::string joinedNames(const std::vector<std::string> &all) {
  std::string t;
  for (const std::string &n : all) t += (t.empty() ? "`" : ", `") + n + "`";
  return t;
}

namespace {
std::string textOf(const Expr &e) {
  auto *n = std::get_if<Name>(&e.is);
  return n ? n->name : "";
}
const char *textOf(BinaryOp comparison) { return comparison == BinaryOp::Lt ? "<" : comparison == BinaryOp::Le ? "<=" : comparison == BinaryOp::Gt ? ">" : ">="; }
int64_t wholeOf(const Expr &e) { return int64_t(numberOf(e)); }

/// Values behind the key, options left out.
std::vector<const Expr *> valuesOf(const Setting &s) {
  std::vector<const Expr *> all;
  for (const Phrase &p : s.phrases)
    for (const Item &i : p.items)
      if (i.kind == Item::Value && &i != &s.phrases[0].items[0]) all.push_back(i.value.from.get());
  return all;
}
std::vector<const Item *> optionsOf(const Setting &s) {
  std::vector<const Item *> all;
  for (const Phrase &p : s.phrases)
    for (const Item &i : p.items)
      if (i.kind == Item::Keyed) all.push_back(&i);
  return all;
}

DataSource sourceOf(const std::string &input, const Expr &e, Span span) {
  DataSource d;
  d.input = input, d.span = span;
  const Expr *r = &e;
  if (auto *b = std::get_if<Binary>(&e.is)) {
    d.scale = b->op == BinaryOp::Div ? 1 / numberOf(*b->right) : numberOf(*b->right);
    r = b->left.get();
  }
  auto &c = std::get<Call>(r->is);
  const std::string reader = textOf(*c.callee);
  d.kind = reader == "text" ? DataSource::Text : reader == "idx" ? DataSource::Idx : DataSource::Npy;
  for (const Argument &a : c.args) d.files.push_back(std::get<String>(std::get<ExprPtr>(a.is)->is).value);
  return d;
}
/// Readers of `data` or `validate`, named and unnamed.
std::vector<DataSource> sourcesOf(const Setting &s) {
  std::vector<DataSource> all;
  for (const Expr *e : valuesOf(s))
    if (!std::holds_alternative<Name>(e->is)) all.push_back(sourceOf("", *e, e->span));
  for (const Item *i : optionsOf(s))
    if (i->key[0].name != "every") all.push_back(sourceOf(i->key[0].name, *i->value.from, i->span));
  return all;
}

/// One text, or one array for every input.
void checkSources(PlanContext &c, const std::vector<DataSource> &all, Span at, const std::string &model, const std::string &batch) {
  std::vector<std::string> inputs, fed;
  for (const Node *in : c.graph->inputs) inputs.push_back(in->name);
  const bool text = all[0].kind == DataSource::Text;
  for (const DataSource &d : all) {
    if (d.kind == DataSource::Text && all.size() > 1) {
      c.diags.report(Msg::P0417, d.span, "a text stands alone: it gives `tok`, `pos` and `t`");
      return;
    }
    if (d.kind == DataSource::Text && !d.input.empty()) {
      c.diags.report(Msg::P0417, d.span, "a text feeds no single input: it gives `tok`, `pos` and `t`").help("write `text(..)` without a name");
      return;
    }
    if (d.kind != DataSource::Text && d.input.empty()) {
      c.diags.report(Msg::P0417, d.span, "which input does this array feed?").help("name it: `" + inputs[0] + "=..`");
      return;
    }
    fed.push_back(d.input);
  }
  if (text) fed = {"tok", "pos", "t"};
  for (const Node *in : c.graph->inputs) // `pos: int[T]` counts by itself
    if (in->name == "pos" && in->type.elem == Elem::Int && in->type.dims.size() == 1 && in->type.dims[0]->name != batch) fed.push_back(in->name);
  for (const Node *in : c.graph->inputs)
    if (auto d = std::find_if(all.begin(), all.end(), [&](const DataSource &x) { return x.input == in->name; }); d != all.end())
      if (std::none_of(in->type.dims.begin(), in->type.dims.end(), [&](const sema::Dim *x) { return x->name == batch; }))
        c.diags.report(Msg::P0417, d->span, fmt::format("`{}` is {} and has no dim `{}`, along which arrays count samples", in->name, in->type.str(), batch))
            .help("`batch N=32` names another dim; what all samples share is no input, but `pos: int[T]` counts by itself");
  for (const std::string &i : inputs)
    if (std::find(fed.begin(), fed.end(), i) == fed.end()) c.diags.report(Msg::P0416, at, i, model);
}

/// Null: the default.
void typeOptimizer(const Setting *s, OptimizerSettings &o) {
  const Expr *e = s ? valuesOf(*s)[0] : nullptr;
  auto *call = e ? std::get_if<Call>(&e->is) : nullptr;
  if (e) o.name = textOf(call ? *call->callee : *e);
  o.statics = o.name == "adamw" ? std::map<std::string, double>{{"b1", 0.9}, {"b2", 0.999}, {"eps", 1e-8}, {"wd", 0}} : std::map<std::string, double>{{"momentum", 0}, {"wd", 0}};
  if (!call) return;
  for (const Argument &a : call->args) {
    auto &n = std::get<Argument::Named>(a.is);
    if (n.name.name == "lr") o.lr = numberOf(*n.value);
    else if (n.name.name == "clip") o.clip = numberOf(*n.value);
    else if (n.name.name == "warmup") o.warmup = wholeOf(*n.value);
    else if (n.name.name == "decay") o.cosine = textOf(*n.value) == "cosine";
    else o.statics[n.name.name] = numberOf(*n.value);
  }
}
} // namespace

/// Metrics of the data need a label: one that the loss compares the output with.
static void checkMetric(PlanContext &c, const CheckedPlan &plan, const std::string &metric, Span at) {
  if (metric == "loss" || !c.graph || !plan.train.loss) return;
  for (const Parameter &p : plan.train.loss->params)
    for (const Node *in : c.graph->inputs) {
      if (in->name != p.name.name) continue;
      const auto &out = c.graph->outputs[0]->type.dims;
      if (in->type.elem == Elem::Bool || (metric == "accuracy" && in->type.elem == Elem::Index && std::find(out.begin(), out.end(), in->type.indexed) != out.end())) return;
    }
  c.diags.report(Msg::P0425, at, metric, plan.train.loss->name.name, metric == "accuracy" ? "`index<V>[..]` over a dim `V` of the output, or `bool[..]`" : "`bool[..]`");
}

void typeTrain(PlanContext &c, CheckedPlan &plan) {
  const size_t before = c.diags.errors();
  TrainSettings &t = plan.train;
  const Setting *clause = findSetting(c.tree.settings, "train");
  plan.hasTrain = clause != nullptr;
  typeOptimizer(clause && clause->nested ? findSetting(*clause->nested, "optim") : nullptr, t.optimizer);
  if (!clause || !clause->nested) return;
  const Settings &all = *clause->nested;
  if (auto *s = findSetting(all, "window"))
    for (const Item *i : optionsOf(*s)) t.window[i->key[0].name] = wholeOf(*i->value.from);
  if (auto *s = findSetting(all, "split"); s && std::isfinite(numberOf(*valuesOf(*s)[0]))) t.split = numberOf(*valuesOf(*s)[0]);
  if (auto *s = findSetting(all, "batch")) {
    if (auto o = optionsOf(*s); !o.empty()) t.batchDim = o[0]->key[0].name, t.batch = wholeOf(*o[0]->value.from);
    else t.batch = wholeOf(*valuesOf(*s)[0]);
  }
  if (auto *s = findSetting(all, "steps")) t.steps = wholeOf(*valuesOf(*s)[0]);
  if (auto *s = findSetting(all, "epochs")) t.epochs = wholeOf(*valuesOf(*s)[0]);
  if (auto *s = findSetting(all, "seed")) t.seed = uint64_t(wholeOf(*valuesOf(*s)[0]));
  if (auto *s = findSetting(all, "checkpoint")) t.checkpointEvery = wholeOf(*optionOf(*s, "every")->value.from);
  if (auto *s = findSetting(all, "data")) {
    t.data = sourcesOf(*s);
    if (t.data.empty()) c.diags.report(Msg::P0406, s->span, "data", "a reader, such as `text(\"a.txt\")`, or arrays by name");
    else if (c.graph) checkSources(c, t.data, s->span, plan.model, t.batchDim);
  }
  if (auto *s = findSetting(all, "validate")) {
    t.validates = true;
    if (auto *o = optionOf(*s, "every")) t.validateEvery = wholeOf(*o->value.from);
    for (const Expr *e : valuesOf(*s))
      if (auto *n = std::get_if<Name>(&e->is)) t.metrics.push_back({n->name, e->span});
    t.validation = sourcesOf(*s);
    if (!t.validation.empty() && c.graph) checkSources(c, t.validation, s->span, plan.model, t.batchDim);
    if (!t.data.empty() && !t.validation.empty() && (t.data[0].kind == DataSource::Text) != (t.validation[0].kind == DataSource::Text))
      c.diags.report(Msg::P0417, s->span, "training and validation data are of different kinds: one is a text, the other arrays");
  }
  for (const MetricUse &m : t.metrics) checkMetric(c, plan, m.name, m.span);
  if (c.diags.errors() != before) return;
  const bool text = !t.data.empty() && t.data[0].kind == DataSource::Text;
  bool staged = false; // a stage binds the window of its own
  for (const Setting &s : all.settings) staged |= keyOf(s).name == "stage";
  if (text && t.window.empty() && !staged) c.diags.report(Msg::P0417, findSetting(all, "data")->span, "a text is cut into windows, and no `window` is given").help("for example `window T=128`");
  if (!t.data.empty() && !text && !t.window.empty()) c.diags.report(Msg::P0421, findSetting(all, "window")->span, t.window.begin()->first, plan.name);
}

void typePrecision(PlanContext &c, CheckedPlan &plan) {
  const Setting *clause = findSetting(c.tree.settings, "precision");
  const Setting *s = clause && clause->nested ? findSetting(*clause->nested, "default") : nullptr;
  if (!s) return;
  const std::string format = textOf(*valuesOf(*s)[0]);
  if (format == "f32" || format == "f64") plan.precision = format;
}
void typeState(PlanContext &c, CheckedPlan &plan) {
  const Setting *clause = findSetting(c.tree.settings, "precision");
  if (!clause || !clause->nested) return;
  auto besideF64 = [&](const Setting &s) {
    if (plan.precision == "f64") c.diags.report(Msg::P0444, s.span, print(s));
  };
  if (auto *s = findSetting(*clause->nested, "master")) {
    plan.state.master = textOf(*valuesOf(*s)[0]);
    if (plan.state.master != "f32") besideF64(*s);
  }
  if (auto *s = findSetting(*clause->nested, "moments")) {
    for (const Phrase &p : s->phrases)
      for (const Item &i : p.items) {
        const std::string text = &i == &s->phrases[0].items[0] ? "" : printItem(i);
        if (const size_t eq = text.find('='); eq != std::string::npos && !text.starts_with("rounding=")) {
          std::vector<std::string> kept;
          for (const ast::Function *f : c.program.functions())
            if (f->name.name == plan.train.optimizer.name)
              for (const ast::Parameter &p : f->params)
                if (const std::string &n = p.name.name; p.kind == ast::Parameter::Tensor && n != "p" && n != "g" && n != "t" && n != "lr") kept.push_back(n);
          if (!kept.empty() && std::find(kept.begin(), kept.end(), text.substr(0, eq)) == kept.end()) c.diags.report(Msg::P0445, i.span, plan.train.optimizer.name, text.substr(0, eq), fmt::format("`{}`", fmt::join(kept, "` and `")));
        }
        if (text == "rounding=nearest") plan.state.nearest = true;
        else if (!text.empty() && !text.starts_with("rounding=") && text != "f32") plan.state.moments.push_back(text);
      }
    if (!plan.state.moments.empty()) besideF64(*s);
  }
  if (auto *s = findSetting(*clause->nested, "cache")) {
    std::vector<std::string> names;
    for (const SitePathOf &p : c.sites)
      if (const SiteSegment &x = p.segments.back(); x.kind == Site::Cache && std::find(names.begin(), names.end(), x.name) == names.end()) names.push_back(x.name);
    for (const Item *i : optionsOf(*s))
      if (const std::string &n = i->key[0].name; std::find(names.begin(), names.end(), n) == names.end()) c.diags.report(Msg::P0454, i->span, plan.model, n, names.empty() ? "none" : joinedNames(names));
    for (const Phrase &p : s->phrases)
      for (const Item &i : p.items)
        if (const std::string text = &i == &s->phrases[0].items[0] ? "" : printItem(i); !text.empty() && text != "f32") plan.state.caches.push_back(text);
    if (!plan.state.caches.empty()) besideF64(*s);
  }
  if (auto *s = findSetting(*clause->nested, "saved")) {
    plan.state.saved = textOf(*valuesOf(*s)[0]);
    if (plan.state.saved != "f32") besideF64(*s);
  }
}

namespace {
/// `a and b or c`: `or` binds least, and plans have no brackets.
std::vector<std::vector<SignalBound>> boundsOf(const Expr &e) {
  auto &b = std::get<Binary>(e.is);
  if (b.op == BinaryOp::Or || b.op == BinaryOp::And) {
    auto left = boundsOf(*b.left), right = boundsOf(*b.right);
    if (b.op == BinaryOp::Or) left.insert(left.end(), right.begin(), right.end());
    else left[0].insert(left[0].end(), right[0].begin(), right[0].end());
    return left;
  }
  return {{{textOf(*b.left), textOf(b.op), numberOf(*b.right)}}};
}
} // namespace

void typeAdapt(PlanContext &c, CheckedPlan &plan) {
  const Setting *clause = findSetting(c.tree.settings, "precision");
  const Setting *s = clause && clause->nested ? findSetting(*clause->nested, "adapt") : nullptr;
  if (!s) return;
  AdaptSettings a;
  if (auto *every = optionOf(*s, "every")) a.every = wholeOf(*every->value.from);
  const Settings all = withDefaults("precision.adapt", *s);
  const Setting &up = *findSetting(all, "up"), &down = *findSetting(all, "down");
  a.up = boundsOf(*valuesOf(up)[0]), a.down = boundsOf(*valuesOf(down)[0]);
  auto count = [](const Expr &e) { return int64_t(std::min(numberOf(e), 1e9)); }; // more looks than a run has
  if (valuesOf(down).size() > 1) a.times = count(*valuesOf(down).back());
  a.budget = numberOf(*std::get<Binary>(valuesOf(*findSetting(all, "budget"))[0]->is).right);
  a.rest = count(*valuesOf(*findSetting(all, "rest"))[0]);
  plan.adapt = std::move(a);
}

void typeRemat(PlanContext &c, CheckedPlan &plan) {
  const Setting *clause = findSetting(c.tree.settings, "partition");
  const Setting *s = clause && clause->nested ? findSetting(*clause->nested, "remat") : nullptr;
  if (!s) return;
  for (const Expr *e : valuesOf(*s)) {
    if (auto *n = std::get_if<Name>(&e->is); n && (n->name == "auto" || n->name == "none" || n->name == "attn" || n->name == "all")) {
      plan.remat.rule = n->name;
      continue;
    }
    auto inLayers = [](const SitePathOf *p) { return std::any_of(p->segments.begin(), p->segments.end(), [](const SiteSegment &x) { return x.kind == Site::LoopSite; }); };
    const auto named = matching(pathOf(*e), c.sites), within = concerned(named, c.sites, About::Any);
    if (std::none_of(within.begin(), within.end(), inLayers)) c.diags.report(Msg::P0428, e->span, printValue(*e));
    for (const SitePathOf *p : named) plan.remat.sites.push_back(p->recorded());
  }
}

static bool isCost(const std::string &metric) { return metric == "flops" || metric == "params" || metric == "state" || metric == "mem"; }
/// In the unit that the table's factors are of; a plain number, or one of another unit, as it is.
static double inUnits(const Expr &e, const std::map<std::string, double> &units) {
  auto *q = std::get_if<Quantity>(&e.is);
  auto unit = q ? units.find(q->unit) : units.end();
  return unit == units.end() ? numberOf(e) : unit->second * std::strtod(q->number.c_str(), nullptr);
}
static double bytesOf(const Expr &e) {
  static const std::map<std::string, double> units{{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0}};
  return inUnits(e, units);
}
static double secondsOf(const Expr &e) {
  static const std::map<std::string, double> units{{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}};
  return inUnits(e, units);
}
/// Of the plan without facets, which `x` and `%` are shares of.
static bool isShare(const Expr &e) {
  auto *q = std::get_if<Quantity>(&e.is);
  return q && (q->unit == "x" || q->unit == "%");
}
/// `latency` or `latency(B=1)`: the batch, 1 unless said; none where another dim is named.
static std::optional<int64_t> batchOf(const Expr &e, const std::string &batchDim) {
  auto *call = std::get_if<Call>(&e.is);
  if (!call || call->args.empty()) return 1;
  auto *named = call->args.size() == 1 ? std::get_if<Argument::Named>(&call->args[0].is) : nullptr;
  if (!named || named->name.name != batchDim) return {};
  const double n = numberOf(*named->value);
  return n >= 1 && n == std::floor(n) && n <= 1e9 ? std::optional(int64_t(n)) : std::nullopt;
}
/// Of comparisons the first one tells.
static bool isLatency(const Expr &e) {
  if (auto *b = std::get_if<Binary>(&e.is)) return isLatency(*b->left);
  auto *call = std::get_if<Call>(&e.is);
  return textOf(call ? *call->callee : e) == "latency";
}
static void latenciesOf(PlanContext &c, const Expr &e, const Setting &s, CheckedPlan &plan) {
  auto &b = std::get<Binary>(e.is);
  if (b.op == BinaryOp::And) {
    latenciesOf(c, *b.left, s, plan), latenciesOf(c, *b.right, s, plan);
    return;
  }
  const auto batch = batchOf(*b.left, plan.train.batchDim);
  if (!batch) {
    c.diags.report(Msg::P0452, s.span, printValue(*b.left), plan.train.batchDim);
    return;
  }
  plan.latencies.push_back({*batch, textOf(b.op), secondsOf(*b.right), isShare(*b.right), s.span, printValue(e)});
}
static void contractsOf(const Expr &e, const std::string &on, Span at, CheckedPlan &plan) {
  auto &b = std::get<Binary>(e.is);
  if (b.op == BinaryOp::And) {
    contractsOf(*b.left, on, at, plan), contractsOf(*b.right, on, at, plan);
    return;
  }
  if (isCost(textOf(*b.left))) {
    plan.costs.push_back({textOf(*b.left), textOf(b.op), bytesOf(*b.right), isShare(*b.right), at, printValue(e) + (isShare(*b.right) ? " dense" : "")});
    return;
  }
  plan.contracts.push_back({textOf(*b.left), textOf(b.op), numberOf(*b.right), on, at});
}
static bool typeDrift(const Setting &s, CheckedPlan &plan) {
  const auto words = valuesOf(s);
  if (words.empty()) return false;
  if (textOf(*words[0]) == "within") {
    plan.drifts.push_back({"loss", "<=", numberOf(*words[1]), true, s.span, print(s)});
    return true;
  }
  auto *b = std::get_if<Binary>(&words[0]->is);
  if (!b || textOf(*b->left) != "drop") return false;
  plan.drifts.push_back({keyOf(s).name, textOf(b->op), numberOf(*b->right), std::get<Quantity>(b->right->is).unit == "%", s.span, print(s)});
  return true;
}
void typeContracts(PlanContext &c, CheckedPlan &plan) {
  const Setting *clause = findSetting(c.tree.settings, "require");
  if (!clause || !clause->nested) return;
  plan.bitExact = findSetting(*clause->nested, "bit_exact");
  for (const Setting &s : clause->nested->settings) {
    const bool refused = std::any_of(plan.refused.begin(), plan.refused.end(), [&](const Refused &r) { return r.span == s.span; });
    if (!refused && typeDrift(s, plan)) {
      checkMetric(c, plan, plan.drifts.back().metric, s.span);
      continue;
    }
    if (refused || s.phrases[0].items[0].kind != Item::Value || !std::holds_alternative<Binary>(s.phrases[0].items[0].value.from->is)) continue;
    if (isLatency(*s.phrases[0].items[0].value.from)) {
      latenciesOf(c, *s.phrases[0].items[0].value.from, s, plan);
      continue;
    }
    const auto words = valuesOf(s);
    const std::string on = words.empty() || textOf(*words.back()) == "dense" ? "" : textOf(*words.back());
    if (!on.empty() && !plan.train.validates) c.diags.report(Msg::P0423, s.span);
    contractsOf(*s.phrases[0].items[0].value.from, on, s.span, plan);
  }
  for (const Contract &x : plan.contracts) checkMetric(c, plan, x.metric, x.span);
}
} // namespace fil::sema
