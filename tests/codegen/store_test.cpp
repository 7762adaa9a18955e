// SPDX-License-Identifier: Apache-2.0
// The cache on disk: entries are whole or absent, whoever writes, reads, damages or removes them.
#include "codegen/cache/store.h"
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace fil;
namespace fs = std::filesystem;

namespace {
class StoreTest : public testing::Test {
protected:
  fs::path folder = fs::temp_directory_path() / fmt::format("fil-store-{}", getpid());
  Store store{folder / "cache", 1 << 20};
  void TearDown() override { fs::remove_all(folder); }

  static std::string textOf(const std::optional<Blob> &b) { return b ? std::string(b->text()) : "none"; }
  fs::path entry(const Store &s) {
    auto all = s.list();
    return all.size() == 1 ? s.folder / all[0].kind / all[0].name : fs::path();
  }
  static void overwrite(const fs::path &file, const std::string &content) { std::ofstream(file, std::ios::binary) << content; }
};
} // namespace

TEST_F(StoreTest, WhatIsPutIsFoundUnderItsKindAndKey) {
  EXPECT_EQ(textOf(store.find("kernel", "a")), "none");
  store.put("kernel", "a\nmore", std::string("x\0y", 3));
  EXPECT_EQ(textOf(store.find("kernel", "a\nmore")), std::string("x\0y", 3));
  EXPECT_EQ(textOf(store.find("program", "a\nmore")), "none");
  EXPECT_EQ(textOf(store.find("kernel", "a\nmore ")), "none");
  auto all = store.list();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].title, "a");
  store.put("kernel", "a\nmore", "another"); // who comes second made the same: the first one stays
  EXPECT_EQ(textOf(store.find("kernel", "a\nmore")).size(), 3u);
  store.drop("kernel", "a\nmore");
  EXPECT_EQ(textOf(store.find("kernel", "a\nmore")), "none");
}

TEST_F(StoreTest, AnEntryOfAnotherKeyInTheSamePlaceIsNotTakenAndGoes) {
  for (bool verified : {false, true}) {
    store.put("kernel", "a", "x");
    const fs::path mine = entry(store);
    store.drop("kernel", "a");
    store.put("kernel", "b", "y");
    fs::rename(entry(store), mine); // from somewhere else
    if (verified) EXPECT_EQ(store.verify().size(), 1u);
    EXPECT_EQ(textOf(store.find("kernel", "a")), "none");
    EXPECT_TRUE(store.list().empty());
    store.put("kernel", "a", "x");
    EXPECT_EQ(textOf(store.find("kernel", "a")), "x");
    store.drop("kernel", "a");
  }
}

TEST_F(StoreTest, WhatProcessesLeftGoes) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  const fs::path left = store.folder / fmt::format(".new-{}-0", child), ofAnother = store.folder / fmt::format(".new-{}-7", getppid());
  for (bool clears : {false, true}) {
    fs::create_directories(left), fs::create_directories(ofAnother);
    overwrite(left / "content", "x");
    if (clears) store.clear();
    else store.trim();
    EXPECT_FALSE(fs::exists(left));
    EXPECT_TRUE(fs::exists(ofAnother)); // it may be at it
  }
}

TEST_F(StoreTest, DamagedEntriesAreNotTakenAndGo) {
  const std::function<void(const fs::path &)> damages[] = {
      [](const fs::path &e) { overwrite(e / "content", "hellp"); },     [](const fs::path &e) { overwrite(e / "content", "hell"); },
      [](const fs::path &e) { overwrite(e / "content", ""); },          [](const fs::path &e) { fs::remove(e / "content"); },
      [](const fs::path &e) { overwrite(e / "key", "filigree 1\nk"); }, [](const fs::path &e) { overwrite(e / "key", ""); },
      [](const fs::path &e) { fs::resize_file(e / "key", fs::file_size(e / "key") - 1); }, [](const fs::path &e) { fs::remove(e / "key"); },
      [](const fs::path &e) { fs::remove_all(e), overwrite(e, "a file"); },                [](const fs::path &e) { std::ofstream(e / "key", std::ios::app) << "more"; }};
  for (auto &damage : damages) {
    store.put("kernel", "k", "hello");
    damage(entry(store));
    EXPECT_EQ(textOf(store.find("kernel", "k")), "none");
    store.put("kernel", "k", "hello");
    EXPECT_EQ(textOf(store.find("kernel", "k")), "hello");
    damage(entry(store));
    EXPECT_EQ(store.verify().size(), 1u);
    EXPECT_TRUE(store.list().empty());
  }
}

TEST_F(StoreTest, WhatWasUsedLastStays) {
  Store small(folder / "small", 3500);
  for (int i = 0; i < 5; ++i) {
    small.put("kernel", fmt::format("k{}", i), std::string(1000, 'x'));
    usleep(20000);
  }
  EXPECT_NE(textOf(small.find("kernel", "k0")), "none"); // used again
  small.trim();
  EXPECT_EQ(small.list().size(), 3u);
  for (auto [key, stays] : {std::pair{"k0", true}, {"k1", false}, {"k2", false}, {"k3", true}, {"k4", true}}) EXPECT_EQ(textOf(small.find("kernel", key)) != "none", stays) << key;
  small.clear();
  EXPECT_TRUE(small.list().empty());
}

TEST_F(StoreTest, IsTrimmedWhereEnoughWasPut) {
  const int64_t most = 1 << 20;
  auto puts = [&](int from, int count) { // 16 KB each; a sixteenth are four of them
    for (int i = from; i < from + count; ++i) Store(folder / "due", most).put(i % 2 ? "kernel" : "program", fmt::format("k{}", i), std::string(16000, 'x'));
  };
  Store due(folder / "due", most);
  puts(0, 70);
  EXPECT_EQ(due.list().size(), 70u);
  due.trimWhenDue();
  EXPECT_EQ(due.list().size(), 65u);
  puts(70, 3);
  due.trimWhenDue();
  EXPECT_EQ(due.list().size(), 68u) << "not so soon again";
  puts(73, 1);
  due.trimWhenDue();
  EXPECT_EQ(due.list().size(), 65u);
  EXPECT_EQ(due.clear(), 0u);
}

TEST_F(StoreTest, WhatIsNotItsOwnIsLeftAlone) {
  for (const char *file : {".ssh/id", ".new-/x", "docs/thesis/key", "kernel/notes/key", "program/readme", ".bashrc"}) {
    fs::create_directories((store.folder / file).parent_path());
    overwrite(store.folder / file, "mine");
    fs::last_write_time(store.folder / file, fs::file_time_type::clock::now() - std::chrono::hours(48));
    if ((store.folder / file).parent_path() != store.folder) fs::last_write_time((store.folder / file).parent_path(), fs::file_time_type::clock::now() - std::chrono::hours(48));
  }
  store.put("kernel", "k", std::string(2 << 20, 'x'));
  EXPECT_EQ(store.list().size(), 1u);
  store.trim();
  EXPECT_TRUE(store.list().empty());
  store.verify();
  EXPECT_EQ(store.clear(), 0u);
  for (const char *file : {".ssh/id", ".new-/x", "docs/thesis/key", "kernel/notes/key", "program/readme", ".bashrc"}) EXPECT_TRUE(fs::exists(store.folder / file)) << file;
}

TEST_F(StoreTest, EightProcessesThatMakeTheSameDoNotMeet) {
  constexpr int keys = 40;
  auto contentOf = [](int k) { return std::string(size_t(1 + k * 97), char('a' + k % 26)); };
  std::vector<pid_t> children;
  for (int p = 0; p < 8; ++p) {
    const pid_t child = fork();
    if (child == 0) {
      int wrong = 0;
      for (int round = 0; round < 5; ++round)
        for (int i = 0; i < keys; ++i) {
          const int k = (i * 7 + p) % keys;
          const std::string key = fmt::format("key {}", k);
          if (auto found = store.find("kernel", key)) wrong += found->text() != contentOf(k);
          else store.put("kernel", key, contentOf(k));
          if (p == 0 && round == 2) store.drop("kernel", key);
          if (p == 1 && round == 3 && i == 0) store.clear();
        }
      _exit(wrong);
    }
    children.push_back(child);
  }
  for (pid_t c : children) {
    int status = 0;
    waitpid(c, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  for (int k = 0; k < keys; ++k) store.put("kernel", fmt::format("key {}", k), contentOf(k));
  for (int k = 0; k < keys; ++k) EXPECT_EQ(textOf(store.find("kernel", fmt::format("key {}", k))), contentOf(k));
  EXPECT_TRUE(store.verify().empty());
  for (auto &d : fs::directory_iterator(store.folder)) EXPECT_FALSE(d.path().filename().string().starts_with(".")) << d.path();
}

TEST_F(StoreTest, AFolderThatCannotBeWrittenIsNoError) {
  overwrite(folder.string() + "-file", "");
  Store none(folder.string() + "-file/cache", 1 << 20);
  none.put("kernel", "k", "x");
  EXPECT_EQ(textOf(none.find("kernel", "k")), "none");
  EXPECT_TRUE(none.list().empty());
  none.trim(), none.clear();
  fs::remove(folder.string() + "-file");
}
