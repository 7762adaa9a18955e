// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/memory_files.h"
#include "runtime/data/safetensors.h"
#include <gtest/gtest.h>

using namespace fil;

namespace {
std::string file(const std::string &header, const std::string &data = "") {
  std::string s(8, '\0');
  for (size_t i = 0; i < 8; ++i) s[i] = char(header.size() >> (8 * i));
  return s + header + data;
}
std::string codeOf(const std::string &content) {
  MemoryFiles files;
  files.content["f"] = content;
  try {
    readSafetensors(files, "f");
  } catch (const Error &e) {
    EXPECT_NE(e.message().find("`f`"), std::string::npos) << e.message();
    EXPECT_EQ(e.exit(), Exit::Input);
    return e.code();
  }
  return "";
}
} // namespace

TEST(Safetensors, WhatIsWrittenIsRead) {
  MemoryFiles files;
  SafeTensors t;
  t.metadata = {{"step", "7"}, {"plan", "plan p for M { seed 1 }\n\"ü\""}};
  t.tensors = {{"l[0].w", Array::of(DType::F32, {2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6})},
               {"flag", Array::of(DType::Bool, {3}, std::vector<uint8_t>{1, 0, 1})},
               {"d", Array::of(DType::F64, {}, std::vector<double>{-0.5})}, // at an odd offset
               {"none", Array::of(DType::I64, {0, 4}, std::vector<int64_t>{})}};
  writeSafetensors(files, "f", t);
  EXPECT_EQ((8 + uint8_t(files.content["f"][0]) + 256u * uint8_t(files.content["f"][1])) % 64, 0u);
  SafeTensors r = readSafetensors(files, "f");
  EXPECT_EQ(r.metadata, t.metadata);
  ASSERT_EQ(r.tensors.size(), 4u);
  for (auto &[name, a] : t.tensors) {
    const Array *b = r.find(name);
    ASSERT_TRUE(b) << name;
    EXPECT_EQ(b->dtype, a.dtype);
    EXPECT_EQ(b->shape, a.shape);
    EXPECT_EQ(std::memcmp(b->data.get(), a.data.get(), a.bytes()), 0) << name;
  }
  EXPECT_EQ(r.find("absent"), nullptr);
}

TEST(Safetensors, AFileThatWasCutShortAnywhereIsRefused) {
  MemoryFiles files;
  SafeTensors t;
  t.metadata = {{"a", "b"}};
  t.tensors = {{"w", Array::of(DType::F32, {4}, std::vector<float>{1, 2, 3, 4})}};
  writeSafetensors(files, "f", t);
  const std::string whole = files.content["f"];
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_EQ(codeOf(whole.substr(0, n)), "E0504") << n;
  EXPECT_EQ(codeOf(whole), "");
  EXPECT_EQ(codeOf(whole + "x"), "E0512");
}

TEST(Safetensors, EachMistakeOfAHeaderHasItsCode) {
  auto tensor = [](const std::string &entry) { return file("{\"w\":" + entry + "}", "12345678"); };
  EXPECT_EQ(codeOf(tensor(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})")), "");
  EXPECT_EQ(codeOf("PK\3\4 this is an archive of some kind"), "E0505");
  EXPECT_EQ(codeOf(file("[]")), "E0505");
  EXPECT_EQ(codeOf(file("{\"w\":")), "E0511");
  EXPECT_EQ(codeOf(file("{\"w\":{}}")), "E0511");
  EXPECT_EQ(codeOf(file("{\"w\":1}")), "E0511");
  EXPECT_EQ(codeOf(file("{\"__metadata__\":{\"a\":1}}")), "E0511");
  EXPECT_EQ(codeOf(file("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}")), "E0511");
  EXPECT_EQ(codeOf(file("{\"\xff\":1}")), "E0511");
  EXPECT_EQ(codeOf(file("{\"w\":" + std::string(100000, '[') + std::string(100000, ']') + "}")), "E0511");
  EXPECT_EQ(codeOf(file(R"({"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"w":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", "12345678")), "E0511");
  EXPECT_EQ(codeOf(tensor(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})")), "E0511");
  EXPECT_EQ(codeOf(tensor(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})")), "E0511");
  EXPECT_EQ(codeOf(tensor(R"({"dtype":"F32","shape":[2],"data_offsets":[0]})")), "E0511");
  EXPECT_EQ(codeOf(tensor(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1})")), "E0511");
  EXPECT_EQ(codeOf(tensor(R"({"dtype":"F4","shape":[4],"data_offsets":[0,8]})")), "E0507");
  EXPECT_EQ(codeOf(tensor(R"({"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]})")), "E0506");
  EXPECT_EQ(codeOf(tensor(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})")), "E0512");
  EXPECT_EQ(codeOf(tensor(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})")), "E0512");
  EXPECT_EQ(codeOf(tensor(R"({"dtype":"U8","shape":[4],"data_offsets":[4,8]})")), "E0512");
  EXPECT_EQ(codeOf(tensor(R"({"dtype":"U8","shape":[4],"data_offsets":[0,4]})")), "E0512");
  EXPECT_EQ(codeOf(tensor(R"({"dtype":"F64","shape":[2],"data_offsets":[0,16]})")), "E0504");
  EXPECT_EQ(codeOf(file(R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", "12345678")), "E0512");
}
