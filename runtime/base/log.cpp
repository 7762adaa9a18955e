// SPDX-License-Identifier: Apache-2.0
// spdlog behind log.h.
#include "runtime/base/log.h"
#include "runtime/base/settings.h"
#include "runtime/base/status.h"
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace fil {
namespace {

spdlog::logger &logger() {
  static spdlog::logger log = [] {
    auto err = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    err->set_level(spdlog::level::warn);
    err->set_pattern("%l: %v");
    spdlog::logger l("fil", err);
    std::string name = setting("FIL_LOG");
    auto level = spdlog::level::from_str(name);
    if (level == spdlog::level::off && name != "off")
      throw Error(Exit::Usage, "E0703", fmt::format("FIL_LOG=`{}` is not a level of the log", name),
                  "one of trace, debug, info, warn, error, off");
    l.set_level(level);
    l.flush_on(spdlog::level::trace);
    return l;
  }();
  return log;
}

} // namespace

void openLog(const std::string &path) {
  try {
    auto file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
    file->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
    auto &sinks = logger().sinks();
    sinks.resize(1);
    sinks.push_back(file);
  } catch (const spdlog::spdlog_ex &e) {
    throw Error(Exit::Input, "E0502", fmt::format("`{}` cannot be written: {}", path, e.what()));
  }
}

void writeLog(LogLevel level, std::string_view line) {
  static const spdlog::level::level_enum levels[] = {
      spdlog::level::trace, spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
      spdlog::level::err};
  logger().log(levels[int(level)], spdlog::string_view_t(line.data(), line.size()));
}

} // namespace fil
