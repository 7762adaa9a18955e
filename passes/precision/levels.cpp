// SPDX-License-Identifier: Apache-2.0
#include "passes/precision/levels.h"
#include "ir/layers.h"
#include "passes/precision/rounding.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {

static ir::TensorType tensorOf(Value v) { return cast<ir::TensorType>(v.getType()); }

SmallVector<Format> ladderOf(FormatAttr facet, Role role) {
  auto own = formatNamed(stringifySiteFormat(facet.of(role)));
  if (!own) return {};
  return bytesOf(*own) == 1 ? SmallVector<Format>{*own, Format::Bf16} : SmallVector<Format>{*own};
}
Value Levels::at(VariableOp level, Block *block) {
  Value &there = known[{level, block}];
  if (there) return there;
  OpBuilder b = OpBuilder::atBlockBegin(&f.getBody().front());
  return there = bringInto(makeRead(b, level, Role::forward), block);
}

void Signals::add(ContractOp c, VariableOp level, ArrayRef<Format> formats, const Rungs &lhs, const Rungs &rhs) {
  OpBuilder b(c);
  b.setInsertionPointAfter(c);
  BodyBuilder body(b, dims, c.getLoc());
  body.site = c.getSite(), body.role = c.getRole();
  const std::string site = c.getSite().str(), number = std::to_string(products[site]++);
  auto emit = [&](const char *signal, Format format, Value v, bool most) { all.push_back({site + "#" + signal + "." + number + "." + traits(format).name, v, most, level}); };
  auto reduced = [&](ReduceFn fn, Value v, ArrayRef<StringAttr> over) { return over.empty() ? v : body.reduce(fn, v, over); };
  auto total = [&](Value v) { return reduced(ReduceFn::sum, v, tensorOf(v).getDims()); };
  auto square = [&](Value v) { return body.mul(v, v); };
  Value zero = body.constant(0), one = body.constant(1), most = body.constant(1e30);
  /// Sums of squares as a ratio: the largest one where there is no error, 0 where f32 does not hold it.
  auto ratio = [&](Value energy, Value error) {
    Value r = body.select(body.map(MapFn::eq, {error, zero}), most, body.div(energy, error));
    return body.select(body.map(MapFn::logical_and, {body.map(MapFn::ge, {r, zero}), body.map(MapFn::le, {r, most})}), r, zero);
  };
  auto product = [&](Value l, Value r) {
    auto again = cast<ContractOp>(b.clone(*c));
    again->setOperand(0, l), again->setOperand(1, r);
    return again.getResult();
  };
  Value y = product(lhs.exact, rhs.exact), energy = total(square(y));
  for (auto [k, format] : llvm::enumerate(formats)) {
    emit("out_snr", format, ratio(energy, total(square(body.sub(y, product(lhs.rounded[k], rhs.rounded[k]))))), false);
    Value snr, underflow, sat;
    for (const Rungs *x : {&lhs, &rhs}) {
      SmallVector<StringAttr> channels, rest;
      for (StringAttr d : tensorOf(x->exact).getDims()) (llvm::is_contained(strings(c.getOver()), d) ? channels : rest).push_back(d);
      double count = 1;
      for (StringAttr d : channels) count *= dims.atMost(dims.value(d.getValue()));
      auto perChannel = [&](Value v) { return reduced(ReduceFn::sum, square(v), rest); };
      Value each = ratio(perChannel(x->exact), perChannel(body.sub(x->exact, x->rounded[k]))), median = each;
      if (!channels.empty()) median = body.reduce(ReduceFn::min, body.select(body.highest(each, body.whole(int64_t(count + 1) / 2), channels), each, most), channels);
      Value magnitude = body.map(MapFn::abs, {x->exact}), nonzero = body.map(MapFn::gt, {magnitude, zero});
      Value number = body.map(MapFn::max, {total(body.select(nonzero, one, zero)), one});
      auto share = [&](Value which) { return body.div(total(body.select(which, one, zero)), number); };
      Value flushed = share(body.map(MapFn::logical_and, {nonzero, body.map(MapFn::eq, {x->rounded[k], zero})}));
      Value beyond = Rounding{format}.scaled() ? zero : share(body.map(MapFn::gt, {magnitude, body.constant(traits(format).largest)})); // scales follow the largest magnitude
      snr = snr ? body.map(MapFn::min, {snr, median}) : median;
      underflow = underflow ? body.map(MapFn::max, {underflow, flushed}) : flushed;
      sat = sat ? body.map(MapFn::max, {sat, beyond}) : beyond;
    }
    emit("snr", format, snr, false), emit("underflow", format, underflow, true), emit("sat", format, sat, true);
  }
  auto amax = [&](const Rungs &x) { return reduced(ReduceFn::max, body.map(MapFn::abs, {x.exact}), tensorOf(x.exact).getDims()); };
  emit("amax", formats[0], body.map(MapFn::max, {amax(lhs), amax(rhs)}), true);
}

/// What the loop's body computes is stacked over its turns; where a site's level is that of all turns, the worst of them counts.
void Signals::bringOut(LayersOp loop) {
  const unsigned before = loop.getNumResults();
  LayersEdit edit(loop);
  std::vector<std::pair<Signal *, unsigned>> out;
  for (Signal &s : all)
    if (s.value.getParentBlock() == &loop.block()) out.push_back({&s, edit.yield(s.value, stackedType(dims, s.value.getType(), loop.getDimAttr()))});
  loop = edit.finish();
  OpBuilder b(loop);
  b.setInsertionPointAfter(loop);
  BodyBuilder body(b, dims, loop.getLoc());
  body.site = loop.getSite();
  for (auto [s, number] : out) {
    s->value = loop.getResult(before + number);
    if (!cast<ir::TensorType>(s->level.getType()).has(loop.getDimAttr())) s->value = body.reduce(s->most ? ReduceFn::max : ReduceFn::min, s->value, {loop.getDimAttr()});
  }
}
void Signals::finish(const std::map<std::string, Size> &ops) {
  if (all.empty()) return;
  SmallVector<Operation *> loops; // inner ones first
  f.walk([&](LayersOp l) { loops.push_back(l); });
  for (Operation *op : loops)
    if (auto loop = cast<LayersOp>(op); llvm::any_of(all, [&](Signal &s) { return s.value.getParentBlock() == &loop.block(); })) bringOut(loop);
  OpBuilder b(f.getBody().front().getTerminator());
  BodyBuilder body(b, dims, f.getLoc());
  for (const Signal &s : all) addResult(f, s.name, s.value);
  for (auto &[site, n] : ops) addResult(f, site + "#ops", body.size(n));
}

} // namespace fil::passes
