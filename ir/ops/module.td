// SPDX-License-Identifier: Apache-2.0
// What a module holds: the table of dims, sites, variables, functions.
#ifndef FIL_OPS_MODULE_TD
#define FIL_OPS_MODULE_TD

include "ir/facets.td"
include "mlir/Interfaces/FunctionInterfaces.td"

def Fil_DimsOp : Fil_Op<"dims"> {
  let summary = "the table of dims: names in canonical order, each with its size";
  let description = [{
    `fil.dims {B = ?, T = ?, D = 128, N = D/H, "s#7" = 512}`: a size is `?` (symbolic, its own symbol) or a formula in
    other names. `bounds` holds upper bounds of symbolic dims.
  }];
  let arguments = (ins StrArrayAttr:$names, StrArrayAttr:$sizes, DefaultValuedAttr<DictionaryAttr, "{}">:$bounds);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
}

def Fil_SiteOp : Fil_Op<"site"> {
  let summary = "a row of the site table: facets that a plan puts on a site (empty path: on the whole program)";
  let description = [{
    `fil.site "l[1..4].Attention.q" [#fil.lora<..>]`. The row's location is that of the clause in the plan. A pass that makes a facet part of the
    program moves it to `consumed`, with its own name; nothing else may take a facet away (passes/pipeline checks it after each pass).
  }];
  let arguments = (ins StrAttr:$path, ArrayAttr:$facets, DefaultValuedAttr<ArrayAttr, "{}">:$consumed);
  let assemblyFormat = "$path $facets (`consumed` $consumed^)? attr-dict";
  let hasVerifier = 1;
}

def Fil_VariableOp : Fil_Op<"variable", [Symbol]> {
  let summary = "storage: a param, a state, or what the optimizer keeps for a param";
  let description = [{
    `type` is the type of the whole storage: the dims of its loops (stacked turns) come with the others. `declared` is the
    order of the dims in files, one entry a turn's dims (loop dims not among them). `site` has a `[lo..hi]` for each loop.
    `kind` says who writes it: the optimizer (`param`), the program (`state`), the optimizer for itself (`optimizer`), or decoding
    (`cache`: its size follows the sequence). `trained`: a gradient reaches it. `adapter`: a plan has added it, its product with this scale. `map n`: of a map `A -> B`,
    on which weight decay acts: its right side begins at entry n of `declared`; before the left side stand dims of families, one for each `[*]` of `site`.
    `masked by`: the state that says which of its granules exist; the others are 0. That state has the `topology` by which it changes.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttr:$type, StrAttr:$site, Fil_InitAttr:$init,
                       StrArrayAttr:$declared, StrArrayAttr:$loops, DefaultValuedAttr<Fil_VariableKindAttr, "::fil::ir::VariableKind::param">:$kind, UnitAttr:$trained, OptionalAttr<F64Attr>:$adapter, OptionalAttr<I64Attr>:$map,
                       OptionalAttr<FlatSymbolRefAttr>:$optimizer, OptionalAttr<FlatSymbolRefAttr>:$mask, OptionalAttr<Fil_TopologyAttr>:$topology);
  let assemblyFormat = [{
    $kind (`trained` $trained^)? (`adapter` $adapter^)? (`map` $map^)? $sym_name `:` $type `init` $init `site` $site `declared` $declared
    `loops` $loops (`optimizer` $optimizer^)? (`masked` `by` $mask^)? (`topology` $topology^)? attr-dict
  }];
}

def Fil_FuncOp : Fil_Op<"func", [FunctionOpInterface, IsolatedFromAbove, Symbol, SingleBlock]> {
  let summary = "a function: model, loss, optimizer, or an entry point (init, step, eval, prefill, decode)";
  let description = [{
    Arguments carry `fil.name` (the input's name in the text); results too. `entry` names the entry point, empty for
    library functions.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<FunctionType>:$function_type, DefaultValuedStrAttr<StrAttr, "">:$entry,
                       OptionalAttr<DictArrayAttr>:$arg_attrs, OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::Region *getCallableRegion() { return &getBody(); }
    ::llvm::ArrayRef<::mlir::Type> getArgumentTypes() { return getFunctionType().getInputs(); }
    ::llvm::ArrayRef<::mlir::Type> getResultTypes() { return getFunctionType().getResults(); }
    ::llvm::StringRef inputName(unsigned i);
    ::llvm::StringRef outputName(unsigned i);
  }];
}

def Fil_ReturnOp : Fil_Op<"return", [Pure, Terminator, ParentOneOf<["FuncOp"]>]> {
  let arguments = (ins Variadic<Fil_Value>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
  let hasVerifier = 1;
}

#endif
