// SPDX-License-Identifier: Apache-2.0
// One node, one op. What is more than that: a loop's body is isolated, so everything it uses from outside is found first and
// enters as a carried, stacked (variables of this loop) or shared operand; states written in a loop leave it stacked.
#include "lang/lower/body.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace fil::sema;
namespace fil {

ArrayAttr LowerContext::names(ArrayRef<const Dim *> dims) const {
  SmallVector<Attribute> all;
  for (const Dim *d : dims) all.push_back(string(d->name));
  return ArrayAttr::get(ctx, all);
}
ir::TensorType LowerContext::type(const sema::Type &t) const {
  SmallVector<StringAttr> dims;
  for (const Dim *d : t.dims) dims.push_back(string(d->name));
  mlir::Type e;
  switch (t.elem) {
  case Elem::Real: e = ir::RealType::get(ctx); break;
  case Elem::Int: e = ir::IntType::get(ctx); break;
  case Elem::Bool: e = ir::BoolType::get(ctx); break;
  case Elem::Index: e = ir::IndexType::get(ctx, string(t.indexed->name)); break;
  }
  return ir::TensorType::get(ctx, dims, e);
}
ir::SubsetType LowerContext::subset(const Node &n) const {
  SmallVector<StringAttr> per;
  for (const Dim *d : n.dims) per.push_back(string(d->name));
  return ir::SubsetType::get(ctx, string(n.dim->name), per, string(n.subset->name));
}
mlir::Type LowerContext::typeOf(const Node &n) const {
  if (n.op == sema::Op::TopK) return subset(n);
  return type(n.type);
}
void noteOrder(LowerContext &c, const DimTable &dims) {
  for (const Dim *d : dims.all()) c.order_[d->name] = d->order;
}
mlir::Type LowerContext::stacked(mlir::Type t, ArrayRef<const Loop *> loops) const {
  SmallVector<StringAttr> dims;
  auto tensor = dyn_cast<ir::TensorType>(t);
  llvm::append_range(dims, tensor ? tensor.getDims() : cast<ir::SubsetType>(t).getPer());
  for (const Loop *l : loops) dims.push_back(string(l->dim->name));
  llvm::sort(dims, [&](StringAttr a, StringAttr b) { return order_.at(a.str()) < order_.at(b.str()); });
  if (tensor) return ir::TensorType::get(ctx, dims, tensor.getElement());
  auto s = cast<ir::SubsetType>(t);
  return ir::SubsetType::get(ctx, s.getOf(), dims, s.getMembers());
}
mlir::Type LowerContext::sliced(mlir::Type t, const Loop *loop) const {
  auto tensor = cast<ir::TensorType>(t);
  SmallVector<StringAttr> dims(tensor.getDims());
  llvm::erase(dims, string(loop->dim->name));
  return ir::TensorType::get(ctx, dims, tensor.getElement());
}
Location LowerContext::location(Span s) const {
  if (!s.valid()) return UnknownLoc::get(ctx);
  auto p = sources.place(s.file, s.begin);
  return FileLineColLoc::get(ctx, sources.name(s.file), p.line, p.column);
}

namespace {

ir::MapFn mapFn(Fn fn) {
  static_assert(int(Fn::Add) == int(ir::MapFn::add) && int(Fn::Cast) == int(ir::MapFn::cast) && int(Fn::Select) == int(ir::MapFn::select));
  return ir::MapFn(int(fn));
}
ir::ReduceFn reduceFn(Fn fn) {
  switch (fn) {
  case Fn::Min: return ir::ReduceFn::min;
  case Fn::Max: return ir::ReduceFn::max;
  case Fn::ArgMin: return ir::ReduceFn::argmin;
  case Fn::ArgMax: return ir::ReduceFn::argmax;
  default: return ir::ReduceFn::sum;
  }
}

/// What a body takes from outside: nodes, variables, and the scalars of random numbers.
struct Captures {
  llvm::SetVector<const Node *> nodes;
  llvm::SetVector<const Variable *> variables;
  bool random = false;
};
void collect(const Body &body, std::set<const Node *> &inside, Captures &out) {
  inside.insert(body.args.begin(), body.args.end());
  auto use = [&](const Node *n) {
    if (!inside.count(n)) out.nodes.insert(n);
  };
  for (const Node *n : body.nodes) {
    if (n->op == sema::Op::Read) out.variables.insert(n->variable);
    if (n->op == sema::Op::Random) out.random = true;
    for (const Node *a : n->args) use(a);
    for (const Node *s : n->subsets) use(s);
    inside.insert(n);
    if (n->op == sema::Op::Layers) collect(*n->body, inside, out);
  }
  for (const Node *r : body.results) use(r);
}

class FunctionLowering {
public:
  FunctionLowering(LowerContext &c, const Graph &graph, const ir::Dims &dims) : c(c), graph(graph), dims(dims), b(c.ctx) {}
  ir::FuncOp run(ModuleOp module, StringRef name, StringRef entry, ArrayRef<std::string> outputNames);

private:
  /// The values of one region.
  struct Frame {
    std::map<const Node *, Value> nodes;
    std::map<const Variable *, Value> variables; ///< as this region sees them: without the dims of the loops around it
    Value seed, step;
    SmallVector<Value> turns; ///< of the loops around, outermost first
  };
  LowerContext &c;
  const Graph &graph;
  const ir::Dims &dims;
  OpBuilder b;
  llvm::MapVector<const Variable *, Value> written; ///< new values of states, of the region at hand, in the order of the text

  void lowerBody(const Body &, Frame &, ArrayRef<const Loop *> loops);
  Value lowerNode(const Node &, Frame &, ArrayRef<const Loop *> loops);
  void lowerLayers(const Node &, Frame &, ArrayRef<const Loop *> loops);
  void lowerAux(const Aux &, Frame &);
  ArrayAttr windows(const Node &);
  template <class OpTy, class... A> Value make(const Node &n, A &&...args) {
    return OpTy::create(b, c.location(n.span), c.typeOf(n), std::forward<A>(args)..., site(n), role());
  }
  StringAttr site(const Node &n) { return c.string(n.site ? n.site->path() : ""); }
  ir::RoleAttr role() { return ir::RoleAttr::get(c.ctx, ir::Role::forward); }
};

ArrayAttr FunctionLowering::windows(const Node &n) {
  SmallVector<Attribute> all;
  for (const WindowDim &w : n.windows)
    all.push_back(ir::WindowDimAttr::get(c.ctx, c.string(w.in->name), c.string(w.window->name), c.string(w.out->name), w.stride, w.before));
  return ArrayAttr::get(c.ctx, all);
}

Value FunctionLowering::lowerNode(const Node &n, Frame &f, ArrayRef<const Loop *> loops) {
  SmallVector<Value> args, subsets;
  if (n.op != sema::Op::Result && n.op != sema::Op::Layers)
    for (const Node *a : n.args) args.push_back(f.nodes.at(a));
  for (const Node *s : n.subsets) subsets.push_back(f.nodes.at(s));
  auto dim = [&](const Dim *d) { return c.string(d->name); };
  auto size = [&](const Size &s) { return c.string(s.str()); };
  switch (n.op) {
  case sema::Op::Input: return f.nodes.at(&n);
  case sema::Op::Read: return f.variables.at(n.variable);
  case sema::Op::Constant: return make<ir::ConstantOp>(n, b.getF64FloatAttr(n.number));
  case sema::Op::SizeOf: return make<ir::SizeOp>(n, size(n.size));
  case sema::Op::Iota: return make<ir::IotaOp>(n, dim(n.dim));
  case sema::Op::Map: return make<ir::MapOp>(n, ir::MapFnAttr::get(c.ctx, mapFn(n.fn)), ValueRange(args));
  case sema::Op::Reduce: return make<ir::ReduceOp>(n, ir::ReduceFnAttr::get(c.ctx, reduceFn(n.fn)), args[0], c.names(n.dims), TypeAttr());
  case sema::Op::Contract: {
    ir::BodyBuilder build(b, dims, c.location(n.span));
    std::string at = n.site ? n.site->path() : "";
    build.site = at;
    return build.contract(args[0], args[1], subsets, c.type(n.type));
  }
  case sema::Op::Gather: return make<ir::GatherOp>(n, args[0], args[1], dim(n.dim));
  case sema::Op::Scatter: return make<ir::ScatterOp>(n, args[0], args[1], dim(n.dim));
  case sema::Op::TopK: return make<ir::TopKOp>(n, args[0], args.size() > 1 ? args[1] : Value(), dim(n.dim));
  case sema::Op::Present: return make<ir::PresentOp>(n, args[0]);
  case sema::Op::Member: return make<ir::MemberOp>(n, args[0]);
  case sema::Op::Window: return make<ir::WindowOp>(n, args[0], windows(n));
  case sema::Op::Concat: return make<ir::ConcatOp>(n, ValueRange(args), c.names(n.dims), dim(n.dim));
  case sema::Op::Slice: return make<ir::SliceOp>(n, args[0], dim(n.dims[0]), size(n.size), dim(n.dim));
  case sema::Op::At: return make<ir::SliceOp>(n, args[0], dim(n.dims[0]), size(n.size), c.string(""));
  case sema::Op::Rename: return make<ir::RenameOp>(n, args[0], dim(n.dims[0]), dim(n.dim));
  case sema::Op::Broadcast: return make<ir::BroadcastOp>(n, args[0]);
  case sema::Op::Random: return make<ir::RandomOp>(n, f.seed, f.step, f.turns, site(n), UnitAttr());
  case sema::Op::Cache: return make<ir::CacheOp>(n, args[0], Value(), dim(n.dims[0]), dim(n.dim));
  case sema::Op::StopGrad: return make<ir::StopGradOp>(n, args[0]);
  case sema::Op::Result: return f.nodes.at(&n);
  case sema::Op::Layers: lowerLayers(n, f, loops); return {};
  }
  return {};
}

void FunctionLowering::lowerBody(const Body &body, Frame &f, ArrayRef<const Loop *> loops) {
  for (const Node *n : body.nodes)
    if (Value v = lowerNode(*n, f, loops)) f.nodes[n] = v;
  for (const Update &u : graph.updates)
    if (u.in == &body) written[u.state] = f.nodes.at(u.value);
  for (const Aux &a : graph.auxes)
    if (a.in == &body) lowerAux(a, f);
}

void FunctionLowering::lowerAux(const Aux &a, Frame &f) {
  Value v = f.nodes.at(a.value);
  auto type = cast<ir::TensorType>(v.getType());
  ir::BodyBuilder build(b, dims, c.location(a.value->span));
  if (!type.getDims().empty()) { // averaged over the dims it has left
    Size n = dims.elements(type);
    v = build.div(build.reduce(ir::ReduceFn::sum, v, type.getDims()), build.size(n));
  }
  SmallVector<Value> trains;
  for (const Variable *p : a.trains) trains.push_back(f.variables.at(p));
  ir::AuxOp::create(b, build.loc, v, trains, a.restricted ? b.getUnitAttr() : UnitAttr(), site(*a.value), role());
}

void FunctionLowering::lowerLayers(const Node &n, Frame &outer, ArrayRef<const Loop *> loops) {
  const Loop *loop = n.loop;
  std::set<const Node *> inside;
  Captures cap;
  collect(*n.body, inside, cap);
  for (const Update &u : graph.updates)
    if (u.in == n.body && !inside.count(u.value)) cap.nodes.insert(u.value);
  for (const Aux &a : graph.auxes)
    if (a.in == n.body) cap.variables.insert(a.trains.begin(), a.trains.end());

  SmallVector<Value> carried, stacked, shared;
  SmallVector<const Variable *> stackedVars, sharedVars;
  for (const Node *a : n.args) carried.push_back(outer.nodes.at(a));
  for (const Variable *v : cap.variables) {
    bool own = llvm::is_contained(v->loops, loop);
    (own ? stackedVars : sharedVars).push_back(v);
    (own ? stacked : shared).push_back(outer.variables.at(v));
  }
  SmallVector<const Node *> sharedNodes;
  for (const Node *x : cap.nodes) {
    auto it = outer.nodes.find(x);
    assert(it != outer.nodes.end() && "a captured value is defined before its loop");
    sharedNodes.push_back(x), shared.push_back(it->second);
  }
  if (cap.random) shared.push_back(outer.seed), shared.push_back(outer.step);
  if (cap.random) llvm::append_range(shared, outer.turns);

  Region region;
  Block *block = new Block();
  region.push_back(block);
  Location loc = c.location(n.span);
  auto scalarInt = ir::TensorType::get(c.ctx, {}, ir::IntType::get(c.ctx));
  Frame f;
  Value turn = block->addArgument(scalarInt, loc);
  for (auto [a, v] : llvm::zip(n.body->args, carried)) f.nodes[a] = block->addArgument(v.getType(), loc);
  for (auto [v, x] : llvm::zip(stackedVars, stacked)) f.variables[v] = block->addArgument(c.sliced(x.getType(), loop), loc);
  for (auto [v, x] : llvm::zip(sharedVars, shared)) f.variables[v] = block->addArgument(x.getType(), loc);
  for (const Node *x : sharedNodes) f.nodes[x] = block->addArgument(outer.nodes.at(x).getType(), loc);
  if (cap.random) {
    f.seed = block->addArgument(scalarInt, loc), f.step = block->addArgument(scalarInt, loc);
    for (size_t i = 0; i < outer.turns.size(); ++i) f.turns.push_back(block->addArgument(scalarInt, loc));
    f.turns.push_back(turn);
  }

  llvm::MapVector<const Variable *, Value> outerWritten;
  std::swap(outerWritten, written);
  SmallVector<const Loop *> inner(loops);
  inner.push_back(loop);
  OpBuilder::InsertPoint after = b.saveInsertionPoint();
  b.setInsertionPointToEnd(block);
  lowerBody(*n.body, f, inner);
  SmallVector<Value> yields;
  SmallVector<mlir::Type> results;
  for (const Node *r : n.body->results) yields.push_back(f.nodes.at(r)), results.push_back(yields.back().getType());
  for (auto &[v, value] : written) yields.push_back(value), results.push_back(c.stacked(value.getType(), loop));
  ir::YieldOp::create(b, loc, yields);
  b.restoreInsertionPoint(after);

  auto op = ir::LayersOp::create(b, loc, results, carried, stacked, shared, c.string(loop->index), c.string(loop->dim->name),
                                 b.getI64IntegerAttr(loop->lo), b.getI64IntegerAttr(loop->hi), UnitAttr(), site(n), role());
  op.getBody().takeBody(region);
  for (auto [i, v] : llvm::enumerate(written)) outerWritten[v.first] = op.getResult(n.body->results.size() + i);
  written = std::move(outerWritten);
  for (const Node &r : graph.nodes) // the Results behind it
    if (r.op == sema::Op::Result && r.args[0] == &n) outer.nodes[&r] = op.getResult(r.index);
}

ir::FuncOp FunctionLowering::run(ModuleOp module, StringRef name, StringRef entry, ArrayRef<std::string> outputNames) {
  b.setInsertionPointToEnd(module.getBody());
  SmallVector<mlir::Type> in;
  SmallVector<Attribute> inAttrs, outAttrs;
  auto named = [&](const std::string &n, ArrayRef<const Dim *> axes = {}) {
    SmallVector<NamedAttribute> attrs{b.getNamedAttr("fil.name", c.string(n))};
    if (!axes.empty()) attrs.push_back(b.getNamedAttr("fil.axes", c.names(axes)));
    return b.getDictionaryAttr(attrs);
  };
  std::set<const Node *> inside;
  for (const Node *i : graph.inputs) {
    in.push_back(c.typeOf(*i)), inAttrs.push_back(named(i->name, i->dims));
    inside.insert(i);
  }
  Captures cap;
  collect(graph.body, inside, cap);
  for (const Aux &a : graph.auxes) cap.variables.insert(a.trains.begin(), a.trains.end());
  auto scalarInt = ir::TensorType::get(c.ctx, {}, ir::IntType::get(c.ctx));
  if (cap.random)
    for (const char *s : {"seed", "step"}) in.push_back(scalarInt), inAttrs.push_back(named(s));
  Region region;
  Block *block = new Block();
  region.push_back(block);
  Frame f;
  for (auto [i, t] : llvm::enumerate(in)) {
    Value v = block->addArgument(t, UnknownLoc::get(c.ctx));
    if (i < graph.inputs.size()) f.nodes[graph.inputs[i]] = v;
    else (i == graph.inputs.size() ? f.seed : f.step) = v;
  }
  OpBuilder::InsertPoint end = b.saveInsertionPoint();
  b.setInsertionPointToEnd(block);
  for (const Variable *v : cap.variables)
    f.variables[v] = ir::ReadOp::create(b, c.location(v->span), c.stacked(c.type(v->type), v->loops),
                                        FlatSymbolRefAttr::get(c.ctx, c.symbols.at(v)), c.string(v->site->path()), role());
  lowerBody(graph.body, f, {});
  for (auto &[v, value] : written)
    ir::WriteOp::create(b, value.getLoc(), FlatSymbolRefAttr::get(c.ctx, c.symbols.at(v)), value, c.string(v->site->path()),
                        ir::RoleAttr::get(c.ctx, ir::Role::update));
  SmallVector<Value> out;
  SmallVector<mlir::Type> outTypes;
  for (auto [i, o] : llvm::enumerate(graph.outputs)) {
    out.push_back(f.nodes.at(o)), outTypes.push_back(out.back().getType());
    outAttrs.push_back(named(i < outputNames.size() ? outputNames[i] : std::to_string(i), i == 0 ? ArrayRef<const Dim *>(graph.resultAxes) : ArrayRef<const Dim *>()));
  }
  ir::ReturnOp::create(b, UnknownLoc::get(c.ctx), out);
  b.restoreInsertionPoint(end);
  auto func = ir::FuncOp::create(b, UnknownLoc::get(c.ctx), c.string(name.str()), TypeAttr::get(b.getFunctionType(in, outTypes)),
                                 c.string(entry.str()), b.getArrayAttr(inAttrs), b.getArrayAttr(outAttrs));
  func.getBody().takeBody(region);
  return func;
}
} // namespace

ir::FuncOp lowerFunction(LowerContext &c, ModuleOp module, const Graph &graph, StringRef name, StringRef entry, ArrayRef<std::string> outputNames) {
  ir::Dims dims(module);
  return FunctionLowering(c, graph, dims).run(module, name, entry, outputNames);
}
} // namespace fil
