// SPDX-License-Identifier: Apache-2.0
// What elementwise functions take compared with an addition: for choices between computing again and keeping.
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

} // namespace fil::passes
