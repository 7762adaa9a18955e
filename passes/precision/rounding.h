// SPDX-License-Identifier: Apache-2.0
// How values are rounded: what the passes of this folder share.
#pragma once
#include "ir/ir.h"

namespace fil::passes {

/// Of what is kept in 8 bits, so many neighbours share a scale.
constexpr int64_t keptTile = 128;
/// Of formats such as `bf16` or `m=e4m3` that of the name, else that of all.
std::optional<Format> formatFor(llvm::StringRef name, llvm::ArrayRef<std::string> formats);

/// To the nearest number of a format, or at random; in 8 bits with a scale for each tile.
struct Rounding {
  Format format;
  llvm::SmallVector<mlir::StringAttr> reduced{};                   ///< dims along which all elements share a scale
  llvm::SmallVector<std::pair<mlir::StringAttr, int64_t>> tiles{}; ///< dims that are cut into tiles of so many
  bool scaled() const { return bytesOf(format) == 1; }
  /// Elements along d share scales by so many; all of them where there are no more.
  void tile(const ir::Dims &dims, mlir::StringAttr d, int64_t length);
};

class Rounder {
public:
  Rounder(mlir::ModuleOp module, ir::Dims &dims) : module(module), dims(dims) {}
  /// Built with the body's builder, location, site and role; `random`: uniform in (0, 1), in place of the nearest.
  ir::QuantizeOp quantize(ir::BodyBuilder &, mlir::Value, const Rounding &, mlir::Value random = {});
  static mlir::Value dequantize(ir::BodyBuilder &, ir::QuantizeOp, mlir::Value narrow, mlir::Value scale);
  mlir::Value dequantize(ir::BodyBuilder &body, ir::QuantizeOp q) { return dequantize(body, q, q.getResult(), q.getScale()); }
  /// The dims of the scales of a value with these dims.
  llvm::SmallVector<mlir::StringAttr> scaleDims(llvm::ArrayRef<mlir::StringAttr> of, const Rounding &);

private:
  mlir::ModuleOp module;
  ir::Dims &dims;
  llvm::DenseMap<std::pair<mlir::StringAttr, int64_t>, std::pair<mlir::StringAttr, mlir::StringAttr>> known;
  /// The place within a tile, and the tile.
  std::pair<mlir::StringAttr, mlir::StringAttr> tileDims(mlir::StringAttr, int64_t length);
};

} // namespace fil::passes
