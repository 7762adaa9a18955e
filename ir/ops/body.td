// SPDX-License-Identifier: Apache-2.0
// The few ops of which every program consists. Softmax, norms, optimizers and the like are Filigree functions; none is an op.
#ifndef FIL_OPS_BODY_TD
#define FIL_OPS_BODY_TD

include "ir/attrs.td"

// ---- sources ----

def Fil_ConstantOp : Fil_BodyOp<"constant"> {
  let summary = "a scalar real, int or bool";
  let arguments = FilArgs<(ins F64Attr:$value)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$value attr-dict `:` type($result)";
}
def Fil_SizeOp : Fil_BodyOp<"size"> {
  let summary = "the value of a formula in dims, as a scalar real or int";
  let arguments = FilArgs<(ins StrAttr:$size)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$size attr-dict `:` type($result)";
}
def Fil_IotaOp : Fil_BodyOp<"iota"> {
  let summary = "positions 0, 1, .. of a dim: int[dim]";
  let arguments = FilArgs<(ins StrAttr:$dim)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$dim attr-dict `:` type($result)";
}
def Fil_RandomOp : Fil_BodyOp<"random"> {
  let summary = "uniform (0,1) or standard normal: Philox4x32-10, a pure function of seed, stream, step and element";
  let description = [{
    key = seed xor fnv1a64(stream), where each `[lo..hi]` of the stream (the site's path) is replaced by `[turn]`, one operand of
    `turns` for each, outermost first; counter = (step, index of the element in the canonical order of the result's dims, those of
    the turns left out). So a value depends on seed, path and element alone: tile, thread, shard, recomputation and the way equal
    turns are stacked never change it. A turn is a scalar or stands along its loop's dim.
  }];
  let arguments = FilArgs<(ins Fil_Tensor:$seed, Fil_Tensor:$step, Variadic<Fil_Tensor>:$turns, StrAttr:$stream, UnitAttr:$normal)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = [{
    (`normal` $normal^)? $stream `seed` $seed `step` $step (`turns` `(` $turns^ `)`)? attr-dict `:` functional-type(operands, $result)
  }];
}

// ---- elementwise, reductions, contractions ----

def Fil_MapOp : Fil_BodyOp<"map"> {
  let summary = "an elementwise function over the union of the operands' dims";
  let arguments = FilArgs<(ins Fil_MapFnAttr:$fn, Variadic<Fil_Tensor>:$args)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$fn `(` $args `)` attr-dict `:` functional-type($args, $result)";
}
def Fil_ReduceOp : Fil_BodyOp<"reduce"> {
  let summary = "a reduction over dims; argmin and argmax take one dim, give index<dim>, ties to the lowest";
  let description = "`accum` is the type in which sums are formed: real until the precision pass.";
  let arguments = FilArgs<(ins Fil_ReduceFnAttr:$fn, Fil_Tensor:$x, StrArrayAttr:$over, OptionalAttr<TypeAttr>:$accum)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$fn $x `over` $over attr-dict `:` functional-type($x, $result)";
}
def Fil_ContractOp : Fil_BodyOp<"contract", [AttrSizedOperandSegments]> {
  let summary = "sum over dims of the product of two tensors";
  let description = [{
    The iteration space is the union of the dims of lhs, rhs and result, but where a subset `s#7` of `S` among `subsets`
    is given and an operand (or the result) has `S` while the iteration has `s#7`: that operand is read (the result: added to)
    at the members, positions idx[per.., s#7] of `S`, and the subset's `per` dims belong to the iteration. A result dim that no
    operand has is not allowed. Dims of the iteration that the result lacks are summed: `over` lists them. Members that do not exist
    (beyond the count) contribute nothing. This form is closed under differentiation.
    A `roster` of the one subset changes no meaning: it lets the points be visited member by member, so that those of one member share what is
    read there.
  }];
  let arguments = FilArgs<(ins Fil_Tensor:$lhs, Fil_Tensor:$rhs, Variadic<Fil_Subset>:$subsets, Optional<Fil_Tensor>:$roster, StrArrayAttr:$over,
                           OptionalAttr<TypeAttr>:$accum)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = [{
    $lhs `,` $rhs (`through` $subsets^)? (`sorted` $roster^)? `over` $over attr-dict `:` functional-type(operands, $result)
  }];
}

// ---- indices and subsets ----

def Fil_GatherOp : Fil_BodyOp<"gather"> {
  let summary = "`x[i]`: dim V of x is replaced by the dims of the index; dims that both have are aligned";
  let description = [{
    `index` is an index<V> tensor or a subset of V. Through a subset, members that do not exist read 0.
  }];
  let arguments = FilArgs<(ins Fil_Tensor:$x, Fil_Value:$index, StrAttr:$dim)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$x `at` $index `in` $dim attr-dict `:` functional-type(operands, $result)";
}
def Fil_ScatterOp : Fil_BodyOp<"scatter"> {
  let summary = "the transpose of gather: y added into zeros at the index; sums over dims of y and the index that the result lacks";
  let description = [{
    In a fixed order (ascending positions of y), so that bits do not depend on threads. Members that do not exist add nothing.
  }];
  let arguments = FilArgs<(ins Fil_Tensor:$y, Fil_Value:$index, StrAttr:$dim)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$y `at` $index `in` $dim attr-dict `:` functional-type(operands, $result)";
}
def Fil_TopKOp : Fil_BodyOp<"topk"> {
  let summary = "the k highest of each row over `dim`, as a subset; ties to the lowest position, NaN and masked never, members ascending";
  let description = "k is the size of the subset's members dim. Depends on all other dims of the score. With fewer candidates the count is smaller.";
  let arguments = FilArgs<(ins Fil_Tensor:$score, Optional<Fil_Tensor>:$mask, StrAttr:$dim)>.all;
  let results = (outs Fil_Subset:$result);
  let assemblyFormat = "$score (`mask` $mask^)? `over` $dim attr-dict `:` functional-type(operands, $result)";
}
def Fil_HighestOp : Fil_BodyOp<"highest"> {
  let summary = "bool: is the element among the `count` highest over dims? ties to the lowest position, NaN never";
  let description = "Positions are counted row-major in the canonical order of `over`. `count` is an int that has none of these dims; below 0 it is 0.";
  let arguments = FilArgs<(ins Fil_Tensor:$score, Fil_Tensor:$count, StrArrayAttr:$over)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$score `count` $count `over` $over attr-dict `:` functional-type(operands, $result)";
}
def Fil_MaskOp : Fil_BodyOp<"mask"> {
  let summary = "x where its granule is in the mask, else 0";
  let description = [{
    `granules` are pairs of a dim of x and the dim of the mask that counts its granules: element a of a dim A belongs to granule
    a / (|A| / |granules|), of equal lengths. All other dims of the mask are dims of x. Where the mask is false x is not read: 0, whatever stands there.
    `kept` is how many of how many granules are there, where their number is always the same. `chosen`: in each row others, so that only kernels of
    few rows leave out what the mask does. `zeros`: x is 0 there, and may be read in place of the result.
  }];
  let arguments = FilArgs<(ins Fil_Tensor:$x, Fil_Tensor:$mask, StrArrayAttr:$granules, OptionalAttr<DenseI64ArrayAttr>:$kept, UnitAttr:$chosen, UnitAttr:$zeros)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$x `by` $mask `granules` $granules (`kept` $kept^)? (`chosen` $chosen^)? (`zeros` $zeros^)? attr-dict `:` functional-type(operands, $result)";
  let extraClassDeclaration = [{
    /// Elements of x's dim that a position of the mask along `granule` stands for.
    static int64_t length(const ::fil::ir::Dims &dims, ::mlir::StringAttr dim, ::mlir::StringAttr granule);
    /// Neighbours along a dim of x that are masked alike: all where the mask does not depend on it. 0 where that is not known.
    int64_t lengthAlong(const ::fil::ir::Dims &dims, ::mlir::StringAttr dim);
    /// At most so much of it is there.
    ::fil::Size share() { return getKept() ? ::fil::Size(::fil::Rational((*getKept())[0], (*getKept())[1])) : ::fil::Size(1); }
  }];
}
// Of a dim `dim` = outer * inner one of the two is thinned: the values have `slots` there, fewer positions, which the pattern gives their places. `parts` are the two
// dims of the values in place of `dim`, the outer one first; all other dims are the same.
// n of m: the inner one is thinned; `pattern` is [outer, ..] of bits in whole numbers of 8, bit i says that position i is there, and slots follow in order.
// Granules: the outer one is; `pattern` is the slot of a granule, below 0 where it is not there, `places` the granule of a slot; both count granules along the
// dims of `granules` as fil.mask does, `dim` first.
def Fil_ExpandOp : Fil_BodyOp<"expand"> {
  let summary = "the values at their places of a dim, 0 elsewhere";
  let arguments = FilArgs<(ins Fil_Tensor:$x, Fil_Tensor:$pattern, Optional<Fil_Tensor>:$places, StrAttr:$dim, StrArrayAttr:$parts, StrArrayAttr:$granules)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$x `by` $pattern (`places` $places^)? $dim `from` $parts `granules` $granules attr-dict `:` functional-type(operands, $result)";
}
def Fil_CompressOp : Fil_BodyOp<"compress"> {
  let summary = "the transpose of expand: of a dim what has a slot";
  let arguments = FilArgs<(ins Fil_Tensor:$x, Fil_Tensor:$pattern, Optional<Fil_Tensor>:$places, StrAttr:$dim, StrArrayAttr:$parts, StrArrayAttr:$granules)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$x `by` $pattern (`places` $places^)? $dim `into` $parts `granules` $granules attr-dict `:` functional-type(operands, $result)";
}
// Both have a scale for each tile: `tiles` are pairs of a dim of x and the dim of the scale that counts its tiles, `lengths` their lengths; element a of
// the dim belongs to tile a / length, the last one may be shorter. All other dims of the scale are dims of x.
def Fil_QuantizeOp : Fil_BodyOp<"quantize", [AttrSizedOperandSegments]> {
  let summary = "x, over its tile's scale, as the nearest number of a narrower format; of two the even one";
  let description = [{
    bf16 and f16: what is too large becomes infinity; f8E4M3FN and f8E5M2: the largest number (Micikevicius et al. 2022). NaN stays NaN. With `random`, uniform
    in (0, 1), the magnitude is rounded up where that is below its distance from the next lower number, in steps of the format, else down: right in the mean.
  }];
  let arguments = FilArgs<(ins Fil_Tensor:$x, Optional<Fil_Tensor>:$scale, Optional<Fil_Tensor>:$random, DefaultValuedAttr<StrArrayAttr, "{}">:$tiles, DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$lengths)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$x (`scale` $scale^ `tiles` $tiles $lengths)? (`random` $random^)? attr-dict `:` functional-type(operands, $result)";
}
def Fil_DequantizeOp : Fil_BodyOp<"dequantize"> {
  let summary = "the numbers of a narrower format as reals, times their tile's scale";
  let arguments = FilArgs<(ins Fil_Tensor:$x, Optional<Fil_Tensor>:$scale, DefaultValuedAttr<StrArrayAttr, "{}">:$tiles, DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$lengths)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$x (`scale` $scale^ `tiles` $tiles $lengths)? attr-dict `:` functional-type(operands, $result)";
}
def Fil_UnpackOp : Fil_BodyOp<"unpack"> {
  let summary = "whole numbers that lie several to a byte, as reals";
  let description = [{
    Of `bits` bits each, in two's complement: number i along `dim` is the bits from bits * (i % n) on of byte i / n along `packed`, n = 8 / bits.
  }];
  let arguments = FilArgs<(ins Fil_Tensor:$x, StrAttr:$dim, StrAttr:$packed, I64Attr:$bits)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$x $dim `from` $packed `bits` $bits attr-dict `:` functional-type(operands, $result)";
}
def Fil_PartOp : Fil_BodyOp<"part"> {
  let summary = "of x in f32 the nearest bf16, or the 16 bits that are lost by it";
  let description = [{
    The bits of f32 are `high` times 2^16 plus `low`, an i16 from -2^15 to 2^15 - 1: of two nearest, `high` is the one away from 0. NaN has one `high`.
  }];
  let arguments = FilArgs<(ins Fil_Tensor:$x, UnitAttr:$low)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "(`low` $low^)? $x attr-dict `:` functional-type($x, $result)";
}
def Fil_JoinOp : Fil_BodyOp<"join"> {
  let summary = "the f32 of its two parts";
  let arguments = FilArgs<(ins Fil_Tensor:$high, Fil_Tensor:$low)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$high `,` $low attr-dict `:` functional-type(operands, $result)";
}
def Fil_PresentOp : Fil_BodyOp<"present"> {
  let summary = "bool [per.., members]: which members of a subset exist";
  let arguments = FilArgs<(ins Fil_Subset:$subset)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$subset attr-dict `:` functional-type($subset, $result)";
}
def Fil_MemberOp : Fil_BodyOp<"member"> {
  let summary = "index<of> [per.., members]: the members' positions";
  let arguments = FilArgs<(ins Fil_Subset:$subset)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$subset attr-dict `:` functional-type($subset, $result)";
}
def Fil_RosterOp : Fil_BodyOp<"roster"> {
  let summary = "the points (per.., members) of a subset in the order of the positions that stand there: int[|of| + 2 + points]";
  let description = [{
    Points are flat numbers, row-major in (per.., members). Element i <= |of| is the place, among the sorted points, where those of
    position i begin (|of|: those whose member does not exist), element |of| + 1 the number of points; then come the points, ascending within a position.
  }];
  let arguments = FilArgs<(ins Fil_Subset:$subset)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$subset attr-dict `:` functional-type($subset, $result)";
}

// ---- views ----

def Fil_WindowOp : Fil_BodyOp<"window"> {
  let summary = "sliding windows: each `in` dim becomes `out` and `window`; positions outside read 0";
  let arguments = FilArgs<(ins Fil_Tensor:$x, Fil_WindowDims:$windows)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$x $windows attr-dict `:` functional-type($x, $result)";
}
def Fil_UnwindowOp : Fil_BodyOp<"unwindow"> {
  let summary = "the transpose of window: adds each window into its place";
  let arguments = FilArgs<(ins Fil_Tensor:$y, Fil_WindowDims:$windows)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$y $windows attr-dict `:` functional-type($y, $result)";
}
def Fil_ConcatOp : Fil_BodyOp<"concat"> {
  let summary = "operands joined along `dims` (one for each operand) into dim `into`; operands broadcast to the other dims";
  let arguments = FilArgs<(ins Variadic<Fil_Tensor>:$args, StrArrayAttr:$dims, StrAttr:$into)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "`(` $args `)` $dims `into` $into attr-dict `:` functional-type($args, $result)";
}
def Fil_SliceOp : Fil_BodyOp<"slice"> {
  let summary = "positions from .. from + size of dim `into`, of dim `dim`; an empty `into` takes one position and drops the dim";
  let arguments = FilArgs<(ins Fil_Tensor:$x, StrAttr:$dim, StrAttr:$from, StrAttr:$into)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$x $dim `from` $from `into` $into attr-dict `:` functional-type($x, $result)";
}
def Fil_UnsliceOp : Fil_BodyOp<"unslice"> {
  let summary = "the transpose of slice: y at its place of `dim`, 0 elsewhere";
  let arguments = FilArgs<(ins Fil_Tensor:$y, StrAttr:$dim, StrAttr:$from, StrAttr:$into)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$y $dim `from` $from `into` $into attr-dict `:` functional-type($y, $result)";
}
def Fil_RenameOp : Fil_BodyOp<"rename"> {
  let summary = "the same elements, dim `from` called `to`";
  let arguments = FilArgs<(ins Fil_Tensor:$x, StrAttr:$from, StrAttr:$to)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$x $from `to` $to attr-dict `:` functional-type($x, $result)";
}
def Fil_BroadcastOp : Fil_BodyOp<"broadcast"> {
  let summary = "x repeated along the dims that it lacks";
  let arguments = FilArgs<(ins Fil_Tensor:$x)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$x attr-dict `:` functional-type($x, $result)";
}
def Fil_StopGradOp : Fil_BodyOp<"stopgrad"> {
  let summary = "x, without a gradient; gone after autodiff";
  let arguments = FilArgs<(ins Fil_Tensor:$x)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$x attr-dict `:` functional-type($x, $result)";
}
def Fil_CacheOp : Fil_BodyOp<"cache"> {
  let summary = "what can be looked back at: in train and eval `from` renamed to `to`; in prefill and decode kept and appended";
  let description = [{
    With `past` (prefill, decode) the first S - T positions of the result are those of `past`, the last T those of x; `past` has
    dim S too (its last T positions are not read), so that the append can be done in place.
  }];
  let arguments = FilArgs<(ins Fil_Tensor:$x, Optional<Fil_Tensor>:$past, StrAttr:$from, StrAttr:$to)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$x (`past` $past^)? $from `to` $to attr-dict `:` functional-type(operands, $result)";
}

// ---- variables, loops, the step ----

def Fil_ReadOp : Fil_Op<"read", [MemoryEffects<[MemRead]>, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a variable as it was at the start of the step (a function's top level only)";
  let arguments = FilArgs<(ins FlatSymbolRefAttr:$variable)>.all;
  let results = (outs Fil_Tensor:$result);
  let assemblyFormat = "$variable attr-dict `:` type($result)";
}
def Fil_WriteOp : Fil_Op<"write", [MemoryEffects<[MemWrite]>, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a variable's value at the end of the step (a function's top level only; once a variable)";
  let arguments = FilArgs<(ins FlatSymbolRefAttr:$variable, Fil_Tensor:$value)>.all;
  let assemblyFormat = "$variable `,` $value attr-dict `:` type($value)";
}
def Fil_AuxOp : Fil_Op<"aux", [MemoryEffects<[MemWrite]>, DeclareOpInterfaceMethods<Fil_Differentiable>]> {
  let summary = "a further loss, a scalar; its gradient goes to `trains` alone, or everywhere if that is absent";
  let description = "`trains` are values: the reads (or, in a loop, the stacked arguments) of the params. Gone after autodiff.";
  let arguments = FilArgs<(ins Fil_Tensor:$value, Variadic<Fil_Tensor>:$trains, UnitAttr:$restricted)>.all;
  let assemblyFormat = "$value (`trains` $restricted^ `(` $trains `)`)? attr-dict `:` type($value) (`,` type($trains)^)?";
}
def Fil_LayersOp : Fil_Op<"layers", [AttrSizedOperandSegments, IsolatedFromAbove, SingleBlock, RecursiveMemoryEffects,
                                     DeclareOpInterfaceMethods<Fil_Differentiable>, DeclareOpInterfaceMethods<Fil_Costed>]> {
  let hasVerifier = 1;
  let summary = "turns lo..hi of a loop: equal bodies, run one after the other";
  let description = [{
    Region arguments: the turn (int scalar), the carried values, the stacked operands' slices (their loop dim removed), the
    shared operands. The body yields the carried values, then values that are stacked (they get the loop dim). Results: the
    carried values after the last turn, then the stacked ones. A stacked subset gets the loop dim among its `per`.
    `reverse` runs the turns from last to first. `dim` is the loop dim, of size hi - lo.
  }];
  let arguments = FilArgs<(ins Variadic<Fil_Value>:$carried, Variadic<Fil_Value>:$stacked, Variadic<Fil_Value>:$shared,
                           StrAttr:$index, StrAttr:$dim, I64Attr:$lo, I64Attr:$hi, UnitAttr:$reverse)>.all;
  let results = (outs Variadic<Fil_Value>:$results);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = [{
    ::mlir::Block &block() { return getBody().front(); }
    ::mlir::BlockArgument turn() { return block().getArgument(0); }
    ::mlir::Block::BlockArgListType carriedArgs() { return block().getArguments().slice(1, getCarried().size()); }
    ::mlir::Block::BlockArgListType stackedArgs() { return block().getArguments().slice(1 + getCarried().size(), getStacked().size()); }
    ::mlir::Block::BlockArgListType sharedArgs() { return block().getArguments().take_back(getShared().size()); }
    ::mlir::OperandRange yielded();            ///< carried, then stacked
    ::mlir::ResultRange stackedResults() { return getResults().drop_front(getCarried().size()); }
  }];
}
def Fil_YieldOp : Fil_Op<"yield", [Pure, Terminator, ParentOneOf<["LayersOp", "GroupOp"]>]> {
  let arguments = (ins Variadic<Fil_Value>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
}

#endif
