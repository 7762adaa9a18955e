// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"

using namespace mlir;
namespace fil::ir {

ContractionDims classify(ContractOp c) {
  auto reached = [&](Value v) {
    SmallVector<StringAttr> all(cast<TensorType>(v.getType()).getDims());
    for (Value s : c.getSubsets()) {
      auto t = cast<SubsetType>(s.getType());
      if (!llvm::is_contained(all, t.getOf())) continue;
      llvm::erase(all, t.getOf());
      llvm::append_range(all, t.getPer());
      all.push_back(t.getMembers());
    }
    return all;
  };
  auto lhs = reached(c.getLhs()), rhs = reached(c.getRhs());
  ContractionDims d;
  for (StringAttr x : cast<TensorType>(c.getType()).getDims()) {
    const bool l = llvm::is_contained(lhs, x), r = llvm::is_contained(rhs, x);
    (l && r ? d.batch : l ? d.rows : d.columns).push_back(x);
  }
  d.summed = strings(c.getOver());
  for (StringAttr x : d.summed) d.joint &= llvm::is_contained(lhs, x) && llvm::is_contained(rhs, x);
  return d;
}

} // namespace fil::ir
