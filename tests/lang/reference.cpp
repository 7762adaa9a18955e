// SPDX-License-Identifier: Apache-2.0
#include "tests/lang/reference.h"
#include <algorithm>
#include <regex>
#include <sstream>

namespace fil::test {

static const char *page = "docs/language.md";

static std::vector<std::string> lines(const std::string &path) {
  std::istringstream in(sourceText(path));
  std::vector<std::string> all;
  for (std::string l; std::getline(in, l);) all.push_back(l);
  return all;
}

std::vector<ReferenceBlock> referenceBlocks() {
  std::vector<ReferenceBlock> all;
  for (const std::string path : {page, "README.md"}) {
    bool fence = false, code = false;
    int number = 0;
    for (const std::string &l : lines(path)) {
      const std::string place = fmt::format("{}:{}", path, ++number);
      if (l.starts_with("```")) {
        fence = !fence;
        code = fence && l.starts_with("```fil");
        EXPECT_TRUE(!fence || code || path != page) << place << ": a block of code is marked `fil`, so that it is tried";
        if (code) all.push_back({place, l.size() > 7 ? l.substr(7) : "", ""});
      } else if (code) all.back().text += l + "\n";
    }
    EXPECT_FALSE(fence) << path;
  }
  return all;
}

/// Where a row's statements part: at `;` outside of brackets.
static std::vector<std::string> statements(const std::string &text) {
  std::vector<std::string> all{""};
  int open = 0;
  for (char c : text) {
    open += c == '{' || c == '(' || c == '[' ? 1 : c == '}' || c == ')' || c == ']' ? -1 : 0;
    if (c == ';' && open == 0) all.push_back("");
    else if (!(all.back().empty() && c == ' ')) all.back() += c;
  }
  return all;
}

std::vector<ReferenceRow> referenceRows() {
  std::string prelude;
  for (const ReferenceBlock &b : referenceBlocks())
    if (b.info == "prelude") prelude = b.text;
  static const std::regex row("\\| `(.*)` \\| `(.*)` \\|"), statement("(param|state|cache|experts|let|select|route|aux|on|layers|return) .*|\\w+ (=|\\+=) .*");
  std::vector<ReferenceRow> all;
  bool table = false;
  int number = 0;
  for (const std::string &l : lines(page)) {
    ++number;
    table |= l == "## Table of types";
    std::smatch m;
    if (table && std::regex_match(l, m, row)) {
      ReferenceRow r{fmt::format("{}:{}", page, number), m[1], m[2], false, prelude};
      r.expression = !std::regex_match(statements(r.text).back(), statement);
      all.push_back(r);
    }
  }
  return all;
}

std::string ReferenceRow::program() const {
  auto parts = statements(text);
  std::string body;
  for (size_t i = 0; i < parts.size(); ++i) body += "  " + std::string(expression && i + 1 == parts.size() ? "let it = " : "") + parts[i] + "\n";
  std::string p = prelude;
  size_t at = p.find("  // the row\n");
  EXPECT_NE(at, std::string::npos) << "the prelude has no `// the row`";
  return p.replace(at, 13, body);
}
std::string ReferenceRow::typeIn(const LoadedProgram &p) const {
  for (const sema::LetType &l : p.program->lets)
    if (l.name == "it") return l.type;
  return "no `it`";
}

std::string normalType(const std::string &type) {
  size_t open = type.find('['), close = type.rfind(']');
  if (open == std::string::npos || close == std::string::npos) return type;
  std::istringstream in(type.substr(open + 1, close - open - 1));
  std::vector<std::string> dims;
  for (std::string d; std::getline(in, d, ',');) dims.push_back(d);
  std::sort(dims.begin(), dims.end());
  std::string s = type.substr(0, open + 1);
  for (size_t i = 0; i < dims.size(); ++i) s += (i ? "," : "") + dims[i];
  return s + type.substr(close);
}

} // namespace fil::test
