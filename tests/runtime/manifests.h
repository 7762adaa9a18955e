// SPDX-License-Identifier: Apache-2.0
// Small compiled programs by hand, with kernels that are plain functions.
#pragma once
#include "runtime/base/status.h"
#include "runtime/exec/compiled_executable.h"
#include <algorithm>
#include <cstring>

namespace fil::test {

enum KernelRow { Scale, Math, UseScratch, Stamp, Append, Sum, Nothing, Record };
inline int64_t failAt = -1; ///< the Stamp of this count fails

/// y[i] = x[i] * sizes[1]
inline int32_t scale(const fil_launch *, void *const *b, const int64_t *sizes, int64_t begin, int64_t end, void *) {
  for (int64_t i = begin; i < end; ++i) static_cast<float *>(b[1])[i] = static_cast<const float *>(b[0])[i] * float(sizes[1]);
  return 0;
}
inline int32_t math(const fil_launch *l, void *const *b, const int64_t *, int64_t begin, int64_t end, void *) {
  if (l->version != FIL_ABI_VERSION) return 1;
  for (int64_t i = begin; i < end; ++i) {
    const double x = static_cast<const float *>(b[0])[i];
    double sum = 0;
    for (int f = FIL_EXP; f <= FIL_ERF; ++f) sum += l->math[f](x);
    static_cast<float *>(b[1])[i] = float(sum + l->pow(x, 3));
  }
  return 0;
}
/// y = x, by way of the scratch: wrong where two threads share it.
inline int32_t useScratch(const fil_launch *, void *const *b, const int64_t *, int64_t begin, int64_t end, void *scratch) {
  if (reinterpret_cast<uintptr_t>(scratch) % 64) return 1;
  for (int64_t i = begin; i < end; ++i) {
    std::fill_n(static_cast<volatile float *>(scratch), 64, static_cast<const float *>(b[0])[i]);
    for (int k = 0; k < 64; ++k)
      if (static_cast<volatile float *>(scratch)[k] != static_cast<const float *>(b[0])[i]) return 2;
    static_cast<float *>(b[1])[i] = static_cast<volatile float *>(scratch)[63];
  }
  return 0;
}
/// Counts up in b[0] and writes the count to b[1].
inline int32_t stamp(const fil_launch *, void *const *b, const int64_t *, int64_t, int64_t, void *) {
  float &count = *static_cast<float *>(b[0]);
  *static_cast<float *>(b[1]) = ++count;
  return int64_t(count) == failAt;
}
/// Row by row, sizes are B, T, S, capacity: cache[b, S-T+t] = x[b, t].
inline int32_t append(const fil_launch *, void *const *b, const int64_t *n, int64_t begin, int64_t end, void *) {
  for (int64_t r = begin; r < end; ++r) std::memcpy(static_cast<float *>(b[1]) + r * n[3] + n[2] - n[1], static_cast<const float *>(b[0]) + r * n[1], size_t(n[1]) * 4);
  return 0;
}
/// y[b] = sum of cache[b, 0..S-1]
inline int32_t sum(const fil_launch *, void *const *b, const int64_t *n, int64_t begin, int64_t end, void *) {
  for (int64_t r = begin; r < end; ++r) {
    float s = 0;
    for (int64_t i = 0; i < n[2]; ++i) s += static_cast<const float *>(b[0])[r * n[3] + i];
    static_cast<float *>(b[1])[r] = s;
  }
  return 0;
}
inline int32_t nothing(const fil_launch *, void *const *, const int64_t *, int64_t, int64_t, void *) { return 0; }
/// Writes down pointers and sizes, two of each.
struct Recorded {
  const void *views[2];
  int64_t sizes[2];
};
inline std::vector<Recorded> recorded;
inline int32_t record(const fil_launch *, void *const *b, const int64_t *n, int64_t, int64_t, void *) {
  recorded.push_back({{b[0], b[1]}, {n[0], n[1]}});
  return 0;
}
inline std::span<const fil_kernel> kernels() {
  static const fil_kernel all[] = {scale, math, useScratch, stamp, append, sum, nothing, record};
  return all;
}

struct ProgramBuilder {
  Program program;
  explicit ProgramBuilder(std::string entry) { program.entry.name = std::move(entry); }

  int buffer(Buffer b) {
    program.buffers.push_back(std::move(b));
    return int(program.buffers.size()) - 1;
  }
  static Port port(std::string name, DType t, std::vector<Size> sizes) {
    Port p;
    p.name = std::move(name), p.dtype = t, p.sizes = std::move(sizes);
    for (auto &s : p.sizes) p.dims.push_back(s.str());
    return p;
  }
  int input(std::string name, std::vector<Size> sizes, DType t = DType::F32) {
    program.entry.inputs.push_back(port(name, t, std::move(sizes)));
    return buffer({Buffer::Input, int(program.entry.inputs.size()) - 1, 0, 0, 0, name});
  }
  int output(std::string name, DType t, std::vector<Size> sizes) {
    program.entry.outputs.push_back(port(name, t, std::move(sizes)));
    return buffer({Buffer::Output, int(program.entry.outputs.size()) - 1, 0, 0, 0, name});
  }
  int arena(Size bytes, int first, int last, std::string what = "between") { return buffer({Buffer::Arena, 0, std::move(bytes), first, last, std::move(what)}); }
  int storage(int i) { return buffer({Buffer::Storage, i, 0, 0, 0, "kept"}); }
  static Launch launch(int kernel, std::vector<View> views, std::vector<Size> sizes, Size tiles) {
    return {kernel, std::move(views), std::move(sizes), std::move(tiles), 0, 1, "a.site", "a launch"};
  }
  Manifest manifest() const {
    Manifest m;
    m.programs = {program};
    return m;
  }
};

inline Size n() { return Size::symbol("N"); }

/// y: [N] = kernel of x: [N] with sizes N, `by`; a tile an element.
inline Manifest unary(int kernel, int64_t by) {
  ProgramBuilder p("run");
  const int x = p.input("x", {n()}), y = p.output("y", DType::F32, {n()});
  p.program.steps = {{p.launch(kernel, {{x, 0, {}}, {y, 0, {}}}, {n(), by}, n())}};
  return p.manifest();
}

/// y: [rows, columns] = the order in which two nested loops come by.
inline Manifest nested(int64_t rows, int64_t columns, bool reverseOuter, bool reverseInner) {
  ProgramBuilder p("run");
  const int count = p.arena(4, 0, 1, "count"), y = p.output("y", DType::F32, {Size(rows), Size(columns)});
  Step stamp{p.launch(Stamp, {{count, 0, {}}, {y, 0, {{1, 4}, {0, Size(columns) * Size(4)}}}}, {}, 1)};
  LoopStep inner{1, columns, 0, reverseInner, {stamp}}, outer{0, rows, 0, reverseOuter, {{inner}}};
  p.program.steps = {{FillStep{{count, 0, {}}, 4}}, {outer}};
  return p.manifest();
}

/// prefill and decode: x: [B, T] is appended to a cache [B, S]; y: [B] is the sum of what it holds.
inline Manifest decoder() {
  Manifest m;
  auto symbol = [](const char *s) { return Size::symbol(s); };
  m.storages.push_back({"c", DType::F32, {"B", "S"}, {symbol("B"), symbol("S#cap")}, Storage::Cache, {}});
  for (const char *name : {"prefill", "decode"}) {
    ProgramBuilder p(name);
    p.program.running = {{"S", "T"}};
    const int x = p.input("x", {symbol("B"), symbol("T")}), y = p.output("y", DType::F32, {symbol("B")}), c = p.storage(0);
    std::vector<Size> sizes{symbol("B"), symbol("T"), symbol("S"), symbol("S#cap")};
    p.program.steps = {{p.launch(Append, {{x, 0, {}}, {c, 0, {}}}, sizes, symbol("B"))}, {p.launch(Sum, {{c, 0, {}}, {y, 0, {}}}, sizes, symbol("B"))}};
    m.programs.push_back(p.program);
  }
  return m;
}

inline Array floats(const std::vector<float> &v) { return Array::of(DType::F32, {int64_t(v.size())}, v); }
inline std::vector<float> values(const Array &a) {
  auto s = a.as<float>();
  return {s.begin(), s.end()};
}
/// The code of the Error that f throws; empty if none.
template <class F> std::string codeOf(F f) {
  try {
    f();
  } catch (const Error &e) {
    return e.code();
  }
  return "";
}

} // namespace fil::test
