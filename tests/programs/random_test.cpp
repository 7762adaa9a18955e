// SPDX-License-Identifier: Apache-2.0
// Random programs over the whole language: what must hold of every program, held against hundreds. A failure prints its seed,
// the program, and the smallest program found that fails in the same way; `FIL_TEST_SEED=17` runs that one
// alone, `FIL_TEST_SEED=1000..2000` a thousand others.
#include "tests/programs/checks.h"
#include "tests/programs/generator.h"
#include <csignal>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

using namespace fil::programs;
namespace {

std::string underWay; ///< printed where the compiler itself falls
void fallen(int signal) {
  [[maybe_unused]] auto n = write(2, underWay.data(), underWay.size());
  std::signal(signal, SIG_DFL);
  raise(signal);
}

struct Tally {
  int programs = 0, undecided = 0;
  std::map<std::string, int> features, ops;
} tally;

void one(uint64_t seed) {
  Generated g = generate(seed);
  underWay = fmt::format("seed {}\n{}\n", seed, g.text);
  Report r = check(g.text, g.sizes);
  ++tally.programs, tally.undecided += !r.gradientDecided;
  for (const std::string &f : g.features) ++tally.features[f];
  for (const std::string &f : r.ops) ++tally.ops[f];
  if (!r.failure) return;
  std::string sizes;
  for (auto &[d, n] : g.sizes) sizes += fmt::format(" {}={}", d, n);
  ADD_FAILURE() << "seed " << seed << "," << sizes << ": " << r.failure->check << ": " << r.failure->detail << "\n" << g.text << "\nsmaller:\n" << shrunk(g.text, g.sizes, *r.failure);
}
constexpr uint64_t perTest = 35, tests = 10;
} // namespace

class RandomPrograms : public testing::TestWithParam<uint64_t> {};
TEST_P(RandomPrograms, HoldWhatEveryProgramMust) {
  std::signal(SIGABRT, fallen), std::signal(SIGSEGV, fallen);
  if (const char *only = std::getenv("FIL_TEST_SEED")) {
    const std::string range = only;
    const size_t dots = range.find("..");
    const uint64_t from = std::stoull(range), to = dots == std::string::npos ? from + 1 : std::stoull(range.substr(dots + 2));
    for (uint64_t seed = from; seed < to && GetParam() == 0; ++seed) one(seed);
    return;
  }
  for (uint64_t seed = GetParam() * perTest; seed < (GetParam() + 1) * perTest; ++seed) one(seed);
}
INSTANTIATE_TEST_SUITE_P(Seeds, RandomPrograms, testing::Range<uint64_t>(0, tests));

/// The programs say something: every construct and every op is among them, and gradients could be told by differences.
class Together : public testing::TestWithParam<uint64_t> {};
TEST_P(Together, CoverTheLanguage) {
  if (tally.programs < int(perTest * tests)) GTEST_SKIP() << "only " << tally.programs << " programs were run";
  for (const char *f : {"elementwise", "reduction", "reduction of all dims", "normalizer", "map", "square map", "named sides", "map to a scalar", "map of several dims", "function of a map", "dot", "dot with batch dims",
                        "table", "tied table", "index of the largest", "absent elements", "bool", "gain", "whole numbers", "one position", "split", "concat", "rename", "convolution", "pooling", "window over one dim", "stopgrad",
                        "dropout", "function", "cache", "sparse attention", "select", "scatter", "chosen neurons", "route", "balancing state", "all experts", "aux", "aux trains", "layers", "nested layers", "layers over a list",
                        "several carried values", "carried type changes", "static condition", "block", "block used twice", "shared instance", "block with a body", "BatchNorm", "state", "cross-entropy", "focal loss"})
    EXPECT_GE(tally.features[f], 3) << f;
  for (const char *op : {"constant", "iota", "random", "contract", "gather", "scatter", "topk", "present", "window", "unwindow", "concat", "slice", "unslice", "rename", "broadcast", "cache", "stopgrad", "aux", "layers", "read", "write", "size",
                         "reduce sum", "reduce min", "reduce max", "reduce argmax", "map add", "map sub", "map mul", "map div", "map pow", "map mod", "map min", "map max", "map neg", "map abs", "map sign", "map exp", "map log", "map sqrt",
                         "map rsqrt", "map sin", "map cos", "map tanh", "map erf", "map floor", "map ceil", "map eq", "map lt", "map le", "map gt", "map ge", "map and", "map or", "map not", "map select", "map cast"})
    EXPECT_GE(tally.ops["fil." + std::string(op)], 3) << op;
  EXPECT_LE(tally.undecided, tally.programs / 20) << "programs without a point that has no kink within reach";
  RecordProperty("undecided", tally.undecided);
}
INSTANTIATE_TEST_SUITE_P(RandomPrograms, Together, testing::Values(perTest * tests)); // so that it is last
