// SPDX-License-Identifier: Apache-2.0
// The machine's monotonic clock.
#include "runtime/base/clock.h"
#include <chrono>

namespace fil {

Clock &systemClock() {
  struct Steady : Clock {
    double seconds() const override {
      return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
          .count();
    }
  };
  static Steady clock;
  return clock;
}

} // namespace fil
