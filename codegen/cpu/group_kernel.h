// SPDX-License-Identifier: Apache-2.0
// From a group to a kernel: what every emitter is given and gives back.
#pragma once
#include "codegen/cpu/kernel_builder.h"

namespace fil {

/// How a value stands in memory; of a subset the members, and their counts.
struct Placement {
  Layout layout, counts;
  bool constant = false; ///< of an input: no result is written into the same memory
};
struct GroupPlacement {
  llvm::SmallVector<Placement> inputs, results;
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

} // namespace fil
