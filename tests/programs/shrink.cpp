// SPDX-License-Identifier: Apache-2.0
// Statements stand on lines, so lines are dropped; a line that opens a brace goes with all up to the one that
// closes it. Of what is added up, one summand after the other goes too.
#include "tests/programs/checks.h"
#include <sstream>
#include <vector>

namespace fil::programs {

static std::string joined(const std::vector<std::string> &lines) {
  std::string s;
  for (const std::string &l : lines)
    if (!l.empty()) s += l + "\n";
  return s;
}
/// Its check, and of a refusal the first line: another message is another failure.
static std::string kind(const Failure &f) { return f.check == "accepted" ? f.check + f.detail.substr(0, f.detail.find('\n')) : f.check; }

std::string shrunk(const std::string &text, const Binding &sizes, const Failure &failure) {
  return shrunk(text, [&](const std::string &some) {
    auto f = check(some, sizes).failure;
    return f && kind(*f) == kind(failure);
  });
}
std::string shrunk(const std::string &text, const std::function<bool(const std::string &)> &failsAs) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string l; std::getline(in, l);) lines.push_back(l);
  auto fails = [&](const std::vector<std::string> &some) { return failsAs(joined(some)); };
  for (bool smaller = true; smaller;) {
    smaller = false;
    auto attempt = [&](std::vector<std::string> some) {
      if (!fails(some)) return false;
      lines = std::move(some), smaller = true;
      return true;
    };
    for (size_t i = lines.size(); i-- > 0;) {
      if (lines[i].find_first_not_of(" }") == std::string::npos) continue;
      auto without = lines;
      int depth = 0;
      for (size_t k = i; k < lines.size(); ++k) {
        for (char c : lines[k]) depth += (c == '{') - (c == '}');
        without[k].clear();
        if (depth <= 0) break;
      }
      if (attempt(without)) continue;
      for (size_t plus = lines[i].rfind(" + "); plus != std::string::npos && plus > 0; plus = lines[i].rfind(" + ", plus - 1)) {
        without = lines;
        int open = 0;
        size_t end = plus + 3;
        for (; end < lines[i].size() && (open || (lines[i][end] != ')' && lines[i].compare(end, 3, " + "))); ++end) open += (lines[i][end] == '(') - (lines[i][end] == ')');
        without[i].erase(plus, end - plus);
        attempt(without);
      }
    }
  }
  return joined(lines);
}

} // namespace fil::programs
