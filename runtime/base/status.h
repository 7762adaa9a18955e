// SPDX-License-Identifier: Apache-2.0
// How the runtime reports failure: one exception that carries the exit code of the command, the row of the message
// catalogue and the full text. The runtime does not know the catalogue (lang/diag); the code is its only link to it.
#pragma once
#include <fmt/format.h>
#include <stdexcept>
#include <string>
#include <utility>

namespace fil {

/// Exit codes of the command `fil`.
enum class Exit : int { Ok = 0, Input = 1, Usage = 2, Numeric = 3, Resource = 4, Internal = 70 };

class Error : public std::runtime_error {
public:
  /// `code` is a row of lang/diag/messages.def, `help` says what to do instead (may be empty).
  Error(Exit exit, std::string code, std::string message, std::string help = {})
      : std::runtime_error(render(code, message, help)), exit_(exit), code_(std::move(code)),
        message_(std::move(message)), help_(std::move(help)) {}

  Exit exit() const { return exit_; }
  const std::string &code() const { return code_; }
  const std::string &message() const { return message_; }
  const std::string &help() const { return help_; }

  /// `error[E0501]: text` and, below it, `  = help: ..`; this is what() too.
  static std::string render(const std::string &code, const std::string &message,
                            const std::string &help) {
    std::string s = "error[" + code + "]: " + message;
    return help.empty() ? s : s + "\n  = help: " + help;
  }

private:
  Exit exit_;
  std::string code_, message_, help_;
};

} // namespace fil
