// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/adapt.h"
#include "runtime/base/status.h"
#include "runtime/train/train.h"
#include <algorithm>
#include <cmath>

namespace fil {
namespace {

size_t variableOf(const Executable &program, const std::string &name) {
  for (size_t i = 0; i < program.variables().size(); ++i)
    if (program.variables()[i].name == name) return i;
  throw Error(Exit::Internal, "E0702", fmt::format("the program has no variable `{}`", name));
}
bool isMost(const std::string &signal) { return signal == "underflow" || signal == "sat" || signal == "amax"; }
std::string textOf(const std::string &signal, double x) {
  return signal.ends_with("snr") ? fmt::format("{} {:.1f}dB", signal, x) : fmt::format("{} {:.3g}%", signal, 100 * x);
}
/// Of a rung of the ladder, and the rung that a level stands for: levels are bits, 0 the product's own format.
int32_t levelOf(const std::vector<std::string> &formats, int64_t rung) {
  return rung == 0 ? 0 : rung == int64_t(formats.size()) ? 32 : 16;
}
int64_t rungOf(const std::vector<std::string> &formats, int64_t level) {
  if (level >= 32) return int64_t(formats.size());
  return level >= 16 ? int64_t(formats.size()) - 1 : 0;
}
/// `l[2..4].q` in all turns, the last loop's the fastest: `l[2].q`, `l[3].q`.
std::vector<std::string> turnsOf(const std::string &site) {
  const size_t dots = site.find(".."), open = site.rfind('[', dots), close = site.find(']', dots);
  if (dots == site.npos) return {site};
  std::vector<std::string> all;
  const auto rest = turnsOf(site.substr(close + 1));
  for (int64_t turn = std::stoll(site.substr(open + 1)), end = std::stoll(site.substr(dots + 2)); turn < end; ++turn)
    for (const std::string &r : rest) all.push_back(fmt::format("{}{}]{}", site.substr(0, open + 1), turn, r));
  return all;
}
/// Of any of these all bounds hold: which, with what is measured; else nothing.
std::optional<std::string> holds(const std::vector<std::vector<SignalBound>> &any, const std::map<std::string, double> &signals) {
  for (const auto &all : any) {
    bool both = true;
    std::string text;
    for (const SignalBound &b : all) {
      const double x = signals.at(b.signal);
      both &= Contract{b.signal, b.comparison, b.value}.holds(x);
      text += (text.empty() ? "" : ", ") + textOf(b.signal, x);
    }
    if (both) return text;
  }
  return {};
}

} // namespace

Adaptation::Adaptation(Executable &program, AdaptRule rule) : program_(program), entry_(program.find("observe")), rule_(std::move(rule)) {
  std::map<std::string, size_t> at;
  auto site = [&](const std::string &name) -> Site & {
    auto [it, made] = at.try_emplace(name, sites_.size());
    if (made) sites_.push_back({name, {}, {}, 0, 0});
    return sites_[it->second];
  };
  for (size_t i = 0; i < entry_->outputs.size(); ++i) {
    const std::string &name = entry_->outputs[i].name;
    const size_t hash = name.rfind('#');
    if (hash == name.npos) continue;
    const std::string what = name.substr(hash + 1), whose = name.substr(0, hash);
    const size_t dot = what.find('.'), last = what.rfind('.');
    if (what == "ops") {
      whose.empty() ? ops_ = i : site(whose).ops = i;
      continue;
    }
    Site &s = site(whose);
    const std::string format = what.substr(last + 1);
    if (std::find(s.formats.begin(), s.formats.end(), format) == s.formats.end()) s.formats.push_back(format);
    s.signals[{what.substr(0, dot), format}].push_back(i);
  }
  for (size_t i = 0; i < sites_.size(); ++i)
    for (const std::string &name : turnsOf(sites_[i].name)) products_.push_back({name, i, sites_[i].turns++, variableOf(program, name + "#level"), variableOf(program, name + "#steady")});
  for (const Product &p : products_) wide_ += rungOf(sites_[p.site].formats, int64_t(program.get(p.level).at(0))) > 0;
}

std::vector<FormatChange> Adaptation::decide(const std::vector<Array> &outputs) {
  struct Now {
    const Product *of;
    const Site *site;
    int64_t level, steady;
    double share;                              ///< of a step's operations
    std::map<std::string, double> own, below;  ///< signals of the format that it has, and of the one below
  };
  std::vector<Now> all;
  for (const Product &p : products_) {
    const Site &s = sites_[p.site];
    Now now{&p, &s, rungOf(s.formats, int64_t(program_.get(p.level).at(0))), int64_t(program_.get(p.steady).at(0)), outputs[s.ops].at(0) / outputs[ops_].at(0) / double(s.turns), {}, {}};
    for (auto &[key, numbers] : s.signals) {
      auto &[signal, format] = key;
      const int64_t rung = std::find(s.formats.begin(), s.formats.end(), format) - s.formats.begin();
      if (rung != now.level && rung != now.level - 1) continue;
      double worst = isMost(signal) ? 0 : 1e30;
      for (size_t i : numbers)
        if (const double x = outputs[i].at(int64_t(p.turn)); !std::isnan(worst) && (isMost(signal) ? !(x <= worst) : !(x >= worst))) worst = x;
      if (std::isnan(worst)) worst = isMost(signal) ? 1 : 0; // of numbers beyond f32 nothing good is known
      (rung == now.level ? now.own : now.below)[signal] = signal.ends_with("snr") ? 10 * std::log10(std::max(worst, 1e-30)) : worst;
    }
    all.push_back(std::move(now));
  }
  auto promoted = [&] {
    double sum = 0;
    for (const Now &p : all) sum += p.level > 0 ? p.share : 0;
    return sum;
  };
  std::vector<FormatChange> changes;
  auto tell = [&](const Now &p, int64_t to, const std::string &why, bool refused) {
    auto format = [&](int64_t level) { return level < int64_t(p.site->formats.size()) ? p.site->formats[size_t(level)] : "f32"; };
    changes.push_back({p.of->name, format(p.level), format(to), why, refused});
  };
  auto change = [&](Now &p, int64_t to, const std::string &why) {
    tell(p, to, why, false);
    p.level = to, p.steady = -rule_.rest;
  };
  std::vector<std::pair<Now *, std::string>> wanting;
  std::vector<Now *> above; // the least bad first
  for (Now &p : all)
    if (p.level > 0) above.push_back(&p);
  std::stable_sort(above.begin(), above.end(), [](Now *a, Now *b) { return a->below.at("out_snr") > b->below.at("out_snr"); });
  for (Now *p : above) // of another run, or by another budget
    if (promoted() > rule_.budget) change(*p, p->level - 1, "over the budget");
  for (Now &p : all) {
    std::optional<std::string> why;
    if (p.steady < 0) ++p.steady; // it rests
    else if (p.level < int64_t(p.site->formats.size()) && (why = holds(rule_.up, p.own))) p.steady = 0, wanting.push_back({&p, *why});
    else if (p.level == 0 || !(why = holds(rule_.down, p.below))) p.steady = 0;
    else if (++p.steady >= rule_.times) change(p, p.level - 1, *why);
  }
  std::stable_sort(wanting.begin(), wanting.end(), [](auto &a, auto &b) { return a.first->own.at("out_snr") < b.first->own.at("out_snr"); });
  for (auto &[p, why] : wanting) {
    if (p->level == 0 && promoted() + p->share > rule_.budget) tell(*p, 1, why, true);
    else change(*p, p->level + 1, why);
  }
  for (const Now &p : all) {
    program_.set(p.of->level, Array::of<int32_t>(DType::I32, {}, {levelOf(p.site->formats, p.level)}));
    program_.set(p.of->steady, Array::of<int32_t>(DType::I32, {}, {int32_t(p.steady)}));
  }
  promoted_ = promoted();
  wide_ = std::count_if(all.begin(), all.end(), [](const Now &p) { return p.level > 0; });
  return changes;
}

} // namespace fil
