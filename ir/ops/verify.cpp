// SPDX-License-Identifier: Apache-2.0
// What must hold of each body op: its result type follows from its operands. Dims are compared as sets; that every type has
// them in the table's order is checked once for each function.
#include "ir/ir.h"

using namespace mlir;
namespace fil::ir {
namespace {

using Dimset = llvm::SmallSetVector<StringAttr, 8>;

TensorType tensorOf(Value v) { return cast<TensorType>(v.getType()); }
bool isScalar(Value v, bool whole) { return tensorOf(v).getDims().empty() && isa<IntType>(tensorOf(v).getElement()) == whole; }
void addDims(Dimset &set, ArrayRef<StringAttr> dims) { set.insert(dims.begin(), dims.end()); }

std::string text(ArrayRef<StringAttr> dims) {
  std::string s = "[";
  for (StringAttr d : dims) s += (s.size() > 1 ? "," : "") + d.str();
  return s + "]";
}
LogicalResult hasDims(Operation *op, TensorType result, const Dimset &want) {
  if (result.getDims().size() == want.size() && llvm::all_of(want, [&](StringAttr d) { return result.has(d); })) return success();
  return op->emitOpError("has dims ") << text(result.getDims()) << ", its operands give " << text(want.getArrayRef());
}
LogicalResult hasElement(Operation *op, TensorType result, Type want) {
  if (result.getElement() == want) return success();
  return op->emitOpError("has element ") << result.getElement() << ", its operands give " << want;
}
LogicalResult replaces(Operation *op, TensorType from, TensorType to, ArrayRef<StringAttr> gone, ArrayRef<StringAttr> come) {
  Dimset want;
  for (StringAttr d : from.getDims())
    if (!llvm::is_contained(gone, d)) want.insert(d);
  for (StringAttr d : gone)
    if (!from.has(d)) return op->emitOpError("operand has no dim `") << d.getValue() << "`";
  for (StringAttr d : come)
    if (!want.insert(d)) return op->emitOpError("operand has dim `") << d.getValue() << "` already";
  return failure(failed(hasElement(op, to, from.getElement())) || failed(hasDims(op, to, want)));
}
/// Dims that an index brings, and the dim that it selects from.
std::pair<StringAttr, SmallVector<StringAttr>> indexOf(Value index) {
  if (auto s = dyn_cast<SubsetType>(index.getType())) {
    SmallVector<StringAttr> dims(s.getPer());
    dims.push_back(s.getMembers());
    return {s.getOf(), dims};
  }
  auto t = tensorOf(index);
  auto e = dyn_cast<IndexType>(t.getElement());
  return {e ? e.getDim() : StringAttr(), llvm::to_vector(t.getDims())};
}
LogicalResult indexes(Operation *op, Value index, StringAttr dim) {
  if (indexOf(index).first == dim) return success();
  return op->emitOpError("index ") << index.getType() << " is none of dim `" << dim.getValue() << "`";
}
LogicalResult isSize(Operation *op, StringRef size) {
  if (Size::parse(size)) return success();
  return op->emitOpError("size is no formula: ") << size;
}
} // namespace

LogicalResult ConstantOp::verify() {
  double v = getValue().convertToDouble();
  auto t = tensorOf(getResult());
  if (!t.getDims().empty()) return emitOpError("is no scalar");
  if (t.isReal()) return success();
  if (isa<IntType>(t.getElement()) && v == double(int32_t(v))) return success();
  if (isa<BoolType>(t.getElement()) && (v == 0 || v == 1)) return success();
  return emitOpError("value ") << v << " is none of " << t.getElement();
}
LogicalResult SizeOp::verify() {
  auto t = tensorOf(getResult());
  if (!t.getDims().empty() || isa<BoolType, IndexType>(t.getElement())) return emitOpError("is no scalar number");
  return isSize(*this, getSize());
}
LogicalResult IotaOp::verify() {
  Dimset want;
  want.insert(getDimAttr());
  auto t = tensorOf(getResult());
  return failure(failed(hasDims(*this, t, want)) || failed(hasElement(*this, t, IntType::get(getContext()))));
}
LogicalResult RandomOp::verify() {
  if (!isScalar(getSeed(), true) || !isScalar(getStep(), true)) return emitOpError("seed and step are int scalars");
  for (Value t : getTurns())
    if (tensorOf(t).getDims().size() > 1 || !isa<IntType>(tensorOf(t).getElement())) return emitOpError("a turn is an int, alone or along its loop's dim");
  if (size_t ranges = getStream().count(".."); ranges != getTurns().size())
    return emitOpError("stream names ") << ranges << " loops, but there are " << getTurns().size() << " turns";
  return success(tensorOf(getResult()).isReal());
}

LogicalResult MapOp::verify() {
  const MapFn fn = getFn();
  const size_t arity = fn == MapFn::select ? 3 : (fn <= MapFn::max || (fn >= MapFn::eq && fn <= MapFn::logical_or)) ? 2 : 1;
  if (getArgs().size() != arity) return emitOpError() << stringifyMapFn(fn) << " takes " << arity << " operands, not " << getArgs().size();
  Dimset want;
  for (Value a : getArgs()) addDims(want, tensorOf(a).getDims());
  auto result = tensorOf(getResult());
  if (failed(hasDims(*this, result, want))) return failure();
  auto element = [&](size_t i) { return tensorOf(getArgs()[i]).getElement(); };
  auto isBool = [&](Type t) { return isa<BoolType>(t); };
  if (fn == MapFn::cast) {
    if (isBool(result.getElement()) || isa<IndexType>(result.getElement())) return emitOpError("casts to a real or an int");
    return success();
  }
  if (fn == MapFn::select) {
    if (!isBool(element(0))) return emitOpError("condition is ") << element(0);
    if (element(1) != element(2)) return emitOpError("chooses between ") << element(1) << " and " << element(2);
    return hasElement(*this, result, element(1));
  }
  if (arity == 2 && element(0) != element(1)) return emitOpError("combines ") << element(0) << " and " << element(1);
  if (fn >= MapFn::logical_and && fn <= MapFn::logical_not) {
    if (!isBool(element(0))) return emitOpError("takes bools, not ") << element(0);
    return hasElement(*this, result, element(0));
  }
  if (fn >= MapFn::eq && fn <= MapFn::ge) return hasElement(*this, result, BoolType::get(getContext()));
  const bool realOnly = fn == MapFn::pow || fn == MapFn::pow2ceil || fn == MapFn::round || (fn >= MapFn::exp && fn <= MapFn::ceil);
  if (isBool(element(0)) || isa<IndexType>(element(0)) || (realOnly && isa<IntType>(element(0)))) return emitOpError() << stringifyMapFn(fn) << " does not take " << element(0);
  return hasElement(*this, result, element(0));
}
LogicalResult ReduceOp::verify() {
  auto x = tensorOf(getX());
  auto over = strings(getOver());
  const bool arg = getFn() == ReduceFn::argmin || getFn() == ReduceFn::argmax;
  if (over.empty() || (arg && over.size() != 1)) return emitOpError("reduces over ") << over.size() << " dims";
  if (isa<BoolType, IndexType>(x.getElement())) return emitOpError("reduces no ") << x.getElement();
  auto result = tensorOf(getResult());
  if (arg && failed(hasElement(*this, result, IndexType::get(getContext(), over[0])))) return failure();
  return replaces(*this, x, arg ? result.withElement(x.getElement()) : result, over, {});
}
LogicalResult ContractOp::verify() {
  auto lhs = tensorOf(getLhs()), rhs = tensorOf(getRhs()), result = tensorOf(getResult());
  Dimset iteration;
  addDims(iteration, lhs.getDims()), addDims(iteration, rhs.getDims()), addDims(iteration, result.getDims());
  for (Value s : getSubsets()) {
    auto t = cast<SubsetType>(s.getType());
    for (TensorType x : {lhs, rhs, result})
      if (x.has(t.getOf()) && x.has(t.getMembers())) return emitOpError("has an operand over both `") << t.getOf().getValue() << "` and `" << t.getMembers().getValue() << "`";
    iteration.remove(t.getOf());
    addDims(iteration, t.getPer());
    iteration.insert(t.getMembers());
  }
  Dimset over;
  for (StringAttr d : getOver().getAsRange<StringAttr>()) over.insert(d);
  for (StringAttr d : iteration) {
    if (over.contains(d) == result.has(d)) return emitOpError("dim `") << d.getValue() << "` must either be summed or be in the result";
    const bool known = lhs.has(d) || rhs.has(d) || llvm::any_of(getSubsets(), [&](Value s) {
                         auto t = cast<SubsetType>(s.getType());
                         return t.getMembers() == d || llvm::is_contained(t.getPer(), d);
                       });
    if (!known) return emitOpError("result has dim `") << d.getValue() << "`, no operand has it";
  }
  for (StringAttr d : over)
    if (!iteration.contains(d)) return emitOpError("sums over `") << d.getValue() << "`, which no operand has";
  if (getRoster() && getSubsets().size() != 1) return emitOpError("is sorted by one subset, not by ") << getSubsets().size();
  if (!lhs.isReal() || lhs.getElement() != rhs.getElement()) return emitOpError("multiplies ") << lhs.getElement() << " by " << rhs.getElement();
  return success(result.isReal());
}

LogicalResult GatherOp::verify() {
  auto x = tensorOf(getX());
  if (failed(indexes(*this, getIndex(), getDimAttr()))) return failure();
  if (!x.has(getDimAttr())) return emitOpError("operand has no dim `") << getDim() << "`";
  Dimset want;
  for (StringAttr d : x.getDims())
    if (d != getDimAttr()) want.insert(d);
  addDims(want, indexOf(getIndex()).second);
  auto r = tensorOf(getResult());
  return failure(failed(hasElement(*this, r, x.getElement())) || failed(hasDims(*this, r, want)));
}
LogicalResult ScatterOp::verify() {
  auto y = tensorOf(getY()), r = tensorOf(getResult());
  if (failed(indexes(*this, getIndex(), getDimAttr())) || failed(hasElement(*this, r, y.getElement()))) return failure();
  if (!r.has(getDimAttr())) return emitOpError("result has no dim `") << getDim() << "`";
  Dimset known;
  addDims(known, y.getDims()), addDims(known, indexOf(getIndex()).second);
  for (StringAttr d : r.getDims())
    if (d != getDimAttr() && !known.contains(d)) return emitOpError("result has dim `") << d.getValue() << "`, no operand has it";
  return success();
}
LogicalResult TopKOp::verify() {
  auto score = tensorOf(getScore());
  auto s = cast<SubsetType>(getResult().getType());
  if (!score.isReal()) return emitOpError("scores are ") << score.getElement();
  if (s.getOf() != getDimAttr() || !score.has(getDimAttr())) return emitOpError("selects over `") << getDim() << "`";
  Dimset want;
  for (StringAttr d : score.getDims())
    if (d != getDimAttr()) want.insert(d);
  if (getMask()) {
    auto m = tensorOf(getMask());
    if (!isa<BoolType>(m.getElement())) return emitOpError("mask is ") << m.getElement();
    for (StringAttr d : m.getDims())
      if (d != getDimAttr()) want.insert(d);
  }
  if (want.size() != s.getPer().size() || !llvm::all_of(s.getPer(), [&](StringAttr d) { return want.contains(d); }))
    return emitOpError("selects for each ") << text(s.getPer()) << ", the score has " << text(want.getArrayRef());
  return success();
}
LogicalResult HighestOp::verify() {
  auto score = tensorOf(getScore()), count = tensorOf(getCount()), r = tensorOf(getResult());
  auto over = strings(getOver());
  if (!score.isReal()) return emitOpError("scores are ") << score.getElement();
  if (!isa<IntType>(count.getElement())) return emitOpError("count is ") << count.getElement();
  if (over.empty()) return emitOpError("chooses over no dim");
  for (StringAttr d : over)
    if (!score.has(d) || count.has(d)) return emitOpError("chooses over `") << d.getValue() << (score.has(d) ? "`, and the count depends on it" : "`, which the score lacks");
  Dimset want;
  addDims(want, score.getDims()), addDims(want, count.getDims());
  return failure(failed(hasElement(*this, r, BoolType::get(getContext()))) || failed(hasDims(*this, r, want)));
}
int64_t MaskOp::length(const Dims &dims, StringAttr dim, StringAttr granule) {
  auto whole = dims.value(dim.getValue()).constant(), count = dims.value(granule.getValue()).constant();
  if (!whole || !count || count->num < 1 || whole->num % count->num) return 0;
  return whole->num / count->num;
}
int64_t MaskOp::lengthAlong(const Dims &dims, StringAttr dim) {
  const auto pairs = strings(getGranules());
  for (size_t i = 0; i < pairs.size(); i += 2)
    if (pairs[i] == dim) return length(dims, dim, pairs[i + 1]);
  if (tensorOf(getMask()).has(dim)) return 1;
  auto whole = dims.value(dim.getValue()).constant();
  return whole ? whole->num : 0;
}
LogicalResult MaskOp::verify() {
  if (auto kept = getKept(); kept && (kept->size() != 2 || (*kept)[0] < 0 || (*kept)[1] < std::max<int64_t>((*kept)[0], 1))) return emitOpError("keeps more than there is");
  auto x = tensorOf(getX()), m = tensorOf(getMask()), r = tensorOf(getResult());
  if (!isa<BoolType>(m.getElement())) return emitOpError("mask is ") << m.getElement();
  if (!x.isReal()) return emitOpError("masks ") << x.getElement();
  auto pairs = strings(getGranules());
  if (pairs.size() % 2) return emitOpError("granules are pairs of dims");
  Dims dims(*this);
  Dimset cut;
  for (size_t i = 0; i < pairs.size(); i += 2) {
    if (!x.has(pairs[i]) || !m.has(pairs[i + 1])) return emitOpError("operand has no dim `") << (x.has(pairs[i]) ? pairs[i + 1] : pairs[i]).getValue() << "`";
    if (!length(dims, pairs[i], pairs[i + 1])) return emitOpError("`") << pairs[i + 1].getValue() << "` does not cut `" << pairs[i].getValue() << "` into equal parts";
    cut.insert(pairs[i + 1]);
  }
  for (StringAttr d : m.getDims())
    if (!cut.contains(d) && !x.has(d)) return emitOpError("mask has dim `") << d.getValue() << "`, the operand has not";
  return failure(failed(hasElement(*this, r, x.getElement())) || r.getDims() != x.getDims());
}
template <class Op> static LogicalResult thinned(Op op, Value whole, Value values) {
  auto x = tensorOf(whole), v = tensorOf(values), pattern = tensorOf(op.getPattern());
  const auto parts = strings(op.getParts()), granules = strings(op.getGranules());
  if (!x.isReal() || v.getElement() != x.getElement()) return op.emitOpError("values are ") << v.getElement() << ", the whole is " << x.getElement();
  if (parts.size() != 2 || !x.has(op.getDimAttr())) return op.emitOpError("a dim of the whole is two of the values");
  const Dims dims(op);
  Dimset want;
  for (StringAttr d : x.getDims())
    if (d != op.getDimAttr()) want.insert(d);
  Dimset along(want); // of the pattern at most
  want.insert(parts[0]), want.insert(parts[1]);
  if (failed(hasDims(op, v, want))) return failure();
  if (!op.getPlaces()) {
    if (!granules.empty() || pattern.format() != Format::Int8) return op.emitOpError("a pattern of bits is whole numbers of 8, without granules");
    const int64_t m = MaskOp::length(dims, op.getDimAttr(), parts[0]);
    if (m < 2 || m > 8) return op.emitOpError("groups have 2 to 8 neighbours");
    along.insert(parts[0]);
    return hasDims(op, pattern, along);
  }
  if (granules.empty() || granules.size() % 2 || granules[0] != op.getDimAttr()) return op.emitOpError("granules are pairs of dims, the thinned one first");
  for (size_t i = 0; i < granules.size(); i += 2) {
    if (!dims.known(granules[i + 1].getValue()) || !MaskOp::length(dims, granules[i], granules[i + 1])) return op.emitOpError("`") << granules[i + 1].getValue() << "` does not cut `" << granules[i].getValue() << "` into equal parts";
    along.remove(granules[i]), along.insert(granules[i + 1]);
  }
  if (!(dims.value(parts[1].getValue()) * dims.value(granules[1].getValue()) == dims.value(op.getDim()))) return op.emitOpError("granules are not of the length of `") << parts[1].getValue() << "`";
  Dimset places(along);
  places.remove(granules[1]), places.insert(parts[0]);
  auto p = tensorOf(op.getPlaces());
  for (TensorType t : {pattern, p})
    if (!isa<IntType, IndexType>(t.getElement())) return op.emitOpError("slots and places are ") << t.getElement();
  return failure(failed(hasDims(op, pattern, along)) || failed(hasDims(op, p, places)));
}
LogicalResult ExpandOp::verify() { return thinned(*this, getResult(), getX()); }
LogicalResult CompressOp::verify() { return thinned(*this, getX(), getResult()); }
static LogicalResult scaled(Operation *op, TensorType x, Value scale, ArrayAttr tiles, ArrayRef<int64_t> lengths, TensorType result) {
  auto pairs = strings(tiles);
  if (result.getDims() != x.getDims()) return op->emitOpError("has dims ") << text(result.getDims()) << ", its operand " << text(x.getDims());
  if (pairs.size() != 2 * lengths.size() || (!scale && !pairs.empty())) return op->emitOpError("tiles are pairs of dims, each with a length");
  if (!scale) return success();
  auto s = tensorOf(scale);
  if (!s.isReal()) return op->emitOpError("scale is ") << s.getElement();
  Dims dims(op);
  Dimset cut;
  for (auto [i, length] : llvm::enumerate(lengths)) {
    StringAttr d = pairs[2 * i], t = pairs[2 * i + 1];
    if (!x.has(d) || !s.has(t)) return op->emitOpError("operand has no dim `") << (x.has(d) ? t : d).getValue() << "`";
    if (length < 1 || !(dims.value(t.getValue()) == Size::ceil(dims.value(d.getValue()) / Size(length)))) return op->emitOpError("`") << t.getValue() << "` does not count tiles of " << length << " of `" << d.getValue() << "`";
    cut.insert(t);
  }
  for (StringAttr d : s.getDims())
    if (!cut.contains(d) && !x.has(d)) return op->emitOpError("scale has dim `") << d.getValue() << "`, the operand has not";
  return success();
}
LogicalResult QuantizeOp::verify() {
  auto x = tensorOf(getX()), r = tensorOf(getResult());
  if (!x.isReal() || !r.format()) return emitOpError("makes ") << r.getElement() << " of " << x.getElement();
  if (getRandom() && getRandom().getType() != getX().getType()) return emitOpError("is random by ") << getRandom().getType();
  return scaled(*this, x, getScale(), getTiles(), getLengths(), r);
}
LogicalResult PartOp::verify() {
  auto x = tensorOf(getX()), r = tensorOf(getResult());
  if (!x.isReal() || r.getDims() != x.getDims()) return emitOpError("makes ") << r << " of " << x;
  return hasElement(*this, r, getLow() ? Type(IntegerType::get(getContext(), 16)) : elementOf(getContext(), Format::Bf16));
}
LogicalResult JoinOp::verify() {
  auto h = tensorOf(getHigh()), l = tensorOf(getLow()), r = tensorOf(getResult());
  if (h.format() != Format::Bf16 || !l.getElement().isInteger(16) || !r.isReal() || h.getDims() != l.getDims() || h.getDims() != r.getDims()) return emitOpError("makes ") << r << " of " << h << " and " << l;
  return success();
}
LogicalResult DequantizeOp::verify() {
  auto x = tensorOf(getX()), r = tensorOf(getResult());
  if (!x.format() || !r.isReal()) return emitOpError("makes ") << r.getElement() << " of " << x.getElement();
  return scaled(*this, x, getScale(), getTiles(), getLengths(), r);
}
LogicalResult UnpackOp::verify() {
  auto x = tensorOf(getX()), r = tensorOf(getResult());
  if (x.format() != Format::Int8 || !r.isReal()) return emitOpError("makes ") << r.getElement() << " of " << x.getElement();
  if (getBits() != 2 && getBits() != 4) return emitOpError("has numbers of ") << getBits() << " bits, which are no part of a byte";
  Dims dims(*this);
  if (!x.has(getPackedAttr()) || !r.has(getDimAttr()) || !(dims.value(getDim()) == dims.value(getPacked()) * Size(8 / int64_t(getBits()))))
    return emitOpError("`") << getPacked() << "` does not count bytes of `" << getDim() << "`";
  Dimset want;
  for (StringAttr d : x.getDims()) want.insert(d == getPackedAttr() ? getDimAttr() : d);
  return failure(failed(hasDims(*this, r, want)));
}
static LogicalResult ofSubset(Operation *op, Value subset, TensorType r, Type element) {
  Dimset want;
  addDims(want, indexOf(subset).second);
  return failure(failed(hasElement(op, r, element)) || failed(hasDims(op, r, want)));
}
LogicalResult PresentOp::verify() { return ofSubset(*this, getSubset(), tensorOf(getResult()), BoolType::get(getContext())); }
LogicalResult RosterOp::verify() {
  auto r = tensorOf(getResult());
  if (r.getDims().size() != 1) return emitOpError("has ") << r.getDims().size() << " dims";
  auto s = cast<SubsetType>(getSubset().getType());
  Dims dims(*this);
  if (!(dims.value(r.getDims()[0].getValue()) == dims.value(s.getOf().getValue()) + 2 + dims.elements(s))) return emitOpError("has not a place for each position and point");
  return hasElement(*this, r, IntType::get(getContext()));
}
LogicalResult MemberOp::verify() {
  return ofSubset(*this, getSubset(), tensorOf(getResult()), IndexType::get(getContext(), cast<SubsetType>(getSubset().getType()).getOf()));
}

static LogicalResult windows(Operation *op, ArrayAttr list, TensorType whole, TensorType cut) {
  SmallVector<StringAttr> gone, come;
  for (auto w : list.getAsRange<WindowDimAttr>()) {
    if (w.getStride() < 1 || w.getBefore() < 0) return op->emitOpError("has stride ") << w.getStride() << " and padding " << w.getBefore();
    gone.push_back(w.getIn()), come.push_back(w.getOut()), come.push_back(w.getWindow());
  }
  return replaces(op, whole, cut, gone, come);
}
LogicalResult WindowOp::verify() { return windows(*this, getWindows(), tensorOf(getX()), tensorOf(getResult())); }
LogicalResult UnwindowOp::verify() { return windows(*this, getWindows(), tensorOf(getResult()), tensorOf(getY())); }
LogicalResult ConcatOp::verify() {
  if (getArgs().empty() || getDims().size() != getArgs().size()) return emitOpError("joins ") << getArgs().size() << " operands along " << getDims().size() << " dims";
  Dimset want;
  want.insert(getIntoAttr());
  for (auto [a, d] : llvm::zip(getArgs(), strings(getDims()))) {
    if (!tensorOf(a).has(d)) return emitOpError("operand has no dim `") << d.getValue() << "`";
    if (failed(hasElement(*this, tensorOf(getResult()), tensorOf(a).getElement()))) return failure();
    for (StringAttr x : tensorOf(a).getDims())
      if (x != d) want.insert(x);
  }
  return hasDims(*this, tensorOf(getResult()), want);
}
static LogicalResult slices(Operation *op, TensorType whole, TensorType part, StringAttr dim, StringAttr into, StringRef from) {
  if (failed(isSize(op, from))) return failure();
  return replaces(op, whole, part, dim, into.empty() ? ArrayRef<StringAttr>() : ArrayRef<StringAttr>(into));
}
LogicalResult SliceOp::verify() { return slices(*this, tensorOf(getX()), tensorOf(getResult()), getDimAttr(), getIntoAttr(), getFrom()); }
LogicalResult UnsliceOp::verify() { return slices(*this, tensorOf(getResult()), tensorOf(getY()), getDimAttr(), getIntoAttr(), getFrom()); }
LogicalResult RenameOp::verify() { return replaces(*this, tensorOf(getX()), tensorOf(getResult()), getFromAttr(), getToAttr()); }
LogicalResult BroadcastOp::verify() {
  auto x = tensorOf(getX()), r = tensorOf(getResult());
  for (StringAttr d : x.getDims())
    if (!r.has(d)) return emitOpError("result lacks dim `") << d.getValue() << "`";
  return hasElement(*this, r, x.getElement());
}
LogicalResult StopGradOp::verify() { return success(getX().getType() == getResult().getType()); }
LogicalResult CacheOp::verify() {
  if (getPast() && getPast().getType() != getResult().getType()) return emitOpError("past has type ") << getPast().getType();
  return replaces(*this, tensorOf(getX()), tensorOf(getResult()), getFromAttr(), getToAttr());
}
} // namespace fil::ir
