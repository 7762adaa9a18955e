// SPDX-License-Identifier: Apache-2.0
// Whole contractions on one thread against oneDNN: `packed` with weights reordered outside of the timer (as B is packed outside of
// ours), `sgemm` with packing inside for both. Pairs are interleaved and timed by thread CPU time; what counts is the ratio.
#include "tests/codegen/contraction_kernel.h"
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <dlfcn.h>
#include <dnnl.hpp>
#include <fmt/format.h>
#include <random>
#include <sys/mman.h>
#include <time.h>

using namespace fil;
using namespace fil::test;

namespace {

double threadSeconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + double(t.tv_nsec) * 1e-9;
}

/// Zeroed memory in huge pages.
class Array {
public:
  explicit Array(int64_t count) : bytes_((size_t(count) * 4 + (4 << 20) - 1) >> 21 << 21) {
    data_ = static_cast<float *>(std::aligned_alloc(2 << 20, bytes_));
    madvise(data_, bytes_, MADV_HUGEPAGE);
    std::memset(data_, 0, bytes_);
  }
  ~Array() { std::free(data_); }
  Array(const Array &) = delete;
  float *data() { return data_; }
  float &operator[](int64_t i) { return data_[i]; }

private:
  size_t bytes_;
  float *data_;
};

struct Case { int64_t m, n, k; bool transposedA, transposedB; };
struct Tuning { int rows = 0, vectors = 0, unroll = 0; int64_t mc = 0, nc = 0, kc = 0; int pairs = 21; };

/// Our contraction: tiles mc x nc of C, in place where their columns fill panels, else in scratch; k in blocks; A packed where it is transposed.
class Ours {
public:
  Ours(const Case &c, const Target &target, const Tuning &tuning) : c(c), spec(specOf(c, target, tuning)), image(compile(target)) {
    blocks = chooseBlocks(target, spec.shape, {c.m, c.n, c.k});
    if (tuning.mc) blocks.mc = tuning.mc;
    if (tuning.nc) blocks.nc = tuning.nc;
    if (tuning.kc) blocks.kc = tuning.kc;
    panelB = spec.shape.columns() * c.k;
    int64_t panels = (c.n + spec.shape.columns() - 1) / spec.shape.columns();
    packedB = std::make_unique<Array>(panels * panelB);
    packedA = std::make_unique<Array>((blocks.mc + spec.shape.rows) * blocks.kc);
    scratch = std::make_unique<Array>(blocks.mc * (blocks.nc + spec.shape.columns()));
    direct = c.n % spec.shape.columns() == 0; // as generated code does
  }
  void packB(const float *b) {
    void *buffers[BufferCount] = {nullptr, const_cast<float *>(b), nullptr, packedB->data(), nullptr};
    int64_t sizes[SizeCount] = {c.m, c.n, c.k, 0, 0, c.transposedB ? c.k : 1, c.transposedB ? 1 : c.n, 0, panelB, 0};
    image.kernel(0)(nullptr, buffers, sizes, 0, c.k, nullptr);
  }
  void run(const float *a, float *out) {
    int64_t columns = spec.shape.columns(), rowA = c.transposedA ? 1 : c.k, stepA = c.transposedA ? c.m : 1;
    for (int64_t n0 = 0; n0 < c.n; n0 += blocks.nc)
      for (int64_t m0 = 0; m0 < c.m; m0 += blocks.mc) {
        int64_t m = std::min(blocks.mc, c.m - m0), n = std::min(blocks.nc, c.n - n0), rowC = (n + columns - 1) / columns * columns;
        float *tile = direct ? out + m0 * c.n + n0 : scratch->data();
        void *buffers[BufferCount] = {const_cast<float *>(a) + m0 * rowA, nullptr, packedA->data(),
                                      packedB->data() + n0 / columns * panelB, tile};
        for (int64_t k0 = 0; k0 < c.k; k0 += blocks.kc) {
          int64_t end = std::min(k0 + blocks.kc, c.k);
          int64_t sizes[SizeCount] = {m, n, c.k, rowA, stepA, 0, 0, spec.shape.rows * (end - k0), panelB, direct ? c.n : rowC};
          if (spec.form == Form::PackedTile) image.kernel(1)(nullptr, buffers, sizes, k0, end, nullptr);
          image.kernel(2)(nullptr, buffers, sizes, k0, end, nullptr);
        }
        if (!direct)
          for (int64_t i = 0; i < m; ++i) std::memcpy(out + (m0 + i) * c.n + n0, tile + i * rowC, size_t(n) * 4);
      }
  }
  std::string str() const { return spec.shape.str() + ", " + blocks.str(); }

private:
  static ContractionSpec specOf(const Case &c, const Target &target, const Tuning &tuning) {
    ContractionSpec s{chooseShape(target, Element::F32, {c.m, c.n, c.k}), target.registers};
    if (tuning.rows) s.shape.rows = tuning.rows;
    if (tuning.vectors) s.shape.vectors = tuning.vectors;
    if (tuning.unroll) s.shape.unroll = tuning.unroll;
    s.a = c.transposedA ? Access::Outer : Access::K;
    s.b = c.transposedB ? Access::K : Access::Outer;
    s.form = c.transposedA ? Form::PackedTile : Form::Tile;
    return s;
  }
  Image compile(const Target &target) {
    std::vector<KernelModule> kernels;
    kernels.push_back(packBKernel("packB", spec, target));
    kernels.push_back(packAKernel("packA", spec, target));
    kernels.push_back(tileKernel("tile", spec, target));
    return compileImage(kernels, target);
  }

  Case c;
  ContractionSpec spec;
  LoadedImage image;
  CacheBlocks blocks;
  int64_t panelB = 0;
  bool direct = false;
  std::unique_ptr<Array> packedB, packedA, scratch;
};

/// oneDNN's matmul with weights in the layout of its choice.
class Packed {
public:
  Packed(const Case &c, float *a, float *b, float *out) : engine(dnnl::engine::kind::cpu, 0), stream(engine) {
    using Memory = dnnl::memory;
    auto desc = [](int64_t rows, int64_t columns, bool transposed) {
      return Memory::desc({rows, columns}, Memory::data_type::f32, transposed ? Memory::format_tag::ba : Memory::format_tag::ab);
    };
    Memory::desc any({c.k, c.n}, Memory::data_type::f32, Memory::format_tag::any);
    dnnl::matmul::desc description(desc(c.m, c.k, c.transposedA), any, desc(c.m, c.n, false));
    dnnl::matmul::primitive_desc primitive(description, engine);
    Memory plain(desc(c.k, c.n, c.transposedB), engine, b), packed(primitive.weights_desc(), engine);
    dnnl::reorder(plain, packed).execute(stream, plain, packed);
    stream.wait();
    matmul = dnnl::matmul(primitive);
    arguments = {{DNNL_ARG_SRC, Memory(primitive.src_desc(), engine, a)}, {DNNL_ARG_WEIGHTS, packed},
                 {DNNL_ARG_DST, Memory(primitive.dst_desc(), engine, out)}};
  }
  void run() {
    matmul.execute(stream, arguments);
    stream.wait();
  }

private:
  dnnl::engine engine;
  dnnl::stream stream;
  dnnl::matmul matmul;
  std::unordered_map<int, dnnl::memory> arguments;
};

struct Ratio { double median, p10, gflops, theirs; };
template <class Mine, class Theirs> Ratio compare(int pairs, double flops, Mine mine, Theirs theirs) {
  std::vector<double> ratios, times, other;
  mine(), theirs();
  for (int i = 0; i < pairs; ++i) {
    double t[2];
    for (int turn = 0; turn < 2; ++turn) {
      bool first = (turn ^ i) & 1;
      double start = threadSeconds();
      if (first) mine();
      else theirs();
      t[first] = threadSeconds() - start;
    }
    ratios.push_back(t[0] / t[1]), times.push_back(t[1]), other.push_back(t[0]);
  }
  for (auto *v : {&ratios, &times, &other}) std::ranges::sort(*v);
  size_t half = size_t(pairs) / 2;
  return {ratios[half], ratios[size_t(pairs) / 10], flops / times[half] * 1e-9, flops / other[half] * 1e-9};
}

/// A thousand elements, among them those of the last row and column, against float64; and no NaN is left.
bool right(const Case &c, Array &a, Array &b, Array &out) {
  for (int64_t i = 0; i < c.m * c.n; ++i)
    if (std::isnan(out[i])) return false;
  std::mt19937_64 random(2);
  for (int k = 0; k < 1000; ++k) {
    const int64_t i = k % 8 == 0 ? c.m - 1 : int64_t(random() % uint64_t(c.m)), j = k % 8 == 1 ? c.n - 1 : int64_t(random() % uint64_t(c.n));
    double sum = 0;
    for (int64_t p = 0; p < c.k; ++p) sum += double(a[c.transposedA ? p * c.m + i : i * c.k + p]) * double(b[c.transposedB ? j * c.k + p : p * c.n + j]);
    if (!(std::fabs(sum - double(out[i * c.n + j])) < 1e-5 * std::sqrt(double(c.k)))) return false;
  }
  return true;
}

void bench(const Case &c, const Target &target, const Tuning &tuning, bool sgemm) {
  Array a(c.m * c.k), b(c.k * c.n), mine(c.m * c.n), theirs(c.m * c.n);
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (int64_t i = 0; i < c.m * c.k; ++i) a[i] = uniform(random);
  for (int64_t i = 0; i < c.k * c.n; ++i) b[i] = uniform(random);
  Ours ours(c, target, tuning);
  ours.packB(b.data());
  Packed packed(c, a.data(), b.data(), theirs.data());
  double flops = 2.0 * double(c.m) * double(c.n) * double(c.k);
  std::string name = fmt::format("{}x{}x{} {}{}", c.m, c.n, c.k, c.transposedA ? 'T' : 'N', c.transposedB ? 'T' : 'N');
  auto report = [&](const char *what, Ratio r) {
    fmt::print("{:22} {:7} ratio {:.3f} p10 {:.3f}  {:6.1f} to {:6.1f} GF/s  {}{}\n", name, what, r.median, r.p10, r.gflops, r.theirs,
               ours.str(), right(c, a, b, mine) && right(c, a, b, theirs) ? "" : "  WRONG");
    std::fflush(stdout);
  };
  for (Array *out : {&mine, &theirs})
    for (int64_t i = 0; i < c.m * c.n; ++i) (*out)[i] = NAN; // what nobody writes is wrong
  report("packed", compare(tuning.pairs, flops, [&] { ours.run(a.data(), mine.data()); }, [&] { packed.run(); }));
  if (!sgemm) return;
  auto whole = [&] {
    ours.packB(b.data());
    ours.run(a.data(), mine.data());
  };
  auto blas = [&] {
    dnnl_sgemm(c.transposedA ? 'T' : 'N', c.transposedB ? 'T' : 'N', c.m, c.n, c.k, 1, a.data(), c.transposedA ? c.m : c.k, b.data(),
               c.transposedB ? c.k : c.n, 0, theirs.data(), c.n);
  };
  report("sgemm", compare(tuning.pairs, flops, whole, blas));
}

} // namespace

int main(int argc, char **argv) {
  CLI::App app{"contractions against oneDNN"};
  std::string isa = "native";
  std::vector<std::string> sizes{"512x512x512", "1024x1024x1024", "1000x1000x1000", "2048x2048x2048", "256x3072x768"}, orientations{"NN", "NT", "TN", "TT"};
  Tuning tuning;
  bool sgemm = false;
  app.add_option("--target", isa);
  app.add_option("--sizes", sizes, "MxNxK")->delimiter(',');
  app.add_option("--orientations", orientations)->delimiter(',');
  app.add_option("--rows", tuning.rows);
  app.add_option("--vectors", tuning.vectors);
  app.add_option("--unroll", tuning.unroll);
  app.add_option("--mc", tuning.mc);
  app.add_option("--nc", tuning.nc);
  app.add_option("--kc", tuning.kc);
  app.add_option("--pairs", tuning.pairs);
  app.add_flag("--sgemm", sgemm, "with packing of B inside, too");
  CLI11_PARSE(app, argc, argv);
  Target target = findTarget(isa);
  if (target.isa == "x86-64-v3") dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx2);
  // oneDNN's OpenMP: thread CPU time would hide its other threads.
  if (auto set = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"))) set(1);
  fmt::print("{}\n", target.str().substr(0, 100));
  for (const std::string &size : sizes)
    for (const std::string &orientation : orientations) {
      Case c{0, 0, 0, orientation[0] == 'T', orientation[1] == 'T'};
      if (std::sscanf(size.c_str(), "%ldx%ldx%ld", &c.m, &c.n, &c.k) != 3) return 2;
      bench(c, target, tuning, sgemm);
    }
}
