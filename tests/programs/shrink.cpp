// SPDX-License-Identifier: Apache-2.0
// Statements stand on lines, so lines are dropped; a line that opens a brace goes with all up to the one that closes it, or alone
// with that one.
#include "tests/programs/checks.h"
#include <sstream>
#include <vector>

namespace fil::programs {

static std::string joined(const std::vector<std::string> &lines, const std::vector<bool> &gone) {
  std::string s;
  for (size_t i = 0; i < lines.size(); ++i)
    if (!gone[i]) s += lines[i] + "\n";
  return s;
}
/// Its check, and of a refusal the first line: another message is another failure.
static std::string kind(const Failure &f) { return f.check == "accepted" ? f.check + f.detail.substr(0, f.detail.find('\n')) : f.check; }

std::string shrunk(const std::string &text, const Binding &sizes, const Failure &failure) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string l; std::getline(in, l);) lines.push_back(l);
  std::vector<bool> gone(lines.size(), false);
  auto fails = [&](const std::vector<bool> &without) {
    auto f = check(joined(lines, without), sizes).failure;
    return f && kind(*f) == kind(failure);
  };
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (size_t i = lines.size(); i-- > 0;) {
      if (gone[i] || lines[i].find_first_not_of(" }") == std::string::npos) continue;
      auto without = gone;
      int depth = 0;
      for (size_t k = i; k < lines.size(); ++k) {
        for (char c : lines[k]) depth += (c == '{') - (c == '}');
        without[k] = true;
        if (depth <= 0) break;
      }
      if (fails(without)) gone = without, smaller = true;
    }
  }
  return joined(lines, gone);
}

} // namespace fil::programs
