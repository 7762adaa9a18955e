// SPDX-License-Identifier: Apache-2.0
// The programs that the language exists for.
#include "tests/lang/support.h"

using namespace fil;
using namespace fil::test;

TEST(Examples, AllCheckWithoutAMessage) {
  auto all = sourceFiles("examples", ".fil");
  EXPECT_GE(all.size(), 7u);
  for (const std::string &f : all) {
    if (f.find("seed_dsa") != std::string::npos) continue;
    std::vector<std::pair<std::string, std::string>> files{{f, sourceText(f)}};
    if (auto plan = f.rfind(".plan.fil"); plan != std::string::npos) files.push_back({f.substr(0, plan) + ".fil", sourceText(f.substr(0, plan) + ".fil")});
    auto p = checked(files);
    EXPECT_EQ(p->diags.render(), "") << f;
  }
}

TEST(Examples, TheTranscribedLayerIsRefusedWithTheReasonAndTheRemedy) {
  auto p = checked({{"seed_dsa.fil", sourceText("examples/07_seed_dsa/seed_dsa.fil")}});
  EXPECT_EQ(p->diags.render(), R"(warning[W0311]: selection `o*` depends only on parameters; it is the same for every input
 --> seed_dsa.fil:6:15
  |
6 |   select o* = topk(imp, 0.3 * Out, over Out)
  |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: for input-dependent sparsity score the input, e.g. `topk(x @ p, ..)`; for a fixed topology use `rigl` or `prune` in the plan
error[E0207]: `x[o*]` selects over `Out`, but `x` is [B, In] and has no dim `Out`
 --> seed_dsa.fil:7:10
  |
6 |   select o* = topk(imp, 0.3 * Out, over Out)
  |          -- `o*` is a subset of `Out` (the layer's outputs)
7 |   return x[o*] @ w[o*]
  |          ^^^^^ indexing an input by output neurons
  = help: to compute only the selected outputs, write `x @ w[o*]`
)");
}

/// Values of params or states of one model, for sizes that are known.
static int64_t values(LoadedProgram &p, const std::string &model, bool state) {
  auto g = p.program->elaborateModel(model, nullptr, nullptr, true);
  EXPECT_TRUE(g) << p.diags.render();
  int64_t n = 0;
  for (const sema::Variable &v : p.program->variables) {
    if (v.state != state) continue;
    Size size(1);
    for (const sema::Dim *d : v.type.dims) size = size * d->size;
    for (const sema::Loop *l : v.loops) size = size * Size(l->hi - l->lo);
    n += size.eval([&](const std::string &s) -> std::optional<int64_t> {
              const sema::Dim *d = p.program->dims.find(s);
              auto c = d ? d->size.eval([&](const std::string &t) -> std::optional<int64_t> { auto x = p.program->dims.find(t); auto k = x ? x->size.constant() : std::nullopt; return k ? std::optional(k->num) : std::nullopt; }) : std::nullopt;
              return c ? std::optional(c->num) : std::nullopt;
            }).value_or(Rational(INT64_MIN / 2)).num;
  }
  return n;
}

TEST(Examples, ParametersAreThoseOfTheModelsElsewhere) {
  auto charlm = checked({{"charlm.fil", sourceText("examples/02_charlm/charlm.fil")}});
  EXPECT_EQ(values(*charlm, "CharLM", false), 1082496);
  auto resnet = checked({{"resnet.fil", sourceText("examples/05_resnet/resnet.fil")}});
  EXPECT_EQ(values(*resnet, "ResNet50", false), 25556032);
  EXPECT_EQ(values(*resnet, "ResNet50", true), 53120);
  auto mnist = checked({{"mnist.fil", sourceText("examples/01_mnist/mnist.fil")}});
  EXPECT_EQ(values(*mnist, "Classifier", false), 784 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10);
}
