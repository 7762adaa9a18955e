// SPDX-License-Identifier: Apache-2.0
#include "tools/driver/entry_sizes.h"
#include "ir/ir.h"
#include "runtime/base/status.h"
#include <set>

namespace fil {

Binding entrySizes(const Program &p, const Manifest &m, const sema::TrainSettings &t, const Binding &given) {
  const bool caches = p.entry.name == "prefill" || p.entry.name == "decode";
  Binding sizes = given;
  sizes.insert(m.bounds.begin(), m.bounds.end());
  sizes.emplace(t.batchDim, caches ? 1 : t.batch);
  for (auto &[length, from] : p.running) {
    auto window = t.window.find(from);
    if (auto it = given.find(from); it != given.end()) sizes.emplace(length, it->second), sizes.emplace(length + "#cap", it->second);
    else if (window != t.window.end()) sizes.emplace(length, window->second), sizes.emplace(length + "#cap", window->second);
    if (p.entry.name == "decode") sizes[from] = 1;
  }
  sizes.insert(t.window.begin(), t.window.end());
  return sizes;
}

Binding trainingSizes(mlir::ModuleOp module, const sema::TrainSettings &t) {
  Binding sizes = t.window;
  sizes[t.batchDim] = t.batch;
  module.walk([&](ir::CacheOp c) {
    if (auto from = sizes.find(c.getFrom().str()); from != sizes.end()) sizes.emplace(c.getTo().str(), from->second);
  });
  return sizes;
}

double numberAt(const Size &s, const Binding &sizes, const std::string &what) {
  const Size left = atSizes(s, sizes);
  auto n = left.constant();
  if (!n) throw Error(Exit::Input, "E0516", fmt::format("{} depends on {}, and the plan does not say how much that is", what, left.str()), "give its dims sizes, by `train { window T=128 }` or `--dim T=128`");
  return n->value();
}

std::string sizesText(const Binding &sizes) {
  std::vector<std::string> all;
  for (auto &[dim, n] : sizes)
    if (!dim.ends_with("#cap")) all.push_back(fmt::format("{}={}", dim, n));
  return fmt::format("{}", fmt::join(all, " "));
}

Size atSizes(const Size &s, const Binding &sizes) {
  return s.substitute([&](const std::string &dim) -> std::optional<Size> {
    auto it = sizes.find(dim);
    return it == sizes.end() ? std::nullopt : std::optional(Size(it->second));
  });
}

const Binding &openSizes(const Manifest &m, const Binding &given, const std::string &option) {
  std::set<std::string> open;
  for (const Program &p : m.programs) {
    for (auto &[length, from] : p.running) open.insert(length);
    for (const Port &in : p.entry.inputs)
      for (const Size &s : in.sizes)
        s.substitute([&](const std::string &dim) { return open.insert(dim), std::optional<Size>(); });
  }
  for (auto &[dim, n] : given) {
    if (open.contains(dim)) continue;
    auto fixed = m.dims.find(dim);
    throw Error(Exit::Usage, "E0108", fixed == m.dims.end() ? fmt::format("`{}`: no call has a dim `{}`", option, dim) : fmt::format("`{}`: the program is compiled for {}={}", option, dim, fixed->second),
                fixed == m.dims.end() ? fmt::format("dims that a call decides: {}", fmt::join(open, ", ")) : fmt::format("`--dim {}={}` compiles it for another size", dim, n));
  }
  return given;
}

std::vector<const Program *> wantedPrograms(const Manifest &m, const std::string &entry) {
  std::vector<const Program *> programs;
  std::vector<std::string> names;
  for (const Program &p : m.programs) {
    if (entry.empty() || p.entry.name == entry) programs.push_back(&p);
    names.push_back(p.entry.name);
  }
  if (programs.empty()) throw Error(Exit::Usage, "E0108", fmt::format("the program has no entry `{}`", entry), fmt::format("its entries: {}", fmt::join(names, ", ")));
  return programs;
}

} // namespace fil
