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
  bool variable = false; ///< of an input: stands in memory that the entry does not change
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

/// A contraction with what follows it. The right side is packed into panels by a kernel of its own, whose buffers are the group's inputs and
/// `packed`; then the buffers of each other kernel are inputs, results, `packed`.
struct EmittedContraction {
  std::optional<EmittedKernel> pack;    ///< none where no kernel reads panels
  Size packedBytes;
  llvm::SmallVector<unsigned> packs;    ///< the inputs that `pack` reads
  bool once = false;                    ///< they are variables: what is packed holds until one of them changes
  std::optional<EmittedKernel> few;     ///< for up to `limit` rows; reads panels if they are packed once
  int64_t limit = 0;
  std::optional<EmittedKernel> fewPack; ///< what `few` reads in place of `packed`; made once as well
  Size fewBytes;                        ///< of that
  std::optional<EmittedKernel> product; ///< by register tiles, for more; none where there never are
  Size rows;
  ContractionDescriptor descriptor;
};
enum class Rows { Many, PerhapsFew, One };
EmittedContraction emitContraction(const Target &, const ir::Dims &, bool f64, ir::GroupOp, const GroupPlacement &, Rows);
/// A contraction that takes the vectors at a subset's members one by one (vectorsOfMembers); none of others, and of vectors that do not stand in memory element behind element.
/// `few`: of so few points that vectors are read where they stand.
std::optional<EmittedKernel> emitMembers(const Target &, const ir::Dims &, bool f64, ir::GroupOp, const GroupPlacement &, bool few);
/// A group with strips: several contractions and what stands between them.
EmittedKernel emitStrips(const Target &, const ir::Dims &, bool f64, ir::GroupOp, const GroupPlacement &);

} // namespace fil
