// SPDX-License-Identifier: Apache-2.0
#include "codegen/package/work.h"
#include "codegen/package/places.h"
#include "ir/contraction.h"
#include <fmt/format.h>

namespace fil {
using namespace ir;
using mlir::cast, mlir::dyn_cast, mlir::isa;
using mlir::Operation;

static Size bytesOf(mlir::Value v, const Dims &dims, bool f64) {
  Size bytes = Size(elementBytes(v.getType(), f64)) * dims.elements(v.getType());
  if (auto s = dyn_cast<SubsetType>(v.getType())) { // and the count of its members
    Size counts(4);
    for (mlir::StringAttr d : s.getPer()) counts = counts * dims.value(d.getValue());
    bytes = bytes + counts;
  }
  return bytes;
}

GroupWork workOf(GroupOp g, const Dims &dims, bool f64) {
  GroupWork w;
  for (Operation &op : g.block())
    if (auto c = dyn_cast<Costed>(op)) w.flops = w.flops + c.cost(dims).flops;
  auto appends = [](Operation *op, mlir::Value v) {
    auto c = dyn_cast<CacheOp>(op);
    return c && c.getPast() == v;
  };
  for (mlir::BlockArgument a : g.block().getArguments()) {
    auto gathers = [&](Operation *op) {
      auto x = dyn_cast<GatherOp>(op);
      return x && x.getX() == a && x.getIndex() != a;
    };
    // Through a subset no more is read than all of it, or the points' members.
    auto chosen = [&](Operation *op) {
      auto c = dyn_cast<ContractOp>(op);
      return c && isa<TensorType>(a.getType()) && !subsetsOf(cast<TensorType>(a.getType()), c.getSubsets()).empty();
    };
    if (!a.use_empty() && llvm::all_of(a.getUsers(), chosen)) {
      Size members;
      for (Operation *op : a.getUsers()) members = members + Size(elementBytes(a.getType(), f64)) * dims.elements(readThrough(cast<TensorType>(a.getType()), cast<ContractOp>(op).getSubsets(), dims));
      w.bytes = w.bytes + Size::min(bytesOf(a, dims, f64), members);
    } else if (llvm::all_of(a.getUsers(), gathers))
      for (Operation *op : a.getUsers()) w.bytes = w.bytes + bytesOf(op->getResult(0), dims, f64);
    else if (!llvm::all_of(a.getUsers(), [&](Operation *op) { return appends(op, a); })) w.bytes = w.bytes + bytesOf(a, dims, f64);
  }
  for (mlir::Value y : g.yielded()) {
    auto c = y.getDefiningOp<CacheOp>();
    w.bytes = w.bytes + bytesOf(c && c.getPast() ? c.getX() : y, dims, f64);
  }
  return w;
}

static std::string lineAt(mlir::Location at, bool library) {
  auto line = dyn_cast<mlir::FileLineColLoc>(at);
  return line && (library || line.getFilename() != "std.fil") ? fmt::format("{}:{}", line.getFilename().str(), line.getLine()) : "";
}
static std::string lineOf(Operation *op) {
  if (std::string line = lineAt(op->getLoc(), false); !line.empty()) return line;
  for (Operation *at = op->getPrevNode(); at; at = at->getPrevNode())
    if (std::string line = lineAt(at->getLoc(), false); !line.empty()) return line;
  for (Operation *at = op->getNextNode(); at; at = at->getNextNode())
    if (std::string line = lineAt(at->getLoc(), false); !line.empty()) return line;
  std::string line;
  for (llvm::StringRef site = siteOf(op).rsplit('.').first; line.empty() && !site.empty(); site = site.contains('.') ? site.rsplit('.').first : "")
    op->getParentOfType<FuncOp>().walk([&](Operation *at) {
      if (siteOf(at) == site) line = lineAt(at->getLoc(), false);
      return line.empty() ? mlir::WalkResult::advance() : mlir::WalkResult::interrupt();
    });
  return line.empty() ? lineAt(op->getLoc(), true) : line;
}

std::string originOf(mlir::Value v) {
  Operation *op = v.getDefiningOp();
  if (!op) return "";
  if (auto g = dyn_cast<GroupOp>(op)) op = g.yielded()[cast<mlir::OpResult>(v).getResultNumber()].getDefiningOp();
  else if (auto l = dyn_cast<LayersOp>(op)) return originOf(l.yielded()[cast<mlir::OpResult>(v).getResultNumber()]);
  std::string name = op->getName().stripDialect().str();
  if (auto m = dyn_cast<MapOp>(op)) name += " " + stringifyMapFn(m.getFn()).str();
  if (auto r = dyn_cast<ReduceOp>(op)) name += " " + stringifyReduceFn(r.getFn()).str();
  const llvm::StringRef at = siteOf(op);
  return fmt::format("{}  {}{}{}", lineOf(op), name, at.empty() ? "" : " at ", at.str());
}

} // namespace fil
