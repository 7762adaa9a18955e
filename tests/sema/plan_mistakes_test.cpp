// SPDX-License-Identifier: Apache-2.0
// Mistakes in plans, one test for each kind of message, word for word; and garbage, which must not crash.
#include "lang/sema/plan_table.h"
#include "tests/sema/plans.h"
#include <gtest/gtest.h>
#include <random>

namespace fil {
namespace {

std::string mistake(const std::string &settings) { return loadPlan("plan p for Small {\n" + settings + "\n}")->diags.render(); }
/// Code and first line of the first message.
std::string firstLine(const std::string &settings) { return mistake(settings).substr(0, mistake(settings).find('\n')); }

TEST(PlanMistakes, AnUnknownClause) {
  EXPECT_EQ(mistake("trian { steps 5 }"), R"(error[P0401]: `trian` is no key of a plan
  --> test.fil:33:1
   |
33 | trian { steps 5 }
   | ^^^^^
   = help: did you mean `train`?
)");
}
TEST(PlanMistakes, AnUnknownKeyWithoutANearOneNamesAll) {
  EXPECT_EQ(mistake("target cpu { cores 2 }"), R"(error[P0401]: `cores` is no key of `target`
  --> test.fil:33:14
   |
33 | target cpu { cores 2 }
   |              ^^^^^
   = note: keys of `target`: mem threads
)");
}
TEST(PlanMistakes, AKeyOfAnotherClause) { EXPECT_NE(mistake("steps 5").find("did you mean `train { steps .. }`?"), std::string::npos); }
TEST(PlanMistakes, AKeyWithAnEqualsSign) { EXPECT_NE(mistake("train { batch=32 }").find("error[P0427]: a key takes its value without `=`\n"), std::string::npos); }
TEST(PlanMistakes, WhatIsOutsideOfLayersIsNotComputedAgain) {
  EXPECT_EQ(mistake("partition { remat MLA emb }"), R"(error[P0428]: `emb` is outside of `layers`, and `remat` is about what layers save for their gradient
  --> test.fil:33:23
   |
33 | partition { remat MLA emb }
   |                       ^^^
   = help: name a block within `layers`, or leave it out
)");
  EXPECT_NE(mistake("partition { remat Attn }").find("did you mean `attn`?"), std::string::npos);
}
TEST(PlanMistakes, AnOptionWithoutItsEqualsSign) {
  EXPECT_NE(mistake("train { validate every 200 }").find("write `every=..`"), std::string::npos);
  EXPECT_NE(mistake("train { checkpoint every 200 }").find("write `every=..`"), std::string::npos);
}
TEST(PlanMistakes, ASignIsArithmetic) { EXPECT_EQ(firstLine("train { seed -1 }"), "error[P0426]: `seed - 1` is arithmetic, and not the key `seed` with a value"); }
TEST(PlanMistakes, AKeyThatIsADimOrAMetric) {
  EXPECT_EQ(firstLine("mesh dp=2; partition { Q over dp }"), "error[P0401]: `Q` is no key of `partition`");
  EXPECT_NE(mistake("require { acuracy >= 0.5 }").find("did you mean `accuracy`?"), std::string::npos);
}
TEST(PlanMistakes, AKeyTwice) {
  EXPECT_EQ(mistake("train { steps 5; batch 3; steps 6 }"), R"(error[P0402]: `steps` is given twice
  --> test.fil:33:27
   |
33 | train { steps 5; batch 3; steps 6 }
   |         ----- first given here
   |                           ^^^^^
   = help: keep one of them
)");
  EXPECT_EQ(firstLine("train { }; train { }"), "error[P0402]: `train` is given twice");
  EXPECT_EQ(firstLine("require { loss <= 3; loss <= 2 }"), "error[P0402]: `loss` is given twice");
  EXPECT_EQ(mistake("require { loss <= 3; loss >= 2 }"), "");
  EXPECT_EQ(firstLine("train { validate every=3 every=4 }"), "error[P0402]: `every=` is given twice");
  EXPECT_EQ(firstLine("train { optim adamw(lr=1, lr=2) }"), "error[P0408]: `adamw(..)` does not take `lr=`");
}
TEST(PlanMistakes, StepsAndEpochs) { EXPECT_EQ(firstLine("train { steps 5; epochs 6 }"), "error[P0415]: `steps` and `epochs` exclude each other"); }
TEST(PlanMistakes, SitesWhereNoneStand) { EXPECT_EQ(firstLine("train { MLA: steps 3 }"), "error[P0403]: `MLA: ..` is a line of sites, which `train` does not take"); }
TEST(PlanMistakes, AValueOfAnotherKind) {
  EXPECT_EQ(mistake("train { batch many }"), R"(error[P0404]: `batch` takes a whole number from 1 on, such as `32`, found `many`
  --> test.fil:33:15
   |
33 | train { batch many }
   |               ^^^^
   = help: for example `batch 32`
)");
  for (const char *bad : {"0", "1.5", "1e999", "\"5\"", "1x2", "99999999999999999999", "1..3"}) EXPECT_EQ(firstLine(std::string("train { steps ") + bad + " }").substr(0, 12), "error[P0404]") << bad;
  EXPECT_EQ(firstLine("train { split 1.0 }"), "error[P0404]: `split` takes a share above 0 and below 1, such as `0.9` or `90%` or `by`, found `1.0`");
  EXPECT_EQ(firstLine("train { optim adamw(b1=1) }"), "error[P0404]: `adamw(..)` takes a number from 0 to below 1, such as `0.9`, found `1`");
  EXPECT_EQ(firstLine("train { optim adamw(lr=0) }"), "error[P0404]: `adamw(..)` takes a number above 0, such as `1e-3`, found `0`");
  EXPECT_EQ(firstLine("train { optim adamw(decay=cosin) }"), "error[P0404]: `adamw(..)` takes `constant` or `cosine`, found `cosin`");
}
TEST(PlanMistakes, ANearWordIsNamed) {
  EXPECT_NE(mistake("train { optim adamv(lr=1e-3) }").find("did you mean `adamw`?"), std::string::npos);
  EXPECT_NE(mistake("precision { default bf61 }").find("did you mean `bf16`?"), std::string::npos);
  EXPECT_NE(mistake("train { validate acuracy }").find("did you mean `accuracy`?"), std::string::npos);
  EXPECT_NE(mistake("train { optim adamw(wrmup=3) }").find("did you mean `warmup`?"), std::string::npos);
  EXPECT_NE(mistake("train { loss nnl }").find("did you mean `nll`?"), std::string::npos);
  EXPECT_NE(mistake("train { loss nll(smoth=1) }").find("did you mean `smooth`?"), std::string::npos);
  EXPECT_NE(mistake("target cpu.avx51").find("did you mean `cpu.avx512` or `cpu.avx2`?"), std::string::npos);
  EXPECT_NE(mistake("explain { monotone x.aeg up }").find("did you mean `x.age`?"), std::string::npos);
}
TEST(PlanMistakes, AWrongUnit) {
  EXPECT_EQ(mistake("target cpu { mem 16Gib }"), R"(error[P0405]: `16Gib` has the wrong unit: `mem` takes a number of bytes in B KB MB GB TB KiB MiB GiB TiB, such as `16GiB`
  --> test.fil:33:18
   |
33 | target cpu { mem 16Gib }
   |                  ^^^^^
)");
  EXPECT_EQ(firstLine("train { steps 5k }").substr(0, 12), "error[P0405]");
  EXPECT_EQ(firstLine("rollout { shadow 7days -> canary 1% each 1h }").substr(0, 12), "error[P0405]");
  EXPECT_EQ(firstLine("require { accuracy >= 5ms }").substr(0, 12), "error[P0405]");
  EXPECT_EQ(firstLine("require { latency(B=1) <= 5GiB }").substr(0, 12), "error[P0405]");
  EXPECT_EQ(firstLine("require { mem <= 5 }").substr(0, 12), "error[P0405]");
}
TEST(PlanMistakes, AShareAboveOne) { EXPECT_EQ(firstLine("require { accuracy >= 97 }").substr(0, 12), "error[P0404]"); }
TEST(PlanMistakes, AMissingValue) {
  EXPECT_EQ(mistake("train { batch }"), R"(error[P0406]: `batch` needs a whole number from 1 on, such as `32`
  --> test.fil:33:13
   |
33 | train { batch }
   |             ^
   = help: for example `batch 32`
)");
  EXPECT_EQ(firstLine("sparsity { FFN: rigl }"), "error[P0406]: `FFN` needs `density=`");
  EXPECT_EQ(firstLine("sparsity { FFN: gate neurons }"), "error[P0449]: `FFN: gate neurons` says no `keep`, and the plan no budget");
  EXPECT_EQ(firstLine("train { checkpoint }"), "error[P0406]: `checkpoint` needs `every=`");
  EXPECT_EQ(firstLine("train { optim sgd(momentum=0.9) }"), "error[P0406]: `sgd(..)` needs `lr=`");
  EXPECT_EQ(firstLine("train { tokens bpe() }"), "error[P0406]: `bpe(..)` needs a whole number from 1 on, such as `32`");
  EXPECT_EQ(firstLine("fallback { on error -> }"), "error[P0406]: `on` needs a model of the program");
}
TEST(PlanMistakes, AnUnknownOption) {
  EXPECT_EQ(mistake("train { checkpoint evry=5 }"), R"(error[P0407]: `checkpoint` has no setting `evry=`
  --> test.fil:33:20
   |
33 | train { checkpoint evry=5 }
   |                    ^^^^
   = help: did you mean `every`?
)");
  EXPECT_EQ(firstLine("train { steps 5 fast=1 }"), "error[P0407]: `steps` has no setting `fast=`");
  EXPECT_EQ(firstLine("train { window D=5 }"), "error[P0407]: `window` has no setting `D=`");
}
TEST(PlanMistakes, AValueTooMany) {
  EXPECT_EQ(firstLine("train { steps 5 6 }"), "error[P0408]: `steps` does not take `6`");
  EXPECT_EQ(firstLine("train { steps 5, 6 }"), "error[P0408]: `steps` does not take `6`");
  EXPECT_EQ(firstLine("train fast { }"), "error[P0408]: `train` does not take `fast`");
  std::string many;
  for (int i = 0; i < 5000; ++i) many += " 5";
  EXPECT_EQ(firstLine("train { steps" + many + " }"), "error[P0408]: `steps` does not take `more than 1000 values`");
}
TEST(PlanMistakes, SettingsWhereNoneBelong) { EXPECT_EQ(firstLine("train { steps 5 { batch 3 } }"), "error[P0410]: `steps` takes no settings in braces"); }
TEST(PlanMistakes, NamesOfOtherPlansAndModels) {
  auto of = [](const std::string &plans) { return loadPlan(plans + "\nmodel Other(x: [B,F]) -> [B,F] { return x }")->diags.render(); };
  EXPECT_NE(of("plan b for Smal { }").find("error[E0106]: there is no model `Smal`"), std::string::npos);
  EXPECT_NE(of("plan aa for Small { }\nplan b for Small from ab { }").find("error[P0411]: there is no plan `ab`"), std::string::npos);
  EXPECT_NE(of("plan a for Small from b { }\nplan b for Small from a { }").find("error[P0413]: plan `a` inherits from itself"), std::string::npos);
  EXPECT_NE(of("plan a for Small from a { }").find("error[P0413]"), std::string::npos);
  EXPECT_NE(of("plan a for Other { }\nplan b for Small from a { }").find("error[P0414]: `b` is for `Small`, but inherits from `a`, which is for `Other`"), std::string::npos);
  EXPECT_NE(of("plan a for Other { train { } }").find("error[P0418]: no loss of the program fits `Other`"), std::string::npos);
}
TEST(PlanMistakes, SeveralLosses) {
  const std::string more = "\nloss other(y: [B,T,V], t: index<V>[B,T]) = mean(xent(y, t, over V), over B, T)\n";
  EXPECT_NE(loadPlan("plan p for Small { train { } }" + more)->diags.render().find("error[P0419]: several losses fit `Small`: `nll`, `other`"), std::string::npos);
  auto p = loadPlan("plan p for Small { train { loss other } }" + more);
  ASSERT_TRUE(p->ok()) << p->diags.render();
  EXPECT_EQ(p->plans[0].train.loss->name.name, "other");
}
TEST(PlanMistakes, DataThatDoNotFit) {
  const std::string all = "x=npy(\"x\"), tok=npy(\"tok\")";
  EXPECT_EQ(mistake("train { data " + all + ", t=idx(\"t\") }"), "");
  EXPECT_EQ(firstLine("train { data " + all + " }"), "error[P0416]: nothing feeds the input `t` of `Small`");
  EXPECT_NE(mistake("train { data " + all + ", tt=npy(\"t\") }").find("did you mean `t`?"), std::string::npos);
  EXPECT_EQ(firstLine("train { data text(\"a\"); window T=8 }"), "error[P0416]: nothing feeds the input `x` of `Small`");
  EXPECT_EQ(firstLine("train { data " + all + ", text(\"a\") }"), "error[P0417]: a text stands alone: it gives `tok`, `pos` and `t`");
  EXPECT_EQ(firstLine("train { data npy(\"a\") }"), "error[P0417]: which input does this array feed?");
  EXPECT_EQ(firstLine("train { data x=csv(\"a\") }").substr(0, 12), "error[P0404]");
  EXPECT_EQ(firstLine("train { data x=npy(\"a\")/0 }").substr(0, 12), "error[P0404]");
  EXPECT_EQ(firstLine("train { data }").substr(0, 12), "error[P0406]");
  EXPECT_EQ(firstLine("train { batch T=4; data " + all + ", t=npy(\"t\") }"), "error[P0417]: `x` is [B,F] and has no dim `T`, along which arrays count samples");
  EXPECT_EQ(firstLine("train { window T=4; data " + all + ", t=npy(\"t\") }"), "error[P0421]: `window` binds `T`, but `p` reads no text");
}
TEST(PlanMistakes, PositionsCountByThemselves) {
  auto of = [](const std::string &type) {
    return loadPlan("plan p for Row { train { data x=npy(\"x\"), y=npy(\"y\") } }\nmodel Row(x: [B,T], pos: " + type + ") -> [B,T] { param w: [] = 1; return x * w * pos }\n"
                    "loss far(z: [B,T], y: [B,T]) = mean((z - y)^2, over B, T)\n")->diags.render();
  };
  EXPECT_EQ(of("int[T]"), "");
  EXPECT_NE(of("int[B]").find("error[P0416]: nothing feeds the input `pos` of `Row`"), std::string::npos);
  EXPECT_NE(of("[T]").find("error[P0416]: nothing feeds the input `pos` of `Row`"), std::string::npos);
}
TEST(PlanMistakes, MetricsWithoutTheirLabel) {
  EXPECT_EQ(firstLine("train { validate recall }"), "error[P0425]: `recall` needs a label: the loss `nll` has no parameter `bool[..]`");
  EXPECT_EQ(firstLine("require { fpr <= 0.1 }").substr(0, 12), "error[P0425]");
  EXPECT_EQ(firstLine("require { loss <= 3 on val }"), "error[P0423]: `on val` needs held-out data");
}
TEST(PlanMistakes, AxesAreThoseOfTheMesh) {
  EXPECT_EQ(mistake("mesh dp=2; partition { B over dp }"), "");
  EXPECT_EQ(firstLine("partition { B over dp }").substr(0, 12), "error[P0404]");
  EXPECT_NE(mistake("mesh dpp=2; partition { B over dp }").find("did you mean `dpp`?"), std::string::npos);
}
TEST(PlanMistakes, SeveralAreReportedTogether) { EXPECT_EQ(loadPlan("plan p for Small { train { steps x; batch y; sede 3 }; mehs dp=2 }")->diags.errors(), 4u); }

// ---- garbage ----

struct Garbage {
  std::mt19937_64 random;
  explicit Garbage(uint64_t seed) : random(seed) {}
  size_t below(size_t n) { return size_t(random() % n); }
  template <class T> const T &one(const std::vector<T> &v) { return v[below(v.size())]; }

  std::string value() {
    static const std::vector<std::string> values = {"1", "0", "0.5", "1e300", "999999999999999999999", "5%", "3x", "1GiB", "7d", "1x128", "1f1b", "\"a\"", "true", "x", "nll", "cpu", "B", "dp", "text(\"a\")",
      "npy(\"a\")/255", "idx()", "adamw(lr=1e-3)", "sgd(lr=1, lr=2)", "adamw(x)", "nll(smooth=1)", "a.b.c", "loss <= 3", "a < b and c > 1", "Small@\"f\"", "1..3", "1..=8", "->", "T", "kl(T=2)*0.5 + nll",
      "f(x -> y)", "f([1, (2, 3)], s*, a by b:3 stride 2, over ..)", "f(if a { 1 } else { 2 })", "f(-x ^ 2 where not a or b)", "f(x[T=0], (a + b) * c)"};
    return one(values);
  }
  std::string key(const std::string &clause) {
    if (!below(5)) return one(std::vector<std::string>{"x", "loss", "B", "over", "1", "accuracy >= 0.5", "stage", "a.b"});
    std::vector<std::string> keys = sema::keysOf(clause);
    return keys.empty() ? "x" : one(keys);
  }
  std::string setting(const std::string &clause, int depth) {
    std::string t, k = key(clause);
    if (!below(6)) t = one(std::vector<std::string>{"MLA", "**.e[*]", "l[1..].{wd,x}", "s*", "*.*", "FFN[W=12]", "nothing"}) + ": ";
    t += k;
    for (size_t i = below(5); i--;) {
      if (!below(6)) t += ",";
      std::string v = value();
      if (!below(3) && v != "->") v = one(std::vector<std::string>{"every", "T", "x", "lr", "dp.grad", "keep"}) + "=" + v;
      t += " " + v;
    }
    if (depth && below(3)) {
      t += " {";
      for (size_t i = below(4); i--;) t += "\n" + setting(clause.empty() ? k : clause + "." + k, depth - 1);
      t += "\n}";
    }
    return t;
  }
};
bool parses(const std::string &text) {
  SourceManager sources;
  Diagnostics diags(sources);
  parse(sources.add("x", text), diags);
  return diags.errors() == 0;
}

TEST(PlanGarbage, NeverCrashesAndEveryMistakeHasAPlace) {
  const std::string model = "dims B, T, D=4\nmodel Small(x: [B,D]) -> [B,D] { param w: D -> (F:D)\n return rename(x @ w, F=D) }\nloss nll(y: [B,D], t: [B,D], smooth=0) = mean((y - t)^2, over B, D)\n";
  size_t wrong = 0, planned = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Garbage g(seed);
    std::string text = model;
    for (int i = 0; i < 10; ++i) {
      std::string plan = fmt::format("plan p{} for Small {} {{\n", i, i && !g.below(3) ? fmt::format("from p{}", g.below(size_t(i))) : "");
      for (size_t k = 1 + g.below(5); k--;) plan += g.setting("", 2) + "\n";
      plan += "}\n";
      if (parses(plan)) text += plan, ++planned;
      else text += fmt::format("plan p{} for Small {{ }}\n", i);
    }
    auto p = loadText(text);
    ASSERT_TRUE(p->program) << p->diags.render();
    for (const Diagnostic &d : p->diags.all()) EXPECT_TRUE(d.span.valid()) << d.text;
    EXPECT_FALSE(p->diags.render().empty());
    wrong += p->diags.errors();
    std::string again = model; // whatever a plan says, its text is a plan, and the same one
    for (const sema::CheckedPlan &plan : p->plans) again += plan.text;
    auto q = loadText(again);
    ASSERT_TRUE(q->program) << again << q->diags.render();
    ASSERT_EQ(q->plans.size(), p->plans.size()) << again << q->diags.render();
    for (size_t i = 0; i < p->plans.size(); ++i) EXPECT_EQ(q->plans[i].text, p->plans[i].text);
  }
  EXPECT_GT(planned, 100u) << "most of the garbage does not parse: it tests nothing";
  EXPECT_GT(wrong, 100u);
}
TEST(PlanGarbage, KeysToSetNeverCrash) {
  auto p = loadPlan("plan p for Small { train { batch 3; optim adamw(lr=1) } }");
  size_t set = 0, refused = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Garbage g(seed);
    std::string clause = g.key(""), key = g.key(clause), path = clause;
    if (g.below(4)) path += "." + key;
    if (g.below(2)) path += "." + g.one(std::vector<std::string>{"lr", "every", "T", "x", "a.b"});
    path += "=" + g.value();
    if (!g.below(4)) path = "train." + g.one(std::vector<std::string>{"steps=", "seed=", "batch=", "optim.lr=", "optim=", "validate="}) + g.one(std::vector<std::string>{"1", "7", "sgd(lr=1)", "loss"});
    sema::CheckedPlan plan = p->plans[0];
    Diagnostics diags(p->sources);
    const bool ok = sema::setKey(*p->program, plan, path, diags);
    EXPECT_EQ(ok, diags.errors() == 0);
    if (!ok) EXPECT_EQ(plan.text, p->plans[0].text);
    (ok ? set : refused)++;
  }
  EXPECT_GT(set, 5u);
  EXPECT_GT(refused, 100u);
}

} // namespace
} // namespace fil
