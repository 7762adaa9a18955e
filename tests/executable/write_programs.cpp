// SPDX-License-Identifier: Apache-2.0
// Compiles the examples by their plans, saves each, and writes beside it what it does in the process that compiled it.
#include "runtime/exec/file.h"
#include "tests/executable/trace.h"
#include "tools/driver/compile.h"
#include <fmt/format.h>

using namespace fil;
using namespace fil::test;

namespace {
struct Case {
  std::string name;
  std::vector<std::string> files;
  std::string plan;
  std::map<std::string, int64_t> dims;
  Binding sizes;
};
const std::vector<Case> cases = {
    {"charlm", {"02_charlm/charlm.fil"}, "laptop", {{"V", 40}, {"D", 24}, {"L", 3}, {"H", 2}}, {{"B", 3}, {"T", 10}, {"S", 10}}},
    {"moe", {"03_moe/moe.fil"}, "laptop", {{"V", 40}, {"D", 24}, {"L", 2}, {"H", 2}}, {{"B", 3}, {"T", 10}, {"S", 10}}},
    {"mnist", {"01_mnist/mnist.fil"}, "small", {{"P", 49}, {"F", 37}}, {{"B", 9}}},
    {"deepmoe", {"04_deepmoe/deepmoe.fil", "04_deepmoe/deepmoe.plan.fil"}, "small",
     {{"V", 17}, {"D", 16}, {"L", 3}, {"H", 2}, {"N", 4}, {"R", 4}, {"Vh", 6}, {"Cq", 8}, {"Ckv", 10}, {"I", 2}, {"J", 4}, {"E", 12}, {"F", 6}, {"Fd", 8}}, {{"B", 2}, {"T", 7}, {"S", 7}}},
    {"resnet", {"05_resnet/resnet.fil"}, "small", {{"C", 2}, {"K", 5}}, {{"B", 3}, {"Y", 32}, {"X", 32}}},
    {"fraud", {"06_fraud/fraud.fil"}, "small", {{"Fn", 9}, {"M", 3}, {"Hid", 5}, {"Em", 4}}, {{"B", 5}}},
};
} // namespace

int main(int, char **argv) {
  const std::string folder = argv[1];
  systemFiles().makeFolder(folder);
  for (const Case &c : cases) {
    try {
      std::vector<std::string> paths;
      for (const std::string &f : c.files) paths.push_back(FIL_SOURCE_DIR "/examples/" + f);
      auto loaded = LoadedProgram::load(systemFiles(), paths, {c.dims});
      if (!loaded->ok()) throw std::runtime_error(loaded->diags.render());
      const sema::CheckedPlan plan = loaded->plan(c.plan);
      CompileOptions options;
      options.saveTo = folder + "/" + c.name + ".filx";
      auto program = Compiler(*loaded, plan, options).run().executable;
      if (!program) throw std::runtime_error(loaded->diags.render());
      Binding sizes = c.sizes;
      const Manifest saved = loadManifest(systemFiles(), options.saveTo);
      sizes.insert(saved.bounds.begin(), saved.bounds.end());
      for (auto &[dim, n] : c.dims)
        if (auto it = saved.dims.find(dim); it == saved.dims.end() || it->second != n) throw std::runtime_error("the file does not carry the size of " + dim);
      if (saved.plan.find("plan " + c.plan) == std::string::npos) throw std::runtime_error("the file does not carry the plan");
      writeFile(systemFiles(), folder + "/" + c.name + ".sizes", sizesText(sizes));
      writeFile(systemFiles(), folder + "/" + c.name + ".trace", traceOf(*program, sizes));
      fmt::print("{}: {} kernels, {} bytes of code\n", c.name, saved.kernels.size(), saved.code.size());
    } catch (const std::exception &e) {
      fmt::print(stderr, "{}: {}\n", c.name, e.what());
      return 1;
    }
  }
  return 0;
}
