// SPDX-License-Identifier: Apache-2.0
// The fil dialect: its name, the base class of all ops, and the enums they share.
#ifndef FIL_DIALECT_TD
#define FIL_DIALECT_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "ir/interfaces.td"

def Fil_Dialect : Dialect {
  let name = "fil";
  let cppNamespace = "::fil::ir";
  let summary = "Sparse models with named dims, before formats, devices and layouts are chosen";
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
}

// ---- enums ----

def Fil_Role : I32EnumAttr<"Role", "what an op of a training step is for", [
  I32EnumAttrCase<"forward", 0>, I32EnumAttrCase<"saved", 1>, I32EnumAttrCase<"dgrad", 2>,
  I32EnumAttrCase<"wgrad", 3>, I32EnumAttrCase<"update", 4>]> {
  let cppNamespace = "::fil::ir";
  let genSpecializedAttr = 0;
}
def Fil_RoleAttr : EnumAttr<Fil_Dialect, Fil_Role, "role"> { let assemblyFormat = "`<` $value `>`"; } // prints as `#fil.role<dgrad>`

def Fil_VariableKindAttr : I32EnumAttr<"VariableKind", "who writes a variable", [
  I32EnumAttrCase<"param", 0>, I32EnumAttrCase<"state", 1>, I32EnumAttrCase<"optimizer", 2>, I32EnumAttrCase<"cache", 3>]> {
  let cppNamespace = "::fil::ir";
}

def Fil_MapFnAttr : I32EnumAttr<"MapFn", "an elementwise function", [
  I32EnumAttrCase<"add", 0>, I32EnumAttrCase<"sub", 1>, I32EnumAttrCase<"mul", 2>, I32EnumAttrCase<"div", 3>,
  I32EnumAttrCase<"pow", 4>, I32EnumAttrCase<"mod", 5>, I32EnumAttrCase<"min", 6>, I32EnumAttrCase<"max", 7>,
  I32EnumAttrCase<"neg", 8>, I32EnumAttrCase<"abs", 9>, I32EnumAttrCase<"sign", 10>, I32EnumAttrCase<"exp", 11>,
  I32EnumAttrCase<"log", 12>, I32EnumAttrCase<"sqrt", 13>, I32EnumAttrCase<"rsqrt", 14>, I32EnumAttrCase<"sin", 15>,
  I32EnumAttrCase<"cos", 16>, I32EnumAttrCase<"tanh", 17>, I32EnumAttrCase<"erf", 18>, I32EnumAttrCase<"floor", 19>,
  I32EnumAttrCase<"ceil", 20>, I32EnumAttrCase<"eq", 21>, I32EnumAttrCase<"ne", 22>, I32EnumAttrCase<"lt", 23>,
  I32EnumAttrCase<"le", 24>, I32EnumAttrCase<"gt", 25>, I32EnumAttrCase<"ge", 26>, I32EnumAttrCase<"logical_and", 27, "and">,
  I32EnumAttrCase<"logical_or", 28, "or">, I32EnumAttrCase<"logical_not", 29, "not">, I32EnumAttrCase<"select", 30>,
  I32EnumAttrCase<"cast", 31>, I32EnumAttrCase<"pow2ceil", 32>, I32EnumAttrCase<"round", 33>]> {
  let cppNamespace = "::fil::ir";
}

def Fil_ReduceFnAttr : I32EnumAttr<"ReduceFn", "a reduction", [
  I32EnumAttrCase<"sum", 0>, I32EnumAttrCase<"min", 1>, I32EnumAttrCase<"max", 2>,
  I32EnumAttrCase<"argmin", 3>, I32EnumAttrCase<"argmax", 4>]> {
  let cppNamespace = "::fil::ir";
}

// ---- base class ----

// Arguments that every op inside a function has: the site that plans name (empty: none) and its role in a training step.
// Both are properties (inherent), so that no pass drops them.
class FilArgs<dag own> {
  dag all = !con(own, (ins DefaultValuedStrAttr<StrAttr, "">:$site,
                           DefaultValuedAttr<Fil_RoleAttr, "::fil::ir::Role::forward">:$role));
}

class Fil_Op<string mnemonic, list<Trait> traits = []> : Op<Fil_Dialect, mnemonic, traits>;
// An op of a program's body: pure, differentiable, with a cost.
class Fil_BodyOp<string mnemonic, list<Trait> traits = []>
    : Fil_Op<mnemonic, !listconcat(traits, [Pure, DeclareOpInterfaceMethods<Fil_Differentiable>,
                                            DeclareOpInterfaceMethods<Fil_Costed>])> {
  let hasVerifier = 1;
}

#endif
