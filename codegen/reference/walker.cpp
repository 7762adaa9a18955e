// SPDX-License-Identifier: Apache-2.0
// Each op over its reference kernel: what is done here is to say where the elements stand.
#include "codegen/reference/walker.h"
#include "kernels/reference/reference.h"
#include "runtime/base/philox.h"
#include "llvm/ADT/TypeSwitch.h"
#include <bit>

using namespace mlir;
using namespace fil::ir;
namespace fil {
namespace ref = reference;

int64_t product(const std::vector<int64_t> &sizes) {
  int64_t n = 1;
  for (int64_t s : sizes) n *= s;
  return n;
}
Cell makeCell(std::vector<int64_t> sizes) {
  Cell c;
  c.data = std::make_shared<std::vector<double>>(size_t(product(sizes)), 0.0);
  c.sizes = std::move(sizes);
  return c;
}
/// Runs over the blocks before and after `dim`.
template <class F> static void blocks(const std::vector<int64_t> &sizes, size_t dim, F f) {
  int64_t outer = 1, inner = 1;
  for (size_t d = 0; d < dim; ++d) outer *= sizes[d];
  for (size_t d = dim + 1; d < sizes.size(); ++d) inner *= sizes[d];
  f(outer, inner, sizes[dim]);
}
Cell slice(const Cell &whole, size_t dim, int64_t at) {
  Cell part = makeCell([&] {
    auto s = whole.sizes;
    s.erase(s.begin() + ptrdiff_t(dim));
    return s;
  }());
  blocks(whole.sizes, dim, [&](int64_t outer, int64_t inner, int64_t n) {
    for (int64_t o = 0; o < outer; ++o) std::copy_n(whole.data->data() + (o * n + at) * inner, inner, part.data->data() + o * inner);
  });
  return part;
}
void unslice(Cell &whole, size_t dim, int64_t at, const Cell &part) {
  blocks(whole.sizes, dim, [&](int64_t outer, int64_t inner, int64_t n) {
    for (int64_t o = 0; o < outer; ++o) std::copy_n(part.data->data() + o * inner, inner, whole.data->data() + (o * n + at) * inner);
  });
}

namespace {
ir::TensorType tensorOf(Value v) { return cast<ir::TensorType>(v.getType()); }
/// The dims of a value in its order; of a subset: per.., members.
SmallVector<StringAttr> dimsOf(Type t) {
  if (auto x = dyn_cast<ir::TensorType>(t)) return llvm::to_vector(x.getDims());
  auto s = cast<SubsetType>(t);
  SmallVector<StringAttr> all(s.getPer());
  all.push_back(s.getMembers());
  return all;
}
void addDims(SmallVectorImpl<StringAttr> &space, ArrayRef<StringAttr> dims) {
  for (StringAttr d : dims)
    if (!llvm::is_contained(space, d)) space.push_back(d);
}
int place(ArrayRef<StringAttr> dims, StringAttr d) { return int(llvm::find(dims, d) - dims.begin()); }
} // namespace

int64_t Walker::size(StringRef dim) {
  auto [it, fresh] = known.try_emplace(dim, 0);
  if (fresh) {
    int64_t v = valueOf(dims.value(dim), bound, "`" + dim.str() + "`");
    return known[dim] = v;
  }
  return it->second;
}
std::vector<int64_t> Walker::sizes(ArrayRef<StringAttr> list) {
  std::vector<int64_t> all;
  for (StringAttr d : list) all.push_back(size(d.getValue()));
  return all;
}
int64_t Walker::stride(ArrayRef<StringAttr> list, StringAttr of) {
  int64_t s = 1;
  for (StringAttr d : llvm::reverse(list)) {
    if (d == of) return s;
    s *= size(d.getValue());
  }
  return 0;
}
std::vector<int64_t> Walker::strides(ArrayRef<StringAttr> space, ArrayRef<StringAttr> list) {
  std::vector<int64_t> all;
  for (StringAttr d : space) all.push_back(stride(list, d));
  return all;
}
int64_t Walker::number(StringRef formula) {
  auto v = dims.value(*Size::parse(formula)).eval([&](const std::string &d) -> std::optional<int64_t> {
    auto it = bound.find(d);
    return it == bound.end() ? std::nullopt : std::optional(it->second);
  });
  assert(v && v->isWhole() && "a number of elements");
  return v->num;
}

void Walker::block(Block &block, Values &values) {
  for (Operation &o : block.without_terminator()) {
    if (auto loop = dyn_cast<LayersOp>(o)) layers(loop, values);
    else if (auto w = dyn_cast<WriteOp>(o)) written[w.getVariable().str()] = values.lookup(w.getValue());
    else values[o.getResult(0)] = op(&o, values);
  }
}

Cell Walker::op(Operation *o, Values &values) {
  auto in = [&](Value v) { return values.lookup(v); };
  return llvm::TypeSwitch<Operation *, Cell>(o)
      .Case([&](ReadOp r) {
        auto it = variables.find(r.getVariable().str());
        assert(it != variables.end() && "variables exist before the walk");
        return it->second;
      })
      .Case([&](ConstantOp c) {
        Cell r = makeCell({});
        r[0] = c.getValue().convertToDouble();
        return r;
      })
      .Case([&](SizeOp s) {
        Cell r = makeCell({});
        auto v = dims.value(*Size::parse(s.getSize())).eval([&](const std::string &d) -> std::optional<int64_t> {
          auto it = bound.find(d);
          return it == bound.end() ? std::nullopt : std::optional(it->second);
        });
        r[0] = v->value();
        return r;
      })
      .Case([&](IotaOp i) {
        Cell r = makeCell({size(i.getDim())});
        for (size_t k = 0; k < r.data->size(); ++k) r[k] = double(k);
        return r;
      })
      .Case([&](MapOp m) { return map(m, values); })
      .Case([&](ReduceOp r) { return reduce(r, values); })
      .Case([&](ContractOp c) { return contract(c, values); })
      .Case([&](GatherOp g) { return gather(g, values); })
      .Case([&](ScatterOp s) { return scatter(s, values); })
      .Case([&](TopKOp t) { return topk(t, values); })
      .Case([&](HighestOp h) { return highest(h, values); })
      .Case([&](MaskOp m) { return mask(m, values); })
      .Case([&](ExpandOp x) { return thinned(x, x.getResult(), x.getX(), values); })
      .Case([&](CompressOp x) { return thinned(x, x.getX(), x.getResult(), values); })
      .Case([&](QuantizeOp q) {
        const Format format = *cast<ir::TensorType>(q.getType()).format();
        Cell x = in(q.getX()), scale = scales(q, values), random = q.getRandom() ? in(q.getRandom()) : Cell(), r = makeCell(x.sizes);
        for (size_t i = 0; i < r.data->size(); ++i) r[i] = q.getRandom() ? roundedAtRandom(format, x[i] / scale[i], random[i]) : rounded(format, x[i] / scale[i]);
        return r;
      })
      .Case([&](PartOp p) {
        Cell x = in(p.getX()), r = makeCell(x.sizes);
        for (size_t i = 0; i < r.data->size(); ++i) r[i] = p.getLow() ? double(lowPart(float(x[i]))) : decoded(Format::Bf16, highPart(float(x[i])));
        return r;
      })
      .Case([&](JoinOp j) {
        Cell high = in(j.getHigh()), low = in(j.getLow()), r = makeCell(high.sizes);
        for (size_t i = 0; i < r.data->size(); ++i) r[i] = double(joined(encoded(Format::Bf16, high[i]), int16_t(low[i])));
        return r;
      })
      .Case([&](DequantizeOp q) {
        Cell x = in(q.getX()), scale = scales(q, values), r = makeCell(x.sizes);
        for (size_t i = 0; i < r.data->size(); ++i) r[i] = x[i] * scale[i];
        return r;
      })
      .Case([&](UnpackOp u) {
        auto from = dimsOf(u.getX().getType()), to = dimsOf(u.getType());
        Cell x = in(u.getX()), r = makeCell(sizes(to));
        const int bits = int(u.getBits()), n = 8 / bits;
        const ref::Sizes at = strides(to, from); // the packed dim stands still
        const int64_t step = strides(from, from)[size_t(place(from, u.getPackedAttr()))];
        ref::Sizes i(to.size(), 0);
        for (size_t k = 0; k < r.data->size(); ++k) {
          int64_t byte = 0, number = 0;
          for (size_t d = 0; d < to.size(); ++d)
            if (to[d] == u.getDimAttr()) number = i[d];
            else byte += at[d] * i[d];
          const int whole = int(x[size_t(byte + number / n * step)]) >> (number % n * bits) << (32 - bits);
          r[k] = double(whole >> (32 - bits));
          for (size_t d = to.size(); d-- > 0;) {
            if (++i[d] < r.sizes[d]) break;
            i[d] = 0;
          }
        }
        return r;
      })
      .Case([&](WindowOp w) { return window(w, values); })
      .Case([&](UnwindowOp w) { return unwindow(w, values); })
      .Case([&](ConcatOp c) { return concat(c, values); })
      .Case([&](SliceOp s) { return slices(s.getX(), s.getResult(), s.getDim(), s.getFrom(), values, false); })
      .Case([&](UnsliceOp s) { return slices(s.getResult(), s.getY(), s.getDim(), s.getFrom(), values, true); })
      .Case([&](RandomOp r) { return random(r, values); })
      .Case([&](CacheOp c) { return cache(c, values); })
      .Case([&](PresentOp p) {
        Cell s = in(p.getSubset());
        auto from = dimsOf(p.getSubset().getType()), to = dimsOf(p.getType());
        Cell r = makeCell(sizes(to));
        SmallVector<StringAttr> per(from.begin(), from.end() - 1);
        ref::Sizes members(to.size(), 0);
        members[size_t(place(to, from.back()))] = 1;
        std::vector<double> positions(size_t(size(from.back().getValue())));
        for (size_t i = 0; i < positions.size(); ++i) positions[i] = double(i);
        ref::map(ref::Fn::Lt, r.sizes, {{positions.data(), members}, {s.counts->data(), strides(to, per)}}, r.data->data());
        return r;
      })
      .Case([&](MemberOp m) {
        Cell s = in(m.getSubset());
        auto to = dimsOf(m.getType());
        Cell r = makeCell(sizes(to));
        ref::map(ref::Fn::Cast, r.sizes, {{s.data->data(), strides(to, dimsOf(m.getSubset().getType()))}}, r.data->data());
        return r;
      })
      .Case([&](RenameOp r) { // the new name may have another place in the order
        auto list = dimsOf(r.getX().getType());
        std::replace(list.begin(), list.end(), r.getFromAttr(), r.getToAttr());
        auto to = dimsOf(r.getType());
        Cell x = in(r.getX()), y = makeCell(sizes(to));
        ref::map(ref::Fn::Cast, y.sizes, {{x.data->data(), strides(to, list)}}, y.data->data());
        return y;
      })
      .Case([&](BroadcastOp b) {
        auto to = dimsOf(b.getType());
        Cell r = makeCell(sizes(to));
        ref::map(ref::Fn::Cast, r.sizes, {{in(b.getX()).data->data(), strides(to, dimsOf(b.getX().getType()))}}, r.data->data());
        return r;
      })
      .Case([&](StopGradOp s) { return in(s.getX()); })
      .Default([](Operation *) -> Cell { llvm_unreachable("an op without a reference"); });
}

void Walker::layers(LayersOp loop, Values &values) {
  StringAttr dim = loop.getDimAttr();
  const int64_t turns = loop.getHi() - loop.getLo();
  SmallVector<Cell> carried, stacked;
  for (Value v : loop.getCarried()) carried.push_back(values.lookup(v));
  auto yields = loop.yielded();
  auto at = [&](Type whole) { return size_t(place(dimsOf(whole), dim)); };
  for (Value r : loop.stackedResults()) {
    Cell c = makeCell(sizes(dimsOf(r.getType())));
    if (auto s = dyn_cast<SubsetType>(r.getType())) c.counts = makeCell(sizes(s.getPer())).data;
    stacked.push_back(c);
  }
  auto part = [&](Cell whole, Type type, int64_t i) {
    Cell p = slice(whole, at(type), i);
    if (whole.counts) {
      Cell counts;
      counts.sizes = sizes(cast<SubsetType>(type).getPer()), counts.data = whole.counts;
      p.counts = slice(counts, at(type), i).data;
    }
    return p;
  };
  for (int64_t t = 0; t < turns; ++t) {
    const int64_t i = loop.getReverse() ? turns - 1 - t : t;
    Values inner;
    Cell turn = makeCell({});
    turn[0] = double(loop.getLo() + i);
    inner[loop.turn()] = turn;
    for (auto [a, c] : llvm::zip(loop.carriedArgs(), carried)) inner[a] = c;
    for (auto [a, v] : llvm::zip(loop.stackedArgs(), loop.getStacked())) inner[a] = part(values.lookup(v), v.getType(), i);
    for (auto [a, v] : llvm::zip(loop.sharedArgs(), loop.getShared())) inner[a] = values.lookup(v);
    block(loop.block(), inner);
    for (size_t k = 0; k < carried.size(); ++k) carried[k] = inner.lookup(yields[k]);
    for (size_t k = 0; k < stacked.size(); ++k) {
      Cell c = inner.lookup(yields[carried.size() + k]);
      Type whole = loop.stackedResults()[k].getType();
      unslice(stacked[k], at(whole), i, c);
      if (c.counts) {
        Cell w, p;
        w.sizes = sizes(cast<SubsetType>(whole).getPer()), w.data = stacked[k].counts, p.data = c.counts;
        unslice(w, at(whole), i, p);
      }
    }
  }
  for (auto [r, c] : llvm::zip(loop.getResults(), carried)) values[r] = c;
  for (auto [r, c] : llvm::zip(loop.stackedResults(), stacked)) values[r] = c;
}

Cell Walker::map(MapOp m, Values &values) {
  static_assert(int(MapFn::cast) == int(ref::Fn::Cast) && int(MapFn::select) == int(ref::Fn::Select) && int(MapFn::eq) == int(ref::Fn::Eq) && int(MapFn::round) == int(ref::Fn::Round));
  auto to = dimsOf(m.getType());
  Cell r = makeCell(sizes(to));
  std::vector<ref::In> in;
  SmallVector<Cell> held;
  for (Value a : m.getArgs()) {
    held.push_back(values.lookup(a));
    in.push_back({held.back().data->data(), strides(to, dimsOf(a.getType()))});
  }
  ref::map(ref::Fn(int(m.getFn())), r.sizes, in, r.data->data());
  return r;
}

Cell Walker::reduce(ReduceOp r, Values &values) {
  static_assert(int(ReduceFn::argmax) == int(ref::Reduction::ArgMax));
  auto space = dimsOf(r.getType());
  auto over = strings(r.getOver());
  llvm::append_range(space, over);
  Cell x = values.lookup(r.getX()), y = makeCell(sizes(dimsOf(r.getType())));
  ref::reduce(ref::Reduction(int(r.getFn())), sizes(space), int(over.size()), {x.data->data(), strides(space, dimsOf(r.getX().getType()))}, y.data->data());
  return y;
}

Cell Walker::contract(ContractOp c, Values &values) {
  SmallVector<StringAttr> space;
  auto lhs = dimsOf(c.getLhs().getType()), rhs = dimsOf(c.getRhs().getType()), to = dimsOf(c.getType());
  SmallVector<StringAttr> selected;
  for (Value s : c.getSubsets()) selected.push_back(cast<SubsetType>(s.getType()).getOf());
  for (StringAttr d : to)
    if (!llvm::is_contained(selected, d)) space.push_back(d);
  addDims(space, strings(c.getOver()));
  Cell a = values.lookup(c.getLhs()), b = values.lookup(c.getRhs()), r = makeCell(sizes(to));
  std::vector<ref::Indirect> indirect;
  SmallVector<Cell> held;
  for (Value s : c.getSubsets()) {
    auto type = cast<SubsetType>(s.getType());
    held.push_back(values.lookup(s));
    indirect.push_back({held.back().data->data(), strides(space, dimsOf(type)), held.back().counts->data(), strides(space, type.getPer()),
                        place(space, type.getMembers()), {stride(lhs, type.getOf()), stride(rhs, type.getOf()), stride(to, type.getOf())}});
  }
  ref::contract(sizes(space), {a.data->data(), strides(space, lhs)}, {b.data->data(), strides(space, rhs)}, indirect, {r.data->data(), strides(space, to)});
  return r;
}

/// Positions from an index tensor or a subset, for kernels whose operands number `operands`.
static ref::Indirect indirect(const Cell &index, Type type, const std::vector<int64_t> &strides, const std::vector<int64_t> &countStrides, int member, std::vector<int64_t> step) {
  ref::Indirect i{index.data->data(), strides, nullptr, {}, -1, std::move(step)};
  if (isa<SubsetType>(type)) i.counts = index.counts->data(), i.countStrides = countStrides, i.memberDim = member;
  return i;
}
Cell Walker::gather(GatherOp g, Values &values) {
  auto space = dimsOf(g.getType()), from = dimsOf(g.getX().getType());
  Type type = g.getIndex().getType();
  auto subset = dyn_cast<SubsetType>(type);
  Cell x = values.lookup(g.getX()), index = values.lookup(g.getIndex()), r = makeCell(sizes(space));
  auto i = indirect(index, type, strides(space, dimsOf(type)), subset ? strides(space, subset.getPer()) : ref::Sizes(), subset ? place(space, subset.getMembers()) : -1,
                    {stride(from, g.getDimAttr()), 0});
  ref::accumulate(r.sizes, {x.data->data(), strides(space, from)}, {i}, {r.data->data(), strides(space, space)});
  return r;
}
Cell Walker::scatter(ScatterOp s, Values &values) {
  auto to = dimsOf(s.getType()), from = dimsOf(s.getY().getType());
  Type type = s.getIndex().getType();
  auto subset = dyn_cast<SubsetType>(type);
  SmallVector<StringAttr> space(from);
  addDims(space, dimsOf(type));
  Cell y = values.lookup(s.getY()), index = values.lookup(s.getIndex()), r = makeCell(sizes(to));
  auto i = indirect(index, type, strides(space, dimsOf(type)), subset ? strides(space, subset.getPer()) : ref::Sizes(), subset ? place(space, subset.getMembers()) : -1,
                    {0, stride(to, s.getDimAttr())});
  ref::accumulate(sizes(space), {y.data->data(), strides(space, from)}, {i}, {r.data->data(), strides(space, to)});
  return r;
}
Cell Walker::topk(TopKOp t, Values &values) {
  auto type = cast<SubsetType>(t.getResult().getType());
  SmallVector<StringAttr> space(type.getPer());
  space.push_back(t.getDimAttr());
  Cell score = values.lookup(t.getScore()), mask;
  ref::In m{nullptr, ref::Sizes(space.size(), 0)};
  if (t.getMask()) mask = values.lookup(t.getMask()), m = {mask.data->data(), strides(space, dimsOf(t.getMask().getType()))};
  Cell r = makeCell(sizes(dimsOf(type)));
  r.counts = makeCell(sizes(type.getPer())).data;
  ref::topk(sizes(space), {score.data->data(), strides(space, dimsOf(t.getScore().getType()))}, m, size(type.getMembers().getValue()), r.data->data(), r.counts->data());
  return r;
}

Cell Walker::highest(HighestOp h, Values &values) {
  auto over = strings(h.getOver()), to = dimsOf(h.getType());
  SmallVector<StringAttr> space, sorted(over);
  dims.sort(sorted);
  for (StringAttr d : to)
    if (!llvm::is_contained(over, d)) space.push_back(d);
  llvm::append_range(space, sorted);
  Cell score = values.lookup(h.getScore()), count = values.lookup(h.getCount()), r = makeCell(sizes(to));
  ref::highest(sizes(space), int(over.size()), {score.data->data(), strides(space, dimsOf(h.getScore().getType()))}, {count.data->data(), strides(space, dimsOf(h.getCount().getType()))},
               {r.data->data(), strides(space, to)});
  return r;
}
Cell Walker::mask(MaskOp m, Values &values) {
  auto space = dimsOf(m.getType()), mask = dimsOf(m.getMask().getType()), pairs = strings(m.getGranules());
  Cell x = values.lookup(m.getX()), y = values.lookup(m.getMask()), r = makeCell(sizes(space));
  std::vector<int64_t> lengths(space.size(), 1), along = strides(space, mask);
  for (size_t i = 0; i < pairs.size(); i += 2) {
    const size_t at = size_t(llvm::find(space, pairs[i]) - space.begin());
    lengths[at] = size(pairs[i].getValue()) / size(pairs[i + 1].getValue()), along[at] = stride(mask, pairs[i + 1]);
  }
  ref::mask(r.sizes, {x.data->data(), strides(space, dimsOf(m.getX().getType()))}, {y.data->data(), along}, lengths, r.data->data());
  return r;
}

template <class Op> Cell Walker::thinned(Op op, Value whole, Value part, Values &values) {
  auto space = dimsOf(whole.getType()), into = dimsOf(part.getType()), pattern = dimsOf(op.getPattern().getType());
  const auto parts = strings(op.getParts()), granules = strings(op.getGranules());
  const bool bits = !op.getPlaces();
  const size_t thin = size_t(place(space, op.getDimAttr()));
  const int64_t inner = size(op.getDim()) / size(bits ? parts[0].getValue() : granules[1].getValue());
  std::vector<int64_t> all = sizes(space), to = strides(space, into), of = strides(space, pattern), lengths(space.size(), 1), at(space.size(), 0);
  for (size_t i = 0; i < granules.size(); i += 2) {
    const size_t d = size_t(place(space, granules[i]));
    lengths[d] = size(granules[i].getValue()) / size(granules[i + 1].getValue()), of[d] = stride(pattern, granules[i + 1]);
  }
  if (bits) lengths[thin] = inner, of[thin] = stride(pattern, parts[0]);
  Cell x = values.lookup(op.getX()), y = values.lookup(op.getPattern()), r = makeCell(sizes(dimsOf(op.getType())));
  const int64_t outerStride = stride(into, parts[0]), innerStride = stride(into, parts[1]);
  for (size_t i = 0, n = whole == op.getX() ? x.data->size() : r.data->size(); i < n; ++i) { // each point of the whole
    int64_t from = 0, values = 0;
    for (size_t d = 0; d < at.size(); ++d) from += at[d] / lengths[d] * of[d], values += d == thin ? 0 : at[d] * to[d];
    const int64_t position = at[thin] % inner, code = int64_t(y[size_t(from)]);
    const bool there = bits ? code >> position & 1 : code >= 0;
    values += bits ? at[thin] / inner * outerStride + std::popcount(uint64_t(code) & ((uint64_t(1) << position) - 1)) * innerStride : code * outerStride + position * innerStride;
    if (there && whole == op.getX()) r[size_t(values)] = x[i];
    else if (there) r[i] = x[size_t(values)];
    for (size_t d = at.size(); d-- > 0;) {
      if (++at[d] < all[d]) break;
      at[d] = 0;
    }
  }
  return r;
}

template <class Op> Cell Walker::scales(Op q, Values &values) {
  auto space = dimsOf(q.getX().getType());
  Cell r = makeCell(sizes(space));
  if (!q.getScale()) {
    std::fill(r.data->begin(), r.data->end(), 1.0);
    return r;
  }
  auto scale = dimsOf(q.getScale().getType()), pairs = strings(q.getTiles());
  Cell s = values.lookup(q.getScale());
  std::vector<int64_t> lengths(space.size(), 1), along = strides(space, scale), at(space.size(), 0);
  for (auto [i, length] : llvm::enumerate(q.getLengths())) {
    const size_t d = size_t(place(space, pairs[2 * i]));
    lengths[d] = length, along[d] = stride(scale, pairs[2 * i + 1]);
  }
  for (double &to : *r.data) {
    int64_t from = 0;
    for (size_t d = 0; d < at.size(); ++d) from += at[d] / lengths[d] * along[d];
    to = s[size_t(from)];
    for (size_t d = at.size(); d-- > 0;) {
      if (++at[d] < r.sizes[d]) break;
      at[d] = 0;
    }
  }
  return r;
}

/// Where the windows of a space stand.
template <class Size, class Stride> static std::vector<ref::Window> windowsOf(ArrayAttr list, ArrayRef<StringAttr> space, Size size, Stride stride) {
  std::vector<ref::Window> all;
  for (auto w : list.getAsRange<WindowDimAttr>())
    all.push_back({place(space, w.getOut()), place(space, w.getWindow()), w.getStride(), w.getBefore(), size(w.getIn()), stride(w.getIn())});
  return all;
}
/// Along the dims of the windowed side; the out dim may have the name of the dim that it comes from.
static std::vector<int64_t> outside(std::vector<int64_t> strides, const std::vector<ref::Window> &windows) {
  for (const ref::Window &w : windows) strides[size_t(w.outDim)] = 0;
  return strides;
}
Cell Walker::window(WindowOp w, Values &values) {
  auto space = dimsOf(w.getType()), from = dimsOf(w.getX().getType());
  Cell x = values.lookup(w.getX()), y = makeCell(sizes(space));
  auto list = windowsOf(w.getWindows(), space, [&](StringAttr d) { return size(d.getValue()); }, [&](StringAttr d) { return stride(from, d); });
  ref::window(y.sizes, {x.data->data(), outside(strides(space, from), list)}, list, y.data->data());
  return y;
}
Cell Walker::unwindow(UnwindowOp w, Values &values) {
  auto space = dimsOf(w.getY().getType()), to = dimsOf(w.getType());
  Cell y = values.lookup(w.getY()), x = makeCell(sizes(to));
  auto list = windowsOf(w.getWindows(), space, [&](StringAttr d) { return size(d.getValue()); }, [&](StringAttr d) { return stride(to, d); });
  ref::unwindow(sizes(space), {y.data->data(), strides(space, space)}, list, {x.data->data(), outside(strides(space, to), list)});
  return x;
}
Cell Walker::concat(ConcatOp c, Values &values) {
  auto to = dimsOf(c.getType());
  Cell r = makeCell(sizes(to));
  int64_t from = 0;
  for (auto [a, d] : llvm::zip(c.getArgs(), strings(c.getDims()))) {
    SmallVector<StringAttr> space(to);
    std::replace(space.begin(), space.end(), c.getIntoAttr(), d);
    Cell x = values.lookup(a);
    auto target = strides(to, to);
    ref::accumulate(sizes(space), {x.data->data(), strides(space, dimsOf(a.getType()))}, {}, {r.data->data() + from * stride(to, c.getIntoAttr()), target});
    from += size(d.getValue());
  }
  return r;
}
Cell Walker::slices(Value whole, Value part, StringRef dim, StringRef from, Values &values, bool back) {
  auto dimAttr = StringAttr::get(whole.getContext(), dim);
  auto big = dimsOf(whole.getType()), small = dimsOf(part.getType());
  // Along the part's dims; the sliced one is the only one that the whole lacks (none where a position was taken).
  auto wholeStrides = strides(small, big);
  for (auto [i, d] : llvm::enumerate(small))
    if (!llvm::is_contained(big, d)) wholeStrides[i] = stride(big, dimAttr);
  const int64_t offset = number(from) * stride(big, dimAttr);
  auto partStrides = strides(small, small);
  if (back) {
    Cell y = values.lookup(part), r = makeCell(sizes(big));
    ref::accumulate(sizes(small), {y.data->data(), partStrides}, {}, {r.data->data() + offset, wholeStrides});
    return r;
  }
  Cell x = values.lookup(whole), r = makeCell(sizes(small));
  ref::accumulate(r.sizes, {x.data->data() + offset, wholeStrides}, {}, {r.data->data(), partStrides});
  return r;
}

Cell Walker::random(RandomOp r, Values &values) {
  auto to = dimsOf(r.getType());
  SmallVector<StringAttr> turnDims, own;
  for (Value t : r.getTurns()) addDims(turnDims, tensorOf(t).getDims());
  for (StringAttr d : to)
    if (!llvm::is_contained(turnDims, d)) own.push_back(d);
  // One key for each combination of turns.
  auto turnSizes = sizes(turnDims);
  std::vector<uint64_t> keys(size_t(product(turnSizes)));
  const uint64_t seed = uint64_t(values.lookup(r.getSeed())[0]);
  for (size_t k = 0; k < keys.size(); ++k) {
    std::string path;
    StringRef rest = r.getStream();
    for (Value t : r.getTurns()) {
      Cell turn = values.lookup(t);
      int64_t position = 0, left = int64_t(k);
      for (int d = int(turnDims.size()) - 1; d >= 0; --d) {
        if (tensorOf(t).has(turnDims[size_t(d)])) position = left % turnSizes[size_t(d)];
        left /= turnSizes[size_t(d)];
      }
      const size_t dots = rest.find(".."), open = rest.rfind('[', dots), close = rest.find(']', dots);
      path += rest.take_front(open + 1).str() + std::to_string(int64_t(turn[size_t(position)])) + "]";
      rest = rest.drop_front(close + 1);
    }
    keys[k] = streamKey(seed, path + rest.str());
  }
  Cell c = makeCell(sizes(to));
  ref::random(c.sizes, keys.data(), strides(to, turnDims), strides(to, own), int64_t(values.lookup(r.getStep())[0]), r.getNormal(),
              !tensorOf(r.getResult()).getElement().isF64(), c.data->data());
  return c;
}

Cell Walker::cache(CacheOp c, Values &values) {
  auto to = dimsOf(c.getType());
  const int64_t length = size(c.getTo()), added = size(c.getFrom()), step = stride(to, c.getToAttr());
  Cell x = values.lookup(c.getX()), r = makeCell(sizes(to));
  if (c.getPast()) *r.data = *values.lookup(c.getPast()).data;
  // x overwrites the last positions.
  auto space = dimsOf(c.getX().getType());
  auto target = strides(space, to);
  target[size_t(place(space, c.getFromAttr()))] = step;
  ref::Sizes n = sizes(space);
  double *end = r.data->data() + (length - added) * step;
  auto from = strides(space, space);
  std::vector<int64_t> at(n.size(), 0);
  for (size_t i = 0; i < x.data->size(); ++i) {
    int64_t s = 0, t = 0;
    for (size_t d = 0; d < n.size(); ++d) s += at[d] * from[d], t += at[d] * target[d];
    end[t] = (*x.data)[size_t(s)];
    for (size_t d = n.size(); d-- > 0;) {
      if (++at[d] < n[d]) break;
      at[d] = 0;
    }
  }
  return r;
}

} // namespace fil
