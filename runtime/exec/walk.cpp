// SPDX-License-Identifier: Apache-2.0
// The inner loop of the runtime: steps whose sizes are all numbers.
#include "runtime/base/clock.h"
#include "runtime/base/philox.h"
#include "runtime/base/status.h"
#include "runtime/exec/flat_program.h"
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstring>

namespace fil {
namespace {

using Op = BoundProgram::Op;

uint64_t streamKeyOf(uint64_t seed, const char *stream, int64_t t0, int64_t t1, int64_t t2, int64_t t3) {
  const int64_t turns[] = {t0, t1, t2, t3};
  uint64_t h = fnv1a64("");
  auto add = [&](std::string_view text) {
    for (char c : text) h = (h ^ uint8_t(c)) * 0x100000001b3ull;
  };
  std::string_view rest = stream;
  for (int64_t turn : turns) {
    const size_t dots = rest.find(".."), open = rest.rfind('[', dots), close = rest.find(']', dots);
    if (dots == rest.npos || open == rest.npos || close == rest.npos) break;
    char digits[24];
    auto [end, error] = std::to_chars(digits, digits + sizeof digits, turn);
    add(rest.substr(0, open + 1)), add({digits, size_t(end - digits)}), add("]");
    rest = rest.substr(close + 1);
  }
  add(rest);
  return seed ^ h;
}

const fil_launch services = [] {
  fil_launch l{};
  l.version = FIL_ABI_VERSION;
  l.math[FIL_EXP] = ::exp, l.math[FIL_LOG] = ::log, l.math[FIL_SIN] = ::sin, l.math[FIL_COS] = ::cos, l.math[FIL_TANH] = ::tanh, l.math[FIL_ERF] = ::erf;
  l.stream_key = streamKeyOf;
  l.pow = ::pow;
  return l;
}();

void launch(const BoundProgram &b, const Op &op, void **pointers, const Machine &m) {
  if (op.count == 0) return;
  void *const *buffers = pointers + op.pointers;
  const int64_t *sizes = b.sizes.data() + op.sizes;
  int32_t failure = 0;
  if (op.count <= op.grain || m.pool.threads() == 1) {
    failure = op.kernel(&services, buffers, sizes, 0, op.count, m.scratch);
  } else {
    std::atomic<int32_t> any{0};
    m.pool.run(op.count, op.grain, [&](int64_t begin, int64_t end, int worker) {
      if (int32_t f = op.kernel(&services, buffers, sizes, begin, end, m.scratch + size_t(worker) * m.scratchStride)) any.store(f, std::memory_order_relaxed);
    });
    failure = any.load(std::memory_order_relaxed);
  }
  if (failure) throw Error(Exit::Internal, "E0702", fmt::format("the kernel of `{}` ({}) returned {}", m.rows[op.row].site, m.rows[op.row].what, failure));
}

/// Whole megabytes are shared out: one core does not fill the memory bus.
constexpr int64_t piece = int64_t(1) << 18;
template <class F> void inPieces(int64_t bytes, const Machine &m, F f) {
  if (bytes < 4 * piece) return f(0, bytes);
  m.pool.run((bytes + piece - 1) / piece, 1, [&](int64_t begin, int64_t end, int) { f(begin * piece, std::min(bytes, end * piece)); });
}

void move(const BoundProgram &b, const BoundProgram::Loop &loop, void **pointers, int64_t turns) {
  for (uint32_t i = loop.first; i < loop.last; ++i) {
    const auto &step = b.increments[i];
    auto &p = reinterpret_cast<std::byte *&>(pointers[step.pointer]);
    p += step.bytes * turns;
  }
}

void work(const BoundProgram &b, const Op &op, void **pointers, const Machine &m) {
  auto bytes = [&](int i) { return static_cast<std::byte *>(pointers[op.pointers + uint32_t(i)]); };
  switch (op.kind) {
  case Op::Launch: return launch(b, op, pointers, m);
  case Op::Copy:
    if (bytes(0) != bytes(1)) inPieces(op.count, m, [&](int64_t i, int64_t end) { std::memcpy(bytes(0) + i, bytes(1) + i, size_t(end - i)); });
    return;
  case Op::Fill: return inPieces(op.count, m, [&](int64_t i, int64_t end) { std::memset(bytes(0) + i, 0, size_t(end - i)); });
  case Op::Turn: {
    const auto &loop = b.loops[op.loop];
    const int32_t turn = int32_t(loop.lo + loop.turn);
    std::memcpy(bytes(0), &turn, sizeof turn);
    return;
  }
  case Op::Begin:
  case Op::End:
  case Op::Once: return;
  }
}

} // namespace

void walk(BoundProgram &b, void **pointers, const Machine &m) {
  for (uint32_t i = 0; i < b.ops.size(); ++i) {
    const Op &op = b.ops[i];
    if (op.kind == Op::Begin) {
      auto &loop = b.loops[op.loop];
      loop.turn = loop.reverse ? loop.turns - 1 : 0;
      if (loop.turns == 0) i = op.jump;
      else if (loop.reverse) move(b, loop, pointers, loop.turn);
    } else if (op.kind == Op::End) {
      auto &loop = b.loops[op.loop];
      if (loop.reverse ? loop.turn > 0 : loop.turn + 1 < loop.turns) {
        loop.turn += loop.reverse ? -1 : 1;
        move(b, loop, pointers, loop.reverse ? -1 : 1);
        i = op.jump;
      } else if (!loop.reverse) {
        move(b, loop, pointers, -loop.turn);
      }
    } else if (op.kind == Op::Once) {
      if (m.upToDate[op.loop]) i = op.jump;
    } else if (!m.seconds) [[likely]] {
      work(b, op, pointers, m);
    } else {
      const double start = systemClock().seconds();
      work(b, op, pointers, m);
      m.seconds[op.row] += systemClock().seconds() - start;
      ++m.calls[op.row];
    }
  }
}

} // namespace fil
