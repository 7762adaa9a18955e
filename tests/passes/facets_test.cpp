// SPDX-License-Identifier: Apache-2.0
// The table of pairs is whole, means the same in either order, and stands in docs/plans.md; no pass loses a facet.
#include "lang/lower/facets.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Parser/Parser.h"
#include "passes/pipeline/pipeline.h"
#include "runtime/base/memory_files.h"
#include "tools/driver/compile.h"
#include <fmt/format.h>
#include <gtest/gtest.h>

using namespace fil;
using namespace fil::ir;

namespace {
class Facets : public testing::Test {
protected:
  mlir::MLIRContext context{mlir::MLIRContext::Threading::DISABLED};
  Facets() { context.loadDialect<FilDialect>(); }
  mlir::OwningOpRef<mlir::ModuleOp> parse(const std::string &text) { return mlir::parseSourceString<mlir::ModuleOp>(text, &context); }
  /// A facet of each kind, with nothing set that could be refused; `lora` with that merge, perhaps behind `dora `.
  Facet of(FacetKind kind, const std::string &settings = "{}", const std::string &merge = "auto") {
    const std::string name = stringifyFacetKind(kind).str();
    const std::string text = kind == FacetKind::lora       ? "#fil.lora<rank 4 alpha 0.0 init gauss variant " + (merge.starts_with("dora") ? "dora merge " + merge.substr(5) : "plain merge " + merge) + ">"
                             : kind == FacetKind::format   ? "#fil.format<" + (settings == "{}" ? "bf16" : settings) + " dgrad bf16 wgrad bf16 out bf16 activations [1, 128] weights [128, 128]>"
                             : kind == FacetKind::topology ? "#fil.topology<rigl density 0.2 every 100 alpha 0.3 until 0.75 granule 1 16>"
                             : kind == FacetKind::qat      ? "#fil.qat<bits 4 acts 8 per channel steps 0 warm 0.0>"
                             : kind == FacetKind::gate     ? "#fil.gate<keep 0.5 rank 4 granule " + (settings == "{}" ? "16" : settings) + " hysteresis 0.0>"
                             : kind == FacetKind::blocks   ? "#fil.blocks<" + (settings == "{}" ? "2 of 4 density 0.0 granule 4 1" : settings) + ">"
                             : kind == FacetKind::adapt    ? "#fil.adapt<every 200>"
                             : kind == FacetKind::gather   ? "#fil.gather<block 64>"
                             : kind == FacetKind::grouped  ? "#fil.grouped<capacity " + (settings == "{}" ? "0.0" : settings) + ">"
                                                           : "#fil." + name + "<" + settings + ">";
    return mlir::cast<Facet>(mlir::parseAttribute(text, &context));
  }
};
std::vector<FacetKind> kinds() {
  std::vector<FacetKind> all;
  for (unsigned k = 0; k <= getMaxEnumValForFacetKind(); ++k) all.push_back(*symbolizeFacetKind(k));
  return all;
}
const char *nameOf(Outcome o) { return o == Outcome::ok ? "ok" : o == Outcome::rewrite ? "rewrite" : "refuse"; }
} // namespace

TEST_F(Facets, OfEveryTwoKindsHaveARuleInEitherOrder) {
  for (FacetKind a : kinds())
    for (FacetKind b : kinds()) {
      const std::string pair = stringifyFacetKind(a).str() + " and " + stringifyFacetKind(b).str();
      const Verdict v = of(a).compose(of(b)), w = of(b).compose(of(a));
      EXPECT_EQ(v.outcome, w.outcome) << pair;
      EXPECT_EQ(v.rule, w.rule) << pair;
      EXPECT_EQ(v.rule.find("no rule"), std::string::npos) << pair;
      if (v.outcome == Outcome::refuse) EXPECT_FALSE(v.code.empty() || v.remedy.empty()) << pair;
    }
}
TEST_F(Facets, AreRefusedWithCodeNoteAndRemedyWhereTheTableSaysSo) {
  struct Case { Facet a, b; const char *code; };
  for (const Case &c : std::initializer_list<Case>{
           {of(FacetKind::topology), of(FacetKind::lora, "", "dora masked"), "P0430"},
           {of(FacetKind::topology), of(FacetKind::lora, "", "always"), "P0412"},
           {of(FacetKind::blocks), of(FacetKind::lora, "", "always"), "P0412"},
           {of(FacetKind::blocks), of(FacetKind::lora, "", "dora masked"), "P0430"},
           {mlir::cast<Facet>(mlir::parseAttribute("#fil.whole<bits 8 acts 0 per channel>", &context)), of(FacetKind::lora, "", "always"), "P0429"},
           {of(FacetKind::qat), mlir::cast<Facet>(mlir::parseAttribute("#fil.whole<bits 8 acts 0 per channel>", &context)), "P0434"},
           {of(FacetKind::qat), of(FacetKind::lora, "", "always"), "P0429"},
           {of(FacetKind::gather), of(FacetKind::grouped), "P0430"},
           {of(FacetKind::topology), of(FacetKind::blocks), "P0430"},
           {of(FacetKind::grouped, "1.2"), of(FacetKind::replica), "P0432"},
           {of(FacetKind::gate, "6"), of(FacetKind::blocks, "0 of 0 density 0.5 granule 4 4"), "P0433"},
           {of(FacetKind::gate), of(FacetKind::lora, "", "always"), "P0430"},
           {of(FacetKind::gate), of(FacetKind::lora, "", "dora never"), "P0430"},
           {of(FacetKind::qat), of(FacetKind::format, "e4m3"), "P0434"}}) {
    const Verdict v = c.a.compose(c.b);
    EXPECT_EQ(v.outcome, Outcome::refuse);
    EXPECT_EQ(v.code, c.code);
    EXPECT_FALSE(v.remedy.empty());
  }
  EXPECT_EQ(of(FacetKind::topology).compose(of(FacetKind::lora, "", "always")).note, "merged density would be 1.00 instead of 0.20");
  EXPECT_EQ(of(FacetKind::topology).compose(of(FacetKind::lora, "", "masked")).outcome, Outcome::rewrite);
  EXPECT_EQ(of(FacetKind::blocks, "0 of 0 density 0.25 granule 4 4").compose(of(FacetKind::lora, "", "always")).note, "merged density would be 1.00 instead of 0.25");
  EXPECT_EQ(of(FacetKind::gate, "8").compose(of(FacetKind::blocks, "0 of 0 density 0.5 granule 4 4")).outcome, Outcome::ok);
  EXPECT_EQ(of(FacetKind::gate, "1").compose(of(FacetKind::blocks)).outcome, Outcome::ok); // groups lie along the side that is summed
  EXPECT_EQ(of(FacetKind::format, "bf16").compose(of(FacetKind::lora, "", "always")).outcome, Outcome::rewrite);
}
TEST_F(Facets, StandInTheDocumentAsInTheTable) {
  std::string table = "\n| facet | and | outcome | rule | refused |\n|---|---|---|---|---|\n";
  for (const PairRule &r : pairRules())
    if (r.first != r.second || r.outcome != Outcome::ok) // the later line holds
      table += fmt::format("| `{}` | `{}` | {} | {} | {} |\n", stringifyFacetKind(r.first).str(), stringifyFacetKind(r.second).str(), nameOf(r.outcome), r.rule, r.refusedIf);
  const std::string page(systemFiles().read(FIL_SOURCE_FOLDER "/docs/plans.md").text());
  const size_t begin = page.find("<!-- pairs:"), end = page.find("<!-- end of pairs -->");
  ASSERT_NE(begin, std::string::npos);
  EXPECT_EQ(page.substr(page.find('\n', begin) + 1, end - page.find('\n', begin) - 1), table) << "replace what stands between the marks by:\n" << table;
}

// What the page shows of a refused pair is what is said.
TEST_F(Facets, ThatAreRefusedAreShownSo) {
  const std::string page(systemFiles().read(FIL_SOURCE_FOLDER "/docs/plans.md").text());
  auto block = [&](size_t from, const std::string &kind) {
    const size_t at = page.find("```" + kind + "\n", from) + 4 + kind.size();
    return std::pair(page.substr(at, page.find("```", at) - at), at);
  };
  auto [text, at] = block(0, "fil refused");
  MemoryFiles files;
  files.content["plan.fil"] = text, files.content["model.fil"] = block(0, "fil").first;
  auto p = LoadedProgram::load(files, {"plan.fil", "model.fil"}, {});
  ASSERT_TRUE(p->ok()) << p->diags.render();
  EXPECT_FALSE(composeFacets(&context, p->plans.at(0).facets, p->diags));
  EXPECT_EQ(p->diags.render(), block(at, "text").first);
}

TEST_F(Facets, OfSomeTurnsPartTheLoop) {
  MemoryFiles files;
  files.content["m.fil"] = "dims B, D = 4\nmodel M(x: [B,D]) -> [B,D] { layers l in 0..4 { param w: D -> D; x += x @ w }\n return x }\nplan p for M { lora { l[1..3].w: r=2 } }\n";
  auto p = LoadedProgram::load(files, {"m.fil"}, {});
  const sema::CheckedPlan plan = p->plan("p");
  ASSERT_TRUE(p->ok()) << p->diags.render();
  Compiler compiler(*p, plan, {});
  auto module = compiler.module(Stage::lora_);
  ASSERT_TRUE(module);
  std::string sites;
  for (auto v : module->getOps<VariableOp>()) sites += v.getSite().str() + " ";
  EXPECT_EQ(sites, "l[0].w l[1..3].w l[1..3].w.lora_A l[1..3].w.lora_B l[3].w ");
}

// ---- facets and passes ----

namespace {
struct Loses : mlir::PassWrapper<Loses, mlir::OperationPass<mlir::ModuleOp>> {
  bool keeps;
  explicit Loses(bool keeps) : keeps(keeps) {}
  llvm::StringRef getArgument() const override { return "test-loses"; }
  void runOnOperation() override {
    for (auto s : getOperation().getOps<SiteOp>())
      if (keeps) consume(s, s.getFacets()[0], getArgument());
      else s.setFacetsAttr(mlir::ArrayAttr::get(&getContext(), {}));
  }
};
struct Blames : Loses {
  Blames() : Loses(true) {}
  void runOnOperation() override {
    for (auto s : getOperation().getOps<SiteOp>()) consume(s, s.getFacets()[0], "another");
  }
};
} // namespace
TEST_F(Facets, ThatAPassTakesAwayAreConsumedByIt) {
  const std::string text = "fil.dims {B}\nfil.site \"w\" [#fil.remat<{}>]\n";
  auto ends = [&](std::unique_ptr<mlir::Pass> pass) {
    auto module = parse(text);
    std::string said;
    mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &d) { return said += d.str(), mlir::success(); });
    mlir::PassManager pm(&context);
    pm.addPass(std::move(pass));
    return mlir::succeeded(passes::run(pm, *module)) ? "ok" : said;
  };
  EXPECT_EQ(ends(std::make_unique<Loses>(true)), "ok");
  EXPECT_EQ(ends(std::make_unique<Loses>(false)), "the pass `test-loses` changed the site table without consuming what it took out");
  EXPECT_EQ(ends(std::make_unique<Blames>()), "the pass `test-loses` changed the site table without consuming what it took out");
}
