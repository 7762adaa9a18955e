// SPDX-License-Identifier: Apache-2.0
// How a group is written, and that its region fits its operands and results.
#include "ir/ir.h"

using namespace mlir;
namespace fil::ir {

OperandRange GroupOp::yielded() { return cast<YieldOp>(block().getTerminator())->getOperands(); }
ContractOp GroupOp::tiled() {
  for (auto c : block().getOps<ContractOp>())
    if (c->hasAttr("fil.tiled")) return c;
  return {};
}

// fil.group rows ["B", "T"] (%a = %x, %b = %y) : (types) -> types {..}
ParseResult GroupOp::parse(OpAsmParser &p, OperationState &state) {
  auto &props = state.getOrAddProperties<Properties>();
  ArrayAttr rows;
  SmallVector<OpAsmParser::Argument> args;
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  FunctionType type;
  if (p.parseKeyword("rows") || p.parseAttribute(rows) || p.parseCommaSeparatedList(AsmParser::Delimiter::Paren, [&]() -> ParseResult {
        return failure(p.parseArgument(args.emplace_back()) || p.parseEqual() || p.parseOperand(operands.emplace_back()));
      }))
    return failure();
  SMLoc at = p.getCurrentLocation();
  if (p.parseColonType(type)) return failure();
  props.rows = rows;
  if (type.getNumInputs() != operands.size()) return p.emitError(at, "types do not fit the operands");
  if (p.resolveOperands(operands, type.getInputs(), at, state.operands)) return failure();
  for (auto [a, t] : llvm::zip(args, type.getInputs())) a.type = t;
  state.addTypes(type.getResults());
  return failure(p.parseRegion(*state.addRegion(), args) || p.parseOptionalAttrDict(state.attributes));
}
void GroupOp::print(OpAsmPrinter &p) {
  p << " rows " << getRows() << " (";
  llvm::interleaveComma(llvm::zip(block().getArguments(), getInputs()), p, [&](auto pair) { p << std::get<0>(pair) << " = " << std::get<1>(pair); });
  p << ") : ";
  p.printFunctionalType(getOperandTypes(), getResultTypes());
  p << ' ';
  p.printRegion(getBody(), false);
  p.printOptionalAttrDict(llvm::to_vector((*this)->getDiscardableAttrs()));
}
LogicalResult GroupOp::verify() {
  if (block().getArgumentTypes() != getOperandTypes()) return emitOpError("has a region whose arguments are not its operands");
  if (yielded().getTypes() != getResultTypes()) return emitOpError("yields other types than those of its results");
  for (Value v : yielded())
    if (!v.getDefiningOp() || !kept(v.getDefiningOp())) return emitOpError("yields a value that is not kept");
  for (Operation &op : block()) {
    if (!kept(&op)) continue;
    auto t = dyn_cast<TensorType>(op.getResult(0).getType());
    auto fold = foldOf(&op);
    for (StringAttr d : getRows().getAsRange<StringAttr>())
      if (t && !t.has(d) && !(fold && d == fold->in)) return emitOpError("keeps ") << t << ", which has no dim `" << d.getValue() << "` of the rows";
  }
  return success();
}
} // namespace fil::ir
