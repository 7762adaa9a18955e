// SPDX-License-Identifier: Apache-2.0
// oneDNN's side of contractions: one matmul, many at once, or a chain of them, with the same operands and lines on stdin as program_bench.
#include "tests/bench/driver.h"
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <dlfcn.h>
#include <dnnl.hpp>
#include <sys/mman.h>

using namespace fil::bench;
using Memory = dnnl::memory;

namespace {

struct Case {
  int64_t m = 0, n = 0, k = 0, batch = 1, chain = 0;
  bool transposedA = false, transposedB = false, plain = false;
};

class Bench {
public:
  explicit Bench(const Case &c) : c(c), engine(dnnl::engine::kind::cpu, 0), stream(engine) {
    // Results of a chain are the next one's left side, by turns.
    const Memory::desc a = desc(c.m, c.k, c.transposedA), b = desc(c.k, c.n, c.transposedB), out = desc(c.m, c.n, false);
    Memory::desc weights = b;
    if (!c.plain) weights = Memory::desc(b.dims(), Memory::data_type::f32, Memory::format_tag::any);
    const dnnl::matmul::primitive_desc chosen(dnnl::matmul::desc(a, weights, out), engine);
    matmul = dnnl::matmul(chosen);
    source = memory(chosen.src_desc()), result = memory(chosen.dst_desc()), other = memory(chosen.dst_desc());
    fill(c.chain ? "x" : "a", elements(source));
    for (int64_t i = 0; i < std::max<int64_t>(1, c.chain); ++i) {
      Memory given = memory(b), packed = memory(chosen.weights_desc());
      fill(c.chain ? fmt::format("l[{}].w", i) : "b", elements(given));
      dnnl::reorder(given, packed).execute(stream, given, packed);
      stream.wait();
      right.push_back(packed);
    }
  }
  void run() {
    Memory from = source, to = result, next = other;
    for (const Memory &w : right) {
      matmul.execute(stream, {{DNNL_ARG_SRC, from}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, to}});
      from = to, std::swap(to, next);
    }
    stream.wait();
    last = from;
  }
  std::string sampled() {
    std::ranges::fill(elements(result), NAN);
    std::ranges::fill(elements(other), NAN);
    run();
    return fmt::format("{{\"y\": {}}}", sample(elements(last)));
  }

private:
  Case c;
  dnnl::engine engine;
  dnnl::stream stream;
  dnnl::matmul matmul;
  Memory source, result, other, last;
  std::vector<Memory> right;

  Memory::desc desc(int64_t rows, int64_t columns, bool transposed) const {
    if (c.batch == 1) return {{rows, columns}, Memory::data_type::f32, transposed ? Memory::format_tag::ba : Memory::format_tag::ab};
    return {{c.batch, rows, columns}, Memory::data_type::f32, Memory::format_tag::abc};
  }
  /// On huge pages, for the rest of the process.
  Memory memory(const Memory::desc &d) const {
    constexpr size_t huge = size_t(2) << 20;
    const size_t bytes = (d.get_size() + huge - 1) / huge * huge;
    void *data = std::aligned_alloc(huge, bytes);
    madvise(data, bytes, MADV_HUGEPAGE);
    return {d, engine, data};
  }
  static std::span<float> elements(const Memory &m) { return {static_cast<float *>(m.get_data_handle()), m.get_desc().get_size() / 4}; }
};

} // namespace

int main(int argc, char **argv) {
  CLI::App app{"contractions by oneDNN, timed by lines on stdin"};
  Case c;
  int threads = 1;
  bool avx2 = false, cpuTime = false;
  app.add_option("m", c.m)->required();
  app.add_option("n", c.n)->required();
  app.add_option("k", c.k)->required();
  app.add_option("--batch", c.batch);
  app.add_option("--chain", c.chain, "so many, each with weights of its own");
  app.add_flag("--transposed-a", c.transposedA);
  app.add_flag("--transposed-b", c.transposedB);
  app.add_flag("--plain", c.plain, "weights as they are, not in the layout of oneDNN's choice");
  app.add_option("--threads", threads);
  app.add_flag("--avx2", avx2);
  app.add_flag("--cpu-time", cpuTime, "seconds are those of the CPU, not of the wall");
  CLI11_PARSE(app, argc, argv);
  if (avx2) dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx2);
  if (auto set = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"))) set(threads);
  Bench bench(c);
  serve(fmt::format("ready oneDNN {}.{}.{}", dnnl_version()->major, dnnl_version()->minor, dnnl_version()->patch), [&](const std::string &what, std::istream &words) {
    int64_t before = 0, n = 1;
    if (what == "sample") return bench.sampled();
    words >> before >> n;
    return fmt::format("{:.9f}", timed(before, n, cpuTime, [&] { bench.run(); }));
  });
}
