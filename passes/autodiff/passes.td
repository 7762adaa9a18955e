// SPDX-License-Identifier: Apache-2.0
#ifndef FIL_AUTODIFF_TD
#define FIL_AUTODIFF_TD
include "mlir/Pass/PassBase.td"

def DifferentiatePass : Pass<"fil-autodiff-differentiate", "::mlir::ModuleOp"> {
  let summary = "reverse mode: the entry `train` becomes `grad`";
  let description = [{
    What: adds to `train` the adjoint of its output `loss` with respect to every trained variable, as results with `fil.grad = @variable`.
    Why here: after everything that changes the forward program, before the formats are chosen, which may differ between roles.
    How: the rule stands with each op (interface Differentiable); this pass walks the block backwards and keeps the adjoints. A loop is
    reversed by a loop: values of a turn that its adjoint needs leave the forward loop stacked.

    Before: `fil.func entry "train" @train(%x) -> (%y {fil.name = "y"}, %loss {fil.name = "loss"})` with `fil.aux`, `fil.stopgrad`.
    After:  `fil.func entry "grad" @train(%x) -> (.., %dw {fil.grad = @w})`; no `fil.aux` and no `fil.stopgrad` is left in it; each op has a
    role: `forward`, `saved` (forward, and kept for the reverse), `dgrad` (adjoints of values), `wgrad` (adjoints of variables alone).
    A variable that nothing trains has no such result, and a warning.
  }];
}

def VerifyRolesPass : Pass<"fil-autodiff-verify-roles", "::mlir::ModuleOp"> {
  let summary = "no op uses a result of a later role";
  let description = [{
    Holds after autodiff: forward and saved ops use no adjoint, dgrad ops use no wgrad result. So forward, all dgrad, then all
    wgrad is an order in which the program can run. Changes nothing; an error names both ops.
  }];
}
#endif
