// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/adapter.h"
#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <regex>
#include <set>
#include <nlohmann/json.hpp>

namespace fil {
namespace {
using Json = nlohmann::ordered_json;

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
/// `l.3.q` of the param `l[3].q.lora_A`.
std::string siteOf(const std::string &name) { return dotted(name.substr(0, name.rfind('.'))); }

/// How files call a param: as the field does, or ours.
struct Name {
  std::string text;
  bool own = false;      ///< as the program has it, not transposed
  bool absolute = false; ///< magnitudes themselves, not relative to those of the base
};
std::vector<Name> namesOf(const std::string &name) {
  const std::string site = siteOf(name), last = name.substr(name.rfind('.') + 1); // lora_A, lora_B, lora_m
  std::vector<Name> all{{name, true}};
  for (const char *before : {prefix, ""}) {
    const std::string at = before + site + ".";
    for (const char *end : {".weight", "", ".default.weight", ".default"}) {
      all.push_back({at + last + end});
      if (last == "lora_m") all.push_back({at + "lora_magnitude_vector" + end, false, true});
      else all.push_back({at + "lora_embedding_" + last.back() + end});
    }
  }
  return all;
}

/// The blocks of `a`, each transposed.
Array turned(const Array &a, const Shape &s) {
  std::byte *to;
  Array t = Array::make(a.dtype, s.families > 1 ? std::vector{s.families, s.columns, s.rows} : std::vector{s.columns, s.rows}, to);
  const size_t bytes = byteSize(a.dtype);
  const std::byte *from = a.data.get();
  for (int64_t f = 0; f < s.families; ++f)
    for (int64_t r = 0; r < s.rows; ++r)
      for (int64_t c = 0; c < s.columns; ++c, from += bytes) std::memcpy(to + size_t((f * s.columns + c) * s.rows + r) * bytes, from, bytes);
  return t;
}

/// What a file says of scales: `lora_alpha`, what `alpha_pattern` has for single sites, and `use_rslora`, in its metadata or, as PEFT has it, in `adapter_config.json` beside it.
struct Scales {
  std::optional<double> alpha;
  std::vector<std::pair<std::string, double>> patterns;
  bool roots = false;

  static Scales of(const SafeTensors &file, Files &files, const std::string &path) {
    auto parsed = [](std::string_view text) { return Json::parse(text, nullptr, false); };
    Json said = Json::object();
    for (auto &[key, text] : file.metadata)
      if (auto x = parsed(text); !x.is_discarded()) said[key] = std::move(x);
    if (const std::string beside = path.substr(0, path.rfind('/') + 1) + "adapter_config.json"; !said.contains("lora_alpha") && files.exists(beside)) {
      said = parsed(files.read(beside).text());
      if (!said.is_object()) throw Error(Exit::Input, "E0511", fmt::format("`{}` is no JSON object", beside), "take the file that was saved with the adapter, or none");
    }
    auto positive = [](const Json &x) { return x.is_number() && x.get<double>() > 0; };
    Scales s;
    if (said.contains("lora_alpha") && positive(said["lora_alpha"])) s.alpha = said["lora_alpha"].get<double>();
    if (said.contains("alpha_pattern") && said["alpha_pattern"].is_object())
      for (auto &[key, x] : said["alpha_pattern"].items())
        if (positive(x)) s.patterns.push_back({key, x.get<double>()});
    s.roots = said.contains("use_rslora") && said["use_rslora"] == true;
    return s;
  }
  /// Of the product of a site's adapter of this rank. A pattern names a site; else the first one counts that matches it or the end of it, as a regular expression.
  std::optional<double> at(const std::string &site, int64_t rank) const {
    auto found = std::ranges::find(patterns, site, &std::pair<std::string, double>::first);
    if (found == patterns.end()) found = std::ranges::find_if(patterns, [&](auto &p) { return matches(site, p.first); });
    const std::optional<double> a = found == patterns.end() ? alpha : std::optional(found->second);
    return a ? std::optional(*a / (roots ? std::sqrt(double(rank)) : double(rank))) : std::nullopt;
  }
  static bool matches(const std::string &site, const std::string &pattern) {
    try {
      return std::regex_match(site, std::regex("(.*\\.)?(" + pattern + ")"));
    } catch (const std::regex_error &) {
      return site == pattern;
    }
  }
};

/// The norms over the left side of a map, [families, right side] in order.
std::vector<double> norms(const Executable &program, const std::string &map, const Shape &magnitudes) {
  for (size_t i = 0; i < program.variables().size(); ++i) {
    const VariableInfo &v = program.variables()[i];
    if (v.name != map || v.bits || v.thinned) continue;
    const Array w = program.get(i);
    const int64_t right = magnitudes.columns, left = w.elements() / (magnitudes.families * right);
    std::vector<double> sums(size_t(magnitudes.families * right));
    for (int64_t k = 0; k < w.elements(); ++k) sums[size_t(k / (left * right) * right + k % right)] += w.at(k) * w.at(k);
    for (double &x : sums) x = std::sqrt(x);
    return sums;
  }
  return {};
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
  double alpha = 0;
  Json ranks = Json::object(), alphas = Json::object(); // of each site
  bool sameRank = true, sameAlpha = true;
  for (size_t i = 0; i < program.variables().size(); ++i) {
    const VariableInfo &v = program.variables()[i];
    if (!v.adapter || v.kind != VariableInfo::Param) continue;
    const Shape s = shapeOf(v);
    file.tensors.push_back({fieldName(v.name), s.isMagnitude ? program.get(i) : turned(program.get(i), s)});
    if (!s.isA) continue;
    const double here = v.adapter * double(s.rank());
    if (!rank) rank = s.rank(), alpha = here;
    ranks[siteOf(v.name)] = s.rank(), alphas[siteOf(v.name)] = here;
    sameRank &= s.rank() == rank, sameAlpha &= here == alpha;
  }
  file.metadata = {{"format", "pt"}, {"filigree_adapter", "1"}, {"base_model", model}, {"r", std::to_string(rank)}, {"lora_alpha", fmt::format("{}", alpha)}};
  if (!sameRank) file.metadata["rank_pattern"] = ranks.dump();
  if (!sameAlpha) file.metadata["alpha_pattern"] = alphas.dump();
  writeSafetensors(files, path, file);
}

void loadAdapter(Executable &program, Files &files, const std::string &path, int64_t slot) {
  const SafeTensors file = readSafetensors(files, path);
  auto misfit = [&](const std::string &why) {
    return Error(Exit::Input, "E0523", fmt::format("the adapter `{}` does not fit the program: {}", path, why), "the plan's `lora` names the sites and ranks that an adapter may have");
  };
  const Scales scales = Scales::of(file, files, path);
  std::set<std::string> used, sides[2]; // of tensors; of sites that have an A, and a B
  bool scaleUnknown = false, noMagnitudes = false;
  std::vector<std::pair<size_t, Array>> made; // nothing is set before all is known to fit
  for (size_t i = 0; i < program.variables().size(); ++i) {
    const VariableInfo &v = program.variables()[i];
    if (!v.adapter || v.kind != VariableInfo::Param) continue;
    const Shape s = shapeOf(v);
    if (slot >= s.slots) throw misfit(fmt::format("the plan has {} adapter{}, and this is number {}", s.slots, s.slots == 1 ? "" : "s", slot));
    const std::string site = siteOf(v.name);
    const Array *found = nullptr;
    bool own = false, absolute = false;
    for (const Name &n : namesOf(v.name))
      if (auto *a = file.find(n.text); a && !found) found = a, own = n.own, absolute = n.absolute, used.insert(n.text);
    const int64_t block = s.rows * s.columns, all = s.families * block;
    std::byte *to;
    Array whole = Array::make(v.dtype, v.shape, to);
    std::memcpy(to, program.get(i).data.get(), whole.bytes());
    auto set = [&](int64_t at, double x) { put(v.dtype, to, slot * all + at, x); };
    for (int64_t k = 0; k < all; ++k) set(k, 0);
    if (found) {
      if (found->dtype != DType::F32 && found->dtype != DType::F64 && found->dtype != DType::F16 && found->dtype != DType::BF16)
        throw misfit(fmt::format("`{}` has elements of {}, wanted are f32, f64, bf16 or f16", v.name, name(found->dtype)));
      const int64_t elements = found->elements(), rank = s.isMagnitude ? 1 : elements / (s.families * s.other());
      if (elements != rank * s.families * s.other() || rank < 1 || rank > s.rank() || (!s.isMagnitude && found->shape.size() >= 2 && !own && found->shape[found->shape.size() - (s.isA ? 2 : 1)] != rank))
        throw misfit(fmt::format("`{}` is {}, wanted is [{}], of a rank up to {}", v.name, shapeText(found->shape), s.isA ? fmt::format("rank, {}", s.rows) : fmt::format("{}, rank", s.columns), s.rank()));
      if (s.isMagnitude && elements != all) throw misfit(fmt::format("`{}` is {}", v.name, shapeText(found->shape)));
      if (s.isMagnitude) {
        const std::vector<double> base = absolute ? norms(program, v.name.substr(0, v.name.rfind('.')), s) : std::vector<double>();
        if (absolute && base.empty()) throw misfit(fmt::format("`{}` are magnitudes of a map that is kept as whole numbers or a pattern", v.name));
        for (int64_t k = 0; k < all; ++k) set(k, absolute ? (base[size_t(k)] ? found->at(k) / base[size_t(k)] - 1 : 0) : found->at(k));
      } else {
        sides[s.isA].insert(site);
        // B by the scale that it was trained with, over the program's.
        const auto trained = scales.at(site, rank);
        scaleUnknown |= !trained;
        const double scale = s.isA ? 1 : trained.value_or(v.adapter) / v.adapter;
        for (int64_t f = 0; f < s.families; ++f)
          for (int64_t k = 0; k < rank; ++k)
            for (int64_t o = 0; o < s.other(); ++o) // places in the rank, in the other side
              set(f * block + (s.isA ? o * s.columns + k : k * s.columns + o), found->at(own == s.isA ? (f * s.other() + o) * rank + k : (f * rank + k) * s.other() + o) * scale);
      }
    }
    noMagnitudes |= s.isMagnitude && !found;
    made.push_back({i, std::move(whole)});
  }
  for (auto &[name, a] : file.tensors)
    if (!used.count(name)) throw misfit(fmt::format("its `{}` is no adapter of the program", name));
  for (bool a : {false, true})
    for (const std::string &site : sides[a])
      if (!sides[!a].count(site)) throw misfit(fmt::format("it has no `{}{}.lora_{}.weight`", prefix, site, a ? 'B' : 'A'));
  if (used.empty()) throw misfit("it has no tensors");
  if (scaleUnknown) logWarn("the adapter `{}` does not say its `lora_alpha`, nor does an `adapter_config.json` beside it: it is scaled as the plan's", path);
  if (noMagnitudes) logWarn("the adapter `{}` has no magnitudes, which `variant=dora` multiplies by: those of the base are taken", path);
  for (auto &[i, a] : made) program.set(i, a);
}

} // namespace fil
