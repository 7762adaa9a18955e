// SPDX-License-Identifier: Apache-2.0
#ifndef FIL_TRAIN_TD
#define FIL_TRAIN_TD
include "mlir/Pass/PassBase.td"

def BuildStepPass : Pass<"fil-train-build-step", "::mlir::ModuleOp"> {
  let summary = "gradient, clip, optimizer and state updates become the entry `step`";
  let description = [{
    What: the entry `grad` gets the inputs `step` and `lr`, scales its gradients to the norm `clip`, runs each variable's optimizer function
    and writes variable and optimizer state; its outputs are `loss` and `grad_norm` (before the clip, over all variables).
    Why here: gradients exist, formats do not.
    What an optimizer keeps is a variable `SITE#NAME` of the param's type, first 0. The functions are gone afterwards.
  }];
  let options = [Option<"clip", "clip", "double", "0", "bound of the global gradient norm; 0: none">];
}

def MakeInitPass : Pass<"fil-train-make-init", "::mlir::ModuleOp"> {
  let summary = "adds the entry `init`, which writes the first value of every variable";
  let description = [{
    Random first values depend on seed, path of the site (turn included) and element alone.
  }];
}

def MakeDecodePass : Pass<"fil-train-make-decode", "::mlir::ModuleOp"> {
  let summary = "where the model has caches, adds the entries `prefill` and `decode` to `run`";
  let description = [{
    What: copies of `run` in which each `fil.cache` keeps its result in a variable of its own (`cache`): prefill starts it, decode
    appends to it (operand `past`). Loops stack their caches.
    What holds: S is n + T in both, n the positions kept so far (0 in prefill); the runtime binds it.
  }];
}

def AbsorbProductsPass : Pass<"fil-train-absorb-products", "::mlir::ModuleOp"> {
  let summary = "`decode` multiplies what is new, not all that is kept";
  let description = [{
    What: where a new position looks back through a map, `x . (c @ w)`, the map goes to its side: `(x @ w) . c`, or `(x . c) @ w`, whichever multiplies
    least where few positions are new and many are kept. Where that is not so, as behind a function of `c @ w`, what is computed of all positions
    for chosen members alone is computed of the members.
    What stays: products at a site whose operands have scales or are whole numbers, which are of just that product.
    Why here: of the model's order of operations, with which training saves work, `decode` is the exception, and it exists from here on.
  }];
}
#endif
