// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"
#include "mlir/IR/AttrTypeSubElements.h"
#include "passes/precision/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_CHOOSEFORMATSPASS
#include "passes/precision/passes.h.inc"
namespace {

struct ChooseFormatsPass : impl::ChooseFormatsPassBase<ChooseFormatsPass> {
  using ChooseFormatsPassBase::ChooseFormatsPassBase;

  void runOnOperation() override {
    MLIRContext *ctx = &getContext();
    Type chosen = format == "f64" ? Type(Float64Type::get(ctx)) : format == "f32" ? Type(Float32Type::get(ctx)) : Type();
    if (!chosen) {
      getOperation().emitError() << "there is no format `" << format << "` on this target; write f32 or f64";
      return signalPassFailure();
    }
    AttrTypeReplacer replacer;
    replacer.addReplacement([&](RealType) { return chosen; });
    replacer.recursivelyReplaceElementsIn(getOperation(), true, false, true);
  }
};
} // namespace
} // namespace fil::passes
