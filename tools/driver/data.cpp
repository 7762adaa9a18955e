// SPDX-License-Identifier: Apache-2.0
#include "tools/driver/data.h"
#include "runtime/base/status.h"
#include "runtime/data/readers.h"
#include "runtime/train/feed.h"
#include <filesystem>

namespace fil {
namespace {

NamedArray readArray(Files &files, const sema::DataSource &s, const DataPlaces &places) {
  const std::string path = places.find(files, s.files.at(0));
  return {s.input, s.kind == sema::DataSource::Idx ? readIdx(files, path) : readNpy(files, path), s.scale};
}
std::optional<Blob> readTexts(Files &files, const std::vector<sema::DataSource> &sources, const DataPlaces &places) {
  std::vector<std::string> paths;
  for (const sema::DataSource &s : sources)
    if (s.kind == sema::DataSource::Text)
      for (const std::string &f : s.files) paths.push_back(places.find(files, f));
  return paths.empty() ? std::nullopt : std::optional(readText(files, paths));
}

/// Inputs without the batch's dim are shared by all samples.
void markShared(std::vector<NamedArray> &arrays, const Executable &program, const std::string &batchDim) {
  for (NamedArray &a : arrays)
    for (const Entry &e : program.entries())
      for (const Port &p : e.inputs)
        if (p.name == a.name) a.shared = std::find(p.dims.begin(), p.dims.end(), batchDim) == p.dims.end();
}

int64_t textWindow(const Executable &program, const std::string &batchDim, const Binding &sizes) {
  for (const Entry &e : program.entries())
    for (const Port &p : e.inputs) {
      if (p.name != "tok" && p.name != "t") continue;
      for (size_t k = 0; k < p.dims.size(); ++k) {
        if (p.dims[k] == batchDim) continue;
        auto unbound = p.sizes[k].eval([&](const std::string &d) -> std::optional<int64_t> {
          auto it = sizes.find(d);
          return it == sizes.end() ? std::nullopt : std::optional(it->second);
        });
        if (!unbound) throw Error(Exit::Input, "E0516", fmt::format("the plan does not say how long a window of text is along `{}`", p.dims[k]), fmt::format("write `window {}=128` in its `train`", p.dims[k]));
        return valueOf(p.sizes[k], sizes, p.dims[k]);
      }
    }
  throw Error(Exit::Input, "E0510", "text gives `tok`, `pos` and `t`, but the program has no input `tok`", "name the data of each input: `data x=npy(\"x.npy\"), t=npy(\"t.npy\")`");
}

} // namespace

std::string DataPlaces::find(Files &files, const std::string &written) const {
  if (written.starts_with("/")) return written;
  auto in = [&](const std::string &folder) { return folder.empty() ? written : folder + "/" + written; };
  if (!dataDir.empty() && (!files.glob(in(dataDir)).empty() || files.glob(in(besidePlan)).empty())) return in(dataDir);
  return in(besidePlan);
}

PlanData readData(Files &files, const sema::TrainSettings &t, const DataPlaces &places) {
  if (t.data.empty()) throw Error(Exit::Input, "E0510", "the plan names no data to train on", "`train { data text(\"book.txt\"); .. }` or `train { data x=npy(\"x.npy\"), t=npy(\"t.npy\"); .. }`");
  PlanData d;
  d.text = readTexts(files, t.data, places), d.heldText = readTexts(files, t.validation, places);
  for (const sema::DataSource &s : t.data)
    if (s.kind != sema::DataSource::Text) d.train.push_back(readArray(files, s, places));
  for (const sema::DataSource &s : t.validation)
    if (s.kind != sema::DataSource::Text) d.held.push_back(readArray(files, s, places));
  if ((d.text && (!d.train.empty() || !d.held.empty())) || (!d.text && d.heldText))
    throw Error(Exit::Input, "E0510", "the plan names text and arrays as data of one model", "take one kind: text, or an array for each input");
  return d;
}

BoundData bindData(PlanData d, const Executable &program, const sema::TrainSettings &t) {
  BoundData b;
  for (auto &[dim, size] : t.window) b.sizes[dim] = size;
  if (d.text) {
    const int64_t window = textWindow(program, t.batchDim, b.sizes);
    b.set = textDataset(std::move(*d.text), std::move(d.heldText), t.split, window);
    return b;
  }
  markShared(d.train, program, t.batchDim), markShared(d.held, program, t.batchDim);
  b.sizes = bindFromData(program.entries(), d.train, t.batchDim, b.sizes);
  b.set = arrayDataset(std::move(d.train), std::move(d.held), t.split);
  return b;
}

void replaceFile(sema::TrainSettings &t, const std::string &file) {
  std::vector<std::string *> named;
  for (auto *sources : {&t.data, &t.validation})
    for (sema::DataSource &s : *sources)
      for (std::string &f : s.files) named.push_back(&f);
  if (named.size() != 1)
    throw Error(Exit::Usage, "E0108", fmt::format("`--data` takes the place of a plan's only file, but this plan names {}", named.size()), "put the files into a folder and name it by `--data-dir`");
  *named[0] = std::filesystem::absolute(file).string();
}

} // namespace fil
