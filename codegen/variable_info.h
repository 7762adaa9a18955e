// SPDX-License-Identifier: Apache-2.0
// What both back ends tell the runtime of a variable: its kind, and what it is of an adapter.
#pragma once
#include "ir/ir.h"
#include "runtime/exec/executable.h"

namespace fil {

inline DType dtypeOf(ir::TensorType t) {
  if (auto f = t.format()) return dtypeOf(*f);
  if (t.getElement().isInteger(16)) return DType::I16;
  if (t.isReal()) return t.getElement().isF64() ? DType::F64 : DType::F32;
  return llvm::isa<ir::BoolType>(t.getElement()) ? DType::Bool : DType::I32;
}

inline void describe(ir::VariableOp v, VariableInfo &info) {
  info.kind = v.getKind() == ir::VariableKind::param ? VariableInfo::Param : v.getKind() == ir::VariableKind::state ? VariableInfo::State : VariableInfo::Optimizer;
  if (auto topology = v.getTopology()) {
    const ir::Dims dims(v->getParentOfType<mlir::ModuleOp>());
    info.mask = true, info.kept = topology->getMethod() == ir::TopologyMethod::prune ? 0 : int64_t(topology->kept(ir::granulesIn(v, dims)));
  }
  info.scale = v->hasAttr("fil.scale");
  if (auto bits = v->getAttrOfType<mlir::IntegerAttr>("fil.qat_bits")) info.qatBits = int(bits.getInt());
  if (auto bits = v->getAttrOfType<mlir::IntegerAttr>("fil.bits")) info.bits = int(bits.getInt()), info.packed = int(*v.getMap()) - 1;
  if (auto together = v->getAttrOfType<mlir::IntegerAttr>("fil.together")) info.together = int(together.getInt());
  if (auto blocks = v->getAttrOfType<ir::BlocksAttr>("fil.blocks")) info.thinned = {int(*v.getMap()) - 2, blocks.getOf(), blocks.getRight()};
  info.predictor = v->hasAttr("fil.predictor");
  if (auto neurons = v->getAttrOfType<mlir::ArrayAttr>("fil.neurons")) {
    const auto names = ir::strings(neurons), declared = ir::strings(v.getDeclared());
    info.neurons = {names[0].str(), int(llvm::find(declared, names[2]) - declared.begin()), names[1].str(), v->getAttrOfType<mlir::IntegerAttr>("fil.granule").getInt(), {}};
  }
  if (info.predictor || v.getAdapter()) info.families = int(v.getSite().count("[*]"));
  if (!v.getAdapter()) return;
  info.adapter = v.getAdapter()->convertToDouble();
  const auto slots = v->getParentOfType<mlir::ModuleOp>()->getAttrOfType<mlir::StringAttr>("fil.adapters");
  info.adapterSlots = slots && ir::strings(v.getDeclared()).front() == slots;
}

} // namespace fil
