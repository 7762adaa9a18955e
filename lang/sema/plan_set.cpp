// SPDX-License-Identifier: Apache-2.0
// `--set train.optim.lr=1e-4`: a value laid over a plan. The keys around it are its path; behind the last key of the table
// may stand one more name, of an option (`validate.every`) or of an argument of the value (`optim.lr`).
#include "lang/parse/parse.h"
#include "lang/sema/plan_check.h"
#include <algorithm>
#include <functional>

namespace fil::sema {

using namespace ast;

namespace {
class Setter {
public:
  Setter(const std::string &model, Diagnostics &d, bool keepOptions) : model(model), diags(d), keepOptions(keepOptions) {}

  /// `assignment`: its first item is `KEY=VALUE`, what follows are more values.
  bool set(Settings &all, const Setting &assignment, const std::string &clause = {}, size_t at = 0) {
    const std::vector<Ident> &path = assignment.phrases[0].items[0].key;
    const std::string &key = path[at].name;
    auto rows = rowsOf(clause, key);
    if (rows.empty()) return unknown(path[at], clause);
    const std::string id = identityOf(clause, fresh(path[at], {}));
    auto found = std::find_if(all.settings.begin(), all.settings.end(), [&](const Setting &s) { return !s.path && identityOf(clause, s) == id; });
    const std::string inner = clause.empty() ? key : clause + "." + key;
    const bool last = at + 1 == path.size(), option = !last && isOption(rows, path[at + 1].name);
    if (found == all.settings.end()) {
      all.settings.push_back(fresh(path[at], option ? rows : std::vector<const ClauseRow *>{}));
      found = all.settings.end() - 1;
    }
    if (last) return replace(*found, assignment, path[at]);
    if (!option && isClause(inner)) {
      if (!found->nested) found->nested.emplace();
      return set(*found->nested, assignment, inner, at + 1);
    }
    return setOption(*found, assignment, at + 1, rows);
  }

private:
  const std::string &model;
  Diagnostics &diags;
  bool keepOptions;

  bool unknown(const Ident &key, const std::string &clause) {
    Diagnostic &d = diags.report(Msg::P0401, key.span, key.name, clause.empty() ? "a plan" : "`" + clause + "`");
    std::string inside;
    for (const ClauseRow &r : clauseTable())
      if (key.name == r.key && clause != r.clause && inside.empty()) inside = std::string(r.clause) + (*r.clause ? "." : "") + r.key;
    auto near = didYouMean(key.name, keysOf(clause));
    if (!near.empty()) d.help("did you mean `" + (clause.empty() ? "" : clause + ".") + near[0] + "`?");
    else if (!inside.empty()) d.help("did you mean `" + inside + "`?");
    return false;
  }
  static const ValueShape *callWith(const ValueShape &s, const std::string &option) {
    if (s.kind == ValueShape::Call && std::any_of(s.options.begin(), s.options.end(), [&](auto &o) { return o.name == option; })) return &s;
    for (const ValueShape &p : s.parts)
      if (auto *c = callWith(p, option)) return c;
    return nullptr;
  }
  /// Whether the call `callee(..)` of some row has an argument of that name.
  static bool takes(const std::vector<const ClauseRow *> &rows, const std::string &callee, const std::string &argument) {
    std::function<bool(const ValueShape &)> in = [&](const ValueShape &s) {
      if (s.kind == ValueShape::Call && s.text == callee && callWith(s, argument)) return true;
      return std::any_of(s.parts.begin(), s.parts.end(), in);
    };
    return std::any_of(rows.begin(), rows.end(), [&](const ClauseRow *r) { return in(parseShape(r->shape)); });
  }
  static bool isOption(const std::vector<const ClauseRow *> &rows, const std::string &name) {
    return std::any_of(rows.begin(), rows.end(), [&](const ClauseRow *r) {
      auto options = parseOptions(r->options);
      return callWith(parseShape(r->shape), name) || std::any_of(options.begin(), options.end(), [&](auto &o) { return o.name == name; });
    });
  }
  /// A setting that is not there yet: the key, and the default where only a part of it is to change.
  Setting fresh(const Ident &key, const std::vector<const ClauseRow *> &rows) {
    for (const ClauseRow *r : rows)
      if (*r->fallback) {
        uint32_t file = diags.sources.add("default", fmt::format("plan default for {} {{\n{} {}\n}}", model, key.name, r->fallback));
        File f = parse(file, diags);
        return std::move(std::get<Plan>(f.declarations.at(0).is).settings.settings.at(0));
      }
    Item name;
    name.value.from = std::make_unique<Expr>(Expr{Name{key.name}, key.span});
    name.span = key.span;
    Setting s{};
    s.span = key.span;
    s.phrases.emplace_back();
    s.phrases[0].span = key.span;
    s.phrases[0].items.push_back(std::move(name));
    return s;
  }
  bool plain(const Range &r) {
    if (isPlanValue(*r.from) && (!r.to || isPlanValue(*r.to))) return true;
    return diags.report(Msg::P0424, r.from->span, printValue(*r.from)), false;
  }
  bool replace(Setting &s, const Setting &assignment, const Ident &name) {
    Setting more = clone(assignment);
    Item &first = more.phrases[0].items[0];
    if (!plain(first.value)) return false;
    std::vector<Item> options;
    for (Phrase &p : s.phrases)
      for (Item &i : p.items)
        if (i.kind == Item::Keyed && keepOptions) options.push_back(std::move(i));
    Item key = std::move(fresh(name, {}).phrases[0].items[0]);
    first.kind = Item::Value, first.key.clear();
    first.span = first.value.to ? Span{first.value.from->span.file, first.value.from->span.begin, first.value.to->span.end} : first.value.from->span;
    more.phrases[0].items.insert(more.phrases[0].items.begin(), std::move(key));
    for (Item &o : options) more.phrases.back().items.push_back(std::move(o));
    s.phrases = std::move(more.phrases);
    s.span = assignment.span;
    return true;
  }
  bool setOption(Setting &s, const Setting &assignment, size_t at, const std::vector<const ClauseRow *> &rows) {
    Setting copy = clone(assignment);
    Item &given = copy.phrases[0].items[0];
    if (copy.phrases.size() > 1 || copy.phrases[0].items.size() > 1) return diags.report(Msg::P0408, assignment.span, given.key.back().name + "=", "more than one value"), false;
    // An argument of the value?
    for (Phrase &p : s.phrases)
      for (Item &i : p.items) {
        if (i.kind != Item::Value || i.value.to || &i == &s.phrases[0].items[0]) continue;
        auto *call = std::get_if<Call>(&i.value.from->is);
        auto *name = std::get_if<Name>(&(call ? *call->callee : *i.value.from).is);
        if (!name || !takes(rows, name->name, given.key[at].name) || at + 1 != given.key.size()) continue;
        if (!call) {
          ExprPtr callee = std::move(i.value.from);
          i.value.from = std::make_unique<Expr>(Expr{Call{}, callee->span});
          call = &std::get<Call>(i.value.from->is);
          call->callee = std::move(callee);
        }
        if (given.value.to) return diags.report(Msg::P0424, given.value.from->span, printItem(given)), false;
        Argument a{Argument::Named{given.key[at], std::move(given.value.from)}, given.span};
        for (Argument &old : call->args)
          if (auto *n = std::get_if<Argument::Named>(&old.is); n && n->name.name == given.key[at].name) return old = std::move(a), true;
        call->args.push_back(std::move(a));
        return true;
      }
    given.key.erase(given.key.begin(), given.key.begin() + std::ptrdiff_t(at));
    for (Phrase &p : s.phrases)
      for (Item &i : p.items)
        if (i.kind == Item::Keyed && printItem(i).substr(0, printItem(i).find('=')) == printItem(given).substr(0, printItem(given).find('='))) return i = std::move(given), true;
    if (!keepOptions) { // `batch N=32` instead of `batch 32`
      s.phrases.resize(1);
      s.phrases[0].items.resize(1);
    }
    s.phrases.back().items.push_back(std::move(given));
    return true;
  }
};
} // namespace

bool setKey(Program &program, CheckedPlan &plan, const std::string &assignment, Diagnostics &diags) {
  uint32_t file = diags.sources.add("--set", fmt::format("plan {} for {} {{\n{}\n}}", plan.name, plan.model, assignment));
  Diagnostics trial(diags.sources);
  File f = parse(file, trial);
  auto *p = f.declarations.size() == 1 ? std::get_if<Plan>(&f.declarations[0].is) : nullptr;
  const Setting *s = p && p->settings.settings.size() == 1 ? &p->settings.settings[0] : nullptr;
  if (trial.errors() || !s || s->path || s->nested || s->phrases[0].items[0].kind != Item::Keyed) {
    diags.report(Msg::P0422, {}, assignment);
    return false;
  }
  // Options of the value that is replaced stay where the new value takes them.
  std::vector<Diagnostic> mistakes;
  for (bool keepOptions : {true, false}) {
    Diagnostics own(diags.sources);
    auto tree = clone(*plan.tree);
    if (Setter(plan.model, own, keepOptions).set(tree->settings, *s)) {
      CheckedPlan changed = checkTree(static_cast<ProgramImpl &>(program), tree, own);
      if (!own.errors()) {
        plan = std::move(changed);
        return true;
      }
    }
    if (mistakes.empty()) mistakes = own.all();
  }
  for (Diagnostic &d : mistakes) diags.add(std::move(d));
  return false;
}
} // namespace fil::sema
