// SPDX-License-Identifier: Apache-2.0
// Compiled programs as files: what is read is what was written, and no damage goes unseen.
#include "runtime/exec/file.h"
#include "runtime/base/memory_files.h"
#include "tests/runtime/manifests.h"
#include "tests/runtime/temporary_folder.h"
#include <gtest/gtest.h>

using namespace fil;
using namespace fil::test;

namespace {
/// A bit of everything.
Manifest everything() {
  Manifest m = nested(3, 4, true, false);
  for (const Program &p : decoder().programs) m.programs.push_back(p);
  m.storages = decoder().storages;
  m.storages.push_back({"w", DType::F64, {"L", "Card"}, {Size(2), Size::symbol("Card")}});
  m.storages.push_back({"derived", DType::F32, {"A"}, {Size(2)}, Storage::Derived, {1}});
  for (int l = 0; l < 2; ++l) m.variables.push_back({{VariableInfo::Optimizer, "l[" + std::to_string(l) + "].w#m", DType::F64, {3}, {"Card"}}, 1, {{0, l}}, {1}});
  VariableInfo all{.kind = VariableInfo::Param, .name = "all", .dtype = DType::F64, .shape = {3}, .dims = {"Card"}, .adapter = 0.5, .mask = true, .kept = 7, .adapterSlots = true, .predictor = true, .scale = true, .qatBits = 3, .bits = 4,
                   .together = 2, .packed = 1, .families = 2, .thinned = VariableInfo::Thinned{1, 4, 16}, .neurons = VariableInfo::Neurons{"gate", 1, "B", 16, {{"l#0", 3}}}};
  VariableInfo some{.name = "some", .dtype = DType::F64, .shape = {3}, .dims = {"Card"}, .predictor = true, .families = 1, .thinned = {}, .neurons = {}};
  for (const VariableInfo &info : {all, some}) m.variables.push_back({info, 1, {{0, 0}}, {1}});
  m.bounds = {{"Card", 3}};
  m.kernels = {{"key", 0, 3, "nothing"}};
  m.code = {std::byte(0x31), std::byte(0xc0), std::byte(0xc3)};
  m.target = "x86-64";
  ProgramBuilder p("odd");
  const int in = p.input("x", {Size::ceil(n() / Size(16)), Size::min(n(), Size(7))});
  p.program.entry.inputs[0].indexBound = Size(9);
  const int out = p.output("y", DType::I32, {Size(2)});
  ChoiceStep c;
  c.of = Size::floor(n() / Size(3)), c.limit = 5, c.upTo = {{FillStep{{out, 0, {}}, 8}}}, c.above = {{CopyStep{{out, 0, {}}, {in, 0, {}}, 8}}};
  p.program.steps = {{c}, {LoopStep{3, 2, 5, false, {{TurnStep{{out, 0, {{3, 4}}}, 3}}}}}, {OnceStep{2, {{FillStep{{out, 0, {}}, 8}}}}}};
  m.programs[0].writes = {1};
  m.programs.push_back(p.program);
  return m;
}
std::string saved(const Manifest &m) {
  MemoryFiles files;
  saveManifest(files, "p", m);
  return files.content["p"];
}
std::string codeOfLoading(std::string content) {
  MemoryFiles files;
  files.content["p"] = std::move(content);
  return codeOf([&] { loadManifest(files, "p"); });
}
} // namespace

TEST(ExecFile, WhatIsReadIsWhatWasWritten) {
  MemoryFiles files;
  saveManifest(files, "p", everything());
  Manifest m = loadManifest(files, "p");
  EXPECT_EQ(saved(m), files.content["p"]);
  EXPECT_EQ(m.code, everything().code);
  EXPECT_EQ(m.variables.back().info.families, 1);
  EXPECT_EQ(m.variables.back().info.together, 1);
  EXPECT_EQ(m.programs[3].entry.inputs[0].sizes, everything().programs[3].entry.inputs[0].sizes);
  EXPECT_EQ(values(loadExecutable(m, kernels())->run(m.programs[0].entry, {}).at(0)), values(loadExecutable(everything(), kernels())->run(m.programs[0].entry, {}).at(0)));
}

TEST(ExecFile, EachElementTypeIsRead) {
  for (int t = 0; t <= int(DType::E5M2); ++t) {
    Manifest m = everything();
    m.storages.push_back({"narrow", DType(t), {"A"}, {Size(2)}});
    MemoryFiles files;
    saveManifest(files, "p", m);
    EXPECT_EQ(loadManifest(files, "p").storages.back().dtype, DType(t)) << name(DType(t));
  }
}
TEST(ExecFile, OnTheDiskItRunsItsCode) {
  TemporaryFolder folder;
  Manifest m = unary(0, 0);
  m.kernels = {{"nothing", 0, 3, ""}}, m.code = {std::byte(0x31), std::byte(0xc0), std::byte(0xc3)};
  for (int again = 0; again < 2; ++again) saveManifest(systemFiles(), folder / "p.filx", m);
  auto x = loadExecutable(loadManifest(systemFiles(), folder / "p.filx"));
  EXPECT_EQ(values(x->run(x->entries()[0], {floats({1})}).at(0)), (std::vector<float>{0}));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path), {}), 1);
  EXPECT_EQ(codeOf([&] { loadManifest(systemFiles(), folder / "none"); }), "E0501");
}

TEST(ExecFile, EachFlippedByteIsSeen) {
  const std::string good = saved(everything());
  ASSERT_EQ(codeOfLoading(good), "");
  for (size_t i = 0; i < good.size(); ++i)
    for (int bits : {1, 0x80, 0xff}) {
      std::string bad = good;
      bad[i] = char(bad[i] ^ bits);
      EXPECT_EQ(codeOfLoading(bad), i < 16 ? "E0519" : "E0520") << i;
    }
}

TEST(ExecFile, EachTruncationAndForeignFileIsRefused) {
  const std::string good = saved(everything());
  for (size_t n = 0; n < good.size(); ++n) EXPECT_EQ(codeOfLoading(good.substr(0, n)), n < 40 ? "E0519" : "E0520");
  EXPECT_EQ(codeOfLoading(good + "x"), "E0520");
  EXPECT_EQ(codeOfLoading("\x7f" "ELF" + std::string(100, ' ')), "E0519");
}
