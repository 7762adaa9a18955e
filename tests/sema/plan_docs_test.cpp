// SPDX-License-Identifier: Apache-2.0
// docs/plans.md: its blocks check (or fail as they say), and its reference is what the table says.
#include "lang/sema/plan_table.h"
#include "tests/sema/plans.h"
#include <gtest/gtest.h>

namespace fil {
namespace {

std::string page() { return std::string(systemFiles().read(FIL_SOURCE_FOLDER "/docs/plans.md").text()); }

/// The reference as it stands in the page.
std::string reference() {
  auto cell = [](std::string s) { // a bar would end the cell
    for (size_t at = 0; (at = s.find('|', at)) != std::string::npos; at += 2) s.insert(at, "\\");
    return s.empty() ? "" : "`" + s + "`";
  };
  std::string out, last = "none";
  for (const sema::ClauseRow &r : sema::clauseTable()) { // keys of one clause stand together
    if (last != r.clause) {
      bool seen = out.find(fmt::format("### {}\n", *r.clause ? "`" + std::string(r.clause) + "`" : "a plan")) != std::string::npos;
      if (seen) continue;
      out += fmt::format("\n### {}\n\n| key | values | name=value | default | example | |\n|---|---|---|---|---|---|\n", *r.clause ? "`" + std::string(r.clause) + "`" : "a plan");
      for (const sema::ClauseRow &s : sema::clauseTable())
        if (std::string(s.clause) == r.clause)
          out += fmt::format("| {} | {} | {} | {} | {} | {} |\n", cell(s.key), cell(s.shape), cell(s.options), cell(s.fallback), cell(s.example),
                             s.acts() ? "acts" : fmt::format("{}, `fil {}`", row(*s.refused).code, s.command));
    }
    last = r.clause;
  }
  out += "\n### Kinds\n\n| kind | is |\n|---|---|\n";
  for (const sema::KindRow &k : sema::kindTable()) out += fmt::format("| {} | {} |\n", k.name, k.what);
  return out;
}

TEST(PlansPage, TheReferenceIsTheTable) {
  const std::string text = page();
  const size_t at = text.find("<!-- reference:");
  ASSERT_NE(at, std::string::npos);
  EXPECT_EQ(text.substr(text.find('\n', at) + 1), reference()) << "replace what stands behind the marker by:\n" << reference();
}

struct Block { std::string kind, text; };
std::vector<Block> blocks() {
  std::vector<Block> all;
  const std::string text = page();
  for (size_t at = 0; (at = text.find("```", at)) != std::string::npos;) {
    const size_t line = text.find('\n', at), end = text.find("```", line);
    all.push_back({text.substr(at + 3, line - at - 3), text.substr(line + 1, end - line - 1)});
    at = end + 3;
  }
  return all;
}
TEST(PlansPage, EveryBlockChecksOrFailsAsItSays) {
  const auto all = blocks();
  ASSERT_GE(all.size(), 7u);
  const std::string model = all[0].text;
  for (size_t i = 1; i < all.size(); ++i) {
    if (all[i].kind == "text" || all[i].kind == "fil refused") continue; // the latter: tests/passes/facets_test.cpp
    MemoryFiles files;
    files.content["plan.fil"] = all[i].text, files.content["model.fil"] = model;
    std::vector<std::string> names{"plan.fil"};
    if (all[i].text.find("model ") == std::string::npos) names.push_back("model.fil");
    auto p = LoadedProgram::load(files, names, {});
    if (all[i].kind == "fil") {
      EXPECT_TRUE(p->ok()) << p->diags.render();
      EXPECT_FALSE(p->plans.empty()) << all[i].text;
      continue;
    }
    ASSERT_EQ(all[i].kind, "fil error");
    ASSERT_LT(i + 1, all.size());
    EXPECT_EQ(p->diags.render(), all[i + 1].text);
  }
}

} // namespace
} // namespace fil
