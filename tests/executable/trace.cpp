// SPDX-License-Identifier: Apache-2.0
#include "tests/executable/trace.h"
#include "runtime/base/philox.h"
#include "runtime/memory/arena.h"
#include <fmt/format.h>
#include <sstream>

namespace fil::test {
namespace {
uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull, x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}
std::string bitsOf(const Array &a) { return fmt::format("{:016x}", fnv1a64({reinterpret_cast<const char *>(a.data.get()), a.bytes()})); }
} // namespace

std::vector<Array> inputsAt(const Entry &e, const Binding &sizes, int64_t step, int64_t from) {
  std::vector<Array> all;
  for (size_t i = 0; i < e.inputs.size(); ++i) {
    const Port &p = e.inputs[i];
    std::vector<int64_t> shape;
    for (size_t d = 0; d < p.sizes.size(); ++d) shape.push_back(valueOf(p.sizes[d], sizes, p.dims[d]));
    const int64_t n = *elementCount(shape);
    auto draw = [&](int64_t k) { return mixed(uint64_t(step) * 0x9e3779b97f4a7c15ull + i * 0x632be59bd9b4e019ull + uint64_t(k) + 1); };
    std::vector<double> v;
    for (int64_t k = 0; k < n; ++k) {
      if (p.name == "step") v.push_back(double(step));
      else if (p.name == "seed") v.push_back(7);
      else if (p.name == "lr") v.push_back(0.01);
      else if (p.name == "pos") v.push_back(double(from + k));
      else if (p.dtype == DType::Bool) v.push_back(double(draw(k) % 2));
      else if (p.dtype == DType::I32) v.push_back(double(draw(k) % uint64_t(p.indexBound ? valueOf(*p.indexBound, sizes, p.name) : 7)));
      else v.push_back(double(draw(k) >> 11) * 0x1p-52 - 1);
    }
    if (p.dtype == DType::F64) all.push_back(Array::of(p.dtype, shape, v));
    else if (p.dtype == DType::F32) all.push_back(Array::of(p.dtype, shape, std::vector<float>(v.begin(), v.end())));
    else if (p.dtype == DType::I32) all.push_back(Array::of(p.dtype, shape, std::vector<int32_t>(v.begin(), v.end())));
    else all.push_back(Array::of(p.dtype, shape, std::vector<uint8_t>(v.begin(), v.end())));
  }
  return all;
}

std::string traceOf(Executable &x, const Binding &sizes) {
  std::string text;
  auto call = [&](const std::string &entry, const Binding &at, int64_t step, int64_t from = 0) {
    const Entry *e = x.find(entry);
    if (!e) return;
    auto out = x.run(*e, inputsAt(*e, at, step, from));
    for (size_t i = 0; i < out.size(); ++i) text += fmt::format("{} {} {} {}{}\n", entry, step, e->outputs[i].name, bitsOf(out[i]), out[i].elements() == 1 ? fmt::format(" {}", out[i].at(0)) : "");
  };
  auto variables = [&] {
    for (size_t v = 0; v < x.variables().size(); ++v) text += fmt::format("{} {}\n", x.variables()[v].name, bitsOf(x.get(v)));
  };
  call("init", sizes, 0);
  variables();
  for (int64_t s = 0; s < 10; ++s) call("step", sizes, s);
  variables();
  Binding more = sizes;
  more["B"] += 2;
  for (int64_t s = 10; s < 12; ++s) call("step", more, s);
  call("eval", more, 12);
  call("run", sizes, 12);
  variables();
  if (x.find("decode")) {
    x.resetCaches(sizes.at("B"), 16);
    Binding at = sizes;
    at["T"] = at["S"] = 4;
    call("prefill", at, 13);
    at["T"] = 1;
    for (int64_t s = 4; s < 9; ++s) at["S"] = s + 1, call("decode", at, 10 + s, s);
  }
  return text;
}

std::string firstDifference(const std::string &a, const std::string &b) {
  std::istringstream x(a), y(b);
  std::string p, q;
  for (int line = 1;; ++line) {
    const bool more = bool(std::getline(x, p)), also = bool(std::getline(y, q));
    if (!more && !also) return "";
    if (!more) p = "(end)";
    if (!also) q = "(end)";
    if (p != q) return fmt::format("line {}: {} against {}", line, p, q);
  }
}

ArenaUse arenaUse(const Program &p, Binding sizes) {
  for (auto &[length, from] : p.running) sizes[length] = sizes.at(from);
  std::vector<Lifetime> alive;
  for (const Buffer &b : p.buffers)
    if (b.kind == Buffer::Arena) alive.push_back({b.first, b.last, valueOf(b.bytes, sizes, b.what)});
  return {planArena(alive).bytes, mostLive(alive)};
}

std::string sizesText(const Binding &sizes) {
  std::string s;
  for (auto &[name, n] : sizes) s += fmt::format("{}={} ", name, n);
  return s;
}
Binding sizesOf(const std::string &text) {
  Binding sizes;
  std::istringstream in(text);
  for (std::string word; in >> word;) sizes[word.substr(0, word.find('='))] = std::stoll(word.substr(word.find('=') + 1));
  return sizes;
}

} // namespace fil::test
