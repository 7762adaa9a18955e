// SPDX-License-Identifier: Apache-2.0
// `fil calibrate`: how much each gate of a trained model keeps, so that all together keep the plan's budget. Greedy: the gate that costs least loss for
// each operation that it saves gives up some of its granules, until the budget holds. What a gate would cost is measured anew only where it is the next one by what was
// measured before (Minoux 1978): others cost no less for what has been given up meanwhile.
#include "runtime/train/feed.h"
#include "runtime/train/grouping.h"
#include "tools/fil/compiler_library.h"
#include "tools/fil/training.h"
#include <algorithm>
#include <cmath>
#include <numeric>
#include <queue>

namespace fil {
namespace {

class Calibration {
public:
  Calibration(Training &t, const GateCosts &costs, double budget, int64_t samples) : t(t), program(*t.program), costs(costs), budget(budget * costs.dense), eval(*program.find("eval")), feed({&eval}, *t.data.set, t.options.batchDim, t.options.sizes) {
    for (size_t i = 0; i < program.variables().size(); ++i)
      if (auto it = costs.maps.find(program.variables()[i].name); it != costs.maps.end()) gates.push_back({it->first, i, int64_t(program.get(i).at(0)), int64_t(program.get(i).at(0))});
    if (gates.empty()) throw Error(Exit::Input, "P0451", "no open gate saves operations: what chosen members of a family compute, and products of maps with a topology or blocks, are whole", "say `keep` for these gates");
    batches = std::min(t.data.set->validationBatches(t.options.batch), std::max<int64_t>(1, samples / t.options.batch));
    if (batches == 0) throw Error(Exit::Input, "E0509", "no sample is held out to calibrate on", "lower `split`, or name data after `validate`");
  }

  void run(Progress &progress) {
    double loss = measured();
    const double whole = loss;
    double now = operations();
    for (Gate &g : gates) g.kept = 1;
    for (Gate &g : gates) { // or all, where choosing takes more than it saves
      const double one = operations();
      g.kept = g.all;
      if (operations() >= one) g.kept = 1;
    }
    auto tooDear = [&] { return Error(Exit::Input, "P0451", fmt::format("one granule for each gate that saves something still takes {:.3g}% of the operations", 100 * operations() / costs.dense), "a larger budget, a smaller rank, or gates on more sites"); };
    if (operations() > budget) throw tooDear();
    for (Gate &g : gates) g.kept = g.all;
    struct Offer { double price, loss; size_t gate; int64_t round; bool operator<(const Offer &o) const { return price > o.price; } };
    std::priority_queue<Offer> offers;
    for (size_t i = 0; i < gates.size(); ++i) offers.push({-HUGE_VAL, 0, i, -1});
    for (int64_t round = 0; now > budget && !offers.empty();) {
      const Offer best = offers.top();
      offers.pop();
      Gate &g = gates[best.gate];
      const int64_t step = std::max<int64_t>(1, g.all / 32), before = g.kept;
      if (before <= 1) continue;
      do g.kept = std::max<int64_t>(1, g.kept - step);
      while (operations() >= now && g.kept > 1); // the first ones are what choosing takes
      const double then = operations();
      if (then >= now) {
        g.kept = before;
        continue;
      }
      if (best.round == round) { // still the cheapest
        set(g);
        loss = best.loss, now = then, ++round;
        progress.note(fmt::format("{:5.1f}% of the operations, loss {:.5f}: {} keeps {} of {}", 100 * now / costs.dense, loss, siteOf(g), g.kept, g.all));
        offers.push({-HUGE_VAL, 0, best.gate, -1});
        continue;
      }
      set(g);
      const double other = measured();
      offers.push({(other - loss) / std::max(now - then, 1.0), other, best.gate, round});
      g.kept = before, set(g);
    }
    if (now > budget) throw tooDear();
    progress.note(fmt::format("loss {:.5f} with all neurons, {:.5f} with {:.3g}% of the operations, on {} samples", whole, loss, 100 * now / costs.dense, samples));
  }
  /// Lines of `sparsity`: the plan's own, which keep all, and of each gate what it keeps.
  std::string lines(const sema::CheckedPlan &plan) const {
    std::string text;
    for (const sema::PlanFacet &f : plan.facets)
      if (f.open()) text += fmt::format("    {} keep=1\n", f.text);
    for (const Gate &g : gates) {
      std::vector<std::string> maps{g.name.substr(0, g.name.rfind('.'))};
      if (auto found = costs.maps.find(g.name); found != costs.maps.end()) maps = found->second;
      for (const std::string &map : maps) text += fmt::format("    {}: {}\n", map, lineAt(plan, map, double(g.kept) / double(g.all)));
    }
    return text;
  }

private:
  struct Gate {
    std::string name;
    size_t variable;
    int64_t all, kept;
  };
  Training &t;
  Executable &program;
  const GateCosts &costs;
  double budget;
  const Entry &eval;
  Feed feed;
  Batch batch;
  std::vector<Gate> gates;
  int64_t batches = 0, samples = 0;

  static std::string siteOf(const Gate &g) { return "`" + g.name.substr(0, g.name.rfind('.')) + "`"; }
  void set(const Gate &g) {
    const VariableInfo &v = program.variables()[g.variable];
    program.set(g.variable, Array::of<int32_t>(v.dtype, v.shape, {int32_t(g.kept)}));
  }
  double operations() const {
    std::map<std::string, double> shares;
    for (const Gate &g : gates) shares[g.name] = double(g.kept) / double(g.all);
    return costs.at(shares);
  }
  double measured() {
    size_t loss = 0;
    while (eval.outputs[loss].name != "loss") ++loss;
    double sum = 0;
    samples = 0;
    for (int64_t i = 0; i < batches; ++i) {
      t.data.set->validationBatch(i, t.options.batch, batch);
      sum += program.run(eval, feed.inputs(eval, batch, {t.options.info.seed, 0, 0}))[loss].at(0) * double(batch.size), samples += batch.size;
    }
    return sum / double(samples);
  }
  /// A site of one turn lies in that of its class: `l[3].up` in `l[0..6].up`.
  static bool holds(const std::string &site, const std::string &turn) {
    size_t i = 0, j = 0;
    for (; i < site.size() && j < turn.size(); ++i, ++j) {
      if (site[i] == turn[j] && site[i] != '[') continue;
      if (site[i] != '[' || turn[j] != '[') return false;
      const size_t a = site.find(']', i), b = turn.find(']', j);
      const std::string range = site.substr(i + 1, a - i - 1), one = turn.substr(j + 1, b - j - 1);
      if (const size_t dots = range.find(".."); dots == std::string::npos ? range != one : std::stoll(one) < std::stoll(range) || std::stoll(one) >= std::stoll(range.substr(dots + 2))) return false;
      i = a, j = b;
    }
    return i == site.size() && j == turn.size();
  }
  static std::string lineAt(const sema::CheckedPlan &plan, const std::string &map, double keep) {
    std::string text;
    for (const sema::PlanFacet &f : plan.facets)
      if (f.open() && std::any_of(f.sites.begin(), f.sites.end(), [&](const std::string &site) { return holds(site, map); })) {
        text = fmt::format("gate {} keep={:.6g}", f.settings.at("of"), keep);
        for (auto &[name, value] : f.settings)
          if (name != "of" && name != "samples") text += fmt::format(" {}={}", name, value);
      }
    return text;
  }
};

/// The first of its maps that a predictor stands beside.
std::string siteOf(const Executable &program, const NeuronGroup &g) {
  for (size_t v : g.variables)
    for (const VariableInfo &other : program.variables())
      if (const std::string &name = program.variables()[v].name; other.name == name + ".gate_B" || other.name == name + ".gate_S") return name;
  return program.variables()[g.variables.front()].name;
}
Array zeros(const Array &like) {
  std::byte *data;
  return Array::make(like.dtype, like.shape, data);
}
/// Puts co-active neurons of the program together, gate by gate; the file that it was begun with goes to `out` with its maps and params in the same order.
void group(Training &t, const Checkpoint &from, int64_t samples, const std::string &out, Progress &progress) {
  constexpr int64_t rows = 1024; // of each gate, to compare neurons by
  Executable &program = *t.program;
  const std::vector<NeuronGroup> groups = neuronGroups(program);
  if (groups.empty())
    throw Error(Exit::Input, "E0510", "the plan has no gate whose neurons may change places", "group for gates of granules above 1, on maps that nobody else reads and that stand in the same loops; experts, neurons with adapters and what depends on their places stay as they are");
  SafeTensors file = from.file;
  std::erase_if(file.tensors, [](const auto &x) { return x.first.find('#') != std::string::npos && !x.first.ends_with("#low"); }); // what an optimizer kept of other places
  for (const NeuronGroup &g : groups)
    for (size_t v : g.variables)
      if (const std::string &name = program.variables()[v].name; file.find(name + ".mask"))
        throw Error(Exit::Input, "E0510", fmt::format("`{}` has a mask of `{}`, which belongs to its places", from.path, name), "group neurons of the dense weights, before a topology is trained");
  const Entry &entry = *program.find("neurons");
  Feed feed({&entry}, *t.data.set, t.options.batchDim, t.options.sizes);
  const int64_t batches = std::min({t.data.set->validationBatches(t.options.batch), std::max<int64_t>(1, samples / t.options.batch), rows});
  if (batches == 0) throw Error(Exit::Input, "E0509", "no sample is held out to group neurons by", "lower `split`, or name data after `validate`");
  std::vector<Profile> profiles(groups.size());
  Batch batch;
  for (int64_t i = 0; i < batches; ++i) {
    t.data.set->validationBatch(i, t.options.batch, batch);
    const std::vector<Array> outputs = program.run(entry, feed.inputs(entry, batch, {t.options.info.seed, 0, 0}));
    for (size_t g = 0; g < groups.size(); ++g)
      for (size_t o = 0; o < outputs.size(); ++o)
        if (entry.outputs[o].name == groups[g].output) addRows(profiles[g], groups[g], entry.outputs[o], outputs[o], (rows + batches - 1) / batches);
  }
  for (size_t g = 0; g < groups.size(); ++g) {
    const std::string site = siteOf(program, groups[g]);
    if (std::any_of(profiles[g].magnitudes.begin(), profiles[g].magnitudes.end(), [](float x) { return !std::isfinite(x); }))
      throw Error(Exit::Input, "E0510", fmt::format("neurons of `{}` are not finite on the held-out samples", site), "weights or data have values that no training would go on from");
    std::vector<int64_t> before(size_t(profiles[g].neurons));
    std::iota(before.begin(), before.end(), int64_t(0));
    auto held = [&](const std::vector<int64_t> &x, int64_t granule) { return 100 * heldShare(profiles[g], x, granule, 0.5); };
    const std::vector<int64_t> order = coactiveOrder(profiles[g], groups[g].granule);
    const double first = held(before, groups[g].granule), then = held(order, groups[g].granule);
    progress.note(fmt::format("`{}`: the larger half of its granules of {} has {:.1f}% of the magnitudes, {:.1f}% before; of single neurons {:.1f}%{}", site, groups[g].granule, then, first, held(before, 1), then > first ? "" : ": left as it is"));
    if (then <= first) continue;
    reorder(program, groups[g], order);
    for (size_t v : groups[g].variables) {
      const VariableInfo &info = program.variables()[v];
      for (auto &[name, value] : file.tensors)
        if (name == info.name || name == info.name + "#low") value = reordered(value, info.neurons->axis, order);
        else if (name == info.name + ".gate_held") value = zeros(value); // of granules that are others now
      for (size_t i = 0; i < program.variables().size(); ++i)
        if (program.variables()[i].name == info.name + ".gate_held") program.set(i, zeros(program.get(i)));
    }
  }
  writeSafetensors(systemFiles(), out, file);
  progress.note(fmt::format("weights: {}", out));
}
} // namespace

Exit calibrate(const CommonOptions &o, const CalibrateArguments &a) {
  auto session = Session::open(o, "calibrate", readCheckpoint(systemFiles(), a.weights), true);
  if (!session) return Exit::Input;
  const bool open = std::any_of(session->plan.facets.begin(), session->plan.facets.end(), [](const sema::PlanFacet &f) { return f.open(); });
  session->neurons = !a.group.empty();
  if (!open && a.group.empty())
    throw Error(Exit::Input, "E0510", fmt::format("no gate of the plan `{}` leaves open how much it keeps", session->plan.name), "leave `keep` out of the lines of gates, and write `budget flops <= 40%` beside them");
  TrainArguments t;
  t.data = a.data, t.seed = a.seed;
  auto training = prepareTraining(*session, o, t);
  if (!training) return Exit::Input;
  Progress progress = progressTo(0);
  if (!a.group.empty()) group(*training, *session->checkpoint, a.samples, a.group, progress);
  if (!open) return Exit::Ok;
  const GateCosts costs = compilerLibrary().gateCosts(*session->program, session->plan, training->options.sizes);
  Calibration c(*training, costs, session->plan.gateBudget, a.samples);
  c.run(progress);
  const std::string name = session->plan.name + "_calibrated";
  const std::string text = fmt::format("plan {} for {} from {} {{\n  sparsity {{\n{}  }}\n}}\n", name, session->plan.model, session->plan.name, c.lines(session->plan));
  if (a.out.empty()) fmt::print("{}", text);
  else writeFile(systemFiles(), a.out, text), progress.note(fmt::format("plan {}: {}", name, a.out));
  return Exit::Ok;
}
} // namespace fil
