// SPDX-License-Identifier: Apache-2.0
#ifndef FIL_SCHEDULE_TD
#define FIL_SCHEDULE_TD
include "mlir/Pass/PassBase.td"

def RecomputeSavedPass : Pass<"fil-schedule-recompute-saved", "::mlir::ModuleOp"> {
  let summary = "what a reverse loop computes again costs no memory in the forward one";
  let description = [{
    What: a value that each turn of a loop saves for its reverse is computed there again if that costs at most 64 additions an element
    (a function like exp counts 20, a division 6) from what is saved anyway, loop operands, and results of contractions, reductions,
    selections and random numbers, which stay saved or are saved instead. Of contractions those are computed again that have batch dims, a
    result of at least as many elements as both operands, and at most 128 steps to sum, like the scores of attention.
    Why: a saved element is written once and read once from memory, which takes longer than these operations; autodiff saves whatever a
    rule asks for, so it need not know the costs. Scores grow with the product of two lengths; computed again they need not be in memory at all (form-strips).
    A plan forces it: `none` keeps all, `attn` applies the rule to values with all the dims of such a contraction alone, `all` whatever a turn can do again from what it begins with,
    and named sites, with all within them, are done again at any cost. Choices (top-k, routes) are never made twice. Where what is kept will be rounded (`reductions`), sums and largest values are made again of it: a softmax of rounded scores by another's largest would have no bound.
    Afterwards: stacked results of forward loops are loop values, contractions, reductions and the like. The module's `fil.saved` has what became of each
    value that was saved, and why.
  }];
  let options = [Option<"rule", "rule", "std::string", "\"auto\"", "auto, none, attn or all">,
                 ListOption<"sites", "sites", "std::string", "with auto: computed again in any case">,
                 Option<"reductions", "reductions", "bool", "false", "of what is saved, computed again in any case: it will be rounded">];
}

def SortByMemberPass : Pass<"fil-schedule-sort-by-member", "::mlir::ModuleOp"> {
  let summary = "contractions over chosen members visit the points of one member together";
  let description = [{
    What: where a contraction reads one operand, or adds its result, at the members of a subset, and that operand (that result) has none of
    the subset's own dims, it gets a roster: the points sorted by what they chose. The other operand and the result must have all of these dims, or, where
    the result is added to, just these and the members are summed. If the members are summed too, they are summed behind it. In `decode`, which has few points, only
    of weights that are packed once for all calls: else it would pack what nobody chose.
    Where register tiles would be small it is done if the plan says `grouped`. Products of a subset that the plan has gathered are marked `fil.gather`, with
    the most members at a time (0: any), in all entries.
    Why: all points of one expert share its weights, so they fill register tiles, and no operation is done in vain.
    Afterwards no facet `grouped` is left in the site table.
    IR: `fil.contract %h, %w through %e over ["D"]` becomes `fil.contract %h, %w through %e sorted %r over ["D"]` with `%r = fil.roster %e`.
  }];
}

def WidenSubsetsPass : Pass<"fil-schedule-widen-subsets", "::mlir::ModuleOp"> {
  let summary = "contractions over chosen members become whole ones where that is faster";
  let description = [{
    What: a contraction that reads or adds at the members of a subset, of which there are at least 1/32 of the dim (both sizes known), is done
    over the whole dim: an operand with members is scattered to their places first, a result with members gathered afterwards. Not in `decode`,
    which has one position at a time and is bound by the weights that it reads. What is sorted by member, or marked `fil.gather`, stays as it is.
    Why: members that differ from point to point leave nothing for register tiles to share, and following them runs at about 1/100 of the
    speed of tiles. Attention over chosen positions is of this kind: each query has keys of its own.
    IR: `fil.contract %h, %w through %e` with %w over E and a result over e# becomes `fil.contract %h, %w` and `fil.gather .. at %e in "E"`.
  }];
}

def CompareIndicesPass : Pass<"fil-schedule-compare-indices", "::mlir::ModuleOp"> {
  let summary = "a scatter that adds at most once to each point becomes a choice at that point";
  let description = [{
    What: where the result of a scatter has every dim of y and of the index (a tensor, not a subset), an element is y where its position is the
    index and 0 elsewhere.
    Why: a scatter is a kernel of its own, which writes every zero to memory; a choice is computed where it is read. The gradient of
    `y[t]` in a cross-entropy is of this kind.
    IR: `fil.scatter %y at %t in "V"` becomes `fil.map select(%here, %y, %zero)` with `%here = fil.map eq(%iota, %t)`, `%t` cast to int.
  }];
}

def ExposeResultsPass : Pass<"fil-schedule-expose-results", "::mlir::ModuleOp"> {
  let summary = "every value that leaves a block is an op's own result, and every op is one that a kernel can compute alone";
  let description = [{
    What: (1) a contraction that adds into a subset's members becomes a contraction over the members and a scatter; (2) a sum over a
    whole tensor becomes a sum of rows and a sum of these, so that threads share it in an order that does not depend on them;
    (3) a value that leaves its block twice, or that is an argument or a loop's result, leaves it through a copy of its own.
    Why: what is grouped afterwards writes each result to one place.
    IR: `fil.reduce sum %g over ["D", "F"]` becomes `fil.reduce sum %g over ["F"]` and `fil.reduce sum %0 over ["D"]`.
  }];
}

def SplitSumsPass : Pass<"fil-schedule-split-sums", "::mlir::ModuleOp"> {
  let summary = "sums over scores become sums over their rows, and sums of these";
  let description = [{
    What: where a block sums or searches the rows of values that have the dims of a batched product (scores), a sum of such values over more dims, or of their
    product with what has some of these dims, is done for each row first; the rest is a sum of few numbers. Gradients of what is added to scores or scales
    them are such sums.
    Why here: form-strips keeps scores inside where all that reads them goes by their rows. Not in `decode`, which has no strips.
  }];
}

def FoldSumsPass : Pass<"fil-schedule-fold-sums", "::mlir::ModuleOp"> {
  let summary = "a sum over rows becomes one over the rows of a block and one over the blocks";
  let description = [{
    What: a sum over the leading dims of a tensor whose other dims are a row of 64 to 8192 elements, of at least 256 rows where that is known,
    is cut along the last summed dim: windows of 64 that touch make blocks (the last one is padded with zeros), a sum marked `fil.fold` adds
    up each block, and a second one the blocks. Not in `decode`, which has few rows.
    Why: gradients of gains and biases are such sums, of what the same rows compute anyway; a group that goes by rows adds to its block's sums
    while it has them at hand, and memory is read along the rows. Blocks follow from sizes alone, so bits do not depend on threads.
    IR: `fil.reduce sum %g over ["R"]` becomes `fil.window %g [<"R" by "R#block" to "R#blocks" stride 64 before 0>]`,
    `fil.reduce sum %0 over ["R#block"] {fil.fold}` and `fil.reduce sum %1 over ["R#blocks"]`.
  }];
}

def FormGroupsPass : Pass<"fil-schedule-form-groups", "::mlir::ModuleOp"> {
  let summary = "body ops become groups, one for each kernel";
  let description = [{
    What: values that must stand in memory or are dear to compute twice are kept: contractions, reductions, top-k, scatters, what enters
    or leaves a loop, a function or a variable, operands of contractions, and what has several users and costs more than a load. An op
    that keeps its result joins the group of its operands where both agree point by point on common dims, the group's rows; what is not
    kept is computed inside of each group that uses it. A contraction with at least one row, column and summed dim begins a group of its
    own, in which elementwise ops on its result follow as its epilogue; ops of the same rows whose values the epilogue reads move there if
    nobody before it reads them.
    Why here and not in a back end: every target reads the same groups, and `fil explain` tells one story.
    Afterwards: blocks hold groups, loops, reads, writes and their terminator.
  }];
}

def FormStripsPass : Pass<"fil-schedule-form-strips", "::mlir::ModuleOp"> {
  let summary = "groups that share values growing with the product of two lengths become one, which never writes them to memory";
  let description = [{
    What: a contraction with batch dims, like the scores of attention, the groups that read its result, those that make or read values of the
    same dims, and so on, become one group if one of these values is needed by none but them. Its tiles are points of the batch dims; within
    one, strips of rows follow each other: a strip holds some rows of every value, whole along their other dims, so each op is computed as
    before. A contraction whose result has the strip's rows is a part of the strip; one that sums them is added to strip by strip, in their
    order. Not in `decode`, which has few rows.
    Why: a score is made, used, and used again for gradients without being in memory; nothing of the softmax needs to be known for that.
    IR: three groups of scores, softmax and mixture become one with the attribute `fil.strip = "T"` and the rows `["B", "H"]`.
  }];
}
#endif
