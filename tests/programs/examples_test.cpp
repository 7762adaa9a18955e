// SPDX-License-Identifier: Apache-2.0
// The examples as programs: what must hold of every program holds of them at small sizes, and their modules are what the dialect
// promises: own tensors without formats, loops that stay loops.
#include "mlir/IR/AttrTypeSubElements.h"
#include "tests/programs/checks.h"
#include "tests/programs/compiled.h"
#include "tests/programs/examples.h"
#include "tests/programs/modules.h"
#include <gtest/gtest.h>

using namespace fil;
using namespace fil::programs;

namespace {
size_t opsOf(mlir::ModuleOp m) {
  size_t n = 0;
  m.walk([&](mlir::Operation *) { ++n; });
  return n;
}
} // namespace

class Examples : public testing::TestWithParam<Example> {};
INSTANTIATE_TEST_SUITE_P(All, Examples, testing::ValuesIn(examples), [](auto &i) { return i.param.model; });

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
  for (const Example &e : examples) {
    if (textOf(e).find("0..L ") == std::string::npos) continue; // of its own number of stages
    ++loops;
    auto dims = e.dims;
    for (const std::string &plan : {std::string(), " for " + std::string(e.model) + " { lora { l[2..4].**: r=2; l[4..].**: r=3 } }"}) { // facets part a loop, and no more
      std::vector<size_t> few, many;
      for (auto [layers, counts] : {std::pair{6, &few}, std::pair{48, &many}}) {
        dims["L"] = layers;
        CompiledProgram c(textOf(e) + (plan.empty() ? "" : "plan cut" + plan + "\n"), dims);
        for (auto &m : c.modules) counts->push_back(opsOf(*m.module));
      }
      EXPECT_EQ(few, many) << e.file << plan;
    }
  }
  EXPECT_GE(loops, 2);
}
