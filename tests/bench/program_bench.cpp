// SPDX-License-Identifier: Apache-2.0
// Our side of the benchmarks: compiles a model for the CPU and then does what lines on stdin say, so that it stays warm while the peer has its
// turn. Answers on stdout, one line each:
//   run BEFORE N             N calls of the entry, after some that do not count    -> seconds each
//   sample                   one call whose outputs were NaN before                -> elements of each output, as JSON
//   decode N                 N tokens of one sequence, greedily, from one zero     -> seconds
//   profile run|decode N [FILE]     the same, launches by time                     -> a table (in FILE)
//   read BYTES | copy BYTES  memory read, or half of it copied to the other half    -> seconds
//   fma                      multiply-adds in registers, one thread                 -> operations a second
//   fork N                   N times a tile of 10 us for each thread of the pool   -> the median of seconds beyond these 10 us
// Operands of `run` and `grad` (the loss and its gradients by the params) are functions of their names; other programs start with `init`.
#include "codegen/cpu/target.h"
#include "mlir/Pass/PassManager.h"
#include "passes/pipeline/pipeline.h"
#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"
#include "runtime/exec/binding.h"
#include "runtime/memory/limits.h"
#include "runtime/train/generate.h"
#include "runtime/train/train.h"
#include "tests/bench/driver.h"
#include "tools/driver/compile.h"
#include "tools/fil/profile.h"
#include <CLI/CLI.hpp>
#include <cstring>

using namespace fil;
using namespace fil::bench;

namespace {

struct Options {
  std::vector<std::string> files;
  std::map<std::string, int64_t> dims;
  Binding sizes;
  std::string plan, model, loss, entry = "run", target = "native";
  int threads = 2;
  bool cpuTime = false;
};

std::unique_ptr<Executable> compile(const Options &o) {
  auto loaded = LoadedProgram::load(systemFiles(), o.files, {o.dims});
  sema::CheckedPlan plan;
  std::unique_ptr<Executable> made;
  if (loaded->ok()) {
    plan = loaded->plan(o.plan, {}, o.model);
    for (const ast::Function *f : loaded->program->functions())
      if (f->kind == ast::Function::Loss && f->name.name == o.loss) plan.train.loss = f;
    if (o.entry == "run") plan.train.loss = nullptr; // the model alone, as `fil run` has it
    CompileOptions how;
    how.targetCpu = o.target;
    Compiler compiler(*loaded, plan, how);
    if (o.entry != "grad") made = std::move(compiler.run().executable);
    else if (auto module = compiler.module(Stage::autodiff_)) { // the training step would use the gradients up
      mlir::PassManager pm(compiler.context.get());
      passes::precision(pm, {0, plan.precision});
      if (mlir::succeeded(pm.run(*module))) made = cpuExecutable(*module, findTarget(o.target));
    }
  }
  for (const Diagnostic &d : loaded->diags.all()) fmt::print(stderr, "{}", loaded->diags.render(d));
  if (!made) throw Error(Exit::Input, "E0106", "the program does not compile");
  return made;
}

std::vector<int64_t> shapeOf(const Port &p, const Binding &sizes) {
  std::vector<int64_t> shape;
  for (size_t d = 0; d < p.sizes.size(); ++d) shape.push_back(valueOf(p.sizes[d], sizes, p.dims[d]));
  return shape;
}
Array operand(const Port &p, const Binding &sizes) {
  std::byte *data;
  Array a = Array::make(p.dtype, shapeOf(p, sizes), data);
  const size_t n = size_t(a.elements());
  if (p.dtype == DType::F32) return fill(p.name, {reinterpret_cast<float *>(data), n}), a;
  const Bits bits(p.name);
  const size_t bound = p.indexBound ? size_t(valueOf(*p.indexBound, sizes, p.name)) : n;
  const bool inTurn = !p.indexBound || p.name == "adapter"; // which a plan with several adds: each of them
  for (size_t i = 0; i < n; ++i) reinterpret_cast<int32_t *>(data)[i] = int32_t((inTurn ? i : bits(i)) % bound);
  return a;
}

class Bench {
public:
  explicit Bench(const Options &o) : program(compile(o)), compiled(dynamic_cast<CompiledExecutable *>(program.get())), target(o.target), cpuTime(o.cpuTime) {
    entry = program->find(o.entry);
    if (!entry) throw Error(Exit::Usage, "E0106", "the program has no entry " + o.entry);
    for (const Port &p : entry->inputs) inputs.push_back(p.sizes.empty() ? scalarInput(p, p.name == "seed" ? 7 : p.name == "lr" ? 1e-3 : 0) : operand(p, o.sizes));
    for (const Port &p : entry->outputs) {
      std::byte *data;
      outputs.push_back(Array::make(p.dtype, shapeOf(p, o.sizes), data));
    }
    if (o.entry != "run" && o.entry != "grad") initialize(*program, 7);
    else fillParams();
  }

  std::string answer(const std::string &what, std::istream &words) {
    std::string of, file;
    int64_t before = 0, n = 1;
    if (what == "run") return words >> before >> n, fmt::format("{:.9f}", timed(before, n, cpuTime, [&] { call(); }));
    if (what == "decode") return words >> n, fmt::format("{:.9f}", decode(n));
    if (what == "sample") return sampled();
    if (what == "fork") return words >> n, fmt::format("{:.9f}", forkAndJoin(n));
    if (what == "fma") return fmt::format("{:.0f}", multiplyAddRate());
    if (what == "read" || what == "copy") return words >> n, fmt::format("{:.9f}", memory(what, n));
    if (what != "profile") return "what is " + what + "?";
    words >> of >> n >> file;
    const std::string table = profile(of, n);
    if (file.empty()) return table;
    writeFile(systemFiles(), file, table);
    return "written";
  }

private:
  std::unique_ptr<Executable> program;
  CompiledExecutable *compiled;
  const Entry *entry;
  std::string target;
  bool cpuTime;
  int64_t step = 0;
  std::vector<Array> inputs, outputs;
  std::optional<MemoryTraffic> best;
  int64_t size = 0;

  double forkAndJoin(int64_t n) {
    constexpr double work = 10e-6;
    ThreadPool &pool = processPool();
    std::vector<double> all;
    for (int64_t i = 0; i < n; ++i) {
      const double start = systemClock().seconds();
      pool.run(pool.threads(), 1, [&](int64_t, int64_t, int) {
        for (const double begin = systemClock().seconds(); systemClock().seconds() < begin + work;) {}
      });
      all.push_back(systemClock().seconds() - start - work);
    }
    std::ranges::nth_element(all, all.begin() + n / 2);
    return all[size_t(n / 2)];
  }

  void fillParams() {
    for (size_t i = 0; i < program->variables().size(); ++i) {
      const VariableInfo &v = program->variables()[i];
      if (v.kind != VariableInfo::Param || v.dtype != DType::F32) continue;
      std::byte *data;
      const Array a = Array::make(v.dtype, v.shape, data);
      fill(v.name, {reinterpret_cast<float *>(data), size_t(a.elements())});
      program->set(i, a);
    }
  }
  void call() {
    for (size_t k = 0; k < inputs.size(); ++k)
      if (entry->inputs[k].name == "step") inputs[k] = scalarInput(entry->inputs[k], double(step++));
    program->run(*entry, inputs, outputs);
  }
  std::string sampled() {
    for (Array &a : outputs) std::memset(const_cast<std::byte *>(a.data.get()), 0xff, a.bytes());
    call();
    std::string s;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const std::string &name = entry->outputs[i].name; // gradients have none
      s += fmt::format("{}\"{}\": {}", i ? ", " : "{", name.empty() ? std::to_string(i) : name, sample(outputs[i].as<float>()));
    }
    return s + "}";
  }
  double decode(int64_t n) {
    Decoder decoder(*program);
    const double start = seconds(cpuTime);
    std::vector<double> logits = decoder.prefill({0}, n);
    for (int64_t i = 1; i < n; ++i) logits = decoder.decode(chooseToken(logits, {0, 0, 0}, i));
    chooseToken(logits, {0, 0, 0}, n);
    return seconds(cpuTime) - start;
  }

  /// Operations of one second of this thread's CPU time.
  double multiplyAddRate() {
    double operations = 0;
    const double time = timed(1, 1, true, [&] { operations = multiplyAdds(findTarget(target).lanesF32, 4'000'000); });
    return operations / time;
  }
  double memory(const std::string &what, int64_t bytes) {
    if (bytes != size) best.emplace(bytes), size = bytes;
    const int64_t n = std::max<int64_t>(1, (256 << 20) / bytes);
    if (what == "read") return timed(1, n, cpuTime, [&] { best->read(); });
    return std::min(timed(1, n, cpuTime, [&] { best->copy(); }), timed(1, n, cpuTime, [&] { best->stream(); }));
  }

  /// Launches of all entries that ran.
  std::string profile(const std::string &what, int64_t n) {
    auto work = [&] { return what == "decode" ? decode(n) : double(n) * timed(0, n, cpuTime, [&] { call(); }); };
    work();
    compiled->profile(true);
    const double wall = work();
    const std::string table = Profile::of(*compiled, "f32").table();
    compiled->profile(false);
    return fmt::format("{} of {}, {} threads: {:.3f} ms each\n", n, what, processPool().threads(), wall / double(n) * 1e3) + table;
  }
};

} // namespace

int main(int argc, char **argv) {
  CLI::App app{"a program, timed by lines on stdin"};
  Options o;
  std::vector<std::string> dims, sizes;
  auto list = [&](const char *name, std::vector<std::string> &to, const char *what) { app.add_option(name, to, what)->take_all()->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll); };
  app.add_option("files", o.files)->required();
  app.add_option("--plan", o.plan);
  app.add_option("--model", o.model);
  app.add_option("--loss", o.loss);
  app.add_option("--entry", o.entry, "run, step, or grad: the loss and its gradients by the params");
  list("--dim", dims, "D=384, of the program");
  list("--size", sizes, "B=32, of the calls");
  app.add_option("--threads", o.threads);
  app.add_option("--target-cpu", o.target);
  app.add_flag("--cpu-time", o.cpuTime, "seconds are those of the CPU, not of the wall");
  CLI11_PARSE(app, argc, argv);
  try {
    for (auto [from, to] : {std::pair{&dims, &o.dims}, {&sizes, &o.sizes}})
      for (const std::string &d : *from) (*to)[d.substr(0, d.find('='))] = std::stoll(d.substr(d.find('=') + 1));
    setThreads(o.threads);
    Bench bench(o);
    serve(fmt::format("ready {}", findTarget(o.target).isa), [&](const std::string &what, std::istream &words) { return bench.answer(what, words); });
  } catch (const Error &e) {
    return fmt::print(stderr, "{}\n", e.what()), 1;
  }
}
