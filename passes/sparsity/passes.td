// SPDX-License-Identifier: Apache-2.0
#ifndef FIL_SPARSITY_TD
#define FIL_SPARSITY_TD
include "mlir/Pass/PassBase.td"

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
