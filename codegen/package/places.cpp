// SPDX-License-Identifier: Apache-2.0
#include "codegen/package/places.h"
#include "ir/contraction.h"

namespace fil {
using namespace ir;
using mlir::dyn_cast, mlir::cast, mlir::isa;
using mlir::Operation, mlir::StringAttr;

Layout layoutOf(llvm::ArrayRef<StringAttr> order, Slots size) {
  Layout l;
  l.order.assign(order.begin(), order.end());
  l.strides.resize(order.size());
  Size n(1);
  for (size_t i = order.size(); i-- > 0;) l.strides[i] = n, n = n * size(order[i]);
  return l;
}
Size elementsOf(const Layout &l, Slots size) {
  Size n(1);
  for (StringAttr d : l.order) n = n * size(d);
  return n;
}
int64_t elementBytes(mlir::Type type, bool f64) {
  return bytesOf(type, f64 ? 8 : 4);
}

int Buffers::add(Buffer::Kind kind, int index, Size bytes, std::string what) {
  all.push_back({kind, index, bytes, -1, -1, std::move(what)});
  depths.push_back(loops.size());
  return int(all.size()) - 1;
}
void Buffers::touch(const View &v) {
  Buffer &b = all[size_t(v.buffer)];
  const size_t depth = depths[size_t(v.buffer)];
  int from = position;
  if (loops.size() > depth) from = loops[depth].begin, loops[depth].used.push_back(v.buffer);
  b.first = b.first < 0 ? from : std::min(b.first, from);
  b.last = std::max(b.last, position);
}
void Buffers::endLoop() {
  for (int b : loops.back().used) all[size_t(b)].last = std::max(all[size_t(b)].last, position);
  loops.pop_back();
}

Layouts::Layouts(mlir::ModuleOp module) {
  module.walk([&](LayersOp l) { loopDims.insert(const_cast<void *>(l.getDimAttr().getAsOpaquePointer())); });
  for (auto v : module.getOps<VariableOp>())
    for (StringAttr x : strings(v.getLoops())) loopDims.insert(const_cast<void *>(x.getAsOpaquePointer()));

  std::set<std::string> seen; // with a contraction
  std::string variable;
  using Names = llvm::SmallVector<std::pair<StringAttr, StringAttr>>; // as the value calls a dim, as the variable does
  std::function<void(mlir::Value, const Names &)> follow = [&](mlir::Value v, const Names &names) {
    for (mlir::OpOperand &use : v.getUses()) {
      Operation *user = use.getOwner();
      const unsigned n = use.getOperandNumber();
      if (auto g = dyn_cast<GroupOp>(user)) follow(g.block().getArgument(n), names);
      else if (auto l = dyn_cast<LayersOp>(user); l && n >= l.getCarried().size()) follow(l.block().getArgument(1 + n), names);
      else if (isa<StopGradOp>(user)) follow(user->getResult(0), names);
      else if (auto r = dyn_cast<RenameOp>(user)) {
        Names renamed = names;
        for (auto &[now, own] : renamed)
          if (now == r.getFromAttr()) now = r.getToAttr();
        follow(r.getResult(), renamed);
      } else if (auto c = dyn_cast<ContractOp>(user)) {
        ContractionDims d = classify(c);
        llvm::SmallPtrSet<void *, 4> here;
        for (auto &[now, own] : names)
          if (llvm::is_contained(d.batch, now) || now == d.position) here.insert(const_cast<void *>(own.getAsOpaquePointer()));
        auto &all = outer[variable];
        if (seen.insert(variable).second) all = here;
        else all.remove_if([&](void *x) { return !here.contains(x); });
      }
    }
  };
  module.walk([&](ReadOp r) {
    variable = r.getVariable().str();
    Names names;
    for (StringAttr d : cast<TensorType>(r.getType()).getDims()) names.push_back({d, d});
    follow(r.getResult(), names);
  });
}
llvm::SmallVector<StringAttr> Layouts::ofVariable(VariableOp v) const {
  auto order = standard(cast<TensorType>(v.getType()).getDims());
  if (auto it = outer.find(v.getSymName().split('#').first.str()); it != outer.end())
    std::stable_partition(order.begin(), order.end(), [&](StringAttr d) { return loopDims.contains(d.getAsOpaquePointer()) || it->second.contains(d.getAsOpaquePointer()); });
  return order;
}
llvm::SmallVector<StringAttr> Layouts::standard(llvm::ArrayRef<StringAttr> canonical) const {
  llvm::SmallVector<StringAttr> order;
  for (bool loop : {true, false})
    for (StringAttr d : canonical)
      if (loopDims.contains(d.getAsOpaquePointer()) == loop) order.push_back(d);
  return order;
}
llvm::SmallVector<StringAttr> Layouts::natural(GroupOp g, unsigned result, llvm::ArrayRef<Place> inputs) const {
  mlir::Value v = g.yielded()[result];
  auto type = dyn_cast<TensorType>(v.getType());
  if (!type) {
    auto s = cast<SubsetType>(v.getType());
    llvm::SmallVector<StringAttr> order(s.getPer());
    order.push_back(s.getMembers());
    return order;
  }
  auto order = standard(type.getDims());
  auto same = [&](llvm::ArrayRef<StringAttr> other) { return other.size() == order.size() && llvm::all_of(other, [&](StringAttr d) { return type.has(d); }); };
  for (auto c : g.block().getOps<ContractOp>()) {
    if (!same(cast<TensorType>(c.getType()).getDims()) || order.empty()) continue;
    ContractionDims d = classify(c);
    if (d.position && !llvm::is_contained(cast<TensorType>(c.getType()).getDims(), d.position)) { // rows of points: columns are neighbours
      const bool left = cast<TensorType>(c.getLhs().getType()).has(d.position);
      std::stable_partition(order.begin(), order.end(), [&](StringAttr x) { return !llvm::is_contained(left ? d.rows : d.columns, x); });
      return order;
    }
    if (!llvm::is_contained(d.batch, order.back())) continue;
    std::stable_partition(order.begin(), order.end(), [&](StringAttr x) { return llvm::is_contained(d.batch, x); });
    return order;
  }
  for (const Place &p : inputs)
    if (same(p.layout.order)) return p.layout.order;
  return order;
}

bool readsOwnPoint(GroupOp g, unsigned input, unsigned result) {
  mlir::BlockArgument arg = g.block().getArgument(input);
  Operation *writer = g.yielded()[result].getDefiningOp();
  if (isa<ScatterOp, TopKOp, HighestOp>(writer) || g.strip()) return false;
  auto rows = strings(g.getRows());
  // Kept ops that are reached from the argument by ways that keep the point.
  llvm::SmallPtrSet<Operation *, 16> seen;
  std::function<bool(mlir::Value)> fine = [&](mlir::Value v) {
    for (mlir::OpOperand &use : v.getUses()) {
      Operation *u = use.getOwner();
      if (isa<YieldOp>(u)) continue;
      const bool plain = pointwise(u, use.getOperandNumber());
      if (plain && !seen.insert(u).second) continue;
      if (!plain && !isa<ReduceOp>(u)) return false;
      if (u == writer && !plain) return false;
      if (GroupOp::kept(u)) {
        if (writer->isBeforeInBlock(u)) return false;
        if (u == writer || !isa<ReduceOp>(u)) continue;
        for (StringAttr d : strings(cast<ReduceOp>(u).getOver()))
          if (llvm::is_contained(rows, d)) return false;
      } else if (!fine(u->getResult(0))) return false;
    }
    return true;
  };
  return fine(arg);
}

} // namespace fil
