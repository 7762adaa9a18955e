// SPDX-License-Identifier: Apache-2.0
#include "tools/driver/arena.h"
#include "runtime/base/status.h"

namespace fil {

BoundProgram boundAt(const Program &p, const Manifest &m, const Binding &sizes, Binding &used) {
  const std::vector<fil_kernel> none(m.kernels.size());
  FlatProgram flat(p, m.storages, none);
  std::vector<int64_t> symbols;
  for (const std::string &s : flat.formulas.symbols()) {
    auto it = sizes.find(s);
    if (it == sizes.end()) throw Error(Exit::Input, "E0516", fmt::format("the arena of `{}` depends on `{}`, whose size is not known", p.entry.name, s), fmt::format("write `--at {}=SIZE`", s.substr(0, s.find('#'))));
    symbols.push_back(it->second), used.insert(*it);
  }
  BoundProgram b;
  flat.bindPorts(b, symbols);
  flat.bindSteps(b, std::vector<int64_t>(m.storages.size(), INT64_MAX));
  return b;
}

int64_t arenaBytes(const Program &p, const Manifest &m, const Binding &sizes) {
  Binding used;
  return planArena(boundAt(p, m, sizes, used).lifetimes).bytes;
}
int64_t keptBytes(const Manifest &m) {
  int64_t bytes = 0;
  for (const VariableRow &v : m.variables) bytes += *elementCount(v.info.shape) * int64_t(byteSize(v.info.dtype));
  for (const Storage &s : m.storages)
    if (s.kind == Storage::Derived) bytes += s.extents[0].constant()->num * int64_t(byteSize(s.dtype));
  return bytes;
}

} // namespace fil
