// SPDX-License-Identifier: Apache-2.0
// Functions: how they are written and what they must hold.
#include "ir/ir.h"
#include "mlir/Interfaces/FunctionImplementation.h"

using namespace mlir;
namespace fil::ir {

ParseResult FuncOp::parse(OpAsmParser &p, OperationState &state) {
  std::string entry;
  if (succeeded(p.parseOptionalKeyword("entry")) && p.parseString(&entry)) return failure();
  state.getOrAddProperties<Properties>().entry = p.getBuilder().getStringAttr(entry);
  auto type = [](Builder &b, ArrayRef<Type> in, ArrayRef<Type> out, function_interface_impl::VariadicFlag, std::string &) { return b.getFunctionType(in, out); };
  return function_interface_impl::parseFunctionOp(p, state, false, getFunctionTypeAttrName(state.name), type, getArgAttrsAttrName(state.name), getResAttrsAttrName(state.name));
}
void FuncOp::print(OpAsmPrinter &p) {
  if (!getEntry().empty()) p << " entry \"" << getEntry() << "\"";
  function_interface_impl::printFunctionOp(p, *this, false, getFunctionTypeAttrName(), getArgAttrsAttrName(), getResAttrsAttrName());
}
static StringRef nameIn(std::optional<ArrayAttr> attrs, unsigned i) {
  if (!attrs || i >= attrs->size()) return "";
  auto name = cast<DictionaryAttr>((*attrs)[i]).getAs<StringAttr>("fil.name");
  return name ? name.getValue() : StringRef();
}
StringRef FuncOp::inputName(unsigned i) { return nameIn(getArgAttrs(), i); }
StringRef FuncOp::outputName(unsigned i) { return nameIn(getResAttrs(), i); }

LogicalResult FuncOp::verify() {
  llvm::SmallPtrSet<Attribute, 32> written;
  WalkResult r = getBody().walk([&](WriteOp w) {
    if (!written.insert(w.getVariableAttr()).second) {
      w.emitOpError("writes @") << w.getVariable() << " a second time";
      return WalkResult::interrupt();
    }
    return WalkResult::advance();
  });
  return failure(r.wasInterrupted());
}
LogicalResult ReturnOp::verify() {
  if (getValues().getTypes() != cast<FuncOp>((*this)->getParentOp()).getResultTypes()) return emitOpError("does not return the function's result types");
  return success();
}

template <class Op> static LogicalResult verifyAccess(Op op, Type type) {
  if (!isa<FuncOp>(op->getParentOp())) return op.emitOpError("stands inside a loop; variables are read and written at a function's top level");
  auto v = SymbolTable::lookupNearestSymbolFrom<VariableOp>(op, op.getVariableAttr());
  if (!v) return op.emitOpError("names no variable: @") << op.getVariable();
  if (v.getType() != type) return op.emitOpError("has type ") << type << ", the variable has " << v.getType();
  return success();
}
LogicalResult ReadOp::verify() { return verifyAccess(*this, getResult().getType()); }
LogicalResult WriteOp::verify() { return verifyAccess(*this, getValue().getType()); }
} // namespace fil::ir
