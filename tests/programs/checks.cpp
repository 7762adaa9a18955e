// SPDX-License-Identifier: Apache-2.0
#include "tests/programs/checks.h"
#include "tests/programs/compiled.h"
#include "tests/programs/modules.h"
#include "tests/programs/rewrite.h"
#include "tests/programs/values.h"
#include "tests/support/program.h"
#include <cmath>
#include <cstdlib>
#include <set>

namespace fil::programs {
namespace {

struct Failed { Failure failure; };
[[noreturn]] void fail(std::string check, std::string detail) { throw Failed{{std::move(check), std::move(detail)}}; }

/// What the loss becomes along a direction, `aux` and `stopgrad` as their rules say.
class Descent {
public:
  Descent(const CompiledProgram &c, Values &values) : values(values) {
    auto recording = c.copy(Stage::fil_), frozen = c.copy(Stage::fil_);
    stops = showStops(*recording);
    showAux(*recording);
    freezeStops(*frozen);
    aux = showAux(*frozen);
    ir::Dims dims(*frozen);
    for (ir::VariableOp v : frozen->getOps<ir::VariableOp>()) {
      Stored &at = stored[v.getSymName().str()] = {v.getSite().str(), {}};
      for (mlir::StringAttr l : ir::strings(v.getLoops())) at.loops.push_back(l.str());
    }
    for (const ShownAux &a : aux)
      for (const std::string &l : a.loops) turns[l] = dims.value(l).constant()->num;
    record = c.executable(std::move(recording)), free = c.executable(std::move(frozen));
  }
  void holdStops(Point &p) {
    const Entry &e = *record->find("train");
    auto results = runAt(p, *record, "train", values);
    for (int i = 0; i < stops; ++i) p.inputs["stop#" + std::to_string(i)] = output(e, results, "stop#" + std::to_string(i));
  }
  using Direction = std::map<std::string, std::vector<double>>;
  double along(const Point &p, const Direction &u, double h) {
    auto at = [&](auto moves) {
      Point q = p;
      for (auto &[name, d] : u)
        if (moves(name))
          for (size_t i = 0; i < d.size(); ++i) q.variables[name][i] += h * d[i];
      return runAt(q, *free, "train", values);
    };
    const Entry &e = *free->find("train");
    auto results = at([](const std::string &) { return true; });
    double total = output(e, results, "loss")[0];
    for (size_t k = 0; k < aux.size(); ++k) {
      const std::string name = "aux#" + std::to_string(k);
      if (!aux[k].restricted) {
        for (double v : output(e, results, name)) total += v;
        continue;
      }
      // Each turn's loss reaches that turn's params alone.
      const size_t count = output(e, results, name).size();
      for (size_t i = 0; i < count; ++i) total += output(e, at([&](const std::string &row) { return trains(aux[k], i, row); }), name)[i];
    }
    return total;
  }

private:
  Values &values;
  int stops = 0;
  std::vector<ShownAux> aux;
  std::unique_ptr<Executable> record, free;
  struct Stored { std::string site; std::vector<std::string> loops; };
  std::map<std::string, Stored> stored;
  std::map<std::string, int64_t> turns;
  /// Is this row of storage (`l[2].g`) one that element `i` of a further loss trains? The variable's site is `l[0..3].g`.
  bool trains(const ShownAux &a, size_t i, const std::string &row) const {
    std::map<std::string, int64_t> position;
    for (size_t d = a.loops.size(); d-- > 0;) position[a.loops[d]] = int64_t(i) % turns.at(a.loops[d]), i /= size_t(turns.at(a.loops[d]));
    for (const std::string &symbol : a.trains) {
      const auto &[site, loops] = stored.at(symbol);
      size_t s = 0, r = 0, loop = 0;
      bool same = true;
      while (same && s < site.size() && r < row.size()) {
        if (site[s] != '[' || row[r] != '[') {
          same = site[s++] == row[r++];
          continue;
        }
        const size_t sEnd = site.find(']', s), rEnd = row.find(']', r), dots = site.find("..", s);
        if (dots > sEnd) same = site.substr(s, sEnd - s) == row.substr(r, rEnd - r);
        else {
          auto at = position.find(loops[loop++]);
          same = at == position.end() || std::stoi(row.substr(r + 1)) == std::stoi(site.substr(s + 1)) + at->second;
        }
        s = sEnd, r = rEnd;
      }
      if (same && s == site.size() && r == row.size()) return true;
    }
    return false;
  }
};

/// False where every point tried has a kink within reach.
bool checkGradient(const CompiledProgram &c, const Binding &sizes) {
  auto step = c.executable(c.copy(Stage::train_));
  Values values(7, sizes);
  Descent descent(c, values);
  for (int attempt = 0; attempt < 8; ++attempt) {
    Point p;
    values.fill(p, *step, *step->find("step"));
    runAt(p, *step, "step", values);
    std::map<std::string, std::vector<double>> gradient;
    Descent::Direction u;
    std::normal_distribution<double> normal;
    double exact = 0, scale = 0;
    std::string detail;
    for (size_t i = 0; i < step->variables().size(); ++i) {
      const VariableInfo &v = step->variables()[i];
      if (v.kind != VariableInfo::Param) continue;
      auto moved = numbers(step->get(i)), &g = gradient[v.name], &d = u[v.name];
      double norm = 0;
      for (size_t k = 0; k < moved.size(); ++k) g.push_back(p.variables[v.name][k] - moved[k]), norm += g[k] * g[k];
      for (size_t k = 0; k < moved.size(); ++k) d.push_back(normal(values.random) / std::max(1.0, 10 * std::sqrt(norm)));
      double along = 0;
      for (size_t k = 0; k < moved.size(); ++k) along += g[k] * d[k], scale += std::fabs(g[k] * d[k]);
      exact += along;
      detail += fmt::format("  {}: norm {:.6g}\n", v.name, std::sqrt(norm));
    }
    if (!std::isfinite(exact)) fail("gradient", "is no number\n" + detail);
    descent.holdStops(p);
    auto central = [&](double h) { return (8 * (descent.along(p, u, h) - descent.along(p, u, -h)) - (descent.along(p, u, 2 * h) - descent.along(p, u, -2 * h))) / (12 * h); };
    const double wide = central(4e-4), narrow = central(1e-4), allowed = 1e-6 * std::max(scale, 1e-3);
    if (std::fabs(wide - narrow) > 0.3 * allowed) continue; // a kink
    if (std::fabs(narrow - exact) > allowed) {
      for (auto &[name, d] : u) { // which variable it is
        Descent::Direction only{{name, d}};
        double along = 0;
        for (size_t k = 0; k < d.size(); ++k) along += gradient[name][k] * d[k];
        auto one = [&](double h) { return (descent.along(p, only, h) - descent.along(p, only, -h)) / (2 * h); };
        detail += fmt::format("  along {}: gradient {:.9g}, difference {:.9g}\n", name, along, one(1e-4));
      }
      fail("gradient", fmt::format("{:.12g}, by differences {:.12g} (scale {:.3g})\n{}", exact, narrow, scale, detail));
    }
    return true;
  }
  return false;
}

/// Canonical source: printing it again changes nothing, and it means the same, to the last letter of the module.
void checkText(const CompiledProgram &c, const std::map<std::string, int64_t> &dims) {
  const std::string once = ast::print(c.loaded->files.back(), c.loaded->sources);
  std::optional<CompiledProgram> again;
  try {
    again.emplace(once, dims);
  } catch (const std::exception &e) {
    fail("canonical source", std::string("is refused: ") + e.what() + "\n" + once);
  }
  if (const std::string twice = ast::print(again->loaded->files.back(), again->loaded->sources); twice != once) fail("canonical source", "printed again is\n" + twice + "\nwas\n" + once);
  if (textOf(again->at(Stage::fil_)) != textOf(c.at(Stage::fil_))) fail("canonical source", "means something else\n" + once);
  auto types = [](const CompiledProgram &p) {
    std::string all;
    for (const sema::LetType &l : p.loaded->program->lets) all += (l.site ? l.site->path() : "") + " " + l.name + ": " + l.type + "\n";
    return all;
  };
  if (types(*again) != types(c)) fail("canonical source", "has other types\n" + types(*again) + "were\n" + types(c));
}

/// Names and dims of a variable's storage in declared order, for executables of a renamed program.
std::vector<std::vector<std::string>> declaredOf(mlir::ModuleOp m) {
  std::vector<std::vector<std::string>> all;
  for (ir::VariableOp v : m.getOps<ir::VariableOp>()) {
    std::vector<std::string> dims;
    for (mlir::StringAttr d : ir::strings(v.getDeclared())) dims.push_back(originalName(d.str()));
    all.push_back(dims);
  }
  return all;
}
std::vector<double> reordered(const std::vector<double> &x, const std::vector<std::string> &from, const std::vector<int64_t> &fromShape, const std::vector<std::string> &to) {
  std::vector<int64_t> stride(to.size()), n(to.size()), at(to.size(), 0);
  for (size_t d = 0; d < to.size(); ++d) {
    const size_t p = size_t(std::find(from.begin(), from.end(), to[d]) - from.begin());
    if (p == from.size()) throw std::runtime_error("a dim `" + to[d] + "` that the original lacks");
    n[d] = fromShape[p], stride[d] = 1;
    for (size_t k = p + 1; k < fromShape.size(); ++k) stride[d] *= fromShape[k];
  }
  std::vector<double> y(x.size());
  for (double &v : y) {
    int64_t s = 0;
    for (size_t d = 0; d < n.size(); ++d) s += at[d] * stride[d];
    v = x[size_t(s)];
    for (size_t d = n.size(); d-- > 0;) {
      if (++at[d] < n[d]) break;
      at[d] = 0;
    }
  }
  return y;
}

void checkInvariance(const CompiledProgram &c, const std::string &text, const Binding &sizes, const std::map<std::string, int64_t> &dims) {
  const std::string other = permuted(renamed(text), 11);
  std::optional<CompiledProgram> r;
  try {
    std::map<std::string, int64_t> otherDims;
    for (auto &[d, n] : dims) otherDims[renamedIn(text, d)] = n;
    r.emplace(other, otherDims);
  } catch (const std::exception &e) {
    fail("renamed", std::string("is refused: ") + e.what() + "\n" + other);
  }
  auto a = c.executable(c.copy(Stage::train_)), b = r->executable(r->copy(Stage::train_));
  Binding otherSizes;
  for (const Port &p : b->find("step")->inputs)
    for (const std::string &d : p.dims)
      if (auto it = sizes.find(originalName(d)); it != sizes.end()) otherSizes[d] = it->second;
  const bool dropout = text.find("dropout(") != std::string::npos;
  Values values(3, sizes), otherValues(3, otherSizes);
  for (const char *entry : {"eval", "step"}) {
    if (dropout && std::string(entry) == "step") continue; // its numbers are a function of the site's path
    Point p, q;
    values.fill(p, *a, *a->find(entry));
    if (a->variables().size() != b->variables().size()) fail("renamed", "has another number of variables\n" + other);
    // Rows stand in declared order in both: the turns of one variable behind one another.
    auto mine = declaredOf(c.at(Stage::train_)), theirs = declaredOf(r->at(Stage::train_));
    std::map<std::string, size_t> place;
    auto symbolRows = [](const CompiledProgram &x) {
      std::vector<size_t> rows;
      ir::Dims dims(x.at(Stage::train_));
      for (auto [i, v] : llvm::enumerate(x.at(Stage::train_).getOps<ir::VariableOp>())) {
        if (v.getKind() == ir::VariableKind::cache) continue;
        int64_t turns = 1;
        for (mlir::StringAttr l : ir::strings(v.getLoops())) turns *= dims.value(l.getValue()).constant()->num;
        rows.insert(rows.end(), size_t(turns), i);
      }
      return rows;
    };
    auto rows = symbolRows(c), otherRows = symbolRows(*r);
    for (size_t i = 0; i < a->variables().size(); ++i) {
      const VariableInfo &v = a->variables()[i], &w = b->variables()[i];
      if (originalName(w.name) != v.name) fail("renamed", "variable `" + v.name + "` became `" + w.name + "`\n" + other);
      q.variables[w.name] = reordered(p.variables[v.name], mine[rows[i]], v.shape, theirs[otherRows[i]]);
    }
    const Entry &e = *a->find(entry), &f = *b->find(entry);
    for (const Port &port : f.inputs)
      for (const Port &from : e.inputs)
        if (originalName(port.name) == from.name) {
          std::vector<int64_t> shape;
          for (size_t d = 0; d < from.sizes.size(); ++d) shape.push_back(valueOf(from.sizes[d], sizes, from.dims[d]));
          std::vector<std::string> dims;
          for (const std::string &d : port.dims) dims.push_back(originalName(d));
          q.inputs[port.name] = reordered(p.inputs[from.name], from.dims, shape, dims);
        }
    auto x = output(e, runAt(p, *a, entry, values), "loss"), y = output(f, runAt(q, *b, entry, otherValues), "loss");
    if (std::memcmp(x.data(), y.data(), x.size() * sizeof(double))) fail("renamed", fmt::format("loss of `{}` is {:.17g}, was {:.17g}\n{}", entry, y[0], x[0], other));
    if (std::string(entry) == "step")
      for (size_t i = 0; i < a->variables().size(); ++i)
        if (reordered(numbers(a->get(i)), mine[rows[i]], a->variables()[i].shape, theirs[otherRows[i]]) != numbers(b->get(i))) fail("renamed", "`" + a->variables()[i].name + "` steps elsewhere\n" + other);
  }
}

void checkValues(const CompiledProgram &c, const Binding &sizes) {
  Values values(5, sizes);
  auto lowered = c.copy(Stage::fil_);
  showAux(*lowered);
  auto normal = c.copy(Stage::normalize_);
  showAux(*normal);
  auto first = c.executable(std::move(lowered)), second = c.executable(std::move(normal)), last = c.executable(c.copy(Stage::train_));
  Point p;
  values.fill(p, *last, *last->find("step"));
  auto same = [&](const std::vector<double> &a, const std::vector<double> &b, const char *what) {
    if (double d = distance(a, b); !(d <= 1e-12)) fail("values", fmt::format("{} are {:.3g} apart", what, d));
  };
  auto outputs = [&](Executable &x, const char *entry, const char *name) { return output(*x.find(entry), runAt(p, x, entry, values), name); };
  auto loss = outputs(*first, "train", "loss");
  if (!std::isfinite(loss[0])) fail("values", "the loss is no number");
  same(loss, outputs(*second, "train", "loss"), "losses before and after normalize");
  same(loss, outputs(*last, "step", "loss"), "losses of `train` and `step`");
  same(outputs(*first, "train", "y"), outputs(*second, "train", "y"), "results before and after normalize");
  same(outputs(*first, "eval", "y"), outputs(*last, "eval", "y"), "results of `eval`");
  same(outputs(*first, "run", "y"), outputs(*last, "run", "y"), "results of `run`");
}

/// Forward, all data gradients, then all weight gradients: the bits of the order in which the ops stand.
void checkOrder(const CompiledProgram &c, const Binding &sizes) {
  auto sorted = c.copy(Stage::train_);
  sortByRole(*sorted);
  auto a = c.executable(c.copy(Stage::train_)), b = c.executable(std::move(sorted));
  Values values(9, sizes);
  Point p;
  values.fill(p, *a, *a->find("step"));
  auto x = runAt(p, *a, "step", values), y = runAt(p, *b, "step", values);
  for (size_t i = 0; i < x.size(); ++i)
    if (numbers(x[i]) != numbers(y[i])) fail("order of roles", "changes `" + a->find("step")->outputs[i].name + "`");
  for (size_t i = 0; i < a->variables().size(); ++i)
    if (numbers(a->get(i)) != numbers(b->get(i))) fail("order of roles", "changes `" + a->variables()[i].name + "`");
}

void collectOps(mlir::ModuleOp m, std::set<std::string> &ops) {
  m.walk([&](mlir::Operation *op) {
    std::string name = op->getName().getStringRef().str();
    if (auto x = mlir::dyn_cast<ir::MapOp>(op)) name += " " + ir::stringifyMapFn(x.getFn()).str();
    if (auto x = mlir::dyn_cast<ir::ReduceOp>(op)) name += " " + ir::stringifyReduceFn(x.getFn()).str();
    ops.insert(name);
  });
}
} // namespace

Report check(const std::string &text, const Binding &sizes, const std::map<std::string, int64_t> &dims) {
  Report report;
  std::string doing = "accepted";
  try {
    CompiledProgram c(text, dims);
    doing = "canonical source", checkText(c, dims);
    for (auto &m : c.modules) {
      doing = std::string("round trip after ") + name(m.stage);
      if (std::string e = roundTrip(*m.module); !e.empty()) fail(doing, e);
      collectOps(*m.module, report.ops);
    }
    doing = "values", checkValues(c, sizes);
    doing = "gradient", report.gradientDecided = checkGradient(c, sizes);
    doing = "order of roles", checkOrder(c, sizes);
    doing = "renamed", checkInvariance(c, text, sizes, dims);
  } catch (const Failed &f) {
    report.failure = f.failure;
  } catch (const std::exception &e) {
    report.failure = Failure{doing, e.what()};
  }
  return report;
}

/// What calls leave behind: in f64, `run` with the variables as a step left them; `prefill` and some positions of `decode`. Tells what differs.
static std::optional<std::string> checkKept(const Point &p, Executable &reference, Executable &x, Values &values, double allowed) {
  auto apart = [&](const Entry &e, const std::vector<Array> &want, const std::vector<Array> &got) -> std::optional<std::string> {
    for (size_t i = 0; i < want.size(); ++i)
      if (double d = distance(numbers(want[i]), numbers(got[i])); !(d <= allowed)) return fmt::format("`{}` of `{}` are {:.3g} apart after other calls", e.outputs[i].name, e.name, d);
    return {};
  };
  const Entry &run = *reference.find("run");
  auto runIn = [&](Executable &e) { return e.run(*e.find("run"), values.inputs(p, *e.find("run"))); };
  if (x.find("run")->outputs[0].dtype == DType::F64)
    if (auto failure = apart(run, runIn(reference), runIn(x))) return failure;
  auto length = values.sizes.find("T");
  if (!reference.find("decode") || length == values.sizes.end()) return {};
  auto batch = values.sizes.find("B");
  for (Executable *e : {&reference, &x}) e->resetCaches(batch == values.sizes.end() ? 1 : batch->second, length->second + 3);
  for (int i = 0; i < 3; ++i) {
    const Entry &e = *reference.find(i ? "decode" : "prefill");
    Binding sizes = values.sizes;
    if (i) sizes["T"] = 1;
    sizes["S"] = length->second + i;
    Values part(uint64_t(11 + i), sizes);
    Point q;
    q.variables = p.variables;
    part.fill(q, reference, e);
    std::vector<Array> want;
    try {
      want = runAt(q, reference, e.name, part);
    } catch (const Error &error) { // windows over T: one position may be too few
      if (error.code() == "E0517") return {};
      throw;
    }
    if (auto failure = apart(e, want, runAt(q, x, e.name, part))) return failure;
  }
  return {};
}

/// A variable's values: the whole of what is kept in parts. Of numbers over scales, which stand beside them for all of the last dim, the products: of what is
/// nearly 0 the scale may be any.
static std::vector<double> kept(const Executable &x, size_t variable) {
  auto v = numbers(x.get(variable));
  for (size_t i = 0; i < x.variables().size(); ++i) {
    if (x.variables()[i].name == x.variables()[variable].name + "#low") {
      const auto low = numbers(x.get(i));
      for (size_t k = 0; k < v.size(); ++k) v[k] = double(joined(encoded(Format::Bf16, v[k]), int16_t(low[k])));
    }
    if (x.variables()[i].name != x.variables()[variable].name + ".scale") continue;
    const auto scale = numbers(x.get(i));
    for (size_t k = 0; k < v.size(); ++k) v[k] *= scale[k / (v.size() / scale.size())];
  }
  return x.variables()[variable].name.ends_with(".scale") || x.variables()[variable].name.ends_with("#low") ? std::vector<double>() : v;
}
static BackendReport checked(const std::string &text, const Binding &sizes, const std::map<std::string, int64_t> &dims, const std::string &backend) {
  try {
    CompiledProgram c(text, dims);
    Values values(5, sizes);
    auto reference = c.executable(c.copy(Stage::train_));
    Point p;
    values.fill(p, *reference, *reference->find("step"));
    // Where params that are moved by about an f32 rounding move the reference as far, a choice (top-k, argmax, a comparison) stands on an edge.
    auto onEdge = [&](const char *entry, size_t output, double allowed) {
      std::mt19937_64 random(9);
      std::normal_distribution<double> normal;
      auto want = runAt(p, *reference, entry, values);
      for (int trial = 0; trial < 6; ++trial) {
        Point q = p;
        for (auto &[name, v] : q.variables)
          for (double &x : v) x *= 1 + 3e-7 * normal(random);
        if (distance(numbers(want[output]), numbers(runAt(q, *reference, entry, values)[output])) > allowed) return true;
      }
      return false;
    };
    // Where a plan rounds to narrow formats, the last bit of an f32 may decide to which of two neighbours.
    const bool narrow = std::any_of(c.plan.facets.begin(), c.plan.facets.end(), [](const sema::PlanFacet &f) { return f.kind == "format" || f.kind == "qat"; }) || !c.plan.state.moments.empty() || !c.plan.state.caches.empty() || c.plan.state.master != "f32" || c.plan.state.saved != "f32";
    for (auto [format, allowed] : {std::pair{"f64", 1e-9}, std::pair{"f32", narrow ? 0.1 : 1e-4}}) {
      auto x = c.executable(c.copy(Stage::train_), format, backend);
      for (const char *entry : {"eval", "run", "step"}) {
        const Entry &e = *reference->find(entry);
        auto want = runAt(p, *reference, entry, values), got = runAt(p, *x, entry, values);
        for (size_t i = 0; i < want.size(); ++i)
          if (double d = distance(numbers(want[i]), numbers(got[i])); !(d <= allowed)) {
            if (format == std::string("f32") && onEdge(entry, i, allowed)) return {{}, true};
            return {Failure{backend, fmt::format("`{}` of `{}` in {} are {:.3g} apart", e.outputs[i].name, entry, format, d)}};
          }
      }
      for (size_t i = 0; i < reference->variables().size(); ++i)
        if (double d = distance(kept(*reference, i), kept(*x, i)); !(d <= 10 * allowed)) return {Failure{backend, fmt::format("`{}` in {} are {:.3g} apart after a step", reference->variables()[i].name, format, d)}};
      if (auto failure = checkKept(p, *reference, *x, values, format == std::string("f64") ? 1e-6 : narrow ? 0.3 : 1e-2)) return {Failure{backend, *failure + fmt::format(" in {}", format)}};
    }
  } catch (const std::exception &e) {
    return {Failure{backend, e.what()}};
  }
  return {};
}
BackendReport checkBackend(const std::string &text, const Binding &sizes, const std::map<std::string, int64_t> &dims, const std::string &backend) {
  static std::set<std::string> good; // on a machine with AVX2 alone, `cpu` and `x86-64-v3` are one
  const char *caches = std::getenv("FIL_TARGET_CACHES");
  std::string key = text + "\n" + (backend == "x86-64-v3" && findTarget("native") == findTarget("x86-64-v3") ? "cpu" : backend) + "\n" + (caches ? caches : "");
  for (auto *all : {&sizes, &dims})
    for (auto &[name, n] : *all) key += "\n" + name + "=" + std::to_string(n);
  if (good.contains(key)) return {};
  BackendReport report = checked(text, sizes, dims, backend);
  if (!report.failure) good.insert(key);
  return report;
}

} // namespace fil::programs
