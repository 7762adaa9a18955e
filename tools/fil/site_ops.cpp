// SPDX-License-Identifier: Apache-2.0
#include "tools/fil/site_ops.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
namespace fil {

llvm::StringRef roleOf(Operation *op) {
  auto role = ir::roleOf(op);
  return role ? ir::stringifyRole(*role) : llvm::StringRef();
}

/// Names and places change, no element does. An append to a cache, and one that starts it, are no views.
static bool isView(Operation *op) {
  auto cache = dyn_cast<ir::CacheOp>(op);
  return isa<ir::RenameOp, ir::SliceOp, ir::BroadcastOp, ir::StopGradOp>(op) || (cache && !cache.getPast() && !ir::GroupOp::kept(op));
}

bool SiteOps::works(Operation *op) const {
  auto costed = dyn_cast<ir::Costed>(op);
  if (!costed || isa<ir::LayersOp>(op)) return false;
  if (isa<ir::CacheOp>(op)) return !isView(op);
  return costed.cost(dims) != ir::Cost();
}

/// The results of ops that a value comes from, through views, groups and loops; what turns carry is followed only if `carried`.
static void origins(Value v, bool carried, llvm::SetVector<Value> &out, llvm::DenseSet<Value> &seen) {
  if (!seen.insert(v).second) return;
  auto on = [&](Value next) { origins(next, carried, out, seen); };
  if (auto a = dyn_cast<BlockArgument>(v)) {
    const unsigned n = a.getArgNumber();
    if (auto g = dyn_cast<ir::GroupOp>(a.getOwner()->getParentOp())) return on(g.getInputs()[n]);
    auto l = dyn_cast<ir::LayersOp>(a.getOwner()->getParentOp());
    if (!l || n == 0) return;
    if (n > l.getCarried().size()) return on(l.getOperand(n - 1));
    if (carried) on(l.getOperand(n - 1)), on(l.yielded()[n - 1]);
    return;
  }
  Operation *op = v.getDefiningOp();
  const unsigned n = cast<OpResult>(v).getResultNumber();
  if (auto g = dyn_cast<ir::GroupOp>(op)) return on(g.yielded()[n]);
  if (auto l = dyn_cast<ir::LayersOp>(op)) {
    on(l.yielded()[n]);
    if (carried && n < l.getCarried().size()) on(l.getOperand(n));
    return;
  }
  if (isView(op)) return on(op->getOperand(0));
  out.insert(v);
}
static llvm::SetVector<Value> origins(Value v, bool carried) {
  llvm::SetVector<Value> out;
  llvm::DenseSet<Value> seen;
  origins(v, carried, out, seen);
  return out;
}

/// The gradient that an op of an update reads, if it does. Between them stands at most the clip, `gradient * scale`, which has no site.
static void gradients(Value operand, llvm::SetVector<Value> &found) {
  for (Value v : origins(operand, false)) {
    Operation *op = v.getDefiningOp();
    if (op->getNumOperands() == 0) continue; // a variable, a constant
    if (roleOf(op) == "wgrad" || roleOf(op) == "dgrad") found.insert(v);
    else if (roleOf(op) == "update" && siteOf(op).empty()) gradients(op->getOperand(0), found);
  }
}

/// A cheap op is computed in each group that uses it: these are one value.
static bool same(Operation *a, Operation *b) {
  return a->getName() == b->getName() && a->getPropertiesAsAttribute() == b->getPropertiesAsAttribute() &&
         a->getNumOperands() == b->getNumOperands() && llvm::all_of(llvm::zip(a->getOperands(), b->getOperands()), [](auto pair) { return origins(std::get<0>(pair), false).getArrayRef() == origins(std::get<1>(pair), false).getArrayRef(); });
}

void SiteOps::variables(ir::FuncOp f, llvm::function_ref<bool(llvm::StringRef)> within, llvm::SetVector<Operation *> &ops) {
  llvm::StringSet<> symbols;
  for (auto v : module.getOps<ir::VariableOp>())
    if (within(v.getSite())) symbols.insert(v.getSymName());
  f.walk([&](ir::WriteOp w) {
    if (symbols.contains(w.getVariable()))
      for (Value v : origins(w.getValue(), false)) ops.insert(v.getDefiningOp());
  });
  llvm::SetVector<Value> front; // gradients, and what of them is to be followed
  f.walk([&](Operation *op) {
    if (roleOf(op) == "update" && within(siteOf(op)) && !isa<ir::WriteOp>(op))
      for (Value v : op->getOperands()) gradients(v, front);
  });
  llvm::SetVector<Value> values;
  f.walk([&](Operation *op) {
    if (auto r = dyn_cast<ir::ReadOp>(op); r && symbols.contains(r.getVariable())) values.insert(r.getResult());
    else if (roleOf(op) == "wgrad" && op->getNumResults() == 1 && llvm::any_of(front, [&](Value v) { return same(op, v.getDefiningOp()); })) front.insert(op->getResult(0));
  });
  values.insert(front.begin(), front.end());
  while (!front.empty()) { // back to the parts that a gradient is the sum of
    Value whole = front.pop_back_val();
    if (!ops.insert(whole.getDefiningOp()) || roleOf(whole.getDefiningOp()) != "wgrad") continue;
    for (Value operand : whole.getDefiningOp()->getOperands())
      for (Value part : origins(operand, true))
        if (roleOf(part.getDefiningOp()) == "wgrad" && part.getType() == whole.getType()) front.insert(part);
  }
  f.walk([&](Operation *op) {
    for (Value operand : op->getOperands())
      if (llvm::any_of(origins(operand, false), [&](Value v) { return values.contains(v); })) ops.insert(op);
  });
}

llvm::SetVector<Operation *> SiteOps::of(const std::string &site) {
  auto within = [&](llvm::StringRef at) { return ir::within(at, site); };
  llvm::SetVector<Operation *> ops;
  for (ir::FuncOp f : module.getOps<ir::FuncOp>()) {
    if (f.getEntry().empty()) continue;
    f.walk([&](Operation *op) {
      if (within(siteOf(op))) ops.insert(op);
    });
    variables(f, within, ops);
  }
  ops.remove_if([&](Operation *op) { return !works(op); });
  return ops;
}

} // namespace fil
