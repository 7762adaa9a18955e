// SPDX-License-Identifier: Apache-2.0
// Attributes: first values of variables, windows.
#ifndef FIL_ATTRS_TD
#define FIL_ATTRS_TD

include "ir/types.td"

class Fil_Attr<string name, string mnem, list<Trait> traits = []> : AttrDef<Fil_Dialect, name, traits> { let mnemonic = mnem; }

def Fil_InitKind : I32EnumAttr<"InitKind", "kind of first value", [
  I32EnumAttrCase<"constant", 0>, I32EnumAttrCase<"normal", 1>, I32EnumAttrCase<"uniform", 2>]> {
  let cppNamespace = "::fil::ir";
  let genSpecializedAttr = 0;
}
def Fil_InitAttr : Fil_Attr<"Init", "init"> {
  let summary = "constant a; normal with mean a and deviation b; uniform from a to b";
  let parameters = (ins EnumParameter<Fil_InitKind>:$kind, APFloatParameter<"">:$first, APFloatParameter<"">:$second);
  let assemblyFormat = "`<` $kind `,` $first `,` $second `>`";
  let builders = [AttrBuilder<(ins "::fil::ir::InitKind":$kind, "double":$a, "double":$b), [{
    return $_get($_ctxt, kind, ::llvm::APFloat(a), ::llvm::APFloat(b));
  }]>];
  let extraClassDeclaration = [{
    double a() const { return getFirst().convertToDouble(); }
    double b() const { return getSecond().convertToDouble(); }
  }];
}

def Fil_WindowDimAttr : Fil_Attr<"WindowDim", "window_dim"> {
  let summary = "`in` position = out * stride + window - before";
  let parameters = (ins "::mlir::StringAttr":$in, "::mlir::StringAttr":$window, "::mlir::StringAttr":$out, "int64_t":$stride, "int64_t":$before);
  let assemblyFormat = "`<` $in `by` $window `to` $out `stride` $stride `before` $before `>`";
}
def Fil_WindowDims : TypedArrayAttrBase<Fil_WindowDimAttr, "window dims">;

#endif
