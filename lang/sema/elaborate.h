// SPDX-License-Identifier: Apache-2.0
// The checker walks a program as it would run, with types for values: every call is expanded with its formals bound, static
// choices are made, and what is left is a graph. One Elaborator builds one graph.
#pragma once
#include "lang/sema/check.h"
#include "lang/sema/form.h"
#include <set>
#include <utility>

namespace fil::sema {

struct Scope;
struct Family;
struct Instance;

/// What an expression is, while it is checked.
struct Value {
  enum Kind { Poison, Tensor, Number, Truth, Dims, Subset, Tuple, List, InstanceOf, FamilyOf, Text } kind = Poison;
  // Tensor
  Node *node = nullptr;
  Type type;                             ///< as seen: with what `through` brings
  Node *mask = nullptr;                  ///< bool: where elements are present; null: everywhere
  std::vector<Node *> through;           ///< subsets by which `node` is still to be read
  bool map = false;
  std::vector<const Dim *> left, right;  ///< of a map; right holds tagged dims
  bool whole = false;                    ///< a whole literal's type follows the other operand
  // Static
  Form number;
  bool truth = false;
  std::vector<const Dim *> dims;         ///< Dims (one, or those of an `over` formal); of a Subset: its members' dim
  std::vector<Value> items;
  std::shared_ptr<Instance> instance;
  std::shared_ptr<Family> family;
  std::string text;

  bool ok() const { return kind != Poison; }
};

/// A block with its static arguments, as `param f: FFN(W=F)` or each call in the text makes one.
struct Instance {
  const ast::Function *block;
  std::map<std::string, Value> statics;
  const Site *site;
  std::vector<const Loop *> loops;     ///< around the place where it was made: its params are stacked over these
};
struct Family {
  std::shared_ptr<Instance> instance;
  const Dim *dim;
};

struct Scope {
  Scope *parent = nullptr;
  bool function = false;               ///< the outermost scope of a function's body: names beyond are declarations
  enum Role { Formal, Let, Fixed };    ///< a `let` may shadow a `let`; a fixed name (param, state, cache, ..) is not rebound
  std::map<std::string, Value> names;
  std::map<std::string, Role> roles;   ///< of the names; a name without one is a formal
  std::vector<const Dim *> rest;       ///< what `..` of the signature stands for
  bool hasRest = false;
  Value *find(const std::string &n) {
    for (Scope *s = this; s; s = s->function ? nullptr : s->parent) {
      auto it = s->names.find(n);
      if (it != s->names.end()) return &it->second;
    }
    return nullptr;
  }
  std::optional<Role> role(const std::string &n) {
    for (Scope *s = this; s; s = s->function ? nullptr : s->parent)
      if (s->names.count(n)) return s->roles.count(n) ? s->roles[n] : Formal;
    return std::nullopt;
  }
  Scope *signature() { // the scope that holds the function's formals
    Scope *s = this;
    while (!s->function) s = s->parent;
    return s;
  }
};

/// A static decision that looked at a loop's turn: `l < 1` came out so. Turns for which all come out equal share a body.
struct TurnTest { Form difference; ast::BinaryOp op; bool result; };
struct OpenLoop {
  std::string symbol;                  ///< stands for the turn in static numbers
  std::string index;                   ///< its name in the text
  int64_t turn;
  bool exact = false;                  ///< the turn's value itself was used
  std::vector<TurnTest> tests;
};

struct Declared { const ast::DimDecl *decl; const Dim *dim; };

class ProgramImpl;

class Elaborator {
public:
  Elaborator(ProgramImpl &program, Diagnostics &diags, Graph &graph);

  bool model(const ast::Function &model, const ast::Function *loss, const ast::Expr *lossCall);
  bool library(const ast::Function &f, const std::vector<std::pair<std::string, FunctionArg>> &args);
  /// Checks a function that nobody calls, its formals unequal.
  void alone(const ast::Function &f);
  /// The result of the last function elaborated (one-liner tests).
  Value last;
  std::vector<const Dim *> lastWritten;            ///< the dims of its result as declared, in text order

private:
  friend class ProgramImpl;
  ProgramImpl &program;
  Diagnostics &diags;
  Graph &graph;
  Body *body;
  const Site *site;
  std::vector<std::pair<std::shared_ptr<Family>, Node *>> families; ///< around the body at hand: family, subset or null
  std::vector<const Loop *> loops;
  std::vector<OpenLoop> open;
  std::set<const ast::Function *> calling;
  std::map<const Dim *, std::vector<const Dim *>> dependsOn;      ///< members of a subset → what the subset depends on
  std::map<const Dim *, const Node *> subsetOf;                   ///< members → TopK node
  std::map<const Dim *, Span> subsetPlace;
  std::set<const Node *> fromInput;                               ///< depends on an input (W0311)

  // ---- nodes (nodes.cpp) ----
  Node *make(Op op, Type type, std::vector<Node *> args, Span span);
  Value tensor(Node *n);
  Type typeOf(Elem e, std::vector<const Dim *> dims);
  Node *constant(double v, Span, Elem e = Elem::Real);
  Node *sizeNode(const Form &, Span, Elem e);
  Node *mapNode(Fn fn, std::vector<Node *> args, Elem result, Span);
  Node *settled(Value &v, Span);                      ///< the node with all reads through subsets done
  Node *real(Node *n);                                ///< cast where it is no real
  Value static_(const Form &f) { Value v; v.kind = Value::Number; v.number = f; return v; }
  Value truth(bool b) { Value v; v.kind = Value::Truth; v.truth = b; return v; }
  Value asTensor(const Value &v, Span, Elem wanted = Elem::Real);
  Node *both(Node *maskA, Node *maskB, Span);
  void sortDims(std::vector<const Dim *> &);
  bool equate(const Dim *from, const Dim *to, Span);  ///< one name for the elements of the other: their sizes are the same
  bool meet(const std::vector<const Dim *> &a, const std::vector<const Dim *> &b, Span at); ///< no two dims of one base name

  // ---- dims (dims.cpp) ----
  const Dim *dimOf(const Form &, Span, bool mustExist = false);
  Form formOf(const Dim *);
  std::vector<const Dim *> dimsOf(const ast::Dim &, Scope &, const std::vector<const Dim *> *within);
  const Dim *declare(const std::string &name, const Form &size, Span);
  Value dimValue(std::vector<const Dim *> dims);
  const Dim *within(const std::string &base, const std::vector<const Dim *> &dims);
  std::optional<Type> typeFrom(const ast::Type &, Scope &, std::vector<const Dim *> *written = nullptr);
  struct MapSides { std::vector<const Dim *> left, right; };
  std::optional<MapSides> sidesFrom(const ast::MapType &, Scope &);

  // ---- expressions (expr.cpp) ----
  Value expr(const ast::Expr &, Scope &);
  Value name(const ast::Expr &, const std::string &, Scope &);
  Value number(const ast::Number &, Span);
  Value binary(const ast::Expr &, const ast::Binary &, Scope &);
  Value arithmetic(Fn fn, Value a, Value b, Span);
  Value staticBinary(ast::BinaryOp, const Value &a, const Value &b, Span);
  Value elementwise(Fn fn, std::vector<Value> args, Span);
  Value compare(ast::BinaryOp op, Value a, Value b, Span);
  Value where(const ast::Expr &, const ast::Where &, Scope &);
  Value choose(const ast::If &, Scope &);
  Value at(const ast::Expr &, const ast::At &, Scope &);
  Value member(const ast::Expr &, const ast::Member &, Scope &);
  std::optional<Rational> exactly(const Form &, Span, const char *what); ///< the number, open loops' turns included
  std::optional<bool> truthOf(const ast::Expr &, Scope &);
  Value gather(Value x, Value index, Span, Span base);
  bool mayLack(const Node *subset);                   ///< may it have fewer members than its bound?
  /// Without turns.
  static std::string pathOf(const Site *site) {
    std::string path;
    for (; site && site->kind != Site::Root; site = site->parent) path = path.empty() ? site->name : site->name + "." + path;
    return path;
  }
  Value gatherSubset(Value x, const Value &subset, Span at, Span base, const ast::Expr *matmulBase);
  Value position(Value x, const Dim *dim, const Form &at, Span);
  Value matmul(Value x, Value w, Span);
  Value contract(Value a, Value b, std::vector<const Dim *> over, std::vector<const Dim *> result, Span);

  // ---- calls (calls.cpp) ----
  struct Args {
    struct One { const ast::Argument *arg; Value value; Span span; };
    std::vector<One> positional;
    std::map<std::string, One> named;
    const ast::Argument::Over *over = nullptr;
    Span overSpan;
  };
  Value call(const ast::Expr &, const ast::Call &, Scope &);
  Args arguments(const std::vector<ast::Argument> &, Scope &);
  Value invoke(const ast::Function &f, Args &args, Scope &caller, Span at, const Site *callSite, std::map<std::string, Value> statics);
  bool bindDims(const ast::Function &f, const std::vector<std::pair<const ast::Parameter *, Value *>> &tensors, Args &args, Scope &caller, Scope &inner, Span at);
  std::vector<const Dim *> overDims(const Args &, Scope &, const std::vector<const Dim *> &of, Span at);
  std::vector<const Dim *> overDim(const ast::Dim &, Scope &, const std::vector<const Dim *> &of);
  Value run(const ast::Function &f, Scope &inner);
  Value callInstance(const std::shared_ptr<Instance> &, Args &, Scope &caller, Span);
  Value callFamily(const std::shared_ptr<Family> &, Node *subset, Args &, Scope &caller, Span);
  const Site *siteOf(Site::Kind, const std::string &name, int number = -1);

  // ---- builtins (builtins.cpp) ----
  std::string selecting;                             ///< the name that `select` gives its subset
  static bool isBuiltin(const std::string &);
  static void addBuiltins(std::vector<std::string> &names);
  bool present(Value &v, std::vector<const Dim *> over, double fill, Span, Node *&keptMask);
  Value builtin(const std::string &name, const ast::Expr &, const ast::Call &, Scope &);
  Value reduce(const std::string &name, Value x, std::vector<const Dim *> over, Span);
  Value topk(Value score, const Form &k, const Dim *over, Span, bool route, const std::string &name);
  Value window(const ast::Call &, Scope &, Span);
  Value concat(std::vector<Value> parts, const Args &, Scope &, Span);
  Value split(Value x, const ast::Call &, Scope &, Span);
  Value rename(Value x, const ast::Call &, Scope &, Span);
  Value scatter(Value y, const Value &subset, Span);
  Value load(const Value &subset, Span);

  // ---- statements (statements.cpp) ----
  std::optional<Value> statements(const ast::Body &, Scope &);
  void variables(const ast::ParamStmt &, Scope &);
  Variable *variable(const Site *, bool state, Type, std::vector<const Dim *> declared, int rightFrom, const Init &, Span);
  Value read(const Variable &, bool map, const MapSides &, Span);
  std::optional<Init> initOf(const ast::Expr *, bool state, bool isMap, const std::string &name, Span, Scope &);
  void let(const ast::Pattern &, const std::optional<ast::Type> &, Value, Scope &, Span);
  void cache(const ast::CacheStmt &, Scope &, Span);
  void select(const ast::SelectStmt &, Scope &, Span);
  void aux(const ast::AuxStmt &, Scope &, Span);
  void onStep(const ast::AssignStmt &, Scope &, Span);
  void assign(const ast::AssignStmt &, Scope &, Span);
  void layers(const ast::LayersStmt &, Scope &, Span);
  void dissolve(Node *loop, Body *outer);
  void experts(const ast::ExpertsStmt &, Scope &, Span);
  std::map<std::pair<const Site *, std::string>, const ast::LayersStmt *> loopNames;
  std::map<const ast::Call *, int> callNumbers; ///< text order among the calls of one block in one body
  void numberCalls(const ast::Body &);

  Value poison() { return {}; }
  std::string show(const Value &);
  std::string typeText(const Value &);                ///< what `fil check` says of a `let`: a type, or the static value
  /// Declares a name of a body; what it may not shadow is a message.
  void bind(const std::string &, Value, Scope::Role, Scope &, Span);
  bool plain(const Value &, Span);                    ///< can a map be used as a tensor?
};

/// Shared by all graphs of a program: declarations, sites, dims.
class ProgramImpl : public Program {
public:
  ProgramImpl(Diagnostics &d, const CheckOptions &o) : diags(d), options(o) {}
  Diagnostics &diags;
  CheckOptions options;
  std::vector<const ast::Function *> functions_;
  std::vector<const ast::Plan *> plans_;
  std::map<std::string, const ast::Function *> byName;
  std::map<std::string, Declared> declared;
  std::map<const Dim *, Form> forms;            ///< what a made dim is made of
  std::set<const Dim *> kept;                   ///< what caches can look back at: longer than what is added, when decoding
  std::map<std::string, std::map<std::string, int64_t>> labels;
  std::deque<Site> sites;
  std::map<std::string, Site *> siteKeys;
  std::deque<Loop> loopClasses;
  std::map<std::pair<const Site *, std::string>, Loop *> loopKeys;
  std::map<const Site *, Variable *> variableOf;
  std::set<std::pair<uint32_t, uint32_t>> letsSeen;
  std::map<std::string, int> fresh;
  bool building = true;                         ///< lets are noted

  bool collect(const std::vector<const ast::File *> &files);
  void checkAll();
  Size value(const Size &) const;               ///< declared dims replaced by their sizes
  const std::vector<const ast::Function *> &functions() const override { return functions_; }
  const std::vector<const ast::Plan *> &plans() const override { return plans_; }
  const ast::Function *find(std::string_view n) const override {
    auto it = byName.find(std::string(n));
    return it == byName.end() ? nullptr : it->second;
  }
  std::unique_ptr<Graph> elaborateModel(const std::string &, const ast::Function *, const ast::Expr *, bool) override;
  std::unique_ptr<Graph> elaborateFunction(const std::string &, const std::vector<std::pair<std::string, FunctionArg>> &) override;
};

} // namespace fil::sema
