// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "ir/layers.h"
#include "passes/sparsity/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_ADDPATTERNSPASS
#include "passes/sparsity/passes.h.inc"
namespace {

struct Thinned {
  VariableOp map, pattern, places; ///< places: of granules
  BlocksAttr facet;
  StringAttr dim;
  ArrayAttr parts, granules;
  DenseI64ArrayAttr kept;
  bool ofSum = false; ///< the sum of weight and adapter is thinned
};

struct AddPatternsPass : impl::AddPatternsPassBase<AddPatternsPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    Dims table(module);
    dims = &table;
    std::vector<Thinned> all;
    for (auto [site, facet] : linesOf<BlocksAttr>(module)) {
      for (auto v : llvm::make_early_inc_range(module.getOps<VariableOp>()))
        if (v.getSite() == site.getPath() && facet.appliesTo(v, Role::forward)) prepare(v, facet, mergesMasked(site), all);
      consume(site, facet, getArgument());
    }
    for (Thinned &x : all)
      for (FuncOp f : module.getOps<FuncOp>())
        for (ReadOp r : readsOf(f, x.map)) thin(r, x);
  }

private:
  Dims *dims = nullptr;
  llvm::DenseMap<std::pair<StringAttr, StringAttr>, StringAttr> made; ///< by name and the dim that comes next

  StringAttr dim(const Twine &name, const Size &size, StringAttr before) {
    StringAttr &d = made[{StringAttr::get(&getContext(), name), before}];
    if (!d) d = StringAttr::get(&getContext(), dims->add(getOperation(), name.str(), size.str(), before.getValue()));
    return d;
  }

  void prepare(VariableOp v, BlocksAttr facet, bool ofSum, std::vector<Thinned> &all) {
    MLIRContext *ctx = &getContext();
    Builder b(ctx);
    const MapSides sides = sidesOf(v);
    const StringAttr thin = sides.left.back(), last = sides.right.empty() ? thin : sides.right.back();
    const StringAttr before = dims->order(thin.getValue()) < dims->order(last.getValue()) ? thin : last; // so that neighbours of the right side stay neighbours
    const int64_t length = facet.grouped() ? facet.getOf() : facet.getLeft(), count = int64_t(dims->atMost(dims->value(thin.getValue()))) / length;
    const int64_t positions = facet.grouped() ? length : count, kept = facet.kept(positions);
    if (kept >= positions) return;
    auto named = [&](StringAttr of, int64_t n) { return dim(of.getValue() + "/" + Twine(n), Size(int64_t(dims->atMost(dims->value(of.getValue()))) / n), before); };
    const StringAttr outer = named(thin, length), slots = dim(outer.getValue() + ":" + Twine(kept), Size(kept), before);
    Thinned x{v, {}, {}, facet, thin, {}, b.getArrayAttr({}), b.getDenseI64ArrayAttr({kept, positions}), ofSum};
    SmallVector<StringAttr> values, pattern, places; // as declared
    for (StringAttr d : strings(v.getDeclared())) {
      if (values.size() + 1 == sides.families.size() + sides.left.size()) {
        if (facet.grouped()) values.append({outer, slots}), pattern.push_back(outer);
        else values.append({slots, dim(thin.getValue() + "%" + Twine(length), Size(length), before)}), pattern.push_back(outer), places.push_back(slots);
        x.parts = b.getArrayAttr({values[values.size() - 2], values.back()});
      } else {
        values.push_back(d);
        const bool cut = facet.getRight() > 1 && values.size() == v.getDeclared().size() + 1;
        pattern.push_back(cut ? named(d, facet.getRight()) : d), places.push_back(pattern.back());
      }
    }
    if (!facet.grouped()) {
      SmallVector<Attribute> pairs{thin, outer};
      if (facet.getRight() > 1) pairs.append({last, pattern.back()});
      x.granules = b.getArrayAttr(pairs);
    }
    auto stored = [&](ArrayRef<StringAttr> declared, Type element) {
      SmallVector<StringAttr> all(strings(v.getLoops()));
      llvm::append_range(all, declared);
      return dims->tensor(ctx, all, element);
    };
    if (facet.grouped()) x.pattern = stateBeside(v, ".pattern", stored(pattern, elementOf(ctx, Format::Int8)), pattern, 0, VariableKind::state);
    else {
      x.pattern = stateBeside(v, ".slots", stored(pattern, IntType::get(ctx)), pattern, 0, VariableKind::state);
      x.places = stateBeside(v, ".places", stored(places, IntType::get(ctx)), places, 0, VariableKind::state);
    }
    SmallVector<Attribute> axes(values.begin(), values.end());
    v.setDeclaredAttr(b.getArrayAttr(axes)), v.setMapAttr(b.getI64IntegerAttr(int64_t(*v.getMap()) + 1));
    v.setType(stored(values, cast<ir::TensorType>(v.getType()).getElement()));
    v->setAttr("fil.blocks", facet), v->setAttr("fil.there", x.kept);
    all.push_back(x);
  }

  void thin(ReadOp r, Thinned &x) {
    OpBuilder b(r);
    auto read = [&](VariableOp v) { return ReadOp::create(b, r.getLoc(), v.getType(), SymbolRefAttr::get(v), r.getSiteAttr(), r.getRoleAttr()).getResult(); };
    SmallVector<Value> parts{read(x.map), read(x.pattern)};
    if (x.places) parts.push_back(read(x.places));
    auto join = [&](OpBuilder &b, Value whole, ValueRange parts) { replace(b, whole, parts, x); };
    bringParts(r.getResult(), parts, join);
    if (!r->use_empty()) join(b, r.getResult(), parts);
    r.erase();
  }

  /// Users of the whole map, or of its sums with an adapter, read what is made of the parts.
  void replace(OpBuilder &b, Value whole, ValueRange parts, Thinned &x) {
    whole.replaceUsesWithIf(parts[0], [&](OpOperand &use) { // an auxiliary loss names what it trains
      auto aux = dyn_cast<AuxOp>(use.getOwner());
      return aux && aux.getValue() != whole;
    });
    if (!x.ofSum) return whole.replaceAllUsesWith(expanded(b, parts[0], whole.getType(), parts, x));
    for (Operation *sum : llvm::make_early_inc_range(whole.getUsers())) { // all that reads the map is its sum with the adapter
      assert(isa<MapOp>(sum) && cast<MapOp>(sum).getFn() == MapFn::add);
      OpBuilder at(sum);
      BodyBuilder body = bodyAt(at, x);
      Value other = sum->getOperand(sum->getOperand(0) == whole), places = x.places ? parts[2] : Value();
      Value thin = CompressOp::create(at, whole.getLoc(), parts[0].getType(), other, parts[1], places, x.dim, x.parts, x.granules, siteAttr(x), forward());
      sum->getResult(0).replaceAllUsesWith(expanded(at, body.add(parts[0], thin), whole.getType(), parts, x));
      sum->erase();
    }
  }
  Value expanded(OpBuilder &b, Value values, Type whole, ValueRange parts, Thinned &x) {
    const Location loc = values.getLoc();
    Value places = x.places ? parts[2] : Value();
    Value r = ExpandOp::create(b, loc, whole, values, parts[1], places, x.dim, x.parts, x.granules, siteAttr(x), forward());
    if (!places || !leftOut(x)) return r;
    BodyBuilder body = bodyAt(b, x);
    Value mask = body.map(MapFn::ge, {parts[1], body.whole(0)}); // says to products what they can leave out
    return MaskOp::create(b, loc, whole, r, mask, x.granules, x.kept, UnitAttr(), UnitAttr(), siteAttr(x), forward());
  }
  /// Can a product leave out what is not there? By granules of its columns, where these are few enough.
  static bool leftOut(const Thinned &x) {
    return (x.facet.getRight() % 16 == 0 || x.facet.getLeft() % 16 == 0) && double(x.kept[0]) <= skipsUpTo * double(x.kept[1]);
  }
  BodyBuilder bodyAt(OpBuilder &b, Thinned &x) {
    BodyBuilder body(b, *dims, x.map.getLoc());
    body.site = siteOf(x.map);
    return body;
  }
  StringAttr siteAttr(Thinned &x) { return x.map.getSiteAttr(); }
  RoleAttr forward() { return RoleAttr::get(&getContext(), Role::forward); }
};
} // namespace
} // namespace fil::passes
