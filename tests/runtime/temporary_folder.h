// SPDX-License-Identifier: Apache-2.0
// A folder of its own for a test, removed at its end; and where the real data lie, if they do.
#pragma once
#include "runtime/base/settings.h"
#include <cstdlib>
#include <filesystem>
#include <string>

namespace fil::test {

struct TemporaryFolder {
  std::string path;
  TemporaryFolder() {
    std::string p = (std::filesystem::temp_directory_path() / "fil-test-XXXXXX").string();
    path = mkdtemp(p.data());
  }
  ~TemporaryFolder() {
    std::error_code e;
    std::filesystem::remove_all(path, e);
  }
  std::string operator/(const std::string &name) const { return path + "/" + name; }
};

/// The path of a file of the real data (`mnist/..`, `tinyshakespeare.txt`); empty where it is absent.
inline std::string realData(const std::string &name) {
  std::string folder = setting("FIL_TEST_DATA");
  if (folder.empty()) folder = FIL_SOURCE_FOLDER "/../shared/data";
  std::string path = folder + "/" + name;
  return std::filesystem::exists(path) ? path : "";
}

} // namespace fil::test
