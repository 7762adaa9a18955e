// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/checkpoint.h"
#include "runtime/train/pattern.h"
#include "runtime/train/predictor.h"
#include "runtime/train/whole.h"
#include "runtime/base/formats.h"
#include "runtime/base/status.h"
#include <charconv>
#include <nlohmann/json.hpp>

namespace fil {
namespace {

constexpr const char *version = "1";

/// Bools as bits, eight in a byte, the lowest first.
Array packed(const Array &bools) {
  const int64_t n = bools.elements();
  std::byte *to;
  Array bits = Array::make(DType::U8, {(n + 7) / 8}, to);
  for (int64_t i = 0; i < n; ++i)
    if (bools.data.get()[i] != std::byte(0)) to[i / 8] |= std::byte(1 << i % 8);
  return bits;
}
Array unpacked(const Array &bits, std::vector<int64_t> shape) {
  std::byte *to;
  Array bools = Array::make(DType::Bool, std::move(shape), to);
  for (int64_t i = 0; i < bools.elements(); ++i) to[i] = (bits.data.get()[i / 8] >> (i % 8)) & std::byte(1);
  return bools;
}

/// How many granules a family has that has not as many as the plan keeps; 0: all have.
int64_t keptOtherwise(const VariableInfo &v, const Array &mask) {
  int64_t families = 1, axis = 0;
  for (size_t at = 0; (at = v.name.find("[*]", at)) != std::string::npos; ++at) families *= v.shape[size_t(axis++)];
  const int64_t each = mask.elements() / std::max<int64_t>(families, 1);
  for (int64_t f = 0; v.kept && f < families; ++f)
    if (const int64_t n = std::count(mask.data.get() + f * each, mask.data.get() + (f + 1) * each, std::byte(1)); n != v.kept) return n;
  return 0;
}

std::string text(const std::map<std::string, int64_t> &sizes) { return nlohmann::json(sizes).dump(); }

/// The metadata of one file, each key of which must be there and be read whole.
class Metadata {
public:
  Metadata(const std::string &path, const std::map<std::string, std::string> &all) : path(path), all(all) {}

  const std::string &get(const std::string &key) const {
    auto it = all.find(key);
    if (it == all.end()) throw bad(fmt::format("its metadata lack `{}`", key));
    return it->second;
  }
  template <class T> T number(const std::string &key) const {
    const std::string &s = get(key);
    T v{};
    auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
    if (error != std::errc() || end != s.data() + s.size() || v < T(0)) throw bad(fmt::format("`{}` of its metadata is `{}`, not a number", key, s));
    return v;
  }
  std::map<std::string, int64_t> sizes(const std::string &key) const {
    auto j = nlohmann::json::parse(get(key), nullptr, false);
    std::map<std::string, int64_t> sizes;
    if (!j.is_object()) throw bad(fmt::format("`{}` of its metadata is no JSON object", key));
    for (auto &[name, size] : j.items()) {
      if (!size.is_number_integer() || size.get<int64_t>() < 1) throw bad(fmt::format("`{}` of its metadata has no size for `{}`", key, name));
      sizes[name] = size.get<int64_t>();
    }
    return sizes;
  }
  Error bad(const std::string &why) const {
    return Error(Exit::Input, "E0514", fmt::format("`{}` is not a checkpoint that can be used: {}", path, why), "take a file that `fil train` wrote");
  }

private:
  const std::string &path;
  const std::map<std::string, std::string> &all;
};

} // namespace

void writeCheckpoint(Files &files, const std::string &path, const Executable &program, const CheckpointInfo &info) {
  SafeTensors file;
  nlohmann::ordered_json axes = nlohmann::ordered_json::object(), masks = axes, bits = axes;
  for (size_t i = 0; i < program.variables().size(); ++i) {
    const VariableInfo &v = program.variables()[i];
    const Array value = program.get(i);
    file.tensors.push_back({v.name, v.dtype == DType::Bool ? packed(value) : value});
    axes[v.name] = v.dims;
    if (v.dtype == DType::Bool) masks[v.name] = v.shape;
    if (v.qatBits) bits[v.name] = v.qatBits;
  }
  file.metadata = {{"filigree", version},
                   {"step", std::to_string(info.step)},
                   {"seed", std::to_string(info.seed)},
                   {"seconds", fmt::format("{:.3f}", info.seconds)},
                   {"model", info.model},
                   {"plan_name", info.planName},
                   {"plan", info.plan},
                   {"dims", text(info.dims)},
                   {"dims_given", text(info.dimsGiven)},
                   {"axes", axes.dump()},
                   {"masks", masks.dump()},
                   {"qat_bits", bits.dump()},
                   {"target", info.target},
                   {"train_samples", std::to_string(info.trainSamples)},
                   {"held_samples", std::to_string(info.heldSamples)}};
  writeSafetensors(files, path, file);
}

Checkpoint readCheckpoint(Files &files, const std::string &path) {
  Checkpoint c{path, {}, readSafetensors(files, path)};
  Metadata m(path, c.file.metadata);
  if (m.get("filigree") != version)
    throw m.bad(fmt::format("it has version `{}` of the form, this is version {}", m.get("filigree"), version));
  c.info = {m.number<int64_t>("step"), m.number<uint64_t>("seed"), m.number<double>("seconds"), m.get("model"),  m.get("plan_name"),
            m.get("plan"),             m.sizes("dims"),            m.sizes("dims_given"),       m.get("target"), m.number<int64_t>("train_samples"),
            m.number<int64_t>("held_samples")};
  return c;
}

/// A float array in another format of floats.
static Array inFormat(const Array &a, DType to) {
  std::byte *bytes;
  Array r = Array::make(to, a.shape, bytes);
  for (int64_t i = 0, n = a.elements(); i < n; ++i) put(to, bytes, i, a.at(i));
  return r;
}
static bool isFloat(DType t) { return t == DType::F64 || t == DType::F32 || formatOf(t); }
/// The f32 of a bf16 and the bits beside it; and these two of an f32.
static Array joinedOf(const Array &high, const Array &low) {
  std::byte *bytes;
  Array r = Array::make(DType::F32, high.shape, bytes);
  for (int64_t i = 0, n = high.elements(); i < n; ++i) reinterpret_cast<float *>(bytes)[i] = joined(high.as<uint16_t>()[size_t(i)], low.as<int16_t>()[size_t(i)]);
  return r;
}
static Array partOf(const Array &whole, bool low) {
  std::byte *bytes;
  Array r = Array::make(low ? DType::I16 : DType::BF16, whole.shape, bytes);
  for (int64_t i = 0, n = whole.elements(); i < n; ++i) {
    const float x = float(whole.at(i));
    reinterpret_cast<uint16_t *>(bytes)[i] = low ? uint16_t(lowPart(x)) : highPart(x);
  }
  return r;
}

void restore(Executable &program, const Checkpoint &c, Restore what) {
  auto misfit = [&](const std::string &why) {
    return Error(Exit::Input, "E0513", fmt::format("`{}` does not fit the program: {}", c.path, why),
                 "use the program and the dims that it was trained with: its metadata say them");
  };
  auto withinBits = [&](const Array &numbers, const VariableInfo &v) -> const Array & {
    const auto all = numbers.as<int8_t>();
    if (std::any_of(all.begin(), all.end(), [&](int8_t n) { return n < -(1 << (v.bits - 1)) || n >= 1 << (v.bits - 1); })) throw misfit(fmt::format("`{}` has numbers of more than {} bits", v.name, v.bits));
    return numbers;
  };
  std::map<std::string, const Array *> tensors;
  for (auto &[name, a] : c.file.tensors) tensors[name] = &a;
  auto otherPattern = [&](const std::string &map) {
    return Error(Exit::Input, "E0513", fmt::format("`{}` has weights of `{}` by another pattern than the plan, or as whole numbers without one", c.path, map), "use the plan that it was trained by, or begin with dense weights");
  };
  std::map<std::string_view, const VariableInfo *> variables;
  for (const VariableInfo &v : program.variables()) variables[v.name] = &v;
  auto variable = [&](const std::string &name) {
    auto it = variables.find(name);
    return it == variables.end() ? nullptr : it->second;
  };
  /// A param of the file that is kept in two parts, in one. Whole numbers are made of what training reads, the bf16.
  auto joinedParts = [&](const VariableInfo &v, const Array &a) {
    auto rest = tensors.find(v.name + "#low");
    return !v.bits && rest != tensors.end() && rest->second->dtype == DType::I16 && rest->second->shape == a.shape && a.dtype == DType::BF16 ? joinedOf(a, *rest->second) : a;
  };
  std::map<std::string_view, std::string> partsOf; // of patterns the maps
  for (const VariableInfo &v : program.variables())
    if (v.thinned)
      for (const std::string &name : patternOf(v)) partsOf[variable(name)->name] = v.name;
  // Dense weights of a map that the plan has sparse.
  std::map<std::string, Array> thinned;
  if (what == Restore::Weights)
    for (const VariableInfo &v : program.variables()) {
      auto it = v.thinned ? tensors.find(v.name) : tensors.end();
      if (it == tensors.end() || !isFloat(it->second->dtype)) continue;
      const auto names = patternOf(v);
      const VariableInfo &pattern = *variable(names[0]);
      if (tensors.count(names[0]) || it->second->shape != denseShape(v, pattern)) continue;
      auto made = compressed(joinedParts(v, *it->second), v, pattern);
      thinned[v.name] = std::move(made[0]);
      for (size_t i = 0; i < names.size(); ++i) thinned[names[i]] = std::move(made[i + 1]);
    }
  for (auto &[name, a] : thinned) tensors[name] = &a;
  // Weights of a run with other formats: params are kept in one piece or in two, in f32 or narrower, as whole numbers.
  std::map<std::string, Array> turned;
  const auto qatBits = c.file.metadata.find("qat_bits");
  const nlohmann::json bits = qatBits == c.file.metadata.end() ? nlohmann::json() : nlohmann::json::parse(qatBits->second, nullptr, false);
  for (const VariableInfo &v : program.variables()) { // other numbers have a byte
    auto it = tensors.find(v.name);
    if (!v.bits || it == tensors.end() || it->second->dtype != DType::I8 || it->second->shape.size() != v.shape.size()) continue;
    VariableInfo file = v;
    file.shape = it->second->shape;
    for (int n : {1, 2, 4}) {
      file.together = n;
      if (n != v.together && numbersShape(file) == numbersShape(v)) turned[v.name] = inBytes(withinBits(ofBytes(*it->second, file), v), v);
    }
  }
  if (what == Restore::Weights)
    for (const VariableInfo &v : program.variables()) {
      auto it = tensors.find(v.name);
      if (it == tensors.end() || v.kind != VariableInfo::Param || !isFloat(it->second->dtype) || it->second->shape != numbersShape(v)) continue;
      const Array whole = joinedParts(v, *it->second);
      if (v.bits) {
        const VariableInfo *scale = variable(v.name + ".scale");
        auto first = tensors.find(v.name + ".qat_scale"), gain = tensors.find(v.name + ".qat_gain");
        std::optional<Array> found;
        if ((first == tensors.end()) != (gain == tensors.end())) throw misfit(fmt::format("it has half of the scale of `{}`", v.name));
        const bool same = bits.is_object() && bits.value(v.name, 0) == v.bits; // for other numbers other scales are right
        if (same && first != tensors.end() && gain != tensors.end() && first->second->shape == scale->shape && gain->second->shape == scale->shape) found = foundScale(*first->second, *gain->second);
        for (int64_t i = 0; i < whole.elements(); ++i)
          if (!std::isfinite(whole.at(i))) throw misfit(fmt::format("`{}` has {}, which is no whole number times a scale", v.name, whole.at(i)));
        WholeMap made = wholeMap(whole, v, *scale, found ? &*found : nullptr);
        turned[v.name] = inBytes(made.numbers, v), turned[scale->name] = std::move(made.scale);
        if (const VariableInfo *in = variable(v.name + ".in_scale")) {
          first = tensors.find(v.name + ".qat_in_scale"), gain = tensors.find(v.name + ".qat_in_gain");
          if (first == tensors.end() || gain == tensors.end()) throw Error(Exit::Input, "E0513", fmt::format("`{}` has no scale for what `{}` is multiplied by", c.path, v.name), "train it by `qat` with `acts=8`, or leave `acts` out of the line");
          turned[in->name] = foundScale(*first->second, *gain->second);
        }
        continue;
      }
      const bool split = variable(v.name + "#low");
      if (split) turned[v.name + "#low"] = partOf(whole, true), turned[v.name] = partOf(whole, false);
      else if (it->second->dtype != v.dtype) turned[v.name] = whole.dtype == v.dtype ? whole : inFormat(whole, v.dtype);
    }
  for (auto &[name, a] : turned) tensors[name] = &a;
  std::vector<std::string> predictors; // that are made
  std::vector<size_t> dense; // masks of which all is there
  const auto text = c.file.metadata.find("masks");
  const nlohmann::json masks = text == c.file.metadata.end() ? nlohmann::json() : nlohmann::json::parse(text->second, nullptr, false);
  for (size_t i = 0; i < program.variables().size(); ++i) {
    const VariableInfo &v = program.variables()[i];
    if (v.kind == VariableInfo::Optimizer && what == Restore::Weights && !turned.count(v.name)) continue;
    auto it = tensors.find(v.name);
    if (v.kind == VariableInfo::State && what == Restore::Weights && (v.name.ends_with("#steady") || (v.name.ends_with("#level") && it == tensors.end()))) { // what a run has counted, and levels of one without any
      tensors.erase(v.name);
      continue;
    }
    if (it == tensors.end() && v.adapter && what == Restore::Weights) continue; // the base's file: adapters begin anew
    if (it == tensors.end() && v.predictor && what == Restore::Weights && tensors.count(v.name.substr(0, v.name.rfind('.')))) { // weights without gates
      const std::string map = v.name.substr(0, v.name.rfind('.'));
      const bool ranks = tensors.count(map + ".gate_A") || tensors.count(map + ".gate_B"), squeezed = v.name.ends_with(".gate_S");
      if (v.kind == VariableInfo::Param && (squeezed ? ranks : tensors.count(map + ".gate_S")))
        throw Error(Exit::Input, "E0513", fmt::format("`{}` has another predictor of `{}` than the plan: {}", c.path, map, squeezed ? "of `lowrank`" : "of `squeeze`"), "use the `predictor` that it was trained with");
      if (v.kind == VariableInfo::Param && ranks) throw misfit(fmt::format("it has half of a predictor, without `{}`", v.name));
      if (v.name.ends_with(".gate_A") || v.name.ends_with(".gate_S")) predictors.push_back(v.name);
      continue;
    }
    if (it == tensors.end() && v.scale && v.name.find(".qat_") != std::string::npos && what == Restore::Weights) continue; // weights that `qat` has not trained yet
    if (it == tensors.end() && v.mask && what == Restore::Weights) {
      if (v.kept == 0) { // dense weights, to be pruned
        dense.push_back(i);
        continue;
      }
      throw Error(Exit::Input, "E0513", fmt::format("`{}` has dense weights, and the plan begins with a part of `{}`", c.path, v.name.substr(0, v.name.rfind('.'))),
                  "begin with all of it by `prune`, or train from first values");
    }
    if (it == tensors.end() && partsOf.contains(v.name)) throw otherPattern(partsOf.at(v.name));
    if (it == tensors.end()) throw misfit(fmt::format("it has no `{}`", v.name));
    const Array &a = *it->second;
    if (v.dtype == DType::Bool) {
      const nlohmann::json shape = masks.is_object() && masks.contains(v.name) ? masks[v.name] : nlohmann::json();
      if (a.dtype != DType::U8 || shape != nlohmann::json(v.shape) || a.shape != std::vector<int64_t>{(*elementCount(v.shape) + 7) / 8})
        throw misfit(fmt::format("`{}` is a mask of {} granules, wanted are {}", v.name, shape.dump(), shapeText(v.shape)));
      if (const int64_t other = keptOtherwise(v, unpacked(a, v.shape))) throw misfit(fmt::format("of the granules of `{}` there are {}, and the plan keeps {}", v.name, other, v.kept));
      continue;
    }
    if (!v.thinned && v.kind == VariableInfo::Param && a.shape != v.shape && (tensors.count(v.name + ".pattern") || tensors.count(v.name + ".slots")))
      throw Error(Exit::Input, "E0513", fmt::format("`{}` has a part of the weights of `{}` and their pattern, and the plan has all of them", c.path, v.name), "use the plan that it was trained by");
    if (a.shape != v.shape && (v.thinned || partsOf.contains(v.name))) throw otherPattern(v.thinned ? v.name : partsOf.at(v.name));
    if (a.shape != v.shape) throw misfit(fmt::format("`{}` is {}, wanted is {}", v.name, shapeText(a.shape), shapeText(numbersShape(v))));
    if (a.dtype == DType::I8 && isFloat(v.dtype)) throw Error(Exit::Input, "E0513", fmt::format("`{}` has whole numbers for `{}`, and the plan has reals", c.path, v.name), "say `int8` or `int4` for it; the reals are in the checkpoint that it was converted from");
    if (v.bits && a.dtype == DType::I8) withinBits(ofBytes(a, v), v);
    if (v.scale && v.name.ends_with(".in_scale") && a.elements() == 1 && !(a.at(0) > 0))
      throw Error(Exit::Input, "E0513", fmt::format("`{}` has not begun to round what `{}` is multiplied by", c.path, v.name.substr(0, v.name.rfind('.'))), "train on, beyond the share `warm` of the plan's `qat`");
    if (v.name.ends_with("#level") && a.dtype == DType::I32 && a.at(0) != 0 && a.at(0) != 16 && a.at(0) != 32) throw misfit(fmt::format("`{}` is {}, no level of formats", v.name, a.at(0)));
    if (a.dtype != v.dtype) throw misfit(fmt::format("`{}` has elements of {}, wanted are {}", v.name, name(a.dtype), name(v.dtype)));
  }
  for (const VariableInfo &v : program.variables()) {
    if (!v.thinned) continue;
    std::vector<Array> pattern;
    for (const std::string &name : patternOf(v)) pattern.push_back(*tensors.at(name));
    if (const std::string flaw = flawOf(pattern, v); !flaw.empty()) throw misfit(flaw);
  }
  for (auto &[name, a] : tensors) {
    if (!variables.count(name) && what == Restore::Weights && a->dtype == DType::U8 && name.ends_with(".mask")) continue; // what it leaves out is 0 in the weights too
    if (const size_t at = name.rfind(".qat_"); !variables.count(name) && name.find('#') == std::string::npos && what == Restore::Weights && at != std::string::npos) {
      const VariableInfo *map = variable(name.substr(0, at));
      if (map && map->bits) continue; // its numbers are whole by this scale
      if (map) throw Error(Exit::Input, "E0513", fmt::format("`{}` has the scale `{}`, and the plan has no `qat` for it", c.path, name), "use the plan that it was trained by; beside adapters, what `fil convert` makes of it, as `int8` or `int4`");
    }
    if (!variables.count(name) && (what == Restore::All || name.find('#') == std::string::npos)) {
      if (name.find(".lora_") != std::string::npos)
        throw Error(Exit::Input, "E0513", fmt::format("`{}` has the adapter `{}`, and the plan has no `lora` for it", c.path, name), "use the plan that it was trained by, or the base that it was tuned from");
      if ((name.ends_with(".gate_held") || name.ends_with(".in_scale")) && what == Restore::Weights) continue; // a plan without `hysteresis`; a map that is multiplied by nothing
      if (name.find(".gate_") != std::string::npos)
        throw Error(Exit::Input, "E0513", fmt::format("`{}` has the predictor `{}`, and the plan has no gate for it", c.path, name), "use the plan that it was trained by");
      throw misfit(fmt::format("its `{}` is no variable of the program", name));
    }
  }
  for (size_t i : dense) program.set(i, Array::of<uint8_t>(DType::Bool, program.variables()[i].shape, std::vector<uint8_t>(size_t(*elementCount(program.variables()[i].shape)), 1)));
  for (size_t i = 0; i < program.variables().size(); ++i) // nothing is set before all is known to fit
    if (auto it = tensors.find(program.variables()[i].name);
        it != tensors.end() && (what == Restore::All || turned.count(it->first) || program.variables()[i].kind != VariableInfo::Optimizer))
      program.set(i, program.variables()[i].dtype == DType::Bool ? unpacked(*it->second, program.variables()[i].shape) : *it->second);
  for (const std::string &name : predictors) makePredictor(program, name);
}

} // namespace fil
