// SPDX-License-Identifier: Apache-2.0
// Names: of types, sites, variables, ops; the table of dims; the `typed` stage.
#include "lang/sema/typed.h"
#include <fmt/format.h>

namespace fil::sema {

std::string Type::str() const {
  std::string s = elem == Elem::Int ? "int" : elem == Elem::Bool ? "bool" : elem == Elem::Index ? "index<" + indexed->name + ">" : "";
  s += '[';
  for (size_t i = 0; i < dims.size(); ++i) s += (i ? "," : "") + (dims[i]->kind == Dim::Subset ? dims[i]->base : dims[i]->name);
  return s + ']';
}
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
