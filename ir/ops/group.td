// SPDX-License-Identifier: Apache-2.0
// Fusion groups: what a target turns into one kernel.
#ifndef FIL_OPS_GROUP_TD
#define FIL_OPS_GROUP_TD

include "ir/attrs.td"

def Fil_GroupOp : Fil_Op<"group", [IsolatedFromAbove, SingleBlock, Pure]> {
  let summary = "ops that one kernel computes, point by point of the dims `rows`";
  let description = [{
    Operands and results stand in memory. Inside, ops that are marked `fil.kept` are computed once for each row, in their order, and
    stay resident until the row is done; all others are computed at each point where they are used. Points of `rows` do not depend
    on each other, so they are the tiles of the kernel. A group whose first kept op is a contraction marked `fil.tiled` is computed by register tiles; its rows
    are all dims of the contraction's result, and what follows it is its epilogue. A group with the attribute `fil.strip` has several such
    contractions: at a point of its rows it is computed strip by strip along that dim, and what has no such dim is a sum over the strips.
    A sum marked `fil.fold` (over windows that touch, of the last of the rows) adds up over the rows of a block, in their order: then blocks
    of rows are the tiles.
  }];
  let arguments = (ins Variadic<Fil_Value>:$inputs, StrArrayAttr:$rows);
  let results = (outs Variadic<Fil_Value>:$results);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::Block &block() { return getBody().front(); }
    ::mlir::OperandRange yielded();
    /// The dim along which the group is computed strip by strip, or null.
    ::mlir::StringAttr strip() { return (*this)->getAttrOfType<::mlir::StringAttr>("fil.strip"); }
    /// The contraction that is computed by register tiles, or null; of several the first.
    ::fil::ir::ContractOp tiled();
    static bool kept(::mlir::Operation *op) { return op->hasAttr("fil.kept"); }
  }];
}

#endif
