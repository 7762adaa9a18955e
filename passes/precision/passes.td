// SPDX-License-Identifier: Apache-2.0
#ifndef FIL_PRECISION_TD
#define FIL_PRECISION_TD
include "mlir/Pass/PassBase.td"

def AddLevelsPass : Pass<"fil-precision-add-levels", "::mlir::ModuleOp"> {
  let summary = "sites with formats that adapt get a level, and training an entry that looks at what rounding does";
  let description = [{
    What: each param that is trained and multiplied in a format of 8 or 16 bits gets the states `SITE#level` and `SITE#steady`, 0 at first, for each turn of its loops. `observe` is a copy of `step`; products of
    both are rounded as levels say, and those of `observe` report what each format would do to them, by fil-precision-round-operands. Who trains sets the levels.
    Why here: the step exists; and before its operands are rounded.
    Consumes `adapt` facets.
  }];
}

def RoundOperandsPass : Pass<"fil-precision-round-operands", "::mlir::ModuleOp"> {
  let summary = "operands of products, and what maps give, are rounded to the formats of their sites";
  let description = [{
    What: each operand of a contraction becomes `dequantize(quantize(x))` in the format of the contraction's site and role, with scales where the format has
    8 bits; what a map gives becomes it for all its readers. Params are rounded before their loop, once for all its turns; what a loop saves is
    saved in the narrow format. Of a site with a level, each format's rounding stands beside the others, and the level chooses. A contraction so has one meaning: products of rounded numbers, which are exact in f32, summed in f32.
    Why here: roles exist; and before saved values are computed again, which then have the same bits.
    Consumes `format` facets.
  }];
}

def KeepFrozenPass : Pass<"fil-precision-keep-frozen", "::mlir::ModuleOp"> {
  let summary = "a param that nothing trains is kept in the 16-bit format that all its readers round it to";
  let description = [{
    What: the variable becomes one of that format, and its readers read it; the first value is rounded. Frozen maps without an adapter, and all maps of a program that does not
    train, so take half the bytes, and give the same bits.
    Why here: behind the rounding of products, when what else read the param is gone.
  }];
}

def NarrowStatePass : Pass<"fil-precision-narrow-state", "::mlir::ModuleOp"> {
  let summary = "params are kept in two parts, what the optimizer keeps in narrow formats";
  let description = [{
    What: with `master` split a param that is trained, and no adapter, is a bf16, which all products and readers of the forward pass read, and beside it `#low`, the 16 bits that are lost by
    it: the optimizer joins them to the f32 that they are, and parts it again. What the optimizer keeps is of the formats `moments`: one for all, or `m=e4m3` for the state of that
    name; 8 bits have a scale for 128 neighbours (`#m.scale`). It is rounded at random, which is right in the mean: a second moment changes by less than a bf16 can show in a step.
    Why here: steps exist; and before products are rounded, which then read the bf16 as it is.
  }];
  let options = [Option<"master", "master", "std::string", "\"f32\"", "f32 or split">, ListOption<"moments", "moments", "std::string", "formats">,
                 Option<"nearest", "nearest", "bool", "false", "round to the nearest">];
}

def NarrowCachesPass : Pass<"fil-precision-narrow-caches", "::mlir::ModuleOp"> {
  let summary = "what can be looked back at is kept in narrow formats";
  let description = [{
    What: what a `fil.cache` appends is rounded to the format of `formats`: one for all, or `ks=e4m3` for those of that name; 8 bits have a scale for 128 neighbours of one position (`ks#scale`), which
    is kept beside. In all entries alike: training looks back at the numbers that decoding has.
    Why here: prefill and decode exist; and before products are rounded, which see what is of their format already.
  }];
  let options = [ListOption<"formats", "formats", "std::string", "formats">];
}

def NarrowSavedPass : Pass<"fil-precision-narrow-saved", "::mlir::ModuleOp"> {
  let summary = "what loops save for their gradient is kept in a narrow format";
  let description = [{
    What: a real value that turns of a loop save, and nothing but the reverse loop reads, is rounded to `format` where it is saved and made wide where it is read; 8 bits have a scale for
    128 neighbours of the last dim of known length, or of a longer one where that is short, and never of a loop's dim. The forward pass reads what it did. Random numbers stay as they are, and values of less than a 64th
    of the loop's largest one, or that would not be smaller. A module without the entry `step` is left alone.
    Why here: behind fil-schedule-recompute-saved, which runs in this stage then: what is computed again is made of what is kept, and costs no rounding of its own.
    IR: `fil.yield .., %v` and a stacked `%s` in the reverse become `%q = fil.quantize %v`, `fil.yield .., %q`, and `fil.dequantize %s`.
  }];
  let options = [Option<"format", "format", "std::string", "\"bf16\"", "bf16, f16, e4m3 or e5m2">];
}

def ChooseFormatsPass : Pass<"fil-precision-choose-formats", "::mlir::ModuleOp"> {
  let summary = "`real` becomes a number format";
  let description = [{
    What: every `real` becomes the plan's default format; sums are formed in it too.
    Why here: after training steps exist, because forward, data gradient and weight gradient may differ in format.
    Afterwards no type holds `real`.
  }];
  let options = [Option<"format", "default", "std::string", "\"f32\"", "f32 or f64">];
}
#endif
