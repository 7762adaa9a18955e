// SPDX-License-Identifier: Apache-2.0
// Plans: every example checks, mistakes are reported as the language page shows them, and what acts is typed.
#include "tests/sema/plans.h"
#include <filesystem>
#include <gtest/gtest.h>

namespace fil {
namespace {

const std::filesystem::path examples = std::filesystem::path(FIL_SOURCE_FOLDER) / "examples";

std::unique_ptr<LoadedProgram> loadExample(const std::string &folder) {
  std::vector<std::string> files;
  for (auto &f : std::filesystem::directory_iterator(examples / folder))
    if (f.path().extension() == ".fil") files.push_back(f.path().string());
  std::sort(files.begin(), files.end());
  return LoadedProgram::load(systemFiles(), files, {});
}

TEST(Plans, EveryExampleChecks) {
  size_t plans = 0;
  for (auto &folder : std::filesystem::directory_iterator(examples)) {
    const std::string name = folder.path().filename().string();
    if (name == "07_seed_dsa") continue; // must be refused
    auto p = loadExample(name);
    EXPECT_TRUE(p->ok()) << p->diags.render();
    plans += p->plans.size();
  }
  EXPECT_GE(plans, 7u);
}

} // namespace
} // namespace fil
