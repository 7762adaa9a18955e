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
#endif
