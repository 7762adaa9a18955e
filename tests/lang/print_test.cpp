// SPDX-License-Identifier: Apache-2.0
// Canonical source: the same program, whatever the text looked like.
#include "tests/lang/support.h"
#include <algorithm>
#include <cstring>

using namespace fil;
using namespace fil::test;

/// What is left of a text without spaces, separators of statements, brackets and comments: printing may change only these.
static std::string bare(const std::string &text) {
  std::string s;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') quoted = !quoted;
    if (!quoted && text.compare(i, 2, "//") == 0)
      while (i < text.size() && text[i] != '\n') ++i;
    if (i < text.size() && !std::strchr(" \t\r\n;()", text[i])) s += text[i];
  }
  return s;
}
static std::vector<std::string> comments(const ast::File &f) {
  std::vector<std::string> all;
  for (const ast::Comment &c : f.comments) all.push_back(c.text.substr(0, c.text.find_last_not_of(" \t\r") + 1));
  return all;
}
static std::vector<std::string> programs() {
  auto all = sourceFiles("examples", ".fil");
  for (auto &f : sourceFiles("tests/lang/data/good", ".fil")) all.push_back(f);
  all.push_back("lang/std/std.fil");
  return all;
}

TEST(Print, KeepsEveryWordAndComment) {
  for (const std::string &f : programs()) {
    std::string text = sourceText(f);
    Parsed p(text);
    std::string printed = ast::print(p.file, p.sources);
    EXPECT_EQ(bare(printed), bare(text)) << f;
    Parsed again(printed);
    EXPECT_EQ(again.diags.render(), "") << f << "\n" << printed;
    EXPECT_EQ(comments(again.file), comments(p.file)) << f;
    EXPECT_EQ(ast::print(again.file, again.sources), printed) << f;
  }
}

/// Brackets decide what groups with what: the elaborated graph of the printed program is that of the program.
TEST(Print, KeepsTheMeaning) {
  for (const std::string &f : sourceFiles("examples", ".fil")) {
    if (f.ends_with(".plan.fil")) continue;
    Parsed parsed(sourceText(f));
    std::string graphs[2];
    int i = 0;
    for (const std::string &text : {sourceText(f), ast::print(parsed.file, parsed.sources)}) {
      auto p = checked(text);
      for (const ast::Function *m : p->program->functions())
        if (m->kind == ast::Function::Model && p->ok())
          if (auto g = p->program->elaborateModel(m->name.name, nullptr, nullptr, true)) graphs[i] += sema::print(*g);
      ++i;
    }
    EXPECT_EQ(graphs[0], graphs[1]) << f;
  }
}

static std::string expression(const std::string &text) {
  Parsed p("fn f(x: [..]) = " + text);
  EXPECT_EQ(p.diags.render(), "");
  return ast::print(*std::get<ast::Function>(p.file.declarations.at(0).is).value);
}

TEST(Print, BracketsStandWhereTheGrammarNeedsThem) {
  for (const char *same : {"a + b * c", "(a + b) * c", "a - (b - c)", "a - b - c", "a / (b * c)", "a^b^c", "(a^b)^c", "-a^2", "(-a)^2", "2^(-3)", "-a * b", "-(a * b)", "not a == b",
                           "(not a) == b", "not (a and b)", "a and b or c", "a and (b or c)", "(a < b) == c", "a where b else c where d else e", "(a where b) where c", "(a where b else c) + 1",
                           "(a + b)[i]", "(-a).age", "f(a where b, k=c where d)", "a @ b @ c", "a @ (b @ c)", "(if a { b } else { c })[i]", "x * if a { b } else if c { d } else { e }", "(a, b)", "[(1, 2), (3, 4)]",
                           "x[s*]", "e[e*](h)[T=0].age", "sum(x, over .., s*)", "window(x, Y by ky:3 stride 2, X by kx, pad=same)", "split(x, a:D / 2, b:D / 2, over D)", "f(\"a\\\"\\\\\\n\\t\")", "1e-3 + 0.50"})
    EXPECT_EQ(expression(same), same);
  EXPECT_EQ(expression("((a)) + ((b*c))"), "a + b * c");
}

TEST(Print, CommentsStayWhereTheyStood) {
  Parsed p("// first\n\n\n// second\ndims B,   // behind\n  D = 2 // also\n\n// before f\nblock F(x: [B]) -> [B] { // opens\n  // inside\n  let y = x; let z = y  // both\n\n\n  return z\n  // last\n} // after\n// end");
  EXPECT_EQ(p.diags.render(), "");
  EXPECT_EQ(ast::print(p.file, p.sources), "// first\n\n// second\ndims B, D = 2\n// behind\n// also\n\n// before f\nblock F(x: [B]) -> [B] {  // opens\n  // inside\n  let y = x\n  let z = y  // both\n\n  return z\n"
                                            "  // last\n}  // after\n// end\n");
}
