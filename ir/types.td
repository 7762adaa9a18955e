// SPDX-License-Identifier: Apache-2.0
// Types. A tensor is a set of named dims (held in the canonical order of the module's dim table, so equal types are
// pointer-equal) and an element; `real` has no format until the precision pass.
#ifndef FIL_TYPES_TD
#define FIL_TYPES_TD

include "ir/dialect.td"

class Fil_Type<string name, string mnem, list<Trait> traits = []> : TypeDef<Fil_Dialect, name, traits> {
  let mnemonic = mnem;
}

def Fil_RealType : Fil_Type<"Real", "real"> { let summary = "a real number, its format undecided"; }
def Fil_IntType : Fil_Type<"Int", "int"> { let summary = "a 32-bit whole number"; }
def Fil_BoolType : Fil_Type<"Bool", "bool"> { let summary = "true or false"; }
def Fil_IndexType : Fil_Type<"Index", "index"> {
  let summary = "a position of a dim";
  let parameters = (ins "::mlir::StringAttr":$dim);
  let assemblyFormat = "`<` $dim `>`";
}

def Fil_TensorType : Fil_Type<"Tensor", "tensor"> {
  let summary = "named dims and an element: `!fil.tensor<[B,T,D], real>`";
  let parameters = (ins ArrayRefParameter<"::mlir::StringAttr">:$dims, "::mlir::Type":$element);
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = [{
    bool has(::mlir::StringAttr dim) const { return ::llvm::is_contained(getDims(), dim); }
    bool has(::llvm::StringRef dim) const;
    /// Real before the precision pass, f32 or f64 after it.
    bool isReal() const;
    /// Of narrower numbers: those that fil.quantize and fil.part make, and fil.dequantize and fil.join read.
    std::optional<::fil::Format> format() const;
    TensorType withElement(::mlir::Type element) const { return get(getContext(), getDims(), element); }
  }];
}

def Fil_SubsetType : Fil_Type<"Subset", "subset"> {
  let summary = "a subset of dim `of` for each point of `per`; its members are the dim `members`";
  let description = [{
    `!fil.subset<S per [B,T], "s#7">`. The size of `s#7` in the dim table is the bound k; a subset may have fewer members.
    Members are ascending. At run time: int32 indices [per.., s#7] and an int32 count [per..].
  }];
  let parameters = (ins "::mlir::StringAttr":$of, ArrayRefParameter<"::mlir::StringAttr">:$per, "::mlir::StringAttr":$members);
  let hasCustomAssemblyFormat = 1;
}

def Fil_Tensor : Type<CPred<"::llvm::isa<::fil::ir::TensorType>($_self)">, "fil tensor", "::fil::ir::TensorType">;
def Fil_Subset : Type<CPred<"::llvm::isa<::fil::ir::SubsetType>($_self)">, "fil subset", "::fil::ir::SubsetType">;
def Fil_Value : AnyTypeOf<[Fil_Tensor, Fil_Subset]>;

#endif
