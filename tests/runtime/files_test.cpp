// SPDX-License-Identifier: Apache-2.0
// Durable writing: what is under a name is always whole, whatever happens to the writer.
#include "runtime/base/files.h"
#include "runtime/base/memory_files.h"
#include "runtime/base/status.h"
#include "tests/runtime/temporary_folder.h"
#include <csignal>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace fil;

namespace {
Error errorOf(const std::function<void()> &f) {
  try {
    f();
  } catch (const Error &e) {
    return e;
  }
  return Error(Exit::Ok, "none", "no error");
}
size_t filesIn(const std::string &folder) {
  return size_t(std::distance(std::filesystem::directory_iterator(folder), {}));
}
} // namespace

TEST(Files, WhatIsWrittenIsRead) {
  test::TemporaryFolder folder;
  writeFile(systemFiles(), folder / "a", "first");
  Blob old = systemFiles().read(folder / "a");
  writeFile(systemFiles(), folder / "a", "second");
  EXPECT_EQ(old.text(), "first") << "a mapped file keeps its content when it is replaced";
  EXPECT_EQ(systemFiles().read(folder / "a").text(), "second");
  writeFile(systemFiles(), folder / "empty", "");
  EXPECT_EQ(systemFiles().read(folder / "empty").size, 0u);
  auto log = systemFiles().append(folder / "log");
  log->append("1\n"), log->append("2\n");
  EXPECT_EQ(systemFiles().read(folder / "log").text(), "1\n2\n");
  EXPECT_EQ(systemFiles().glob(folder / "*").size(), 3u);
  EXPECT_EQ(systemFiles().glob(folder / "[a-e]*"), (std::vector{folder / "a", folder / "empty"}));
}

TEST(Files, FailuresNamePathAndReason) {
  test::TemporaryFolder folder;
  Error e = errorOf([&] { systemFiles().read(folder / "none"); });
  EXPECT_EQ(e.code(), "E0501");
  EXPECT_EQ(e.message(), "`" + (folder / "none") + "` cannot be read: No such file or directory");
  EXPECT_NE(errorOf([&] { systemFiles().read(folder.path); }).message().find("is a folder"), std::string::npos);
  EXPECT_EQ(errorOf([&] { systemFiles().read("/dev/zero"); }).code(), "E0501");
  EXPECT_EQ(errorOf([&] { systemFiles().replace(folder.path); }).code(), "E0502");
  EXPECT_EQ(errorOf([&] { systemFiles().replace(folder / "no/such/x"); }).code(), "E0502");
  EXPECT_EQ(errorOf([&] { systemFiles().makeFolder("/proc/no/x"); }).code(), "E0502");
}

TEST(Files, WithoutCommitNothingHappened) {
  test::TemporaryFolder folder;
  writeFile(systemFiles(), folder / "a", "whole");
  {
    auto sink = systemFiles().replace(folder / "a");
    sink->write("par", 3);
  }
  EXPECT_EQ(systemFiles().read(folder / "a").text(), "whole");
  EXPECT_EQ(filesIn(folder.path), 1u);
}

TEST(Files, AFullDiskIsExitFourAndKeepsTheOldFile) {
  test::TemporaryFolder folder;
  writeFile(systemFiles(), folder / "a", "whole");
  pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    rlimit limit{4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    std::string big(10000, 'x');
    Error e = errorOf([&] { writeFile(systemFiles(), folder / "a", big); });
    _exit(e.code() == "E0503" ? int(e.exit()) : 99);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 4);
  EXPECT_EQ(systemFiles().read(folder / "a").text(), "whole");
  EXPECT_EQ(filesIn(folder.path), 1u);

  MemoryFiles memory;
  memory.capacity = 6;
  writeFile(memory, "a", "whole");
  EXPECT_EQ(errorOf([&] { writeFile(memory, "a", "longer"); }).exit(), Exit::Resource);
  EXPECT_EQ(memory.content["a"], "whole");
}

TEST(Files, KilledWriterLeavesTheLastWholeFileAndNoLitter) {
  test::TemporaryFolder folder;
  auto version = [](int v) { return std::string(300000 + 1000 * (v % 7), char('a' + v % 26)); };
  writeFile(systemFiles(), folder / "a", version(0));
  std::srand(1);
  for (int round = 0; round < 40; ++round) {
    pid_t child = fork();
    if (child == 0)
      for (int v = 0;; ++v) {
        auto sink = systemFiles().replace(folder / "a");
        std::string text = version(v);
        for (size_t i = 0; i < text.size(); i += 5000)
          sink->write(text.data() + i, std::min<size_t>(5000, text.size() - i));
        sink->commit();
      }
    usleep(useconds_t(500 + std::rand() % 6000));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    std::string text(systemFiles().read(folder / "a").text());
    ASSERT_FALSE(text.empty());
    int letter = text[0] - 'a';
    bool whole = false;
    for (int v = letter; v < letter + 26 * 7 && !whole; v += 26) whole = text == version(v);
    ASSERT_TRUE(whole) << "round " << round << ": " << text.size() << " bytes";
  }
  writeFile(systemFiles(), folder / "a", "end");
  EXPECT_EQ(filesIn(folder.path), 1u) << "temporaries of killed writers are removed";
}
