// SPDX-License-Identifier: Apache-2.0
// The syntax tree: what was written, with exact byte spans and comments, and no meaning. Plain structs; one variant for
// each kind of node. Meaning (what is a dim, what a number, which key a plan knows) is the checker's.
#pragma once
#include "lang/diag/source.h"
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace fil::ast {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Ident {
  std::string name;
  Span span;
};

// ---- dims and types ----

/// One entry of a tensor type, side of a map, or index list: `..`, `s*`, `rgb:3`, `N+R`.
struct Dim {
  enum Kind { Rest, Subset, Declared, Term } kind = Term;
  Ident name;   ///< Subset: `s`; Declared: `rgb`
  ExprPtr term; ///< Declared: its size; Term: the dim
  Span span;
};

struct Argument;
struct TensorType {
  enum Elem { Real, Int, Bool, Index } elem = Real;
  Ident indexed; ///< Index: `V` of index<V> (a name, or digits)
  std::vector<Dim> dims;
};
struct MapType {
  std::vector<Dim> left, right; ///< `()` is an empty side
};
struct InstanceType { ///< `param f: FFN(W=F)`
  Ident block;
  std::vector<Argument> args;
};
struct Type {
  std::variant<TensorType, MapType, InstanceType> is;
  Span span;
};

// ---- expressions ----

/// An argument: positional (a value, `s*`, `Y by ky:3 stride 2`, `a:D/2`), or named (`k=3`, `over X, Y`, `over ..`).
struct Argument {
  struct By { Ident dim, as; ExprPtr size, stride; }; ///< size and stride may be null
  struct Over { std::vector<Dim> dims; };
  struct Named { Ident name; ExprPtr value; };
  struct Declared { Ident name; ExprPtr size; };      ///< `a:D/2`
  struct Subset { Ident name; };                      ///< `s*`
  std::variant<ExprPtr, Subset, By, Declared, Named, Over> is;
  Span span;
};

/// What stands in `x[..]`: `s*`, `T=0`, or a value (an index tensor).
struct IndexItem {
  enum Kind { Value, Subset, At } kind = Value;
  Ident name;   ///< Subset: `s`; At: the dim
  ExprPtr value; ///< Value, At
  Span span;
};

enum class BinaryOp { Add, Sub, Mul, Div, MatMul, Pow, Eq, Ne, Lt, Le, Gt, Ge, And, Or };
enum class UnaryOp { Neg, Not };

struct Name { std::string name; };                                ///< also `loss`
struct Number { std::string text; bool real; };                   ///< `12`, `0.5`
struct Quantity { std::string number, unit; };                    ///< `139GiB`, plans only
struct Shape { std::string text; };                               ///< `1x128`, plans only
struct String { std::string value; };                             ///< escapes resolved
struct Bool { bool value; };
struct Call { ExprPtr callee; std::vector<Argument> args; };
struct At { ExprPtr base; std::vector<IndexItem> items; };
struct Member { ExprPtr base; Ident name; };
struct Binary { BinaryOp op; ExprPtr left, right; Span opSpan; };
struct Unary { UnaryOp op; ExprPtr operand; };
struct Where { ExprPtr value, condition, otherwise; };            ///< otherwise may be null: absent elements
struct If { ExprPtr condition, then, otherwise; };
struct Tuple { std::vector<ExprPtr> items; };                     ///< `(a, b)`; `(a)` is just `a`
struct List { std::vector<ExprPtr> items; };

struct Expr {
  std::variant<Name, Number, Quantity, Shape, String, Bool, Call, At, Member, Binary, Unary, Where, If, Tuple, List> is;
  Span span;
};

// ---- statements ----

struct Range { ExprPtr from, to; bool closed = false; };          ///< to is null for a list or a single value

struct Pattern { std::vector<Ident> names; bool tuple = false; Span span; };

struct Statement;
struct Body { std::vector<Statement> statements; Span span; };

struct ParamStmt { bool state; std::vector<Ident> names; Type type; ExprPtr init; };
struct CacheStmt { Ident name; Type type; ExprPtr value; };
struct ExpertsStmt { Ident name, dim, block; std::vector<Argument> args; };
struct LetStmt { Pattern pattern; std::optional<Type> type; ExprPtr value; };
struct SelectStmt { bool route; Ident name; ExprPtr value; };
struct AuxStmt { ExprPtr value; bool hasTrains; std::vector<Ident> trains; };
struct AssignStmt { bool onStep; bool add; Ident name; ExprPtr value; };  ///< `h = e`, `h += e`, `on step: b += e`
struct LayersStmt { Ident index; std::optional<Pattern> element; Range range; Body body; };
struct ReturnStmt { ExprPtr value; };
struct Statement {
  std::variant<ParamStmt, CacheStmt, ExpertsStmt, LetStmt, SelectStmt, AuxStmt, AssignStmt, LayersStmt, ReturnStmt> is;
  Span span;
};

// ---- declarations ----

struct Label { Ident name; int64_t position; };
struct DimDecl {
  Ident name;
  enum Kind { Symbolic, Sized, Bounded } kind = Symbolic; ///< `B`, `N = D/H`, `Card <= 4096`
  ExprPtr size;
  std::vector<Label> labels;
  Span span;
};
struct DimsDecl { std::vector<DimDecl> dims; };

struct Parameter {
  enum Kind { Tensor, Static, Over } kind;
  Ident name;
  std::optional<Type> type;
  ExprPtr init; ///< may be null
  Span span;
};
struct Function {
  enum Kind { Fn, Block, Model, Loss } kind;
  Ident name;
  std::vector<Parameter> params;
  std::optional<Type> result;
  ExprPtr value; ///< `= e`; else body
  Body body;
};

// ---- plans: one shape for every clause ----

struct Selector { ///< `[*]`, `[3]`, `[1..]`, `[..4]`, `[1..3]`, `[k=3, s=2]`
  bool any = false;
  std::optional<int64_t> from, to; ///< half-open; a single index is from == to-1
  std::vector<Argument::Named> statics;
};
struct Segment { ///< `*`, `**`, `{a,b}`, `word`, `word*`, `word[selector]`
  enum Kind { Any, Deep, Either, Word } kind = Word;
  std::vector<Ident> words; ///< Either: all; Word: one
  bool subset = false;
  std::optional<Selector> selector;
  Span span;
};
struct SitePath { std::vector<Segment> segments; Span span; };

struct Setting;
/// `key=value`, `key=1..8`, a value or a range of values, `->`.
struct Item {
  enum Kind { Value, Keyed, Arrow } kind = Value;
  std::vector<Ident> key; ///< Keyed: `ep.dispatch`
  Range value;
  Span span;
};
struct Phrase { std::vector<Item> items; Span span; };
struct Settings { std::vector<Setting> settings; Span span; };
struct Setting {
  std::optional<SitePath> path;
  std::vector<Phrase> phrases; ///< the first item of the first phrase is the clause's key
  std::optional<Settings> nested;
  Span span;
};
struct Plan { Ident name, model; std::optional<Ident> from; Settings settings; };

struct Declaration {
  std::variant<DimsDecl, Function, Plan> is;
  Span span;
};

struct Comment { std::string text; Span span; }; ///< with its `//`

/// One file. Its text and name are in the SourceManager under `file`.
struct File {
  uint32_t file = 0;
  std::vector<Declaration> declarations;
  std::vector<Comment> comments; ///< in text order
};

/// Prints the tree as canonical source; comments keep their places. parse(print(x)) equals x.
std::string print(const File &, const SourceManager &);
std::string print(const Expr &);
std::string print(const Type &);

} // namespace fil::ast
