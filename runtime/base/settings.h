// SPDX-License-Identifier: Apache-2.0
// The registry of settings: every FIL_* environment variable is a row of settings.def. A name that is no row does not
// compile (SettingName) or, where it comes from outside, is an Error; std::getenv is called nowhere else.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fil {

struct SettingRow {
  std::string_view name, fallback, help;
  bool inCacheKey; ///< its value can change generated code
};
inline constexpr SettingRow settingRows[] = {
#define FIL_SETTING(NAME, FALLBACK, HELP, KEY) {NAME, FALLBACK, HELP, KEY},
#include "runtime/base/settings.def"
#undef FIL_SETTING
};

/// The name of a registered setting, checked while this program is compiled.
class SettingName {
public:
  consteval SettingName(const char *name) : row(nullptr) {
    for (const SettingRow &r : settingRows)
      if (r.name == name) row = &r;
    if (!row) throw "this setting has no row in settings.def";
  }
  const SettingRow *row;
};

/// The value in the environment; the default where it is unset or empty.
std::string setting(SettingName);
/// As a whole number in lo..hi, else Error E0703 (usage). `none` is returned where the value is empty.
int64_t settingInt(SettingName, int64_t lo, int64_t hi, int64_t none = 0);
/// For a name that comes from outside; Error E0702 (internal) if there is no such row.
std::string settingByName(std::string_view name);
/// `NAME=VALUE` lines of the settings that can change generated code.
std::string settingsCacheKey();
/// The folder of the cache: FIL_CACHE_DIR, else $XDG_CACHE_HOME/filigree, else ~/.cache/filigree; empty where there is none of them.
std::string cacheFolder();
/// FIL_* variables of the environment that no row names: likely typing errors, to be warned of.
std::vector<std::string> unknownSettings();

} // namespace fil
