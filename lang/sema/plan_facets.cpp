// SPDX-License-Identifier: Apache-2.0
// The facets of a plan: which sites each line is about, as they stand in the program, and its settings. Lines that no pass acts on are
// among them, so that pairs that can never hold are refused before anything is built.
#include "lang/sema/plan_check.h"
#include <algorithm>

namespace fil::sema {

using namespace ast;

namespace {
PlanFacet facetOf(std::string kind, const Setting &s) {
  PlanFacet f;
  f.kind = std::move(kind), f.span = s.path ? s.path->span : s.span, f.text = print(s);
  for (const Phrase &p : s.phrases)
    for (const Item &i : p.items)
      if (i.kind == Item::Keyed && i.key.size() == 1 && !i.value.to) f.settings[i.key[0].name] = printValue(*i.value.from);
  return f;
}
std::string wordAt(const Setting &s, size_t n) {
  for (const Phrase &p : s.phrases)
    for (const Item &i : p.items)
      if (i.kind == Item::Value && n-- == 0) return printValue(*i.value.from);
  return "";
}

/// The loop's name with those of what it stands in, without turns: the same however it is cut.
std::string loopPath(const SitePathOf &p, size_t last) {
  std::string t;
  for (size_t i = 0; i <= last; ++i) t += (i ? "." : "") + p.segments[i].name;
  return t;
}
/// The same of a subset as it is recorded: `l[0..4].MoE.e*` is `l.MoE.e`.
std::string subsetPath(const std::string &site) {
  std::string t;
  for (size_t i = 0, depth = 0; i + 1 < site.size(); ++i) {
    depth += site[i] == '[';
    if (!depth) t += site[i];
    depth -= site[i] == ']';
  }
  return t;
}
/// Turns at which the pattern parts what is one class of a loop.
void addCuts(const SitePath &pattern, const std::vector<const SitePathOf *> &named, LoopCuts &cuts) {
  for (const Segment &s : pattern.segments) {
    if (!s.selector || s.selector->any || !s.selector->statics.empty()) continue;
    for (const SitePathOf *p : named)
      for (size_t i = 0; i < p->segments.size(); ++i) {
        const SiteSegment &x = p->segments[i];
        if (x.kind != Site::LoopSite || s.words.empty() || s.words[0].name != x.name) continue;
        for (const std::optional<int64_t> &turn : {s.selector->from, s.selector->to})
          if (turn && *turn > x.from && *turn < x.to) cuts[loopPath(*p, i)].insert(*turn);
      }
  }
}
/// Of `budget flops <= 40%`.
double bound(const Setting &budget) { return numberOf(*std::get<Binary>(budget.phrases[0].items.at(1).value.from->is).right); }

class Facets {
public:
  Facets(PlanContext &c, CheckedPlan &plan) : c(c), plan(plan) {}

  void sparsity(const Settings &all) {
    const Setting *budget = findSetting(all, "budget");
    if (budget) plan.gateBudget = bound(*budget);
    auto isGate = [](const Setting &s) { return s.path && wordAt(s, 0) == "gate"; };
    if (budget && std::none_of(all.settings.begin(), all.settings.end(), isGate)) c.diags.report(Msg::P0459, budget->span, print(*budget), "FFN: gate neurons");
    for (const Setting &s : all.settings) {
      if (!s.path) continue;
      const std::string word = wordAt(s, 0);
      if (word == "gather" || word == "grouped") onSites(facetOf(word, s), s, About::Subsets);
      else if (word == "gate") {
        PlanFacet f = with(facetOf("gate", s), "of", wordAt(s, 1));
        if (f.settings["of"] == "channels") f = with(std::move(f), "samples", plan.train.batchDim);
        if (f.open() && !plan.gateBudget) c.diags.report(Msg::P0449, s.span, print(s));
        onSites(std::move(f), s, About::Maps);
      }
      else if (word.starts_with("nm(") || word.starts_with("blocks(")) onSites(blocks(s, word), s, About::Maps);
      else topology(s, word);
    }
  }
  void precision(const Settings &all) {
    std::vector<const Setting *> order; // `default` is further out than `**`
    for (const Setting &s : all.settings) order.insert(keyOf(s).name == "default" ? order.begin() : order.end(), &s);
    for (const Setting *each : order) {
      const Setting &s = *each;
      const std::string key = keyOf(s).name;
      auto isWhole = [](const std::string &word) { return word == "int8" || word == "int4" || word == "int3" || word == "int2"; };
      auto placed = [&](PlanFacet f) { print(s).starts_with("**:") ? whole(std::move(f)) : onSites(std::move(f), s, About::Maps, true); }; // `**` is further out than any site
      const bool quantises = key == "qat" || (key == "default" && isWhole(wordAt(s, 1))) || (s.path && (isWhole(wordAt(s, 0)) || wordAt(s, 0) == "qat"));
      if (auto *whole = findSetting(all, "default"); (quantises || key == "adapt") && whole && wordAt(*whole, 1) == "f64") c.diags.report(Msg::P0444, s.span, print(s));
      if (s.path && isWhole(wordAt(s, 0))) placed(with(facetOf("format", s), "format", wordAt(s, 0)));
      else if (key == "default" && isWhole(wordAt(s, 1))) whole(with(facetOf("format", s), "format", wordAt(s, 1)));
      else if (s.path && wordAt(s, 0) == "qat") placed(facetOf("qat", s));
      else if (s.path) onSites(format(s, 0, all), s, About::Any, true);
      else if (key == "default" && wordAt(s, 1) != "f32" && wordAt(s, 1) != "f64") whole(format(s, 1, all));
      else if (key == "adapt" || key == "qat" || key == "wire") whole(facetOf(key, s));
    }
  }
  void lora(const Setting &clause) {
    for (const Phrase &p : clause.phrases)
      for (const Item &i : p.items)
        if (auto *call = i.kind == Item::Value ? std::get_if<Call>(&i.value.from->is) : nullptr) plan.lora.base = std::get<String>(std::get<ExprPtr>(call->args.at(0).is)->is).value;
    const Settings &all = *clause.nested;
    if (auto *s = findSetting(all, "budget")) {
      plan.lora.budget = bound(*s);
      if (std::none_of(all.settings.begin(), all.settings.end(), [](auto &x) { return bool(x.path); })) c.diags.report(Msg::P0459, s->span, print(*s), "{q,v}: alpha=8");
    }
    if (auto *s = findSetting(all, "adapters")) plan.lora.adapters = int64_t(numberOf(*s->phrases[0].items.at(1).value.from));
    for (const Setting &s : all.settings) {
      if (!s.path) continue;
      PlanFacet f = facetOf("lora", s);
      const bool alone = (f.settings.contains("merge") && f.settings.at("merge") == "always") || (f.settings.contains("variant") && f.settings.at("variant") == "dora");
      if (alone && plan.lora.adapters > 1) c.diags.report(Msg::P0439, s.span, print(s));
      if (!f.settings.contains("r") && !plan.lora.budget) c.diags.report(Msg::P0436, s.span, print(s));
      onSites(std::move(f), s, About::Maps);
    }
  }
  void partition(const Settings &all) {
    for (const Setting &s : all.settings) {
      const std::string key = keyOf(s).name;
      if (key == "layers") whole(facetOf("stage", s));
      else if (key == "remat") {
        if (plan.remat.rule == "auto" && plan.remat.sites.empty()) continue;
        PlanFacet f = with(facetOf("remat", s), "rule", plan.remat.sites.empty() ? plan.remat.rule : "sites");
        f.sites = plan.remat.sites.empty() ? std::vector<std::string>{""} : plan.remat.sites;
        plan.facets.push_back(std::move(f));
      } else if (!s.path && wordAt(s, 1) == "over") {
        const bool batch = wordAt(s, 0) == plan.train.batchDim;
        whole(with(with(facetOf(batch ? "replica" : "shard", s), "dim", wordAt(s, 0)), "axis", wordAt(s, 2)));
      }
    }
  }
  void whole(PlanFacet f) {
    f.sites = {""};
    plan.facets.push_back(std::move(f));
  }

private:
  void topology(const Setting &s, const std::string &method) {
    TopologyEdits edits{100, 0.75};
    for (const Phrase &p : s.phrases)
      for (const Item &i : p.items) {
        if (i.kind != Item::Keyed || i.key.size() != 1) continue;
        if (i.key[0].name == "every") edits.every = int64_t(numberOf(*i.value.from));
        if (i.key[0].name == "until") edits.until = numberOf(*i.value.from);
      }
    PlanFacet f = with(facetOf("topology", s), "method", method);
    f.edits = edits;
    onSites(std::move(f), s, About::Maps);
  }

  PlanContext &c;
  CheckedPlan &plan;

  static PlanFacet with(PlanFacet f, const char *name, std::string value) {
    f.settings[name] = std::move(value);
    return f;
  }
  /// Its format for each role, and what shares a scale.
  PlanFacet format(const Setting &s, size_t n, const Settings &all) {
    PlanFacet f = facetOf("format", s);
    std::string own = wordAt(s, n++);
    const Setting *whole = findSetting(all, "default");
    const std::string common = whole ? wordAt(*whole, 1) : "f32";
    if (common == "f64" && own != "f64") c.diags.report(Msg::P0444, s.span, own);
    const bool eight = own == "fp8";
    if (eight) own = wordAt(s, n) == "e5m2" ? "e5m2" : "e4m3";
    f.settings["format"] = own;
    f.settings.emplace("dgrad", own), f.settings.emplace("wgrad", own);
    f.settings.emplace("out", !eight ? own : common == "bf16" || common == "f16" ? common : "f32");
    f.settings["activations"] = "row", f.settings["weights"] = "tensor";
    for (const Phrase &p : s.phrases)
      for (const Item &i : p.items)
        if (auto *tile = i.kind == Item::Value ? std::get_if<Call>(&i.value.from->is) : nullptr; tile && tile->args.size() == 2)
          f.settings["activations"] = printValue(*std::get<ExprPtr>(tile->args[0].is)), f.settings["weights"] = printValue(*std::get<ExprPtr>(tile->args[1].is));
    return f;
  }
  PlanFacet blocks(const Setting &s, const std::string &word) {
    PlanFacet f = facetOf("blocks", s);
    const auto &args = std::get<Call>(s.phrases[0].items[0].value.from->is).args;
    if (args.size() == 1) {
      f.settings["granule"] = printValue(*std::get<ExprPtr>(args[0].is));
      return f;
    }
    const double n = numberOf(*std::get<ExprPtr>(args[0].is)), m = numberOf(*std::get<ExprPtr>(args[1].is));
    if (n > m || m < 2 || m > 8) c.diags.report(Msg::P0455, s.span, word);
    f.settings["n"] = fmt::format("{}", n), f.settings["m"] = fmt::format("{}", m);
    return f;
  }
  /// The later line holds where two facets of a kind meet. `named`: of the sites that the line names, not of all within them.
  void onSites(PlanFacet f, const Setting &s, About about, bool asNamed = false) {
    const auto named = matching(*s.path, c.sites);
    addCuts(*s.path, named, plan.cuts);
    for (const SitePathOf *p : asNamed ? named : concerned(named, c.sites, about)) {
      const std::string site = p->recorded();
      if (std::find(f.sites.begin(), f.sites.end(), site) == f.sites.end()) f.sites.push_back(site);
    }
    for (PlanFacet &before : plan.facets)
      if (before.kind == f.kind) std::erase_if(before.sites, [&](const std::string &site) { return std::find(f.sites.begin(), f.sites.end(), site) != f.sites.end(); });
    std::erase_if(plan.facets, [](const PlanFacet &x) { return x.sites.empty(); });
    plan.facets.push_back(std::move(f));
  }
};
} // namespace

void typeFacets(PlanContext &c, CheckedPlan &plan) {
  Facets f(c, plan);
  for (const Setting &clause : c.tree.settings.settings) {
    const std::string key = keyOf(clause).name;
    if (key == "distill") f.whole(facetOf("distill", clause));
    if (!clause.nested) continue;
    if (key == "sparsity") f.sparsity(*clause.nested);
    if (key == "precision") f.precision(*clause.nested);
    if (key == "lora") f.lora(clause);
    if (key == "partition") f.partition(*clause.nested);
    if (key == "train")
      for (const Setting &s : clause.nested->settings)
        if (keyOf(s).name == "stage") f.whole(facetOf("order", s));
  }
  for (PlanFacet &x : plan.facets)
    if (auto capacity = x.settings.find("capacity"); x.kind == "grouped" && capacity != x.settings.end() && capacity->second != "none")
      for (const std::string &site : x.sites) plan.limited.insert(subsetPath(site));
  for (PlanFacet &x : plan.facets)
    if (x.edits) x.sharing = x.sites; // those that no later line has taken
}

} // namespace fil::sema
