// SPDX-License-Identifier: Apache-2.0
#ifndef FIL_SPARSITY_TD
#define FIL_SPARSITY_TD
include "mlir/Pass/PassBase.td"

def AddGatesPass : Pass<"fil-sparsity-add-gates", "::mlir::ModuleOp"> {
  let summary = "what maps with the facet `gate` give is computed for a share of their neurons, chosen in each row";
  let description = [{
    What: neurons are values h along the right side of a map that other maps sum, each made elementwise of products at its own place, and of params. A copy of what makes h, with
    the predictors `gate_A`, `gate_B` in place of the products (params beside the map), says how large h is expected to be; the sums of its magnitudes over
    granules are scores, `fil.highest` chooses, and `fil.mask .. chosen` leaves the others out of h, which the other maps read. In `train` 0 is
    added, with a gradient of the scores: what their granules would give, over the mean of the row's scores. In `run` the products are masked too, where nobody else reads them, and what reads h is told
    that it is 0 outside: so products of few rows compute, and read weights for, what is chosen alone.
    Why here: behind lora, which has changed products by then; before masks of weights and autodiff.
    Afterwards no facet `gate` is left in the site table.
  }];
}

def AddMasksPass : Pass<"fil-sparsity-add-masks", "::mlir::ModuleOp"> {
  let summary = "maps with the facet `topology` get masks";
  let description = [{
    What: for a map `W: A -> B` the state `W.mask`, a bool for each granule (stacked over loops and families as W is), and in place of W the value
    `fil.mask W by W.mask` in all entries. Where the map's adapter has `merge=masked`, the sum of weight and adapter is masked instead. A density that
    leaves out no granule adds nothing.
    Why here: behind lora, whose products stand beside the masked one; before autodiff, so that gradients are masked by the op's own rule. How the mask
    changes is made in train (the entry `edit`), which has gradients.
    Afterwards no facet `topology` is left in the site table.
  }];
}
#endif
