// SPDX-License-Identifier: Apache-2.0
// Runs the generated lexer and parser with bounds and our own way of reporting.
#include "lang/parse/parse.h"
#include "FiligreeLexer.h"
#include "lang/parse/build.h"
#include "lang/parse/recover.h"

namespace fil {
namespace {
constexpr int maxOpenRules = 1000; ///< brackets, `-`, `not`, `^`, `else`: rules open at once
constexpr int maxDepth = 4000;     ///< chains like a+a+.. give trees that lean to the left

struct TooDeep { antlr4::Token *at; };

struct DepthListener : antlr4::tree::ParseTreeListener {
  int open = 0;
  void enterEveryRule(antlr4::ParserRuleContext *c) override {
    if (++open > maxOpenRules) throw TooDeep{c->getStart()};
  }
  void exitEveryRule(antlr4::ParserRuleContext *) override { --open; }
  void visitTerminal(antlr4::tree::TerminalNode *) override {}
  void visitErrorNode(antlr4::tree::ErrorNode *) override {}
};

struct Errors : antlr4::BaseErrorListener {
  Diagnostics &diags;
  uint32_t file;
  const std::vector<uint32_t> &offsets;
  Errors(Diagnostics &d, uint32_t f, const std::vector<uint32_t> &o) : diags(d), file(f), offsets(o) {}
  void syntaxError(antlr4::Recognizer *, antlr4::Token *t, size_t, size_t, const std::string &m, std::exception_ptr) override {
    size_t cut = m.find('\n');
    diags.report(Msg::E0001, spanOf(t), m.substr(0, cut), m.substr(cut + 1));
  }
  Span spanOf(antlr4::Token *t) {
    uint32_t end = offsets.back(), begin = t->getType() == antlr4::Token::EOF ? end : offsets[t->getStartIndex()];
    uint32_t stop = t->getType() == antlr4::Token::EOF || t->getType() == filgen::FiligreeLexer::NL ? begin : offsets[t->getStopIndex() + 1];
    return {file, begin, stop};
  }
};

/// Byte offsets of all code points and of the end; none, with a message, where the text is not UTF-8.
std::optional<std::vector<uint32_t>> codePoints(uint32_t file, std::string_view text, Diagnostics &diags) {
  std::vector<uint32_t> offsets;
  for (size_t i = 0; i < text.size();) {
    offsets.push_back(uint32_t(i));
    unsigned char c = (unsigned char)text[i];
    size_t n = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
    bool ok = n && i + n <= text.size() && c != 0;
    uint32_t value = n == 1 ? c : c & (0xFF >> (n + 1));
    for (size_t k = 1; ok && k < n; ++k) ok = (text[i + k] & 0xC0) == 0x80, value = value << 6 | (text[i + k] & 0x3F);
    ok = ok && !(n == 3 && (value < 0x800 || (value >= 0xD800 && value < 0xE000))) && !(n == 4 && (value < 0x10000 || value > 0x10FFFF));
    if (!ok) {
      diags.report(Msg::E0002, {file, uint32_t(i), uint32_t(i + 1)}, c);
      return std::nullopt;
    }
    i += n;
  }
  offsets.push_back(uint32_t(text.size()));
  return offsets;
}

bool deeperThan(antlr4::tree::ParseTree *root, int limit) {
  std::vector<std::pair<antlr4::tree::ParseTree *, int>> open{{root, 1}};
  while (!open.empty()) {
    auto [t, depth] = open.back();
    open.pop_back();
    if (depth > limit) return true;
    for (auto *c : t->children) open.push_back({c, depth + 1});
  }
  return false;
}
} // namespace

ast::File parse(uint32_t file, Diagnostics &diags) {
  ast::File out;
  out.file = file;
  std::string_view text = diags.sources.text(file);
  auto offsets = codePoints(file, text, diags);
  if (!offsets) return out;
  size_t before = diags.errors();
  antlr4::ANTLRInputStream input{std::string(text)};
  filgen::FiligreeLexer lexer(&input);
  antlr4::CommonTokenStream tokens(&lexer);
  filgen::FiligreeParser parser(&tokens);
  Errors errors(diags, file, *offsets);
  lexer.removeErrorListeners(), parser.removeErrorListeners();
  parser.addErrorListener(&errors);
  parser.setErrorHandler(std::make_shared<Recover>());
  DepthListener depth;
  parser.addParseListener(&depth);
  filgen::FiligreeParser::ProgramContext *tree = nullptr;
  try {
    tree = parser.program();
    if (diags.errors() == before && deeperThan(tree, maxDepth)) throw TooDeep{tree->getStart()};
  } catch (const TooDeep &t) {
    diags.report(Msg::E0003, errors.spanOf(t.at));
  }
  if (diags.errors() == before) out = buildAst(tree, file, *offsets, diags);
  if (diags.errors() != before) out.declarations.clear();
  for (auto *t : tokens.getTokens())
    if (t->getType() == filgen::FiligreeLexer::COMMENT)
      out.comments.push_back({t->getText(), {file, (*offsets)[t->getStartIndex()], (*offsets)[t->getStopIndex() + 1]}});
  return out;
}
} // namespace fil
