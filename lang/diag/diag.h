// SPDX-License-Identifier: Apache-2.0
// Messages that teach: code, place, what was found, why it is wrong, what to write instead. Every message of Filigree is
// a row of messages.def; the code at hand passes only what fills the gaps.
#pragma once
#include "lang/diag/source.h"
#include <fmt/format.h>
#include <optional>
#include <string>
#include <vector>

namespace fil {

enum class Severity { Error, Warning };

/// One row of the catalogue. `text` and `help` are fmt formats over the same arguments; `explain` is what `fil help CODE` says.
struct MessageRow {
  const char *code;
  Severity severity;
  const char *text, *help, *explain;
};
/// The enumerators are the codes: Msg::E0207.
enum class Msg {
#define FIL_MESSAGE(CODE, SEVERITY, TEXT, HELP, EXPLAIN) CODE,
#include "lang/diag/messages.def"
#undef FIL_MESSAGE
};
const MessageRow &row(Msg);
const MessageRow *findRow(std::string_view code); ///< null where there is none
std::optional<Msg> messageOf(std::string_view code);

struct Label { Span span; std::string text; };

struct Diagnostic {
  Msg msg = Msg::E0001;
  Span span;
  std::string text;               ///< filled format
  std::string label;              ///< beside the carets of the span
  std::vector<Label> secondary;   ///< other places, `--` under them
  std::vector<std::string> notes, helps;

  Diagnostic &mark(std::string l) { label = std::move(l); return *this; }
  Diagnostic &also(Span s, std::string l) { secondary.push_back({s, std::move(l)}); return *this; }
  Diagnostic &note(std::string n) { notes.push_back(std::move(n)); return *this; }
  Diagnostic &help(std::string h) { helps.push_back(std::move(h)); return *this; }
};

class Diagnostics {
public:
  explicit Diagnostics(SourceManager &sources) : sources(sources) {}
  SourceManager &sources;

  /// Adds a message. The row's help, if it has one, is filled with the same arguments. The reference lives until the next call.
  template <class... A> Diagnostic &report(Msg m, Span at, A &&...args) {
    Diagnostic d;
    d.msg = m, d.span = at;
    d.text = fmt::format(fmt::runtime(row(m).text), args...);
    if (*row(m).help) d.helps.push_back(fmt::format(fmt::runtime(row(m).help), args...));
    return add(std::move(d));
  }
  /// A body is checked once for each binding: a code that stands at a place already is not said again (but counts).
  Diagnostic &add(Diagnostic);

  size_t errors() const { return errors_; } ///< reported, repeated ones included
  const std::vector<Diagnostic> &all() const { return all_; }
  void sort();                      ///< by file and place
  std::string render() const;       ///< all, as the language page shows them
  std::string render(const Diagnostic &) const;
  std::string json() const;         ///< a list of {code, severity, file, line, column, end_line, end_column, text, helps, ..}

private:
  std::vector<Diagnostic> all_;
  Diagnostic repeated_;           ///< takes what is added to a message that was said before
  size_t errors_ = 0;
};

/// The nearest of `names` to `wrong` by edit distance, two letters swapped being one edit (a third of the length, at most 3), best first, at most `most`.
std::vector<std::string> didYouMean(std::string_view wrong, const std::vector<std::string> &names, size_t most = 2);

} // namespace fil
