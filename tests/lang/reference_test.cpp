// SPDX-License-Identifier: Apache-2.0
// docs/language.md says what the checker does: every block of code and every row of its table of types is tried.
#include "tests/lang/reference.h"
#include <sstream>

using namespace fil;
using namespace fil::test;

static std::string joined(const std::vector<std::string> &list) {
  std::string s;
  for (const std::string &x : list) s += (s.empty() ? "" : " ") + x;
  return s;
}

TEST(Reference, EveryBlockOfCodeIsWhatItSays) {
  auto all = referenceBlocks();
  EXPECT_GE(all.size(), 35u);
  for (const ReferenceBlock &b : all) {
    if (b.info == "prelude") continue;
    auto p = checked(b.text);
    size_t space = b.info.find(' ');
    EXPECT_EQ(joined(codes(*p)), space == std::string::npos ? b.info : b.info.substr(space + 1)) << b.place << "\n" << p->diags.render();
  }
}

TEST(Reference, EveryRowOfTheTableOfTypes) {
  auto all = referenceRows();
  EXPECT_GE(all.size(), 250u);
  for (const ReferenceRow &r : all) {
    auto p = checked(r.program());
    std::string found = joined(codes(*p));
    if (found.empty()) found = r.expression ? normalType(r.typeIn(*p)) : "ok";
    EXPECT_EQ(found, normalType(r.expected)) << r.place << ": " << r.text << "\n" << p->diags.render();
  }
}

/// A row of the catalogue that nothing produces is dead, or untested.
TEST(Reference, EveryMessageOfTheLanguageIsProducedBySomeTest) {
  std::set<std::string> seen = codesOfCommands();
  // What they say is what they give: the other tests see to it.
  auto note = [&](const std::string &expected) {
    std::istringstream in(expected);
    for (std::string word; in >> word;) seen.insert(word);
  };
  for (const ReferenceBlock &b : referenceBlocks()) note(b.info);
  for (const ReferenceRow &r : referenceRows()) note(r.expected);
  for (auto &[code, text] : programsOfMessages()) seen.insert(code);
  std::string missing;
  for (const char *group : {"E00", "E01", "E02", "E03", "W03"})
    for (int i = 0; i < 100; ++i)
      if (std::string code = fmt::format("{}{:02}", group, i); findRow(code) && !seen.count(code)) missing += code + " ";
  EXPECT_EQ(missing, "");
}
