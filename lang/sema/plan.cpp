// SPDX-License-Identifier: Apache-2.0
// Plans of a program: `from` resolved, checked against the table and the model, typed; and `--set` over them.
#include "lang/sema/plan.h"
#include "lang/sema/plan_check.h"
#include <algorithm>
#include <charconv>

namespace fil::sema {

using namespace ast;

namespace {
/// Elaboration to look at a model: what is elaborated later gets the names that it would have had without.
class Trial {
public:
  explicit Trial(ProgramImpl &p) : program(p), before(p.fresh) {}
  ~Trial() {
    for (auto &[name, n] : program.fresh)
      if (name.substr(0, 5) != "loop ") n = before[name]; // loops are kept with their names
  }

private:
  ProgramImpl &program;
  std::map<std::string, int> before;
};

/// Losses of the program whose first parameter is what the model returns.
std::vector<const Function *> lossesOf(ProgramImpl &program, const Function &model) {
  std::vector<const Function *> all, fitting;
  for (const Function *f : program.functions())
    if (f->kind == Function::Loss) all.push_back(f);
  for (const Function *f : all) {
    Trial looking(program);
    Diagnostics trial(program.diags.sources);
    Graph g;
    g.training = true;
    Elaborator e(program, trial, g);
    bool ok = e.model(model, f, nullptr);
    // A loss that wants static parameters fits as well: the plan gives them.
    if (ok || std::any_of(trial.all().begin(), trial.all().end(), [](const Diagnostic &d) { return d.msg == Msg::E0317; })) fitting.push_back(f);
  }
  return fitting;
}

/// The loss that the plan calls, or the only one that fits.
void chooseLoss(PlanContext &c, CheckedPlan &plan) {
  const Setting *train = findSetting(c.tree.settings, "train");
  const Setting *s = train && train->nested ? findSetting(*train->nested, "loss") : nullptr;
  TrainSettings &t = plan.train;
  if (s) {
    const Item *value = nullptr;
    for (const Phrase &p : s->phrases)
      for (const Item &i : p.items)
        if (i.kind == Item::Value && &i != &s->phrases[0].items[0] && !value) value = &i;
    if (!value) return; // the table reports it
    const Expr *e = value->value.from.get();
    auto *call = std::get_if<Call>(&e->is);
    auto *n = std::get_if<Name>(&(call ? *call->callee : *e).is);
    for (const Function *f : c.losses)
      if (n && f->name.name == n->name) t.loss = f, t.lossCall = call ? e : nullptr;
    return;
  }
  if (c.losses.size() == 1) t.loss = c.losses[0];
  if (!train || c.losses.size() == 1) return;
  std::vector<std::string> names;
  for (const Function *f : c.losses) names.push_back(f->name.name);
  if (names.empty()) c.diags.report(Msg::P0418, keyOf(*train).span, plan.model);
  else c.diags.report(Msg::P0419, keyOf(*train).span, plan.model, joinedNames(names), names[0]);
}

std::unique_ptr<Graph> elaborate(ProgramImpl &program, const CheckedPlan &plan, Diagnostics &diags) {
  Trial looking(program);
  auto g = std::make_unique<Graph>();
  g->training = true;
  Elaborator e(program, diags, *g);
  return e.model(*program.find(plan.model), plan.train.loss, plan.train.lossCall) ? std::move(g) : nullptr;
}

} // namespace

CheckedPlan checkTree(ProgramImpl &program, std::shared_ptr<const PlanTree> tree, Diagnostics &all) {
  Diagnostics diags(all.sources);
  struct Transfer { // a mistake that several plans inherit is reported once
    Diagnostics &from, &to;
    ~Transfer() {
      for (const Diagnostic &d : from.all())
        if (std::none_of(to.all().begin(), to.all().end(), [&](const Diagnostic &e) { return e.msg == d.msg && e.span == d.span && e.text == d.text; })) to.add(d);
    }
  } transfer{diags, all};
  CheckedPlan plan;
  plan.name = tree->name, plan.model = tree->model, plan.tree = tree;
  PlanContext c{program, diags, *tree, lossesOf(program, *program.find(tree->model)), nullptr, {}, {}};
  if (const Setting *mesh = findSetting(tree->settings, "mesh"))
    for (const Phrase &p : mesh->phrases)
      for (const Item &i : p.items)
        if (i.kind == Item::Keyed && i.key.size() == 1 && i.key[0].name != "virtual") c.axes.push_back(i.key[0].name);
  const size_t before = diags.errors();
  chooseLoss(c, plan);
  std::unique_ptr<Graph> graph;
  if (diags.errors() == before) {
    Diagnostics trial(diags.sources); // what it says about the model was said when the program was checked
    graph = elaborate(program, plan, trial);
    if (!graph && plan.train.lossCall)
      for (const Diagnostic &d : trial.all())
        if (row(d.msg).severity == Severity::Error) diags.add(d);
  }
  c.graph = graph.get();
  if (graph) c.sites = sitesOf(*graph, program.variables, plan.model);
  checkSettings(c, "", tree->settings, plan.refused);
  if (diags.errors() == before) typeTrain(c, plan), typePrecision(c, plan), typeState(c, plan), typeAdapt(c, plan), typeRemat(c, plan), typeContracts(c, plan), typeFacets(c, plan);
  plan.text = print(*tree);
  return plan;
}

namespace {
const Plan *planOf(const Program &program, const std::string &name) {
  for (const Plan *p : program.plans())
    if (p->name.name == name) return p;
  return nullptr;
}

/// The plan with all that it inherits; null, with a message, where `from` leads nowhere.
std::shared_ptr<PlanTree> resolve(Program &program, const Plan &p, Diagnostics &diags) {
  auto near = [](Diagnostic &d, const std::string &wrong, const std::vector<std::string> &names) {
    if (auto best = didYouMean(wrong, names); !best.empty()) d.help("did you mean `" + best[0] + "`?");
  };
  std::vector<std::string> models, plans;
  for (auto *f : program.functions())
    if (f->kind == Function::Model) models.push_back(f->name.name);
  for (const Plan *q : program.plans()) plans.push_back(q->name.name);
  if (std::find(models.begin(), models.end(), p.model.name) == models.end()) {
    near(diags.report(Msg::E0106, p.model.span, p.model.name), p.model.name, models);
    return nullptr;
  }
  std::vector<const Plan *> line{&p}; // the plan and its forebears
  while (line.back()->from) {
    const Plan &last = *line.back();
    const Plan *base = planOf(program, last.from->name);
    const bool own = line.size() == 1; // mistakes of the others are reported where they are checked
    if (!base) {
      if (own) near(diags.report(Msg::P0411, last.from->span, last.from->name), last.from->name, plans);
      return nullptr;
    }
    if (base == &p) diags.report(Msg::P0413, p.from->span, p.name.name);
    if (std::find(line.begin(), line.end(), base) != line.end()) return nullptr;
    if (base->model.name != p.model.name) {
      if (own) diags.report(Msg::P0414, last.from->span, p.name.name, p.model.name, base->name.name, base->model.name);
      return nullptr;
    }
    line.push_back(base);
  }
  auto tree = std::make_shared<PlanTree>(PlanTree{p.name.name, p.model.name, p.name.span, p.model.span, {}});
  for (auto q = line.rbegin(); q != line.rend(); ++q) merge(tree->settings, (*q)->settings);
  return tree;
}

/// Keys that stand twice in the plan's own text: a merge keeps only one of them.
void checkDoubled(const Settings &all, const std::string &clause, Diagnostics &diags) {
  std::map<std::string, SettingKey> seen;
  for (const Setting &s : all.settings) {
    const SettingKey k = keyOf(s);
    if (!s.path) {
      auto [at, fresh] = seen.emplace(identityOf(clause, s), k);
      if (!fresh && at->second.name == k.name) diags.report(Msg::P0402, k.span, k.name).also(at->second.span, "first given here");
      else if (!fresh) diags.report(Msg::P0415, k.span, at->second.name, k.name).also(at->second.span, "");
    }
    if (s.nested) checkDoubled(*s.nested, clause.empty() ? k.name : clause + "." + k.name, diags);
  }
}
} // namespace

std::vector<CheckedPlan> checkPlans(Program &program, Diagnostics &diags) {
  std::vector<CheckedPlan> all;
  for (const Plan *p : program.plans()) {
    checkDoubled(p->settings, "", diags);
    if (auto tree = resolve(program, *p, diags)) all.push_back(checkTree(static_cast<ProgramImpl &>(program), tree, diags));
  }
  return all;
}

CheckedPlan defaultPlan(Program &program, const std::string &model, Diagnostics &diags) {
  const Function *f = program.find(model);
  if (!f || f->kind != Function::Model) {
    diags.report(Msg::E0106, {}, model);
    return {};
  }
  return checkTree(static_cast<ProgramImpl &>(program), std::make_shared<PlanTree>(PlanTree{"default", model, {}, {}, {}}), diags);
}

CheckedPlan checkAgain(Program &program, const CheckedPlan &plan, Diagnostics &diags) { return checkTree(static_cast<ProgramImpl &>(program), plan.tree, diags); }

CheckedPlan plainPlan(Program &program, const CheckedPlan &plan) {
  auto tree = clone(*plan.tree);
  std::erase_if(tree->settings.settings, [](const Setting &s) {
    const std::string key = keyOf(s).name;
    return key == "sparsity" || key == "precision" || key == "lora" || key == "require";
  });
  Diagnostics none(static_cast<ProgramImpl &>(program).diags.sources);
  return checkTree(static_cast<ProgramImpl &>(program), tree, none);
}

std::optional<double> numberIn(const std::string &text) {
  double x = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), x);
  if (error != std::errc()) return {};
  if (end == text.data() + text.size()) return x;
  return std::string_view(end, text.data() + text.size()) == "%" ? std::optional(x / 100) : std::nullopt;
}

bool onlyRuns(const CheckedPlan &plan) {
  auto has = [&](auto what) { return std::any_of(plan.facets.begin(), plan.facets.end(), what); };
  return has([](const PlanFacet &f) { return f.kind == "format" && f.settings.at("format").starts_with("int"); }) && !has([](const PlanFacet &f) { return f.kind == "lora"; });
}

std::string convertedPlan(const CheckedPlan &plan) {
  std::string whole, sites; // a line of sites holds where a line of all stands before it
  auto tree = clone(*plan.tree);
  for (Setting &clause : tree->settings.settings) {
    if (keyOf(clause).name != "precision" || !clause.nested) continue;
    std::erase_if(clause.nested->settings, [&](const Setting &s) {
      const bool all = keyOf(s).name == "qat";
      std::string text = print(s);
      const size_t word = all ? 0 : s.path ? text.find(": qat") + 2 : std::string::npos;
      if (word == std::string::npos || text.compare(word, 3, "qat") != 0) return false;
      std::string options, bits = "8";
      for (const Phrase &p : s.phrases)
        for (const Item &i : p.items) {
          if (i.kind != Item::Keyed || i.key.size() != 1) continue;
          const std::string name = i.key[0].name, value = printValue(*i.value.from);
          if (name == "bits") bits = value;
          else if (name == "per" || name == "acts") options += " " + name + "=" + value;
        }
      (all ? whole : sites) += "    " + (all ? "**: " : text.substr(0, word)) + "int" + bits + options + "\n";
      return true;
    });
  }
  if (whole.empty() && sites.empty()) return {};
  std::erase_if(tree->settings.settings, [](const Setting &s) { return keyOf(s).name == "precision" && s.nested && s.nested->settings.empty(); });
  tree->name += "_whole";
  std::string text = print(*tree);
  const std::string opening = "\n  precision {\n";
  const size_t at = text.find(opening);
  if (at != std::string::npos) return text.insert(at + opening.size(), whole + sites);
  return text.insert(text.find("{\n") + 2, opening.substr(1) + whole + sites + "  }\n");
}

bool refuse(const CheckedPlan &plan, const std::string &command, Diagnostics &diags) {
  bool any = false;
  for (const Refused &r : plan.refused)
    if (r.command == command || r.command == "compile" || (command == "validate" && r.command == "train")) diags.report(r.code, r.span, r.clause, command), any = true;
  for (const PlanFacet &f : plan.facets)
    if (f.open() && command != "calibrate") diags.report(Msg::P0450, f.span, f.text), any = true;
  return any;
}
} // namespace fil::sema
