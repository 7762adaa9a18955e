// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/adapter.h"
#include "runtime/base/status.h"
#include <charconv>
#include <cstring>
#include <set>

namespace fil {
namespace {

/// An adapter's param as blocks: for each slot and family a matrix, stored as [left, rank] or [rank, right], in files as its transpose.
struct Shape {
  int64_t slots = 1, families = 1, rows = 1, columns = 1;
  bool isA = false, isMagnitude = false;
  int64_t rank() const { return isA ? columns : rows; }
  int64_t other() const { return isA ? rows : columns; }
};
Shape shapeOf(const VariableInfo &v) {
  Shape s;
  s.isA = v.name.ends_with(".lora_A"), s.isMagnitude = v.name.ends_with(".lora_m");
  size_t d = 0;
  if (v.adapterSlots) s.slots = v.shape[d++];
  for (int n = v.families; n > 0; --n) s.families *= v.shape[d++];
  if (s.isMagnitude) {
    for (; d < v.shape.size(); ++d) s.columns *= v.shape[d];
  } else if (s.isA) {
    s.columns = v.shape.back();
    for (; d + 1 < v.shape.size(); ++d) s.rows *= v.shape[d];
  } else {
    s.rows = v.shape[d++];
    for (; d < v.shape.size(); ++d) s.columns *= v.shape[d];
  }
  return s;
}

/// `l[3].e[0].up` as `l.3.e.0.up`.
std::string dotted(const std::string &site) {
  std::string t;
  for (char c : site)
    if (c == '[') t += '.';
    else if (c != ']') t += c;
  return t;
}
constexpr const char *prefix = "base_model.model.";
std::string fieldName(const std::string &name) { return prefix + dotted(name) + ".weight"; }

/// Elements of `to`, an array like `from` transposed in each block.
template <class T> void transpose(const T *from, T *to, int64_t blocks, int64_t rows, int64_t columns) {
  for (int64_t b = 0; b < blocks; ++b, from += rows * columns, to += rows * columns)
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) to[c * rows + r] = from[r * columns + c];
}

std::optional<double> numberIn(const SafeTensors &f, const char *key) {
  auto it = f.metadata.find(key);
  if (it == f.metadata.end()) return {};
  double x = 0;
  auto [end, error] = std::from_chars(it->second.data(), it->second.data() + it->second.size(), x);
  return error == std::errc() && end == it->second.data() + it->second.size() && x > 0 ? std::optional(x) : std::nullopt;
}
} // namespace

bool hasAdapters(const Executable &program) {
  for (const VariableInfo &v : program.variables())
    if (v.adapter && v.kind == VariableInfo::Param) return true;
  return false;
}

void writeAdapter(Files &files, const std::string &path, const Executable &program, const std::string &model) {
  SafeTensors file;
  int64_t rank = 0;
  bool oneRank = true;
  double alpha = 0;
  for (size_t i = 0; i < program.variables().size(); ++i) {
    const VariableInfo &v = program.variables()[i];
    if (!v.adapter || v.kind != VariableInfo::Param) continue;
    const Shape s = shapeOf(v);
    const Array a = program.get(i);
    if (s.isMagnitude) {
      file.tensors.push_back({fieldName(v.name), a});
      continue;
    }
    oneRank &= rank == 0 || (rank == s.rank() && alpha == v.adapter * double(s.rank()));
    rank = s.rank(), alpha = v.adapter * double(rank);
    std::vector<int64_t> shape = s.families > 1 ? std::vector{s.families, s.columns, s.rows} : std::vector{s.columns, s.rows};
    std::byte *to;
    Array turned = Array::make(a.dtype, shape, to);
    if (a.dtype == DType::F64) transpose(a.as<double>().data(), reinterpret_cast<double *>(to), s.families, s.rows, s.columns);
    else transpose(a.as<float>().data(), reinterpret_cast<float *>(to), s.families, s.rows, s.columns);
    file.tensors.push_back({fieldName(v.name), turned});
  }
  file.metadata = {{"format", "pt"}, {"filigree_adapter", "1"}, {"base_model", model}};
  if (oneRank) file.metadata["r"] = std::to_string(rank), file.metadata["lora_alpha"] = fmt::format("{}", alpha); // of several ranks the plan says
  writeSafetensors(files, path, file);
}

void loadAdapter(Executable &program, Files &files, const std::string &path, int64_t slot) {
  const SafeTensors file = readSafetensors(files, path);
  auto misfit = [&](const std::string &why) {
    return Error(Exit::Input, "E0523", fmt::format("the adapter `{}` does not fit the program: {}", path, why), "the plan's `lora` names the sites and ranks that an adapter may have");
  };
  const auto r = numberIn(file, "r"), alpha = numberIn(file, "lora_alpha");
  std::set<std::string> used;
  std::vector<std::pair<size_t, Array>> made; // nothing is set before all is known to fit
  for (size_t i = 0; i < program.variables().size(); ++i) {
    const VariableInfo &v = program.variables()[i];
    if (!v.adapter || v.kind != VariableInfo::Param) continue;
    const Shape s = shapeOf(v);
    if (slot >= s.slots) throw misfit(fmt::format("the plan has {} adapter{}, and this is number {}", s.slots, s.slots == 1 ? "" : "s", slot));
    const Array *found = nullptr;
    bool own = false;
    for (const std::string &name : {fieldName(v.name), dotted(v.name) + ".weight", prefix + dotted(v.name), dotted(v.name), v.name})
      if (auto *a = file.find(name); a && !found) found = a, own = name == v.name, used.insert(name);
    const int64_t block = s.rows * s.columns, all = s.families * block;
    std::byte *to;
    Array whole = Array::make(v.dtype, v.shape, to);
    std::memcpy(to, program.get(i).data.get(), whole.bytes());
    auto put = [&](int64_t at, double x) {
      if (v.dtype == DType::F64) reinterpret_cast<double *>(to)[at] = x;
      else reinterpret_cast<float *>(to)[at] = float(x);
    };
    for (int64_t k = 0; k < all; ++k) put(slot * all + k, 0);
    if (!found && s.isMagnitude) { // relative to the base: 0 is none
      made.push_back({i, std::move(whole)});
      continue;
    }
    if (!found) throw misfit(fmt::format("it has no `{}`", fieldName(v.name)));
    if (found->dtype != DType::F32 && found->dtype != DType::F64) throw misfit(fmt::format("`{}` has elements of {}, wanted are f32 or f64", v.name, name(found->dtype)));
    const int64_t elements = found->elements(), rank = s.isMagnitude ? 1 : elements / (s.families * s.other());
    if (elements != rank * s.families * s.other() || rank < 1 || rank > s.rank() || (!s.isMagnitude && found->shape.size() >= 2 && !own && found->shape[found->shape.size() - (s.isA ? 2 : 1)] != rank))
      throw misfit(fmt::format("`{}` is {}, wanted is [{}], of a rank up to {}", v.name, shapeText(found->shape), s.isA ? fmt::format("rank, {}", s.rows) : fmt::format("{}, rank", s.columns), s.rank()));
    if (s.isMagnitude && elements != all) throw misfit(fmt::format("`{}` is {}", v.name, shapeText(found->shape)));
    // The scale that it was trained with, over the program's.
    const double scale = !s.isA && !s.isMagnitude && r && alpha ? *alpha / *r / v.adapter : 1;
    for (int64_t f = 0; f < s.families; ++f)
      for (int64_t row = 0; row < s.rows; ++row)
        for (int64_t c = 0; c < s.columns; ++c) {
          const int64_t k = s.isA ? c : row, o = s.isA ? row : c; // place in the rank, in the other side
          if (!s.isMagnitude && k >= rank) continue;
          const int64_t from = s.isMagnitude ? f * s.columns + c : own == s.isA ? (f * s.other() + o) * rank + k : (f * rank + k) * s.other() + o;
          put(slot * all + f * block + row * s.columns + c, found->at(from) * scale);
        }
    made.push_back({i, std::move(whole)});
  }
  for (auto &[name, a] : file.tensors)
    if (!used.count(name)) throw misfit(fmt::format("its `{}` is no adapter of the program", name));
  for (auto &[i, a] : made) program.set(i, a);
}

} // namespace fil
