// SPDX-License-Identifier: Apache-2.0
// Body ops with inferred types.
#include "ir/ir.h"

using namespace mlir;
namespace fil::ir {

static TensorType tensorOf(Value v) { return cast<TensorType>(v.getType()); }

Value BodyBuilder::constant(double v) {
  auto type = TensorType::get(builder.getContext(), {}, RealType::get(builder.getContext()));
  return ConstantOp::create(builder, loc, type, builder.getF64FloatAttr(v), builder.getStringAttr(site), RoleAttr::get(builder.getContext(), role));
}
Value BodyBuilder::whole(int64_t n) {
  auto type = TensorType::get(builder.getContext(), {}, IntType::get(builder.getContext()));
  return ConstantOp::create(builder, loc, type, builder.getF64FloatAttr(double(n)), builder.getStringAttr(site), RoleAttr::get(builder.getContext(), role));
}
Value BodyBuilder::size(const Size &s) {
  if (auto c = s.constant()) return constant(c->value());
  auto type = TensorType::get(builder.getContext(), {}, RealType::get(builder.getContext()));
  return SizeOp::create(builder, loc, type, builder.getStringAttr(s.str()), builder.getStringAttr(site), RoleAttr::get(builder.getContext(), role));
}
Value BodyBuilder::iota(StringRef dim) {
  auto type = TensorType::get(builder.getContext(), {builder.getStringAttr(dim)}, IntType::get(builder.getContext()));
  return IotaOp::create(builder, loc, type, builder.getStringAttr(dim), builder.getStringAttr(site), RoleAttr::get(builder.getContext(), role));
}
Value BodyBuilder::map(MapFn fn, ValueRange args) {
  SmallVector<StringAttr> all;
  Type element;
  for (auto [i, a] : llvm::enumerate(args)) {
    llvm::append_range(all, tensorOf(a).getDims());
    if (fn == MapFn::select && i == 0) continue;
    if (!element || tensorOf(a).isReal()) element = tensorOf(a).getElement();
  }
  MLIRContext *ctx = builder.getContext();
  if (fn >= MapFn::eq && fn <= MapFn::logical_not) element = BoolType::get(ctx);
  if (fn == MapFn::cast) element = RealType::get(ctx);
  return MapOp::create(builder, loc, dims.tensor(ctx, all, element), MapFnAttr::get(ctx, fn), args, builder.getStringAttr(site), RoleAttr::get(ctx, role));
}
Value BodyBuilder::reduce(ReduceFn fn, Value x, ArrayRef<StringAttr> over) {
  if (over.empty()) return x;
  SmallVector<StringAttr> left;
  for (StringAttr d : tensorOf(x).getDims())
    if (!llvm::is_contained(over, d)) left.push_back(d);
  MLIRContext *ctx = builder.getContext();
  Type element = tensorOf(x).getElement();
  if (fn == ReduceFn::argmin || fn == ReduceFn::argmax) element = IndexType::get(ctx, over[0]);
  SmallVector<Attribute> names(over.begin(), over.end());
  return ReduceOp::create(builder, loc, dims.tensor(ctx, left, element), ReduceFnAttr::get(ctx, fn), x, builder.getArrayAttr(names), TypeAttr(), builder.getStringAttr(site), RoleAttr::get(ctx, role));
}
Value BodyBuilder::highest(Value score, Value count, ArrayRef<StringAttr> over) {
  MLIRContext *ctx = builder.getContext();
  SmallVector<Attribute> names(over.begin(), over.end());
  return HighestOp::create(builder, loc, tensorOf(score).withElement(BoolType::get(ctx)), score, count, builder.getArrayAttr(names), builder.getStringAttr(site), RoleAttr::get(ctx, role));
}
Value BodyBuilder::cut(Value x, StringAttr dim, StringAttr blocks, StringAttr inside, int64_t length) {
  MLIRContext *ctx = builder.getContext();
  SmallVector<StringAttr> all{inside, blocks};
  for (StringAttr d : tensorOf(x).getDims())
    if (d != dim) all.push_back(d);
  auto windows = builder.getArrayAttr(WindowDimAttr::get(ctx, dim, inside, blocks, length, 0));
  return WindowOp::create(builder, loc, dims.tensor(ctx, all, tensorOf(x).getElement()), x, windows, builder.getStringAttr(site), RoleAttr::get(ctx, role));
}
Value BodyBuilder::stopGrad(Value x) { return StopGradOp::create(builder, loc, x.getType(), x, builder.getStringAttr(site), RoleAttr::get(builder.getContext(), role)); }
Value BodyBuilder::contract(Value a, Value b, ValueRange subsets, TensorType result) {
  // The iteration: the dims of the operands, a subset's dim through which one of them is read in place of the dim it selects from.
  SmallVector<StringAttr> over, iteration;
  auto visit = [&](TensorType t) {
    for (StringAttr d : t.getDims())
      if (!llvm::is_contained(iteration, d)) iteration.push_back(d);
  };
  visit(tensorOf(a)), visit(tensorOf(b)), visit(result);
  for (Value s : subsets) {
    auto t = cast<SubsetType>(s.getType());
    llvm::erase(iteration, t.getOf());
    for (StringAttr d : t.getPer())
      if (!llvm::is_contained(iteration, d)) iteration.push_back(d);
    if (!llvm::is_contained(iteration, t.getMembers())) iteration.push_back(t.getMembers());
  }
  for (StringAttr d : iteration)
    if (!result.has(d)) over.push_back(d);
  dims.sort(over);
  SmallVector<Attribute> names(over.begin(), over.end());
  return ContractOp::create(builder, loc, result, a, b, subsets, Value(), builder.getArrayAttr(names), TypeAttr(), builder.getStringAttr(site), RoleAttr::get(builder.getContext(), role));
}
Value BodyBuilder::fit(Value x, TensorType like) {
  SmallVector<StringAttr> extra;
  for (StringAttr d : tensorOf(x).getDims())
    if (!like.has(d)) extra.push_back(d);
  x = reduce(ReduceFn::sum, x, extra);
  if (tensorOf(x).getDims() == like.getDims()) return x;
  return BroadcastOp::create(builder, loc, like.withElement(tensorOf(x).getElement()), x, builder.getStringAttr(site), RoleAttr::get(builder.getContext(), role));
}
} // namespace fil::ir
