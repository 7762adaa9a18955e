// SPDX-License-Identifier: Apache-2.0
#include "tools/driver/tune.h"
#include "runtime/base/status.h"
#include "runtime/exec/compiled_executable.h"
#include "tools/driver/entry_sizes.h"
#include <algorithm>
#include <random>
#include <set>

namespace fil {
namespace {

constexpr int leastRounds = 3, mostRounds = 7; ///< between them as many as fit into `enough`
constexpr double enough = 1.5;               ///< seconds
constexpr size_t mostTiles = 5;
constexpr double leastScore = 0.7; ///< of the best
constexpr double leastGain = 1.03;

/// Values that an entry takes: numbers about 0, indices within their dims. A single number is 0: a learning rate would lead to where numbers are
/// denormal and products slow.
Array inputFor(const Port &port, const Binding &sizes, std::mt19937_64 &random) {
  std::vector<int64_t> shape;
  for (size_t i = 0; i < port.sizes.size(); ++i) {
    for (const std::string &s : port.sizes[i].symbols())
      if (!sizes.count(s))
        throw Error(Exit::Input, "E0516", fmt::format("`--tune` runs the program, and the size of `{}` is not known", s), fmt::format("give it in the plan: `train {{ window {0}=128 }}` or `batch {0}=32`", s));
    shape.push_back(valueOf(port.sizes[i], sizes, port.name));
  }
  std::byte *fill;
  Array a = Array::make(port.dtype, shape, fill);
  std::normal_distribution<double> normal;
  const double scale = shape.empty() ? 0 : 1;
  const int64_t bound = port.indexBound ? valueOf(*port.indexBound, sizes, port.name) : 1;
  for (int64_t i = 0, n = a.elements(); i < n; ++i) switch (port.dtype) {
    case DType::F64: reinterpret_cast<double *>(fill)[i] = scale * normal(random); break;
    case DType::F32: reinterpret_cast<float *>(fill)[i] = float(scale * normal(random)); break;
    case DType::I32: reinterpret_cast<int32_t *>(fill)[i] = int32_t(random() % uint64_t(std::max<int64_t>(bound, 1))); break;
    default: reinterpret_cast<uint8_t *>(fill)[i] = random() % 2;
    }
  return a;
}

struct Measured {
  std::string entry;                     ///< that was run
  std::map<std::string, ContractionDescriptor> contractions; ///< that it has, by sizesText
  std::map<std::string, double> seconds; ///< of a call, by the same: the launches of its groups
  double call = 0;
};

Measured measure(mlir::ModuleOp module, const Target &target, const sema::TrainSettings &settings, const PackageOptions &options) {
  PackageText text;
  PackageTimes times;
  Manifest made = package(module, target, options, text, times);
  auto program = std::ranges::find(made.programs, "step", [](const Program &p) { return p.entry.name; });
  if (program == made.programs.end()) program = std::ranges::find(made.programs, "run", [](const Program &p) { return p.entry.name; });
  Measured best;
  best.entry = program->entry.name;
  using Place = std::array<std::string, 3>; // a launch as the profile names it
  std::map<Place, std::set<std::string>> of;
  for (const auto &group : text.launches)
    for (const LaunchNote &n : group)
      if (n.contraction && n.entry == best.entry) {
        best.contractions.try_emplace(n.contraction->sizesText(), *n.contraction);
        for (const LaunchNote &other : group) of[{other.site, other.what, other.kernel}].insert(n.contraction->sizesText());
      }
  const Binding sizes = entrySizes(*program, made, settings, {});
  auto x = loadExecutable(std::move(made));
  std::mt19937_64 random(7);
  auto inputs = [&](const Entry &e) {
    std::vector<Array> all;
    for (const Port &p : e.inputs) all.push_back(inputFor(p, sizes, random));
    return all;
  };
  if (const Entry *init = x->find("init")) x->run(*init, inputs(*init));
  const Entry &e = *x->find(best.entry);
  const auto arguments = inputs(e);
  std::vector<Array> outputs;
  double spent = 0;
  for (int round = 0; round <= leastRounds || (round <= mostRounds && spent < enough); ++round) { // the first one is for the caches
    x->profile(true);
    x->run(e, arguments, outputs);
    Measured now;
    for (const LaunchTime &t : x->times()) {
      now.call += t.seconds;
      if (auto it = of.find({t.site, t.what, t.kernel}); it != of.end())
        for (const std::string &d : it->second) now.seconds[d] += t.seconds;
    }
    spent += now.call;
    if (round == 0) continue;
    best.call = round == 1 ? now.call : std::min(best.call, now.call);
    for (auto &[d, s] : now.seconds) {
      auto [it, fresh] = best.seconds.try_emplace(d, s);
      if (!fresh) it->second = std::min(it->second, s);
    }
  }
  return best;
}

/// What else a contraction could have.
std::vector<TunedTiles> alternatives(const Target &target, const ContractionDescriptor &d) {
  auto all = candidates(target, d.element, d.sizes);
  std::ranges::stable_sort(all, std::ranges::greater(), &Candidate::score);
  const TileShape now = chooseShape(target, d);
  std::vector<TunedTiles> others;
  for (double kc : {0.5, 2.0}) {
    Target other = target;
    other.tuned[d.sizesText()] = {now.rows, now.vectors, kc};
    if (!(chooseBlocks(other, now, d) == chooseBlocks(target, now, d))) others.push_back(other.tuned[d.sizesText()]);
  }
  for (const Candidate &c : all)
    if (others.size() < mostTiles + 2 && !(c.shape == now) && c.score() >= leastScore * all[0].score()) others.push_back({c.shape.rows, c.shape.vectors, 1});
  return others;
}
std::string textOf(const TunedTiles &t, int lanes) { return fmt::format("{}x{}{}", t.rows, t.vectors * lanes, t.kc == 1 ? "" : fmt::format(" kc x{}", t.kc)); }

} // namespace

Target tune(mlir::ModuleOp scheduled, const Target &target, const sema::TrainSettings &settings, const PackageOptions &options, std::string &report) {
  PackageOptions quiet;
  quiet.store = options.store, quiet.build = options.build;
  auto at = [&](const Target &t) { return measure(scheduled, t, settings, quiet); };
  const Measured before = at(target);
  std::map<std::string, std::vector<TunedTiles>> open;
  for (auto &[text, d] : before.contractions) open[text] = alternatives(target, d);
  std::map<std::string, std::pair<double, TunedTiles>> best;
  for (size_t i = 0; std::ranges::any_of(open, [&](auto &o) { return i < o.second.size(); }); ++i) {
    Target other = target;
    for (auto &[text, tiles] : open)
      if (i < tiles.size()) other.tuned[text] = tiles[i];
    const Measured now = at(other);
    for (auto &[text, tiles] : open)
      if (auto it = now.seconds.find(text); i < tiles.size() && it != now.seconds.end()) {
        auto [b, fresh] = best.try_emplace(text, it->second, tiles[i]);
        if (!fresh && it->second < b->second.first) b->second = {it->second, tiles[i]};
      }
  }
  Target tuned = target;
  std::string lines;
  for (auto &[text, b] : best) {
    const double was = before.seconds.at(text);
    if (was < leastGain * b.first) continue;
    const ContractionDescriptor &d = before.contractions.at(text);
    const TileShape shape = chooseShape(target, d);
    tuned.tuned[text] = b.second;
    lines += fmt::format("tuned {}: {} in place of {}, {:.3g} of {:.3g} ms\n", text, textOf(b.second, shape.lanes), textOf({shape.rows, shape.vectors, 1}, shape.lanes), b.first * 1e3, was * 1e3);
  }
  if (tuned.tuned.empty()) {
    report = fmt::format("tuned {} contractions of `{}`: none has faster tiles\n", before.contractions.size(), before.entry);
    return target;
  }
  const Measured again = at(target), after = at(tuned);
  const double was = std::min(before.call, again.call);
  if (after.call < was) report = lines + fmt::format("tuned {} of {} contractions of `{}`: {:.4g} of {:.4g} ms\n", tuned.tuned.size(), before.contractions.size(), before.entry, after.call * 1e3, was * 1e3);
  else report = fmt::format("tuned {} contractions of `{}`: together other tiles are no faster\n", before.contractions.size(), before.entry);
  return after.call < was ? tuned : target;
}

} // namespace fil
