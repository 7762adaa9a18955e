// SPDX-License-Identifier: Apache-2.0
// Formats of products: generated code against the reference in float64, where both round alike, and the reference against what the language page says,
// written out. Random programs, the ten, and the examples; FIL_TEST_LONG=1 takes twice as many of them.
#include "ir/contraction.h"
#include "ir/ir.h"
#include "mlir/Pass/PassManager.h"
#include "passes/pipeline/pipeline.h"
#include "tests/programs/checks.h"
#include "tests/programs/compiled.h"
#include "tests/programs/examples.h"
#include "tests/programs/generator.h"
#include "tests/programs/ten.h"
#include "tests/support/program.h"
#include "tools/driver/compile.h"
#include <cmath>
#include <gtest/gtest.h>
#include <regex>

using namespace fil;
using namespace fil::programs;

namespace {
struct Way { const char *name, *lines, *more = ""; };
void PrintTo(const Way &w, std::ostream *out) { *out << w.name; }
const Way ways[] = {{"bf16", "default bf16"},
                    {"f16", "default f16 dgrad=bf16 out=f32"},
                    {"tiles", "default bf16; **: fp8 e4m3 tile(1x4, 4x4) dgrad=e5m2"},
                    {"rows", "**: fp8 e5m2 tile(row, row) wgrad=f32"},
                    {"tensors", "default f16; **: fp8 tile(tensor, tensor)"},
                    {"wide", "**: fp8 tile(1x128, 128x128) out=bf16"},
                    {"states", "moments f16 m=e4m3 v=e5m2"},
                    {"adapters", "default bf16; **: fp8 e4m3 tile(1x4, 4x4)", "lora { **: r=3 }"},
                    {"masks", "default bf16; **: fp8 e4m3 tile(1x4, 4x4)", "sparsity { **: rigl density=0.5 }"},
                    {"maskedSum", "default bf16; **: fp8 e4m3 tile(1x4, 4x4)", "sparsity { **: rigl density=0.5 }\n lora { **: r=2 merge=masked }"},
                    {"levels", "default bf16; **: fp8 e4m3 tile(1x4, 4x4); adapt"},
                    {"caches", "default bf16; cache f16"},
                    {"cachesInEightBits", "cache e5m2"},
                    {"parts", "default bf16; master split; moments bf16 rounding=nearest"},
                    {"saved", "saved bf16"},
                    {"savedInEightBits", "default bf16; **: fp8 e4m3; saved e4m3"}};
std::string planFor(const std::string &text, const Way &way, const std::string &model = {}) {
  static const std::regex map("param [A-Za-z0-9_, ]+: [^=\n;]*->");
  if (*way.more && !std::regex_search(text, map)) return text; // these clauses are about maps
  const size_t at = text.find("\nmodel ") + 7;
  return text + "\nplan narrow for " + (model.empty() ? text.substr(at, text.find('(', at) - at) : model) + " { precision { " + way.lines + " }\n " + way.more + " }\n";
}
std::string said(const std::string &text, const Binding &sizes, const std::map<std::string, int64_t> &dims, const std::string &backend = "cpu") {
  const auto r = checkBackend(text, sizes, dims, backend);
  return r.failure ? r.failure->detail : "";
}
const bool all = std::getenv("FIL_TEST_LONG");
} // namespace

class Formats : public testing::TestWithParam<Way> {
protected:
  size_t number() const { return size_t(std::find_if(std::begin(ways), std::end(ways), [](const Way &w) { return w.name == std::string(GetParam().name); }) - ways); }
};
INSTANTIATE_TEST_SUITE_P(Ways, Formats, testing::ValuesIn(ways), [](auto &i) { return i.param.name; });

TEST_P(Formats, OfTheTenAgree) {
  for (size_t i = all ? 0 : number() % 3; i < std::size(ten); i += all ? 1 : 3) EXPECT_EQ(said(planFor(textOf(ten[i]), GetParam()), ten[i].sizes, ten[i].dims), "") << ten[i].name;
}
TEST_P(Formats, OfTheTenAgreeWithAvx2) {
  for (size_t i = (number() + 1) % 5; i < std::size(ten); i += 5) EXPECT_EQ(said(planFor(textOf(ten[i]), GetParam()), ten[i].sizes, ten[i].dims, "x86-64-v3"), "") << ten[i].name;
}
TEST_P(Formats, OfRandomProgramsAgree) {
  const uint64_t first = 200 + number() * 10; // in 70..79 one stands on an edge: what is largest is decided by roundings
  for (uint64_t s = first; s < first + (all ? 10 : 2); ++s) {
    const Generated g = generate(s);
    EXPECT_EQ(said(planFor(g.text, GetParam()), g.sizes, {}), "") << "seed " << s << " " << testing::PrintToString(g.sizes) << "\n" << g.text;
  }
}
/// Whatever the gradient computes again.
TEST_P(Formats, DoNotDependOnRecomputation) {
  for (const Example &e : {examples[0], examples[1]}) { // of others the sums of f32 have another order without formats too
    CompiledProgram c(planFor(textOf(e), GetParam(), e.model), e.dims, "adamw", e.model);
    std::vector<std::vector<double>> first;
    for (const char *backend : {"cpu", "cpu remat none", "cpu remat all"}) {
      auto x = c.executable(c.copy(Stage::train_), "f32", backend);
      TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_);
      x->run(*x->find("init"), maker.inputs(*x->find("init"), e.sizes));
      std::vector<std::vector<double>> all;
      for (const Array &a : x->run(*x->find("step"), maker.inputs(*x->find("step"), e.sizes))) all.push_back(numbers(a));
      for (size_t i = 0; i < x->variables().size(); ++i) all.push_back(numbers(x->get(i)));
      if (first.empty()) first = all;
      for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(distance(first[i], all[i]), 0) << e.file << " " << backend << " " << i;
    }
  }
}

using Changes = std::vector<std::vector<double>>; ///< the loss, then what a step of descent changes in each variable
Changes changes(const std::string &text, const Way &way, const Example &e, const char *backend = "cpu") {
  TestProgram maker("dims B\nmodel M(x: [B]) -> [B] { return x }\n", Stage::train_); // draws the same each time
  CompiledProgram c(planFor(text, way, e.model), e.dims, "sgd", e.model);
  auto x = c.executable(c.copy(Stage::train_), "f32", backend);
  auto all = [&] {
    Changes values;
    for (size_t i = 0; i < x->variables().size(); ++i) values.push_back(numbers(x->get(i)));
    return values;
  };
  x->run(*x->find("init"), maker.inputs(*x->find("init"), e.sizes));
  const auto before = all();
  Changes found{numbers(x->run(*x->find("step"), maker.inputs(*x->find("step"), e.sizes))[0])};
  for (size_t i = 0; const auto &now : all()) {
    found.push_back(now);
    for (size_t k = 0; k < now.size(); ++k) found.back()[k] -= before[i][k];
    ++i;
  }
  return found;
}
/// Of the largest change of a variable.
double apart(const Changes &x, const Changes &y) {
  double most = 0;
  for (size_t i = 1; i < x.size(); ++i) {
    double largest = 0, error = 0;
    for (size_t k = 0; k < x[i].size(); ++k) largest = std::max(largest, std::fabs(x[i][k])), error = std::max(error, std::fabs(x[i][k] - y[i][k]));
    if (largest > 0) most = std::max(most, error / largest);
  }
  return most;
}

/// The forward pass is that of f32; gradients are off by what rounding to a few bits makes of sums.
TEST(Saved, IsRoundedForTheGradientAlone) {
  const Example &e = examples[1];
  const auto plain = changes(textOf(e), {"", "default f32"}, e);
  for (auto [lines, least, most] : {std::tuple{"saved bf16", 1e-3, 0.02}, std::tuple{"saved f16", 1e-4, 0.003}, std::tuple{"saved e4m3", 1e-2, 0.2}, std::tuple{"saved e5m2", 1e-2, 0.4}}) {
    const auto narrow = changes(textOf(e), {"", lines}, e);
    EXPECT_EQ(narrow[0], plain[0]) << lines;
    EXPECT_GT(apart(plain, narrow), least) << lines;
    EXPECT_LT(apart(plain, narrow), most) << lines;
    EXPECT_LT(apart(changes(textOf(e), {"", lines}, e, "reference"), narrow), 0.2 * most) << lines << ": an f32 may be rounded to the other neighbour";
  }
}

/// The sum and the largest of rounded numbers are theirs, not those of what was rounded: else shares grow with e to the rounding, and nothing equals the largest. Whatever is computed again.
TEST(Saved, GoesWithItsSumAndItsLargest) {
  const std::string text = "dims B, D = 8, K = 6, L = 2\nmodel M(x: [B,D]) -> [B,D] {\n  let h = x\n  layers l in 0..L {\n    param w: D -> K = normal(4)\n    param v: K -> D\n    let z = h @ w\n"
                           "    h += (softmax(z, over K) + 0.1 * max(z, over K)) @ v\n  }\n  return h\n}\nloss d(y: [B,D], t: [B,D]) = mean((y - t)^2, over B, D)\n";
  const Example e{"", "M", {}, {{"B", 6}}};
  for (const char *remat : {"auto", "none", "attn", "all"}) {
    const std::string more = fmt::format("partition {{ remat {} }}", remat);
    const auto plain = changes(text, {"", "saved f32", more.c_str()}, e);
    EXPECT_LT(apart(plain, changes(text, {"", "saved bf16", more.c_str()}, e)), 0.1) << remat;
    EXPECT_LT(apart(plain, changes(text, {"", "saved e4m3", more.c_str()}, e)), 0.6) << remat;
  }
}

/// A view moves the lanes: those of one vector may be of two tiles.
TEST(Saved, IsReadThroughViewsThatMoveTheLanes) {
  const std::string text = "dims B, D = 8, A = 3, C = 253, E = A + C, L = 2\nmodel M(x: [B,D]) -> [B,D] {\n  let h = x\n  layers l in 0..L {\n    param w: D -> E\n    param u: A -> D\n    param v: C -> D\n    let (a, c) = split(h @ w, A, C, over E)\n"
                           "    h += a @ u + (c * c) @ v\n  }\n  return h\n}\nloss d(y: [B,D], t: [B,D]) = mean((y - t)^2, over B, D)\n";
  for (const char *backend : {"cpu", "x86-64-v3"}) EXPECT_EQ(said(planFor(text, {"", "saved e4m3"}), {{"B", 9}}, {}, backend), "");
}

/// Loops in loops: scales are of no loop's dim, and the reverse of the outer loop may do the inner one again.
TEST(Saved, OfNestedLoops) {
  const std::string text = "dims B, D = 8, L = 2, J = 3\nmodel M(x: [B,D]) -> [B,D] {\n  let h = x\n  layers l in 0..L {\n    param w: D -> D\n    h += tanh(h @ w)\n    let g = h\n"
                           "    layers j in 0..J {\n      param u: D -> D\n      g += 0.5 * sin(g @ u) * h\n    }\n    h += g\n  }\n  return h\n}\nloss d(y: [B,D], t: [B,D]) = mean((y - t)^2, over B, D)\n";
  const Example e{"", "M", {}, {{"B", 6}}};
  for (const char *remat : {"auto", "none", "all"})
    for (auto [lines, most] : {std::pair{"saved bf16", 0.05}, std::pair{"saved e4m3", 0.8}, std::pair{"default bf16; saved e4m3", 0.8}}) {
      const std::string more = fmt::format("partition {{ remat {} }}", remat);
      EXPECT_LT(apart(changes(text, {"", "saved f32", more.c_str()}, e), changes(text, {"", lines, more.c_str()}, e)), most) << remat << " " << lines;
    }
}

/// What stands behind the diagonal is left out of products of narrow operands too; scales of tiles are made by the group that rounds.
TEST(Saved, IsReadByTheKernelsOfWideValues) {
  const Example &e = examples[1];
  const std::map<std::string, int64_t> dims{{"V", 16}, {"D", 256}, {"L", 2}, {"H", 2}};
  for (const char *lines : {"saved f32", "saved bf16", "saved e4m3"}) {
    CompiledProgram c(planFor(textOf(e), {"", lines}, e.model), dims, "sgd", e.model);
    auto m = c.copy(Stage::train_);
    mlir::PassManager pm(m->getContext());
    passes::PipelineOptions o;
    o.saved = c.plan.state.saved;
    passes::precision(pm, o);
    ASSERT_TRUE(mlir::succeeded(passes::run(pm, *m)));
    Target sixteen = findTarget("x86-64-v3"); // on any machine
    sixteen.cpu = sixteen.isa = "x86-64-v4", sixteen.features.clear(), sixteen.lanesF32 = 16, sixteen.registers = 32;
    mlir::OwningOpRef<mlir::ModuleOp> other(m->clone());
    EXPECT_FALSE(cpuManifest(*other, sixteen, o.saved == "f32" ? "auto" : "none").kernels.empty());
    int strips = 0, cut = 0, scales = 0;
    for (const Kernel &k : cpuManifest(*m, findTarget("x86-64-v3"), o.saved == "f32" ? "auto" : "none").kernels) { // what is saved was chosen in front of its rounding
      strips += k.what.find("strips of") != std::string::npos, cut += k.what.find(", cut") != std::string::npos;
      const bool makesScales = k.what.find("pow2ceil") != std::string::npos;
      scales += makesScales;
      if (makesScales) EXPECT_NE(k.what.find("quantize"), std::string::npos) << k.what;
    }
    EXPECT_GE(strips, 2) << lines;
    EXPECT_EQ(cut, strips) << lines;
    EXPECT_EQ(scales > 0, lines == std::string("saved e4m3"));
  }
}

TEST(F32, IsNoFormat) { // the same program, to the last op
  for (const Example &e : examples)
    for (const char *lines : {"default f32", "**: f32", "accum f32", "saved f32"}) {
      auto text = [&](const std::string &program) {
        CompiledProgram c(program, e.dims, "adamw", e.model);
        auto m = c.copy(Stage::train_);
        mlir::PassManager pm(m->getContext());
        passes::precision(pm, {});
        EXPECT_TRUE(mlir::succeeded(passes::run(pm, *m)));
        for (auto s : llvm::make_early_inc_range(m->getOps<ir::SiteOp>())) s.erase();
        std::string all;
        llvm::raw_string_ostream(all) << *m;
        return all;
      };
      EXPECT_EQ(text(textOf(e)), text(planFor(textOf(e), {"", lines}, e.model))) << lines;
    }
}

// A map of 2 x 6 by 6 x 5 and its gradients, the tiles written out by hand.
TEST(Product, IsOfRoundedOperandsInTiles) {
  const std::string text = "dims B\ndims D = 6, F = 5\nmodel M(x: [B,D], y: [B,F]) -> [B,F] { param s: [D] = 1; param w: D -> F; return ((x * s) @ w) * y }\nloss l(z: [B,F], t: [B,F]) = sum(z * t, over B, F)\n";
  const int64_t B = 2, D = 6, F = 5;
  auto tiled = [](Format f, std::vector<double> v, int64_t rows, int64_t columns, int64_t r, int64_t c) { // rows x columns in tiles of r x c
    for (int64_t i = 0; i < rows; i += r)
      for (int64_t j = 0; j < columns; j += c) {
        double most = 0;
        auto each = [&](auto g) {
          for (int64_t a = i; a < std::min(rows, i + r); ++a)
            for (int64_t b = j; b < std::min(columns, j + c); ++b) g(v[size_t(a * columns + b)]);
        };
        each([&](double x) { most = std::max(most, std::fabs(x)); });
        double scale = 0x1p-126;
        while (scale * traits(f).largest < most) scale *= 2;
        each([&](double &x) { x = rounded(f, x / scale) * scale; });
      }
    return v;
  };
  CompiledProgram c(planFor(text, {"", "**: fp8 e4m3 tile(1x4, 2x4) dgrad=e5m2 wgrad=e4m3 out=bf16"}));
  for (const char *backend : {"reference", "cpu"}) {
    auto x = c.executable(c.copy(Stage::train_), "f64", backend);
    std::mt19937_64 random(3);
    std::normal_distribution<double> normal;
    auto draw = [&](int64_t n) {
      std::vector<double> v;
      for (int64_t i = 0; i < n; ++i) v.push_back(std::exp(3 * normal(random)) * normal(random));
      return v;
    };
    const auto w = draw(D * F), input = draw(B * D), y = draw(B * F), t = draw(B * F);
    for (size_t i = 0; i < x->variables().size(); ++i)
      if (x->variables()[i].name == "w") x->set(i, array(x->get(i), w));
      else if (x->variables()[i].name == "s") x->set(i, array(x->get(i), std::vector<double>(size_t(D), 1)));
    // Products sum d: the activation's tiles are 1 x 4 along it, the weight's 4 along d and 2 along f.
    const auto a = tiled(Format::E4M3, input, B, D, 1, 4), b = tiled(Format::E4M3, w, D, F, 4, 2);
    std::vector<double> want, dy;
    for (int64_t i = 0; i < B; ++i)
      for (int64_t f = 0; f < F; ++f) {
        double sum = 0;
        for (int64_t d = 0; d < D; ++d) sum += a[size_t(i * D + d)] * b[size_t(d * F + f)];
        want.push_back(rounded(Format::Bf16, sum) * y[size_t(i * F + f)]);
        dy.push_back(t[size_t(i * F + f)] * y[size_t(i * F + f)]);
      }
    // The data gradient sums f: 1 x 4 along it, the weight 4 along f and 2 along d, both in e5m2.
    const auto p = tiled(Format::E5M2, dy, B, F, 1, 4), q = tiled(Format::E5M2, w, D, F, 2, 4);
    std::vector<double> ds(size_t(D), 0), dw(size_t(D * F), 0);
    for (int64_t i = 0; i < B; ++i)
      for (int64_t d = 0; d < D; ++d) {
        double sum = 0;
        for (int64_t f = 0; f < F; ++f) sum += p[size_t(i * F + f)] * q[size_t(d * F + f)];
        ds[size_t(d)] += rounded(Format::Bf16, sum) * input[size_t(i * D + d)];
      }
    // The weight's gradient sums the rows.
    const auto u = tiled(Format::E4M3, input, B, D, 4, 1), v = tiled(Format::E4M3, dy, B, F, 4, 1);
    for (int64_t d = 0; d < D; ++d)
      for (int64_t f = 0; f < F; ++f)
        for (int64_t i = 0; i < B; ++i) dw[size_t(d * F + f)] += u[size_t(i * D + d)] * v[size_t(i * F + f)];
    auto inputs = [&](const Entry &e) {
      std::vector<Array> in;
      for (const Port &port : e.inputs) {
        const bool wide = port.name == "x" || port.name == "y" || port.name == "t";
        Array like;
        std::byte *fill;
        like = Array::make(port.dtype, wide ? std::vector<int64_t>{B, port.name == "x" ? D : F} : std::vector<int64_t>{}, fill);
        in.push_back(array(like, port.name == "x" ? input : port.name == "y" ? y : port.name == "t" ? t : std::vector<double>{1}));
      }
      return in;
    };
    EXPECT_LT(distance(numbers(x->run(*x->find("run"), inputs(*x->find("run")))[0]), want), 1e-12) << backend;
    x->run(*x->find("step"), inputs(*x->find("step"))); // plain descent with lr 1
    for (size_t i = 0; i < x->variables().size(); ++i) {
      if (x->variables()[i].kind != VariableInfo::Param) continue;
      const auto now = numbers(x->get(i));
      const bool weight = x->variables()[i].name == "w";
      std::vector<double> gone;
      for (size_t k = 0; k < now.size(); ++k) gone.push_back((weight ? w[k] : 1) - now[k]);
      EXPECT_LT(distance(gone, weight ? dw : ds), 1e-9) << x->variables()[i].name << " " << backend;
    }
  }
}

/// Granules that a mask leaves out are left out of products of narrow numbers too, forward and backward.
TEST(Granules, AreLeftOutOfNarrowProducts) {
  const Example &e = examples[1];
  const std::map<std::string, int64_t> dims{{"V", 16}, {"D", 64}, {"L", 2}, {"H", 2}};
  for (const char *lines : {"default bf16", "default bf16; **: fp8 e4m3 tile(1x32, 16x32)"}) {
    const std::string plan = planFor(textOf(e), {"", lines, "sparsity { **: rigl density=0.3 dist=uniform granule=16x16 }"}, e.model);
    for (const char *backend : {"cpu", "x86-64-v3"}) EXPECT_EQ(said(plan, {{"B", 2}, {"T", 11}}, dims, backend), "") << lines;
    CompiledProgram c(plan, dims, "sgd", e.model);
    auto m = c.copy(Stage::train_);
    mlir::PassManager pm(m->getContext());
    passes::precision(pm, {}), passes::schedule(pm, {});
    ASSERT_TRUE(mlir::succeeded(pm.run(*m)));
    const ir::Dims table(*m);
    int masked = 0;
    m->walk([&](ir::ContractOp op) {
      auto s = ir::skips(op, table);
      masked += s && s->masked < 2;
    });
    EXPECT_GT(masked, 20) << lines;
  }
}
