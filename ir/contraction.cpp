// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"

using namespace mlir;
namespace fil::ir {

static ContractionDims classify(ContractOp c, bool sorted) {
  ContractionDims d;
  auto result = cast<TensorType>(c.getType());
  if (sorted) {
    auto s = cast<SubsetType>(c.getSubsets()[0].getType());
    d.position = s.getOf();
    d.points.assign(s.getPer().begin(), s.getPer().end());
    d.points.push_back(s.getMembers());
  }
  auto reached = [&](Value v) {
    SmallVector<StringAttr> all(cast<TensorType>(v.getType()).getDims());
    if (d.position) {
      if (llvm::is_contained(all, d.position)) return all;
      for (StringAttr x : d.points)
        if (!llvm::is_contained(all, x)) all.push_back(x);
      return all;
    }
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
  if (d.position) d.batch.push_back(d.position);
  for (StringAttr x : result.getDims()) {
    if (x == d.position) continue;
    const bool l = llvm::is_contained(lhs, x), r = llvm::is_contained(rhs, x);
    (l && r ? d.batch : l ? d.rows : d.columns).push_back(x);
  }
  d.summed = strings(c.getOver());
  for (StringAttr x : d.summed) d.joint &= llvm::is_contained(lhs, x) && llvm::is_contained(rhs, x);
  return d;
}

ContractionDims classify(ContractOp c) { return classify(c, bool(c.getRoster())); }
ContractionDims classifySorted(ContractOp c) { return classify(c, true); }

bool worthTiles(const ContractionDims &d, const Dims &dims) {
  auto atLeastFour = [&](ArrayRef<StringAttr> list) {
    int64_t n = 1;
    for (StringAttr x : list) {
      auto v = dims.value(x.getValue()).constant();
      n *= v ? v->num : 64;
    }
    return n >= 4;
  };
  return d.joint && atLeastFour(d.rows) && atLeastFour(d.columns) && atLeastFour(d.summed);
}

bool worthPacking(ContractOp c, const Dims &dims) {
  const ContractionDims d = classify(c);
  if (!d.joint || d.position || !c.getSubsets().empty()) return false;
  auto elements = [&](ArrayRef<StringAttr> own) {
    int64_t n = 1;
    for (ArrayRef<StringAttr> list : {own, ArrayRef<StringAttr>(d.summed)})
      for (StringAttr x : list) {
        auto v = dims.value(x.getValue()).constant();
        n *= v ? v->num : 1;
      }
    return n;
  };
  constexpr int64_t large = 1 << 14;
  auto variable = [&](Value v) -> ReadOp {
    while (true) {
      Operation *op = v.getDefiningOp();
      if (auto r = dyn_cast_or_null<ReadOp>(op)) return r;
      if (isa_and_nonnull<RenameOp, StopGradOp>(op)) v = op->getOperand(0);
      else if (auto a = dyn_cast<BlockArgument>(v); a && isa<LayersOp>(a.getOwner()->getParentOp()) && a.getArgNumber() > cast<LayersOp>(a.getOwner()->getParentOp()).getCarried().size())
        v = a.getOwner()->getParentOp()->getOperand(a.getArgNumber() - 1);
      else return {};
    }
  };
  for (bool right : {true, false}) {
    if (elements(right ? d.columns : d.rows) < large) continue;
    ReadOp r = variable(right ? c.getRhs() : c.getLhs());
    bool written = !r;
    if (r) c->getParentOfType<FuncOp>().walk([&](WriteOp w) { written |= w.getVariable() == r.getVariable(); });
    if (!written) return true;
  }
  return false;
}

} // namespace fil::ir
