// SPDX-License-Identifier: Apache-2.0
// The examples as programs: what must hold of every program holds of them at small sizes, and their modules are what the dialect
// promises: own tensors without formats, loops that stay loops.
#include "mlir/IR/AttrTypeSubElements.h"
#include "tests/programs/checks.h"
#include "tests/programs/compiled.h"
#include "tests/programs/modules.h"
#include <fstream>
#include <gtest/gtest.h>

using namespace fil;
using namespace fil::programs;

namespace {
struct Example {
  const char *file, *model;
  std::map<std::string, int64_t> dims; ///< small sizes, as by `--dim`
  Binding sizes;
};
void PrintTo(const Example &e, std::ostream *out) { *out << e.file; }
const std::vector<Example> all = {
    {"01_mnist/mnist", "Classifier", {{"P", 7}, {"F", 5}, {"K", 3}}, {{"B", 4}}},
    {"02_charlm/charlm", "CharLM", {{"V", 7}, {"D", 8}, {"L", 2}, {"H", 2}}, {{"B", 2}, {"T", 4}}},
    {"04_deepmoe/deepmoe", "DeepMoE", {{"V", 7}, {"D", 6}, {"L", 3}, {"H", 2}, {"N", 2}, {"R", 2}, {"Vh", 3}, {"Cq", 4}, {"Ckv", 5}, {"I", 2}, {"J", 4}, {"E", 5}, {"F", 3}, {"Fd", 4}}, {{"B", 2}, {"T", 4}}},
    {"05_resnet/resnet", "ResNet50", {{"C", 1}, {"K", 3}}, {{"B", 3}, {"Y", 32}, {"X", 32}}},
    {"06_fraud/fraud", "Fraud", {{"Fn", 9}, {"M", 3}, {"Hid", 5}, {"Em", 4}}, {{"B", 5}, {"Card", 6}}},
};
/// The file without plans and without models other than this one.
std::string textOf(const Example &e) {
  std::ifstream in(std::string(FIL_SOURCE_DIR "/examples/") + e.file + ".fil");
  std::string all, line;
  int depth = 0;
  bool skipped = false;
  while (std::getline(in, line)) {
    if (depth == 0) skipped = line.rfind("plan ", 0) == 0 || (line.rfind("model ", 0) == 0 && line.find(e.model) == std::string::npos);
    for (char c : line) depth += (c == '{') - (c == '}');
    if (!skipped) all += line + "\n";
  }
  return all;
}
size_t opsOf(mlir::ModuleOp m) {
  size_t n = 0;
  m.walk([&](mlir::Operation *) { ++n; });
  return n;
}
} // namespace

class Examples : public testing::TestWithParam<Example> {};
INSTANTIATE_TEST_SUITE_P(All, Examples, testing::ValuesIn(all), [](auto &i) { return i.param.model; });

TEST_P(Examples, HoldWhatEveryProgramMust) {
  Report r = check(textOf(GetParam()), GetParam().sizes, GetParam().dims);
  EXPECT_FALSE(r.failure) << r.failure->check << ": " << r.failure->detail;
  EXPECT_TRUE(r.gradientDecided);
}

TEST_P(Examples, HaveOwnTensorsWithoutFormatsBeforePrecision) {
  CompiledProgram c(textOf(GetParam()));
  for (auto &m : c.modules) {
    size_t tensors = 0;
    mlir::AttrTypeWalker walker;
    walker.addWalk([&](mlir::TensorType t) { ADD_FAILURE() << "a builtin tensor after " << name(m.stage); });
    walker.addWalk([&](ir::TensorType t) {
      ++tensors;
      EXPECT_FALSE(mlir::isa<mlir::FloatType>(t.getElement())) << "a number format after " << name(m.stage);
    });
    m.module->walk([&](mlir::Operation *op) {
      for (mlir::Type t : op->getResultTypes()) walker.walk(t);
      for (mlir::Value v : op->getOperands()) walker.walk(v.getType());
      for (mlir::Region &r : op->getRegions())
        for (mlir::Block &b : r)
          for (mlir::Type t : b.getArgumentTypes()) walker.walk(t);
      for (mlir::NamedAttribute a : op->getAttrs())
        if (!mlir::isa<mlir::FloatAttr>(a.getValue())) walker.walk(a.getValue());
    });
    EXPECT_GT(tensors, 10u);
  }
}

TEST(Examples, HaveAsManyOpsAsOneTurnNeedsHoweverManyThereAre) {
  int loops = 0;
  for (const Example &e : all) {
    const std::string text = textOf(e);
    if (text.find("0..L ") == std::string::npos) continue; // of its own number of stages
    ++loops;
    auto dims = e.dims;
    std::vector<size_t> few, many;
    for (auto [layers, counts] : {std::pair{6, &few}, std::pair{48, &many}}) {
      dims["L"] = layers;
      CompiledProgram c(text, dims);
      for (auto &m : c.modules) counts->push_back(opsOf(*m.module));
    }
    EXPECT_EQ(few, many) << e.file;
  }
  EXPECT_GE(loops, 2);
}
