// SPDX-License-Identifier: Apache-2.0
#ifndef FIL_PRECISION_TD
#define FIL_PRECISION_TD
include "mlir/Pass/PassBase.td"

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
