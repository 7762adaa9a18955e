// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/tape.h"
#include "runtime/base/philox.h"
#include "runtime/base/status.h"
#include "runtime/train/report.h"
#include <nlohmann/json.hpp>

namespace fil {
namespace {

using Json = nlohmann::ordered_json;
constexpr int version = 1;

std::string text(const TapeNote &n) { return Json({{"step", n.step}, {n.what, n.hashes}}).dump() + "\n"; }
std::string text(const TapeHead &h) {
  const CheckpointInfo &i = h.info;
  Json sources = Json::array();
  for (auto &[name, source] : h.sources) sources.push_back({name, source});
  return Json({{"step", 0}, {"tape", version}, {"model", i.model}, {"plan_name", i.planName}, {"plan", i.plan}, {"seed", i.seed}, {"target", i.target}, {"dims", i.dims}, {"dims_given", i.dimsGiven},
               {"train_samples", i.trainSamples}, {"held_samples", i.heldSamples}, {"data_dir", h.dataDir}, {"data", h.data}, {"weights", h.weights}, {"weights_hash", h.weightsHash},
               {"adapters", h.adapters}, {"sources", sources}}).dump() + "\n";
}
Error bad(const std::string &path, size_t line, const std::string &why) {
  return Error(Exit::Input, "E0524", fmt::format("`{}` is not a tape that can be replayed: line {}: {}", path, line, why), "take the `tape.jsonl` of a folder that `fil train` wrote");
}
TapeHead headOf(const Json &j) {
  TapeHead h;
  h.info = {0, j.at("seed"), 0, j.at("model"), j.at("plan_name"), j.at("plan"), j.at("dims"), j.at("dims_given"), j.at("target"), j.at("train_samples"), j.at("held_samples")};
  h.dataDir = j.at("data_dir"), h.data = j.at("data"), h.weights = j.at("weights"), h.weightsHash = j.at("weights_hash"), h.adapters = j.at("adapters");
  for (const Json &s : j.at("sources")) h.sources.push_back({s.at(0), s.at(1)});
  return h;
}
} // namespace

TapeNote noteOf(const Executable &program, int64_t step, bool masks) {
  TapeNote n{step, masks ? "edit" : "state", {}};
  std::string all;
  for (size_t i = 0; i < program.variables().size(); ++i) {
    const VariableInfo &v = program.variables()[i];
    if (masks && !v.mask) continue;
    const Array value = program.get(i);
    const std::string hash = fmt::format("{:016x}", fnv1a64({reinterpret_cast<const char *>(value.data.get()), value.bytes()}));
    if (masks) n.hashes[v.name] = hash;
    else all += v.name + " " + hash + "\n";
  }
  if (!masks) n.hashes["all"] = fmt::format("{:016x}", fnv1a64(all));
  return n;
}

TapeRecord readTape(Files &files, const std::string &path) {
  const Blob blob = files.read(path);
  const std::string_view all = blob.text();
  TapeRecord r;
  size_t number = 1;
  for (size_t at = 0; at < all.size(); ++number) {
    const size_t end = all.find('\n', at);
    if (end == all.npos) break; // a line that was being written
    const Json j = Json::parse(all.substr(at, end - at), nullptr, false);
    at = end + 1;
    try {
      if (number == 1) {
        if (j.at("tape") != version) throw bad(path, 1, fmt::format("it has version {} of the form, this is version {}", j.at("tape").dump(), version));
        r.head = headOf(j);
      } else if (j.contains("otherwise")) r.otherwise = r.otherwise.value_or(j.at("step").get<int64_t>());
      else {
        const char *what = j.contains("edit") ? "edit" : j.contains("adapt") ? "adapt" : "state";
        r.notes.push_back({j.at("step"), what, j.at(what)});
        if (r.notes.back().hashes.empty()) throw bad(path, number, "it has no hash");
      }
    } catch (const Json::exception &) {
      throw bad(path, number, j.is_discarded() ? "it is no JSON" : "it lacks what such a line has");
    }
  }
  if (number == 1) throw bad(path, 1, "it is empty");
  return r;
}

TapeFile::TapeFile(Files &files, const std::string &path, const TapeHead &head, int64_t fromStep) {
  std::string kept;
  if (fromStep > 0 && files.exists(path)) {
    kept = linesUpTo(files.read(path).text(), fromStep);
    const Json first = Json::parse(kept.substr(0, kept.find('\n')), nullptr, false);
    const CheckpointInfo &i = head.info;
    if (!first.is_object() || !first.contains("tape")) return;
    auto is = [&](const char *key, const std::string &now) { return first.contains(key) && first[key] == now; };
    if (!is("plan", i.plan) || !is("target", i.target)) kept += Json({{"step", fromStep}, {"otherwise", {{"plan", i.plan}, {"target", i.target}}}}).dump() + "\n";
  }
  if (kept.empty() && fromStep > 0) return;
  writeFile(files, path, kept.empty() ? text(head) : kept);
  out_ = files.append(path);
}
void TapeFile::note(const TapeNote &n) {
  if (out_) out_->append(text(n));
}

bool TapeCheck::wants(int64_t step) const {
  return std::any_of(record.notes.begin(), record.notes.end(), [&](const TapeNote &n) { return n.step == step && n.what == "state"; });
}
void TapeCheck::finish(int64_t until) const {
  for (const TapeNote &n : record.notes)
    if (n.step <= until && !seen.contains({n.step, n.what}))
      throw Error(Exit::Numeric, "E0707", fmt::format("the replay is not the run: behind step {} the tape has {}, and the replay has not", n.step, n.what == "edit" ? "an edit" : n.what == "adapt" ? "a change of formats" : "a checkpoint"), "the tape may be damaged, or of another run");
}

void TapeCheck::note(const TapeNote &n) {
  for (const TapeNote &was : record.notes) {
    if (was.step != n.step || was.what != n.what) continue;
    for (auto &[name, hash] : was.hashes)
      if (auto it = n.hashes.find(name); it == n.hashes.end() || it->second != hash)
        throw Error(Exit::Numeric, "E0707", fmt::format("the replay is not the run: after step {} {} differs", n.step, n.what == "edit" ? fmt::format("the mask `{}`", name) : n.what == "adapt" ? fmt::format("the format of `{}`", name) : "a variable"),
                    "the data may have changed, or the run was by another build of Filigree");
    if (seen.insert({n.step, n.what}).second) (n.what == "edit" ? edits : n.what == "adapt" ? formats : states) += 1;
    return;
  }
  if (n.what != "state" && !record.notes.empty() && n.step < record.notes.back().step)
    throw Error(Exit::Numeric, "E0707", fmt::format("the replay is not the run: after step {} it has {}, and the tape has none", n.step, n.what == "edit" ? "an edit" : "a change of formats"), "the tape may be damaged, or of another run");
}

} // namespace fil
