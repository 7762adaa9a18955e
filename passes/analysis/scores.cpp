// SPDX-License-Identifier: Apache-2.0
#include "passes/analysis/scores.h"
#include "ir/contraction.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {

static Type shape(Value v) {
  auto t = dyn_cast<ir::TensorType>(v.getType());
  return t ? ir::TensorType::get(t.getContext(), t.getDims(), RealType::get(t.getContext())) : Type();
}

ScoreRows::ScoreRows(Block &block, const Dims &dims) {
  for (auto c : block.getOps<ContractOp>())
    if (auto d = classify(c); !d.batch.empty() && worthTiles(d, dims)) rows[shape(c.getResult())];
  if (rows.empty()) return;
  for (auto r : block.getOps<ReduceOp>()) {
    auto row = rows.find(shape(r.getX()));
    if (auto over = strings(r.getOver()); row != rows.end() && (row->second.empty() || over.size() < row->second.size())) row->second = over;
  }
}
ArrayRef<StringAttr> ScoreRows::of(Value v) const {
  auto found = rows.find(shape(v));
  return found == rows.end() ? ArrayRef<StringAttr>() : ArrayRef(found->second);
}

} // namespace fil::passes
