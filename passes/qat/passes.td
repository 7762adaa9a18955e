// SPDX-License-Identifier: Apache-2.0
#ifndef FIL_QAT_TD
#define FIL_QAT_TD
include "mlir/Pass/PassBase.td"

def FakeQuantizePass : Pass<"fil-qat-fake-quantize", "::mlir::ModuleOp"> {
  let summary = "maps with the facet `qat`, and what they are multiplied by, become whole numbers times scales";
  let description = [{
    What: where a map W is multiplied, `round(clamp(W / s))` is, and the product times s; all other readers get `s * round(clamp(W / s))`. With `acts` the other operand x is
    `round(clamp(x / t))`, and the product times t. A scale is `qat_scale * (1 + qat_gain/8)^8`: the first is a state, 0 until `train` begins to quantise, and then what suits
    the values that it sees; the other is a param. With a scale of 0 nothing is rounded. Scales of a map that is not trained are what suits its values, and no variables.
    A sum of whole numbers is one in f32 too, up to 2^24; so `fil convert` puts whole numbers in W's place without a change of bits.
    Why here: behind adapters, gates and masks, which say what is multiplied; before autodiff, which passes gradients straight through `round`.
    Afterwards no facet `qat` is left in the site table.
  }];
}

def KeepWholePass : Pass<"fil-qat-keep-whole", "::mlir::ModuleOp"> {
  let summary = "maps that are not trained are kept as whole numbers times scales";
  let description = [{
    What: of a map W with the facet `whole` the variable becomes one of whole numbers, and beside it stand the params `W.scale` and, with `acts`, `W.in_scale`. Products of W are those
    of the whole numbers times the scale, with `acts` of whole numbers on both sides, which are in memory as bytes; other readers get numbers times scale. So a program that `qat` has trained
    computes the same bits. Numbers of four bits or fewer share bytes along the last dim of the left side (`fil.unpack`). In `init` the largest magnitude of what shares a scale becomes the largest number.
    Why here: behind gradients, which go through W as it is, and before other formats, which round what W is multiplied by.
    Afterwards no facet `whole` is left in the site table.
  }];
}
#endif
