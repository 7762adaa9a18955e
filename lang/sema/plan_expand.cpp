// SPDX-License-Identifier: Apache-2.0
// The whole plan: what it says, and what it leaves to the defaults of the table.
#include "lang/parse/parse.h"
#include "lang/sema/plan_check.h"
#include <algorithm>
#include <cstring>

namespace fil::sema {

using namespace ast;

namespace {
struct Expansion {
  PlanTree tree;
  std::map<const Setting *, std::vector<std::string>> filled; ///< arguments and options that a line leaves out
};

std::string clauseWithin(const std::string &clause, const Setting &s) { return clause.empty() ? keyOf(s).name : clause + "." + keyOf(s).name; }
std::vector<const ClauseRow *> actingRows(const std::string &clause, const Setting &s) {
  auto rows = rowsOf(clause, s.path ? "SITES" : keyOf(s).name);
  std::string word; // of a line of sites the facet's name, else what follows the key
  if (const size_t at = s.path ? 0 : 1; !s.phrases.empty() && s.phrases[0].items.size() > at && s.phrases[0].items[at].kind == Item::Value) word = printValue(*s.phrases[0].items[at].value.from);
  word = word.substr(0, word.find('(')); // of `nm(2, 4)`
  auto continues = [&](const ClauseRow *r) { // `gate neurons` is no `gate channels`
    const char *more = std::strchr(r->shape, ' ');
    if (!s.path || !more || !std::all_of(more + 1, more + std::strlen(more), [](unsigned char c) { return std::isalpha(c); })) return true;
    const auto &items = s.phrases[0].items;
    return items.size() > 1 && items[1].kind == Item::Value && printValue(*items[1].value.from) == more + 1;
  };
  auto begins = [&](const ClauseRow *r) { // is the word one of those that the row may begin with?
    std::string first(r->shape, std::strcspn(r->shape, " "));
    if (const size_t call = first.find('('); call != std::string::npos && call > 0 && std::isalnum(static_cast<unsigned char>(first[call - 1]))) first.resize(call);
    std::erase_if(first, [](char c) { return c == '(' || c == ')' || c == '?'; });
    return ("|" + first + "|").find("|" + word + "|") != std::string::npos && continues(r);
  };
  const bool options = std::any_of(s.phrases.begin(), s.phrases.end(), [](const Phrase &p) { return std::any_of(p.items.begin(), p.items.end(), [](const Item &i) { return i.kind == Item::Keyed; }); });
  std::erase_if(rows, [&](const ClauseRow *r) { return !r->acts() || (options && !*r->options); });
  if (s.path || std::any_of(rows.begin(), rows.end(), begins)) std::erase_if(rows, [&](const ClauseRow *r) { return !begins(r); });
  auto others = [&](const ClauseRow *r) { // does it have other words for what an option says?
    for (const ValueShape::Option &o : s.path ? parseOptions(r->options) : std::vector<ValueShape::Option>()) {
      auto *given = optionOf(s, o.name);
      auto isOther = [&](const ValueShape &p) { return p.kind == ValueShape::Word && p.text != printValue(*given->value.from); };
      if (given && std::all_of(o.value[0].parts.begin(), o.value[0].parts.end(), isOther)) return true;
    }
    return false;
  };
  std::erase_if(rows, others);
  return rows;
}

/// Arguments that were left out, of the calls that the table has. Defaults are a number or a word, and print as they are.
void fillCalls(const ValueShape &shape, Expr &e, std::vector<std::string> &filled) {
  for (const ValueShape &p : shape.parts) fillCalls(p, e, filled);
  auto *call = std::get_if<Call>(&e.is);
  auto *name = std::get_if<Name>(&(call ? *call->callee : e).is);
  if (shape.kind != ValueShape::Call || !name || name->name != shape.text) return;
  if (!call && !shape.options.empty()) {
    auto callee = std::make_unique<Expr>(Expr{*name, e.span});
    e.is = Call{std::move(callee), {}};
    call = &std::get<Call>(e.is);
  }
  for (const ValueShape::Option &o : shape.options) {
    auto given = [&](const Argument &a) {
      auto *n = std::get_if<Argument::Named>(&a.is);
      return n && n->name.name == o.name;
    };
    if (o.fallback.empty() || std::any_of(call->args.begin(), call->args.end(), given)) continue;
    call->args.push_back({Argument::Named{{o.name, {}}, std::make_unique<Expr>(Expr{Name{o.fallback}, {}})}, {}});
    filled.push_back(o.name);
  }
}
void addOption(Setting &s, const std::string &name, const std::string &value, std::vector<std::string> &filled) {
  Item i;
  i.kind = Item::Keyed;
  i.key.push_back({name, {}});
  i.value.from = std::make_unique<Expr>(Expr{Name{value}, {}});
  if (s.phrases.empty()) s.phrases.emplace_back();
  s.phrases.back().items.push_back(std::move(i));
  filled.push_back(name);
}
void fillOptions(const ClauseRow &row, Setting &s, std::vector<std::string> &filled) {
  for (const ValueShape::Option &o : parseOptions(row.options)) {
    if (o.fallback.empty() || optionOf(s, o.name)) continue;
    addOption(s, o.name, o.fallback, filled);
  }
}
/// What a line's other words decide: the formats of its other roles, what shares a scale, the scale of an adapter whose rank is said.
void fillByWords(Setting &s, const PlanFacet &f, std::vector<std::string> &filled) {
  if (s.phrases.empty()) return;
  auto add = [&](const char *name, const std::string &value) {
    if (!optionOf(s, name)) addOption(s, name, value, filled);
  };
  if (f.kind == "lora" && f.settings.contains("r")) add("alpha", f.settings.at("r"));
  if (f.kind != "format") return;
  auto &items = s.phrases[0].items;
  auto word = [&](size_t i) { return i < items.size() && items[i].kind == Item::Value ? printValue(*items[i].value.from) : ""; };
  auto insert = [&](size_t at, const std::string &value, const char *name) {
    Item i;
    i.kind = Item::Value;
    i.value.from = std::make_unique<Expr>(Expr{Name{value}, {}});
    items.insert(items.begin() + int(at), std::move(i));
    filled.push_back(name);
  };
  for (size_t i = 0; i < items.size(); ++i) {
    if (word(i) != "fp8") continue;
    if (const std::string next = word(i + 1); next != "e4m3" && next != "e5m2") insert(i + 1, f.settings.at("format"), "e4m3");
    if (!word(i + 2).starts_with("tile(")) insert(i + 2, fmt::format("tile({}, {})", f.settings.at("activations"), f.settings.at("weights")), "tile");
    break;
  }
  for (const char *role : {"dgrad", "wgrad", "out"}) add(role, f.settings.at(role));
}
Settings parsed(const std::string &setting) {
  SourceManager sources;
  Diagnostics diags(sources);
  return std::move(std::get<Plan>(parse(sources.add("default", fmt::format("plan default for default {{\n{}\n}}", setting)), diags).declarations.at(0).is).settings);
}
/// The row's key with its default.
std::string fallbackOf(const ClauseRow &r) { return fmt::format("{} {}", r.key, r.fallback); }

void fill(const std::string &clause, Settings &all, const CheckedPlan &plan, Expansion &e) {
  for (Setting &s : all.settings) {
    if (auto f = std::find_if(plan.facets.begin(), plan.facets.end(), [&](const PlanFacet &x) { return x.span == (s.path ? s.path->span : s.span); }); f != plan.facets.end()) fillByWords(s, *f, e.filled[&s]);
    const auto rows = actingRows(clause, s);
    for (const ClauseRow *r : rows) {
      for (Phrase &p : s.phrases)
        for (Item &i : p.items)
          if (i.kind == Item::Value && (s.path || &i != &s.phrases[0].items[0])) fillCalls(parseShape(r->shape), *i.value.from, e.filled[&s]);
      if (s.path || !*r->shape || (r == rows.front() && *r->approximates)) fillOptions(*r, s, e.filled[&s]);
    }
    if (const std::string inner = clauseWithin(clause, s); inner.find('.') != std::string::npos && isClause(inner)) s.nested = withDefaults(inner, s);
    if (s.nested) fill(clauseWithin(clause, s), *s.nested, plan, e);
  }
}

Expansion expand(const CheckedPlan &plan) {
  Expansion e{{plan.name, plan.model, {}, {}, {}}, {}};
  for (const ClauseRow &r : clauseTable()) {
    if (!r.acts() || !*r.fallback || std::strchr(r.clause, '.')) continue;
    merge(e.tree.settings, parsed(*r.clause ? fmt::format("{} {{ {} }}", r.clause, fallbackOf(r)) : fallbackOf(r)));
  }
  merge(e.tree.settings, plan.tree->settings);
  fill("", e.tree.settings, plan, e);
  return e;
}

/// The plan's own setting of that identity; null where it has none.
const Setting *given(const Settings &all, const std::string &clause, const std::string &at, const Setting &s) {
  if (at == clause) {
    for (const Setting &x : all.settings)
      if (identityOf(clause, x) == identityOf(clause, s)) return &x;
    return nullptr;
  }
  for (const Setting &x : all.settings) {
    const std::string inner = clauseWithin(clause, x);
    if (x.nested && (at == inner || at.starts_with(inner + "."))) return given(*x.nested, inner, at, s);
  }
  return nullptr;
}
} // namespace

Settings withDefaults(const std::string &clause, const Setting &s) {
  Settings all;
  for (const ClauseRow &r : clauseTable())
    if (r.clause == clause && r.acts() && *r.fallback) merge(all, parsed(fallbackOf(r)), clause);
  if (s.nested) merge(all, *s.nested, clause);
  return all;
}

std::string expanded(const CheckedPlan &plan) { return print(expand(plan).tree); }

std::string expanded(const CheckedPlan &plan, const SourceManager &sources) {
  const Expansion e = expand(plan);
  return print(e.tree, [&](const std::string &clause, const Setting &s) -> std::string {
    const Setting *own = given(plan.tree->settings, "", clause, s);
    const bool refused = own && std::any_of(plan.refused.begin(), plan.refused.end(), [&](const Refused &r) { return r.span == own->span; });
    if (s.nested && !refused && s.phrases.size() == 1 && s.phrases[0].items.size() == 1) return ""; // its lines say it
    std::string text = "default";
    if (own && own->span.valid()) {
      const std::string &file = sources.name(own->span.file);
      text = file == "--set" ? file : fmt::format("{}:{}", file, sources.place(own->span.file, own->span.begin).line);
    }
    if (auto it = e.filled.find(&s); it != e.filled.end() && !it->second.empty()) text += fmt::format(" ({} by default)", fmt::join(it->second, ", "));
    const auto rows = actingRows(clause, s);
    const char *approximates = rows.empty() ? "" : rows.front()->approximates;
    return text + ", " + (refused ? "checked only" : *approximates ? fmt::format("approximate ({})", approximates) : "exact");
  });
}
} // namespace fil::sema
