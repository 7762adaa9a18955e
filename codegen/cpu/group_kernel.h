// SPDX-License-Identifier: Apache-2.0
// From a group to a kernel: what every emitter is given and gives back.
#pragma once
#include "codegen/cpu/kernel_builder.h"
#include "codegen/select/contraction.h"

namespace fil {

/// How a value stands in memory; of a subset the members, and their counts.
struct Placement {
  Layout layout, counts;
  bool constant = false; ///< of an input: no result is written into the same memory
};
struct GroupPlacement {
  std::vector<Placement> inputs, results;
};

/// A kernel and how to launch it. Buffers: inputs, then results, each tensor one, each subset two (members, counts).
struct EmittedKernel {
  KernelModule module;
  std::vector<Size> sizes;
  Size tiles, scratch;
  int64_t grain = 1;
  std::string what;
};

/// Groups that are computed row by row: maps, reductions, small contractions, scatters, windows, appends to caches, top-k.
EmittedKernel emitRows(const Target &, const ir::Dims &, bool f64, ir::GroupOp, const GroupPlacement &);

/// A contraction by register tiles with what follows it. The right side is packed into panels by a kernel of its own, whose buffers are
/// the group's inputs and `packed`; the product's buffers are inputs, results, `packed`.
struct EmittedContraction {
  EmittedKernel pack, product;
  Size packedBytes;
  ContractionDescriptor descriptor;
};
EmittedContraction emitContraction(const Target &, const ir::Dims &, bool f64, ir::GroupOp, const GroupPlacement &);
/// A group with strips: several contractions and what stands between them.
EmittedKernel emitStrips(const Target &, const ir::Dims &, bool f64, ir::GroupOp, const GroupPlacement &);

/// A contraction's group for few rows, where packing would cost more than it saves: the right side is read once for each row as it is.
struct FewRows {
  EmittedKernel kernel;
  Size rows;             ///< of the contraction
};
constexpr int64_t fewRows = 3;
FewRows emitFewRows(const Target &, const ir::Dims &, bool f64, ir::GroupOp, const GroupPlacement &);

} // namespace fil
