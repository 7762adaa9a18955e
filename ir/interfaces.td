// SPDX-License-Identifier: Apache-2.0
// How an op answers a pass. The knowledge sits with the op; no pass has a switch over ops.
#ifndef FIL_INTERFACES_TD
#define FIL_INTERFACES_TD

include "mlir/IR/OpBase.td"

def Fil_Differentiable : OpInterface<"Differentiable"> {
  let cppNamespace = "::fil::ir";
  let description = [{
    Reverse mode. `adjoint` gets the adjoints of the op's results (null: zero) and adds, through `grad.add(operand, value)`,
    what each operand's adjoint receives. It may emit only `fil` ops, at `grad`'s builder, and may use the op's operands and
    results (they are saved values). Discrete results and operands have none.
  }];
  let methods = [
    InterfaceMethod<"Emits the adjoints of the operands", "::llvm::LogicalResult", "adjoint",
      (ins "::fil::ir::GradBuilder &":$grad, "::mlir::ValueRange":$seeds)>,
  ];
}

def Fil_Costed : OpInterface<"Costed"> {
  let cppNamespace = "::fil::ir";
  let description = [{
    Cost as formulas in dims: floating-point operations (a multiply-add counts 2), and what is read and written, each operand and result once:
    elements of reals, whose bytes follow from the formats, and bytes of all else.
  }];
  let methods = [
    InterfaceMethod<"Operations, and what is moved", "::fil::ir::Cost", "cost", (ins "const ::fil::ir::Dims &":$dims)>,
  ];
}

#endif
