// SPDX-License-Identifier: Apache-2.0
// The living definition of every op: plain loops in float64. Whole numbers, bools and indices are float64 too (exact). Every other
// kernel is compared with these.
//
// A kernel walks an iteration space of named dims whose sizes it is given; an operand has one stride for each of these dims, 0
// where it lacks the dim. Results are dense and, unless said otherwise, in the order of the space.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace fil::reference {

using Sizes = std::vector<int64_t>;

struct In {
  const double *data;
  Sizes strides;
};
struct Out {
  double *data;
  Sizes strides;
};

/// Positions along one dim that come from a table: `positions[..]` over the iteration; each operand adds position * stride.
struct Indirect {
  const double *positions;
  Sizes strides;             ///< of `positions`
  const double *counts;      ///< members that exist, for each point of the subset; null: all
  Sizes countStrides;
  int memberDim = -1;        ///< the iteration dim that numbers the members
  std::vector<int64_t> step; ///< for each operand, the result last: elements between neighbours of the indexed dim; 0: not indexed
};

enum class Fn {
  Add, Sub, Mul, Div, Pow, Mod, Min, Max, Neg, Abs, Sign, Exp, Log, Sqrt, Rsqrt, Sin, Cos, Tanh, Erf, Floor, Ceil,
  Eq, Ne, Lt, Le, Gt, Ge, And, Or, Not, Select, Cast, Pow2Ceil, Round
};
/// max(a, b) and min(a, b) are a where b is NaN; mod is a - floor(a/b) b.
void map(Fn, const Sizes &space, const std::vector<In> &args, double *out);

enum class Reduction { Sum, Min, Max, ArgMin, ArgMax };
/// The last `over` dims of the space are reduced, in their order; Max of nothing present is -inf (masked elements come as -inf).
/// ArgMax: the lowest position of the largest element; NaN is never chosen.
void reduce(Reduction, const Sizes &space, int over, const In &x, double *out);

/// out += lhs * rhs over the whole space; `out` starts at zero. Members beyond their count contribute nothing.
void contract(const Sizes &space, const In &lhs, const In &rhs, const std::vector<Indirect> &, const Out &out);
/// out += x: copies, gathers (x indexed) and scatters (out indexed), rising through the space.
void accumulate(const Sizes &space, const In &x, const std::vector<Indirect> &, const Out &out);

/// The k highest of each row of n: positions ascending, ties to the lowest position, NaN and masked ones never.
/// score, mask (may be null data): strides over rows.. and, last, the row's dim. positions [rows.., k], counts [rows..].
void topk(const Sizes &space, const In &score, const In &mask, int64_t k, double *positions, double *counts);

/// Is an element among the `count` highest of its row? The last `over` dims are a row, counted row-major; ties to the lowest position, NaN never.
void highest(const Sizes &space, int over, const In &score, const In &count, const Out &out);
/// x where mask is not 0, else 0. Position i of dim d is position i / lengths[d] of the mask.
void mask(const Sizes &space, const In &x, const In &mask, const Sizes &lengths, double *out);

/// y[.., out, window] = x[.., out*stride + window - before], 0 outside; transposed: x += y. Space: all dims of y; `xStride`,
/// `outDim` and `windowDim` are those of each window.
struct Window { int outDim, windowDim; int64_t stride, before, inSize, xStride; };
void window(const Sizes &space, const In &x, const std::vector<Window> &, double *y);
void unwindow(const Sizes &space, const In &y, const std::vector<Window> &, const Out &x);

/// One number for each element: Philox of (key, step, element); see runtime/base/philox.h for the arithmetic.
using Key = uint64_t;
void random(const Sizes &space, const Key *keys, const Sizes &keyStrides, const Sizes &elementStrides, int64_t step, bool normal, bool single, double *out);

} // namespace fil::reference
