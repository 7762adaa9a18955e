// SPDX-License-Identifier: Apache-2.0
// Random well-typed programs as a user might write them: every construct of the language, odd sizes, a model and a scalar loss.
// A program is a pure function of its seed. Values stay near 1, so that finite differences have digits to compare.
#pragma once
#include "runtime/exec/binding.h"
#include <set>
#include <string>

namespace fil::programs {

struct Generated {
  std::string text;
  Binding sizes;                  ///< of the symbolic dims
  std::set<std::string> features; ///< constructs that the text holds: `layers`, `route`, `window`, ..
};
Generated generate(uint64_t seed);

} // namespace fil::programs
