// SPDX-License-Identifier: Apache-2.0
// The fil dialect in C++: types, attributes, ops, the dim table, costs, and the builder that gradients are written with.
#pragma once
#include "runtime/base/formats.h"
#include "runtime/base/size.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "ir/dialect.h.inc"
#include "ir/enums.h.inc"
#include "ir/facets.h"
#define GET_TYPEDEF_CLASSES
#include "ir/types.h.inc"
#define GET_ATTRDEF_CLASSES
#include "ir/attrs.h.inc"

namespace fil::ir {

/// What an op costs, as formulas in dims: operations (a multiply-add counts 2), and what is moved, each operand and result once.
struct Cost {
  Size flops;
  Size reals; ///< elements read or written, of real (or a format)
  Size bytes; ///< of whole numbers, indices and bools read or written
  Size moved(int64_t realBytes) const { return Size(realBytes) * reals + bytes; }
  friend Cost operator+(const Cost &a, const Cost &b) { return {a.flops + b.flops, a.reals + b.reals, a.bytes + b.bytes}; }
  friend Cost operator*(const Size &n, const Cost &c) { return {n * c.flops, n * c.reals, n * c.bytes}; }
  friend bool operator==(const Cost &, const Cost &) = default;
};

/// The module's dim table, read once. Sizes are unfolded only by `value`; `size` is the table's own formula.
class Dims {
public:
  explicit Dims(mlir::Operation *inModule);
  bool known(llvm::StringRef dim) const { return order_.count(dim.str()) != 0; }
  /// The place in the canonical order; unknown dims are a programming error.
  int order(llvm::StringRef dim) const;
  /// The size as a formula; a symbolic dim is its own symbol.
  Size size(llvm::StringRef dim) const;
  /// Unfolded to symbolic dims and numbers.
  Size value(llvm::StringRef dim) const { return value(size(dim)); }
  Size value(const Size &) const;
  /// As a number, symbolic dims at their bounds: what params of such dims have in memory. One without a bound is a programming error.
  double atMost(const Size &) const;
  Size elements(mlir::Type) const; ///< of a tensor; of a subset: its indices
  TensorType tensor(mlir::MLIRContext *, llvm::ArrayRef<mlir::StringAttr> anyOrder, mlir::Type element) const;
  void sort(llvm::SmallVectorImpl<mlir::StringAttr> &dims) const;
  const std::vector<std::string> &names() const { return names_; }

  /// Adds a row to the table op and to this copy; returns the name, made fresh by a `#n` if it is taken.
  /// It stands last, or before a dim.
  std::string add(mlir::ModuleOp, llvm::StringRef base, llvm::StringRef size, llvm::StringRef before = "");
  /// The row of this name and size; added where there is none.
  std::string named(mlir::ModuleOp, llvm::StringRef name, const Size &size);

private:
  std::vector<std::string> names_;
  std::map<std::string, int> order_;
  std::map<std::string, Size> sizes_, bounds_;
};

/// Builds body ops with inferred types: the union of dims, the dims left by a reduction. Location, site and role as set.
class BodyBuilder {
public:
  BodyBuilder(mlir::OpBuilder &builder, const Dims &dims, mlir::Location loc) : builder(builder), dims(dims), loc(loc) {}
  mlir::OpBuilder &builder;
  const Dims &dims;
  mlir::Location loc;
  llvm::StringRef site;
  Role role = Role::forward;

  mlir::Value constant(double);                ///< a scalar real
  mlir::Value whole(int64_t);                  ///< a scalar int
  mlir::Value size(const Size &);              ///< a scalar real
  mlir::Value iota(llvm::StringRef dim);
  mlir::Value map(MapFn, mlir::ValueRange);    ///< element: bool for comparisons and logic, else that of the real operands
  mlir::Value add(mlir::Value a, mlir::Value b) { return map(MapFn::add, {a, b}); }
  mlir::Value sub(mlir::Value a, mlir::Value b) { return map(MapFn::sub, {a, b}); }
  mlir::Value mul(mlir::Value a, mlir::Value b) { return map(MapFn::mul, {a, b}); }
  mlir::Value div(mlir::Value a, mlir::Value b) { return map(MapFn::div, {a, b}); }
  mlir::Value neg(mlir::Value a) { return map(MapFn::neg, {a}); }
  mlir::Value stopGrad(mlir::Value);
  mlir::Value select(mlir::Value c, mlir::Value a, mlir::Value b) { return map(MapFn::select, {c, a, b}); }
  mlir::Value reduce(ReduceFn, mlir::Value, llvm::ArrayRef<mlir::StringAttr> over);
  mlir::Value highest(mlir::Value score, mlir::Value count, llvm::ArrayRef<mlir::StringAttr> over);
  /// Windows of `length` that touch, along a dim: they become `blocks`, their inner dim `inside`.
  mlir::Value cut(mlir::Value x, mlir::StringAttr dim, mlir::StringAttr blocks, mlir::StringAttr inside, int64_t length);
  mlir::Value contract(mlir::Value, mlir::Value, mlir::ValueRange subsets, TensorType result);
  /// Sums dims that `like` lacks, repeats along those that x lacks.
  mlir::Value fit(mlir::Value x, TensorType like);
};

/// What an op's gradient rule sees.
class GradBuilder : public BodyBuilder {
public:
  using BodyBuilder::BodyBuilder;
  virtual ~GradBuilder() = default;
  /// A forward value (operand or result) as it can be used where the gradient is computed; makes it a saved value.
  virtual mlir::Value use(mlir::Value forward) = 0;
  /// Does this operand's adjoint go anywhere? If not, the rule may skip it.
  virtual bool wants(mlir::Value operand) const = 0;
  /// Adds to the adjoint of a forward value; fitted to its dims.
  virtual void add(mlir::Value operand, mlir::Value adjoint) = 0;
  using BodyBuilder::add;
  /// The reverse of a loop; its rule is the pass's own recursion.
  virtual llvm::LogicalResult reverseLayers(class LayersOp, mlir::ValueRange seeds) = 0;
  /// A further seed: the gradient of `value` reaches only `trains` (all, if not restricted).
  virtual llvm::LogicalResult seedAux(class AuxOp) = 0;
};

} // namespace fil::ir

#include "ir/interfaces.h.inc"
#define GET_OP_CLASSES
#include "ir/ops.h.inc"

namespace fil::ir {
mlir::Type elementOf(mlir::MLIRContext *, Format);
/// Bytes of a tensor's element, or of a subset's indices, where reals have `realBytes`.
int64_t bytesOf(mlir::Type value, int64_t realBytes);

inline llvm::SmallVector<mlir::StringAttr> strings(mlir::ArrayAttr a) {
  return llvm::to_vector(a.getAsRange<mlir::StringAttr>());
}

/// None where the op has no role.
inline std::optional<Role> roleOf(mlir::Operation *op) {
  auto role = op->getInherentAttr("role");
  return role && *role ? std::optional(mlir::cast<RoleAttr>(*role).getValue()) : std::nullopt;
}

/// Where the program says the op; empty where it has no site.
inline llvm::StringRef siteOf(mlir::Operation *op) {
  auto site = op->getInherentAttr("site");
  return site && *site ? mlir::cast<mlir::StringAttr>(*site).getValue() : "";
}
/// Is the first site the other one, or in it?
inline bool within(llvm::StringRef site, llvm::StringRef outer) { return site.consume_front(outer) && (site.empty() || site[0] == '.'); }
/// The dims of a map `A -> B`: one for each family that it stands in, the contracted ones, those it brings.
struct MapSides { llvm::SmallVector<mlir::StringAttr> families, left, right; };
MapSides sidesOf(VariableOp);
/// A further param of a map's site, behind `after`: `SITE.name`, of dims `front` (those of families among them), its left and its right side (no map where
/// the left one is empty), stacked over the map's loops. It is trained if the map is.
VariableOp paramBeside(VariableOp map, llvm::StringRef name, llvm::ArrayRef<mlir::StringAttr> front, llvm::ArrayRef<mlir::StringAttr> left,
                       llvm::ArrayRef<mlir::StringAttr> right, InitAttr, const Dims &, VariableOp after);
/// A variable that is not trained, beside another one: its name and site are that one's with the suffix, its loops the same.
VariableOp stateBeside(VariableOp, const llvm::Twine &suffix, mlir::Type, llvm::ArrayRef<mlir::StringAttr> declared, double first, VariableKind);
/// Reads a variable whole, or writes it.
mlir::Value makeRead(mlir::OpBuilder &, VariableOp, Role);
void makeWrite(mlir::OpBuilder &, VariableOp, mlir::Value, Role);
/// Where a function reads it.
llvm::SmallVector<ReadOp> readsOf(FuncOp, VariableOp);
/// One more result of a function.
void addResult(FuncOp, llvm::StringRef name, mlir::Value);
/// Of the mask of a map: the dims that one turn's and family's mask has.
llvm::SmallVector<mlir::StringAttr> maskDims(VariableOp mask);
/// The scalar input of an entry, added where there is none.
mlir::Value scalarInput(FuncOp, llvm::StringRef name, mlir::Type element);
/// How many granules that is.
double granulesIn(VariableOp mask, const Dims &);
/// Of a map that is masked: `granules` of its fil.mask.
mlir::ArrayAttr granulesOf(VariableOp masked);
/// Of the facets of that kind, which are not consumed yet, that of the innermost site which the place lies within; null: none.
Facet innermostFacet(mlir::ModuleOp, llvm::StringRef place, FacetKind);
/// The lines of facets of that class that are not consumed, with their rows.
template <class F> llvm::SmallVector<std::pair<SiteOp, F>> linesOf(mlir::ModuleOp module) {
  llvm::SmallVector<std::pair<SiteOp, F>> lines;
  for (auto site : module.getOps<SiteOp>())
    for (mlir::Attribute a : site.getFacets())
      if (auto f = mlir::dyn_cast<F>(a)) lines.push_back({site, f});
  return lines;
}
/// Of these the innermost one that the place lies within, of equals the last; null: none.
template <class F> std::pair<SiteOp, F> innermostLine(mlir::ModuleOp module, llvm::StringRef place) {
  std::pair<SiteOp, F> found{};
  for (auto [site, f] : linesOf<F>(module))
    if ((site.getPath().empty() || within(place, site.getPath())) && (!found.first || site.getPath().size() >= found.first.getPath().size())) found = {site, f};
  return found;
}
/// The clause that put the facet there.
mlir::Location placeOf(SiteOp, mlir::Attribute facet);
/// Moves a facet of the row to those that a pass has made part of the program.
void consume(SiteOp, mlir::Attribute facet, llvm::StringRef pass);

/// Has the site an adapter whose sum with the weight is what is sparse?
bool mergesMasked(SiteOp);

/// Is the op elementwise in this operand?
inline bool pointwise(mlir::Operation *op, unsigned operand) {
  if (auto q = mlir::dyn_cast<QuantizeOp>(op)) return operand == 0 || op->getOperand(operand) == q.getRandom();
  return mlir::isa<MapOp, BroadcastOp, StopGradOp, PartOp, JoinOp>(op) || (mlir::isa<MaskOp, DequantizeOp>(op) && operand == 0);
}

/// `map mul`, `reduce sum`, `contract`
inline std::string titleOf(mlir::Operation *op) {
  std::string s = op->getName().stripDialect().str();
  if (auto m = mlir::dyn_cast<MapOp>(op)) s += " " + stringifyMapFn(m.getFn()).str();
  if (auto r = mlir::dyn_cast<ReduceOp>(op)) s += " " + stringifyReduceFn(r.getFn()).str();
  return s;
}

/// A sum over windows that cut `in` into blocks, marked `fil.fold`: in a group it adds up over the rows of a block, in their order.
struct Fold {
  mlir::Value x; ///< what is summed, before it is cut
  mlir::StringAttr in, blocks;
  int64_t rows;  ///< of a block; the last one may have fewer
};
inline std::optional<Fold> foldOf(mlir::Operation *op) {
  if (!op || !op->hasAttr("fil.fold")) return std::nullopt;
  auto cut = mlir::cast<ReduceOp>(op).getX().getDefiningOp<WindowOp>();
  auto w = mlir::cast<WindowDimAttr>(cut.getWindows()[0]);
  return Fold{cut.getX(), w.getIn(), w.getOut(), w.getStride()};
}
} // namespace fil::ir
