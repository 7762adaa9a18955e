// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "ir/layers.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "passes/sparsity/passes.h"
#include <deque>

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_ADDGATESPASS
#include "passes/sparsity/passes.h.inc"
namespace {

ir::TensorType tensorOf(Value v) { return cast<ir::TensorType>(v.getType()); }

/// A map with the facet. Its predictor exists once something is gated by it.
struct Gated {
  VariableOp map, a, b, count;
  GateAttr facet;
  Location because; ///< in the plan
  MapSides sides;
};
/// A product of a map with activations.
struct Product {
  ContractOp op;
  unsigned map; ///< which operand it is
  Gated *of;    ///< null: the plan does not name it
  Value weight() { return op->getOperand(map); }
  Value x() { return op->getOperand(1 - map); } ///< an earlier gate may have put another one there
};
/// Neurons: values along `dim`, each made of products' values at its own place alone, that are summed by other maps.
struct Neurons {
  bool alone = true; ///< nothing else that rows have is in them, such as what is passed on beside a block
  Value h;
  StringAttr dim;
  SmallVector<Product> products;
  llvm::SetVector<Operation *> between; ///< elementwise and renames, from the products to h
  SmallVector<ContractOp> readers;
};

struct AddGatesPass : impl::AddGatesPassBase<AddGatesPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    Dims dims(module);
    std::deque<Gated> all;
    for (auto [site, gate] : linesOf<GateAttr>(module)) {
      for (auto v : module.getOps<VariableOp>())
        if (v.getSite() == site.getPath() && gate.appliesTo(v, Role::forward)) all.push_back({v, {}, {}, {}, gate, placeOf(site, gate), sidesOf(v)});
      consume(site, gate, getArgument());
    }
    if (all.empty()) return;
    for (Gated &g : all) byMap[g.map] = &g;
    std::vector<std::pair<FuncOp, llvm::SmallPtrSet<Gated *, 8>>> entries;
    for (FuncOp f : module.getOps<FuncOp>()) {
      if (f.getEntry().empty()) continue;
      auto &own = entries.emplace_back(f, llvm::SmallPtrSet<Gated *, 8>()).second;
      for (Neurons &n : find(f)) {
        gate(f, n, dims);
        for (Product &p : n.products) own.insert(p.of);
      }
    }
    tellUnused(all);
    for (auto &[f, own] : entries) // what is trained with a gate is run with it
      for (Gated *g : used)
        if (!own.contains(g) && llvm::any_of(f.getBody().front().getOps<ReadOp>(), [&](ReadOp r) { return r.getVariable() == g->map.getSymName(); }))
          refuse(*g, "P0446", "`" + siteOf(g->map) + "` makes neurons, but not in `" + f.getEntry() + "`");
    if (refused) signalPassFailure();
  }

private:
  llvm::MapVector<Operation *, Gated *> byMap;
  llvm::SmallPtrSet<Gated *, 8> used;
  bool refused = false;

  // ---- what can be gated ----

  /// The map whose values these are as they stand, or null.
  static VariableOp mapOf(Value v) {
    for (Value outside = v; outside; outside = outsideOf(v)) v = outside;
    auto variable = v.getDefiningOp<ReadOp>() ? paramOf(v) : VariableOp();
    return variable && variable.getMap() ? variable : VariableOp();
  }
  /// The same of a map that reads neurons, whose adapter may be merged: the sum begins with the map.
  static VariableOp readerOf(Value v) {
    for (auto sum = v.getDefiningOp<MapOp>(); sum && sum.getArgs()[0].getType() == v.getType(); sum = v.getDefiningOp<MapOp>()) v = sum.getArgs()[0];
    return mapOf(v);
  }
  std::optional<Product> productOf(ContractOp c) {
    for (unsigned i : {1u, 0u}) {
      VariableOp map = mapOf(c->getOperand(i));
      if (!map || map.getAdapter() || mapOf(c->getOperand(1 - i))) continue;
      const MapSides sides = sidesOf(map);
      if (sides.right.size() == 1 && factorable(c, sides.left, sides.right)) return Product{c, i, byMap.lookup(map)};
    }
    return {};
  }

  std::vector<Neurons> find(FuncOp f) {
    std::vector<Neurons> found;
    f.walk([&](ContractOp c) {
      if (c.getRole() != Role::forward) return;
      for (auto [h, w] : {std::pair<Value, Value>{c.getLhs(), c.getRhs()}, std::pair<Value, Value>{c.getRhs(), c.getLhs()}}) {
        VariableOp map = readerOf(w);
        if (!map || readerOf(h)) continue;
        for (StringAttr d : sidesOf(map).left) {
          if (!tensorOf(h).has(d) || !llvm::is_contained(strings(c.getOver()), d)) continue;
          auto known = llvm::find_if(found, [&](Neurons &n) { return n.h == h && n.dim == d; });
          if (known != found.end()) {
            known->readers.push_back(c);
            continue;
          }
          Neurons n{true, h, d, {}, {}, {c}};
          descend(h, d, n);
          if (n.alone && llvm::any_of(n.products, [](Product &p) { return p.of; })) found.push_back(std::move(n));
        }
      }
    });
    return found;
  }
  void descend(Value v, StringAttr dim, Neurons &n) {
    Operation *op = v.getDefiningOp();
    if (!tensorOf(v).has(dim)) return;
    if (auto c = dyn_cast_or_null<ContractOp>(op)) {
      auto p = productOf(c);
      if (!p || rightOf(*p) != dim) n.alone &= ofAdapter(c);
      else if (llvm::none_of(n.products, [&](Product &q) { return q.op == c; })) n.products.push_back(*p);
    } else if (auto r = dyn_cast_or_null<RenameOp>(op)) {
      if (n.between.insert(op)) descend(r.getX(), dim == r.getToAttr() ? r.getFromAttr() : dim, n);
    } else if (isa_and_nonnull<MapOp>(op)) {
      if (n.between.insert(op))
        for (Value x : op->getOperands()) descend(x, dim, n);
    } else n.alone &= ofParams(v);
  }
  static bool ofAdapter(ContractOp c) {
    return llvm::any_of(ArrayRef<Value>{c.getLhs(), c.getRhs()}, [](Value v) {
      if (auto row = v.getDefiningOp<GatherOp>()) v = row.getX(); // of several adapters each row's own
      return paramOf(v) && paramOf(v).getAdapter();
    });
  }
  /// A param such as a bias, or that of chosen members of a family; a constant.
  static bool ofParams(Value v) {
    if (auto g = v.getDefiningOp<GatherOp>()) return isa<SubsetType>(g.getIndex().getType()) && ofParams(g.getX());
    return paramOf(v) || isa_and_nonnull<ConstantOp, SizeOp, IotaOp>(v.getDefiningOp());
  }
  static StringAttr rightOf(Product &p) { return sidesOf(mapOf(p.weight())).right.back(); }

  /// Reported at the plan's line; codes before a colon reach the user as such.
  void refuse(const Gated &g, const char *code, const Twine &why) {
    if (!refused) emitError(g.because) << code << ": " << why;
    refused = true;
  }
  /// A line that names no neurons gates nothing.
  void tellUnused(std::deque<Gated> &all) {
    llvm::MapVector<Location, std::pair<Gated *, bool>> lines;
    for (Gated &g : all) {
      if (g.facet.getKeep().isExactlyValue(1.0)) continue;
      auto it = lines.insert({g.because, {&g, false}}).first;
      it->second.second |= used.contains(&g);
    }
    for (auto &[place, line] : lines)
      if (!line.second) refuse(*line.first, "P0446", "nothing is gated: no other map sums what `" + siteOf(line.first->map) + "` gives");
  }
  static std::string alike(VariableOp a, VariableOp b) { return ("`" + siteOf(a) + "` and `" + siteOf(b) + "` make the same neurons, and the plan does not gate them alike").str(); }
  bool agrees(Neurons &n, const Dims &dims) {
    Gated &first = *llvm::find_if(n.products, [](Product &p) { return p.of; })->of;
    for (Product &p : n.products) {
      if (!p.of) return refuse(first, "P0447", alike(first.map, mapOf(p.weight()))), false;
      used.insert(p.of);
      if (p.of->facet.getKeep() != first.facet.getKeep() || p.of->facet.getGranule() != first.facet.getGranule()) return refuse(*p.of, "P0447", alike(first.map, p.of->map)), false;
    }
    auto size = dims.value(n.dim.getValue()).constant();
    const int64_t granule = first.facet.getGranule();
    if (!size || size->num % granule) return refuse(first, "P0448", "granules of " + Twine(granule) + " do not divide `" + n.dim.getValue() + "`, which is " + dims.value(n.dim.getValue()).str()), false;
    return true;
  }

  // ---- the gate ----

  void addPredictor(Gated &g, const Dims &dims, StringAttr rank) {
    MLIRContext *ctx = &getContext();
    double left = 1;
    for (StringAttr d : g.sides.left) left *= dims.atMost(dims.size(d.getValue()));
    auto random = [&](double fan) { return InitAttr::get(ctx, InitKind::normal, 0.0, 1 / std::sqrt(fan)); };
    g.a = paramBeside(g.map, "gate_A", g.sides.families, g.sides.left, {rank}, random(left), dims, g.map);
    g.b = paramBeside(g.map, "gate_B", g.sides.families, {rank}, g.sides.right, random(double(g.facet.getRank())), dims, g.a);
    for (VariableOp v : {g.a, g.b}) v->setAttr("fil.predictor", UnitAttr::get(ctx));
  }

  void gate(FuncOp f, Neurons &n, Dims &dims) {
    if (!agrees(n, dims)) return;
    GateAttr facet = n.products[0].of->facet;
    const int64_t granule = facet.getGranule(), count = dims.value(n.dim.getValue()).constant()->num / granule, kept = int64_t(facet.kept(double(count)));
    const bool open = facet.getKeep().isZero(); // how many is a state, for who is looking for it
    if (kept == count && !open) return;
    ModuleOp module = getOperation();
    MLIRContext *ctx = &getContext();
    auto named = [&](const Twine &name, const Size &size) { return StringAttr::get(ctx, dims.named(module, name.str(), size)); };
    OpBuilder b(ctx);
    b.setInsertionPointAfter(n.h.getDefiningOp());
    BodyBuilder body(b, dims, n.h.getLoc());

    // h, with the predictors in place of the products.
    IRMapping predicted;
    for (Product &p : n.products) {
      Gated &g = *p.of;
      if (!g.a) addPredictor(g, dims, named("rank" + Twine(facet.getRank()), Size(g.facet.getRank())));
      body.site = siteOf(g.a);
      Value inner = innerProduct(p.op, p.x(), factor(p.weight(), g.a), g.sides.left, body), far = factor(p.weight(), g.b);
      body.site = siteOf(g.b);
      predicted.map(p.op.getResult(), body.contract(inner, far, subsetsOf(tensorOf(far), p.op.getSubsets()), cast<ir::TensorType>(p.op.getType())));
    }
    SmallVector<Operation *> order(n.between.begin(), n.between.end());
    llvm::sort(order, [](Operation *x, Operation *y) { return x->isBeforeInBlock(y); });
    for (Operation *op : order) b.clone(*op, predicted)->setAttr("site", b.getStringAttr(body.site)); // what it costs, the predictor does

    Value score = body.map(MapFn::abs, {predicted.lookup(n.h)});
    StringAttr granules = n.dim;
    const StringAttr inside = named(n.dim.getValue() + "%" + Twine(granule), Size(granule));
    if (granule > 1) {
      granules = named(n.dim.getValue() + "/" + Twine(granule), dims.value(n.dim.getValue()) / Size(granule));
      score = body.reduce(ReduceFn::sum, body.cut(score, n.dim, granules, inside, granule), {inside});
    }
    Value chosen = body.highest(score, open ? factor(n.products[0].weight(), countOf(*n.products[0].of, count, dims)) : body.whole(kept), {granules});
    auto masked = [&](Value x, StringAttr dim, bool zeros) -> Value {
      SmallVector<Attribute> pairs;
      if (dim != granules) pairs = {dim, granules};
      return MaskOp::create(b, body.loc, x.getType(), x, chosen, b.getArrayAttr(pairs), open ? DenseI64ArrayAttr() : b.getDenseI64ArrayAttr({kept, count}), b.getUnitAttr(), zeros ? b.getUnitAttr() : UnitAttr(), b.getStringAttr(body.site),
                            RoleAttr::get(ctx, Role::forward));
    };
    Value h = n.h;
    if (f.getEntry() == "run" && alone(n)) { // products of a few rows leave out what is masked behind them
      IRMapping made;
      for (Product &p : n.products) {
        b.clone(*p.op, made);
        made.map(p.op.getResult(), masked(made.lookup(p.op.getResult()), rightOf(p), false));
      }
      for (Operation *op : order) b.clone(*op, made);
      h = made.lookup(n.h);
    }
    h = masked(h, n.dim, false);
    if (f.getEntry() == "train") h = body.add(h, body.mul(body.stopGrad(n.h), straightThrough(score, n.dim, granules, inside, granule, body)));
    if (f.getEntry() == "run") h = masked(h, n.dim, true);
    for (ContractOp c : n.readers) c->replaceUsesOfWith(n.h, h);
    for (Operation *op : llvm::reverse(order))
      if (op->use_empty()) op->erase();
    for (Product &p : n.products)
      if (p.op.use_empty()) p.op.erase();
  }
  /// The state that says how many granules are chosen; all at first.
  VariableOp countOf(Gated &g, int64_t all, const Dims &dims) {
    if (g.count) return g.count;
    g.count = stateBeside(g.map, ".gate_keep", dims.tensor(&getContext(), strings(g.map.getLoops()), IntType::get(&getContext())), {}, double(all), VariableKind::state);
    g.count->moveAfter(g.b);
    g.count->setAttr("fil.predictor", UnitAttr::get(&getContext()));
    return g.count;
  }
  /// What stands beside a map, where the map's values are known as `weight`.
  Value factor(Value weight, VariableOp v) {
    return bringBeside(weight, [&](ReadOp r) -> Value {
      OpBuilder b(r);
      b.setInsertionPointAfter(r);
      return makeRead(b, v, Role::forward);
    });
  }
  /// 0, with the gradient of the scores over their mean: a score grows where what it lets pass lowers the loss, or would.
  Value straightThrough(Value score, StringAttr dim, StringAttr granules, StringAttr inside, int64_t length, BodyBuilder &body) {
    Value mean = body.div(body.reduce(ReduceFn::sum, score, {granules}), body.size(body.dims.value(granules.getValue())));
    Value one = body.div(body.sub(score, body.stopGrad(score)), body.add(body.stopGrad(mean), body.constant(1e-20)));
    if (dim == granules) return one;
    SmallVector<StringAttr> wide(tensorOf(one).getDims()), all;
    wide.push_back(inside);
    for (StringAttr d : tensorOf(one).getDims()) all.push_back(d == granules ? dim : d);
    Value spread = body.fit(one, body.dims.tensor(&getContext(), wide, tensorOf(one).getElement()));
    auto windows = body.builder.getArrayAttr(WindowDimAttr::get(&getContext(), dim, inside, granules, length, 0));
    return UnwindowOp::create(body.builder, body.loc, body.dims.tensor(&getContext(), all, tensorOf(one).getElement()), spread, windows, body.builder.getStringAttr(body.site), RoleAttr::get(&getContext(), Role::forward));
  }
  /// Does nobody but the gated maps read any of it?
  static bool alone(Neurons &n) {
    auto within = [&](Value v) {
      return llvm::all_of(v.getUsers(), [&](Operation *user) { return n.between.contains(user) || (v == n.h && llvm::is_contained(n.readers, user)); });
    };
    return within(n.h) && llvm::all_of(n.products, [&](Product &p) { return within(p.op.getResult()); }) &&
           llvm::all_of(n.between, [&](Operation *op) { return within(op->getResult(0)); });
  }
};
} // namespace
} // namespace fil::passes
