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
  VariableOp map, a, b, squeeze, count, held;
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
/// Who sums neurons, in windows of them perhaps.
struct Reader {
  ContractOp op;
  SmallVector<Operation *> views; ///< windows, and the zeros beyond their ends; the first one reads the neurons
};
/// Neurons: values along `dim`, each made of products' values at its own place alone, that are summed by other maps.
struct Neurons {
  bool alone = true; ///< nothing else that rows have is in them, such as what is passed on beside a block
  Value h;
  StringAttr dim;
  SmallVector<Product> products;
  llvm::SetVector<Operation *> between; ///< elementwise and renames, from the products to h
  SmallVector<std::pair<Value, StringAttr>> params; ///< that it is made of besides, and what they call the dim
  bool numbered = false; ///< something in them depends on their places, or is an adapter's
  SmallVector<Reader> readers;
};

/// What windows are of, if they leave all of `dims` as it is: 0 where their source is 0 along these.
Value viewed(Value v, ArrayRef<StringAttr> dims, SmallVector<Operation *> &views) {
  SmallVector<Operation *> above;
  Value source = v;
  while (Operation *op = v.getDefiningOp()) {
    auto touches = [&](WindowDimAttr w) { return llvm::is_contained(dims, w.getIn()) || llvm::is_contained(dims, w.getOut()) || llvm::is_contained(dims, w.getWindow()); };
    above.push_back(op);
    if (auto w = dyn_cast<WindowOp>(op); w && llvm::none_of(w.getWindows().getAsRange<WindowDimAttr>(), touches)) {
      views.append(above), above.clear();
      source = v = w.getX();
      continue;
    }
    auto m = dyn_cast<MapOp>(op);
    auto zero = m && m.getFn() == MapFn::select ? m.getArgs()[2].getDefiningOp<ConstantOp>() : ConstantOp();
    if (!zero || !zero.getValue().isZero() || tensorOf(m.getArgs()[1]) != tensorOf(v) || llvm::any_of(dims, [&](StringAttr d) { return tensorOf(m.getArgs()[0]).has(d); })) break;
    v = m.getArgs()[1];
  }
  std::reverse(views.begin(), views.end());
  return source;
}

struct AddGatesPass : impl::AddGatesPassBase<AddGatesPass> {
  using impl::AddGatesPassBase<AddGatesPass>::AddGatesPassBase;
  void runOnOperation() override {
    ModuleOp module = getOperation();
    Dims dims(module);
    std::deque<Gated> all;
    for (auto [site, gate] : linesOf<GateAttr>(module)) {
      for (auto v : module.getOps<VariableOp>())
        if (v.getSite() == site.getPath() && gate.appliesTo(v, Role::forward)) all.push_back({v, {}, {}, {}, {}, {}, gate, placeOf(site, gate), sidesOf(v)});
      consume(site, gate, getArgument());
    }
    if (all.empty()) return;
    for (Gated &g : all) byMap[g.map] = &g;
    if (tellNeurons)
      for (FuncOp f : llvm::to_vector(module.getOps<FuncOp>()))
        if (f.getEntry() == "run") addNeurons(f, dims);
    std::vector<std::pair<FuncOp, llvm::SmallPtrSet<Gated *, 8>>> entries;
    for (FuncOp f : module.getOps<FuncOp>()) {
      if (f.getEntry().empty() || f.getEntry() == "neurons") continue;
      auto &own = entries.emplace_back(f, llvm::SmallPtrSet<Gated *, 8>()).second;
      for (Neurons &n : find(f)) {
        gate(f, n, dims);
        for (Product &p : n.products) own.insert(p.of);
      }
      OpBuilder b(f.getBody().front().getTerminator());
      for (auto &[op, state] : states) makeWrite(b, state.first, bringOut(state.second, dims), Role::update);
      states.clear();
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
  llvm::MapVector<Operation *, std::pair<VariableOp, Value>> states; ///< what the function at hand makes of them
  bool refused = false;

  // ---- what can be gated ----

  /// The map whose values these are as they stand, or null.
  static VariableOp mapOf(Value v) {
    v = outermost(v);
    auto variable = v.getDefiningOp<ReadOp>() ? paramOf(v) : VariableOp();
    return variable && variable.getMap() ? variable : VariableOp();
  }
  /// The same of a map that reads neurons, whose adapter may be merged: the sum begins with the map.
  static VariableOp readerOf(Value v) {
    for (;;) {
      v = outermost(v);
      auto sum = v.getDefiningOp<MapOp>();
      if (!sum || sum.getArgs()[0].getType() != v.getType()) return mapOf(v);
      v = sum.getArgs()[0];
    }
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
          Reader reader{c, {}};
          const Value source = viewed(h, d, reader.views);
          auto known = llvm::find_if(found, [&](Neurons &n) { return n.h == source && n.dim == d; });
          if (known != found.end()) {
            known->readers.push_back(reader);
            continue;
          }
          Neurons n;
          n.h = source, n.dim = d, n.readers = {reader};
          descend(source, d, n);
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
      if (!p || rightOf(*p) != dim) n.numbered = true, n.alone &= ofAdapter(c);
      else if (llvm::none_of(n.products, [&](Product &q) { return q.op == c; })) n.products.push_back(*p);
    } else if (auto r = dyn_cast_or_null<RenameOp>(op)) {
      if (n.between.insert(op)) descend(r.getX(), dim == r.getToAttr() ? r.getFromAttr() : dim, n);
    } else if (isa_and_nonnull<MapOp>(op)) {
      if (n.between.insert(op))
        for (Value x : op->getOperands()) descend(x, dim, n);
    } else if (paramOf(v)) n.params.push_back({v, dim});
    else n.numbered = true, n.alone &= ofParams(v) || (isa_and_nonnull<ReduceOp>(op) && tensorOf(v).getDims() == ArrayRef(dim)); // statistics are the same for all rows
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
    return paramOf(v) || isa_and_nonnull<ReadOp, ConstantOp, SizeOp, IotaOp>(outermost(v).getDefiningOp()); // a state too
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
      GateAttr f = p.of->facet, g = first.facet;
      if (f.getKeep() != g.getKeep() || f.getGranule() != g.getGranule() || f.getHysteresis() != g.getHysteresis() || f.getSamples() != g.getSamples() || !f.getRank() != !g.getRank())
        return refuse(*p.of, "P0447", alike(first.map, p.of->map)), false;
    }
    if (first.facet.getSamples() && !ofSamples(n, first)) return false;
    auto size = dims.value(n.dim.getValue()).constant();
    const int64_t granule = first.facet.getGranule();
    if (!size || size->num % granule) return refuse(first, "P0448", "granules of " + Twine(granule) + " do not divide `" + n.dim.getValue() + "`, which is " + dims.value(n.dim.getValue()).str()), false;
    return true;
  }

  /// Have the neurons samples, all of whose positions are known at once?
  bool ofSamples(Neurons &n, const Gated &first) {
    auto no = [&](const Twine &why) { return refuse(first, "P0457", "`" + siteOf(first.map) + "` gives no channels of samples: " + why), false; };
    if (!tensorOf(n.h).has(first.facet.getSamples())) return no("its values have no dim `" + first.facet.getSamples().getValue() + "`, which counts samples unless `batch` names another");
    bool caches = false;
    getOperation().walk([&](CacheOp) { caches = true; });
    if (caches) return no("with caches, a position is computed before later ones are known");
    for (Product &p : n.products)
      if (!p.op.getSubsets().empty()) return no("products of chosen members have positions of their own");
    return true;
  }

  // ---- neurons that change places ----

  using Parts = llvm::MapVector<VariableOp, StringAttr>; ///< variables, and what each calls the neurons' dim
  void addNeurons(FuncOp run, const Dims &dims) {
    llvm::MapVector<VariableOp, Parts> gates; // by the first map
    for (Neurons &n : find(run))
      if (llvm::all_of(n.products, [](Product &p) { return p.of && p.of->facet.getGranule() > 1; })) {
        Parts parts = partsOf(run, n);
        if (!parts.empty() && llvm::none_of(gates, [&](auto &other) { return llvm::any_of(parts, [&](auto &part) { return other.second.contains(part.first); }); })) gates[n.products[0].of->map] = parts;
      }
    for (FuncOp f : getOperation().getOps<FuncOp>())
      if (f != run) keepAlike(f, gates);
    auto f = cast<FuncOp>(OpBuilder(run).clone(*run));
    f.setName("neurons"), f.setEntry("neurons");
    f.getBody().front().getTerminator()->setOperands({});
    f.setFunctionTypeAttr(TypeAttr::get(FunctionType::get(&getContext(), f.getArgumentTypes(), {}))), f.setResAttrsAttr(ArrayAttr::get(&getContext(), {}));
    for (Neurons &n : find(f)) {
      auto gate = n.products[0].of ? gates.find(n.products[0].of->map) : gates.end();
      if (gate == gates.end()) continue;
      OpBuilder b(&getContext());
      b.setInsertionPointAfter(n.h.getDefiningOp());
      BodyBuilder body(b, dims, n.h.getLoc());
      const StringAttr name = b.getStringAttr(siteOf(gate->first) + "#neurons");
      addResult(f, name, bringOut(body.map(MapFn::abs, {n.h}), dims));
      for (auto [v, dim] : gate->second) v->setAttr("fil.neurons", b.getArrayAttr({name, n.dim, dim})), v->setAttr("fil.granule", b.getI64IntegerAttr(n.products[0].of->facet.getGranule()));
    }
  }
  /// Leaves gates whose neurons other functions see in the same way: there too nobody else reads a part of them.
  void keepAlike(FuncOp f, llvm::MapVector<VariableOp, Parts> &gates) {
    llvm::SmallPtrSet<Operation *, 8> met, other;
    for (Neurons &n : find(f)) {
      auto gate = n.products[0].of ? gates.find(n.products[0].of->map) : gates.end();
      if (gate == gates.end()) continue;
      met.insert(gate->first);
      Parts parts = partsOf(f, n);
      if (parts.size() != gate->second.size() || llvm::any_of(gate->second, [&](auto &part) { return parts.lookup(part.first) != part.second; })) other.insert(gate->first);
    }
    gates.remove_if([&](auto &gate) {
      bool read = false;
      if (!met.contains(gate.first)) f.walk([&](Operation *op) { read |= readsOf(op, gate.second); });
      return read || other.contains(gate.first);
    });
  }
  /// Does the op make something of one of the variables, other than the same under another name?
  static bool readsOf(Operation *op, const Parts &parts) {
    if (isa<ReadOp, RenameOp>(op)) return false;
    ValueRange operands = op->getOperands();
    if (auto loop = dyn_cast<LayersOp>(op)) operands = loop.getCarried(); // its body has the others
    return llvm::any_of(operands, [&](Value v) { return isa<ir::TensorType>(v.getType()) && parts.contains(paramOf(v)); });
  }
  /// None where neurons cannot change places: somebody else reads a part of them, one stands in two places, or parts are of other loops.
  Parts partsOf(FuncOp f, Neurons &n) {
    Parts parts;
    llvm::SmallPtrSet<Operation *, 8> ours(n.between.begin(), n.between.end());
    bool all = alone(n) && !n.numbered;
    auto take = [&](VariableOp v, StringAttr dim) { all &= v && (parts.empty() || v.getLoops() == parts.front().first.getLoops()) && parts.insert({v, dim}).first->second == dim; };
    for (Product &p : n.products) ours.insert(p.op), take(mapOf(p.weight()), rightOf(p)), all &= p.op.getSubsets().empty();
    for (Reader &r : n.readers) {
      ours.insert(r.op);
      VariableOp l = mapOf(r.op.getLhs()), w = l ? l : mapOf(r.op.getRhs());
      take(w, n.dim), all &= r.op.getSubsets().empty();
    }
    for (auto [v, dim] : n.params) take(paramOf(v), dim);
    for (Product &p : n.products) all &= !parts.contains(paramOf(p.x()));
    f.walk([&](Operation *op) { all &= ours.contains(op) || !readsOf(op, parts); });
    if (!all) parts.clear();
    return parts;
  }
  /// What stands beside a map, if it has the dim by which that is moved.
  static void movesWith(VariableOp v, VariableOp map) {
    auto neurons = map->getAttrOfType<ArrayAttr>("fil.neurons");
    if (neurons && llvm::is_contained(v.getDeclared(), neurons[2])) v->setAttr("fil.neurons", neurons), v->setAttr("fil.granule", map->getAttr("fil.granule"));
  }

  // ---- the gate ----

  InitAttr random(ArrayRef<StringAttr> left, const Dims &dims) {
    double fan = 1;
    for (StringAttr d : left) fan *= dims.atMost(dims.size(d.getValue()));
    return InitAttr::get(&getContext(), InitKind::normal, 0.0, 1 / std::sqrt(fan));
  }
  void addPredictor(Gated &g, const Dims &dims, StringAttr rank) {
    g.a = paramBeside(g.map, "gate_A", g.sides.families, g.sides.left, {rank}, random(g.sides.left, dims), dims, g.map);
    g.b = paramBeside(g.map, "gate_B", g.sides.families, {rank}, g.sides.right, random(rank, dims), dims, g.a);
    for (VariableOp v : {g.a, g.b}) v->setAttr("fil.predictor", UnitAttr::get(&getContext()));
    for (VariableOp v : {g.a, g.b}) movesWith(v, g.map);
  }
  /// What is expected of h: the predictors in place of the products.
  Value predicted(Neurons &n, ArrayRef<Operation *> order, Dims &dims, BodyBuilder &body) {
    OpBuilder &b = body.builder;
    IRMapping made;
    for (Product &p : n.products) {
      Gated &g = *p.of;
      const int64_t rank = g.facet.getRank();
      if (!g.a) addPredictor(g, dims, StringAttr::get(&getContext(), dims.named(getOperation(), "rank" + std::to_string(rank), Size(rank))));
      body.site = siteOf(g.a);
      Value inner = innerProduct(p.op, p.x(), factor(p.weight(), g.a), g.sides.left, body), far = factor(p.weight(), g.b);
      body.site = siteOf(g.b);
      made.map(p.op.getResult(), body.contract(inner, far, subsetsOf(tensorOf(far), p.op.getSubsets()), cast<ir::TensorType>(p.op.getType())));
    }
    for (Operation *op : order) b.clone(*op, made)->setAttr("site", b.getStringAttr(body.site)); // what it costs, the predictor does
    return body.map(MapFn::abs, {made.lookup(n.h)});
  }
  /// The mean magnitudes of what the products read, over all positions of a sample and their windows, times what is learnt of each channel; null where it has no channels.
  Value squeezed(Neurons &n, BodyBuilder &body) {
    const StringAttr samples = n.products[0].of->facet.getSamples();
    auto reals = [&](ArrayRef<StringAttr> all) { return body.dims.tensor(&getContext(), all, RealType::get(&getContext())); };
    Value score;
    for (Product &p : n.products) {
      Gated &g = *p.of;
      SmallVector<Operation *> views;
      Value source = viewed(withoutZeros(p.x()), samples, views);
      SmallVector<StringAttr> left, over, result;
      Size positions(1);
      for (StringAttr d : tensorOf(source).getDims())
        if (llvm::is_contained(g.sides.left, d)) left.push_back(d);
        else if (d == samples || llvm::is_contained(g.sides.families, d)) result.push_back(d);
        else over.push_back(d), positions = positions * body.dims.value(d.getValue());
      if (left.empty()) return {};
      llvm::sort(left, [&](StringAttr x, StringAttr y) { return llvm::find(g.sides.left, x) < llvm::find(g.sides.left, y); });
      if (!g.squeeze) {
        g.squeeze = paramBeside(g.map, "gate_S", g.sides.families, left, g.sides.right, random(left, body.dims), body.dims, g.map);
        g.squeeze->setAttr("fil.predictor", UnitAttr::get(&getContext()));
        movesWith(g.squeeze, g.map);
      }
      body.site = siteOf(g.squeeze);
      Value mean = body.map(MapFn::abs, {source});
      if (!over.empty()) mean = body.div(body.reduce(ReduceFn::sum, mean, over), body.size(positions));
      Value learnt = factor(p.weight(), g.squeeze);
      for (StringAttr d : tensorOf(learnt).getDims())
        if (!llvm::is_contained(left, d) && !llvm::is_contained(result, d)) result.push_back(d);
      Value one = body.map(MapFn::abs, {body.contract(mean, learnt, {}, reals(result))});
      if (StringAttr own = rightOf(p); own != n.dim) {
        llvm::replace(result, own, n.dim);
        one = RenameOp::create(body.builder, body.loc, reals(result), one, own, n.dim, body.builder.getStringAttr(body.site), RoleAttr::get(&getContext(), body.role));
      }
      score = score ? body.mul(score, one) : one;
    }
    return score;
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

    SmallVector<Operation *> order(n.between.begin(), n.between.end());
    llvm::sort(order, [](Operation *x, Operation *y) { return x->isBeforeInBlock(y); });
    Gated &first = *n.products[0].of;
    Value score = facet.getRank() ? predicted(n, order, dims, body) : squeezed(n, body);
    if (!score) return refuse(first, "P0457", "`" + siteOf(first.map) + "` reads no channels: it is over windows alone, so there is nothing to squeeze");
    StringAttr granules = n.dim;
    const StringAttr inside = named(n.dim.getValue() + "%" + Twine(granule), Size(granule));
    if (granule > 1) {
      granules = named(n.dim.getValue() + "/" + Twine(granule), dims.value(n.dim.getValue()) / Size(granule));
      score = body.reduce(ReduceFn::sum, body.cut(score, n.dim, granules, inside, granule), {inside});
    }
    if (facet.getSamples()) {
      SmallVector<StringAttr> positions;
      for (StringAttr d : tensorOf(score).getDims())
        if (d != granules && d != facet.getSamples() && !llvm::is_contained(first.sides.families, d)) positions.push_back(d);
      if (!positions.empty()) score = body.reduce(ReduceFn::sum, score, positions);
    }
    Value held;
    if (!facet.getHysteresis().isZero()) {
      held = factor(n.products[0].weight(), heldOf(first, granules, dims));
      score = body.mul(score, body.add(body.constant(1), body.mul(body.constant(facet.getHysteresis().convertToDouble()), held)));
    }
    Value chosen = body.highest(score, open ? factor(n.products[0].weight(), countOf(first, count, dims)) : body.whole(kept), {granules});
    if (held && f.getEntry() == "train" && !states.contains(first.held)) states[first.held] = {first.held, remembered(held, chosen, granules, body)};
    auto masked = [&](Value x, StringAttr dim, bool zeros) -> Value {
      SmallVector<Attribute> pairs;
      if (dim != granules) pairs = {dim, granules};
      return MaskOp::create(b, body.loc, x.getType(), x, chosen, b.getArrayAttr(pairs), open ? DenseI64ArrayAttr() : b.getDenseI64ArrayAttr({kept, count}), b.getUnitAttr(), zeros ? b.getUnitAttr() : UnitAttr(), b.getStringAttr(body.site),
                            RoleAttr::get(ctx, Role::forward));
    };
    Value h = n.h;
    bool whole = true;
    if (f.getEntry() == "run" && alone(n)) { // products of a few rows leave out what is masked behind them
      IRMapping made;
      for (Product &p : n.products) {
        b.clone(*p.op, made);
        auto has = [&](StringAttr d) { return d == granules || tensorOf(p.op.getResult()).has(d); };
        if (llvm::all_of(tensorOf(chosen).getDims(), has)) made.map(p.op.getResult(), masked(made.lookup(p.op.getResult()), rightOf(p), false)); // else it is the same for all rows
      }
      for (Operation *op : order) b.clone(*op, made);
      h = made.lookup(n.h);
      whole = !order.empty(); // what follows may make something of 0
    }
    if (whole) h = masked(h, n.dim, false);
    if (f.getEntry() == "train") h = body.add(h, body.mul(body.stopGrad(n.h), straightThrough(score, n.dim, granules, inside, granule, body)));
    for (Reader &r : n.readers) {
      OpBuilder::InsertionGuard guard(b);
      IRMapping seen;
      seen.map(n.h, h);
      Value before = n.h;
      for (Operation *view : r.views) {
        b.setInsertionPointAfter(view);
        b.clone(*view, seen);
        before = view->getResult(0);
      }
      Value x = seen.lookup(before);
      auto moves = [&](Operation *view) { // positions whose choices differ
        auto w = dyn_cast<WindowOp>(view);
        return w && llvm::any_of(w.getWindows().getAsRange<WindowDimAttr>(), [&](WindowDimAttr d) { return tensorOf(chosen).has(d.getIn()); });
      };
      r.op->replaceUsesOfWith(before, f.getEntry() == "run" && llvm::none_of(r.views, moves) ? masked(x, n.dim, true) : x);
      for (Operation *view : llvm::reverse(r.views))
        if (view->use_empty()) view->erase();
    }
    for (Operation *op : llvm::reverse(order))
      if (op->use_empty()) op->erase();
    for (Product &p : n.products)
      if (p.op.use_empty()) p.op.erase();
  }
  /// The state that remembers how often each granule was chosen; never at first.
  VariableOp heldOf(Gated &g, StringAttr granules, const Dims &dims) {
    if (g.held) return g.held;
    SmallVector<StringAttr> all = strings(g.map.getLoops());
    all.push_back(granules);
    g.held = stateBeside(g.map, ".gate_held", dims.tensor(&getContext(), all, RealType::get(&getContext())), {granules}, 0, VariableKind::state);
    g.held->moveAfter(g.squeeze ? g.squeeze : g.b);
    g.held->setAttr("fil.predictor", UnitAttr::get(&getContext()));
    return g.held;
  }
  /// A tenth of what is chosen now, and nine of what was.
  static Value remembered(Value held, Value chosen, StringAttr granules, BodyBuilder &body) {
    SmallVector<StringAttr> others;
    Size count(1);
    for (StringAttr d : tensorOf(chosen).getDims())
      if (d != granules) others.push_back(d), count = count * body.dims.value(d.getValue());
    Value now = body.select(chosen, body.constant(1), body.constant(0));
    if (!others.empty()) now = body.div(body.reduce(ReduceFn::sum, now, others), body.size(count));
    return body.add(held, body.mul(body.constant(0.1), body.sub(now, held)));
  }
  /// The state that says how many granules are chosen; all at first.
  VariableOp countOf(Gated &g, int64_t all, const Dims &dims) {
    if (g.count) return g.count;
    g.count = stateBeside(g.map, ".gate_keep", dims.tensor(&getContext(), strings(g.map.getLoops()), IntType::get(&getContext())), {}, double(all), VariableKind::state);
    g.count->moveAfter(g.squeeze ? g.squeeze : g.b);
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
    llvm::SmallPtrSet<Operation *, 8> readers(n.between.begin(), n.between.end());
    for (Reader &r : n.readers) readers.insert(r.op), readers.insert(r.views.begin(), r.views.end());
    auto within = [&](Value v) { return llvm::all_of(v.getUsers(), [&](Operation *user) { return readers.contains(user); }); };
    auto windows = [&](Reader &r) { return llvm::all_of(r.views, [&](Operation *op) { return within(op->getResult(0)); }); };
    return within(n.h) && llvm::all_of(n.readers, windows) && llvm::all_of(n.products, [&](Product &p) { return within(p.op.getResult()); }) &&
           llvm::all_of(n.between, [&](Operation *op) { return within(op->getResult(0)); });
  }
};
} // namespace
} // namespace fil::passes
