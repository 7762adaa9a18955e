// SPDX-License-Identifier: Apache-2.0
// Names: of types, sites, variables, ops; the table of dims; the `typed` stage.
#include "lang/sema/typed.h"
#include <fmt/format.h>
#include <functional>

namespace fil::sema {

std::string shown(const Dim &d) { return d.kind == Dim::Subset ? d.base : d.name.substr(0, d.name.find_first_of("'#")); }
std::string sideText(const std::vector<const Dim *> &dims) {
  std::string s;
  for (const Dim *d : dims) s += (s.empty() ? "" : ",") + shown(*d);
  const bool word = dims.size() == 1 && s.find_first_of("+-*/^(") == std::string::npos;
  return word ? s : "(" + s + ")";
}
static std::string written(const Type &t, const std::function<std::string(const Dim &)> &dim) {
  std::string s = t.elem == Elem::Int ? "int" : t.elem == Elem::Bool ? "bool" : t.elem == Elem::Index ? "index<" + dim(*t.indexed) + ">" : "";
  s += '[';
  for (size_t i = 0; i < t.dims.size(); ++i) s += (i ? "," : "") + dim(*t.dims[i]);
  return s + ']';
}
std::string Type::str() const {
  return written(*this, [](const Dim &d) { return d.kind == Dim::Subset ? d.base : d.name; });
}
std::string Type::shown() const { return written(*this, sema::shown); }
std::string Site::path() const {
  std::string up = parent && parent->kind != Root ? parent->path() : "";
  std::string own = name;
  if (kind == LoopSite) own += loop->hi - loop->lo == 1 ? fmt::format("[{}]", loop->lo) : fmt::format("[{}..{}]", loop->lo, loop->hi);
  else if (kind == Family) own += "[*]";
  else if (kind == Subset) own += '*';
  else if (number >= 0) own += fmt::format("[{}]", number);
  return up.empty() ? own : up + "." + own;
}
std::string Variable::key() const { return site->path(); }
const std::string &Variable::model() const {
  const Site *s = site;
  while (s->parent) s = s->parent;
  return s->name;
}
std::string Variable::typeText() const {
  std::ptrdiff_t families = 0; // `e[*]` in the site says what the first dims are
  for (const Site *s = site; s; s = s->parent) families += s->kind == Site::Family;
  const auto from = declared.begin() + families;
  if (rightFrom >= 0) return sideText({from, declared.begin() + rightFrom}) + " -> " + sideText({declared.begin() + rightFrom, declared.end()});
  std::string s;
  for (auto d = from; d != declared.end(); ++d) s += (s.empty() ? "" : ",") + shown(**d);
  return "[" + s + "]";
}

const Dim *DimTable::find(const std::string &name) const {
  auto it = byName_.find(name);
  return it == byName_.end() ? nullptr : it->second;
}
const Dim *DimTable::get(const std::string &name, const std::string &base, Size size, Dim::Kind kind) {
  std::string unique = name;
  for (int i = 1;; ++i) { // the same name with another size is another axis: `ky:3` here, `ky:1` there
    const Dim *d = find(unique);
    if (!d) break;
    if (d->size == size) return d;
    unique = fmt::format("{}#{}", name, i);
  }
  dims_.push_back({unique, base, kind == Dim::Bound && size == Size() ? Size::symbol(unique) : size, kind, int(order_.size())});
  byName_[unique] = &dims_.back();
  order_.push_back(&dims_.back());
  return &dims_.back();
}

static const char *opNames[] = {"input", "read", "constant", "size", "iota", "map", "reduce", "contract", "gather", "scatter", "topk", "present", "member", "window",
                                "concat", "slice", "at", "rename", "broadcast", "random", "cache", "stopgrad", "layers", "result"};
static const char *fnNames[] = {"add", "sub", "mul", "div", "pow", "mod", "min", "max", "neg", "abs", "sign", "exp", "log", "sqrt", "rsqrt", "sin", "cos", "tanh", "erf", "floor",
                                "ceil", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "select", "cast", "sum", "argmax", "argmin"};
const char *name(Op op) { return opNames[int(op)]; }
const char *name(Fn fn) { return fnNames[int(fn)]; }

namespace {
struct Printer {
  std::map<const Node *, int> ids;
  std::string out;
  std::string ref(const Node *n) { return fmt::format("%{}", ids.emplace(n, int(ids.size())).first->second); }
  void body(const Body &b, int indent) {
    for (const Node *n : b.nodes) {
      out += fmt::format("{:{}}{} = {}", "", indent, ref(n), name(n->op));
      if (n->op == Op::Map || n->op == Op::Reduce) out += fmt::format(" {}", name(n->fn));
      if (n->variable) out += " " + n->variable->key();
      if (n->op == Op::Constant) out += fmt::format(" {}", n->number);
      for (const Node *a : n->args) out += " " + ref(a);
      for (const Dim *d : n->dims) out += " over " + d->name;
      if (n->dim) out += " in " + n->dim->name;
      if (n->op == Op::SizeOf || n->op == Op::At || n->op == Op::Slice || n->op == Op::TopK) out += " " + n->size.str();
      if (!n->name.empty()) out += " '" + n->name + "'";
      out += " : " + n->type.str() + "\n";
      if (n->op == Op::Layers) {
        out += fmt::format("{:{}}{} in {}..{} {{\n", "", indent + 2, n->loop->index, n->loop->lo, n->loop->hi);
        body(*n->body, indent + 4);
        out += fmt::format("{:{}}}}\n", "", indent + 2);
      }
    }
  }
};
} // namespace

std::string print(const Graph &g) {
  Printer p;
  p.out = fmt::format("graph {}{}\n", g.name, g.training ? " (training)" : "");
  for (const Node *n : g.inputs) p.out += fmt::format("  {} = input '{}' : {}\n", p.ref(n), n->name, n->type.str());
  p.body(g.body, 2);
  for (const Update &u : g.updates) p.out += fmt::format("  on step {} = {}\n", u.state->key(), p.ref(u.value));
  for (const Aux &a : g.auxes) p.out += fmt::format("  aux {}\n", p.ref(a.value));
  for (const Node *o : g.outputs) p.out += fmt::format("  return {}\n", p.ref(o));
  return p.out;
}
} // namespace fil::sema
