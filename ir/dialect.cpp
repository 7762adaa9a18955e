// SPDX-License-Identifier: Apache-2.0
// The dialect's registration, and how its types are written.
#include "ir/ir.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

template <> struct mlir::FieldParser<llvm::APFloat> {
  static FailureOr<llvm::APFloat> parse(AsmParser &p) {
    double value;
    if (p.parseFloat(value)) return failure();
    return llvm::APFloat(value);
  }
};

#include "ir/dialect.cpp.inc"
#include "ir/enums.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "ir/types.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "ir/attrs.cpp.inc"
#include "ir/interfaces.cpp.inc"
#include "ir/facets.cpp.inc"
#define GET_OP_CLASSES
#include "ir/ops.cpp.inc"

using namespace mlir;
namespace fil::ir {

void FilDialect::initialize() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "ir/types.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "ir/attrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "ir/ops.cpp.inc"
      >();
}

// A dim that is a plain name is written bare: [B,T,"Y/2"].
static void printDim(AsmPrinter &p, StringRef dim) {
  bool bare = !dim.empty() && !std::isdigit((unsigned char)dim[0]) && llvm::all_of(dim, [](unsigned char c) { return std::isalnum(c) || c == '_'; });
  if (bare) p << dim;
  else p << '"' << dim << '"';
}
static ParseResult parseDim(AsmParser &p, StringAttr &dim) {
  std::string text;
  if (succeeded(p.parseOptionalString(&text))) {
    dim = StringAttr::get(p.getContext(), text);
    return success();
  }
  StringRef word;
  if (p.parseKeyword(&word)) return failure();
  dim = StringAttr::get(p.getContext(), word);
  return success();
}
static void printDims(AsmPrinter &p, ArrayRef<StringAttr> dims) {
  p << '[';
  llvm::interleave(dims, [&](StringAttr d) { printDim(p, d); }, [&] { p << ','; });
  p << ']';
}
static ParseResult parseDims(AsmParser &p, SmallVectorImpl<StringAttr> &dims) {
  return p.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&] { return parseDim(p, dims.emplace_back()); });
}

bool TensorType::has(StringRef dim) const {
  return llvm::any_of(getDims(), [&](StringAttr d) { return d.getValue() == dim; });
}
bool TensorType::isReal() const { return isa<RealType, Float32Type, Float64Type>(getElement()); }
std::optional<Format> TensorType::format() const {
  if (getElement().isBF16()) return Format::Bf16;
  if (getElement().isF16()) return Format::F16;
  if (isa<Float8E4M3FNType>(getElement())) return Format::E4M3;
  if (isa<Float8E5M2Type>(getElement())) return Format::E5M2;
  return getElement().isInteger(8) ? std::optional(Format::Int8) : std::nullopt;
}
int64_t bytesOf(Type value, int64_t realBytes) {
  auto t = dyn_cast<TensorType>(value);
  if (!t) return 4;
  if (auto f = t.format()) return bytesOf(*f);
  return t.isReal() ? realBytes : t.getElement().isInteger(16) ? 2 : isa<BoolType>(t.getElement()) ? 1 : 4;
}
Type elementOf(MLIRContext *ctx, Format f) {
  switch (f) {
  case Format::Bf16: return BFloat16Type::get(ctx);
  case Format::F16: return Float16Type::get(ctx);
  case Format::E4M3: return Float8E4M3FNType::get(ctx);
  case Format::E5M2: return Float8E5M2Type::get(ctx);
  default: return IntegerType::get(ctx, 8);
  }
}

void TensorType::print(AsmPrinter &p) const {
  p << '<';
  printDims(p, getDims());
  p << ", ";
  Type e = getElement();
  if (auto i = dyn_cast<IndexType>(e)) {
    p << "index<";
    printDim(p, i.getDim().getValue());
    p << '>';
  } else if (isa<RealType>(e)) p << "real";
  else if (isa<IntType>(e)) p << "int";
  else if (isa<BoolType>(e)) p << "bool";
  else p << e;
  p << '>';
}
Type TensorType::parse(AsmParser &p) {
  SmallVector<StringAttr> dims;
  MLIRContext *ctx = p.getContext();
  if (p.parseLess() || parseDims(p, dims) || p.parseComma()) return {};
  Type element;
  if (succeeded(p.parseOptionalKeyword("real"))) element = RealType::get(ctx);
  else if (succeeded(p.parseOptionalKeyword("int"))) element = IntType::get(ctx);
  else if (succeeded(p.parseOptionalKeyword("bool"))) element = BoolType::get(ctx);
  else if (succeeded(p.parseOptionalKeyword("index"))) {
    StringAttr of;
    if (p.parseLess() || parseDim(p, of) || p.parseGreater()) return {};
    element = IndexType::get(ctx, of);
  } else if (p.parseType(element)) return {};
  if (p.parseGreater()) return {};
  return TensorType::get(ctx, dims, element);
}

void SubsetType::print(AsmPrinter &p) const {
  p << '<';
  printDim(p, getOf());
  p << " per ";
  printDims(p, getPer());
  p << ", ";
  printDim(p, getMembers());
  p << '>';
}
Type SubsetType::parse(AsmParser &p) {
  StringAttr of, members;
  SmallVector<StringAttr> per;
  if (p.parseLess() || parseDim(p, of) || p.parseKeyword("per") || parseDims(p, per) || p.parseComma() ||
      parseDim(p, members) || p.parseGreater())
    return {};
  return SubsetType::get(p.getContext(), of, per, members);
}

// ---- the table of dims ----

ParseResult DimsOp::parse(OpAsmParser &p, OperationState &state) {
  SmallVector<Attribute> names, sizes;
  SmallVector<NamedAttribute> bounds;
  auto row = [&]() -> ParseResult {
    StringAttr name;
    if (parseDim(p, name)) return failure();
    names.push_back(name);
    std::string size = "?";
    if (succeeded(p.parseOptionalEqual()) && p.parseString(&size)) return failure();
    sizes.push_back(p.getBuilder().getStringAttr(size));
    std::string bound;
    if (succeeded(p.parseOptionalKeyword("atmost"))) {
      if (p.parseString(&bound)) return failure();
      bounds.push_back({name, p.getBuilder().getStringAttr(bound)});
    }
    return success();
  };
  if (p.parseCommaSeparatedList(AsmParser::Delimiter::Braces, row) || p.parseOptionalAttrDict(state.attributes)) return failure();
  auto &props = state.getOrAddProperties<Properties>();
  props.names = p.getBuilder().getArrayAttr(names);
  props.sizes = p.getBuilder().getArrayAttr(sizes);
  props.bounds = p.getBuilder().getDictionaryAttr(bounds);
  return success();
}
void DimsOp::print(OpAsmPrinter &p) {
  p << " {";
  llvm::interleaveComma(llvm::zip(getNames(), getSizes()), p, [&](auto row) {
    StringRef name = cast<StringAttr>(std::get<0>(row)).getValue(), size = cast<StringAttr>(std::get<1>(row)).getValue();
    printDim(p, name);
    if (size != "?") p << " = \"" << size << '"';
    if (auto b = dyn_cast_or_null<StringAttr>(getBounds().get(name))) p << " atmost " << b;
  });
  p << '}';
}
LogicalResult DimsOp::verify() {
  if (getNames().size() != getSizes().size()) return emitOpError("has ") << getNames().size() << " names and " << getSizes().size() << " sizes";
  llvm::SmallPtrSet<Attribute, 32> seen;
  for (auto [n, s] : llvm::zip(getNames(), getSizes())) {
    StringRef name = cast<StringAttr>(n).getValue(), size = cast<StringAttr>(s).getValue();
    if (!seen.insert(n).second) return emitOpError("names dim `") << name << "` twice";
    if (size != "?" && !Size::parse(size)) return emitOpError("size of `") << name << "` is no formula: " << size;
  }
  return success();
}

} // namespace fil::ir
