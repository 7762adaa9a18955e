// SPDX-License-Identifier: Apache-2.0
// Greedy best fit: buffers are placed one by one into the smallest gap between placed ones of overlapping lifetime. Which order is
// best depends on the program (large first for a forward pass, long-lived first for saved values), so each is tried.
#include "runtime/memory/arena.h"
#include <algorithm>
#include <numeric>

namespace fil {
namespace {

constexpr int64_t alignment = 64;
int64_t aligned(int64_t bytes) { return (bytes + alignment - 1) & -alignment; }

struct Placed {
  int64_t offset, end;
  int first, last;
};

/// Places buffers in `order`; gives up at the buffer with which the arena reaches `limit` and returns its position, else order.size().
size_t place(std::span<const Lifetime> buffers, std::span<const uint32_t> order, int64_t limit, std::vector<Placed> &placed, ArenaLayout &layout) {
  layout.offsets.assign(buffers.size(), 0);
  layout.bytes = 0;
  placed.clear(); // by offset
  for (size_t at = 0; at < order.size(); ++at) {
    const uint32_t i = order[at];
    const Lifetime &b = buffers[i];
    const int64_t bytes = aligned(b.bytes);
    int64_t end = 0, best = -1, bestGap = INT64_MAX;
    for (const Placed &p : placed) {
      if (p.last < b.first || p.first > b.last) continue;
      const int64_t gap = p.offset - end;
      if (gap >= bytes && gap < bestGap) bestGap = gap, best = end;
      end = std::max(end, p.end);
    }
    const int64_t offset = best >= 0 ? best : end;
    layout.offsets[i] = offset;
    layout.bytes = std::max(layout.bytes, offset + bytes);
    if (layout.bytes >= limit) return at;
    auto before = std::upper_bound(placed.begin(), placed.end(), offset, [](int64_t o, const Placed &p) { return o < p.offset; });
    placed.insert(before, {offset, offset + bytes, b.first, b.last});
  }
  return order.size();
}

} // namespace

int64_t mostLive(std::span<const Lifetime> buffers) {
  std::vector<std::pair<int, int64_t>> change; // a buffer ends behind its last position
  for (const Lifetime &b : buffers)
    if (b.bytes > 0) change.push_back({b.first, aligned(b.bytes)}), change.push_back({b.last + 1, -aligned(b.bytes)});
  std::sort(change.begin(), change.end()); // at one position ends come first
  int64_t live = 0, most = 0;
  for (auto [at, bytes] : change) most = std::max(most, live += bytes);
  return most;
}

ArenaLayout planArena(std::span<const Lifetime> buffers) {
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < buffers.size(); ++i)
    if (buffers[i].bytes > 0) order.push_back(i);
  const int64_t least = mostLive(buffers);
  std::vector<Placed> placed;
  placed.reserve(order.size());
  ArenaLayout best;
  best.offsets.assign(buffers.size(), 0);
  best.bytes = INT64_MAX;
  if (order.empty()) best.bytes = 0;

  auto length = [&](uint32_t i) { return int64_t(buffers[i].last) - buffers[i].first + 1; };
  auto size = [&](uint32_t i) { return buffers[i].bytes; };
  auto area = [&](uint32_t i) { return double(length(i)) * double(size(i)); };
  ArenaLayout layout;
  std::vector<uint32_t> bestOrder;
  auto tryOrder = [&] {
    const size_t stop = place(buffers, order, best.bytes, placed, layout);
    if (stop == order.size()) std::swap(best, layout), bestOrder = order;
    return stop;
  };
  auto attempt = [&](auto key) {
    if (best.bytes <= least) return;
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      auto x = key(a), y = key(b);
      return x != y ? x > y : a < b;
    });
    tryOrder();
  };
  attempt([&](uint32_t i) { return std::pair(size(i), length(i)); });
  attempt([&](uint32_t i) { return std::pair(length(i), size(i)); });
  attempt(area);
  attempt([&](uint32_t i) { return std::pair(-buffers[i].first, length(i)); });
  attempt([&](uint32_t i) { return std::pair(buffers[i].last, length(i)); });

  // What made the arena too large goes first, again and again, as long as the work stays in bounds.
  order = bestOrder;
  int64_t rounds = std::clamp<int64_t>(40000000 / int64_t(1 + order.size() * order.size()), 0, 200);
  for (; rounds > 0 && best.bytes > least + least / 50; --rounds) {
    const size_t stop = tryOrder();
    if (stop < order.size()) std::rotate(order.begin(), order.begin() + ptrdiff_t(stop), order.begin() + ptrdiff_t(stop) + 1);
  }
  return best;
}

} // namespace fil
