// SPDX-License-Identifier: Apache-2.0
// What each body op costs: operations that a straightforward kernel does, and each operand and result moved once. Views and sources
// that are computed in place move nothing.
#include "ir/contraction.h"

using namespace mlir;
namespace fil::ir {
namespace {
/// A value read or written once.
Cost of(Type type, const Dims &dims) {
  const Size n = dims.elements(type);
  auto t = dyn_cast<TensorType>(type);
  if (t && t.isReal()) return {{}, n, {}};
  return {{}, {}, Size(bytesOf(type, 0)) * n};
}
Cost results(Operation *op, const Dims &dims) {
  Cost c;
  for (Value v : op->getResults()) c = c + of(v.getType(), dims);
  return c;
}
Cost moved(Operation *op, const Dims &dims, Size flops) {
  Cost c = results(op, dims);
  for (Value v : op->getOperands()) c = c + of(v.getType(), dims);
  c.flops = flops;
  return c;
}
Cost copied(Operation *op, const Dims &dims) { return Size(2) * results(op, dims); }
Size iteration(ContractOp op, const Dims &dims) {
  Size n(1);
  auto result = cast<TensorType>(op.getResult().getType());
  for (StringAttr d : result.getDims()) {
    const bool added = llvm::any_of(op.getSubsets(), [&](Value s) { return cast<SubsetType>(s.getType()).getOf() == d; });
    if (!added) n = n * dims.value(d.getValue());
  }
  for (StringAttr d : strings(op.getOver())) n = n * dims.value(d.getValue());
  return n;
}
} // namespace

Cost ConstantOp::cost(const Dims &) { return {}; }
Cost SizeOp::cost(const Dims &) { return {}; }
Cost IotaOp::cost(const Dims &) { return {}; }
Cost RandomOp::cost(const Dims &dims) { return results(*this, dims); }
Cost MapOp::cost(const Dims &dims) {
  const bool counted = getFn() != MapFn::select && getFn() != MapFn::cast && cast<TensorType>(getArgs()[0].getType()).isReal();
  return moved(*this, dims, counted ? dims.elements(getResult().getType()) : Size());
}
Cost ReduceOp::cost(const Dims &dims) { return moved(*this, dims, dims.elements(getX().getType())); }
Cost ContractOp::cost(const Dims &dims) {
  auto skip = skips(*this, dims);
  Size share = skip ? skip->mask.share() : Size(1);
  if (auto rows = skipsInRows(*this, dims))
    for (MaskOp m : {rows->columns, rows->sum})
      if (m) share = share * m.share();
  return moved(*this, dims, Size(2) * iteration(*this, dims) * share);
}
Cost GatherOp::cost(const Dims &dims) { return copied(*this, dims) + of(getIndex().getType(), dims); }
Cost ScatterOp::cost(const Dims &dims) { return moved(*this, dims, dims.elements(getY().getType())); }
Cost TopKOp::cost(const Dims &dims) { return moved(*this, dims, dims.elements(getScore().getType())); }
Cost HighestOp::cost(const Dims &dims) { return moved(*this, dims, dims.elements(getScore().getType())); }
Cost MaskOp::cost(const Dims &) { return {}; }
Cost ExpandOp::cost(const Dims &dims) { return moved(*this, dims, Size()); }
Cost CompressOp::cost(const Dims &dims) { return moved(*this, dims, Size()); }
Cost QuantizeOp::cost(const Dims &dims) { return moved(*this, dims, Size()); }
Cost PartOp::cost(const Dims &dims) { return moved(*this, dims, Size()); }
Cost JoinOp::cost(const Dims &dims) { return moved(*this, dims, Size()); }
Cost UnpackOp::cost(const Dims &) { return {}; }
Cost DequantizeOp::cost(const Dims &) { return {}; }
Cost PresentOp::cost(const Dims &) { return {}; }
Cost MemberOp::cost(const Dims &) { return {}; }
Cost RosterOp::cost(const Dims &dims) { return moved(*this, dims, Size()); }
Cost WindowOp::cost(const Dims &) { return {}; }
Cost UnwindowOp::cost(const Dims &dims) { return moved(*this, dims, dims.elements(getY().getType())); }
Cost ConcatOp::cost(const Dims &dims) { return copied(*this, dims); }
Cost SliceOp::cost(const Dims &) { return {}; }
Cost UnsliceOp::cost(const Dims &dims) { return copied(*this, dims); }
Cost RenameOp::cost(const Dims &) { return {}; }
Cost BroadcastOp::cost(const Dims &) { return {}; }
Cost StopGradOp::cost(const Dims &) { return {}; }
Cost CacheOp::cost(const Dims &) { return {}; }
} // namespace fil::ir
