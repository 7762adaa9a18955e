// SPDX-License-Identifier: Apache-2.0
// The examples and sizes at which they are quick.
#pragma once
#include "runtime/exec/binding.h"
#include <fstream>
#include <ostream>

namespace fil::programs {

struct Example {
  const char *file, *model;
  std::map<std::string, int64_t> dims; ///< small sizes, as by `--dim`
  Binding sizes;
};
inline void PrintTo(const Example &e, std::ostream *out) { *out << e.file; }
inline const std::vector<Example> examples = {
    {"01_mnist/mnist", "Classifier", {{"P", 7}, {"F", 5}, {"K", 3}}, {{"B", 4}}},
    {"02_charlm/charlm", "CharLM", {{"V", 7}, {"D", 8}, {"L", 2}, {"H", 2}}, {{"B", 2}, {"T", 4}}},
    {"04_deepmoe/deepmoe", "DeepMoE", {{"V", 7}, {"D", 6}, {"L", 3}, {"H", 2}, {"N", 2}, {"R", 2}, {"Vh", 3}, {"Cq", 4}, {"Ckv", 5}, {"I", 2}, {"J", 4}, {"E", 5}, {"F", 3}, {"Fd", 4}}, {{"B", 2}, {"T", 4}}},
    {"05_resnet/resnet", "ResNet50", {{"C", 1}, {"K", 3}}, {{"B", 3}, {"Y", 32}, {"X", 32}}},
    {"06_fraud/fraud", "Fraud", {{"Fn", 9}, {"M", 3}, {"Hid", 5}, {"Em", 4}}, {{"B", 5}, {"Card", 6}}},
};
/// The file without plans and without models other than this one.
inline std::string textOf(const Example &e) {
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

} // namespace fil::programs
