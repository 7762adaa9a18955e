// SPDX-License-Identifier: Apache-2.0
// The loop op: how it is written, and that its body fits its operands and results.
#include "ir/ir.h"

using namespace mlir;
namespace fil::ir {

OperandRange LayersOp::yielded() { return cast<YieldOp>(block().getTerminator())->getOperands(); }

// fil.layers l = 0 to 4 dim "l#0" [reverse] carried(%a = %h) stacked(%b = %w) shared(%c = %pos) {..} attrs : (types) -> types
ParseResult LayersOp::parse(OpAsmParser &p, OperationState &state) {
  Builder &b = p.getBuilder();
  auto &props = state.getOrAddProperties<Properties>();
  StringRef index;
  int64_t lo, hi;
  std::string dim;
  OpAsmParser::Argument turn;
  if (p.parseArgument(turn) || p.parseEqual() || p.parseKeyword(&index) || p.parseInteger(lo) || p.parseKeyword("to") || p.parseInteger(hi) ||
      p.parseKeyword("dim") || p.parseString(&dim))
    return failure();
  props.index = b.getStringAttr(index);
  props.dim = b.getStringAttr(dim);
  props.lo = b.getI64IntegerAttr(lo);
  props.hi = b.getI64IntegerAttr(hi);
  if (succeeded(p.parseOptionalKeyword("reverse"))) props.reverse = b.getUnitAttr();
  SmallVector<OpAsmParser::Argument> args{turn};
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  int32_t counts[3];
  const char *words[] = {"carried", "stacked", "shared"};
  for (int k = 0; k < 3; ++k) {
    size_t before = operands.size();
    if (p.parseKeyword(words[k]) || p.parseCommaSeparatedList(AsmParser::Delimiter::Paren, [&]() -> ParseResult {
          return failure(p.parseArgument(args.emplace_back()) || p.parseEqual() || p.parseOperand(operands.emplace_back()));
        }))
      return failure();
    counts[k] = int32_t(operands.size() - before);
  }
  llvm::copy(counts, props.operandSegmentSizes.begin());
  FunctionType type, inner;
  SMLoc at = p.getCurrentLocation();
  if (p.parseColonType(type) || p.parseKeyword("body") || p.parseType(inner)) return failure();
  if (type.getNumInputs() != operands.size() || inner.getNumInputs() != args.size()) return p.emitError(at, "types do not fit the operands");
  if (p.resolveOperands(operands, type.getInputs(), at, state.operands)) return failure();
  for (auto [a, t] : llvm::zip(args, inner.getInputs())) a.type = t;
  state.addTypes(type.getResults());
  if (p.parseRegion(*state.addRegion(), args) || p.parseOptionalAttrDict(state.attributes)) return failure();
  if (auto s = state.attributes.get("site")) props.site = cast<StringAttr>(s), state.attributes.erase("site");
  if (auto r = state.attributes.get("role")) props.role = cast<RoleAttr>(r), state.attributes.erase("role");
  return success();
}
void LayersOp::print(OpAsmPrinter &p) {
  p << ' ' << turn() << " = " << getIndex() << ' ' << getLo() << " to " << getHi() << " dim \"" << getDim() << '"';
  if (getReverse()) p << " reverse";
  auto list = [&](const char *word, auto args, auto values) {
    p << ' ' << word << '(';
    llvm::interleaveComma(llvm::zip(args, values), p, [&](auto pair) { p << std::get<0>(pair) << " = " << std::get<1>(pair); });
    p << ')';
  };
  list("carried", carriedArgs(), getCarried());
  list("stacked", stackedArgs(), getStacked());
  list("shared", sharedArgs(), getShared());
  p << " : ";
  p.printFunctionalType(getOperandTypes(), getResultTypes());
  p << " body ";
  p << FunctionType::get(getContext(), block().getArgumentTypes(), {});
  p << ' ';
  p.printRegion(getBody(), false);
  SmallVector<NamedAttribute> attrs;
  if (!getSite().empty()) attrs.push_back({StringAttr::get(getContext(), "site"), getSiteAttr()});
  if (getRole() != Role::forward) attrs.push_back({StringAttr::get(getContext(), "role"), getRoleAttr()});
  p.printOptionalAttrDict(attrs);
}

/// Does `slice` with the loop dim (for a subset: among its `per`) give `whole`?
static bool stacks(Type whole, Type slice, StringAttr dim) {
  auto without = [&](ArrayRef<StringAttr> dims) {
    SmallVector<StringAttr> left(dims);
    llvm::erase(left, dim);
    return left;
  };
  if (auto w = dyn_cast<TensorType>(whole)) {
    auto s = dyn_cast<TensorType>(slice);
    return s && s.getElement() == w.getElement() && w.has(dim) && ArrayRef(without(w.getDims())) == s.getDims();
  }
  auto w = cast<SubsetType>(whole);
  auto s = dyn_cast<SubsetType>(slice);
  return s && s.getOf() == w.getOf() && s.getMembers() == w.getMembers() && llvm::is_contained(w.getPer(), dim) &&
         ArrayRef(without(w.getPer())) == s.getPer();
}
LogicalResult LayersOp::verify() {
  if (block().getNumArguments() != 1 + getNumOperands()) return emitOpError("has a body of ") << block().getNumArguments() << " arguments";
  auto yields = yielded();
  if (yields.size() != getNumResults()) return emitOpError("yields ") << yields.size() << " values for " << getNumResults() << " results";
  if (getLo() >= getHi()) return emitOpError("has no turns");
  for (auto [a, v, y, r] : llvm::zip(carriedArgs(), getCarried(), yields, getResults()))
    if (a.getType() != v.getType() || y.getType() != v.getType() || r.getType() != v.getType()) return emitOpError("carries values of changing type: ") << v.getType() << ", " << y.getType();
  for (auto [a, v] : llvm::zip(stackedArgs(), getStacked()))
    if (!stacks(v.getType(), a.getType(), getDimAttr())) return emitOpError("stacked operand of type ") << v.getType() << " has slice " << a.getType();
  for (auto [a, v] : llvm::zip(sharedArgs(), getShared()))
    if (a.getType() != v.getType()) return emitOpError("shared operand of type ") << v.getType() << " enters as " << a.getType();
  for (auto [y, r] : llvm::zip(yields.drop_front(getCarried().size()), stackedResults()))
    if (!stacks(r.getType(), y.getType(), getDimAttr())) return emitOpError("stacked result of type ") << r.getType() << " is yielded as " << y.getType();
  return success();
}

Cost LayersOp::cost(const Dims &dims) {
  Cost body;
  for (Operation &op : block())
    if (auto c = dyn_cast<Costed>(op)) body = body + c.cost(dims);
  return Size(int64_t(getHi() - getLo())) * body;
}
LogicalResult LayersOp::adjoint(GradBuilder &grad, ValueRange seeds) { return grad.reverseLayers(*this, seeds); }
LogicalResult AuxOp::adjoint(GradBuilder &grad, ValueRange) { return grad.seedAux(*this); }
} // namespace fil::ir
