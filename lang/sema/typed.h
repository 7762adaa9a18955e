// SPDX-License-Identifier: Apache-2.0
// The typed program: what the checker makes of the syntax tree and what lang/lower turns into the dialect, one op for one
// node. Every call is elaborated: formals are bound, static choices made, masks of absent elements explicit; blocks and
// functions are expanded in place, loops (`layers`) stay loops. Knows no MLIR.
//
// Why a graph of few ops and not a decorated tree: a body is checked once for each distinct binding, so types belong to the
// elaborated call and not to the syntax; and the rules of absent elements, experts and `over` then have one home.
#pragma once
#include "lang/ast/ast.h"
#include "runtime/base/size.h"
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace fil::sema {

/// An axis. Interned by its table: two dims are the same axis exactly if their pointers are equal.
struct Dim {
  enum Kind {
    Static,  ///< known now: `D = 128`, `N+R`
    Bound,   ///< known when a program is bound: `B`, `T`
    Subset,  ///< members of a subset, `s#7`: its size is the bound k
    Loop     ///< turns of a loop, `l#0`: stacks params and saved values
  };
  std::string name; ///< canonical: `D`, `N+R`, `Y/4`, `32*C`, `F'` (out side of a square map), `ky`, `s#7`
  std::string base; ///< what else it may be called by: `Y` for `Y/4`, `s*` for `s#7`
  Size size;        ///< over names of the `dims` table; a declared dim without size is its own symbol
  Kind kind;
  int order;        ///< place in the canonical order: `dims` lines, then by first appearance
};

enum class Elem { Real, Int, Bool, Index };
struct Type {
  Elem elem = Elem::Real;
  const Dim *indexed = nullptr;     ///< of Index
  std::vector<const Dim *> dims;    ///< sorted by order
  std::string str() const;          ///< `[B,T,D]`, `index<V>[B,T]`; other types have other texts
  std::string shown() const;        ///< the same with its dims as the text names them
  friend bool operator==(const Type &, const Type &) = default;
};
/// As messages and reports write dims: subsets and the out side of a square map by their names in the text.
std::string shown(const Dim &);
/// `D`, `(H,N)`, `()`
std::string sideText(const std::vector<const Dim *> &);

/// A `layers` loop, cut into classes of equal turns. A Loop is one class: turns lo..hi of the loop named `index`.
struct Loop {
  std::string index; ///< `l`
  int64_t lo, hi;    ///< turns of this class, half-open
  const Dim *dim;    ///< `l#0`, size hi-lo
};

/// A place in the program that plans can name. Interned by parent, kind, name and number.
struct Site {
  enum Kind { Root, Block, Function, Param, State, Cache, Subset, Input, LossSite, LoopSite, Family } kind;
  const Site *parent = nullptr;
  std::string name;               ///< `Attention`, `q`, `l`, `e`
  int number = -1;                ///< text order among the calls of one block in one body; -1 if called once
  const Loop *loop = nullptr;     ///< LoopSite
  const Dim *family = nullptr;    ///< Family: `experts e in E`
  std::vector<std::pair<std::string, std::string>> statics; ///< `k` → `3`
  /// `l[1..12].MLA.q`, `l[0].FFN[1].wg`, `l[*]` for the whole range of a loop of one class
  std::string path() const;
};

/// First value of a param or state.
struct Init {
  enum Kind { Constant, Normal, Uniform } kind = Constant;
  double a = 0, b = 0; ///< Constant: a; Normal: mean a, deviation b; Uniform: a..b
  bool fanIn = false;  ///< Normal with deviation 1/sqrt(size of the left side)
};

struct Variable { ///< a param or a state
  const Site *site;
  bool state;
  Type type;                        ///< what one turn of the loops sees, family dims included
  std::vector<const Loop *> loops;  ///< outermost first; storage has their dims before all others
  std::vector<const Dim *> declared; ///< in text order: family dims, then left, then right side
  int rightFrom = -1;               ///< index in `declared` where a map's right side begins; -1: no map
  Init init;
  Span span;
  std::string key() const;          ///< unique name of the storage in its model: the site's path
  const std::string &model() const; ///< whose it is
  std::string typeText() const;     ///< as one element of its families sees it: `D -> (H,N)`, `[D]`
};

enum class Op {
  Input,     ///< `name`; `dims` in written order
  Read,      ///< variable; its value at the start of the step
  Constant,  ///< `number` as Elem of type
  SizeOf,    ///< `size` as a scalar int (or real)
  Iota,      ///< int positions 0.. of `dim`; for a `T` with origin, its own positions
  Map,       ///< `fn` over args, union of dims (broadcast by name)
  Reduce,    ///< `fn` in sum max min argmax argmin, over `dims`
  Contract,  ///< sum over `dims` of the product of two args. Through `subsets`: an arg that has `S` where the other has `s#7` is read at the members
  Gather,    ///< args: x, index tensor (or subset): dim `dim` of x replaced by the dims of the index; shared dims align
  Scatter,   ///< args: y, subset: `y` on all of `dim`, 0 elsewhere
  TopK,      ///< args: score [, mask]; `dim`, size k; the value is a subset (type: its members' dims), route or select
  Present,   ///< arg: subset: bool [per.., s#7], true for members that exist (count may be below k)
  Member,    ///< arg: subset: index<S>[per.., s#7]
  Window,    ///< `windows`
  Concat,    ///< args along their dims `dims` (one for each) → `dim`
  Slice,     ///< part [size .. size+extent) of `dims[0]` → dim `dim`
  At,        ///< position `size` of dim `dims[0]`, without the dim
  Rename,    ///< dims[0] → dim
  Broadcast, ///< to the dims of type
  Random,    ///< uniform (0,1) of type; stream is the site
  Cache,     ///< arg; dims[0] (T) → dim (S)
  StopGrad,
  Layers,    ///< `body` run for the turns of `loop`; args: carried values first
  Result,    ///< carried value `index` of a Layers
};

enum class Fn { // of Map, except the last line
  Add, Sub, Mul, Div, Pow, Mod, Min, Max, Neg, Abs, Sign, Exp, Log, Sqrt, Rsqrt, Sin, Cos, Tanh, Erf, Floor, Ceil,
  Eq, Ne, Lt, Le, Gt, Ge, And, Or, Not,
  Select, ///< args: condition, then, else
  Cast,   ///< bool, int to real; bool to int
  Sum, ArgMax, ArgMin
};

struct WindowDim {
  const Dim *in, *window, *out; ///< `Y`, `ky`, `Y/2`: in position = out*stride + window - before
  int64_t stride, before;
};

struct Node;
struct Body {
  std::vector<Node *> args;     ///< of a loop: carried values as the turn sees them (Op::Input)
  std::vector<Node *> nodes;    ///< in order of definition
  std::vector<Node *> results;  ///< of a loop: carried values after the turn
};
struct Update { const Variable *state; Node *value; Body *in; };
struct Aux { Node *value; bool restricted; std::vector<const Variable *> trains; Body *in; };

struct Node {
  Op op;
  Type type;
  std::vector<Node *> args;
  const Site *site = nullptr;
  Span span;
  Fn fn = Fn::Add;
  const Variable *variable = nullptr;
  std::string name;                    ///< Input; also the `let` that names the value
  double number = 0;                   ///< Constant
  Size size, extent;                   ///< SizeOf, At, Slice, TopK
  const Dim *dim = nullptr;
  std::vector<const Dim *> dims;
  std::vector<Node *> subsets;         ///< Contract: subsets through which dims are read
  std::vector<WindowDim> windows;
  Node *inside = nullptr;               ///< Window: what says which of it is not padding; it is 0 elsewhere
  const Loop *loop = nullptr;          ///< Layers
  Body *body = nullptr;                ///< Layers; its nodes may use nodes of enclosing bodies
  int index = 0;                       ///< Result
  const Dim *subset = nullptr;         ///< TopK: the fresh dim `s#7`; `dim` is S, `dims` what it depends on
  bool route = false;
};

/// One elaborated function: a model, a model with its loss, or a std function at given types (an optimizer).
struct Graph {
  std::string name;
  bool training = false;
  std::vector<Node *> inputs;
  Body body;
  std::vector<Node *> outputs;  ///< model: the result; with loss: result, loss
  std::vector<const Dim *> resultAxes; ///< of a model's result, in written order
  std::vector<Update> updates;  ///< `on step`; only when training
  std::vector<Aux> auxes;
  std::deque<Node> nodes;       ///< owns
  std::deque<Body> bodies;      ///< owns
};

/// The table of dims in canonical order. Also says what each declared name is made of.
class DimTable {
public:
  const std::vector<const Dim *> &all() const { return order_; }
  const Dim *find(const std::string &name) const;
  /// Interns; the first appearance fixes the order.
  const Dim *get(const std::string &name, const std::string &base, Size size, Dim::Kind kind);
  /// Upper bounds of symbolic dims, `Card <= 4096`.
  std::map<std::string, Size> bounds;

private:
  std::deque<Dim> dims_;
  std::map<std::string, const Dim *> byName_;
  std::vector<const Dim *> order_;
};

const char *name(Op);
const char *name(Fn);
/// The `typed` stage: one line a node.
std::string print(const Graph &);

} // namespace fil::sema
