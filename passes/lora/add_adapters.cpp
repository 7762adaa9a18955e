// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "ir/layers.h"
#include "passes/lora/passes.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_ADDADAPTERSPASS
#include "passes/lora/passes.h.inc"
namespace {

/// A param with its adapter's params; magnitude: of dora alone.
struct Adapted {
  VariableOp base, a, b, magnitude;
  Location because; ///< in the plan
  LoraAttr facet;
  bool apart; ///< merging by itself would cost something: see costsToMerge
  MapSides sides;
  StringAttr rank;
  double scale;
};
/// Several adapters at once: their params have `dim` in front, and each row of `batch` says which one is its own.
struct Slots {
  StringAttr dim, batch; ///< null: one adapter
};
/// The same as values in one block. `slot`: each row's adapter, null where there is one. `merged` is made where a use wants it.
struct Weight {
  Adapted &of;
  Value base, a, b, magnitude, slot, merged;
};

struct AddAdaptersPass : impl::AddAdaptersPassBase<AddAdaptersPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    Dims dims(module);
    addSlots(dims);
    std::vector<Adapted> adapted;
    std::map<int64_t, std::string> rankDims;
    for (SiteOp site : module.getOps<SiteOp>())
      for (Attribute f : site.getFacets()) {
        auto lora = dyn_cast<LoraAttr>(f);
        if (!lora) continue;
        for (auto v : llvm::make_early_inc_range(module.getOps<VariableOp>()))
          if (v.getSite() == site.getPath() && lora.appliesTo(v, Role::forward)) adapted.push_back(addParams(v, placeOf(site, f), lora, costsToMerge(site), dims, rankDims));
        consume(site, f, getArgument());
      }
    if (adapted.empty()) return;
    for (auto v : module.getOps<VariableOp>()) {
      if (v.getAdapter()) continue;
      v.setTrained(false);
      v.removeOptimizerAttr();
    }
    for (FuncOp f : module.getOps<FuncOp>()) {
      if (f.getEntry().empty()) continue;
      for (unsigned i = 0; slots.dim && i < f.getNumArguments(); ++i)
        if (f.inputName(i) == "adapter") return refuse(adapted[0], "P0438", "several adapters add the input `adapter`, and the model has one of that name"), signalPassFailure();
      Value slot = slots.dim ? addSlotInput(f) : Value();
      for (Adapted &x : adapted) adapt(f, x, slot, dims);
    }
    if (refused) signalPassFailure();
  }
  Slots slots;
  bool refused = false;

  void addSlots(Dims &dims) {
    ModuleOp module = getOperation();
    auto several = module->getAttrOfType<ArrayAttr>("fil.adapters"); // their number, the batch dim
    if (!several) return;
    const auto number = std::to_string(cast<IntegerAttr>(several[0]).getInt());
    slots = {StringAttr::get(&getContext(), dims.add(module, "adapters", number, dims.names().front())), cast<StringAttr>(several[1])};
    module->setAttr("fil.adapters", slots.dim);
  }
  Value addSlotInput(FuncOp f) {
    Builder b(&getContext());
    auto type = ir::TensorType::get(&getContext(), {slots.batch}, ir::IndexType::get(&getContext(), slots.dim));
    SmallVector<Type> in(f.getArgumentTypes());
    in.push_back(type);
    SmallVector<Attribute> names(f.getArgAttrs()->begin(), f.getArgAttrs()->end());
    names.push_back(b.getDictionaryAttr({b.getNamedAttr("fil.axes", b.getArrayAttr({slots.batch})), b.getNamedAttr("fil.name", b.getStringAttr("adapter"))}));
    f.setFunctionTypeAttr(TypeAttr::get(b.getFunctionType(in, f.getResultTypes())));
    f.setArgAttrsAttr(b.getArrayAttr(names));
    return f.getBody().front().addArgument(type, f.getLoc());
  }
  /// Codes before a colon reach the user as such.
  void refuse(const Adapted &x, const char *code, const Twine &why) {
    emitError(x.because) << code << ": " << why;
    refused = true;
  }

  // ---- params ----

  /// Would the sum be denser than the base, be rounded once more to 8 bits or fewer, or hide the map from its gate?
  bool costsToMerge(SiteOp at) {
    auto facet = [&](FacetKind kind) { return innermostFacet(getOperation(), at.getPath(), kind); };
    Facet format = facet(FacetKind::format);
    auto reals = dyn_cast_or_null<FormatAttr>(format);
    return facet(FacetKind::topology) || facet(FacetKind::blocks) || facet(FacetKind::gate) || facet(FacetKind::qat) || (format && (!reals || reals.coarse()));
  }
  Adapted addParams(VariableOp base, Location because, LoraAttr facet, bool apart, Dims &dims, std::map<int64_t, std::string> &rankDims) {
    ModuleOp module = getOperation();
    MLIRContext *ctx = &getContext();
    std::string &name = rankDims[facet.getRank()];
    if (name.empty()) name = dims.add(module, "rank" + std::to_string(facet.getRank()), std::to_string(facet.getRank()));
    Adapted x{base, {}, {}, {}, because, facet, apart, sidesOf(base), StringAttr::get(ctx, name), facet.scale(facet.getRank())};
    double left = 1;
    for (StringAttr d : x.sides.left) left *= dims.atMost(dims.size(d.getValue()));
    const bool gauss = facet.getInit() == LoraInit::gauss;
    auto random = [&](double fan) { return InitAttr::get(ctx, InitKind::normal, 0.0, 1 / std::sqrt(fan)); };
    const auto zero = InitAttr::get(ctx, InitKind::constant, 0.0, 0.0);
    x.a = addParam(base, "lora_A", x.sides, x.sides.left, {x.rank}, gauss ? random(left) : zero, x.scale, dims, base);
    x.b = addParam(base, "lora_B", x.sides, {x.rank}, x.sides.right, gauss ? zero : random(double(facet.getRank())), x.scale, dims, x.a);
    if (facet.getVariant() == LoraVariant::dora) x.magnitude = addParam(base, "lora_m", x.sides, {}, x.sides.right, zero, x.scale, dims, x.b);
    return x;
  }

  /// Without a left side it is no map.
  VariableOp addParam(VariableOp base, StringRef name, const MapSides &sides, ArrayRef<StringAttr> left, ArrayRef<StringAttr> right, InitAttr init, double scale, const Dims &dims, VariableOp after) {
    SmallVector<StringAttr> front;
    if (slots.dim) front.push_back(slots.dim);
    llvm::append_range(front, sides.families);
    VariableOp v = paramBeside(base, name, front, left, right, init, dims, after);
    v.setTrained(true);
    v.setAdapterAttr(Builder(&getContext()).getF64FloatAttr(scale));
    return v;
  }

  // ---- uses ----

  void adapt(FuncOp f, Adapted &x, Value slot, const Dims &dims) {
    for (ReadOp r : readsOf(f, x.base)) {
      OpBuilder b(r);
      b.setInsertionPointAfter(r);
      auto read = [&](VariableOp v) { return v ? makeRead(b, v, Role::forward) : Value(); };
      Weight w{x, r.getResult(), read(x.a), read(x.b), read(x.magnitude), slot, {}};
      const Merge merge = x.facet.getMerge();
      if (f.getEntry() == "run" && (merge == Merge::always || (merge == Merge::automatic && !x.apart)) && !slot) {
        SmallPtrSet<Operation *, 8> before;
        for (Operation *user : w.base.getUsers()) before.insert(user);
        w.base.replaceUsesWithIf(merged(w, dims), [&](OpOperand &o) { return before.contains(o.getOwner()); });
      } else {
        adaptUses(w, dims);
      }
    }
  }

  void adaptUses(Weight w, const Dims &dims) {
    llvm::SetVector<LayersOp> loops;
    SmallVector<Operation *> users;
    for (Operation *user : w.base.getUsers()) {
      auto loop = dyn_cast<LayersOp>(user);
      if (loop && !llvm::is_contained(loop.getCarried(), w.base)) loops.insert(loop);
      else if (!llvm::is_contained(users, user)) users.push_back(user);
    }
    for (Operation *user : users) {
      auto product = dyn_cast<ContractOp>(user);
      auto rows = dyn_cast<GatherOp>(user);
      const bool summed = w.of.facet.getMerge() == Merge::masked; // the mask is on the sum
      if (!summed && ((product && unmerged(product, w, dims)) || (rows && unmerged(rows, w, dims)))) continue;
      if (auto aux = dyn_cast<AuxOp>(user); aux && aux.getValue() != w.base) train(aux, w);
      else user->replaceUsesOfWith(w.base, merged(w, dims));
    }
    for (LayersOp loop : loops) enter(loop, w, dims);
  }

  /// A loss that trains the weight trains its adapter.
  static void train(AuxOp aux, const Weight &w) {
    SmallVector<Value> trained;
    for (Value v : aux.getTrains()) {
      if (v != w.base) trained.push_back(v);
      else
        for (Value part : {w.a, w.b, w.magnitude})
          if (part) trained.push_back(part);
    }
    aux.getTrainsMutable().assign(trained);
  }

  /// The loop gets the adapter as it has the weight: stacked, or shared.
  void enter(LayersOp loop, const Weight &w, const Dims &dims) {
    LayersEdit edit(loop);
    auto slice = [&](Value v) -> Value { return v ? Value(edit.stacked(v)) : Value(); };
    auto share = [&](Value v) -> Value { return v ? Value(edit.shared(v)) : Value(); };
    const bool stacked = llvm::is_contained(loop.getStacked(), w.base), shared = llvm::is_contained(loop.getShared(), w.base);
    Weight turn{w.of, {}, {}, {}, {}, share(w.slot), {}}, whole = turn;
    if (stacked) turn.a = slice(w.a), turn.b = slice(w.b), turn.magnitude = slice(w.magnitude);
    if (shared) whole.a = share(w.a), whole.b = share(w.b), whole.magnitude = share(w.magnitude);
    LayersOp made = edit.finish();
    SmallVector<BlockArgument> ofTurn, ofAll;
    for (auto [v, a] : llvm::zip(made.getStacked(), made.stackedArgs()))
      if (v == w.base) ofTurn.push_back(a);
    for (auto [v, a] : llvm::zip(made.getShared(), made.sharedArgs()))
      if (v == w.base) ofAll.push_back(a);
    for (BlockArgument a : ofTurn) turn.base = a, adaptUses(turn, dims);
    for (BlockArgument a : ofAll) whole.base = a, adaptUses(whole, dims);
  }

  /// A builder behind what the weight consists of, and one for ops at the adapter.
  void standBehind(OpBuilder &b, const Weight &w) {
    Operation *last = nullptr;
    for (Value v : {w.base, w.a, w.b, w.magnitude})
      if (Operation *op = v ? v.getDefiningOp() : nullptr; op && (!last || last->isBeforeInBlock(op))) last = op;
    if (last) b.setInsertionPointAfter(last);
    else b.setInsertionPointToStart(cast<BlockArgument>(w.base).getOwner());
  }
  BodyBuilder adapterAt(OpBuilder &b, const Dims &dims, const Weight &w, Location loc) {
    BodyBuilder body(b, dims, loc);
    body.site = siteOf(w.of.a);
    return body;
  }

  /// `W + scale * A·B`.
  Value sum(const Weight &w, BodyBuilder &body) {
    Value product = body.contract(w.a, w.b, {}, cast<ir::TensorType>(w.base.getType()));
    return body.add(w.base, body.mul(product, body.constant(w.of.scale)));
  }
  /// What dora multiplies by: of the weight's dims without the left side.
  Value ratio(const Weight &w, Value sum, BodyBuilder &body) {
    auto square = [&](Value v) { return body.reduce(ReduceFn::sum, body.mul(v, v), w.of.sides.left); };
    Value fixed = body.stopGrad(sum);
    Value norms = body.map(MapFn::sqrt, {body.div(square(w.base), body.map(MapFn::max, {square(fixed), body.constant(1e-30)}))});
    return body.mul(body.add(w.magnitude, body.constant(1)), norms);
  }
  Value merged(Weight &w, const Dims &dims) {
    if (w.merged) return w.merged;
    if (w.slot) {
      refuse(w.of, "P0438", "with several adapters `" + siteOf(w.of.base) + "` has no one weight, and here it is not a map of rows of `" + slots.batch.getValue() + "`");
      return w.merged = w.base;
    }
    OpBuilder b(&getContext());
    standBehind(b, w);
    BodyBuilder body = adapterAt(b, dims, w, w.base.getLoc());
    Value whole = sum(w, body);
    return w.merged = w.magnitude ? body.mul(whole, ratio(w, whole, body)) : whole;
  }

  /// The result of a use with what the adapter adds: through `inner`, the product with the side that the use sums over.
  void extend(Operation *use, Value inner, Value far, ValueRange subsets, const Weight &w, BodyBuilder &body, const Dims &dims) {
    auto result = cast<ir::TensorType>(use->getResult(0).getType());
    Value y = body.contract(body.mul(inner, body.constant(w.of.scale)), far, subsets, result), both = body.add(use->getResult(0), y);
    if (w.magnitude) {
      OpBuilder b(&getContext());
      standBehind(b, w);
      BodyBuilder early = adapterAt(b, dims, w, w.base.getLoc());
      Value factor = ratio(w, sum(w, early), early);
      for (Value s : subsets) factor = gathered(factor, s, body);
      both = body.mul(both, factor);
    }
    SmallPtrSet<Operation *, 8> own;
    for (Operation *op = use->getNextNode(); op && own.insert(op).second && op != both.getDefiningOp();) op = op->getNextNode();
    use->getResult(0).replaceUsesWithIf(both, [&](OpOperand &o) { return !own.contains(o.getOwner()); });
  }
  /// Of several adapters each row's own: dim `batch` in place of theirs.
  Value ofRows(Value param, const Weight &w, BodyBuilder &body) {
    if (!w.slot) return param;
    auto t = cast<ir::TensorType>(param.getType());
    SmallVector<StringAttr> all(t.getDims());
    llvm::erase(all, slots.dim);
    all.push_back(slots.batch);
    return GatherOp::create(body.builder, body.loc, body.dims.tensor(&getContext(), all, t.getElement()), param, w.slot, slots.dim, body.builder.getStringAttr(body.site), RoleAttr::get(&getContext(), Role::forward));
  }
  Value gathered(Value x, Value subset, BodyBuilder &body) {
    auto t = cast<ir::TensorType>(x.getType());
    auto s = cast<SubsetType>(subset.getType());
    if (!t.has(s.getOf())) return x;
    return GatherOp::create(body.builder, body.loc, readThrough(t, subset, body.dims), x, subset, s.getOf(), body.builder.getStringAttr(body.site), RoleAttr::get(&getContext(), Role::forward));
  }
  /// Two further products beside the one, if it sums over one side of the weight and leaves the other; false if not.
  bool unmerged(ContractOp product, const Weight &w, const Dims &dims) {
    Value x = product.getLhs() == w.base ? product.getRhs() : product.getLhs();
    if (x == w.base) return false;
    const MapSides &sides = w.of.sides;
    const bool forth = factorable(product, sides.left, sides.right), back = !forth && !w.magnitude && factorable(product, sides.right, sides.left);
    if (!forth && !back) return false;
    if (w.slot && !cast<ir::TensorType>(x.getType()).has(slots.batch)) return false;
    OpBuilder b(product);
    b.setInsertionPointAfter(product);
    BodyBuilder body = adapterAt(b, dims, w, product.getLoc());
    Value near = ofRows(forth ? w.a : w.b, w, body), far = ofRows(forth ? w.b : w.a, w, body);
    Value inner = innerProduct(product, x, near, forth ? sides.left : sides.right, body);
    extend(product, inner, far, subsetsOf(cast<ir::TensorType>(far.getType()), product.getSubsets()), w, body, dims);
    return true;
  }
  /// `W[i]` where i stands for the whole left side.
  bool unmerged(GatherOp use, const Weight &w, const Dims &dims) {
    if (use.getX() != w.base || (w.slot && !cast<ir::TensorType>(use.getType()).has(slots.batch)) || w.of.sides.left.size() != 1 || w.of.sides.left[0] != use.getDimAttr()) return false;
    OpBuilder b(use);
    b.setInsertionPointAfter(use);
    BodyBuilder body = adapterAt(b, dims, w, use.getLoc());
    Value a = ofRows(w.a, w, body);
    SmallVector<StringAttr> inner;
    for (StringAttr d : cast<ir::TensorType>(a.getType()).getDims())
      if (d != use.getDimAttr()) inner.push_back(d);
    if (auto s = dyn_cast<SubsetType>(use.getIndex().getType())) llvm::append_range(inner, s.getPer()), inner.push_back(s.getMembers());
    else llvm::append_range(inner, cast<ir::TensorType>(use.getIndex().getType()).getDims());
    Value rows = GatherOp::create(b, use.getLoc(), dims.tensor(&getContext(), inner, cast<ir::TensorType>(use.getType()).getElement()), a, use.getIndex(), use.getDimAttr(), b.getStringAttr(body.site), RoleAttr::get(&getContext(), Role::forward));
    extend(use, rows, ofRows(w.b, w, body), {}, w, body, dims);
    return true;
  }
};
} // namespace
} // namespace fil::passes
