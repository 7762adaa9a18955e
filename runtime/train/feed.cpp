// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/feed.h"
#include "runtime/base/status.h"
#include <cstring>
#include <numeric>

namespace fil {
namespace {

bool isScalar(const Port &p) { return p.name == "seed" || p.name == "step" || p.name == "lr" || p.name == "progress"; }

/// The axis of the batch; the rank where the input has none.
size_t batchAxis(const Port &p, const std::string &dim) {
  return size_t(std::find(p.dims.begin(), p.dims.end(), dim) - p.dims.begin());
}
bool counts(const Port &p, const std::string &batchDim) { // `pos`: int[T]
  return p.name == "pos" && p.dtype == DType::I32 && !p.indexBound && p.sizes.size() == 1 && batchAxis(p, batchDim) == 1;
}

Array positions(int64_t n) {
  std::vector<int32_t> v(static_cast<size_t>(n));
  std::iota(v.begin(), v.end(), 0);
  return Array::of(DType::I32, {n}, v);
}

/// The first axis moved to place `to`.
Array moveFirstAxis(const Array &a, size_t to) {
  if (to == 0) return a;
  const size_t unit = byteSize(a.dtype);
  std::vector<int64_t> shape(a.shape.begin() + 1, a.shape.end());
  shape.insert(shape.begin() + int64_t(to), a.shape[0]);
  const int64_t batch = a.shape[0], outer = std::accumulate(shape.begin(), shape.begin() + int64_t(to), int64_t(1), std::multiplies<>());
  const int64_t inner = std::accumulate(shape.begin() + int64_t(to) + 1, shape.end(), int64_t(1), std::multiplies<>());
  std::byte *p;
  Array moved = Array::make(a.dtype, shape, p);
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t o = 0; o < outer; ++o)
      std::memcpy(p + size_t((o * batch + b) * inner) * unit, a.data.get() + size_t((b * outer + o) * inner) * unit, size_t(inner) * unit);
  return moved;
}

void bindPort(const Port &p, const NamedArray &from, const std::string &batchDim, Binding &bound) {
  const size_t batch = batchAxis(p, batchDim);
  std::vector<Size> sizes(p.sizes);
  std::vector<int64_t> shape(from.array.shape);
  if (batch < sizes.size()) sizes.erase(sizes.begin() + int64_t(batch)), shape.erase(shape.begin());
  if (sizes.size() != shape.size()) return; // axes are joined: their sizes must be known otherwise
  for (size_t k = 0; k < sizes.size(); ++k) {
    auto symbols = sizes[k].symbols();
    if (symbols.size() == 1 && sizes[k] == Size::symbol(symbols[0])) bound.emplace(symbols[0], shape[k]);
  }
}

} // namespace

std::optional<int64_t> knownBound(const Port &p, const Binding &sizes) {
  if (!p.indexBound) return {};
  auto v = p.indexBound->eval([&](const std::string &d) -> std::optional<int64_t> {
    auto it = sizes.find(d);
    return it == sizes.end() ? std::nullopt : std::optional(it->second);
  });
  return v ? std::optional(v->num) : std::nullopt;
}

int32_t programSeed(uint64_t seed) { return int32_t((seed ^ (seed >> 31) ^ (seed >> 62)) & 0x7fffffff); }

Array scalarInput(const Port &p, double value) {
  switch (p.dtype) {
  case DType::F64: return Array::of(p.dtype, {}, std::vector{value});
  case DType::F32: return Array::of(p.dtype, {}, std::vector{float(value)});
  default: return Array::of(p.dtype, {}, std::vector{int32_t(value)});
  }
}

Binding bindFromData(const std::vector<Entry> &entries, const std::vector<NamedArray> &arrays, const std::string &batchDim, Binding known) {
  for (const Entry &e : entries)
    for (const Port &p : e.inputs)
      for (const NamedArray &a : arrays)
        if (a.name == p.name && !a.array.shape.empty()) bindPort(p, a, batchDim, known);
  return known;
}

Feed::Feed(const std::vector<const Entry *> &entries, Dataset &data, std::string batchDim, Binding sizes) : batchDim_(std::move(batchDim)), sizes_(std::move(sizes)) {
  const std::vector<std::string> fed = data.names();
  std::vector<InputSpec> specs;
  for (const Entry *e : entries)
    for (const Port &p : e->inputs) {
      const bool feeds = std::find(fed.begin(), fed.end(), p.name) != fed.end();
      if (isScalar(p) || (counts(p, batchDim_) && !feeds)) continue;
      if (std::any_of(specs.begin(), specs.end(), [&](const InputSpec &s) { return s.name == p.name; })) continue;
      if (!feeds)
        throw Error(Exit::Input, "E0510", fmt::format("no data are named for input `{}`", p.name), fmt::format("name them in the plan: `train {{ data {}=npy(\"..\"), .. }}`", p.name));
      InputSpec spec{p.name, p.dtype, {}, std::nullopt, batchAxis(p, batchDim_) == p.sizes.size()};
      for (size_t k = 0; k < p.sizes.size(); ++k)
        if (k != batchAxis(p, batchDim_)) spec.sample.push_back(valueOf(p.sizes[k], sizes_, fmt::format("`{}` of input `{}`", p.dims[k], p.name)));
      spec.indexBound = knownBound(p, sizes_);
      specs.push_back(std::move(spec));
    }
  data.bind(specs);
}

std::vector<Array> Feed::inputs(const Entry &entry, const Batch &batch, const Scalars &s) const {
  std::vector<Array> all;
  for (const Port &p : entry.inputs) {
    auto field = std::find_if(batch.fields.begin(), batch.fields.end(), [&](const Batch::Field &f) { return f.name == p.name; });
    if (field != batch.fields.end()) {
      // The batch outlives the call: no copy, no owner.
      Array a{field->dtype, field->shape, std::shared_ptr<const std::byte>(std::shared_ptr<void>(), field->bytes.data())};
      const size_t axis = batchAxis(p, batchDim_);
      all.push_back(axis < p.sizes.size() ? moveFirstAxis(a, axis) : a);
    } else if (isScalar(p)) {
      all.push_back(scalarInput(p, p.name == "seed" ? programSeed(s.seed) : p.name == "step" ? double(s.step) : p.name == "lr" ? s.lr : s.progress));
    } else {
      all.push_back(positions(valueOf(p.sizes[0], sizes_, p.name)));
    }
  }
  return all;
}

} // namespace fil
