// SPDX-License-Identifier: Apache-2.0
// Formats that change while a program trains: the levels of a site, and what a look at them sees.
#pragma once
#include "ir/ir.h"

namespace fil::passes {

/// The formats of a site in the order of its levels, f32 behind them: its own, then bf16.
llvm::SmallVector<Format> ladderOf(ir::FormatAttr, ir::Role);
/// The level from which on a format is too narrow: levels are bits, 0 a site's own format, 16 at least so many, 32 f32. So they mean the same in programs of other formats.
inline int64_t levelAbove(Format f) { return bytesOf(f) == 1 ? 16 : 32; }

/// Within a function.
class Levels {
public:
  explicit Levels(ir::FuncOp f) : f(f) {}
  /// The level that holds where the block is computed: a scalar int.
  mlir::Value at(ir::VariableOp level, mlir::Block *);

private:
  ir::FuncOp f;
  llvm::DenseMap<std::pair<mlir::Operation *, mlir::Block *>, mlir::Value> known;
};

/// An operand as it is, and as each format rounds it.
struct Rungs {
  mlir::Value exact;
  llvm::SmallVector<mlir::Value> rounded;
};

/// What an entry reports of its forward products: results `SITE#signal.number.FORMAT` for each format that rounds, a value for each turn, the worst of what is multiplied at the site. Signals are out_snr: the sum of
/// squares of what the product gives, over that of the error that rounding makes; snr: the same for the elements of each position of a summed dim, of these the median, of both operands the
/// least; underflow: the share of elements other than 0 that are rounded to 0, of both operands the larger one; sat: that of elements beyond the largest number; amax: the largest magnitude. A result
/// `SITE#ops` has the operations of all products of the site, `#ops` those of the entry.
class Signals {
public:
  Signals(ir::FuncOp f, const ir::Dims &dims) : f(f), dims(dims) {}
  void add(ir::ContractOp, ir::VariableOp level, llvm::ArrayRef<Format>, const Rungs &lhs, const Rungs &rhs);
  /// Brings out what was added. `ops`: the operations of each site, and of the entry by "".
  void finish(const std::map<std::string, Size> &ops);

private:
  struct Signal {
    std::string name;
    mlir::Value value; ///< a scalar, where it is computed
    bool most;         ///< the worst is the largest
    ir::VariableOp level;
  };
  ir::FuncOp f;
  const ir::Dims &dims;
  std::vector<Signal> all;
  std::map<std::string, int> products; ///< of a site

  void bringOut(ir::LayersOp);
};

} // namespace fil::passes
