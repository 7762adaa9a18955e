// SPDX-License-Identifier: Apache-2.0
#include "ir/layers.h"
#include "llvm/ADT/SetVector.h"
#include "passes/sparsity/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_ADDMASKSPASS
#include "passes/sparsity/passes.h.inc"
namespace {

struct Masked {
  VariableOp base, mask;
  DenseI64ArrayAttr kept;   ///< of fil.mask; null where the number changes
  bool ofSum = false;       ///< the sum of weight and adapter is masked
};

struct AddMasksPass : impl::AddMasksPassBase<AddMasksPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    Dims dims(module);
    SmallVector<Masked> all;
    for (auto [site, topology] : linesOf<TopologyAttr>(module)) {
      for (auto v : llvm::make_early_inc_range(module.getOps<VariableOp>()))
        if (v.getSite() == site.getPath() && topology.appliesTo(v, Role::forward)) addMask(v, topology, mergesMasked(site), dims, all);
      consume(site, topology, getArgument());
    }
    for (FuncOp f : module.getOps<FuncOp>())
      if (!f.getEntry().empty())
        for (Masked &x : all) mask(f, x);
  }

  /// The dims of the mask: granules are blocks of the last dims of both sides.
  void addMask(VariableOp base, TopologyAttr topology, bool ofSum, Dims &dims, SmallVectorImpl<Masked> &all) {
    ModuleOp module = getOperation();
    Builder b(&getContext());
    const MapSides sides = sidesOf(base);
    Size count(1);
    auto cut = [&](ArrayRef<StringAttr> side, int64_t length) {
      SmallVector<StringAttr> left(side.begin(), side.end());
      if (length == 0) left.clear();
      if (length > 1) {
        const std::string formula = (dims.value(side.back().getValue()) / Size(length)).str();
        auto blocks = b.getStringAttr(dims.add(module, (side.back().getValue() + "/" + Twine(length)).str(), formula));
        left.back() = blocks;
      }
      for (StringAttr d : left) count = count * dims.value(d.getValue());
      return left;
    };
    SmallVector<StringAttr> declared(sides.families), loops = strings(base.getLoops());
    llvm::append_range(declared, cut(sides.left, topology.getLeft()));
    llvm::append_range(declared, cut(sides.right, topology.getRight()));
    const double n = dims.atMost(count), kept = topology.kept(n);
    if (kept == n) return;
    SmallVector<StringAttr> stored(loops);
    llvm::append_range(stored, declared);
    OpBuilder at(base);
    at.setInsertionPointAfter(base);
    const auto site = b.getStringAttr(base.getSite() + ".mask");
    SmallVector<Attribute> axes(declared.begin(), declared.end());
    auto mask = VariableOp::create(at, base.getLoc(), site, TypeAttr::get(dims.tensor(&getContext(), stored, BoolType::get(&getContext()))), site, InitAttr::get(&getContext(), InitKind::constant, 1.0, 0.0),
                                   b.getArrayAttr(axes), base.getLoopsAttr(), VariableKindAttr::get(&getContext(), VariableKind::state), UnitAttr(), FloatAttr(), IntegerAttr(), FlatSymbolRefAttr(),
                                   FlatSymbolRefAttr(), topology);
    base.setMaskAttr(FlatSymbolRefAttr::get(site));
    const bool same = topology.getMethod() != TopologyMethod::prune;
    all.push_back({base, mask, same ? b.getDenseI64ArrayAttr({int64_t(kept), int64_t(n)}) : DenseI64ArrayAttr(), ofSum});
  }

  void mask(FuncOp f, Masked &x) {
    for (ReadOp r : readsOf(f, x.base)) {
      OpBuilder b(r);
      b.setInsertionPointAfter(r);
      maskUses(r.getResult(), makeRead(b, x.mask, Role::forward), x);
    }
  }

  void maskUses(Value weight, Value mask, Masked &x) {
    llvm::SetVector<LayersOp> loops;
    SmallPtrSet<Operation *, 8> users;
    for (Operation *user : weight.getUsers()) {
      auto loop = dyn_cast<LayersOp>(user);
      if (loop && !llvm::is_contained(loop.getCarried(), weight)) loops.insert(loop);
      else if (auto aux = dyn_cast<AuxOp>(user); !aux || aux.getValue() == weight) users.insert(user);
    }
    for (LayersOp loop : loops) enter(loop, weight, mask, x);
    if (users.empty()) return;
    if (x.ofSum) {
      for (Operation *sum : users) { // all that reads the weight is its sum with the adapter
        assert(isa<MapOp>(sum) && cast<MapOp>(sum).getFn() == MapFn::add);
        masked(sum->getResult(0), mask, x);
      }
    } else masked(weight, mask, x, &users);
  }
  /// Users of the value, or those of them, get it masked.
  void masked(Value v, Value mask, Masked &x, const SmallPtrSetImpl<Operation *> *users = nullptr) {
    OpBuilder b(&getContext());
    Operation *op = v.getDefiningOp(), *last = mask.getDefiningOp();
    if (op && last && last->getBlock() == op->getBlock() && op->isBeforeInBlock(last)) op = last;
    if (op) b.setInsertionPointAfter(op);
    else b.setInsertionPointToStart(cast<BlockArgument>(v).getOwner());
    auto made = MaskOp::create(b, v.getLoc(), v.getType(), v, mask, granulesOf(x.base), x.kept, UnitAttr(), UnitAttr(), StringAttr::get(&getContext(), x.base.getSite()), RoleAttr::get(&getContext(), Role::forward));
    v.replaceUsesWithIf(made.getResult(), [&](OpOperand &o) { return o.getOwner() != made && (!users || users->contains(o.getOwner())); });
  }

  /// The loop gets the mask as it has the weight: stacked, or shared.
  void enter(LayersOp loop, Value weight, Value mask, Masked &x) {
    LayersEdit edit(loop);
    Value turn, whole;
    if (llvm::is_contained(loop.getStacked(), weight)) turn = edit.stacked(mask);
    if (llvm::is_contained(loop.getShared(), weight)) whole = edit.shared(mask);
    LayersOp made = edit.finish();
    SmallVector<std::pair<Value, Value>> inside;
    for (auto [v, a] : llvm::zip(made.getStacked(), made.stackedArgs()))
      if (v == weight) inside.push_back({a, turn});
    for (auto [v, a] : llvm::zip(made.getShared(), made.sharedArgs()))
      if (v == weight) inside.push_back({a, whole});
    for (auto [w, m] : inside) maskUses(w, m, x);
  }
};
} // namespace
} // namespace fil::passes
