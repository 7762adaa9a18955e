// SPDX-License-Identifier: Apache-2.0
#include "ir/streams.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::ir {

/// The first turn of each `[lo..hi]` in a site's path.
static SmallVector<int64_t> firstTurns(StringRef site) {
  SmallVector<int64_t> all;
  while (true) {
    auto [head, tail] = site.split('[');
    if (tail.empty()) return all;
    int64_t lo = 0;
    auto [range, rest] = tail.split(']');
    if (range.contains("..") && !range.split("..").first.getAsInteger(10, lo)) all.push_back(lo);
    site = rest;
  }
}

Value randomFor(BodyBuilder &body, VariableOp v, StringRef stream, ir::TensorType type, Value seed, Value step, bool normal) {
  OpBuilder &b = body.builder;
  auto role = RoleAttr::get(b.getContext(), body.role);
  SmallVector<Value> turns;
  for (auto [d, lo] : llvm::zip_equal(strings(v.getLoops()), firstTurns(v.getSite()))) {
    Value first = ConstantOp::create(b, body.loc, cast<ir::TensorType>(seed.getType()), b.getF64FloatAttr(double(lo)), v.getSiteAttr(), role);
    turns.push_back(body.add(body.iota(d), first));
  }
  return RandomOp::create(b, body.loc, type, seed, step, turns, b.getStringAttr(v.getSite() + stream), normal ? b.getUnitAttr() : UnitAttr(), v.getSiteAttr(), role);
}

} // namespace fil::ir
