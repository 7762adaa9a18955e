// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "ir/layers.h"

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

std::optional<Skip> skips(ContractOp c, const Dims &dims, int columnsOperand, StringAttr column, StringAttr summed, StringAttr row) {
  if (!c.getSubsets().empty() || !column) return {};
  auto of = [&](MaskOp m, int masked, StringAttr other) -> std::optional<Skip> {
    if (!m || !other) return {};
    if (m.getKept() && double((*m.getKept())[0]) > skipsUpTo * double((*m.getKept())[1])) return {};
    Skip s{m, masked, m.lengthAlong(dims, column), m.lengthAlong(dims, other)};
    const bool wide = s.columns > 0 && s.columns % 16 == 0 && s.length > 0;
    return wide && (masked < 2 || s.length % 4 == 0) ? std::optional(s) : std::nullopt;
  };
  if (auto s = of(c->getOperand(unsigned(columnsOperand)).getDefiningOp<MaskOp>(), columnsOperand, summed); s && dims.value(summed.getValue()).constant()) return s;
  return c->hasOneUse() ? of(dyn_cast<MaskOp>(*c->user_begin()), 2, row) : std::nullopt;
}
static std::optional<Skip> skipsAsTyped(ContractOp c, const Dims &dims) {
  ContractionDims d = classify(c);
  StringAttr column;
  for (StringAttr x : llvm::reverse(cast<TensorType>(c.getType()).getDims()))
    if (!column && !llvm::is_contained(d.batch, x) && !(dims.value(x.getValue()) == Size(1))) column = x;
  if (!d.joint || !column || d.summed.empty() || !(worthTiles(d, dims) || worthPacking(c, dims))) return {};
  const bool left = llvm::is_contained(d.rows, column);
  if (left) std::swap(d.rows, d.columns);
  for (StringAttr x : d.columns)
    if (!dims.value(x.getValue()).constant()) return {};
  dims.sort(d.rows), dims.sort(d.summed);
  return skips(c, dims, left ? 0 : 1, column, d.summed.back(), d.rows.empty() ? StringAttr() : d.rows.back());
}
std::optional<Skip> skips(ContractOp c, const Dims &dims) {
  auto s = skipsAsTyped(c, dims);
  // A masked operand that somebody reads as a whole stands in memory, and everybody reads it there.
  if (s && s->masked < 2 && !llvm::all_of(s->mask->getUsers(), [&](Operation *user) {
        auto other = dyn_cast<ContractOp>(user);
        auto t = other ? skipsAsTyped(other, dims) : std::nullopt;
        return t && t->masked < 2 && t->mask == s->mask;
      }))
    return {};
  return s;
}

bool packsOnce(StringRef entry) { return entry != "grad"; }

/// What it is a view of, through renames and into loops, if that is a variable.
static ReadOp variableOf(Value v) {
  while (auto *op = v.getDefiningOp()) {
    if (!isa<RenameOp, StopGradOp, MaskOp, QuantizeOp, DequantizeOp>(op)) return dyn_cast<ReadOp>(op);
    v = op->getOperand(0);
  }
  Value outside = outsideOf(v);
  return outside ? variableOf(outside) : ReadOp();
}
VariableOp paramOf(Value v) {
  ReadOp r = variableOf(v);
  auto variable = r ? r->getParentOfType<ModuleOp>().lookupSymbol<VariableOp>(r.getVariable()) : VariableOp();
  return variable && variable.getKind() == VariableKind::param ? variable : VariableOp();
}
bool worthPacking(ContractOp c, const Dims &dims) {
  const ContractionDims d = classify(c);
  auto f = c->getParentOfType<FuncOp>();
  if (!d.joint || d.position || !c.getSubsets().empty() || !packsOnce(f.getEntry())) return false;
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
  for (bool right : {true, false}) {
    if (elements(right ? d.columns : d.rows) < large) continue;
    ReadOp r = variableOf(right ? c.getRhs() : c.getLhs());
    if (r && !f.walk([&](WriteOp w) { return w.getVariable() == r.getVariable() ? WalkResult::interrupt() : WalkResult::advance(); }).wasInterrupted()) return true;
  }
  return false;
}

} // namespace fil::ir
