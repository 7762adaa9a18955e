// SPDX-License-Identifier: Apache-2.0
// What a group's kernel does, by the cost model, and where its text stands: for explain and profiles.
#pragma once
#include "ir/ir.h"

namespace fil {

/// Operations of all ops of the group. Bytes: inputs and results once each, as what is between them stays in registers and caches; of a
/// table that is gathered from only the rows that are asked for, of a cache only what is appended.
struct GroupWork { Size flops, bytes; };
GroupWork workOf(ir::GroupOp, const ir::Dims &, bool f64);

/// What made a value: `model.fil:7 map exp at l[0..4].FeedForward`. Where the line is one of the standard library's, that of an op of its
/// group or of a site around it, in a program's file.
std::string originOf(mlir::Value);

} // namespace fil
