// SPDX-License-Identifier: Apache-2.0
// What must hold of each body op.
#include "ir/ir.h"

using namespace mlir;
namespace fil::ir {
LogicalResult ConstantOp::verify() { return success(); }
LogicalResult SizeOp::verify() { return success(); }
LogicalResult IotaOp::verify() { return success(); }
LogicalResult RandomOp::verify() { return success(); }
LogicalResult MapOp::verify() { return success(); }
LogicalResult ReduceOp::verify() { return success(); }
LogicalResult ContractOp::verify() { return success(); }
LogicalResult GatherOp::verify() { return success(); }
LogicalResult ScatterOp::verify() { return success(); }
LogicalResult TopKOp::verify() { return success(); }
LogicalResult PresentOp::verify() { return success(); }
LogicalResult MemberOp::verify() { return success(); }
LogicalResult WindowOp::verify() { return success(); }
LogicalResult UnwindowOp::verify() { return success(); }
LogicalResult ConcatOp::verify() { return success(); }
LogicalResult SliceOp::verify() { return success(); }
LogicalResult UnsliceOp::verify() { return success(); }
LogicalResult RenameOp::verify() { return success(); }
LogicalResult BroadcastOp::verify() { return success(); }
LogicalResult StopGradOp::verify() { return success(); }
LogicalResult CacheOp::verify() { return success(); }
} // namespace fil::ir
