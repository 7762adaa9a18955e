// SPDX-License-Identifier: Apache-2.0
#ifndef FIL_LORA_TD
#define FIL_LORA_TD
include "mlir/Pass/PassBase.td"

def AddAdaptersPass : Pass<"fil-lora-add-adapters", "::mlir::ModuleOp"> {
  let summary = "params with the facet `lora` get adapters; all params of the model are frozen";
  let description = [{
    What: for a param `W: A -> B` the params `lora_A: A -> rank` and `lora_B: rank -> B` (stacked over loops and families as W is), and
    in place of `x @ W` the sum `x @ W + (x @ lora_A) * scale @ lora_B`. A use that no second pair of products can stand beside (W not
    contracted over A, or read as a tensor) gets `W + scale * lora_A·lora_B`. The entry `run` gets that sum for all uses where the facet's
    merge is `always` or `auto`: nothing is trained there, and what follows from params alone is computed once. `dora` multiplies by
    `(1 + lora_m) * |W| / |W + scale * lora_A·lora_B|`, norms over A, the second one without a gradient (Liu et al. 2024); lora_m begins as 0,
    so magnitudes are held relative to those of W.
    Why here: before autodiff, which then has no gradient of W to compute and saves nothing for it.
    Afterwards no facet `lora` is left in the site table, and only adapters are trained.
  }];
}
#endif
