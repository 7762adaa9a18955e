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

SubsetLines::SubsetLines(ModuleOp module) {
  llvm::StringMap<Line> bySite;
  auto add = [&](SiteOp site, Attribute facet) {
    if (isa<GatherAttr, GroupedAttr>(facet)) bySite[site.getPath()] = {site, facet};
  };
  for (auto site : module.getOps<SiteOp>()) {
    for (Attribute a : site.getFacets()) add(site, a);
    for (auto c : site.getConsumed().getAsRange<ConsumedAttr>()) add(site, c.getFacet());
  }
  if (!bySite.empty())
    module.walk([&](TopKOp k) {
      if (auto line = bySite.find(k.getSite()); line != bySite.end()) byMembers[cast<SubsetType>(k.getType()).getMembers()] = line->second;
    });
}
SubsetLines::Line SubsetLines::of(SubsetType s) const {
  auto line = byMembers.find(s.getMembers());
  return line == byMembers.end() ? Line() : line->second;
}

GatherOp membersRows(Value v) {
  PresentOp present;
  if (auto m = v.getDefiningOp<MapOp>(); m && m.getFn() == MapFn::select) {
    auto otherwise = m.getArgs()[2].getDefiningOp<ConstantOp>();
    present = m.getArgs()[0].getDefiningOp<PresentOp>();
    if (!present || !otherwise || !otherwise.getValue().isZero()) return {};
    v = m.getArgs()[1];
  }
  auto g = v.getDefiningOp<GatherOp>();
  return g && isa<SubsetType>(g.getIndex().getType()) && (!present || present.getSubset() == g.getIndex()) ? g : GatherOp();
}

static constexpr const char *gatherMark = "fil.gather";
std::optional<int64_t> gathers(ContractOp c) {
  auto members = c->getAttrOfType<IntegerAttr>(gatherMark);
  return members ? std::optional(members.getInt()) : std::nullopt;
}
void setGathers(ContractOp c, int64_t members) { c->setAttr(gatherMark, IntegerAttr::get(mlir::IntegerType::get(c.getContext(), 64), members)); }
bool gathersInTiles(ContractOp c, const Dims &dims) {
  const ContractionDims d = classify(c);
  auto atLeastFour = [&](ArrayRef<StringAttr> list) {
    Size n(1);
    for (StringAttr x : list) n = n * dims.value(x.getValue());
    return !n.constant() || !(n.constant()->num < 4);
  };
  return d.joint && (atLeastFour(d.rows) || atLeastFour(d.columns)) && atLeastFour(d.summed);
}
bool gathersSeveral(ContractOp c, const Dims &dims) {
  const ContractionDims d = classify(c);
  return gathersInTiles(c, dims) && !llvm::is_contained(d.batch, cast<SubsetType>(c.getSubsets()[0].getType()).getMembers());
}
std::optional<MemberVectors> vectorsOfMembers(ContractOp c, const Dims &dims) {
  constexpr int64_t few = 4, shortest = 8; // from so many rows on, and below such a length, register tiles do better
  if (!gathers(c) || c.getSubsets().size() != 1 || c.getRoster()) return {};
  auto s = cast<SubsetType>(c.getSubsets()[0].getType());
  TensorType sides[] = {cast<TensorType>(c.getLhs().getType()), cast<TensorType>(c.getRhs().getType())}, result = cast<TensorType>(c.getType());
  if (s.getPer().empty() || (sides[0].has(s.getOf()) && sides[1].has(s.getOf()))) return {};
  const auto over = strings(c.getOver());
  auto size = [&](ArrayRef<StringAttr> list) -> std::optional<int64_t> {
    int64_t n = 1;
    for (StringAttr d : list) {
      auto v = dims.value(d.getValue()).constant();
      if (!v) return std::nullopt;
      n *= v->num;
    }
    return n;
  };
  auto chosen = [&](StringAttr d) { return d == s.getMembers() || llvm::is_contained(s.getPer(), d); };
  auto atMost = [&](std::optional<int64_t> n) { return n && *n < few; };
  MemberVectors v{};
  if (result.has(s.getOf())) {
    if (sides[0].has(s.getMembers()) == sides[1].has(s.getMembers()) || sides[0].has(s.getOf()) || sides[1].has(s.getOf())) return {};
    v.form = MemberVectors::Adds, v.operand = sides[0].has(s.getMembers());
    for (StringAttr d : over)
      if (d != s.getMembers()) v.walked.push_back(d);
    SmallVector<StringAttr> others;
    llvm::copy_if(v.walked, std::back_inserter(others), [&](StringAttr d) { return !chosen(d); });
    if (!llvm::is_contained(over, s.getMembers()) || !atMost(size(others))) return {};
    llvm::stable_sort(v.walked, [&](StringAttr x, StringAttr y) { return chosen(x) && !chosen(y); });
    others.clear(); // those for which the same is added again
    for (StringAttr d : result.getDims()) {
      if (d == s.getOf()) continue;
      (sides[v.operand].has(d) && !sides[1 - v.operand].has(d) && !chosen(d) ? v.along : v.outer).push_back(d);
      if (!sides[v.operand].has(d) && !chosen(d)) others.push_back(d);
    }
    if (!atMost(size(others))) return {};
  } else {
    if (sides[0].has(s.getOf()) == sides[1].has(s.getOf())) return {};
    v.operand = sides[1].has(s.getOf());
    const TensorType &vectors = sides[v.operand], &other = sides[1 - v.operand];
    if (vectors.has(s.getMembers()) || vectors.has(s.getPer().back()) || !result.has(s.getPer().back())) return {};
    SmallVector<StringAttr> rows;
    const bool dots = result.has(s.getMembers());
    v.form = dots ? MemberVectors::Dots : MemberVectors::Sums;
    for (StringAttr d : result.getDims()) {
      const bool column = !chosen(d) && !other.has(d);
      if (column && dots) return {};
      if (d != s.getMembers()) (column ? v.along : v.outer).push_back(d);
      if (!chosen(d) && !vectors.has(d)) rows.push_back(d);
    }
    if (!atMost(size(rows)) || dots == other.has(s.getMembers())) return {};
    if (dots) {
      if (!llvm::all_of(over, [&](StringAttr d) { return vectors.has(d) && other.has(d) && !chosen(d); })) return {};
      v.along = over;
    } else if (over.size() != 1 || over[0] != s.getMembers()) return {};
  }
  auto length = size(v.along);
  return length && *length >= shortest ? std::optional(v) : std::nullopt;
}

TensorType readThrough(TensorType t, ValueRange subsets, const Dims &dims) {
  SmallVector<StringAttr> all(t.getDims());
  for (Value v : subsetsOf(t, subsets)) {
    auto s = cast<SubsetType>(v.getType());
    llvm::erase(all, s.getOf());
    llvm::append_range(all, s.getPer());
    all.push_back(s.getMembers());
  }
  return dims.tensor(t.getContext(), all, t.getElement());
}
SmallVector<Value> subsetsOf(TensorType t, ValueRange subsets) {
  SmallVector<Value> met;
  for (Value s : subsets)
    if (t.has(cast<SubsetType>(s.getType()).getOf())) met.push_back(s);
  return met;
}
Value innerProduct(ContractOp product, Value x, Value near, ArrayRef<StringAttr> side, BodyBuilder &body) {
  auto typeOf = [](Value v) { return cast<TensorType>(v.getType()); };
  SmallVector<Value> subsets = subsetsOf(typeOf(x), product.getSubsets());
  for (Value s : subsetsOf(typeOf(near), product.getSubsets()))
    if (!llvm::is_contained(subsets, s)) subsets.push_back(s);
  SmallVector<StringAttr> inner;
  for (Value v : {x, near})
    for (StringAttr d : readThrough(typeOf(v), subsets, body.dims).getDims())
      if (!llvm::is_contained(side, d)) inner.push_back(d);
  return body.contract(x, near, subsets, body.dims.tensor(product.getContext(), inner, RealType::get(product.getContext())));
}
bool factorable(ContractOp product, ArrayRef<StringAttr> summed, ArrayRef<StringAttr> left) {
  const auto over = strings(product.getOver());
  auto result = cast<TensorType>(product.getType());
  // The second product reads through the subset again, and needs what it depends on.
  for (Value s : product.getSubsets())
    if (llvm::any_of(cast<SubsetType>(s.getType()).getPer(), [&](StringAttr d) { return llvm::is_contained(over, d); })) return false;
  return llvm::all_of(summed, [&](StringAttr d) { return llvm::is_contained(over, d); }) && llvm::all_of(left, [&](StringAttr d) { return result.has(d); });
}

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
    if (!m || !other || m.getChosen()) return {};
    if (m.getKept() && double((*m.getKept())[0]) > skipsUpTo * double((*m.getKept())[1])) return {};
    Skip s{m, masked, m.lengthAlong(dims, column), m.lengthAlong(dims, other)};
    const bool wide = s.columns > 0 && s.columns % 16 == 0 && s.length > 0;
    return wide && (masked < 2 || s.length % 4 == 0) ? std::optional(s) : std::nullopt;
  };
  if (auto s = of(c->getOperand(unsigned(columnsOperand)).getDefiningOp<MaskOp>(), columnsOperand, summed); s && dims.value(summed.getValue()).constant()) return s;
  return c->hasOneUse() ? of(dyn_cast<MaskOp>(*c->user_begin()), 2, row) : std::nullopt;
}
/// The last dim of the result that is no batch.
static StringAttr lastOf(ContractOp c, const ContractionDims &d, const Dims &dims) {
  for (StringAttr x : llvm::reverse(cast<TensorType>(c.getType()).getDims()))
    if (!llvm::is_contained(d.batch, x) && !(dims.value(x.getValue()) == Size(1))) return x;
  return {};
}
static std::optional<Skip> skipsAsTyped(ContractOp c, const Dims &dims) {
  ContractionDims d = classify(c);
  const StringAttr column = lastOf(c, d, dims);
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

MaskOp gateBehind(Operation *product) {
  auto m = product->hasOneUse() ? dyn_cast<MaskOp>(*product->user_begin()) : MaskOp();
  return m && m.getChosen() ? m : MaskOp();
}
Value withoutZeros(Value v) {
  auto m = v.getDefiningOp<MaskOp>();
  return m && m.getZeros() ? m.getX() : v;
}

static double shareOf(ArrayRef<MaskOp> masks) {
  double share = 1;
  for (MaskOp m : masks)
    if (m && m.getKept()) share *= double((*m.getKept())[0]) / double((*m.getKept())[1]);
  return share;
}
double RowSkip::share() const { return shareOf({columns, sum}); }
double SampleSkip::share() const { return shareOf({result, sum}); }

/// By granules; all else that the mask depends on are samples, or members of a family.
static bool isMasked(MaskOp m, StringAttr x) {
  const auto pairs = strings(m.getGranules());
  for (size_t i = 0; i < pairs.size(); i += 2)
    if (pairs[i] == x) return true;
  return false;
}
void SampleSkip::setOrder(const Dims &dims, ArrayRef<StringAttr> masked, ArrayRef<StringAttr> summed) {
  auto alike = [&](MaskOp m, ArrayRef<StringAttr> list) {
    int64_t n = 1;
    for (StringAttr x : llvm::reverse(list)) {
      n *= m.lengthAlong(dims, x);
      if (isMasked(m, x) || cast<TensorType>(m.getMask().getType()).has(x)) break;
    }
    return n;
  };
  if (result) neighbours = alike(result, masked);
  if (result && (neighbours == 0 || neighbours % (columns ? 16 : 4))) result = {};
  if (!sum) return;
  const int64_t all = alike(sum, summed);
  for (steps = std::min<int64_t>(all, 64); steps > 1 && (all % steps || steps % 4); --steps) {}
  if (steps < 4) sum = {};
}

std::optional<SampleSkip> skipsInSamples(ContractOp c, const Dims &dims) {
  if (!c.getSubsets().empty()) return {};
  ContractionDims d = classify(c);
  if (!d.batch.empty()) return {};
  SampleSkip s;
  s.result = gateBehind(c);
  for (Value v : {c.getLhs(), c.getRhs()})
    if (auto m = v.getDefiningOp<MaskOp>(); m && m.getZeros() && m.getChosen()) {
      if (s.sum) return {};
      s.sum = m;
    }
  auto masks = [&](MaskOp m, ArrayRef<StringAttr> list) { return llvm::any_of(list, [&](StringAttr x) { return isMasked(m, x); }); };
  if (s.sum && !masks(s.sum, d.summed)) s.sum = {};
  auto *own = &d.rows, *other = &d.columns; // of the operand with the samples, and the other one's
  if (s.sum ? s.sum == c.getRhs().getDefiningOp() : s.result && masks(s.result, d.rows)) std::swap(own, other);
  if (s.result && !masks(s.result, *other)) s.result = {};
  if (!s.result && !s.sum) return {};
  for (MaskOp m : {s.result, s.sum})
    if (m)
      for (StringAttr x : cast<TensorType>(m.getMask().getType()).getDims())
        if (llvm::is_contained(*own, x) && !llvm::is_contained(s.dims, x)) s.dims.push_back(x);
  llvm::erase_if(*own, [&](StringAttr x) { return llvm::is_contained(s.dims, x); });
  llvm::append_range(d.batch, s.dims);
  Size rows(1);
  for (StringAttr x : *own) rows = rows * dims.value(x.getValue());
  if (own->empty() || (rows.constant() && rows.constant()->num < 8) || !worthTiles(d, dims)) return {};
  s.columns = llvm::is_contained(*other, lastOf(c, d, dims));
  dims.sort(*other), dims.sort(d.summed);
  s.setOrder(dims, *other, d.summed);
  auto known = [](MaskOp m) { return !m || m.getKept(); };
  if ((!s.result && !s.sum) || (known(s.result) && known(s.sum) && s.share() > skipsUpTo)) return {};
  return s;
}
std::optional<RowSkip> skipsInRows(ContractOp c, const Dims &dims, int columnsOperand, StringAttr column, StringAttr summed) {
  if (!c.getSubsets().empty()) return {};
  RowSkip s;
  if (auto m = gateBehind(c); m && column) {
    s.width = m.lengthAlong(dims, column);
    Size sum(1);
    for (StringAttr d : strings(c.getOver())) sum = sum * dims.value(d.getValue());
    const bool wide = s.width && s.width % 16 == 0, single = s.width && 16 % s.width == 0 && sum.constant() && sum.constant()->num % 16 == 0;
    if ((wide || single) && !(dims.value(column.getValue()) == Size(s.width))) s.columns = m;
  }
  if (auto m = c->getOperand(unsigned(1 - columnsOperand)).getDefiningOp<MaskOp>(); m && m.getZeros() && summed && !s.narrow()) {
    s.length = m.lengthAlong(dims, summed);
    if (s.length && dims.value(summed.getValue()).constant()) s.sum = m;
  }
  return s.columns || s.sum ? std::optional(s) : std::nullopt;
}
std::optional<RowSkip> skipsInRows(ContractOp c, const Dims &dims) {
  if (skips(c, dims)) return {};
  if (auto s = skipsInSamples(c, dims)) return RowSkip{s->result, s->sum, true, s->neighbours, s->steps};
  ContractionDims d = classify(c);
  dims.sort(d.rows), dims.sort(d.columns), dims.sort(d.summed);
  auto last = [](ArrayRef<StringAttr> list) { return list.empty() ? StringAttr() : list.back(); };
  for (int columnsOperand : {1, 0})
    if (auto s = skipsInRows(c, dims, columnsOperand, last(columnsOperand ? d.columns : d.rows), last(d.summed))) return s;
  return {};
}

bool packsOnce(StringRef entry) { return entry != "grad"; }

/// Does the op give the numbers of its first operand, as they are or as another format has them?
static bool isView(Operation *op) { return isa<RenameOp, StopGradOp, MaskOp, ExpandOp, QuantizeOp, DequantizeOp, UnpackOp>(op); }
/// What it is a view of, through renames and into loops, if that is a variable.
static ReadOp variableOf(Value v) {
  while (auto *op = v.getDefiningOp()) {
    if (!isView(op)) return dyn_cast<ReadOp>(op);
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
  if (!d.joint || d.position || !c.getSubsets().empty()) return false;
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
  return (elements(d.columns) >= large && staysAsItIs(c.getRhs(), f)) || (elements(d.rows) >= large && staysAsItIs(c.getLhs(), f));
}
bool staysAsItIs(Value v, FuncOp f) {
  if (!packsOnce(f.getEntry())) return false;
  if (Value outside = outsideOf(v)) return staysAsItIs(outside, f);
  Operation *op = v.getDefiningOp();
  if (!op) return false;
  if (auto r = dyn_cast<ReadOp>(op)) return !f.walk([&](WriteOp w) { return w.getVariable() == r.getVariable() ? WalkResult::interrupt() : WalkResult::advance(); }).wasInterrupted();
  if (isView(op)) return staysAsItIs(op->getOperand(0), f);
  return isa<FuncOp>(op->getParentOp()) && op->getNumRegions() == 0 && op->getNumOperands() && isPure(op) &&
         llvm::all_of(op->getOperands(), [&](Value o) { return isa_and_nonnull<ConstantOp>(o.getDefiningOp()) || staysAsItIs(o, f); });
}

} // namespace fil::ir
