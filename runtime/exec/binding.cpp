// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/binding.h"
#include "runtime/base/status.h"

namespace fil {

int64_t valueOf(const Size &size, const Binding &bound, std::string_view what) {
  auto v = size.eval([&](const std::string &dim) -> std::optional<int64_t> {
    auto it = bound.find(dim);
    return it == bound.end() ? std::nullopt : std::optional(it->second);
  });
  if (!v) throw Error(Exit::Input, "E0516", fmt::format("the size of {} is {}, and no input says what its dims are", what, size.str()));
  if (!v->isWhole() || v->num < 0) throw Error(Exit::Input, "E0517", fmt::format("the size of {} is {} = {}, which is no size", what, size.str(), v->str()), "choose dims that divide, or round in the program: `floor(..)`, `ceil(..)`");
  return v->num;
}

static void checkIndices(const Port &p, const Array &a, int64_t bound) {
  auto check = [&](auto span) {
    for (size_t i = 0; i < span.size(); ++i)
      if (span[i] < 0 || int64_t(span[i]) >= bound)
        throw Error(Exit::Input, "E0515", fmt::format("input `{}` is an index of a dim of size {}, but its element {} is {}", p.name, bound, i, int64_t(span[i])));
  };
  check(a.as<int32_t>());
}

Binding bindInputs(const Entry &entry, std::span<const Array> inputs, Binding bound) {
  if (inputs.size() != entry.inputs.size())
    throw Error(Exit::Internal, "E0702", fmt::format("entry `{}` takes {} inputs, not {}", entry.name, entry.inputs.size(), inputs.size()));
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Port &p = entry.inputs[i];
    const Array &a = inputs[i];
    if (a.dtype != p.dtype || a.shape.size() != p.sizes.size())
      throw Error(Exit::Input, "E0516", fmt::format("input `{}` is {}{}, wanted is {} with {} axes", p.name, name(a.dtype), shapeText(a.shape), name(p.dtype), p.sizes.size()));
    for (size_t d = 0; d < p.sizes.size(); ++d) {
      auto symbols = p.sizes[d].symbols();
      if (symbols.size() == 1 && p.sizes[d] == Size::symbol(symbols[0])) bound.emplace(symbols[0], a.shape[d]);
    }
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Port &p = entry.inputs[i];
    for (size_t d = 0; d < p.sizes.size(); ++d)
      if (int64_t want = valueOf(p.sizes[d], bound, p.dims[d]); want != inputs[i].shape[d])
        throw Error(Exit::Input, "E0516", fmt::format("input `{}` has size {} along {}, wanted is {}", p.name, inputs[i].shape[d], p.dims[d], want));
    if (p.indexBound) checkIndices(p, inputs[i], valueOf(*p.indexBound, bound, p.name));
  }
  return bound;
}

} // namespace fil
