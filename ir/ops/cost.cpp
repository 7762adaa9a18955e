// SPDX-License-Identifier: Apache-2.0
// What each body op costs.
#include "ir/ir.h"

using namespace mlir;
namespace fil::ir {
Cost ConstantOp::cost(const Dims &dims) { return {}; }
Cost SizeOp::cost(const Dims &dims) { return {}; }
Cost IotaOp::cost(const Dims &dims) { return {}; }
Cost RandomOp::cost(const Dims &dims) { return {}; }
Cost MapOp::cost(const Dims &dims) { return {}; }
Cost ReduceOp::cost(const Dims &dims) { return {}; }
Cost ContractOp::cost(const Dims &dims) { return {}; }
Cost GatherOp::cost(const Dims &dims) { return {}; }
Cost ScatterOp::cost(const Dims &dims) { return {}; }
Cost TopKOp::cost(const Dims &dims) { return {}; }
Cost PresentOp::cost(const Dims &dims) { return {}; }
Cost MemberOp::cost(const Dims &dims) { return {}; }
Cost WindowOp::cost(const Dims &dims) { return {}; }
Cost UnwindowOp::cost(const Dims &dims) { return {}; }
Cost ConcatOp::cost(const Dims &dims) { return {}; }
Cost SliceOp::cost(const Dims &dims) { return {}; }
Cost UnsliceOp::cost(const Dims &dims) { return {}; }
Cost RenameOp::cost(const Dims &dims) { return {}; }
Cost BroadcastOp::cost(const Dims &dims) { return {}; }
Cost StopGradOp::cost(const Dims &dims) { return {}; }
Cost CacheOp::cost(const Dims &dims) { return {}; }
} // namespace fil::ir
