// SPDX-License-Identifier: Apache-2.0
// All ops, for one run of mlir-tblgen.
include "ir/ops/module.td"
include "ir/ops/body.td"
include "ir/ops/group.td"
