// SPDX-License-Identifier: Apache-2.0
// Our side of the benchmarks of whole programs: compiles a language model for the CPU and then does what lines on stdin say, so that it
// stays warm while the peer has its turn (and idles in a read meanwhile). Answers on stdout, one line each:
//   step N            N training steps on one batch of random tokens      -> seconds of each, the last loss
//   decode N          N tokens of one sequence, greedily, from one zero   -> seconds of all
//   profile step|decode N [FILE]    the same, launches by time            -> a table (in FILE)
#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"
#include "runtime/train/generate.h"
#include "runtime/train/train.h"
#include "tools/driver/compile.h"
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <random>
#include <sstream>
#include <time.h>

using namespace fil;

namespace {

/// Of the wall, or of this process's CPU time, which a load on the machine hardly changes where there is one thread.
bool cpuTime = false;
double seconds() {
  if (!cpuTime) return systemClock().seconds();
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return double(t.tv_sec) + double(t.tv_nsec) * 1e-9;
}

class Bench {
public:
  Bench(std::unique_ptr<Executable> e, int64_t batch, int64_t window) : program(std::move(e)), compiled(dynamic_cast<CompiledExecutable *>(program.get())), window(window) {
    std::mt19937 random(7);
    std::vector<int32_t> tokens(size_t(batch * (window + 1)));
    for (int32_t &t : tokens) t = int32_t(random() % 256);
    auto windows = [&](int64_t from) {
      std::vector<int32_t> some;
      for (int64_t b = 0; b < batch; ++b) some.insert(some.end(), tokens.begin() + b * (window + 1) + from, tokens.begin() + b * (window + 1) + from + window);
      return Array::of(DType::I32, {batch, window}, some);
    };
    std::vector<int32_t> positions(static_cast<size_t>(window));
    for (int64_t i = 0; i < window; ++i) positions[size_t(i)] = int32_t(i);
    const std::map<std::string, Array> given{{"tok", windows(0)}, {"t", windows(1)}, {"pos", Array::of(DType::I32, {window}, positions)}};
    for (const Port &p : program->find("step")->inputs) {
      auto it = given.find(p.name);
      inputs.push_back(it != given.end() ? it->second : scalarInput(p, p.name == "seed" ? 7 : p.name == "lr" ? 1e-3 : 0));
    }
    initialize(*program, 7);
  }

  /// Seconds of each step; the loss of the last one.
  std::vector<double> steps(int64_t n, double &loss) {
    const Entry &e = *program->find("step");
    std::vector<double> times;
    for (int64_t i = 0; i < n; ++i, ++step) {
      for (size_t k = 0; k < inputs.size(); ++k)
        if (e.inputs[k].name == "step") inputs[k] = scalarInput(e.inputs[k], double(step));
      const double start = seconds();
      program->run(e, inputs, outputs);
      loss = outputs[0].at(0);
      times.push_back(seconds() - start);
    }
    return times;
  }
  double decode(int64_t n) {
    Decoder decoder(*program);
    const double start = seconds();
    std::vector<double> logits = decoder.prefill({0}, std::max(n, window));
    for (int64_t i = 1; i < n; ++i) logits = decoder.decode(chooseToken(logits, {0, 0, 0}, i));
    chooseToken(logits, {0, 0, 0}, n);
    return seconds() - start;
  }

  /// Launches of all entries that ran, the longest first, with their share of the wall time.
  std::string profile(const std::string &what, int64_t n) {
    double loss = 0, wall = 0;
    if (what == "step") steps(2, loss); else decode(n);
    compiled->profile(true);
    if (what == "step") for (double t : steps(n, loss)) wall += t;
    else wall = decode(n);
    std::vector<LaunchTime> all = compiled->times();
    compiled->profile(false);
    std::ranges::sort(all, std::greater(), &LaunchTime::seconds);
    double sum = 0;
    int64_t calls = 0;
    for (const LaunchTime &t : all) sum += t.seconds, calls += t.calls;
    std::string s = fmt::format("{} {}s, {} threads: {:.3f} ms each; in launches {:.3f} ms ({:.1f} %), {} launches each\n{:>9} {:>6} {:>7} {:>9}  entry  what | site\n", n, what,
                                processPool().threads(), wall / double(n) * 1e3, sum / double(n) * 1e3, 100 * sum / wall, calls / n, "ms each", "share", "calls", "us/call");
    for (const LaunchTime &t : all)
      s += fmt::format("{:9.3f} {:5.1f}% {:7} {:9.2f}  {}  {} | {}\n", t.seconds / double(n) * 1e3, 100 * t.seconds / wall, t.calls, t.seconds / double(t.calls) * 1e6, t.entry, t.what, t.site);
    return s;
  }

private:
  std::unique_ptr<Executable> program;
  CompiledExecutable *compiled;
  int64_t window, step = 0;
  std::vector<Array> inputs, outputs;
};

void answer(Bench &bench, const std::string &line) {
  std::istringstream words(line);
  std::string what, of, file;
  int64_t n = 0;
  words >> what;
  if (what == "profile") {
    words >> of >> n >> file;
    const std::string table = bench.profile(of, n);
    if (file.empty()) fmt::print("{}", table);
    else writeFile(systemFiles(), file, table), fmt::print("written\n");
  } else if (words >> n; what == "step") {
    double loss = 0;
    for (double t : bench.steps(n, loss)) fmt::print("{:.6f} ", t);
    fmt::print("{:.4f}\n", loss);
  } else if (what == "decode") {
    fmt::print("{:.6f}\n", bench.decode(n));
  } else {
    fmt::print("what is `{}`?\n", line);
  }
  std::fflush(stdout);
}

} // namespace

int main(int argc, char **argv) {
  CLI::App app{"a language model, timed by lines on stdin"};
  std::vector<std::string> files, dims;
  std::string plan = "laptop", target = "native";
  int threads = 2;
  app.add_option("files", files)->required();
  app.add_option("--plan", plan);
  app.add_option("--dim", dims, "D=384")->take_all()->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--threads", threads);
  app.add_option("--target-cpu", target);
  app.add_flag("--cpu-time", cpuTime, "seconds are those of the CPU, not of the wall");
  CLI11_PARSE(app, argc, argv);
  try {
    setThreads(threads);
    sema::CheckOptions options;
    for (const std::string &d : dims) options.dims[d.substr(0, d.find('='))] = std::stoll(d.substr(d.find('=') + 1));
    auto loaded = LoadedProgram::load(systemFiles(), files, options);
    sema::CheckedPlan chosen;
    if (loaded->ok()) chosen = loaded->plan(plan);
    Compiled c;
    CompileOptions how;
    how.targetCpu = target;
    if (loaded->ok()) c = Compiler(*loaded, chosen, how).run();
    for (const Diagnostic &d : loaded->diags.all()) fmt::print(stderr, "{}", loaded->diags.render(d));
    if (!c.executable) return 1;
    if (chosen.train.window.empty()) return fmt::print(stderr, "the plan names no window\n"), 1;
    Bench bench(std::move(c.executable), chosen.train.batch, chosen.train.window.begin()->second);
    fmt::print("ready {}\n", findTarget(target).isa), std::fflush(stdout);
    for (std::string line; std::getline(std::cin, line) && line != "quit";) answer(bench, line);
  } catch (const Error &e) {
    return fmt::print(stderr, "{}\n", e.what()), 1;
  }
}
