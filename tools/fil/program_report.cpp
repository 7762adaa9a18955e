// SPDX-License-Identifier: Apache-2.0
#include "tools/fil/program_report.h"
#include "passes/analysis/cost.h"
#include "runtime/base/status.h"
#include "tools/driver/compile.h"
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace fil {

/// The plan that is wanted, else the model's only one, else every default.
static sema::CheckedPlan planFor(LoadedProgram &p, const std::string &model, const std::string &wanted) {
  if (!wanted.empty()) return p.plan(wanted);
  std::vector<const sema::CheckedPlan *> own;
  for (const sema::CheckedPlan &x : p.plans)
    if (x.model == model) own.push_back(&x);
  return own.size() == 1 ? p.plan(own[0]->name) : p.plan("", {}, model);
}

static Size bytes(const Size &elements, const std::string &format) { return Size(format == "f64" ? 8 : 4) * elements; }
static ProgramReport::Work work(mlir::ModuleOp module, const char *entry, const std::string &format) {
  auto f = passes::entryPoint(module, entry);
  if (!f) throw Error(Exit::Internal, "E0901", fmt::format("the lowered program has no entry `{}`", entry), "please report this with the program");
  const ir::Cost c = passes::cost(f);
  return {c.flops, c.moved(format == "f64" ? 8 : 4)};
}

static ProgramReport::Model report(LoadedProgram &p, const std::string &name, const sema::CheckedPlan &plan) {
  ProgramReport::Model m{name, plan.name, plan.train.loss ? plan.train.loss->name.name : "", plan.precision, {}, {}, {}, {}, {}, {}};
  Compiler compiler(p, plan, {});
  auto module = compiler.module(plan.train.loss ? Stage::train_ : Stage::normalize_);
  if (!module) return m;
  const ir::Dims dims(*module);
  for (const sema::Variable &v : p.program->variables) {
    if (v.model() != name) continue;
    ProgramReport::Variable out{v.site->path(), v.typeText(), Size(1), v.state};
    for (const sema::Dim *d : v.type.dims) {
      const bool bounded = p.program->dims.bounds.count(d->name);
      out.count = out.count * (bounded ? p.program->dims.bounds.at(d->name) : dims.value(d->name));
    }
    for (const sema::Loop *l : v.loops) out.count = out.count * Size(l->hi - l->lo);
    (v.state ? m.states : m.params) = (v.state ? m.states : m.params) + out.count;
    m.variables.push_back(std::move(out));
  }
  for (auto v : module->getOps<ir::VariableOp>())
    if (v.getAdapter() && v.getKind() == ir::VariableKind::param) m.adapters = m.adapters + dims.elements(v.getType());
  m.forward = work(*module, "run", m.format);
  if (plan.train.loss) m.step = work(*module, "step", m.format);
  return m;
}

ProgramReport ProgramReport::of(LoadedProgram &p, const std::string &wanted) {
  ProgramReport r;
  for (const sema::LetType &l : p.program->lets) {
    const std::string &file = p.sources.name(l.span.file);
    if (file == "std.fil") continue;
    auto at = p.sources.place(l.span.file, l.span.begin);
    r.lets.push_back({file, at.line, at.column, l.name, l.type, l.site->path()});
  }
  const std::vector<const ast::Function *> functions = p.program->functions(); // a plan may have the program checked anew
  for (const ast::Function *f : functions) {
    if (f->kind != ast::Function::Model) continue;
    const sema::CheckedPlan plan = planFor(p, f->name.name, wanted);
    if (p.diags.errors()) break;
    if (plan.model == f->name.name) r.models.push_back(report(p, f->name.name, plan));
  }
  return r;
}

// ---- for people ----

/// 53120, 2.16e6
static std::string number(double x) {
  if (x == std::floor(x) && std::abs(x) < 1e5) return fmt::format("{:.0f}", x);
  if (std::abs(x) < 1e5) return fmt::format("{:.3g}", x);
  const int e = int(std::floor(std::log10(std::abs(x))));
  return fmt::format("{:.3g}e{}", x / std::pow(10.0, e), e);
}

std::string readable(const Size &s) {
  std::vector<std::tuple<int, double, std::string>> terms; // degree, factor, symbols
  for (auto &[monomial, factor] : s.terms()) {
    int degree = 0;
    std::string symbols;
    for (auto &[n, e] : monomial) degree += e, symbols += "*" + n + (e == 1 ? "" : fmt::format("^{}", e));
    terms.emplace_back(degree, factor.value(), symbols);
  }
  std::stable_sort(terms.begin(), terms.end(), [](auto &a, auto &b) {
    return std::pair(std::get<0>(a), std::abs(std::get<1>(a))) > std::pair(std::get<0>(b), std::abs(std::get<1>(b)));
  });
  std::string out;
  for (auto &[degree, factor, symbols] : terms) {
    std::string size = number(std::abs(factor));
    out += out.empty() ? (factor < 0 ? "-" : "") : (factor < 0 ? " - " : " + ");
    out += size == "1" && !symbols.empty() ? symbols.substr(1) : size + symbols;
  }
  return out.empty() ? "0" : out;
}

/// 1082496 with a comma at each thousand; a formula as it is.
static std::string exact(const Size &s) {
  std::string text = s.str();
  if (!s.isConstant()) return text;
  for (int i = int(text.size()) - 3; i > 0; i -= 3) text.insert(size_t(i), ",");
  return text;
}

std::string ProgramReport::text() const {
  std::string out;
  auto table = [&](const std::vector<std::vector<std::string>> &rows, std::vector<bool> right) {
    std::vector<size_t> widths(right.size());
    for (auto &r : rows)
      for (size_t i = 0; i < r.size(); ++i) widths[i] = std::max(widths[i], r[i].size());
    for (auto &r : rows) {
      std::string line;
      for (size_t i = 0; i < r.size(); ++i) line += "  " + (right[i] ? fmt::format("{:>{}}", r[i], widths[i]) : fmt::format("{:<{}}", r[i], widths[i]));
      out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
  };
  std::vector<std::vector<std::string>> rows;
  for (const Let &l : lets) rows.push_back({fmt::format("{}:{}:{}", l.file, l.line, l.column), l.name, l.type, l.site});
  if (!rows.empty()) out += "lets\n", table(rows, {false, false, false, false});
  for (const Model &m : models) {
    out += fmt::format("{}model {}{}{}, {}\n", out.empty() ? "" : "\n", m.name, m.loss.empty() ? "" : ", loss " + m.loss, m.plan.empty() ? "" : ", plan " + m.plan, m.format);
    rows.clear();
    for (const Variable &v : m.variables) rows.push_back({v.state ? "state" : "param", v.site, v.type, exact(v.count)});
    table(rows, {false, false, false, true});
    rows = {{"parameters", fmt::format("{} ({} bytes)", exact(m.params), exact(bytes(m.params, m.format)))}};
    if (!(m.adapters == Size())) rows.push_back({"adapters", fmt::format("{} ({} bytes), and nothing else is trained", exact(m.adapters), exact(bytes(m.adapters, m.format)))});
    if (!(m.states == Size())) rows.push_back({"state", exact(m.states)});
    rows.push_back({"forward", readable(m.forward.flops) + " FLOPs"});
    rows.push_back({"", readable(m.forward.bytes) + " bytes"});
    if (m.step) {
      rows.push_back({"training step", readable(m.step->flops) + " FLOPs"});
      rows.push_back({"", readable(m.step->bytes) + " bytes"});
    }
    table(rows, {false, false});
  }
  return out;
}

// ---- for programs ----

/// A number where it is one, else the formula.
static nlohmann::json value(const Size &s) {
  auto c = s.constant();
  return c && c->isWhole() ? nlohmann::json(c->num) : nlohmann::json(s.str());
}

std::string ProgramReport::json(const Diagnostics &diags) const {
  using nlohmann::json;
  json all = {{"messages", json::parse(diags.json())}, {"lets", json::array()}, {"models", json::array()}};
  for (const Let &l : lets) all["lets"].push_back({{"file", l.file}, {"line", l.line}, {"column", l.column}, {"name", l.name}, {"type", l.type}, {"site", l.site}});
  auto work = [](const Work &w) { return json{{"flops", value(w.flops)}, {"bytes", value(w.bytes)}}; };
  for (const Model &m : models) {
    json j = {{"name", m.name}, {"plan", m.plan}, {"loss", m.loss}, {"format", m.format}, {"params", json::array()}, {"states", json::array()},
              {"total_params", value(m.params)}, {"param_bytes", value(bytes(m.params, m.format))}, {"adapters", value(m.adapters)}, {"total_states", value(m.states)}, {"forward", work(m.forward)}, {"step", m.step ? work(*m.step) : json()}};
    for (const Variable &v : m.variables) j[v.state ? "states" : "params"].push_back({{"site", v.site}, {"type", v.type}, {"count", value(v.count)}});
    all["models"].push_back(std::move(j));
  }
  return all.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

} // namespace fil
