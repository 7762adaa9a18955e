// SPDX-License-Identifier: Apache-2.0
// Messages: what a mistake is called, where it is, what to write instead.
#include "tests/lang/reference.h"
#include "runtime/base/memory_files.h"

using namespace fil;
using namespace fil::test;

namespace fil::test {
const std::vector<std::pair<std::string, std::string>> &programsOfMessages() {
  static const std::vector<std::pair<std::string, std::string>> all = {
      {"E0002", "dims B // \xff"},
      {"E0003", "fn f(x: [..]) = " + std::string(5000, '(')},
      {"E0104", "dims B, B"},
      {"E0104", "dims B\nfn f(x: [B], x: [B]) = x"},
      {"E0104", "fn relu(x: [..]) = x"},
      {"E0104", "fn sum(x: [..]) = x"},
      {"E0221", "dims B, D = 4, E = 5\nfn f(x: [B,D]) = rename(x, D=E)"},
      {"E0231", "dims B\nmodel M(x: [B]) -> [B] = x\nloss l(y: [B]) = y"},
      {"E0308", "dims D = 4 {a = 4}"},
      {"E0310", "dims D = true"},
      {"E0312", "dims A = C, C = A"},
      {"E0316", "dims B\nmodel M(x: [B]) -> [B] = x\nmodel N(x: [B]) -> [B] = M(x)"},
      {"E0321", "dims B\nblock A(x: [B]) -> [B] { let y = x }"},
      {"E0329", "dims B, D = 4, E = 4\nblock A(x: [B,D]) -> [B,D] {\n  state n: [D] = 0\n  on step: n = mean(x, over B)\n  return x * n\n}\n"
                "block M(x: [B,D]) -> [B,D] {\n  param g: D -> E\n  experts e in E: A()\n  route e* = topk(x @ g, 1, over E)\n  return sum(e[e*](x), over e*)\n}"},
      {"E0006", "dims B\nblock A(x: [B]) -> [B] {\n  return x\n  let y = x\n}"},
      {"E0335", "dims B\nblock A(x: [B]) -> [B] {\n  let h = x\n  layers l in 0..2 { h = h * 2 }\n  layers l in 0..2 { h = h * 3 }\n  return h\n}"},
      {"E0007", "dims B, D = 4\nfn f(x: [B,D]) {\n  param w: D -> D\n  return x @ w\n}"},
  };
  return all;
}
std::set<std::string> codesOfCommands() {
  return {"E0105", "E0106", "E0107", // below
          "E0108", "W0312", "W0313", "W0314", "W0315", "W0316", "W0317", "W0318"}; // tests/e2e
}
} // namespace fil::test

TEST(Messages, EachProgramGivesItsMessageAlone) {
  for (auto &[code, text] : programsOfMessages()) {
    auto p = checked(text);
    auto found = codes(*p);
    ASSERT_FALSE(found.empty()) << text;
    EXPECT_EQ(found, std::vector<std::string>{code}) << text << "\n" << p->diags.render();
  }
}

TEST(Messages, WhatIsMisspeltIsNamed) {
  auto p = checked("dims B, D = 4\nfn f(x: [B,D], gain: [D]) = relu(x * gian)\nfn g(x: [B,D]) = sofmax(x, over D)");
  EXPECT_EQ(p->diags.render(), R"(error[E0101]: unknown name `gian`
 --> test.fil:2:38
  |
2 | fn f(x: [B,D], gain: [D]) = relu(x * gian)
  |                                      ^^^^
  = help: did you mean `gain`?
error[E0103]: there is no function or block `sofmax`
 --> test.fil:3:18
  |
3 | fn g(x: [B,D]) = sofmax(x, over D)
  |                  ^^^^^^
  = help: did you mean `softmax`?
)");
}

/// What follows the advice of E0207: the next mistake is the type that is returned, and its help is the way out.
TEST(Messages, AfterTheFirstAdviceTheNextErrorKnowsTheWayOut) {
  auto p = checked("dims B, In = 256, Out = 512\nblock SeedDSA(x: [B,In]) -> [B,Out] {\n  param w, p: In -> Out\n  select o* = topk(x @ p, 0.3 * Out, over Out)\n  return x @ w[o*]\n}");
  EXPECT_EQ(p->diags.render(), R"(error[E0216]: `SeedDSA` is declared to return [B,Out], but returns [B,o*]
 --> test.fil:5:3
  |
5 |   return x @ w[o*]
  |   ^^^^^^^^^^^^^^^^
  = help: `scatter(.., over o*)` puts the selected values back among all of `Out`
)");
}

TEST(Messages, TheCompilersOwnFunctionsAreNamedToo) {
  auto p = checked("dims B\nfn f(x: [B]) = sqr(x)");
  ASSERT_EQ(codes(*p), std::vector<std::string>{"E0103"});
  EXPECT_EQ(p->diags.all()[0].helps, std::vector<std::string>{"did you mean `sqrt`?"});
}

TEST(Messages, SeveralMistakesAreAllReported) {
  auto p = checked("dims B, D = 4\nblock A(x: [B,D]) -> [B,D] {\n  let a = x + one\n  let b = a * 2\n  let c = x @ x\n  return b + c\n}\nfn g(x: [B]) = nope(x)");
  EXPECT_EQ(codes(*p), (std::vector<std::string>{"E0101", "E0213", "E0103"})) << p->diags.render();
}

TEST(Messages, NamesDeclaredTwiceShowBothPlaces) {
  auto p = checked("dims B\nfn f(x: [B]) = x\nfn f(x: [B]) = 2 * x");
  EXPECT_EQ(p->diags.render(), R"(error[E0104]: `f` is declared already
 --> test.fil:3:4
  |
2 | fn f(x: [B]) = x
  |    - first declared here
3 | fn f(x: [B]) = 2 * x
  |    ^
  = help: choose another name: all files of a command and the standard library are one namespace
)");
}

TEST(Messages, WhatMayNotBeShadowedSaysWhatToDo) {
  auto p = checked("dims B, D = 4\nblock A(x: [B,D]) -> [B,D] {\n  param w: D -> D\n  let x = 2 * x\n  let w = x\n  let relu = x\n  return x\n}");
  std::vector<std::string> helps;
  for (const Diagnostic &d : p->diags.all()) helps.insert(helps.end(), d.helps.begin(), d.helps.end());
  EXPECT_EQ(codes(*p), (std::vector<std::string>{"E0104", "E0104", "E0104"})) << p->diags.render();
  EXPECT_EQ(helps, (std::vector<std::string>{"`x = ..` rebinds a parameter; only a `let` may shadow a `let`", "choose another name: only a `let` may shadow a `let`",
                                             "choose another name: all files of a command and the standard library are one namespace"}));
}

TEST(Messages, MarksStandUnderTheirWordsBehindCharactersOfSeveralBytes) {
  auto p = checked("dims B\nfn f(x: [B]) = x[\"\xc3\xa9\"]");
  EXPECT_NE(p->diags.render().find("2 | fn f(x: [B]) = x[\"\xc3\xa9\"]\n  |                  ^^^\n"), std::string::npos) << p->diags.render();
}

TEST(Messages, JsonHasTheSameContent) {
  auto p = checked("dims B\nfn f(x: [B]) = y");
  EXPECT_EQ(p->diags.json(), R"([
  {
    "code": "E0101",
    "column": 16,
    "end_column": 17,
    "end_line": 2,
    "file": "test.fil",
    "helps": [
      "did you mean `x`?"
    ],
    "line": 2,
    "notes": [],
    "severity": "error",
    "text": "unknown name `y`"
  }
])");
}

TEST(Messages, OptionsThatNameWhatIsNotThere) {
  auto p = checked({{"a.fil", "dims Batch, D = 4"}}, {{"Bath", 3}});
  EXPECT_EQ(p->diags.render(), "error[E0105]: `--dim Bath=..`: the program declares no dim `Bath`\n  = help: did you mean `Batch`?\n");
  auto code = [](auto f) -> std::string {
    try {
      f();
    } catch (const Error &e) {
      return std::string(e.what()).substr(0, 12);
    }
    return "";
  };
  EXPECT_EQ(code([] { checked(" \n"); }), "error[E0107]");
  EXPECT_EQ(code([] { checked("// nothing"); }), "error[E0107]");
  auto none = checked("dims B"), two = checked("dims B\nmodel M(x: [B]) -> [B] = x\nmodel N(x: [B]) -> [B] = x");
  EXPECT_EQ(code([&] { none->model(); }), "error[E0106]");
  EXPECT_EQ(code([&] { two->model(); }), "error[E0106]");
  EXPECT_EQ(code([&] { two->model("O"); }), "error[E0106]");
  EXPECT_EQ(two->model("N")->name.name, "N");
  EXPECT_FALSE(none->program->elaborateModel("M", nullptr, nullptr, true));
}
