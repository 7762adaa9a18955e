// SPDX-License-Identifier: Apache-2.0
// The loop of training on the reference back end: resume, reports, validation, contracts.
#include "tests/train/model.h"
#include <cstring>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace fil;
using namespace fil::test;

namespace {
std::vector<nlohmann::json> lines(const TrainingRun &r) {
  std::vector<nlohmann::json> all;
  std::istringstream in(r.files.content.at("out/metrics.jsonl"));
  for (std::string line; std::getline(in, line);) all.push_back(nlohmann::json::parse(line));
  return all;
}
std::string codeOf(const std::function<void()> &f) {
  try {
    f();
  } catch (const Error &e) {
    return e.code();
  }
  return "";
}
TrainingRun charRun() {
  TrainingRun r(charText, someText());
  EXPECT_TRUE(r.program.executable) << r.program.errors();
  r.options.schedule = {0.01, 2, 7, true};
  r.options.batch = 3;
  r.options.sizes = {{"T", 6}};
  r.options.validates = true, r.options.validateEvery = 3;
  return r;
}
} // namespace

TEST(Train, AResumedRunHasTheBitsOfOneThatWasNeverStopped) {
  TrainingRun whole = charRun(), parts = charRun();
  EXPECT_TRUE(whole.start().finished);
  parts.options.stopAt = 2;
  EXPECT_EQ(parts.start().step, 2);
  parts.options.stopAt = 5; // counted from 0 also when it goes on
  EXPECT_EQ(parts.resume().step, 5);
  parts.options.stopAt.reset();
  EXPECT_TRUE(parts.resume().finished);

  SafeTensors a = readSafetensors(whole.files, "out/last.safetensors"), b = readSafetensors(parts.files, "out/last.safetensors");
  ASSERT_EQ(a.tensors.size(), whole.program.executable->variables().size());
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    EXPECT_EQ(a.tensors[i].first, b.tensors[i].first);
    EXPECT_EQ(std::memcmp(a.tensors[i].second.data.get(), b.tensors[i].second.data.get(), a.tensors[i].second.bytes()), 0) << a.tensors[i].first;
  }
  auto la = lines(whole), lb = lines(parts);
  ASSERT_EQ(la.size(), 7u);
  ASSERT_EQ(lb.size(), 7u);
  for (size_t i = 0; i < la.size(); ++i)
    for (const char *key : {"step", "loss", "grad_norm", "lr", "valid_loss"}) EXPECT_EQ(la[i].value(key, -1.0), lb[i].value(key, -1.0)) << i << key;
  EXPECT_EQ(whole.program.executable->get(whole.program.variable("l[1].seen")).at(0), 7);
}

TEST(Train, LinesOfStepsAfterTheCheckpointAreDroppedWhenItGoesOn) {
  TrainingRun r = charRun();
  r.options.stopAt = 4;
  r.start();
  r.files.content["out/metrics.jsonl"] += "{\"step\":5,\"loss\":1.0}\n{\"st"; // what a killed process left
  r.options.stopAt.reset();
  r.resume();
  auto all = lines(r);
  ASSERT_EQ(all.size(), 7u);
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i]["step"], i + 1);
}

TEST(Train, ALineHasTheKeysOfTheFormat) {
  TrainingRun r = charRun();
  r.start();
  auto all = lines(r);
  ASSERT_EQ(all.size(), 7u);
  for (size_t i = 0; i < all.size(); ++i) {
    for (const char *key : {"loss", "grad_norm", "lr", "seconds", "tokens_per_s"}) EXPECT_TRUE(all[i].contains(key) && all[i][key].is_number()) << key << i;
    EXPECT_EQ(all[i].contains("valid_loss"), i == 2 || i == 5 || i == 6) << i; // each three steps, and the end
    EXPECT_FALSE(all[i].contains("samples_per_s"));
  }
  EXPECT_DOUBLE_EQ(all[0]["lr"], 0.005); // lr (s+1)/W
  EXPECT_DOUBLE_EQ(all[1]["lr"], 0.01);
  EXPECT_DOUBLE_EQ(all[2]["lr"], 0.01);  // the cosine's beginning
  EXPECT_LT(all[6]["loss"], all[0]["loss"]);
}

TEST(Train, TheScheduleStaysThePlansWhenTheRunStopsEarlier) {
  TrainingRun r = charRun();
  r.options.stopAt = 4;
  TrainResult result = r.start();
  EXPECT_FALSE(result.finished);
  EXPECT_DOUBLE_EQ(lines(r).back()["lr"], r.options.schedule.at(3));
  EXPECT_DOUBLE_EQ(r.options.schedule.at(3), 0.01 * 0.5 * (1 + std::cos(std::numbers::pi / 5)));
}

TEST(Train, ValidationIsTheMeanOverAllHeldOutSamples) {
  TrainingRun r(classText, someClasses(23), "f64"); // 16 to train on, 7 held out: batches of 3, 3, 1
  ASSERT_TRUE(r.program.executable) << r.program.errors();
  r.options.schedule = {0.1, 0, 6, false};
  r.options.batch = 3;
  r.options.validates = true;
  r.options.metrics = {"accuracy"};
  TrainResult result = r.start();
  ASSERT_TRUE(result.validLoss);
  // All seven at once.
  const Entry &eval = r.program.entry("eval");
  Batch all;
  r.data->validationBatch(0, 7, all);
  ASSERT_EQ(all.size, 7);
  Feed feed({&eval}, *r.data, "B", {});
  auto out = r.program.executable->run(eval, feed.inputs(eval, all, {}));
  EXPECT_NEAR(*result.validLoss, out[1].at(0), 1e-14);
  int hits = 0;
  for (int64_t i = 0; i < 7; ++i) {
    int best = 0;
    for (int c = 1; c < 3; ++c)
      if (out[0].at(i * 3 + c) > out[0].at(i * 3 + best)) best = c;
    hits += best == reinterpret_cast<int32_t *>(all.fields[1].bytes.data())[i];
  }
  ASSERT_EQ(result.metrics.size(), 1u);
  EXPECT_EQ(result.metrics[0].first, "accuracy");
  EXPECT_DOUBLE_EQ(result.metrics[0].second, hits / 7.0);
  auto l = lines(r);
  EXPECT_DOUBLE_EQ(l.back()["accuracy"], hits / 7.0);
  EXPECT_TRUE(l.back().contains("samples_per_s"));
}

TEST(Train, AContractThatDoesNotHoldIsTheNumericExitAfterTheCheckpoint) {
  TrainingRun r(classText, someClasses(23), "f64");
  r.options.schedule = {1e-6, 0, 2, false};
  r.options.batch = 4;
  r.options.contracts = {{"accuracy", ">=", 1.01}};
  try {
    r.start();
    FAIL() << "no accuracy is above 1";
  } catch (const Error &e) {
    EXPECT_EQ(e.code(), "E0705");
    EXPECT_EQ(e.exit(), Exit::Numeric);
  }
  EXPECT_EQ(readCheckpoint(r.files, "out/last.safetensors").info.step, 2);
  r.options.contracts = {{"accuracy", ">=", 0}, {"loss", "<", 1e9}};
  EXPECT_TRUE(r.start().finished);
  r.options.contracts = {{"loss", "<", 0}};
  r.options.stopAt = 1; // not the end of the plan's run
  EXPECT_FALSE(r.start().finished);
}

TEST(Train, ALossThatIsNoNumberStopsAndNamesTheStep) {
  TrainingRun r(classText, someClasses(23), "f32");
  r.options.schedule = {3e38, 0, 50, false};
  r.options.batch = 4, r.options.checkpointEvery = 1;
  try {
    r.start();
    FAIL() << "f32 overflows at this rate";
  } catch (const Error &e) {
    EXPECT_EQ(e.code(), "E0706");
    EXPECT_EQ(e.exit(), Exit::Numeric);
    auto done = readCheckpoint(r.files, "out/last.safetensors").info.step;
    EXPECT_NE(e.message().find(fmt::format("step {} ", done + 1)), std::string::npos) << e.message();
  }
}

TEST(Train, ASignalFinishesTheStepAndWritesACheckpoint) {
  TrainingRun whole = charRun(), r = charRun();
  whole.start();
  std::atomic<bool> interrupted = true;
  r.options.interrupted = &interrupted;
  TrainResult result = r.start();
  EXPECT_TRUE(result.interrupted);
  EXPECT_EQ(result.step, 1);
  interrupted = false;
  EXPECT_TRUE(r.resume().finished);
  EXPECT_EQ(lines(r).back()["loss"], lines(whole).back()["loss"]);
}

TEST(Train, AFullDiskLeavesTheCheckpointBefore) {
  TrainingRun r = charRun();
  r.options.stopAt = 3;
  r.start();
  const std::string before = r.files.content["out/last.safetensors"];
  r.options.stopAt = 6;
  r.files.capacity = before.size() / 2;
  EXPECT_EQ(codeOf([&] { r.resume(); }), "E0503");
  EXPECT_EQ(r.files.content["out/last.safetensors"], before);
}

TEST(Train, MetricsThatDoNotFitAreRefusedBeforeTheFirstStep) {
  TrainingRun r(classText, someClasses(23), "f64");
  r.options.schedule.steps = 2;
  r.options.validates = true, r.options.metrics = {"recall"};
  EXPECT_EQ(codeOf([&] { r.start(); }), "E0521");
  TrainingRun c(classText, someClasses(23, 1.0), "f64");
  c.options.validates = true;
  EXPECT_EQ(codeOf([&] { c.start(); }), "E0509");
}

TEST(Checkpoint, WhatDoesNotFitIsRefusedAndChangesNothing) {
  TrainingRun r = charRun();
  r.options.stopAt = 1;
  r.start();
  Checkpoint good = readCheckpoint(r.files, "out/last.safetensors");
  EXPECT_EQ(good.info.step, 1);
  EXPECT_EQ(good.info.seed, 7u);
  EXPECT_EQ(good.info.plan, "plan p for M {}");
  EXPECT_EQ(good.info.dims.at("D"), 8);
  EXPECT_EQ(nlohmann::json::parse(good.file.metadata.at("axes"))["l[1].Attention.q"], (std::vector<std::string>{"D", "H", "N"}));
  auto refused = [&](Checkpoint c, Restore what = Restore::All) {
    Array before = r.program.executable->get(0);
    std::string code = codeOf([&] { restore(*r.program.executable, c, what); });
    EXPECT_EQ(values(before), values(r.program.executable->get(0)));
    return code;
  };
  r.program.randomize();
  Checkpoint c = good;
  c.file.tensors.pop_back();
  EXPECT_EQ(refused(c), "E0513");
  c = good;
  c.file.tensors.back().second = Array::of(DType::F32, {1, 2}, std::vector<float>{1, 2});
  EXPECT_EQ(refused(c), "E0513");
  c = good;
  c.file.tensors.push_back({"other", Array::of(DType::F32, {}, std::vector<float>{1})});
  EXPECT_EQ(refused(c), "E0513");
  EXPECT_EQ(refused(c, Restore::Weights), "E0513");

  for (const char *key : {"filigree", "step", "seed", "plan", "dims", "target"}) {
    SafeTensors t = good.file;
    t.metadata.erase(key);
    writeSafetensors(r.files, "bad", t);
    EXPECT_EQ(codeOf([&] { readCheckpoint(r.files, "bad"); }), "E0514") << key;
  }
  for (auto [key, value] : {std::pair{"filigree", "99"}, {"step", "-1"}, {"step", "1x"}, {"dims", "[]"}, {"dims", "{\"D\":0}"}}) {
    SafeTensors t = good.file;
    t.metadata[key] = value;
    writeSafetensors(r.files, "bad", t);
    EXPECT_EQ(codeOf([&] { readCheckpoint(r.files, "bad"); }), "E0514") << key << value;
  }
}

TEST(Checkpoint, WeightsLeaveWhatTheOptimizerKeeps) {
  TrainingRun r = charRun();
  r.options.stopAt = 2;
  r.start();
  Checkpoint c = readCheckpoint(r.files, "out/last.safetensors");
  initialize(*r.program.executable, 1);
  restore(*r.program.executable, c, Restore::Weights);
  auto value = [&](const char *name) { return values(r.program.executable->get(r.program.variable(name))); };
  EXPECT_EQ(value("emb"), values(*c.file.find("emb")));
  EXPECT_NE(values(*c.file.find("emb#m")), value("emb#m"));
  EXPECT_EQ(value("emb#m"), std::vector<double>(256 * 8, 0.0));
}
