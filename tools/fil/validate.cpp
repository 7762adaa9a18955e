// SPDX-License-Identifier: Apache-2.0
// `fil validate`: a plan beside the plain one, trained from the same first values on the same samples in the same order. Where the plan is worse
// than its contracts allow, the facets and sites that cause it are found by halving: each half is trained alone. What it may cost is checked as it is compiled.
#include "tools/fil/training.h"
#include "runtime/base/log.h"
#include "runtime/base/memory_files.h"
#include <algorithm>

namespace fil {
namespace {

using Measured = std::map<std::string, double>;
/// A line of facets at one of its sites.
struct Unit {
  size_t facet;
  std::string site;
};

class Validation {
public:
  Validation(Session &session, const CommonOptions &o, const ValidateArguments &a) : session(session), plan(session.plan), o(o), a(a) {
    if (!a.weights.empty()) weights = a.weights;
    else if (!plan.lora.base.empty()) weights = DataPlaces{o.dataDir, session.program->folderOf(plan.name)}.find(systemFiles(), plan.lora.base);
  }

  void run() {
    const std::string own = "the plan " + plan.name;
    std::string missed, lines;
    if (!plan.validated() && plan.contracts.empty()) {
      prepare(plan, own);
      fmt::print("{}", whatCompilingShows());
      return;
    }
    const Measured whole = train(plan, own), plain = train(sema::plainPlan(*session.program->program, plan), "the plain plan");
    lines = whatCompilingShows();
    for (const sema::DriftContract &c : plan.drifts) {
      const bool held = holds(c, plain, whole);
      lines += fmt::format("{:<9} plain {:.4f}, plan {:.4f}: {}; required {}: {}\n", c.metric, plain.at(c.metric), whole.at(c.metric), driftText(c, plain, whole), c.text, held ? "met" : "missed");
      if (!held && missed.empty()) missed = fmt::format("the plan requires {}, but it is {}", c.text, driftText(c, plain, whole));
    }
    for (const sema::Contract &c : plan.contracts) {
      const Contract contract{c.metric, c.comparison, c.value};
      const bool held = contract.holds(whole.at(c.metric));
      lines += fmt::format("{:<9} {:.4f}; required {} {}: {}\n", c.metric, whole.at(c.metric), c.comparison, c.value, held ? "met" : "missed");
      if (!held && missed.empty()) missed = fmt::format("the plan requires {} {} {}, but it is {:.4f}", c.metric, c.comparison, c.value, whole.at(c.metric));
    }
    const bool lost = !missed.empty();
    for (const sema::LatencyContract &c : plan.latencies) {
      const double own = whole.at(latencyName(c)), other = plain.at(latencyName(c)), ratio = c.ofPlain ? own / other : own;
      const bool held = Contract{"latency", c.comparison, c.value}.holds(ratio);
      const std::string is = fmt::format("{:.4g} ms ({:.3f}x of the plain plan's {:.4g} ms)", 1e3 * own, own / other, 1e3 * other);
      lines += fmt::format("{:<9} {}; required {}: {}\n", "latency", is, c.text, held ? "met" : "missed");
      if (!held && missed.empty()) missed = fmt::format("the plan requires {}, but it is {}", c.text, is);
    }
    fmt::print(missed.empty() ? stdout : stderr, "{}", lines);
    if (missed.empty()) return;
    throw Error(Exit::Numeric, "E0708", missed, lost ? cause(plain, whole) : "`fil run --profile` tells where the time goes, `fil explain --kernels` what each kernel reaches");
  }

private:
  Session &session;
  const sema::CheckedPlan plan;
  const CommonOptions &o;
  const ValidateArguments &a;
  std::string weights; ///< what all begin with

  static bool lowerIsBetter(const std::string &metric) { return metric == "loss" || metric == "fpr"; }
  /// How much worse; below 0 where it is better.
  static double drift(const sema::DriftContract &c, const Measured &plain, const Measured &other) {
    const double worse = lowerIsBetter(c.metric) ? other.at(c.metric) - plain.at(c.metric) : plain.at(c.metric) - other.at(c.metric);
    return c.relative ? worse / std::max(std::abs(plain.at(c.metric)), 1e-300) : worse;
  }
  static std::string driftText(const sema::DriftContract &c, const Measured &plain, const Measured &other) {
    const double d = drift(c, plain, other);
    const std::string unit = c.relative ? "%" : lowerIsBetter(c.metric) && c.metric == "loss" ? "" : " points";
    return fmt::format("{:.3f}{} {}", std::abs(unit.empty() ? d : 100 * d), unit, d > 0 ? "worse" : "better");
  }
  static bool holds(const sema::DriftContract &c, const Measured &plain, const Measured &other) {
    const double d = drift(c, plain, other);
    return c.comparison == "<" ? d < c.value : d <= c.value;
  }
  static bool holds(const sema::Contract &c, const Measured &m) { return Contract{c.metric, c.comparison, c.value}.holds(m.at(c.metric)); }
  /// But for what the plain plan misses itself.
  bool holds(const Measured &plain, const Measured &other) const {
    return std::all_of(plan.drifts.begin(), plan.drifts.end(), [&](auto &c) { return holds(c, plain, other); }) &&
           std::all_of(plan.contracts.begin(), plan.contracts.end(), [&](auto &c) { return !holds(c, plain) || holds(c, other); });
  }

  static std::string latencyName(const sema::LatencyContract &c) { return fmt::format("latency {}", c.batch); }
  /// The median time of a call of `run` on so many samples, in seconds.
  double latency(Training &t, int64_t rows) const {
    constexpr double enough = 1; // seconds to look
    constexpr size_t least = 21;
    const Entry *run = t.program->find("run");
    const Feed feed({run}, *t.data.set, t.options.batchDim, t.options.sizes);
    Batch batch;
    t.data.set->trainBatch(t.options.info.seed, 0, rows, batch);
    const auto inputs = feed.inputs(*run, batch, {t.options.info.seed, 0, 0});
    std::vector<Array> outputs;
    std::vector<double> times;
    for (int i = 0; i < 3; ++i) t.program->run(*run, inputs, outputs); // weights are packed, memory is there
    for (const double begun = systemClock().seconds(); times.size() < least || systemClock().seconds() - begun < enough;) {
      const double from = systemClock().seconds();
      t.program->run(*run, inputs, outputs);
      times.push_back(systemClock().seconds() - from);
    }
    std::nth_element(times.begin(), times.begin() + long(times.size() / 2), times.end());
    return times[times.size() / 2];
  }

  /// Of a plan that has been compiled: a miss is P0441.
  std::string whatCompilingShows() const {
    std::string lines;
    for (const sema::CostContract &c : plan.costs) lines += fmt::format("{:<9} required {}: met\n", c.metric, c.text);
    if (plan.bitExact) lines += "bit_exact met: no instruction is used that rounds otherwise than products are defined\n";
    return lines;
  }
  Training prepare(const sema::CheckedPlan &p, const std::string &what) {
    session.plan = p;
    if (p.text != plan.text) session.plan.costs.clear(); // they are of the whole plan
    session.checkpoint.reset();
    if (!weights.empty()) {
      session.checkpoint = readCheckpoint(systemFiles(), weights);
      checkDims(*session.program, *session.checkpoint);
    }
    TrainArguments t;
    t.data = a.data, t.seed = a.seed, t.steps = a.steps;
    auto training = prepareTraining(session, o, t);
    if (!training) throw Error(Exit::Input, "E0513", fmt::format("{} cannot be compiled", what), "see the messages above");
    return std::move(*training);
  }
  Measured train(const sema::CheckedPlan &p, const std::string &what) {
    Training training = prepare(p, what);
    TrainOptions &options = training.options;
    const int64_t end = std::min(options.schedule.steps, options.stopAt.value_or(options.schedule.steps));
    options.validates = true, options.validateEvery = end, options.contracts.clear();
    for (auto &c : plan.drifts) options.metrics.push_back(c.metric);
    for (auto &c : plan.contracts) options.metrics.push_back(c.metric);
    Progress progress = progressTo(end);
    progress.note(what + ":");
    MemoryFiles nowhere;
    const TrainResult r = fil::train(*training.program, *training.data.set, nowhere, systemClock(), progress, options);
    if (r.interrupted) throw Error(Exit::Numeric, "E0708", "interrupted before the contracts could be checked", "begin again");
    Measured m{{"loss", r.validLoss.value_or(0)}};
    m.insert(r.metrics.begin(), r.metrics.end());
    for (const sema::LatencyContract &c : plan.latencies)
      if (!m.contains(latencyName(c))) m[latencyName(c)] = latency(training, c.batch);
    return m;
  }

  std::string named(const std::vector<Unit> &units) const {
    std::map<size_t, std::vector<std::string>> lines;
    for (const Unit &u : units) lines[u.facet].push_back(u.site.empty() ? "the whole program" : "`" + u.site + "`");
    std::vector<std::string> all;
    for (auto &[facet, sites] : lines) all.push_back(fmt::format("`{}` at {}", plan.facets[facet].text, fmt::join(sites, ", ")));
    return fmt::format("{}", fmt::join(all, " and "));
  }
  /// The plan with these alone.
  Measured trainWith(const std::vector<Unit> &units, const std::string &what) {
    sema::CheckedPlan p = plan;
    std::string left;
    for (size_t f = 0; f < p.facets.size(); ++f)
      std::erase_if(p.facets[f].sites, [&](const std::string &site) {
        const bool in = std::any_of(units.begin(), units.end(), [&](const Unit &u) { return u.facet == f && (u.site == site || plan.facets[f].kind == "gate"); });
        if (in) left += fmt::format("{} {}\n", f, site);
        return !in && matters(p.facets[f].kind);
      });
    std::erase_if(p.facets, [](const sema::PlanFacet &f) { return f.sites.empty(); });
    p.text += "\n// with " + left; // another program for the cache
    return train(p, what);
  }
  /// What cannot be compiled so (adapters are beside whole numbers, which nothing else trains) is no cause alone.
  bool missesWith(const Measured &plain, const std::vector<Unit> &units, const std::string &what) {
    try {
      return !holds(plain, trainWith(units, what));
    } catch (const Error &e) {
      if (e.exit() != Exit::Input) throw;
      logInfo("{}: {}", what, e.message());
      return false;
    }
  }
  /// Kinds that change what is computed. Without products in narrow formats `adapt` does nothing.
  static bool matters(const std::string &kind) { return kind == "topology" || kind == "gate" || kind == "lora" || kind == "blocks" || kind == "qat" || kind == "format"; }

  std::string cause(const Measured &plain, const Measured &whole) {
    if (holds(plain, whole)) {
      const auto c = std::find_if(plan.contracts.begin(), plan.contracts.end(), [&](auto &x) { return !holds(x, whole); });
      return fmt::format("the plain plan misses it too ({} {:.4f}): another recipe, or a weaker contract", c->metric, plain.at(c->metric));
    }
    std::vector<Unit> all;
    for (size_t f = 0; f < plan.facets.size(); ++f)
      if (plan.facets[f].kind == "gate") all.push_back({f, plan.facets[f].sites[0]}); // maps that make the same neurons stay together
      else if (matters(plan.facets[f].kind))
        for (const std::string &site : plan.facets[f].sites) all.push_back({f, site});
    constexpr const char *rest = "no facet that could be left out causes it: the formats of what is kept (`master`, `moments`, `cache`, `saved`), or capacities";
    if (all.empty() || missesWith(plain, {}, "without these facets")) return rest;
    return "it is missed because of " + named(halved(plain, all)) + "; leave it out there, or weaken it";
  }
  /// `units` miss; the smallest part that does, as far as halves tell.
  std::vector<Unit> halved(const Measured &plain, const std::vector<Unit> &units) {
    if (units.size() == 1) return units;
    // Lines stay together as long as there are several.
    size_t middle = units.size() / 2;
    if (units.front().facet != units.back().facet)
      for (middle = 1; units[middle].facet == units[middle - 1].facet;) ++middle;
    for (auto [from, to] : {std::pair(size_t(0), middle), std::pair(middle, units.size())}) {
      const std::vector<Unit> half(units.begin() + long(from), units.begin() + long(to));
      if (missesWith(plain, half, "with " + named(half) + " alone")) return halved(plain, half);
    }
    return units; // neither alone
  }
};
} // namespace

Exit validate(const CommonOptions &o, const ValidateArguments &a) {
  auto session = Session::open(o, "validate", {}, true);
  if (!session) return Exit::Input;
  const sema::CheckedPlan &plan = session->plan;
  if (!plan.validated() && plan.contracts.empty() && plan.costs.empty() && !plan.bitExact)
    throw Error(Exit::Input, "E0510", fmt::format("the plan `{}` requires nothing that is to be checked", plan.name), "write what must hold: `require { loss within 1% of f32 }`");
  catchSignals();
  Validation(*session, o, a).run();
  return Exit::Ok;
}

} // namespace fil
