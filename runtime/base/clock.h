// SPDX-License-Identifier: Apache-2.0
// Time as a seam: the machine's monotonic clock, and a twin that a test moves by hand.
#pragma once

namespace fil {

class Clock {
public:
  virtual ~Clock() = default;
  /// Seconds since some fixed moment; never runs backwards.
  virtual double seconds() const = 0;
};
Clock &systemClock();

class ManualClock : public Clock {
public:
  double now = 0;
  double seconds() const override { return now; }
};

} // namespace fil
