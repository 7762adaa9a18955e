// SPDX-License-Identifier: Apache-2.0
// Errors, settings, log.
#include "runtime/base/clock.h"
#include "runtime/base/files.h"
#include "runtime/base/log.h"
#include "runtime/base/settings.h"
#include "runtime/base/status.h"
#include "tests/runtime/temporary_folder.h"
#include <gtest/gtest.h>

using namespace fil;

TEST(Status, ErrorCarriesExitCodeTextAndHelp) {
  Error e(Exit::Resource, "E0503", "no space", "free some");
  EXPECT_EQ(int(e.exit()), 4);
  EXPECT_STREQ(e.what(), "error[E0503]: no space\n  = help: free some");
  EXPECT_EQ(Error(Exit::Input, "E0501", "gone").what(), std::string("error[E0501]: gone"));
}

TEST(Settings, EnvironmentWinsOverDefault) {
  unsetenv("FIL_SPIN_US");
  EXPECT_EQ(setting("FIL_SPIN_US"), "100");
  setenv("FIL_SPIN_US", "7", 1);
  EXPECT_EQ(settingInt("FIL_SPIN_US", 0, 100), 7);
  setenv("FIL_SPIN_US", "7x", 1);
  try {
    settingInt("FIL_SPIN_US", 0, 100);
    ADD_FAILURE() << "7x is no number";
  } catch (const Error &e) {
    EXPECT_EQ(e.exit(), Exit::Usage);
    EXPECT_EQ(e.code(), "E0703");
  }
  unsetenv("FIL_SPIN_US");
}

TEST(Settings, UnregisteredNameIsAnError) {
  EXPECT_THROW(settingByName("FIL_NO_SUCH"), Error);
  setenv("FIL_NO_SUCH", "1", 1);
  auto unknown = unknownSettings();
  EXPECT_NE(std::find(unknown.begin(), unknown.end(), "FIL_NO_SUCH"), unknown.end());
  unsetenv("FIL_NO_SUCH");
}

TEST(Settings, EachRowIsSortedAndExplained) {
  for (size_t i = 0; i < std::size(settingRows); ++i) {
    EXPECT_TRUE(settingRows[i].name.starts_with("FIL_"));
    EXPECT_FALSE(settingRows[i].help.empty()) << settingRows[i].name;
    if (i) EXPECT_LT(settingRows[i - 1].name, settingRows[i].name);
  }
}

TEST(Clock, NeverRunsBackwards) {
  double last = systemClock().seconds();
  for (int i = 0; i < 1000; ++i) {
    double now = systemClock().seconds();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(Log, WritesToTheFileOfTheRun) {
  test::TemporaryFolder folder;
  openLog(folder / "log");
  logInfo("step {} of {}", 3, 7);
  logDebug("hidden at the default level");
  std::string text(systemFiles().read(folder / "log").text());
  EXPECT_NE(text.find("info step 3 of 7"), text.npos) << text;
  EXPECT_EQ(text.find("hidden"), text.npos);
  EXPECT_THROW(openLog("/proc/no/such/log"), Error);
}
