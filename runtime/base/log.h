// SPDX-License-Identifier: Apache-2.0
// The log: warnings and errors go to stderr, all from the level FIL_LOG on to the file of the run, once it is opened.
// The only room that knows spdlog.
#pragma once
#include <fmt/format.h>
#include <string>
#include <string_view>

namespace fil {

enum class LogLevel { Trace, Debug, Info, Warn, Error };

/// Appends to `path` from now on. Error E0502 if it cannot be opened.
void openLog(const std::string &path);
void writeLog(LogLevel, std::string_view line);

template <class... A> void logDebug(fmt::format_string<A...> f, A &&...a) {
  writeLog(LogLevel::Debug, fmt::format(f, std::forward<A>(a)...));
}
template <class... A> void logInfo(fmt::format_string<A...> f, A &&...a) {
  writeLog(LogLevel::Info, fmt::format(f, std::forward<A>(a)...));
}
template <class... A> void logWarn(fmt::format_string<A...> f, A &&...a) {
  writeLog(LogLevel::Warn, fmt::format(f, std::forward<A>(a)...));
}

} // namespace fil
