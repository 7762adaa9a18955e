// SPDX-License-Identifier: Apache-2.0
// How messages look: the code and what is wrong, the place, the lines concerned with marks under them, what to write instead.
#include "lang/diag/diag.h"
#include <algorithm>
#include <map>
#include <utility>
#include <nlohmann/json.hpp>

namespace fil {

static const MessageRow rows[] = {
#define FIL_MESSAGE(CODE, SEVERITY, TEXT, HELP, EXPLAIN) {#CODE, Severity::SEVERITY, TEXT, HELP, EXPLAIN},
#include "lang/diag/messages.def"
#undef FIL_MESSAGE
};
const MessageRow &row(Msg m) { return rows[int(m)]; }
const MessageRow *findRow(std::string_view code) {
  for (const MessageRow &r : rows)
    if (code == r.code) return &r;
  return nullptr;
}

std::optional<Msg> messageOf(std::string_view code) {
  const MessageRow *r = findRow(code);
  return r ? std::optional(Msg(r - rows)) : std::nullopt;
}

Diagnostic &Diagnostics::add(Diagnostic d) {
  errors_ += row(d.msg).severity == Severity::Error;
  for (const Diagnostic &x : all_)
    if (d.span.valid() && x.msg == d.msg && x.span == d.span) return repeated_ = std::move(d);
  all_.push_back(std::move(d));
  return all_.back();
}
void Diagnostics::sort() {
  std::stable_sort(all_.begin(), all_.end(), [](const Diagnostic &a, const Diagnostic &b) {
    return std::pair(a.span.file, a.span.begin) < std::pair(b.span.file, b.span.begin);
  });
}

static size_t width(std::string_view s) {
  return size_t(std::count_if(s.begin(), s.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string Diagnostics::render(const Diagnostic &d) const {
  const MessageRow &r = row(d.msg);
  std::string out = fmt::format("{}[{}]: {}\n", r.severity == Severity::Error ? "error" : "warning", r.code, d.text);
  if (d.span.valid()) {
    auto at = sources.place(d.span.file, d.span.begin);
    struct Mark { uint32_t column, length; char c; std::string text; };
    std::map<uint32_t, std::vector<Mark>> lines;
    auto mark = [&](Span s, char c, const std::string &text) {
      if (s.file != d.span.file) return;
      auto p = sources.place(s.file, s.begin);
      std::string_view line = sources.line(s.file, p.line);
      uint32_t lineLength = uint32_t(width(line)), length = uint32_t(width(sources.text(s)));
      length = std::max(1u, std::min(length, lineLength + 1 > p.column ? lineLength + 1 - p.column : 1));
      lines[p.line].push_back({p.column, length, c, text});
    };
    mark(d.span, '^', d.label);
    for (const Label &l : d.secondary) mark(l.span, '-', l.text);
    size_t gutter = std::to_string(lines.rbegin()->first).size();
    out += fmt::format("{:{}}--> {}:{}:{}\n{:{}} |\n", "", gutter, sources.name(d.span.file), at.line, at.column, "", gutter);
    for (auto &[number, marks] : lines) {
      std::string line(sources.line(d.span.file, number));
      std::replace(line.begin(), line.end(), '\t', ' ');
      out += fmt::format("{:{}} | {}\n", number, gutter, line);
      std::sort(marks.begin(), marks.end(), [](auto &a, auto &b) { return a.column < b.column; });
      for (const Mark &m : marks)
        out += fmt::format("{:{}} | {:{}}{}{}{}\n", "", gutter, "", m.column - 1, std::string(m.length, m.c), m.text.empty() ? "" : " ", m.text);
    }
    for (const Label &l : d.secondary)
      if (l.span.file != d.span.file && l.span.valid()) {
        auto p = sources.place(l.span.file, l.span.begin);
        out += fmt::format("{:{}} = note: {} ({}:{}:{})\n", "", gutter, l.text, sources.name(l.span.file), p.line, p.column);
      }
    for (const std::string &n : d.notes) out += fmt::format("{:{}} = note: {}\n", "", gutter, n);
    for (const std::string &h : d.helps) out += fmt::format("{:{}} = help: {}\n", "", gutter, h);
  } else {
    for (const std::string &n : d.notes) out += "  = note: " + n + "\n";
    for (const std::string &h : d.helps) out += "  = help: " + h + "\n";
  }
  return out;
}
std::string Diagnostics::render() const {
  std::string out;
  for (const Diagnostic &d : all_) out += render(d);
  return out;
}
std::string Diagnostics::json() const {
  auto list = nlohmann::json::array();
  for (const Diagnostic &d : all_) {
    nlohmann::json j = {{"code", row(d.msg).code}, {"severity", row(d.msg).severity == Severity::Error ? "error" : "warning"}, {"text", d.text}, {"notes", d.notes}, {"helps", d.helps}};
    if (d.span.valid()) {
      auto b = sources.place(d.span.file, d.span.begin), e = sources.place(d.span.file, d.span.end);
      j.update({{"file", sources.name(d.span.file)}, {"line", b.line}, {"column", b.column}, {"end_line", e.line}, {"end_column", e.column}});
    }
    list.push_back(std::move(j));
  }
  return list.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::vector<std::string> didYouMean(std::string_view wrong, const std::vector<std::string> &names, size_t most) {
  std::vector<std::pair<size_t, std::string>> close;
  for (const std::string &n : names) {
    std::vector<size_t> row(n.size() + 1), last, before;
    for (size_t j = 0; j <= n.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= wrong.size(); ++i) {
      before = std::exchange(last, row);
      row[0] = i;
      for (size_t j = 1; j <= n.size(); ++j) {
        row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (wrong[i - 1] != n[j - 1])});
        if (i > 1 && j > 1 && wrong[i - 1] == n[j - 2] && wrong[i - 2] == n[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1); // two letters swapped
      }
    }
    if (row[n.size()] <= std::clamp<size_t>(wrong.size() / 3, 1, 3)) close.push_back({row[n.size()], n});
  }
  std::stable_sort(close.begin(), close.end(), [](auto &a, auto &b) { return a.first < b.first; });
  std::vector<std::string> best;
  for (auto &[d, n] : close)
    if (best.size() < most && std::find(best.begin(), best.end(), n) == best.end()) best.push_back(n);
  return best;
}
} // namespace fil
