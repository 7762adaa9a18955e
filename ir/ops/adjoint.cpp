// SPDX-License-Identifier: Apache-2.0
// The gradient of each body op.
#include "ir/ir.h"

using namespace mlir;
namespace fil::ir {
LogicalResult ConstantOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult SizeOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult IotaOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult RandomOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult MapOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult ReduceOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult ContractOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult GatherOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult ScatterOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult TopKOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult PresentOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult MemberOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult WindowOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult UnwindowOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult ConcatOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult SliceOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult UnsliceOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult RenameOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult BroadcastOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult StopGradOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
LogicalResult CacheOp::adjoint(GradBuilder &grad, ValueRange seeds) { return emitOpError("has no gradient rule"); }
} // namespace fil::ir
