// SPDX-License-Identifier: Apache-2.0
// For choices between computing again and keeping: what elementwise functions take compared with an addition, and how large a value is where sizes are not known.
#pragma once
#include "ir/ir.h"

namespace fil::passes {

inline int additionsOf(ir::MapFn fn) {
  using ir::MapFn;
  switch (fn) {
  case MapFn::exp: case MapFn::log: case MapFn::sin: case MapFn::cos: case MapFn::tanh: case MapFn::erf: return 20;
  case MapFn::pow: return 40;
  case MapFn::div: case MapFn::sqrt: case MapFn::rsqrt: case MapFn::mod: return 6;
  default: return 1;
  }
}

/// What a size is assumed to be while a program is compiled: dims without one are 1024 long.
inline int64_t assumed(const Size &s) {
  return s.eval([](const std::string &) { return std::optional<int64_t>(1024); })->value();
}

} // namespace fil::passes
