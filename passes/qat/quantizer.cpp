// SPDX-License-Identifier: Apache-2.0
#include "passes/qat/quantizer.h"
#include "ir/contraction.h"
#include "ir/layers.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {

static ir::TensorType tensorOf(Value v) { return cast<ir::TensorType>(v.getType()); }

/// x in steps, the nearest of the numbers that there are.
static Value nearest(Value x, Value scale, int64_t bits, BodyBuilder &body) {
  const WholeRange range(bits);
  Value v = body.mul(x, body.div(body.constant(1), scale));
  v = body.map(MapFn::min, {body.map(MapFn::max, {v, body.constant(range.low)}), body.constant(range.high)});
  return body.map(MapFn::round, {v});
}
Rounded roundedBy(Value x, Value scale, int64_t bits, BodyBuilder &body) {
  Value begun = body.map(MapFn::gt, {scale, body.constant(0)}), safe = body.select(begun, scale, body.constant(1));
  return {body.select(begun, nearest(x, safe, bits, body), x), safe};
}
/// The same, in memory a byte each.
static Rounded storedBy(Value x, Value scale, int64_t bits, BodyBuilder &body) {
  OpBuilder &b = body.builder;
  const auto site = b.getStringAttr(body.site);
  const auto role = RoleAttr::get(b.getContext(), body.role);
  auto t = tensorOf(x);
  Value bytes = QuantizeOp::create(b, body.loc, t.withElement(elementOf(b.getContext(), Format::Int8)), nearest(x, scale, bits, body), Value(), Value(), b.getArrayAttr({}), b.getDenseI64ArrayAttr({}), site, role);
  return {DequantizeOp::create(b, body.loc, t, bytes, Value(), b.getArrayAttr({}), b.getDenseI64ArrayAttr({}), site, role), scale};
}

void Quantizer::quantize(Value weight, ArrayRef<Operation *> users) {
  llvm::SetVector<Operation *> loops, here;
  for (Operation *user : users) {
    auto aux = dyn_cast<AuxOp>(user);
    if (auto loop = dyn_cast<LayersOp>(user); loop && !llvm::is_contained(loop.getCarried(), weight)) loops.insert(user);
    else if (!aux || aux.getValue() == weight) here.insert(user);
  }
  for (Operation *user : loops) {
    auto loop = cast<LayersOp>(user);
    SmallVector<BlockArgument> inside;
    for (auto [v, a] : llvm::zip(loop.getStacked(), loop.stackedArgs()))
      if (v == weight) inside.push_back(a);
    for (auto [v, a] : llvm::zip(loop.getShared(), loop.sharedArgs()))
      if (v == weight) inside.push_back(a);
    for (BlockArgument a : inside) quantize(a, SmallVector<Operation *>(a.getUsers()));
  }
  if (here.empty()) return;
  Value scaleHere = bringBeside(weight, [&](ReadOp) { return scale; });
  if (!ofSum) return replace(weight, here.getArrayRef(), scaleHere, weight);
  for (Operation *sum : here) replace(sum->getResult(0), SmallVector<Operation *>(sum->getResult(0).getUsers()), scaleHere, weight);
}

/// Readers of x, the map's values or their sum with an adapter.
void Quantizer::replace(Value x, ArrayRef<Operation *> readers, Value scaleHere, Value weight) {
  OpBuilder b(x.getContext());
  Operation *last = nullptr;
  for (Value v : {x, scaleHere})
    if (Operation *op = v.getDefiningOp(); op && (!last || last->isBeforeInBlock(op))) last = op;
  if (last) b.setInsertionPointAfter(last);
  else b.setInsertionPointToStart(cast<BlockArgument>(x).getOwner());
  BodyBuilder body(b, dims, x.getLoc());
  body.site = siteOf(map);
  const Rounded r = bits ? roundedBy(x, scaleHere, bits, body) : Rounded{x, scaleHere};
  for (Operation *reader : readers) read(reader, x, r, weight);
}

/// The reader reads these numbers in place of x. Of a product the scale comes behind it where it can.
void Quantizer::read(Operation *reader, Value x, const Rounded &r, Value weight) {
  if (isa<MaskOp, ExpandOp>(reader)) { // what is 0 stays 0, and is seen to be
    SmallVector<Operation *> others(reader->getUsers());
    OpBuilder at(reader);
    Operation *again = at.clone(*reader);
    again->setOperand(0, r.numbers);
    for (Operation *other : others) read(other, reader->getResult(0), {again->getResult(0), r.scale}, weight);
    return reader->erase();
  }
  OpBuilder b(reader);
  BodyBuilder body(b, dims, reader->getLoc());
  body.site = siteOf(map);
  if (auto role = roleOf(reader)) body.role = *role;
  auto product = dyn_cast<ContractOp>(reader);
  const bool behind = product && product.getLhs() != product.getRhs() && llvm::all_of(tensorOf(r.scale).getDims(), [&](StringAttr d) { return tensorOf(product.getResult()).has(d) && !llvm::is_contained(strings(product.getOver()), d); });
  Value factor = behind ? r.scale : Value(), other = product ? product.getLhs() == x ? product.getRhs() : product.getLhs() : Value();
  reader->replaceUsesOfWith(x, behind ? r.numbers : body.mul(r.numbers, r.scale));
  if (inputBits && other && other != x && body.role <= Role::saved) {
    Value step = inputScale(other, product, weight, body);
    const Rounded in = bits ? roundedBy(other, step, inputBits, body) : storedBy(other, step, inputBits, body);
    reader->replaceUsesOfWith(other, in.numbers);
    factor = factor ? body.mul(factor, in.scale) : in.scale;
  }
  if (!factor) return;
  Operation *last = reader; // what is left out of it is seen between the product and its scale
  if (auto m = gateBehind(reader)) last = m;
  b.setInsertionPointAfter(last);
  Value scaled = body.mul(last->getResult(0), factor);
  scaled.getDefiningOp()->setAttr("fil.scaling", b.getUnitAttr()); // part of the product, for who rounds what it gives
  last->getResult(0).replaceAllUsesExcept(scaled, scaled.getDefiningOp());
}

} // namespace fil::passes
