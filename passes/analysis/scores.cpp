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
  llvm::DenseMap<Type, ContractionDims> products;
  for (auto c : block.getOps<ContractOp>())
    if (auto d = classify(c); !d.batch.empty() && worthTiles(d, dims)) products.try_emplace(shape(c.getResult()), d);
  if (products.empty()) return;
  for (auto r : block.getOps<ReduceOp>()) {
    auto product = products.find(shape(r.getX()));
    if (product == products.end()) continue;
    const ContractionDims &d = product->second;
    const auto over = strings(r.getOver());
    auto touches = [&](ArrayRef<StringAttr> side) { return llvm::any_of(over, [&](StringAttr x) { return llvm::is_contained(side, x); }); };
    if (touches(d.rows) == touches(d.columns)) continue;
    ScoreRow &row = rows[product->first];
    if (row.along.empty() || over.size() < row.along.size()) row = {over, touches(d.rows) ? d.columns : d.rows};
  }
}
const ScoreRow *ScoreRows::of(Value v) const {
  auto found = rows.find(shape(v));
  return found == rows.end() ? nullptr : &found->second;
}

} // namespace fil::passes
