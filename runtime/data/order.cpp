// SPDX-License-Identifier: Apache-2.0
// The permutation of an epoch.
#include "runtime/base/philox.h"
#include "runtime/data/dataset.h"
#include <numeric>

namespace fil {

std::vector<int64_t> epochOrder(uint64_t seed, int64_t epoch, int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  uint64_t key = streamKey(seed, "data.epoch");
  for (int64_t i = n - 1; i > 0; --i)
    std::swap(order[size_t(i)],
              order[uniformBelow(philox(key, uint64_t(epoch), uint64_t(i)), uint64_t(i) + 1)]);
  return order;
}

} // namespace fil
