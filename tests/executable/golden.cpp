// SPDX-License-Identifier: Apache-2.0
// What the examples compile to, counted: kernels, bytes of their code, launches of a step, bytes of its arena. For one target with stated caches,
// so that every machine gives the same numbers. `golden FILE` compares them with the file, `golden FILE --write` writes it: a change is shown in
// the commit that makes it, which says why.
#include "mlir/Pass/PassManager.h"
#include "passes/pipeline/pipeline.h"
#include "runtime/base/files.h"
#include "tests/executable/trace.h"
#include "tests/programs/compiled.h"
#include "tests/programs/examples.h"
#include <fmt/format.h>
#include <iostream>

using namespace fil;
using namespace fil::programs;

namespace {
int64_t launchesOf(const std::vector<Step> &steps) {
  int64_t n = 0;
  for (const Step &s : steps) {
    n += std::holds_alternative<Launch>(s.is);
    if (auto *l = std::get_if<LoopStep>(&s.is)) n += launchesOf(l->body);
    if (auto *c = std::get_if<ChoiceStep>(&s.is)) n += launchesOf(c->upTo) + launchesOf(c->above);
    if (auto *o = std::get_if<OnceStep>(&s.is)) n += launchesOf(o->body);
  }
  return n;
}
std::string line(const Example &e) {
  Target target = findTarget("x86-64-v3");
  target.l1 = 32 << 10, target.l2 = 512 << 10, target.l3 = 32 << 20, target.cores = 4;
  CompiledProgram c(textOf(e), {}, "adamw", e.model); // sizes as the text has them
  auto module = c.copy(Stage::train_);
  mlir::PassManager pm(c.context.get());
  passes::precision(pm, {1, "f32"});
  if (mlir::failed(pm.run(*module))) throw std::runtime_error("precision fails");
  const Manifest m = cpuManifest(*module, target);
  for (const Program &p : m.programs) {
    if (p.entry.name != "step") continue;
    Binding sizes = e.sizes;
    for (auto [dim, size] : {std::pair{"B", 8}, {"T", 64}, {"S", 64}}) sizes[dim] = size;
    sizes.insert(m.bounds.begin(), m.bounds.end());
    const test::ArenaUse arena = test::arenaUse(p, sizes);
    return fmt::format("{}: {} kernels, {} bytes of code; step: {} launches, {} bytes of arena, {} of them live at most\n", e.model, m.kernels.size(), m.code.size(), launchesOf(p.steps), arena.planned, arena.live);
  }
  return e.model + std::string(": no step\n");
}
} // namespace

int main(int argc, char **argv) {
  const std::string path = argv[1];
  std::string now;
  for (const Example &e : examples) now += line(e);
  now += line({"03_moe/moe", "MoELM", {}, {}});
  if (argc > 2) return writeFile(systemFiles(), path, now), 0;
  const std::string before(systemFiles().read(path).text());
  if (now == before) return 0;
  std::cout << "was:\n" << before << "is:\n" << now << "where that is meant: " << argv[0] << " " << path << " --write\n";
  return 1;
}
