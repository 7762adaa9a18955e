// SPDX-License-Identifier: Apache-2.0
#include "passes/autodiff/sweep.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {

static void setRole(Operation *op, Role role) { op->setInherentAttr(StringAttr::get(op->getContext(), "role"), RoleAttr::get(op->getContext(), role)); }
static bool isReal(Type t) {
  auto tensor = dyn_cast<ir::TensorType>(t);
  return tensor && tensor.isReal();
}
/// The block argument that a use of the loop's operand enters by.
static BlockArgument entering(OpOperand &use) { return cast<LayersOp>(use.getOwner()).block().getArgument(1 + use.getOperandNumber()); }

// ---- activity ----

bool Activity::propagate(Block &block) {
  bool grew = false;
  for (Operation &op : block) {
    if (auto loop = dyn_cast<LayersOp>(op)) {
      for (OpOperand &o : loop->getOpOperands())
        if (has(o.get())) grew |= insert(entering(o));
      for (bool again = true; again;) {
        again = propagate(loop.block());
        grew |= again;
        for (auto [a, y] : llvm::zip(loop.carriedArgs(), loop.yielded()))
          if (has(y) && insert(a)) again = grew = true;
      }
      for (auto [r, y] : llvm::zip(loop.getResults(), loop.yielded()))
        if (has(y)) grew |= insert(r);
      for (auto [r, a] : llvm::zip(loop.getResults(), loop.carriedArgs()))
        if (has(a)) grew |= insert(r);
      continue;
    }
    if (!isa<Differentiable>(op) || isa<StopGradOp>(op)) continue;
    if (llvm::none_of(op.getOperands(), [&](Value v) { return has(v); })) continue;
    for (Value r : op.getResults())
      if (isReal(r.getType())) grew |= insert(r);
  }
  return grew;
}

// ---- where forward values can be had ----

static void save(Value v) {
  if (Operation *op = v.getDefiningOp(); op && !isa<ReadOp>(op)) setRole(op, Role::saved);
}
Value FunctionScope::use(Value v) {
  save(v);
  return v;
}

/// A sparse param in a loop, or what says where it is sparse: made again of variables, for a turn of them is at hand in every loop.
static bool followsFromVariables(Value v) {
  if (Value outside = outsideOf(v)) return followsFromVariables(outside);
  Operation *op = v.getDefiningOp();
  if (isa_and_nonnull<ReadOp, ConstantOp>(op)) return true;
  const bool whole = isa_and_nonnull<MapOp>(op) && !cast<ir::TensorType>(v.getType()).isReal();
  return (whole || isa_and_nonnull<MaskOp, ExpandOp>(op)) && llvm::all_of(op->getOperands(), followsFromVariables);
}

Value LoopScope::use(Value v) {
  if (auto it = known.find(v); it != known.end()) return it->second;
  Value &here = known[v];
  if (auto a = dyn_cast<BlockArgument>(v)) {
    const unsigned n = a.getArgNumber(), carried = loop.getCarried().size(), stackedCount = loop.getStacked().size();
    if (n == 0) return here = reverse.getArgument(0);
    if (n > carried) {
      const bool isStacked = n <= carried + stackedCount;
      Value outside = outer.use(loop.getOperand(n - 1));
      BlockArgument inside = argument(v.getType(), v.getLoc());
      (isStacked ? stacked : shared).push_back({outside, inside});
      return known[v] = inside;
    }
  } else if (Operation *op = v.getDefiningOp(); op->getNumOperands() == 0 && op->getNumRegions() == 0) { // cheaper to say again than to keep
    OpBuilder b(op->getContext());
    b.setInsertionPointToStart(&reverse);
    return here = b.clone(*op)->getResult(0);
  } else if (followsFromVariables(v)) {
    IRMapping inside;
    for (Value x : op->getOperands()) inside.map(x, use(x));
    OpBuilder b(op->getContext());
    b.setInsertionPointToStart(&reverse);
    Operation *last = nullptr;
    for (Value x : op->getOperands())
      if (Operation *made = inside.lookup(x).getDefiningOp(); made && (!last || last->isBeforeInBlock(made))) last = made;
    if (last) b.setInsertionPointAfter(last);
    return known[v] = b.clone(*op, inside)->getResult(0);
  }
  save(v);
  BlockArgument inside = argument(v.getType(), v.getLoc());
  saved.push_back({v, inside});
  return known[v] = inside;
}
void LoopScope::renamed(Value from, Value to) {
  for (Saved &s : saved)
    if (s.value == from) s.value = to;
  if (auto it = known.find(from); it != known.end()) {
    Value here = it->second;
    known.erase(it);
    known[to] = here;
  }
}

// ---- the walk ----

bool Sweep::isParam(Value v) {
  if (auto *op = v.getDefiningOp(); isa_and_nonnull<MaskOp, ExpandOp>(op)) return isParam(op->getOperand(0));
  if (Value outside = outsideOf(v)) return isParam(outside);
  return isa_and_nonnull<ReadOp>(v.getDefiningOp());
}

Value Sweep::zero(Type type) {
  Value z = constant(0);
  auto t = cast<ir::TensorType>(type);
  if (t.getDims().empty()) return z;
  return fit(z, t);
}
Value Sweep::adjointOrZero(Value v) {
  Value a = adjoint(v);
  return a ? a : zero(v.getType());
}

void Sweep::add(Value operand, Value value) {
  if (!activity.has(operand)) return;
  value = fit(value, cast<ir::TensorType>(operand.getType()));
  Value &sum = adjoints[operand];
  sum = sum ? BodyBuilder::add(sum, value) : value;
  auto &all = isParam(operand) ? paramAdjoints : otherAdjoints;
  all.insert(value), all.insert(sum);
}

/// Of the ops emitted since `before`: those that feed adjoints of variables alone.
void Sweep::markWgrad(Operation *before) {
  Block *block = builder.getInsertionBlock();
  Operation *last = builder.getInsertionPoint() == block->end() ? (block->empty() ? nullptr : &block->back()) : builder.getInsertionPoint()->getPrevNode();
  for (Operation *op = last; op && op != before; op = op->getPrevNode()) {
    if (isa<LayersOp>(op) || op->getNumResults() != 1 || roleOf(op) != Role::dgrad) continue; // a constant of the forward program, said again, has users to come
    Value r = op->getResult(0);
    const bool alone = r.use_empty() ? paramAdjoints.contains(r) : llvm::all_of(r.getUsers(), [](Operation *user) { return roleOf(user) == Role::wgrad; });
    if (alone && !otherAdjoints.contains(r)) setRole(op, Role::wgrad);
  }
}

static bool containsAux(Operation *op) {
  return op->walk([](AuxOp) { return WalkResult::interrupt(); }).wasInterrupted();
}

LogicalResult Sweep::reverse(Operation *last, bool aux) {
  seedsAux = aux;
  for (Operation *op = last; op;) {
    const bool loop = isa<LayersOp>(op);
    Operation *previous = op->getPrevNode(); // a loop is replaced while it is reversed, an `aux` may replace loops before it
    SmallVector<Value> seeds;
    for (Value r : op->getResults()) seeds.push_back(activity.has(r) ? adjoint(r) : Value());
    const bool seeded = llvm::any_of(seeds, [](Value s) { return bool(s); }) || (aux && (isa<AuxOp>(op) || (loop && containsAux(op))));
    if (auto d = dyn_cast<Differentiable>(op); d && seeded) {
      Block *block = builder.getInsertionBlock();
      Operation *before = builder.getInsertionPoint() == block->end() ? (block->empty() ? nullptr : &block->back()) : builder.getInsertionPoint()->getPrevNode();
      loc = op->getLoc();
      auto siteAttr = op->getInherentAttr("site");
      site = siteAttr ? cast<StringAttr>(*siteAttr).getValue() : StringRef();
      role = Role::dgrad;
      if (failed(d.adjoint(*this, seeds))) return failure();
      markWgrad(before);
    }
    op = loop ? previous : op->getPrevNode();
  }
  return success();
}

void Sweep::renamed(Value from, Value to) {
  for (Sweep *s = this; s; s = s->parent) {
    if (s->activity.has(from)) s->activity.insert(to);
    if (Value a = s->adjoints.lookup(from)) s->adjoints[to] = a;
  }
  scope.renamed(from, to);
}

LogicalResult Sweep::seedAux(AuxOp aux) {
  if (!aux.getRestricted()) {
    add(aux.getValue(), constant(1));
    return success();
  }
  Activity only;
  for (Value t : aux.getTrains()) only.insert(t);
  while (only.propagate(*aux->getBlock())) {}
  Sweep child(builder, dims, loc, scope, only, this);
  child.site = site, child.role = role;
  child.add(aux.getValue(), constant(1));
  if (failed(child.reverse(aux->getPrevNode(), false))) return failure();
  for (Value t : aux.getTrains())
    if (Value a = child.adjoint(t)) add(t, a);
  return success();
}

LogicalResult Sweep::reverseLayers(LayersOp loop, ValueRange seeds) {
  Region region;
  Block *block = new Block();
  region.push_back(block);
  MLIRContext *ctx = loop.getContext();
  block->addArgument(loop.turn().getType(), loc);
  LoopScope inner(loop, scope, *block);

  // Carried backwards: adjoints of what the loop carries, and sums for what its turns share.
  SmallVector<BlockArgument> carried, shared, stacked;
  for (BlockArgument a : loop.carriedArgs())
    if (activity.has(a)) carried.push_back(a);
  for (BlockArgument a : loop.sharedArgs())
    if (activity.has(a)) shared.push_back(a);
  for (BlockArgument a : loop.stackedArgs())
    if (activity.has(a)) stacked.push_back(a);
  SmallVector<Value> initial;
  for (BlockArgument a : carried) initial.push_back(seeds[a.getArgNumber() - 1] ? seeds[a.getArgNumber() - 1] : zero(a.getType()));
  for (BlockArgument a : shared) initial.push_back(zero(a.getType()));
  SmallVector<BlockArgument> adjointArgs;
  for (Value v : initial) adjointArgs.push_back(block->addArgument(v.getType(), loc));

  OpBuilder inside(ctx);
  inside.setInsertionPointToEnd(block);
  Sweep sweep(inside, dims, loc, inner, activity, nullptr);
  sweep.site = site, sweep.role = Role::dgrad;
  auto yielded = loop.yielded();
  for (auto [i, a] : llvm::enumerate(carried)) sweep.add(yielded[a.getArgNumber() - 1], adjointArgs[i]);
  for (auto [i, r] : llvm::enumerate(loop.stackedResults()))
    if (Value seed = seeds[loop.getCarried().size() + i]) {
      Value y = yielded[loop.getCarried().size() + i];
      BlockArgument slice = block->addArgument(y.getType(), loc);
      inner.stacked.push_back({seed, slice});
      sweep.add(y, slice);
    }
  if (failed(sweep.reverse(loop.block().getTerminator()->getPrevNode(), seedsAux))) return failure();

  SmallVector<Value> yields;
  SmallVector<Type> results;
  sweep.role = Role::dgrad;
  for (BlockArgument a : carried) yields.push_back(sweep.adjointOrZero(a));
  for (auto [i, a] : llvm::enumerate(shared)) {
    Value sum = adjointArgs[carried.size() + i], turn = sweep.adjoint(a);
    sweep.role = isParam(a) ? Role::wgrad : Role::dgrad;
    yields.push_back(turn ? sweep.BodyBuilder::add(sum, turn) : sum);
  }
  for (Value v : yields) results.push_back(v.getType());
  llvm::erase_if(stacked, [&](BlockArgument a) { return !sweep.adjoint(a); });
  for (BlockArgument a : stacked) {
    yields.push_back(sweep.adjoint(a));
    results.push_back(loop.getOperand(a.getArgNumber() - 1).getType());
  }
  YieldOp::create(inside, loc, yields);

  // What the turns save leaves the forward loop.
  SmallVector<Value> outsideOperands(loop->getOperands());
  if (!inner.saved.empty()) {
    // A value that leaves already (an earlier loss saved it) does not leave twice.
    const unsigned carriedCount = loop.getCarried().size();
    SmallVector<unsigned> places;
    SmallVector<Value> leaving(loop.yielded().drop_front(carriedCount));
    LayersEdit edit(loop);
    for (auto &s : inner.saved) {
      auto it = llvm::find(leaving, s.value);
      places.push_back(carriedCount + unsigned(it - leaving.begin()));
      if (it != leaving.end()) continue;
      leaving.push_back(s.value);
      edit.yield(s.value, stackedType(dims, s.value.getType(), loop.getDimAttr()));
    }
    SmallVector<Value> old(loop.getResults());
    LayersOp made = edit.finish();
    for (auto [i, from] : llvm::enumerate(old)) renamed(from, made.getResult(i));
    for (auto [place, s] : llvm::zip(places, inner.saved)) inner.stacked.push_back({scope.use(made.getResult(place)), s.inside});
    loop = made;
  }
  SmallVector<Value> stackedOperands, sharedOperands;
  Block *ordered = new Block(); // arguments in the order of a loop: turn, carried, stacked, shared
  region.push_back(ordered);
  auto move = [&](BlockArgument from) { from.replaceAllUsesWith(ordered->addArgument(from.getType(), from.getLoc())); };
  move(block->getArgument(0));
  for (BlockArgument a : adjointArgs) move(a);
  for (auto &o : inner.stacked) stackedOperands.push_back(o.outside), move(o.inside);
  for (auto &o : inner.shared) sharedOperands.push_back(o.outside), move(o.inside);
  ordered->getOperations().splice(ordered->end(), block->getOperations());
  block->erase();

  auto back = LayersOp::create(builder, loc, results, initial, stackedOperands, sharedOperands, loop.getIndexAttr(), loop.getDimAttr(), loop.getLoAttr(),
                               loop.getHiAttr(), builder.getUnitAttr(), loop.getSiteAttr(), RoleAttr::get(ctx, Role::dgrad));
  back.getBody().takeBody(region);
  unsigned r = 0;
  auto give = [&](BlockArgument a) { add(outsideOperands[a.getArgNumber() - 1], back.getResult(r++)); };
  for (BlockArgument a : carried) give(a);
  for (BlockArgument a : shared) give(a);
  for (BlockArgument a : stacked) give(a);
  return success();
}

} // namespace fil::passes
