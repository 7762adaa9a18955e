// SPDX-License-Identifier: Apache-2.0
#include "lang/sema/plan_sites.h"
#include "lang/sema/plan_tree.h"
#include <algorithm>
#include <set>

namespace fil::sema {

std::string SitePathOf::str() const {
  std::string t;
  for (const SiteSegment &s : segments) {
    t += (t.empty() ? "" : ".") + s.name + (s.kind == Site::Subset ? "*" : "");
    if (s.indexed) t += s.to == s.from + 1 ? fmt::format("[{}]", s.from) : fmt::format("[{}..{}]", s.from, s.to);
  }
  return t;
}

std::string SitePathOf::recorded() const {
  SitePathOf together = *this;
  for (SiteSegment &x : together.segments)
    if (x.kind == Site::Family) x.name += "[*]", x.indexed = false;
  return together.str();
}

std::vector<SitePathOf> sitesOf(const Graph &graph, const std::deque<Variable> &variables, const std::string &model) {
  std::vector<SitePathOf> all;
  std::set<const Site *> seen;
  std::map<const Site *, bool> maps;
  auto segmentOf = [](const Site *s) {
    SiteSegment x{s->kind, s->name, false, 0, 0, s->statics};
    if (s->kind == Site::LoopSite && s->loop) x.indexed = true, x.from = s->loop->lo, x.to = s->loop->hi;
    else if (s->kind == Site::Family && s->family) {
      x.indexed = true;
      auto n = s->family->size.constant();
      x.to = n && n->isWhole() ? n->num : INT64_MAX;
    } else if (s->number >= 0) x.indexed = true, x.from = s->number, x.to = s->number + 1;
    return x;
  };
  std::function<void(const Site *)> add = [&](const Site *s) {
    if (!s || s->kind == Site::Root || !seen.insert(s).second) return;
    add(s->parent);
    SitePathOf path;
    for (const Site *x = s; x && x->kind != Site::Root; x = x->parent) path.segments.insert(path.segments.begin(), segmentOf(x));
    if (auto m = maps.find(s); m != maps.end()) path.map = m->second;
    all.push_back(std::move(path));
  };
  std::vector<const Variable *> own;
  for (const Variable &v : variables) {
    const Site *root = v.site;
    while (root->parent) root = root->parent;
    if (root->name == model) maps[v.site] = v.rightFrom >= 0, own.push_back(&v);
  }
  for (const Node *n : graph.inputs) all.push_back({{{Site::Input, n->name, false, 0, 0, {}}}, false});
  for (const Variable *v : own) add(v->site);
  for (const Node &n : graph.nodes) add(n.site);
  return all;
}

// ---- matching ----

static bool selects(const ast::Selector &s, const SiteSegment &x) {
  if (s.any) return x.indexed;
  for (const ast::Argument::Named &n : s.statics) {
    auto at = std::find_if(x.statics.begin(), x.statics.end(), [&](auto &p) { return p.first == n.name.name; });
    if (at == x.statics.end() || at->second != printValue(*n.value)) return false;
  }
  if (!s.statics.empty()) return true;
  return x.indexed && s.from.value_or(0) < x.to && s.to.value_or(INT64_MAX) > x.from;
}
static bool names(const ast::Segment &s, const SiteSegment &x) {
  if (s.kind == ast::Segment::Any) return true;
  if (s.subset != (x.kind == Site::Subset)) return false;
  if (std::none_of(s.words.begin(), s.words.end(), [&](const ast::Ident &w) { return w.name == x.name; })) return false;
  return !s.selector || selects(*s.selector, x);
}
/// Pattern segments from `p` back to the first match path segments from `x` back; what is left of the path does not count.
static bool ends(const std::vector<ast::Segment> &pattern, size_t p, const std::vector<SiteSegment> &path, size_t x) {
  while (p) {
    if (pattern[p - 1].kind == ast::Segment::Deep) {
      for (size_t skip = 0; skip <= x; ++skip)
        if (ends(pattern, p - 1, path, x - skip)) return true;
      return false;
    }
    if (!x || !names(pattern[p - 1], path[x - 1])) return false;
    --p, --x;
  }
  return true;
}
ast::SitePath pathOf(const ast::Expr &e) {
  ast::SitePath path;
  for (const ast::Expr *x = &e;;) {
    auto *m = std::get_if<ast::Member>(&x->is);
    auto *n = std::get_if<ast::Name>(&x->is);
    if (!m && !n) return {};
    ast::Segment s;
    s.words.push_back(m ? m->name : ast::Ident{n->name, x->span});
    path.segments.insert(path.segments.begin(), std::move(s));
    if (!m) return path;
    x = m->base.get();
  }
}
std::vector<const SitePathOf *> matching(const ast::SitePath &pattern, const std::vector<SitePathOf> &all) {
  std::vector<const SitePathOf *> found;
  for (const SitePathOf &s : all)
    if (ends(pattern.segments, pattern.segments.size(), s.segments, s.segments.size())) found.push_back(&s);
  return found;
}

static bool isAbout(const SitePathOf &s, About about) {
  const Site::Kind k = s.segments.back().kind;
  switch (about) {
  case About::Nothing: return false;
  case About::Any: return true;
  case About::Subsets: return k == Site::Subset;
  case About::Blocks: return k == Site::Block || k == Site::Family;
  case About::Params: return k == Site::Param;
  case About::Maps: return k == Site::Param && s.map;
  }
  return false;
}
static bool within(const SitePathOf &inner, const SitePathOf &outer) {
  if (inner.segments.size() < outer.segments.size()) return false;
  for (size_t i = 0; i < outer.segments.size(); ++i) {
    const SiteSegment &a = inner.segments[i], &b = outer.segments[i];
    if (a.kind != b.kind || a.name != b.name || a.from != b.from || a.to != b.to) return false;
  }
  return true;
}
std::vector<const SitePathOf *> concerned(const std::vector<const SitePathOf *> &named, const std::vector<SitePathOf> &all, About about) {
  std::vector<const SitePathOf *> found;
  for (const SitePathOf &s : all)
    if (isAbout(s, about) && std::any_of(named.begin(), named.end(), [&](const SitePathOf *n) { return within(s, *n); })) found.push_back(&s);
  return found;
}

std::vector<std::string> nearest(const ast::SitePath &pattern, const std::vector<SitePathOf> &all) {
  std::vector<std::string> words, best;
  for (const SitePathOf &s : all)
    for (const SiteSegment &x : s.segments)
      if (std::find(words.begin(), words.end(), x.name) == words.end()) words.push_back(x.name);
  for (size_t i = pattern.segments.size(); i-- && best.empty();)
    for (size_t w = 0; w < pattern.segments[i].words.size(); ++w) {
      ast::SitePath path = clone(pattern);
      ast::Segment &changed = path.segments[i];
      std::vector<std::string> fitting;
      for (const std::string &word : words) {
        changed.words[w].name = word;
        for (bool subset : {changed.subset, !changed.subset}) {
          if (changed.kind != ast::Segment::Word && subset) continue;
          std::swap(changed.subset, subset);
          if (!matching(path, all).empty()) fitting.push_back(word + (changed.subset ? "*" : ""));
          std::swap(changed.subset, subset);
        }
      }
      std::string wrong = pattern.segments[i].words[w].name + (pattern.segments[i].subset ? "*" : "");
      for (std::string word : didYouMean(wrong, fitting)) {
        changed.subset = word.back() == '*';
        if (changed.subset) word.pop_back();
        changed.words[w].name = word;
        best.push_back(print(path));
      }
      if (!best.empty()) break;
    }
  return best;
}
} // namespace fil::sema
