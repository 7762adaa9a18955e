// SPDX-License-Identifier: Apache-2.0
// What each kind of facet is about, and what it costs.
#include "ir/ir.h"

using namespace mlir;
namespace fil::ir {

static bool isParam(Operation *op) {
  auto v = dyn_cast<VariableOp>(op);
  return v && v.getKind() == VariableKind::param;
}
static bool isMap(Operation *op) { return isParam(op) && cast<VariableOp>(op).getMap(); }
static bool anyOp(Operation *op) { return isa<VariableOp>(op) || roleOf(op); }

bool GatherAttr::appliesTo(Operation *op, Role) const { return isa<TopKOp>(op); }
bool GroupedAttr::appliesTo(Operation *op, Role) const { return isa<TopKOp>(op); }
bool GateAttr::appliesTo(Operation *op, Role) const { return isMap(op); }
bool TopologyAttr::appliesTo(Operation *op, Role) const { return isMap(op); }
bool BlocksAttr::appliesTo(Operation *op, Role) const { return isMap(op); }
bool QatAttr::appliesTo(Operation *op, Role role) const { return isMap(op) || (isa<ContractOp>(op) && role != Role::update); }
bool LoraAttr::appliesTo(Operation *op, Role) const { return isMap(op); }
bool FormatAttr::appliesTo(Operation *op, Role) const { return anyOp(op); }
bool WholeAttr::appliesTo(Operation *op, Role) const { return isMap(op); }
bool AdaptAttr::appliesTo(Operation *op, Role) const { return isa<ContractOp>(op); }
bool RematAttr::appliesTo(Operation *op, Role role) const { return anyOp(op) && (role == Role::forward || role == Role::saved); }
bool ReplicaAttr::appliesTo(Operation *op, Role) const { return anyOp(op); }
bool ShardAttr::appliesTo(Operation *op, Role) const { return anyOp(op); }
bool StageAttr::appliesTo(Operation *op, Role) const { return anyOp(op); }
bool WireAttr::appliesTo(Operation *op, Role) const { return anyOp(op); }
bool DistillAttr::appliesTo(Operation *op, Role role) const { return anyOp(op) && role == Role::forward; }
bool OrderAttr::appliesTo(Operation *op, Role) const { return anyOp(op); }

double LoraAttr::scale(int64_t rank) const {
  const double given = getAlpha().convertToDouble(), alpha = given ? given : double(rank);
  return getVariant() == LoraVariant::rs ? alpha / std::sqrt(double(rank)) : alpha / double(rank);
}
static Size product(ArrayRef<StringAttr> list, const Dims &dims) {
  Size n(1);
  for (StringAttr d : list) n = n * dims.value(d.getValue());
  return n;
}
FacetCost LoraAttr::cost(Operation *op, const Dims &dims) const {
  auto v = cast<VariableOp>(op);
  const MapSides s = sidesOf(v);
  const Size each = Size(getRank()) * (product(s.left, dims) + product(s.right, dims)), times = product(strings(v.getLoops()), dims) * product(s.families, dims);
  const Size elements = times * (getVariant() == LoraVariant::dora ? each + product(s.right, dims) : each);
  return {Size(2) * times * each, elements, elements, {}};
}

/// Scales of a map, and of what it is multiplied by.
static Size scalesOf(VariableOp v, ScalesPer per, bool acts, const Dims &dims) {
  const MapSides s = sidesOf(v);
  const Size turns = product(strings(v.getLoops()), dims);
  return turns * product(s.families, dims) * (per == ScalesPer::channel ? product(s.right, dims) : Size(1)) + (acts ? turns : Size());
}
FacetCost QatAttr::cost(Operation *op, const Dims &dims) const {
  auto v = cast<VariableOp>(op);
  const Size scales = scalesOf(v, getPer(), getActs() != 0, dims);
  return {{}, Size(2) * scales, v.getTrained() ? scales : Size(), {}, std::ldexp(1.0, -int(getBits()))};
}
FacetCost WholeAttr::cost(Operation *op, const Dims &dims) const { return {{}, scalesOf(cast<VariableOp>(op), getPer(), getActs() != 0, dims), {}, {}, std::ldexp(1.0, -int(getBits()))}; }
Facet innermostFacet(ModuleOp module, StringRef place, FacetKind kind) {
  Facet found;
  StringRef innermost;
  for (auto site : module.getOps<SiteOp>())
    if ((site.getPath().empty() || within(place, site.getPath())) && site.getPath().size() >= innermost.size())
      for (Attribute a : site.getFacets())
        if (auto f = cast<Facet>(a); f.kind() == kind) found = f, innermost = site.getPath();
  return found;
}

SiteFormat FormatAttr::of(Role role) const { return role == Role::dgrad ? getDgrad() : role == Role::wgrad ? getWgrad() : role == Role::update ? SiteFormat::f32 : getForward(); }
bool FormatAttr::coarse() const {
  return llvm::any_of(ArrayRef{getForward(), getDgrad(), getWgrad()}, [](SiteFormat f) { return f == SiteFormat::e4m3 || f == SiteFormat::e5m2; });
}

FacetCost FormatAttr::cost(Operation *, const Dims &) const {
  FacetCost c;
  for (SiteFormat f : {getForward(), getDgrad(), getWgrad()})
    if (auto narrow = formatNamed(stringifySiteFormat(f))) c.error = std::max(c.error, std::ldexp(1.0, -1 - traits(*narrow).fractionBits));
  return c;
}

double GateAttr::kept(double granules) const { return getKeep().isZero() ? granules : std::max(1.0, std::round(getKeep().convertToDouble() * granules)); }
FacetCost GateAttr::cost(Operation *op, const Dims &dims) const {
  auto v = cast<VariableOp>(op);
  const MapSides s = sidesOf(v);
  const double n = dims.atMost(product(s.right, dims)) / double(getGranule());
  if (kept(n) >= n) return {};
  const Size each = product(strings(v.getLoops()), dims) * product(s.families, dims), both = product(s.left, dims) + product(s.right, dims);
  Size own = each * Size(getRank()) * both;
  if (getRank() == 0) { // dims of windows are not in it
    auto there = SymbolTable::lookupNearestSymbolFrom<VariableOp>(op, StringAttr::get(op->getContext(), v.getSymName() + ".gate_S"));
    own = there ? dims.elements(there.getType()) : each * product(s.left, dims) * product(s.right, dims);
  }
  const Size gone = dims.elements(v.getType()) * Size(Rational(int64_t(n - kept(n)), int64_t(n)));
  return {Size(2) * (own - gone), own - gone, own, {}};
}

double TopologyAttr::kept(double granules) const { return std::max(1.0, std::round(getDensity().convertToDouble() * granules)); }
FacetCost TopologyAttr::cost(Operation *op, const Dims &dims) const {
  auto v = cast<VariableOp>(op);
  const MapSides sides = sidesOf(v);
  Size granule = Size(std::max<int64_t>(getLeft(), 1) * getRight()), map(1);
  for (auto *side : {&sides.left, &sides.right})
    for (StringAttr d : *side) {
      map = map * dims.value(d.getValue());
      if (!getLeft() && side == &sides.left) granule = granule * dims.value(d.getValue());
    }
  const double n = dims.atMost(map) / dims.atMost(granule);
  const Size gone = dims.elements(v.getType()) * Size(Rational(int64_t(n - kept(n)), int64_t(n)));
  return {Size(-2) * gone, {}, {}, gone};
}

int64_t BlocksAttr::kept(int64_t positions) const { return grouped() ? getN() : std::max<int64_t>(1, int64_t(std::round(getDensity().convertToDouble() * double(positions)))); }
FacetCost BlocksAttr::cost(Operation *op, const Dims &dims) const {
  auto v = cast<VariableOp>(op);
  Rational there(1);
  Size all = dims.elements(v.getType());
  if (auto n = v->getAttrOfType<DenseI64ArrayAttr>("fil.there")) there = {n[0], n[1]}, all = all * Size(Rational(n[1], n[0])); // it holds these
  else {
    const int64_t positions = grouped() ? getOf() : int64_t(dims.atMost(dims.value(sidesOf(v).left.back().getValue()))) / getLeft();
    there = {std::min(this->kept(positions), positions), positions};
  }
  const Size gone = all - all * Size(there);
  return {grouped() ? Size() : Size(-2) * gone, Size(-1) * gone, Size(-1) * gone, gone};
}

Value scalarInput(FuncOp f, StringRef name, Type element) {
  Block &block = f.getBody().front();
  for (unsigned i = 0; i < block.getNumArguments(); ++i)
    if (f.inputName(i) == name) return block.getArgument(i);
  Builder b(f.getContext());
  auto type = TensorType::get(f.getContext(), {}, element);
  SmallVector<Type> in(f.getArgumentTypes());
  in.push_back(type);
  SmallVector<Attribute> names(f.getArgAttrs()->begin(), f.getArgAttrs()->end());
  names.push_back(b.getDictionaryAttr(b.getNamedAttr("fil.name", b.getStringAttr(name))));
  f.setFunctionTypeAttr(TypeAttr::get(b.getFunctionType(in, f.getResultTypes())));
  f.setArgAttrsAttr(b.getArrayAttr(names));
  return block.addArgument(type, f.getLoc());
}
MapSides sidesOf(VariableOp v) {
  MapSides s;
  const size_t families = v.getSite().count("[*]"), right = size_t(*v.getMap());
  for (auto [i, d] : llvm::enumerate(strings(v.getDeclared()))) (i < families ? s.families : i < right ? s.left : s.right).push_back(d);
  return s;
}

VariableOp paramBeside(VariableOp map, StringRef name, ArrayRef<StringAttr> front, ArrayRef<StringAttr> left, ArrayRef<StringAttr> right, InitAttr init, const Dims &dims, VariableOp after) {
  OpBuilder b(after);
  b.setInsertionPointAfter(after);
  SmallVector<StringAttr> declared(front), all(strings(map.getLoops()));
  llvm::append_range(declared, left), llvm::append_range(declared, right);
  llvm::append_range(all, declared);
  const auto site = b.getStringAttr(map.getSite() + "." + name);
  FlatSymbolRefAttr optimizer;
  if (map.getOptimizer()) optimizer = FlatSymbolRefAttr::get(b.getContext(), left.empty() ? "optim#plain" : "optim#map");
  SmallVector<Attribute> axes(declared.begin(), declared.end());
  return VariableOp::create(b, map.getLoc(), site, TypeAttr::get(dims.tensor(b.getContext(), all, RealType::get(b.getContext()))), site, init, b.getArrayAttr(axes), map.getLoopsAttr(), map.getKindAttr(),
                            map.getTrainedAttr(), FloatAttr(), left.empty() ? IntegerAttr() : b.getI64IntegerAttr(int64_t(declared.size() - right.size())), optimizer, FlatSymbolRefAttr(), TopologyAttr());
}

VariableOp stateBeside(VariableOp v, const Twine &suffix, Type type, ArrayRef<StringAttr> declared, double first, VariableKind kind) {
  OpBuilder b(v);
  b.setInsertionPointAfter(v);
  const auto name = b.getStringAttr(v.getSymName() + suffix);
  SmallVector<Attribute> axes(declared.begin(), declared.end());
  return VariableOp::create(b, v.getLoc(), name, TypeAttr::get(type), b.getStringAttr(v.getSite() + suffix), InitAttr::get(b.getContext(), InitKind::constant, first, 0.0), b.getArrayAttr(axes), v.getLoopsAttr(),
                            VariableKindAttr::get(b.getContext(), kind), UnitAttr(), FloatAttr(), IntegerAttr(), FlatSymbolRefAttr(), FlatSymbolRefAttr(), TopologyAttr());
}

SmallVector<StringAttr> maskDims(VariableOp mask) {
  return llvm::to_vector(llvm::drop_begin(strings(mask.getDeclared()), mask.getSite().count("[*]")));
}
double granulesIn(VariableOp mask, const Dims &dims) {
  double n = 1;
  for (StringAttr d : maskDims(mask)) n *= dims.atMost(dims.size(d.getValue()));
  return n;
}
ArrayAttr granulesOf(VariableOp v) {
  auto mask = SymbolTable::lookupNearestSymbolFrom<VariableOp>(v, v.getMaskAttr());
  TopologyAttr t = *mask.getTopology();
  const MapSides sides = sidesOf(v);
  const auto dims = maskDims(mask);
  SmallVector<Attribute> pairs;
  if (t.getLeft() > 1) pairs.append({sides.left.back(), dims[sides.left.size() - 1]});
  if (t.getRight() > 1) pairs.append({sides.right.back(), dims.back()});
  return ArrayAttr::get(v.getContext(), pairs);
}

bool mergesMasked(SiteOp site) {
  return llvm::any_of(site.getConsumed().getAsRange<ConsumedAttr>(), [](ConsumedAttr c) {
    auto lora = dyn_cast<LoraAttr>(c.getFacet());
    return lora && lora.getMerge() == Merge::masked;
  });
}

LogicalResult SiteOp::verify() {
  for (Attribute a : getFacets())
    if (!isa<Facet>(a)) return emitOpError("has what is no facet: ") << a;
  for (Attribute a : getConsumed())
    if (!isa<ConsumedAttr>(a)) return emitOpError("has what is no consumed facet: ") << a;
  return success();
}
/// The row's location is that of its facet, or of several theirs in order.
static SmallVector<Location> placesOf(SiteOp site) {
  auto fused = dyn_cast<FusedLoc>(site.getLoc());
  if (fused && fused.getLocations().size() == site.getFacets().size()) return SmallVector<Location>(fused.getLocations());
  return SmallVector<Location>(site.getFacets().size(), site.getLoc());
}
Location placeOf(SiteOp site, Attribute facet) { return placesOf(site)[size_t(llvm::find(site.getFacets(), facet) - site.getFacets().begin())]; }
void consume(SiteOp site, Attribute facet, StringRef pass) {
  SmallVector<Attribute> left, gone(site.getConsumed().begin(), site.getConsumed().end());
  SmallVector<Location> places;
  for (auto [a, place] : llvm::zip(site.getFacets(), placesOf(site)))
    if (a != facet) left.push_back(a), places.push_back(place);
  MLIRContext *ctx = site.getContext();
  if (!places.empty()) site->setLoc(FusedLoc::get(ctx, places));
  gone.push_back(ConsumedAttr::get(ctx, facet, StringAttr::get(ctx, pass)));
  site.setFacetsAttr(ArrayAttr::get(ctx, left));
  site.setConsumedAttr(ArrayAttr::get(ctx, gone));
}
} // namespace fil::ir
