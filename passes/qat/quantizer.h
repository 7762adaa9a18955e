// SPDX-License-Identifier: Apache-2.0
// Readers of a map read it as whole numbers times scales: what the passes of this folder share.
#pragma once
#include "ir/ir.h"

namespace fil::passes {

/// Of the facets of that class the innermost one that the map lies within, and its row; null where a line of another format stands as far in, but for one about all.
template <class Facet> std::pair<ir::SiteOp, Facet> lineOf(ir::VariableOp v) {
  if (v.getKind() != ir::VariableKind::param || !v.getMap() || v.getAdapter() || v->hasAttr("fil.predictor")) return {};
  auto module = v->getParentOfType<mlir::ModuleOp>();
  auto own = ir::innermostLine<Facet>(module, v.getSite());
  ir::SiteOp other = ir::innermostLine<ir::FormatAttr>(module, v.getSite()).first;
  if (own.first && other && !other.getPath().empty() && other.getPath().size() >= own.first.getPath().size()) return {};
  return own;
}
/// Consumes the lines of that class. One about all that concerns no map is told of.
template <class Facet> void consumeLines(mlir::ModuleOp module, llvm::StringRef pass, const llvm::DenseSet<mlir::Operation *> &used) {
  for (auto [site, f] : ir::linesOf<Facet>(module)) {
    if (site.getPath().empty() && !used.contains(site)) emitWarning(ir::placeOf(site, f)) << "W0315: the line quantises nothing: no map is meant that has no other format";
    ir::consume(site, f, pass);
  }
}

/// Whole numbers of so many bits: -2^(bits-1) to 2^(bits-1) - 1.
struct WholeRange {
  explicit WholeRange(int64_t bits) : low(-std::ldexp(1.0, int(bits) - 1)), high(-1 - low) {}
  double low, high;
};
/// `round(clamp(x / scale))`, and x where the scale is not above 0.
struct Rounded {
  mlir::Value numbers, scale; ///< the scale is 1 where nothing is rounded
};
Rounded roundedBy(mlir::Value x, mlir::Value scale, int64_t bits, ir::BodyBuilder &);

/// For one read of a map, in one entry.
class Quantizer {
public:
  ir::VariableOp map;
  ir::Dims &dims;
  mlir::Value scale;     ///< outside of loops
  int64_t bits = 0;      ///< of the map; 0: its values are whole numbers already, scales are above 0, and what it is multiplied by is in memory as whole numbers too
  int64_t inputBits = 0; ///< of what it is multiplied by; 0: that stays as it is
  bool ofSum = false;    ///< all that reads the map is its sum with an adapter, and that is quantised
  /// The scale of a product's other operand x; of its dims those that the product keeps. `weight`: the map, as the product's block knows it.
  std::function<mlir::Value(mlir::Value x, ir::ContractOp, mlir::Value weight, ir::BodyBuilder &)> inputScale;

  /// `users` of the map's values, in loops as these know them.
  void quantize(mlir::Value weight, llvm::ArrayRef<mlir::Operation *> users);

private:
  void replace(mlir::Value x, llvm::ArrayRef<mlir::Operation *> readers, mlir::Value scaleHere, mlir::Value weight);
  void read(mlir::Operation *reader, mlir::Value x, const Rounded &, mlir::Value weight);
};

} // namespace fil::passes
