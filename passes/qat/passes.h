// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "mlir/Pass/Pass.h"

namespace fil::passes {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "passes/qat/passes.h.inc"
#undef GEN_PASS_REGISTRATION
} // namespace fil::passes
