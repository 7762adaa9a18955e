// SPDX-License-Identifier: Apache-2.0
// Reading the environment through the registry.
#include "runtime/base/settings.h"
#include "runtime/base/status.h"
#include <charconv>
#include <cstdlib>

extern char **environ;

namespace fil {
namespace {

const SettingRow *findRow(std::string_view name) {
  for (const SettingRow &r : settingRows)
    if (r.name == name) return &r;
  return nullptr;
}
std::string value(const SettingRow &row) {
  const char *v = std::getenv(std::string(row.name).c_str());
  return v && *v ? std::string(v) : std::string(row.fallback);
}

} // namespace

std::string setting(SettingName name) { return value(*name.row); }

int64_t settingInt(SettingName name, int64_t lo, int64_t hi, int64_t none) {
  std::string v = value(*name.row);
  if (v.empty()) return none;
  int64_t n = 0;
  auto [end, ec] = std::from_chars(v.data(), v.data() + v.size(), n);
  if (ec != std::errc() || end != v.data() + v.size() || n < lo || n > hi)
    throw Error(Exit::Usage, "E0703",
                fmt::format("{}=`{}` is not a whole number from {} to {}", name.row->name, v, lo, hi),
                fmt::format("{}: {}", name.row->name, name.row->help));
  return n;
}

std::string settingByName(std::string_view name) {
  if (const SettingRow *row = findRow(name)) return value(*row);
  throw Error(Exit::Internal, "E0702", fmt::format("setting `{}` is not registered", name));
}

std::string settingsCacheKey() {
  std::string key;
  for (const SettingRow &r : settingRows)
    if (r.inCacheKey) key += std::string(r.name) + "=" + value(r) + "\n";
  return key;
}

std::string cacheFolder() {
  if (std::string own = setting("FIL_CACHE_DIR"); !own.empty()) return own;
  for (auto [variable, below] : {std::pair{"XDG_CACHE_HOME", "/filigree"}, {"HOME", "/.cache/filigree"}})
    if (const char *folder = std::getenv(variable); folder && *folder == '/') return std::string(folder) + below;
  return {};
}

std::vector<std::string> unknownSettings() {
  std::vector<std::string> names;
  for (char **e = environ; *e; ++e) {
    std::string_view entry(*e), name = entry.substr(0, entry.find('='));
    if (name.starts_with("FIL_") && !findRow(name)) names.emplace_back(name);
  }
  return names;
}

} // namespace fil
