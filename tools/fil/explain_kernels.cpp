// SPDX-License-Identifier: Apache-2.0
// Launches are told by the kernel that they launch, those that differ in nothing but the site together.
#include "codegen/cpu/disassembly.h"
#include "tools/driver/entry_sizes.h"
#include "tools/fil/explain_program.h"
#include "tools/fil/profile.h"
#include "tools/fil/program_report.h"
#include <algorithm>

namespace fil {
namespace {

constexpr int64_t muchCode = 64 << 10;

/// Those of one entry that do the same.
struct Launches {
  std::string where, work; ///< entry and sizes; what each does
  std::vector<std::string> sites;
  int64_t count = 0; ///< of a call, loops turned
};

class KernelList {
public:
  KernelList(const Manifest &m, const sema::TrainSettings &t, const ExplainArguments &a) : manifest(m), launches(m.kernels.size()) {
    for (const Program *p : wantedPrograms(m, a.entry)) {
      sizes = entrySizes(*p, m, t, openSizes(m, dimOptions(a.at, "--at"), "--at"));
      collect(*p, p->steps, 1);
    }
    if (!a.profile.empty()) profile = Profile::read(systemFiles(), a.profile);
  }

  void print() {
    std::vector<size_t> order;
    for (size_t k = 0; k < launches.size(); ++k)
      if (!launches[k].empty()) order.push_back(k);
    if (profile) std::ranges::stable_sort(order, std::ranges::greater(), [&](size_t k) { return seconds(k); });
    InstructionCount all;
    int64_t bytes = 0;
    for (size_t k : order) {
      const InstructionCount c = countInstructions({manifest.code.data() + manifest.kernels[k].entry, size_t(manifest.kernels[k].codeBytes)});
      all.all += c.all, all.vector += c.vector, bytes += manifest.kernels[k].codeBytes;
      one(k, c);
    }
    fmt::print("{} kernels, {} bytes of code, {} instructions, {} of them vector\n", order.size(), bytes, all.all, percent(all));
    if (profile) fmt::print("limits, measured with the profile: {}\n", profile->limits.str());
  }

private:
  const Manifest &manifest;
  Binding sizes; ///< of the entry at hand
  std::vector<std::vector<Launches>> launches; ///< of each kernel
  std::optional<Profile> profile;

  static std::string percent(const InstructionCount &c) { return fmt::format("{:.0f} %", c.all ? 100.0 * double(c.vector) / double(c.all) : 0); }

  static Launches &sameAs(std::vector<Launches> &all, const std::string &where, const std::string &work) {
    for (Launches &l : all)
      if (l.where == where && l.work == work) return l;
    return all.emplace_back(Launches{where, work, {}, 0});
  }
  void collect(const Program &p, const std::vector<Step> &steps, int64_t turns) {
    for (const Step &s : steps) {
      if (auto *l = std::get_if<LoopStep>(&s.is)) collect(p, l->body, turns * l->turns);
      if (auto *c = std::get_if<ChoiceStep>(&s.is)) choice(p, *c, turns);
      if (auto *o = std::get_if<OnceStep>(&s.is)) collect(p, o->body, turns);
      if (auto *l = std::get_if<Launch>(&s.is)) {
        Launches &to = sameAs(launches[size_t(l->kernel)], p.entry.name + (used(*l).empty() ? "" : " (" + sizesText(used(*l)) + ")"), workText(*l));
        const std::string site = l->site.empty() ? "no site" : l->site;
        if (std::ranges::find(to.sites, site) == to.sites.end()) to.sites.push_back(site);
        to.count += turns;
      }
    }
  }
  /// Only the way that is taken, where the sizes tell.
  void choice(const Program &p, const ChoiceStep &c, int64_t turns) {
    auto of = atSizes(c.of, sizes).constant();
    if (!of || of->num <= c.limit) collect(p, c.upTo, turns);
    if (!of || of->num > c.limit) collect(p, c.above, turns);
  }
  Binding used(const Launch &l) const {
    Binding some;
    for (const Size *s : {&l.flops, &l.bytes, &l.tiles})
      for (const std::string &dim : s->symbols())
        if (auto it = sizes.find(dim); it != sizes.end()) some.insert(*it);
    return some;
  }
  std::string workText(const Launch &l) const {
    const Size flops = atSizes(l.flops, sizes), bytes = atSizes(l.bytes, sizes);
    std::string s = fmt::format("{} tiles, {} FLOPs, {} bytes", readable(atSizes(l.tiles, sizes)), readable(flops), readable(bytes));
    auto f = flops.constant(), b = bytes.constant();
    return f && b && b->num ? s + fmt::format(", {:.3g} FLOPs a byte", f->value() / b->value()) : s;
  }
  double seconds(size_t k) const {
    double all = 0;
    for (const LaunchTime &t : profile->launches)
      if (t.kernel == manifest.kernels[k].key) all += t.seconds;
    return all;
  }
  void one(size_t k, const InstructionCount &c) {
    const Kernel &kernel = manifest.kernels[k];
    fmt::print("{} {}\n  {} bytes of code, {} instructions, {} of them vector\n", kernel.key, kernel.what, kernel.codeBytes, c.all, percent(c));
    if (kernel.codeBytes > muchCode) fmt::print("  warning: more than {} KB of code\n", muchCode >> 10);
    for (const Launches &l : launches[k]) fmt::print("  {}: {} launch{} of {}; {}\n", l.where, l.count, l.count == 1 ? "" : "es", l.work, fmt::join(l.sites, ", "));
    if (!profile) return;
    const std::string told = profile->told([&](const LaunchTime &t) { return t.kernel == kernel.key; });
    fmt::print("  {}\n", told.empty() ? "not in the profile" : "measured: " + told);
  }
};

} // namespace

void explainKernels(const Manifest &m, const sema::TrainSettings &t, const ExplainArguments &a) { KernelList(m, t, a).print(); }

} // namespace fil
