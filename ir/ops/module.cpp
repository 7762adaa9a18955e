// SPDX-License-Identifier: Apache-2.0
// Functions: how they are written and what they must hold.
#include "ir/ir.h"
#include "mlir/Interfaces/CallInterfaces.h"
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
  p << ' ';
  p.printSymbolName(getSymName());
  FunctionType type = getFunctionType();
  call_interface_impl::printFunctionSignature(p, type.getInputs(), getArgAttrsAttr(), false, type.getResults(), getResAttrsAttr(), &getBody(), false);
  p << ' ';
  p.printRegion(getBody(), false);
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
  if (r.wasInterrupted()) return failure();
  // Every type has its dims in the order of the table.
  Dims dims(getOperation());
  llvm::DenseSet<Type> seen;
  Type bad;
  auto check = [&](Type type) {
    if (!seen.insert(type).second) return;
    auto t = dyn_cast<TensorType>(type);
    auto s = dyn_cast<SubsetType>(type);
    ArrayRef<StringAttr> list = t ? t.getDims() : s ? s.getPer() : ArrayRef<StringAttr>();
    int last = -1;
    for (StringAttr d : list) {
      int at = dims.known(d) ? dims.order(d) : -1;
      if (at <= last) bad = type;
      last = at;
    }
    if (s && !(dims.known(s.getOf()) && dims.known(s.getMembers()))) bad = type;
  };
  getBody().walk([&](Block *b) {
    for (Type t : b->getArgumentTypes()) check(t);
    for (Operation &op : *b)
      for (Type t : op.getResultTypes()) check(t);
  });
  if (bad) return emitOpError("has a type whose dims are unknown or not in the order of the module's table: ") << bad;
  return success();
}
LogicalResult ReturnOp::verify() {
  if (getValues().getTypes() != cast<FuncOp>((*this)->getParentOp()).getResultTypes()) return emitOpError("does not return the function's result types");
  return success();
}

template <class Op> static LogicalResult verifyAccess(Op op, Type type, SymbolTableCollection &symbols) {
  if (!isa<FuncOp>(op->getParentOp())) return op.emitOpError("stands inside a loop; variables are read and written at a function's top level");
  auto v = symbols.lookupNearestSymbolFrom<VariableOp>(op, op.getVariableAttr());
  if (!v) return op.emitOpError("names no variable: @") << op.getVariable();
  if (v.getType() != type) return op.emitOpError("has type ") << type << ", the variable has " << v.getType();
  return success();
}
LogicalResult ReadOp::verifySymbolUses(SymbolTableCollection &symbols) { return verifyAccess(*this, getResult().getType(), symbols); }
LogicalResult WriteOp::verifySymbolUses(SymbolTableCollection &symbols) { return verifyAccess(*this, getValue().getType(), symbols); }

Value makeRead(OpBuilder &b, VariableOp v, Role role) { return ReadOp::create(b, v.getLoc(), v.getType(), FlatSymbolRefAttr::get(v.getSymNameAttr()), v.getSiteAttr(), RoleAttr::get(b.getContext(), role)); }
void makeWrite(OpBuilder &b, VariableOp v, Value x, Role role) { WriteOp::create(b, v.getLoc(), FlatSymbolRefAttr::get(v.getSymNameAttr()), x, v.getSiteAttr(), RoleAttr::get(b.getContext(), role)); }
SmallVector<ReadOp> readsOf(FuncOp f, VariableOp v) {
  SmallVector<ReadOp> reads;
  for (auto r : f.getBody().front().getOps<ReadOp>())
    if (r.getVariable() == v.getSymName()) reads.push_back(r);
  return reads;
}
void addResult(FuncOp f, StringRef name, Value v) {
  Builder b(f.getContext());
  f.getBody().front().getTerminator()->insertOperands(f.getNumResults(), v);
  SmallVector<Type> types(f.getResultTypes());
  types.push_back(v.getType());
  SmallVector<Attribute> names(f.getResAttrs()->begin(), f.getResAttrs()->end());
  names.push_back(b.getDictionaryAttr(b.getNamedAttr("fil.name", b.getStringAttr(name))));
  f.setFunctionTypeAttr(TypeAttr::get(b.getFunctionType(f.getArgumentTypes(), types)));
  f.setResAttrsAttr(b.getArrayAttr(names));
}
} // namespace fil::ir
