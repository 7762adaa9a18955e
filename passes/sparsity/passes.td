// SPDX-License-Identifier: Apache-2.0
#ifndef FIL_SPARSITY_TD
#define FIL_SPARSITY_TD
include "mlir/Pass/PassBase.td"

def AddGatesPass : Pass<"fil-sparsity-add-gates", "::mlir::ModuleOp"> {
  let options = [Option<"tellNeurons", "neurons", "bool", "false", "a further entry, `neurons`, that tells how large all neurons are">];
  let summary = "what maps with the facet `gate` give is computed for a share of their neurons, chosen in each row or sample";
  let description = [{
    What: neurons are values h along the right side of a map that other maps sum (in windows perhaps), each made elementwise of products at its own place, of params and of statistics of all rows. A
    copy of what makes h, with the predictors `gate_A`, `gate_B` in place of the products (params beside the map), says how large h is expected to be; the sums of its magnitudes over
    granules are scores, `fil.highest` chooses, and `fil.mask .. chosen` leaves the others out of h, which the other maps read. With `samples` the scores are also summed over all but the samples, so that the
    mask has no positions; with rank 0 they are the mean magnitudes of what the products read times `gate_S`, once for each sample. `hysteresis` multiplies them by 1 + h * `gate_held`, a state that `train` writes. In
    `train` 0 is added, with a gradient of the scores: what their granules would give, over the mean of the row's scores. In `run` the products are masked too, where nobody else reads them, and what reads h
    is told that it is 0 outside: so products of few rows, and all products of samples, compute, and read weights for, what is chosen alone.
    With `neurons` the entry `neurons` is what `run` was, and returns the magnitudes of the neurons of each gate whose neurons may change places: whose maps and params nobody
    but the gate reads, in no function. These variables say by `fil.neurons` which result it is, and which dims of the result and of their own count the neurons.
    Why here: behind lora, which has changed products by then; before masks of weights and autodiff.
    Afterwards no facet `gate` is left in the site table.
  }];
}

def LimitMembersPass : Pass<"fil-sparsity-limit-members", "::mlir::ModuleOp"> {
  let summary = "a subset with a capacity has at most so many points for each member";
  let description = [{
    What: of the points that chose a member, the first ceil(capacity * rows * k / members) in the order of rows stay, where the facet `grouped` says a capacity. The
    choice is made as before; `fil.highest` over the rows, of what was chosen, says which stay, and a second `fil.topk`, masked by that, is what the
    program reads: as if the others had not been chosen. Rows are those of the call. A capacity of `members / k` or more drops nothing, and adds nothing.
    Why here: it changes what is computed, so before autodiff.
    The facet stays: sort-by-member consumes it.
  }];
}

def GatherMembersPass : Pass<"fil-sparsity-gather-members", "::mlir::ModuleOp"> {
  let summary = "products of gathered rows read them through the subset, where the plan says `gather`";
  let description = [{
    What: an operand `x[s*]` of a product, with 0 for members that do not exist, becomes x, read through the subset. It stays where it is rounded
    to 8 bits, whose scales are those of the rows that were gathered, and where granules of the other side are left out, which is done for rows that stand in memory.
    Why: rows that are gathered as a value stand in memory, for each point all of its members; read through the subset they are gathered a tile at a time.
    Why here: before autodiff, so that gradients read through the subset too and keep what is gathered from; last, on products as they stand by then.
    Afterwards no facet `gather` is left among those to come; the passes that schedule find it among what is consumed.
    IR: `fil.contract %q, %c through %s` in place of `fil.contract %q, %0` with `%0 = select(present %s, fil.gather %c at %s, 0)`.
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

def AddPatternsPass : Pass<"fil-sparsity-add-patterns", "::mlir::ModuleOp"> {
  let summary = "maps with the facet `blocks` are stored as the weights that they have, and their pattern";
  let description = [{
    What: a map `W: A -> B` has fewer positions along the last dim of A, `slots`; the state `W.pattern` says where they stand (n of m: eight bits for each group), or
    `W.slots` and `W.places` do (granules). Where products read it, inside of loops, it is `fil.expand` of these; of granules also masked, so that products leave them
    out. Where the map's adapter has `merge=masked`, values of the adapter are taken at the same places (`fil.compress`) and the sum is expanded. Gradients are
    compressed, so weights, what the optimizer keeps and gradients that leave a loop have the size of what is there. A density that leaves out nothing changes nothing.
    Why here: behind lora and gates, which know maps as they are; before qat, which then rounds values that are there, and autodiff, which transposes fil.expand.
    Afterwards no facet `blocks` is left in the site table.
    IR: `fil.expand %values by %bits "A" from ["A/4", "A/4:2"]`.
  }];
}
#endif
