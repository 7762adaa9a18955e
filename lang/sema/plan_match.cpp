// SPDX-License-Identifier: Apache-2.0
// One setting against the rows of its key. The values are matched in order, with alternatives tried in turn; what is reported is the
// mistake that lies furthest on, with everything that could have stood there.
#include "lang/sema/plan_check.h"
#include <algorithm>
#include <functional>

namespace fil::sema {

using namespace ast;

namespace {
constexpr size_t mostValues = 1000; ///< of one setting; alternatives are tried by recursion

/// The mistake furthest on, of all that were tried.
struct Failure {
  size_t place = 0;                ///< 2·(index of the item), +1 within it
  Span span;
  bool missing = false, tooMany = false, wrongUnit = false;
  std::string found, inside;       ///< inside: the call that it stands in
  std::vector<std::string> expected, near;
};

void addNew(std::vector<std::string> &all, const std::vector<std::string> &more) {
  for (const std::string &m : more)
    if (std::find(all.begin(), all.end(), m) == all.end()) all.push_back(m);
}

/// Shapes that kinds of several values stand for.
const ValueShape *macro(const std::string &kind) {
  static const std::map<std::string, ValueShape> all = {
      {"FORMAT", parseShape("f64|f32|bf16|f16|int8|int4|fp8 (e4m3|e5m2)?")},
      {"EVENT", parseShape("error|nan|timeout TIME|drift CONDITION|gate fail")},
  };
  auto it = all.find(kind);
  return it == all.end() ? nullptr : &it->second;
}
std::string whatIs(const std::string &kind) {
  for (const KindRow &k : kindTable())
    if (kind == k.name) return k.what;
  return kind;
}
/// A word, or a number that stands where words could: `bits=8|4`.
std::string wordOf(const Expr &e) { return std::holds_alternative<Name>(e.is) || std::holds_alternative<Member>(e.is) || std::holds_alternative<Number>(e.is) ? printValue(e) : ""; }

class Matcher {
public:
  Matcher(const PlanContext &c, const Setting &s) : context(c), setting(s) {}
  std::vector<const Item *> values; ///< in order; null is a comma
  std::vector<const Item *> options;
  Failure failure;

  /// Parts the setting's items; the first is left out where it is just the key.
  void collect(bool withKey) {
    for (const Phrase &p : setting.phrases) {
      const size_t before = values.size();
      for (const Item &i : p.items) {
        if (&i == &setting.phrases[0].items[0] && !withKey && !setting.path) continue;
        (i.kind == Item::Keyed ? options : values).push_back(&i);
      }
      if (values.size() > before && &p != &setting.phrases.back()) values.push_back(nullptr);
    }
    if (!values.empty() && !values.back()) values.pop_back();
  }
  bool match(const ValueShape &s) {
    return step(s, 0, [&](size_t at) {
      if (at == values.size()) return true;
      const size_t what = at + 1 < values.size() && !values[at]; // the comma is not the mistake
      fail(2 * at, spanAt(at + what), {}, [&](Failure &f) { f.tooMany = true, f.found = textAt(at + what); });
      return false;
    });
  }
  bool value(const ValueShape &s, const Range &v, size_t place, const std::string &inside) {
    const Expr &e = *v.from;
    if (s.kind == ValueShape::Either || (s.kind == ValueShape::Sequence && s.parts.size() == 1))
      return std::any_of(s.parts.begin(), s.parts.end(), [&](const ValueShape &p) { return value(p, v, place, inside); });
    const Span at = v.to ? Span{e.span.file, e.span.begin, v.to->span.end} : e.span;
    const std::string text = printValue(e) + (v.to ? (v.closed ? "..=" : "..") + printValue(*v.to) : "");
    if (s.kind == ValueShape::Word) {
      if (!v.to && wordOf(e) == s.text) return true;
      fail(place, at, {"`" + s.text + "`"}, [&](Failure &f) { f.found = text, f.inside = inside, addNew(f.near, didYouMean(wordOf(e), {s.text})); });
      return false;
    }
    if (s.kind == ValueShape::Call) return call(s, v, place, inside, at, text);
    Verdict verdict = fits(context, s.text, v);
    if (!verdict.ok && place == failure.place && failure.span == at) { // a wrong unit says more than another kind
      if (failure.wrongUnit && !verdict.wrongUnit) return false;
      if (verdict.wrongUnit && !failure.wrongUnit) failure.expected.clear(), failure.near.clear();
    }
    if (!verdict.ok)
      fail(place, at, {whatIs(s.text)}, [&](Failure &f) { f.found = text, f.inside = inside, f.wrongUnit |= verdict.wrongUnit, addNew(f.near, verdict.near); });
    return verdict.ok;
  }

private:
  const PlanContext &context;
  const Setting &setting;

  Span spanAt(size_t at) {
    if (at < values.size() && values[at]) return values[at]->span;
    const Phrase &last = setting.phrases.back();
    return {last.span.file, last.span.end - 1, last.span.end};
  }
  std::string textAt(size_t at) { return at >= values.size() ? "" : values[at] ? printItem(*values[at]) : ","; }
  void fail(size_t place, Span at, const std::vector<std::string> &expected, const std::function<void(Failure &)> &fill) {
    if (place < failure.place) return;
    if (place > failure.place || !failure.span.valid()) failure = {}, failure.place = place, failure.span = at;
    if (!(failure.span == at)) return;
    addNew(failure.expected, expected);
    fill(failure);
  }
  /// Values from `at` on, with what comes after the shape as `then`.
  bool step(const ValueShape &s, size_t at, const std::function<bool(size_t)> &then) {
    switch (s.kind) {
    case ValueShape::Sequence: return sequence(s, 0, at, then);
    case ValueShape::Either: return std::any_of(s.parts.begin(), s.parts.end(), [&](const ValueShape &p) { return step(p, at, then); });
    case ValueShape::Optional: return step(s.parts[0], at, then) || then(at);
    case ValueShape::Repeat:
      return step(s.parts[0], at, [&](size_t next) {
        if (next == at) return false;
        size_t more = next < values.size() && !values[next] ? next + 1 : next;
        return (more < values.size() && step(s, more, then)) || then(next);
      });
    case ValueShape::Value:
      if (const ValueShape *m = macro(s.text)) return step(*m, at, then);
      break;
    default: break;
    }
    const Item *i = at < values.size() ? values[at] : nullptr;
    if (i && s.kind == ValueShape::Arrow && i->kind == Item::Arrow) return then(at + 1);
    if (i && s.kind != ValueShape::Arrow && i->kind == Item::Value) return value(s, i->value, 2 * at, "") && then(at + 1);
    fail(2 * at, spanAt(at), {s.kind == ValueShape::Value ? whatIs(s.text) : "`" + s.text + "`"}, [&](Failure &f) { f.missing = at >= values.size(), f.found = textAt(at); });
    return false;
  }
  bool sequence(const ValueShape &s, size_t part, size_t at, const std::function<bool(size_t)> &then) {
    if (part == s.parts.size()) return then(at);
    return step(s.parts[part], at, [&, part](size_t next) { return sequence(s, part + 1, next, then); });
  }
  bool call(const ValueShape &s, const Range &v, size_t place, const std::string &inside, Span at, const std::string &text) {
    auto *c = std::get_if<Call>(&v.from->is);
    const std::string name = wordOf(c ? *c->callee : *v.from);
    if (v.to || name != s.text) {
      fail(place, at, {"`" + s.text + "(..)`"}, [&](Failure &f) { f.found = text, f.inside = inside, addNew(f.near, didYouMean(name, {s.text})); });
      return false;
    }
    const std::string here = s.text + "(..)";
    size_t next = 0, repeated = 0;
    std::vector<std::string> given, names;
    for (const ValueShape::Option &o : s.options) names.push_back(o.name);
    static const std::vector<Argument> none;
    for (const Argument &a : c ? c->args : none) {
      if (auto *x = std::get_if<ExprPtr>(&a.is)) {
        if (next == s.parts.size()) {
          fail(place + 1, a.span, {}, [&](Failure &f) { f.tooMany = true, f.found = printValue(**x), f.inside = here; });
          return false;
        }
        const bool repeat = s.parts[next].kind == ValueShape::Repeat;
        Range r;
        r.from = clone(**x);
        if (!value(repeat ? s.parts[next].parts[0] : s.parts[next], r, place + 1, here)) return false;
        repeat ? ++repeated : ++next;
        continue;
      }
      auto *n = std::get_if<Argument::Named>(&a.is);
      auto option = !n ? s.options.end() : std::find_if(s.options.begin(), s.options.end(), [&](auto &o) { return o.name == n->name.name; });
      if (option == s.options.end() || std::find(given.begin(), given.end(), option->name) != given.end()) {
        const bool twice = option != s.options.end();
        std::vector<std::string> allowed;
        for (const std::string &x : names) allowed.push_back("`" + x + "=`");
        fail(place + 1, n ? n->name.span : a.span, twice ? std::vector<std::string>{} : allowed, [&](Failure &f) {
          f.tooMany = twice || allowed.empty(), f.found = n ? n->name.name + "=" : "this", f.inside = here;
          if (n && !twice) addNew(f.near, didYouMean(n->name.name, names));
        });
        return false;
      }
      given.push_back(option->name);
      Range r;
      r.from = clone(*n->value);
      if (!value(option->value[0], r, place + 1, here)) return false;
    }
    if (next < s.parts.size() && !(s.parts[next].kind == ValueShape::Repeat && repeated)) {
      const ValueShape &p = s.parts[next].kind == ValueShape::Repeat ? s.parts[next].parts[0] : s.parts[next];
      fail(place + 1, at, {p.kind == ValueShape::Value ? whatIs(p.text) : "`" + p.text + "`"}, [&](Failure &f) { f.missing = true, f.inside = here; });
      return false;
    }
    for (const ValueShape::Option &o : s.options)
      if (o.must && std::find(given.begin(), given.end(), o.name) == given.end()) {
        fail(place + 1, at, {"`" + o.name + "=`"}, [&](Failure &f) { f.missing = true, f.inside = here; });
        return false;
      }
    return true;
  }
};

std::string orList(const std::vector<std::string> &all) {
  std::string t;
  for (size_t i = 0; i < all.size(); ++i) t += (i == 0 ? "" : i + 1 == all.size() ? " or " : ", ") + all[i];
  return t;
}
void suggest(Diagnostic &d, const std::string &found, const std::vector<std::string> &near) {
  std::vector<std::string> best = didYouMean(found, near), quoted;
  if (best.empty()) best = near; // it was a part of what was found
  for (size_t i = 0; i < best.size() && i < 2; ++i) quoted.push_back("`" + best[i] + "`");
  if (!quoted.empty()) d.help("did you mean " + orList(quoted) + "?");
}
void suggestExample(Diagnostic &d, const ClauseRow &row) { d.help(fmt::format("for example `{}`", row.example)); }

/// A name of the table: of an option, or a key in capitals, as a value of that kind.
Range nameAsValue(const std::vector<Ident> &key) {
  Range r;
  for (const Ident &k : key) {
    auto e = std::make_unique<Expr>();
    e->span = r.from ? Span{k.span.file, r.from->span.begin, k.span.end} : k.span;
    if (r.from) e->is = Member{std::move(r.from), k};
    else e->is = Name{k.name};
    r.from = std::move(e);
  }
  return r;
}
std::string keyText(const Item &i) {
  std::string t;
  for (const Ident &k : i.key) t += (t.empty() ? "" : ".") + k.name;
  return t;
}

/// One row tried: whether it fits, and the first mistake in the options.
struct Trial {
  const ClauseRow *row;
  Matcher matcher;
  bool shape = false;
  std::function<void(Diagnostics &)> optionError;
};

void tryOptions(const PlanContext &c, Trial &t, const std::string &key, Span keySpan) {
  auto allowed = parseOptions(t.row->options);
  std::vector<std::string> seen, names;
  for (const ValueShape::Option &o : allowed)
    if (!std::isupper((unsigned char)o.name[0])) names.push_back(o.name);
  std::map<std::string, bool> met;
  for (const Item *i : t.matcher.options) {
    const std::string name = keyText(*i);
    const Span at{i->span.file, i->key.front().span.begin, i->key.back().span.end};
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) {
      t.optionError = [=](Diagnostics &d) { d.report(Msg::P0402, at, name + "="); };
      return;
    }
    seen.push_back(name);
    auto option = std::find_if(allowed.begin(), allowed.end(), [&](auto &o) { return o.name == name; });
    std::vector<std::string> near = didYouMean(name, names);
    std::string open;
    if (option == allowed.end()) {
      Range r = nameAsValue(i->key);
      for (auto o = allowed.begin(); o != allowed.end() && option == allowed.end(); ++o) {
        if (!std::isupper((unsigned char)o->name[0])) continue;
        Verdict v = fits(c, o->name, r);
        if (v.ok) option = o;
        else open = whatIs(o->name), addNew(near, v.near);
      }
    }
    if (option == allowed.end()) {
      const ClauseRow &row = *t.row;
      t.optionError = [=, &row](Diagnostics &d) {
        Diagnostic &x = d.report(Msg::P0407, at, key, name);
        suggest(x, name, near);
        if (!open.empty()) x.note("what stands before `=` here is " + open);
        if (near.empty()) suggestExample(x, row);
      };
      return;
    }
    met[option->name] = true;
    static const Setting none;
    Matcher one(c, none);
    if (!one.value(option->value[0], i->value, 0, "")) {
      Failure f = one.failure;
      t.optionError = [=](Diagnostics &d) {
        Diagnostic &x = d.report(f.wrongUnit ? Msg::P0405 : Msg::P0404, f.span, name + "=", orList(f.expected), f.found);
        suggest(x, f.found, f.near);
      };
      return;
    }
  }
  for (const ValueShape::Option &o : allowed)
    if (o.must && !met.count(o.name)) {
      const std::string what = std::isupper((unsigned char)o.name[0]) ? whatIs(o.name) + " with `=` and a value" : "`" + o.name + "=`";
      const ClauseRow &row = *t.row;
      t.optionError = [=, &row](Diagnostics &d) { suggestExample(d.report(Msg::P0406, keySpan, key, what), row); };
      return;
    }
}
/// Names of options, of the row and of the calls in it.
void optionNames(const ValueShape &s, std::vector<std::string> &all) {
  for (const ValueShape::Option &o : s.options) addNew(all, {o.name});
  for (const ValueShape &p : s.parts) optionNames(p, all);
}
void report(Diagnostics &diags, const Failure &f, const std::string &key, const ClauseRow &row) {
  const std::string whose = f.inside.empty() ? key : f.inside;
  Diagnostic &d = f.missing     ? diags.report(Msg::P0406, f.span, whose, orList(f.expected))
                  : f.wrongUnit ? diags.report(Msg::P0405, f.span, whose, orList(f.expected), f.found)
                  : f.expected.empty() ? diags.report(Msg::P0408, f.span, whose, f.found)
                                       : diags.report(Msg::P0404, f.span, whose, orList(f.expected), f.found);
  suggest(d, f.found, f.near);
  std::vector<std::string> options;
  optionNames(parseShape(row.shape), options);
  for (const ValueShape::Option &o : parseOptions(row.options)) options.push_back(o.name);
  if (std::find(options.begin(), options.end(), f.found) != options.end()) d.help(fmt::format("write `{}=..`", f.found));
  else if (f.near.empty() && !f.wrongUnit) suggestExample(d, row);
}
/// A key of another clause, as it would be written: `train { steps .. }`.
std::string elsewhere(const std::string &key, const std::string &clause) {
  for (const ClauseRow &r : clauseTable())
    if (key == r.key && clause != r.clause) return *r.clause ? fmt::format("{} {{ {} .. }}", r.clause, key) : key;
  return "";
}

const char *nameOf(About about) {
  switch (about) {
  case About::Subsets: return "subsets";
  case About::Blocks: return "blocks";
  case About::Params: return "params";
  case About::Maps: return "maps `A -> B`";
  default: return "sites";
  }
}
/// Every alternative of the pattern has to match something, and something that the facet is about.
void checkSites(PlanContext &c, const SitePath &pattern, const ClauseRow &row) {
  if (!c.graph) return;
  bool ok = true;
  auto one = [&](const SitePath &p, Span at) {
    if (!matching(p, c.sites).empty()) return;
    ok = false;
    std::vector<std::string> near = nearest(p, c.sites), quoted;
    for (const std::string &n : near) quoted.push_back("`" + n + "`");
    Diagnostic &d = c.diags.report(Msg::E0118, at, print(p), quoted.empty() ? "" : "; did you mean " + orList(quoted) + "?");
    if (quoted.empty()) d.help("a site is a block, a function, a param, state, cache, subset or input of the model, or its loss");
  };
  bool either = false;
  for (size_t i = 0; i < pattern.segments.size(); ++i) {
    if (pattern.segments[i].kind != Segment::Either) continue;
    either = true;
    for (const Ident &w : pattern.segments[i].words) {
      SitePath p = clone(pattern);
      p.segments[i].words = {w}, p.segments[i].kind = Segment::Word;
      one(p, w.span);
    }
  }
  if (!either) one(pattern, pattern.span);
  if (!ok) return;
  auto named = matching(pattern, c.sites);
  if (either && named.empty()) one(pattern, pattern.span);
  else if (concerned(named, c.sites, row.about).empty())
    c.diags.report(Msg::P0409, pattern.span, print(pattern), nameOf(row.about), *row.shape ? std::string(row.shape).substr(0, std::strcspn(row.shape, " (")) : row.clause);
}
} // namespace

void checkSetting(PlanContext &c, const std::string &clause, const Setting &s, std::vector<Refused> &refused) {
  const SettingKey key = keyOf(s);
  const std::string where = clause.empty() ? "a plan" : "`" + clause + "`";
  std::vector<const ClauseRow *> rows;
  bool named = false; // the key is one of the table's words, and no value
  if (s.path) {
    rows = rowsOf(clause, "SITES");
    if (rows.empty()) {
      c.diags.report(Msg::P0403, s.path->span, print(*s.path), where);
      return;
    }
  } else {
    if (key.whole) rows = rowsOf(clause, key.name);
    named = !rows.empty();
    for (const ClauseRow *r : openRowsOf(clause))
      if (!named || clause == "require") rows.push_back(r);
  }
  const std::string label = s.path ? print(*s.path) : key.name;
  std::vector<Trial> trials;
  for (const ClauseRow *r : rows) {
    trials.push_back({r, Matcher(c, s), false, {}});
    Trial &t = trials.back();
    t.matcher.collect(std::isupper((unsigned char)r->key[0]) && !s.path);
    if (t.matcher.values.size() + t.matcher.options.size() > mostValues) {
      c.diags.report(Msg::P0408, s.span, label, fmt::format("more than {} values", mostValues));
      return;
    }
    t.shape = t.matcher.match(parseShape(r->shape));
    tryOptions(c, t, label, s.path ? s.path->span : key.span);
  }
  auto fit = std::find_if(trials.begin(), trials.end(), [](const Trial &t) { return t.shape && !t.optionError; });
  if (fit != trials.end()) {
    const ClauseRow &row = *fit->row;
    if (s.path) checkSites(c, *s.path, row);
    if (row.refused) refused.push_back({*row.refused, print(s), row.command, s.span});
    if (!s.nested) return;
    const std::string inner = clause.empty() ? key.name : clause + "." + key.name;
    if (isClause(inner)) checkSettings(c, inner, *s.nested, refused);
    else c.diags.report(Msg::P0410, s.nested->span, label);
    return;
  }
  // What fits but for an option is nearest to what was meant; else the row that came furthest.
  auto almost = std::find_if(trials.begin(), trials.end(), [](const Trial &t) { return t.shape; });
  if (almost != trials.end() && !(almost->matcher.values.empty() && trials.size() > 1 && almost->matcher.options.empty())) {
    almost->optionError(c.diags);
    return;
  }
  Trial *best = nullptr;
  for (Trial &t : trials)
    if (!t.shape && (!best || t.matcher.failure.place > best->matcher.failure.place)) best = &t;
  const bool known = std::any_of(rows.begin(), rows.end(), [&](const ClauseRow *r) { // a name of the kind that may be a key
    return std::isupper((unsigned char)r->key[0]) && !key.name.empty() && fits(c, r->key, nameAsValue({{key.name, key.span}})).ok;
  });
  if (!named && !known && !s.path && (!best || best->matcher.failure.place == 0)) {
    if (!key.whole && !key.name.empty() && !rowsOf(clause, key.name).empty()) {
      c.diags.report(Msg::P0426, s.phrases[0].items[0].span, printItem(s.phrases[0].items[0]), key.name);
      return;
    }
    const Item &first = s.phrases[0].items[0];
    if (first.kind == Item::Keyed && first.key.size() == 1 && !rowsOf(clause, first.key[0].name).empty()) {
      c.diags.report(Msg::P0427, first.span, first.key[0].name, printItem(first).substr(first.key[0].name.size() + 1));
      return;
    }
    std::vector<std::string> near = key.name.empty() ? std::vector<std::string>{} : didYouMean(key.name, keysOf(clause));
    if (best) addNew(near, best->matcher.failure.near);
    Diagnostic &d = c.diags.report(Msg::P0401, key.span, key.name.empty() ? std::string(c.diags.sources.text(key.span)) : key.name, where);
    suggest(d, key.name, near);
    const std::string other = near.empty() ? elsewhere(key.name, clause) : "";
    if (!other.empty()) d.help("did you mean `" + other + "`?");
    else if (near.empty() && !keysOf(clause).empty()) d.note("keys of " + where + ": " + fmt::format("{}", fmt::join(keysOf(clause), " ")));
    if (best && near.empty() && other.empty()) d.note("or " + orList(best->matcher.failure.expected));
    return;
  }
  Failure f = best->matcher.failure;
  for (Trial &t : trials)
    if (!t.shape && t.matcher.failure.place == f.place && t.matcher.failure.span == f.span) {
      const Failure &g = t.matcher.failure;
      if (g.wrongUnit && !f.wrongUnit) f = g;
      if (g.wrongUnit != f.wrongUnit) continue;
      addNew(f.expected, g.expected), addNew(f.near, g.near);
      f.missing |= g.missing;
    }
  report(c.diags, f, label, known && !named ? *trials[0].row : *best->row);
}

void checkSettings(PlanContext &c, const std::string &clause, const Settings &all, std::vector<Refused> &refused) {
  for (const Setting &s : all.settings) checkSetting(c, clause, s, refused);
}
} // namespace fil::sema
