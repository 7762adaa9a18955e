// SPDX-License-Identifier: Apache-2.0
// The plan of an arena as the runtime makes it, and what is alive where most is.
#include "codegen/package/places.h"
#include "passes/analysis/saved_values.h"
#include "runtime/base/status.h"
#include "runtime/exec/flat_program.h"
#include "tools/driver/arena.h"
#include "tools/driver/entry_sizes.h"
#include "tools/fil/explain_program.h"
#include <algorithm>

namespace fil {
namespace {

constexpr double promised = 1.15;
constexpr size_t shown = 16;

std::string grouped(int64_t n) {
  std::string text = std::to_string(n);
  for (int i = int(text.size()) - 3; i > 0; i -= 3) text.insert(size_t(i), ",");
  return text;
}

/// Of what a group computes its own operation says enough.
std::string roleOf(const std::string &what) { return what.starts_with("rows [") ? "a group's result" : what == "stacked" ? "saved by a loop" : what; }

/// The position where most is alive; the first one.
int peakOf(std::span<const Lifetime> lives) {
  int64_t most = -1;
  int peak = 0;
  for (const Lifetime &at : lives) { // it begins where a buffer does
    int64_t sum = 0;
    for (const Lifetime &l : lives)
      if (l.first <= at.first && at.first <= l.last) sum += l.bytes;
    if (sum > most || (sum == most && at.first < peak)) most = sum, peak = at.first;
  }
  return peak;
}

int64_t derivedBytes(const Manifest &m) {
  int64_t bytes = 0;
  for (const Storage &s : m.storages)
    if (s.kind == Storage::Derived) bytes += s.extents[0].constant()->num * int64_t(byteSize(s.dtype));
  return bytes;
}
std::string variables(const Manifest &m) {
  int64_t bytes[3] = {};
  for (const VariableRow &v : m.variables) bytes[v.info.kind] += *elementCount(v.info.shape) * int64_t(byteSize(v.info.dtype));
  std::string text = fmt::format("variables: params {}, states {}, of the optimizer {} bytes\n", grouped(bytes[VariableInfo::Param]), grouped(bytes[VariableInfo::State]), grouped(bytes[VariableInfo::Optimizer]));
  if (int64_t packed = derivedBytes(m)) text += fmt::format("packed weights, of entries that do not change them: {} bytes\n", grouped(packed));
  return text;
}

/// What layers save for their gradient, and scores without layers; and what is not saved.
std::string savedBy(const Compiled &c, const std::string &entry, const sema::CheckedPlan &plan, const Binding &sizes) {
  const ir::Dims dims(*c.scheduled);
  int64_t kept = 0, again = 0;
  for (const passes::SavedValue &s : passes::savedValues(*c.scheduled))
    if (s.entry == entry) (s.again ? again : kept) += valueOf(s.bytes(dims, plan.precision == "f64" ? 8 : 4), sizes, s.what);
  const std::string rule = plan.remat.sites.empty() ? plan.remat.rule : fmt::format("{}", fmt::join(plan.remat.sites, " "));
  return kept || again ? fmt::format("  for the gradient {} bytes are kept, and what would be {} is computed again (remat {})\n", grouped(kept), grouped(again), rule) : "";
}

std::string entry(const Program &p, const ProgramNotes &notes, const Manifest &m, const Binding &sizes) {
  Binding used;
  const BoundProgram b = boundAt(p, m, sizes, used);
  const int64_t most = mostLive(b.lifetimes), arena = planArena(b.lifetimes).bytes;
  std::string text = fmt::format("\n{}{}\n  arena {} bytes, at most {} alive at once: {:.3f}, {} {}{}\n", p.entry.name, used.empty() ? "" : " (" + sizesText(used) + ")", grouped(arena), grouped(most),
                                 most ? double(arena) / double(most) : 1, double(arena) <= promised * double(most) ? "within" : "warning: above", promised,
                                 b.arenaBytes == arena ? "" : fmt::format("; {} bytes with room to grow", grouped(b.arenaBytes)));
  if (most == 0) return text;
  const int peak = peakOf(b.lifetimes);
  text += fmt::format("  at the peak: {}\n", size_t(peak) < notes.steps.size() && !notes.steps[size_t(peak)].empty() ? notes.steps[size_t(peak)] : "a copy or a turn's begin");
  std::vector<size_t> alive;
  for (size_t i = 0; i < b.lifetimes.size(); ++i)
    if (const Lifetime &l = b.lifetimes[i]; l.bytes && l.first <= peak && peak <= l.last) alive.push_back(i);
  std::ranges::stable_sort(alive, std::ranges::greater(), [&](size_t i) { return b.lifetimes[i].bytes; });
  int64_t rest = 0;
  for (size_t n = 0; n < alive.size(); ++n) {
    const size_t i = alive[n];
    if (n < shown) text += fmt::format("  {:>15}  {}, {}\n", grouped(b.lifetimes[i].bytes), notes.buffers[i].empty() ? "-" : notes.buffers[i], roleOf(p.buffers[i].what));
    else rest += b.lifetimes[i].bytes;
  }
  if (alive.size() > shown) text += fmt::format("  {:>15}  in {} more\n", grouped(rest), alive.size() - shown);
  return text;
}

} // namespace

void explainMemory(const Compiled &c, const sema::CheckedPlan &plan, const ExplainArguments &a) {
  const Manifest &m = *c.manifest;
  const auto programs = wantedPrograms(m, a.entry);
  std::string text = variables(m);
  for (const Program *p : programs) {
    const Binding sizes = entrySizes(*p, m, plan.train, openSizes(m, dimOptions(a.at, "--at"), "--at"));
    text += entry(*p, c.programs[size_t(p - m.programs.data())], m, sizes) + savedBy(c, p->entry.name, plan, sizes);
  }
  fmt::print("{}", text);
}

} // namespace fil
