// SPDX-License-Identifier: Apache-2.0
// Facets: how a plan has a site computed. Each is an attribute in the module's site table (`fil.site`); no op carries one.
//
// Why a table and not attributes of ops: passes clone, merge and replace ops, and drop what they do not know. A site's path outlives them.
#ifndef FIL_FACETS_TD
#define FIL_FACETS_TD

include "ir/attrs.td"

def Fil_FacetKind : I32EnumAttr<"FacetKind", "kinds of facets, in the order of composition.def", [
  I32EnumAttrCase<"gather", 0>, I32EnumAttrCase<"grouped", 1>, I32EnumAttrCase<"gate", 2>, I32EnumAttrCase<"topology", 3>,
  I32EnumAttrCase<"blocks", 4>, I32EnumAttrCase<"qat", 5>, I32EnumAttrCase<"lora", 6>, I32EnumAttrCase<"format", 7>,
  I32EnumAttrCase<"adapt", 8>, I32EnumAttrCase<"remat", 9>, I32EnumAttrCase<"replica", 10>, I32EnumAttrCase<"shard", 11>,
  I32EnumAttrCase<"stage", 12>, I32EnumAttrCase<"wire", 13>, I32EnumAttrCase<"distill", 14>, I32EnumAttrCase<"order", 15>]> {
  let cppNamespace = "::fil::ir";
  let genSpecializedAttr = 0;
}

def Fil_Facet : AttrInterface<"Facet"> {
  let cppNamespace = "::fil::ir";
  let description = "What the passes, the check of pairs and `fil explain` ask of a facet.";
  let methods = [
    InterfaceMethod<"Its kind", "::fil::ir::FacetKind", "kind">,
    InterfaceMethod<"Is the facet about this op? A param is asked with the role forward.", "bool", "appliesTo",
      (ins "::mlir::Operation *":$op, "::fil::ir::Role":$role)>,
    InterfaceMethod<"What the plan writes, of kinds that have no parameters of their own; else null", "::mlir::DictionaryAttr", "written",
      (ins), [{}], [{ return {}; }]>,
    InterfaceMethod<"What becomes of a site that has this facet and the other one; the same in either order", "::fil::ir::Verdict", "compose",
      (ins "::fil::ir::Facet":$other), [{}], [{ return ::fil::ir::composed($_attr, other); }]>,
    InterfaceMethod<"What it adds to the program at this param or op, beside the same without it", "::fil::ir::FacetCost", "cost",
      (ins "::mlir::Operation *":$op, "const ::fil::ir::Dims &":$dims), [{}], [{ return {}; }]>,
  ];
}

class Fil_FacetAttr<string name, string kindName, string more = ""> : Fil_Attr<name, kindName, [Fil_Facet]> {
  let extraClassDeclaration = "::fil::ir::FacetKind kind() const { return ::fil::ir::FacetKind::" # kindName # "; }\n"
                              "bool appliesTo(::mlir::Operation *op, ::fil::ir::Role role) const;\n" # more;
}
// Kinds that no pass acts on yet hold their clause's settings as the plan writes them; a pass brings its kind's parameters.
class Fil_WrittenFacet<string name, string kindName> : Fil_FacetAttr<name, kindName, "::mlir::DictionaryAttr written() const { return getSettings(); }"> {
  let parameters = (ins "::mlir::DictionaryAttr":$settings);
  let assemblyFormat = "`<` $settings `>`";
}
def Fil_RematAttr : Fil_WrittenFacet<"Remat", "remat">;
def Fil_ReplicaAttr : Fil_WrittenFacet<"Replica", "replica">;   // settings: dim, axis
def Fil_ShardAttr : Fil_WrittenFacet<"Shard", "shard">;         // settings: dim, axis
def Fil_StageAttr : Fil_WrittenFacet<"Stage", "stage">;         // settings: axis
def Fil_WireAttr : Fil_WrittenFacet<"Wire", "wire">;
def Fil_DistillAttr : Fil_WrittenFacet<"Distill", "distill">;
def Fil_OrderAttr : Fil_WrittenFacet<"Order", "order">;

// How a subset is executed. Both are about the op that chooses; products through its result are found by the name of its members.
def Fil_GatherAttr : Fil_FacetAttr<"Gather", "gather"> {
  let summary = "products read the rows of a subset's members where these stand, at most `block` members at a time; 0: as many as the compiler takes";
  let parameters = (ins "int64_t":$block);
  let assemblyFormat = "`<` `block` $block `>`";
}
def Fil_GroupedAttr : Fil_FacetAttr<"Grouped", "grouped"> {
  let summary = "products visit the points of a subset member by member";
  let description = [{
    With a capacity above 0 each member has at most ceil(capacity * points / members) points, those of the lowest rows, points = rows * k; what is
    too many is as if it had not been chosen.
  }];
  let parameters = (ins APFloatParameter<"">:$capacity);
  let assemblyFormat = "`<` `capacity` $capacity `>`";
}

def Fil_GateAttr : Fil_FacetAttr<"Gate", "gate", [{
    ::fil::ir::FacetCost cost(::mlir::Operation *op, const ::fil::ir::Dims &dims) const;
    /// Of so many granules.
    double kept(double granules) const;
  }]> {
  let summary = "of what a map gives, the granules of which its predictor expects most are computed, in each row or sample; the others are 0";
  let description = [{
    A granule is so many neighbours of the map's right side. The predictor of `W: A -> B` is a product of rank `rank`, `gate_A: A -> rank` and
    `gate_B: rank -> B` (Davis and Arel 2013): with it in place of the map, the sum of magnitudes over a granule says what is expected of it. `rank` 0: it is
    `gate_S: A -> B`, with the mean magnitude of what the map reads, over all positions of a sample (Gao et al. 2019). `samples`: the dim that counts them; all positions
    of a sample have one choice. `keep` 0: how many are chosen is a state, `gate_keep`. `hysteresis`: so much of its score is added to a granule that has been chosen
    always, as the state `gate_held` remembers.
  }];
  let parameters = (ins APFloatParameter<"">:$keep, "int64_t":$rank, "int64_t":$granule, APFloatParameter<"">:$hysteresis, OptionalParameter<"::mlir::StringAttr">:$samples);
  let assemblyFormat = "`<` `keep` $keep `rank` $rank `granule` $granule `hysteresis` $hysteresis (`samples` $samples^)? `>`";
}

def Fil_TopologyMethod : I32EnumAttr<"TopologyMethod", "how a mask of weights changes", [
  I32EnumAttrCase<"rigl", 0>, I32EnumAttrCase<"set", 1>, I32EnumAttrCase<"prune", 2>]> {
  let cppNamespace = "::fil::ir";
  let genSpecializedAttr = 0;
}
def Fil_TopologyAttr : Fil_FacetAttr<"Topology", "topology", [{
    ::fil::ir::FacetCost cost(::mlir::Operation *op, const ::fil::ir::Dims &dims) const;
    /// Of so many granules.
    double kept(double granules) const;
  }]> {
  let summary = "a map has a share `density` of its granules; each `every` steps the least are dropped and as many others grown";
  let description = [{
    A granule is `left` by `right` neighbours of the last dims of the map's two sides; left 0: the whole left side. Before the share `until` of the run, in
    each `every`-th step, `rigl` (Evci et al. 2020) drops the share alpha/2 (1 + cos(pi p / until)) of least magnitude, p the share of the run that is over,
    and grows those of the largest gradient; `set` (Mocanu et al. 2018) drops the share alpha and grows at random; `prune` (Zhu and Gupta 2017) leaves
    the share density + (1 - density)(1 - p / until)^3 of the largest magnitude, p that of the next time, and grows none.
  }];
  let parameters = (ins EnumParameter<Fil_TopologyMethod>:$method, APFloatParameter<"">:$density, "int64_t":$every, APFloatParameter<"">:$alpha,
                        APFloatParameter<"">:$until, "int64_t":$left, "int64_t":$right);
  let assemblyFormat = "`<` $method `density` $density `every` $every `alpha` $alpha `until` $until `granule` $left $right `>`";
}

def Fil_BlocksAttr : Fil_FacetAttr<"Blocks", "blocks", [{
    ::fil::ir::FacetCost cost(::mlir::Operation *op, const ::fil::ir::Dims &dims) const;
    /// Of so many positions of the left side's last dim (of a group, or of all granules along it) that are chosen from.
    int64_t kept(int64_t positions) const;
    /// n of m neighbours in each group; else granules.
    bool grouped() const { return getOf() != 0; }
  }]> {
  let summary = "a map has so many of its weights along the left side's last dim, and these alone are stored";
  let description = [{
    `n of m`: of each m neighbours along that dim n, chosen for each position of the other dims (Mishra et al. 2021). With `density`: of the granules along it, `left` by `right`
    neighbours of the last dims of the two sides, that share, the same number for each position of the others. Which ones is chosen once: at random, or by the magnitudes of dense
    weights that a run begins with.
  }];
  let parameters = (ins "int64_t":$n, "int64_t":$of, APFloatParameter<"">:$density, "int64_t":$left, "int64_t":$right);
  let assemblyFormat = "`<` $n `of` $of `density` $density `granule` $left $right `>`";
}

def Fil_ScalesPer : I32EnumAttr<"ScalesPer", "what of a map shares a scale", [I32EnumAttrCase<"channel", 0>, I32EnumAttrCase<"tensor", 1>]> {
  let cppNamespace = "::fil::ir";
  let genSpecializedAttr = 0;
}
def Fil_QatAttr : Fil_FacetAttr<"Qat", "qat", [{
    ::fil::ir::FacetCost cost(::mlir::Operation *op, const ::fil::ir::Dims &dims) const;
  }]> {
  let summary = "a map is trained as whole numbers of `bits` bits times scales, and so is what it is multiplied by, where `acts` is not 0";
  let description = [{
    Fake quantisation (Jacob et al. 2018) with learned scales (Esser et al. 2020): w becomes s * round(clamp(w / s)), with its gradient straight through. It begins where `warm` of the
    last `steps` of the run are over (0: of the whole run). `per` is about the map: each position of its right side has a scale, or all have one; each member of a family
    has its own.
  }];
  let parameters = (ins "int64_t":$bits, "int64_t":$acts, EnumParameter<Fil_ScalesPer>:$per, "int64_t":$steps, APFloatParameter<"">:$warm);
  let assemblyFormat = "`<` `bits` $bits `acts` $acts `per` $per `steps` $steps `warm` $warm `>`";
}

def Fil_LoraInit : I32EnumAttr<"LoraInit", "which of A and B begins at random; the other is 0, so their product is", [
  I32EnumAttrCase<"gauss", 0>, I32EnumAttrCase<"zero", 1>]> {
  let cppNamespace = "::fil::ir";
  let genSpecializedAttr = 0;
}
def Fil_LoraVariant : I32EnumAttr<"LoraVariant", "how an adapter is scaled", [
  I32EnumAttrCase<"plain", 0>, I32EnumAttrCase<"rs", 1>, I32EnumAttrCase<"dora", 2>]> {
  let cppNamespace = "::fil::ir";
  let genSpecializedAttr = 0;
}
def Fil_Merge : I32EnumAttr<"Merge", "where the weight and its adapter become one weight", [
  I32EnumAttrCase<"automatic", 0, "auto">, I32EnumAttrCase<"always", 1>, I32EnumAttrCase<"never", 2>, I32EnumAttrCase<"masked", 3>]> {
  let cppNamespace = "::fil::ir";
  let genSpecializedAttr = 0;
}
def Fil_LoraAttr : Fil_FacetAttr<"Lora", "lora", "double scale(int64_t rank) const;\n::fil::ir::FacetCost cost(::mlir::Operation *op, const ::fil::ir::Dims &dims) const;"> {
  let summary = "a param `W: A -> B` becomes `W + scale * A·B`, A: A -> rank and B: rank -> B; W is frozen";
  let description = [{
    Hu et al., LoRA (2021). The scale is alpha / rank, of `rs` alpha / sqrt(rank) (Kalajdzievski 2023); alpha 0 stands for the rank.
  }];
  let parameters = (ins "int64_t":$rank, APFloatParameter<"">:$alpha, EnumParameter<Fil_LoraInit>:$init,
                        EnumParameter<Fil_LoraVariant>:$variant, EnumParameter<Fil_Merge>:$merge);
  let assemblyFormat = "`<` `rank` $rank `alpha` $alpha `init` $init `variant` $variant `merge` $merge `>`";
}

// The formats of a site's products. Each role's operands are rounded to the role's format before they are multiplied; products are exact and summed in f32.
def Fil_SiteFormat : I32EnumAttr<"SiteFormat", "a number format of a plan", [
  I32EnumAttrCase<"f32", 0>, I32EnumAttrCase<"bf16", 1>, I32EnumAttrCase<"f16", 2>, I32EnumAttrCase<"e4m3", 3>, I32EnumAttrCase<"e5m2", 4>,
  I32EnumAttrCase<"f64", 5>]> {
  let cppNamespace = "::fil::ir";
  let genSpecializedAttr = 0;
}
def Fil_FormatAttr : Fil_FacetAttr<"Format", "format", [{
    ::fil::ir::SiteFormat of(::fil::ir::Role role) const;
    /// Does it round to 8 bits or fewer?
    bool coarse() const;
    ::fil::ir::FacetCost cost(::mlir::Operation *op, const ::fil::ir::Dims &dims) const;
  }]> {
  let summary = "operands of products are rounded to a format for each role, what maps give to `out`";
  let description = [{
    Scales are taken over tiles of `activations` and `weights`, which are pairs: neighbours along the last dim that the product does not sum, and along the last
    one that it sums; 0 stands for all of the operand's dims of that sort.
  }];
  let parameters = (ins EnumParameter<Fil_SiteFormat>:$forward, EnumParameter<Fil_SiteFormat>:$dgrad, EnumParameter<Fil_SiteFormat>:$wgrad,
                        EnumParameter<Fil_SiteFormat>:$out, ArrayRefParameter<"int64_t">:$activations, ArrayRefParameter<"int64_t">:$weights);
  let assemblyFormat = "`<` $forward `dgrad` $dgrad `wgrad` $wgrad `out` $out `activations` `[` $activations `]` `weights` `[` $weights `]` `>`";
}

def Fil_AdaptAttr : Fil_FacetAttr<"Adapt", "adapt"> {
  let summary = "each site's products have a level, which is its own format or a wider one of bf16 and f32; each `every` steps training looks at what rounding does to them";
  let parameters = (ins "int64_t":$every);
  let assemblyFormat = "`<` `every` $every `>`";
}

// Of the same kind: a site has one or the other.
def Fil_WholeAttr : Fil_Attr<"Whole", "whole", [Fil_Facet]> {
  let summary = "a map that is not trained is kept as whole numbers of `bits` bits times scales; with `acts` it is multiplied by whole numbers times a scale";
  let parameters = (ins "int64_t":$bits, "int64_t":$acts, EnumParameter<Fil_ScalesPer>:$per);
  let assemblyFormat = "`<` `bits` $bits `acts` $acts `per` $per `>`";
  let extraClassDeclaration = [{
    ::fil::ir::FacetKind kind() const { return ::fil::ir::FacetKind::format; }
    bool appliesTo(::mlir::Operation *op, ::fil::ir::Role role) const;
    ::fil::ir::FacetCost cost(::mlir::Operation *op, const ::fil::ir::Dims &dims) const;
  }];
}

def Fil_ConsumedAttr : Fil_Attr<"Consumed", "consumed"> {
  let summary = "a facet that a pass has made part of the program";
  let parameters = (ins "::mlir::Attribute":$facet, "::mlir::StringAttr":$by);
  let assemblyFormat = "`<` $facet `by` $by `>`";
}

#endif
