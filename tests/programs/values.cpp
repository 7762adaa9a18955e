// SPDX-License-Identifier: Apache-2.0
#include "tests/programs/values.h"
#include "runtime/train/pattern.h"
#include "tests/programs/compiled.h"
#include "tests/support/program.h"
#include <cmath>

namespace fil::programs {

void Values::fill(Point &p, const Executable &x, const Entry &e) {
  std::normal_distribution<double> normal;
  for (const VariableInfo &v : x.variables()) { // of random weights the largest
    if (!v.thinned) continue;
    const auto names = patternOf(v);
    const VariableInfo &pattern = x.variables()[byName(x).at(names[0])];
    const auto shape = denseShape(v, pattern);
    std::vector<double> dense(size_t(*elementCount(shape)));
    for (double &d : dense) d = normal(random);
    const auto made = compressed(Array::of<double>(DType::F64, shape, dense), v, pattern);
    for (size_t i = 0; i < names.size(); ++i) p.variables.try_emplace(names[i], numbers(made[i + 1]));
  }
  for (const VariableInfo &v : x.variables()) {
    if (p.variables.count(v.name)) continue;
    int64_t n = 1;
    for (int64_t s : v.shape) n *= s;
    auto &values = p.variables[v.name];
    for (int64_t i = 0; i < n; ++i) values.push_back(v.mask ? double(random() % 2) : v.kind == VariableInfo::Param ? 0.6 * normal(random) : v.kind == VariableInfo::State ? 0.2 + std::fabs(0.3 * normal(random)) : 0);
  }
  for (const Port &port : e.inputs) {
    if (p.inputs.count(port.name)) continue;
    auto &values = p.inputs[port.name];
    int64_t n = 1;
    for (size_t d = 0; d < port.sizes.size(); ++d) n *= valueOf(port.sizes[d], sizes, port.dims[d]);
    for (int64_t i = 0; i < n; ++i) values.push_back(port.name == "step" ? 3 : port.name == "seed" ? 5 : port.name == "lr" ? 1 : port.dtype == DType::Bool ? double(random() % 2)
                                                     : port.dtype == DType::I32 ? double(random() % uint64_t(port.indexBound ? valueOf(*port.indexBound, sizes, port.name) : 7)) : normal(random));
  }
}
std::vector<Array> Values::inputs(const Point &p, const Entry &e) const {
  std::vector<Array> all;
  for (const Port &port : e.inputs) {
    Array like;
    like.dtype = port.dtype;
    for (size_t d = 0; d < port.sizes.size(); ++d) like.shape.push_back(valueOf(port.sizes[d], sizes, port.dims[d]));
    all.push_back(array(like, p.inputs.at(port.name)));
  }
  return all;
}
void Values::set(const Point &p, Executable &x) {
  for (size_t i = 0; i < x.variables().size(); ++i) {
    Array like;
    like.dtype = x.variables()[i].dtype, like.shape = x.variables()[i].shape;
    x.set(i, array(like, p.variables.at(x.variables()[i].name)));
  }
}

std::vector<Array> runAt(const Point &p, Executable &x, const std::string &entry, Values &values) {
  const Entry *e = x.find(entry);
  if (!e) throw std::runtime_error("no entry " + entry);
  Values::set(p, x);
  return x.run(*e, values.inputs(p, *e));
}

} // namespace fil::programs
