// SPDX-License-Identifier: Apache-2.0
// Saved programs in a process without a compiler: the same bits as where they were compiled, at any number of threads and for sizes that
// nobody had compiled for; repeated steps allocate nothing. Counts the process's calls of malloc, hence a program of its own.
#include "runtime/exec/file.h"
#include "tests/executable/trace.h"
#include "tests/support/allocations.h"
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <set>

using namespace fil;
using namespace fil::test;

namespace {
std::string path(const std::string &name, const char *kind) { return std::string(std::getenv("SAVED_PROGRAMS")) + "/" + name + "." + kind; }
Manifest manifest(const std::string &name) { return loadManifest(systemFiles(), path(name, "filx")); }
std::string text(const std::string &name, const char *kind) { return std::string(systemFiles().read(path(name, kind)).text()); }
Binding sizes(const std::string &name) { return sizesOf(text(name, "sizes")); }

/// Allocations in `calls` further calls of an entry; outputs are given back, inputs made before.
int64_t allocationsOf(Executable &x, const Entry &e, const std::vector<std::vector<Array>> &inputs, size_t warm) {
  std::vector<Array> out;
  for (size_t i = 0; i < warm; ++i) x.run(e, inputs[i], out);
  const int64_t before = allocations;
  for (size_t i = warm; i < inputs.size(); ++i) x.run(e, inputs[i], out);
  return allocations - before;
}
} // namespace

class Saved : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Programs, Saved, testing::Values("mnist", "charlm", "moe", "deepmoe", "resnet", "fraud"), [](auto &i) { return i.param; });

TEST_P(Saved, HaveTheBitsOfTheProcessThatCompiledThem) {
  auto x = loadExecutable(manifest(GetParam()));
  const std::string expected = text(GetParam(), "trace");
  ASSERT_NE(expected.find("step 9 loss"), std::string::npos);
  EXPECT_EQ(firstDifference(expected, traceOf(*x, sizes(GetParam()))), "");
}

TEST_P(Saved, AllocateNothingInARepeatedStep) {
  auto x = loadExecutable(manifest(GetParam()));
  const Binding at = sizes(GetParam());
  x->run(*x->find("init"), inputsAt(*x->find("init"), at, 0));
  const Entry &step = *x->find("step");
  std::vector<std::vector<Array>> inputs;
  for (int64_t s = 0; s < 6; ++s) inputs.push_back(inputsAt(step, at, s));
  EXPECT_EQ(allocationsOf(*x, step, inputs, 2), 0);
}

TEST_P(Saved, NeedAnArenaLittleLargerThanWhatIsAliveAtOnce) {
  Manifest m = manifest(GetParam());
  const Binding at = sizes(GetParam());
  for (const Program &p : m.programs) {
    if (p.entry.name == "prefill" || p.entry.name == "decode" || p.entry.name == "init") continue;
    auto x = loadExecutable(m);
    x->run(p.entry, inputsAt(p.entry, at, 0));
    const ArenaUse use = arenaUse(p, at);
    EXPECT_LE(double(x->arenaBytes()), 1.15 * double(use.live) + 4096) << p.entry.name;
    EXPECT_LE(double(use.planned), 1.15 * double(use.live)) << p.entry.name;
    EXPECT_GE(use.planned, use.live) << p.entry.name; // the arena is smaller where a buffer has no use at these sizes
    fmt::print("{} {}: arena {} bytes, {:.3f} of the most alive\n", GetParam(), p.entry.name, use.planned, double(use.planned) / double(std::max<int64_t>(use.live, 1)));
  }
}

TEST_P(Saved, HaveEachKernelOnce) {
  std::set<std::string> keys;
  Manifest m = manifest(GetParam());
  for (const Kernel &k : m.kernels) EXPECT_TRUE(keys.insert(k.key).second) << k.what;
  EXPECT_GT(keys.size(), 5u);
}

TEST(SavedDecoder, AllocatesOnlyWhereItsMemoryIsPlannedAnew) {
  auto x = loadExecutable(manifest("charlm"));
  Binding at = sizes("charlm");
  x->run(*x->find("init"), inputsAt(*x->find("init"), at, 0));
  x->resetCaches(at["B"], 400);
  at["T"] = at["S"] = 4;
  x->run(*x->find("prefill"), inputsAt(*x->find("prefill"), at, 0));
  const Entry &decode = *x->find("decode");
  std::vector<std::vector<Array>> inputs;
  at["T"] = 1;
  for (int64_t s = 4; s < 394; ++s) at["S"] = s + 1, inputs.push_back(inputsAt(decode, at, s, s));
  std::vector<Array> out;
  int64_t positions = 0, all = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const int64_t before = allocations;
    x->run(decode, inputs[i], out);
    if (i >= 20 && allocations > before) ++positions, all += allocations - before;
  }
  fmt::print("{} of 370 positions allocate, {} times together\n", positions, all);
  EXPECT_LE(positions, 20); // a plan leaves an eighth of room, and the past grows sixteenfold
}
