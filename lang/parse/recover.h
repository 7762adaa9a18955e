// SPDX-License-Identifier: Apache-2.0
// One error for a mistake, at its place, in the user's words; then on with the next line. ANTLR's default guesses at missing
// tokens and cascades. Here an error ends its statement, and every block checks that what begins a line can begin a
// statement, so that ten bad lines give ten errors and the good ones between still count.
#pragma once
#include "FiligreeParser.h"
#include <string>

namespace fil {

class Recover : public antlr4::DefaultErrorStrategy {
  using P = filgen::FiligreeParser;
  using Token = antlr4::Token;

public:
  antlr4::Token *recoverInline(antlr4::Parser *p) override { throw antlr4::InputMismatchException(p); }
  void recover(antlr4::Parser *p, std::exception_ptr) override { skipLine(p); }
  void reportError(antlr4::Parser *p, const antlr4::RecognitionException &e) override {
    if (!inErrorRecoveryMode(p)) report(p, e.getOffendingToken(), describe(p, p->getExpectedTokens()));
  }
  void sync(antlr4::Parser *p) override {
    const size_t rule = p->getContext()->getRuleIndex();
    const size_t line = rule == P::RuleBody ? P::RuleStatement : rule == P::RuleSettings ? P::RuleSetting : P::RuleDeclaration;
    if (line == P::RuleDeclaration && rule != P::RuleProgram) return;
    if (isEnd(p->getCurrentToken())) endErrorCondition(p);
    for (;;) {
      size_t i = 1;
      while (isEnd(p->getTokenStream()->LT(i))) ++i;
      Token *first = p->getTokenStream()->LT(i);
      const bool closer = rule == P::RuleProgram ? first->getType() == Token::EOF : first->getText() == "}";
      const bool starts = begins(p, line, first), separated = i > 1 || expects(p, p->getCurrentToken());
      if (closer || (starts && separated)) return;
      if (!inErrorRecoveryMode(p)) {
        Token *before = p->getTokenStream()->LT(-1);
        const bool glued = starts || (i == 1 && before && !isEnd(before) && before->getText() != "{");
        const std::string kind = line == P::RuleStatement ? "a statement" : line == P::RuleSetting ? "a setting" : "a declaration";
        report(p, first, glued ? "a new line or `;`" : kind + (rule == P::RuleProgram ? "" : " or `}`"));
      }
      // A missing `}`: the next declaration is read as usual.
      if (rule != P::RuleProgram && line != P::RuleSetting && (first->getType() == Token::EOF || begins(p, P::RuleDeclaration, first)))
        throw antlr4::InputMismatchException(p);
      while (isEnd(p->getCurrentToken()) || p->getCurrentToken()->getText() == "}") p->consume();
      if (p->getCurrentToken()->getType() == Token::EOF) return;
      skipLine(p);
      endErrorCondition(p);
    }
  }

private:
  static bool isEnd(Token *t) { return t->getType() == P::NL || t->getText() == ";"; }
  static bool begins(antlr4::Parser *p, size_t rule, Token *t) {
    return p->getATN().nextTokens(p->getATN().ruleToStartState[rule]).contains(t->getType());
  }
  static bool expects(antlr4::Parser *p, Token *t) {
    return p->getATN().nextTokens(p->getATN().states[p->getState()]).contains(t->getType());
  }
  static void skipLine(antlr4::Parser *p) { // to the end of the statement; a block that opens on the way is skipped whole
    for (int open = 0;; p->consume()) {
      Token *t = p->getCurrentToken();
      if (t->getType() == Token::EOF || (open == 0 && (isEnd(t) || t->getText() == "}"))) return;
      open += t->getText() == "{" ? 1 : t->getText() == "}" ? -1 : 0;
    }
  }
  void report(antlr4::Parser *p, Token *at, const std::string &want) {
    beginErrorCondition(p);
    const size_t rule = p->getContext()->getRuleIndex();
    const bool betweenLines = rule == P::RuleBody || rule == P::RuleSettings || rule == P::RuleProgram;
    for (ssize_t i = ssize_t(at->getTokenIndex()) - 1; !betweenLines && i > 0; --i) { // what is missing is missing at the end of the line before
      Token *before = p->getTokenStream()->get(size_t(i));
      if (before->getType() == P::NL) p->getTokenStream()->seek((at = before)->getTokenIndex());
      else if (before->getChannel() == Token::DEFAULT_CHANNEL) break;
    }
    const std::string found = at->getType() == Token::EOF ? "the end of the file" : at->getType() == P::NL ? "the end of the line" : "`" + at->getText() + "`";
    p->notifyErrorListeners(at, want + "\n" + found, nullptr);
  }
  static std::string describe(antlr4::Parser *p, const antlr4::misc::IntervalSet &want) {
    std::string all;
    bool expr = false, word = false;
    auto literal = [&](ssize_t k) { return k > 0 ? p->getVocabulary().getLiteralName(size_t(k)) : std::string(); };
    for (auto k : want.toList()) expr |= literal(k) == "'not'", word |= literal(k) == "'trains'";
    all = expr ? "an expression" : word ? "a word or a value" : "";
    for (auto k : want.toList()) {
      const std::string lit = literal(k);
      if (k == P::NL || ((expr || word) && lit != "')'" && lit != "']'")) continue;
      all += (all.empty() ? "" : " or ") + (k == P::ID ? "a name" : k == P::INT ? "a whole number" : "`" + (lit.empty() ? "" : lit.substr(1, lit.size() - 2)) + "`");
    }
    return all.empty() ? "the end of the line" : all;
  }
};
} // namespace fil
