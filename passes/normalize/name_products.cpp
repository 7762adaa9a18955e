// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "ir/layers.h"
#include "passes/normalize/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_NAMEPRODUCTSPASS
#include "passes/normalize/passes.h.inc"
namespace {

struct NameProductsPass : impl::NameProductsPassBase<NameProductsPass> {
  void runOnOperation() override {
    getOperation().walk([](ContractOp c) {
      for (Value v : {c.getLhs(), c.getRhs()})
        if (VariableOp param = paramOf(v)) c.setSite(param.getSite());
    });
  }
};
} // namespace
} // namespace fil::passes
