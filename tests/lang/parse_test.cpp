// SPDX-License-Identifier: Apache-2.0
// Texts that do not follow the grammar: one message for one mistake, at its place, and never a crash.
#include "tests/lang/support.h"
#include <sstream>

using namespace fil;
using namespace fil::test;

static std::string places(const std::string &file) {
  Parsed p(sourceText("tests/lang/data/bad/" + file));
  std::string all;
  for (const Diagnostic &d : p.diags.all()) {
    auto at = p.sources.place(d.span.file, d.span.begin);
    all += fmt::format("{}:{}:{}: {}\n", file, at.line, at.column, d.text);
  }
  return all;
}

TEST(Parse, EveryMistakeOfTheBadFilesIsReportedOnceAtItsPlace) {
  std::string all;
  auto files = sourceFiles("tests/lang/data/bad", ".fil");
  EXPECT_EQ(files.size(), 11u);
  for (const std::string &f : files) all += places(f.substr(f.rfind('/') + 1));
  EXPECT_EQ(all, sourceText("tests/lang/data/bad/expected.txt"));
}

TEST(Parse, GoodFilesParse) {
  for (const std::string &f : sourceFiles("tests/lang/data/good", ".fil")) {
    Parsed p(sourceText(f));
    EXPECT_EQ(p.diags.render(), "") << f;
  }
}

/// Cuts and doubles every few bytes of a large program: whatever comes out, it is parsed and checked without a crash.
TEST(Parse, DamagedTextsAreRefusedOrAccepted) {
  const std::string whole = sourceText("tests/lang/data/good/all.fil");
  for (size_t i = 0; i < whole.size(); i += 7) {
    std::string cut = whole.substr(0, i), without = whole.substr(0, i) + whole.substr(std::min(whole.size(), i + 5));
    std::string twice = whole.substr(0, i) + whole.substr(i > 9 ? i - 9 : 0);
    for (const std::string &t : {cut, without, twice}) {
      Parsed p(t);
      for (const Diagnostic &d : p.diags.all()) EXPECT_TRUE(d.span.valid() && d.span.end <= t.size());
    }
  }
}

TEST(Parse, DepthIsBounded) {
  auto nested = [](const std::string &open, const std::string &close, int n) {
    std::string s = "fn f(x: [..]) = ";
    for (int i = 0; i < n; ++i) s += open;
    s += "x";
    for (int i = 0; i < n; ++i) s += close;
    return s;
  };
  const std::pair<const char *, const char *> kinds[] = {{"(", ")"}, {"-", ""}, {"x^", ""}, {"not ", ""}, {"f(", ")"}, {"x[", "]"}, {"[", "]"}, {"if x { ", " } else { x }"}, {"x where x else ", ""}, {"x + ", ""}};
  for (auto &[open, close] : kinds) {
    Parsed deep(nested(open, close, 100000));
    ASSERT_EQ(deep.diags.all().size(), 1u) << open;
    EXPECT_EQ(row(deep.diags.all()[0].msg).code, std::string("E0003")) << open;
    Parsed shallow(nested(open, close, 50));
    EXPECT_EQ(shallow.diags.render(), "") << open;
  }
}

TEST(Parse, TextIsUtf8) {
  EXPECT_EQ(Parsed("// \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\ndims B").diags.render(), "");
  for (const char *bad : {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\x80"}) {
    Parsed p("dims B // " + std::string(bad));
    ASSERT_EQ(p.diags.all().size(), 1u);
    EXPECT_EQ(row(p.diags.all()[0].msg).code, std::string("E0002"));
  }
  EXPECT_EQ(Parsed(std::string("dims B // \0", 11)).diags.all().size(), 1u);
}

TEST(Parse, ColumnsCountCharacters) {
  Parsed p("dims B\nfn f(x: [B]) = \"\xc3\xa9\xc3\xa9\" $ 3");
  ASSERT_EQ(p.diags.all().size(), 1u);
  auto at = p.sources.place(1, p.diags.all()[0].span.begin);
  EXPECT_EQ(at.line, 2u);
  EXPECT_EQ(at.column, 21u);
}
