// SPDX-License-Identifier: Apache-2.0
// The learning rate as a function of the step.
#pragma once
#include <cmath>
#include <cstdint>
#include <numbers>

namespace fil {

/// Linear from lr/W to lr over the first W steps, then constant, or a half cosine that would reach 0 at step `steps`.
struct Schedule {
  double lr = 1e-3;
  int64_t warmup = 0, steps = 1;
  bool cosine = false;

  double at(int64_t step) const {
    if (step < warmup) return lr * double(step + 1) / double(warmup);
    if (!cosine || steps <= warmup) return lr;
    return lr * 0.5 * (1 + std::cos(std::numbers::pi * double(step - warmup) / double(steps - warmup)));
  }
};

} // namespace fil
