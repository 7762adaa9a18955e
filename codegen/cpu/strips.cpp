// SPDX-License-Identifier: Apache-2.0
// Several contractions and what stands between them, strip by strip. A tile is one point of the group's rows. It packs the right sides that have
// no rows of the strip, then goes through the strips: some rows at a time every value is computed, contractions by register tiles into
// scratch or to where they belong, all others in stages row by row. Sums over the strips are added to in their order.
// Of a dim that a comparison of positions cuts off (`causal`), a strip computes only what some row of it needs: if for all that is cut off the
// sums read zeros and the largest and smallest values what cannot win, nobody misses it.
#include "codegen/cpu/group_kernel.h"
#include "codegen/cpu/highest.h"
#include "codegen/cpu/stages.h"
#include "codegen/cpu/tile.h"
#include <deque>
#include <fmt/format.h>

namespace fil {
using namespace ir;
using mlir::dyn_cast, mlir::cast, mlir::isa;
using mlir::Operation, mlir::StringAttr;
using LV = llvm::Value *;

namespace {

llvm::ArrayRef<StringAttr> dimsOf(mlir::Value v) {
  if (auto s = dyn_cast<SubsetType>(v.getType())) return s.getPer();
  return cast<TensorType>(v.getType()).getDims();
}

/// `s` on one side and the strip's dim on the other, each with coefficient 1.
struct Cut {
  MapOp compare;
  StringAttr dim;
  mlir::Value member, row; ///< the sides
  bool upper = true;       ///< members are at most what the row says, else at least
  bool strict = false;
};

/// Which comparisons limit the loops of a group.
class Cuts {
public:
  Cuts(GroupOp group) : group(group), strip(group.strip()) {}

  std::vector<Cut> find() {
    std::vector<Cut> all;
    for (auto m : group.block().getOps<MapOp>()) {
      const bool le = m.getFn() == MapFn::le, lt = m.getFn() == MapFn::lt, ge = m.getFn() == MapFn::ge, gt = m.getFn() == MapFn::gt;
      if (!le && !lt && !ge && !gt) continue;
      for (int side : {0, 1}) {
        mlir::Value x = m.getArgs()[unsigned(side)], y = m.getArgs()[unsigned(1 - side)];
        auto dims = dimsOf(x);
        if (dims.size() != 1 || dims[0] == strip || !follows(x, dims[0]) || !follows(y, strip)) continue;
        Cut c{m, dims[0], x, y, (le || lt) == (side == 0), lt || gt};
        if (nobodyMisses(c)) all.push_back(c);
      }
    }
    return all;
  }

private:
  GroupOp group;
  StringAttr strip;

  /// A position along the dim plus what is the same everywhere.
  static bool follows(mlir::Value v, StringAttr d) {
    Operation *op = v.getDefiningOp();
    auto constant = [](mlir::Value x) { return dimsOf(x).empty(); };
    if (auto i = llvm::dyn_cast_or_null<IotaOp>(op)) return i.getDimAttr() == d;
    auto m = llvm::dyn_cast_or_null<MapOp>(op);
    if (!m || (m.getFn() != MapFn::add && m.getFn() != MapFn::sub)) return false;
    mlir::Value x = m.getArgs()[0], y = m.getArgs()[1];
    return (follows(x, d) && constant(y)) || (m.getFn() == MapFn::add && constant(x) && follows(y, d));
  }
  /// The value where the comparison is false, if that alone decides it. What is absent is 0 whatever it is multiplied by.
  static std::optional<double> outside(mlir::Value v, MapOp compare) {
    Operation *op = v.getDefiningOp();
    if (!op) return std::nullopt;
    if (op == compare) return 0;
    if (auto c = dyn_cast<ConstantOp>(op)) return c.getValue().convertToDouble();
    if (isa<BroadcastOp, StopGradOp, QuantizeOp, DequantizeOp>(op)) return outside(op->getOperand(0), compare); // 0 and infinity are numbers of each format, or become what is multiplied by nothing
    auto m = dyn_cast<MapOp>(op);
    if (!m) return std::nullopt;
    llvm::SmallVector<std::optional<double>> a;
    for (mlir::Value x : m.getArgs()) a.push_back(outside(x, compare));
    switch (m.getFn()) {
    case MapFn::select:
      if (a[0]) return *a[0] != 0 ? a[1] : a[2];
      return a[1] && a[1] == a[2] ? a[1] : std::nullopt;
    case MapFn::logical_and:
    case MapFn::mul:
      for (auto &x : a)
        if (x == 0.0) return 0;
      return std::nullopt;
    case MapFn::div: return a[0] == 0.0 ? a[0] : std::nullopt;
    case MapFn::neg: return a[0] ? std::optional(-*a[0]) : std::nullopt;
    case MapFn::add: return a[0] && a[1] ? std::optional(*a[0] + *a[1]) : std::nullopt;
    case MapFn::sub: return a[0] && a[1] ? std::optional(*a[0] - *a[1]) : std::nullopt;
    default: return std::nullopt;
    }
  }
  /// Is it there at all places, wherever a view looks? Not what a strip keeps.
  static bool isWhole(mlir::Value v) {
    Operation *op = v.getDefiningOp();
    return !op || (!GroupOp::kept(op) && llvm::all_of(op->getOperands(), isWhole));
  }
  bool nobodyMisses(const Cut &c) {
    auto zero = [&](mlir::Value v) { return outside(v, c.compare) == 0.0; };
    auto with = [&](mlir::Value v) { return isa<TensorType>(v.getType()) && llvm::is_contained(dimsOf(v), c.dim); };
    for (Operation &op : group.block()) {
      if (isa<YieldOp>(op)) {
        for (mlir::Value v : op.getOperands())
          if (with(v) && llvm::is_contained(dimsOf(v), strip)) return false;
        continue;
      }
      const bool touches = with(op.getResult(0)) || llvm::any_of(op.getOperands(), with);
      if (!touches || isa<MapOp, BroadcastOp, StopGradOp, IotaOp, QuantizeOp, DequantizeOp>(op)) continue;
      if (auto r = dyn_cast<ReduceOp>(op)) {
        if (!llvm::is_contained(strings(r.getOver()), c.dim)) continue;
        auto x = outside(r.getX(), c.compare);
        if (!x || *x != (r.getFn() == ReduceFn::sum ? 0.0 : r.getFn() == ReduceFn::max ? -INFINITY : r.getFn() == ReduceFn::min ? INFINITY : NAN)) return false;
      } else if (auto t = dyn_cast<TopKOp>(op)) {
        if (t.getDimAttr() != c.dim || !t.getMask() || !zero(t.getMask())) return false;
      } else if (auto p = dyn_cast<ContractOp>(op)) {
        const bool columns = !llvm::is_contained(strings(p.getOver()), c.dim) && llvm::is_contained(dimsOf(p.getResult()), strip);
        if (!columns && !(with(p.getLhs()) && zero(p.getLhs())) && !(with(p.getRhs()) && zero(p.getRhs()))) return false;
      } else if (op.getNumOperands() && !isWhole(op.getOperand(0))) return false;
    }
    return true;
  }
};

class StripEmitter {
public:
  StripEmitter(const Target &t, const Dims &dims, bool f64, GroupOp g, const GroupPlacement &p) : k(t, dims, f64), group(g), at(p), strip(g.strip()), inputs(inputsOf(k, g, p, number)), e(k, g, inputs) {}

  EmittedKernel run() {
    for (auto [v, r] : llvm::zip(group.yielded(), at.results)) results[v] = memoryOf(k, v.getType(), r.layout, r.counts, number, false);
    formPhases();
    // Without sums over the strips so many of them are a tile as have 512 rows: packing the right sides once more is a few hundredths of that.
    const bool sums = llvm::any_of(products, [](const Product &p) { return p.sum; });
    const int64_t some = (512 + stripRows - 1) / stripRows * stripRows;
    const Size parts = sums ? Size(1) : Size::ceil(k.dims.value(strip.getValue()) / Size(some));
    LV T = k.extent(strip);
    emitLoop(k.b, k.begin(), k.end(), 1, [&](LV tile) {
      e.scope([&] {
        LV first = k.number(0), last = T;
        if (!sums) first = k.b.CreateMul(k.b.CreateURem(tile, k.size(parts)), k.number(some)), last = emitMin(k.b, T, k.b.CreateAdd(first, k.number(some)));
        Point point;
        digits(k, sums ? tile : k.b.CreateUDiv(tile, k.size(parts)), batch, point);
        for (Product &p : products) p.sum ? clear(p, point) : packRight(p, point, k.size(p.k), p.summed);
        forTurns(0, point, [&](const Point &turn) {
          emitLoop(k.b, first, last, stripRows, [&](LV t0) {
            e.scope([&] { oneStrip(turn, t0, emitMin(k.b, k.number(stripRows), k.b.CreateSub(last, t0))); });
          });
        });
        for (Product &p : products)
          if (p.sum && !p.direct) copyOut(p, point, k.number(0), k.size(extents(k.dims, p.rows)), p.rows);
      });
    });
    k.finish();
    return {std::move(k.made), k.sizes, extents(k.dims, batch) * parts, k.scratchBytes, 1, fmt::format("strips of {} {}{}", stripRows, strip.str(), cuts.empty() ? "" : ", cut")};
  }

private:
  KernelBuilder k;
  GroupOp group;
  const GroupPlacement &at;
  StringAttr strip;
  int number = 0; ///< of the first buffer behind the inputs
  const std::vector<Memory> inputs;
  Evaluator e;
  const llvm::SmallVector<StringAttr> batch = strings(group.getRows());
  Dimlist turns, inner; ///< own dims of left sides beside the strip: loops around the strips, and what a row of a strip has several of
  int64_t stripRows = 0;
  std::vector<Cut> cuts;
  llvm::DenseMap<mlir::Value, Memory> results;

  /// A contraction. Its left side has the strip's rows, or sums over them; the right side is packed.
  struct Product {
    ContractOp c;
    bool sum = false;    ///< over the strips
    int left = 0;
    Dimlist rows, columns, summed; ///< rows: of a sum; of others, what stands beside the strip's
    Size k;
    TileShape shape;
    int64_t kc = 0;
    LV packed = nullptr, packedLeft = nullptr;
    bool direct = false; ///< written to where the result belongs
    Memory to;           ///< the result; of others than sums as if from row 0 of the strip's first row
    Size row;            ///< elements from row to row
    /// Of the left side, what one row of the strip has.
    const Dimlist &along() const { return sum ? rows : summed; }
    mlir::Value right() { return c->getOperand(unsigned(1 - left)); }
    mlir::Value leftSide() { return c->getOperand(unsigned(left)); }
  };
  /// Ops that go row by row together.
  struct Rows {
    llvm::SmallVector<Operation *> ops;
    std::unique_ptr<Stages> stages;
  };
  std::deque<Product> products;
  std::deque<Rows> rowRuns;
  struct Phase { Product *product = nullptr; Rows *rows = nullptr; TopKOp choice{}; };
  std::vector<Phase> phases;
  llvm::MapVector<mlir::Value, Memory> strips; ///< values that stand in scratch for the strip
  llvm::DenseMap<mlir::Value, Layout> layouts; ///< of these, and of results that are written directly

  LV elementAt(LV pointer, LV offset) { return emitAt(k.b, k.real, pointer, offset); }
  int64_t bytes() const { return k.f64 ? 8 : 4; }
  Element element() const { return k.f64 ? Element::F64 : Element::F32; }
  std::optional<int64_t> known(const Size &s) {
    auto c = s.constant();
    return c ? std::optional(c->num) : std::nullopt;
  }
  /// Dims in which a row of a strip has one position.
  Dimlist points() const {
    Dimlist all(batch.begin(), batch.end());
    llvm::append_range(all, turns), all.push_back(strip);
    return all;
  }
  /// With the places that a row has.
  Dimlist places() const {
    Dimlist all(batch.begin(), batch.end());
    llvm::append_range(all, turns), llvm::append_range(all, inner), all.push_back(strip);
    return all;
  }
  /// What a value has besides points.
  Dimlist restOf(mlir::Value v) {
    Dimlist rest;
    for (StringAttr d : dimsOf(v))
      if (!contains(points(), d)) rest.push_back(d);
    return rest;
  }

  // ---- what is computed when ----

  /// The kept ops whose results an op reads.
  llvm::SetVector<Operation *> needs(Operation *op) {
    llvm::SetVector<Operation *> found;
    llvm::SmallPtrSet<Operation *, 16> seen;
    std::function<void(Operation *)> visit = [&](Operation *o) {
      for (mlir::Value v : o->getOperands())
        if (Operation *def = v.getDefiningOp(); def && seen.insert(def).second) GroupOp::kept(def) ? (void)found.insert(def) : visit(def);
    };
    visit(op);
    return found;
  }
  void formPhases() {
    llvm::SetVector<Operation *> open;
    for (Operation &op : group.block()) {
      if (!GroupOp::kept(&op)) continue;
      open.insert(&op);
      auto c = dyn_cast<ContractOp>(op);
      if (c && c->hasAttr("fil.tiled") && llvm::is_contained(dimsOf(c.getResult()), strip)) {
        for (StringAttr d : dimsOf(c.getResult()))
          if (d != strip && !llvm::is_contained(batch, d) && onStripsSide(c, d)) addTo(ofAll(d) ? turns : inner, {d});
      }
    }
    llvm::SmallPtrSet<Operation *, 32> done;
    auto ready = [&](Operation *op) { return llvm::all_of(needs(op), [&](Operation *o) { return done.contains(o); }); };
    auto isProduct = [](Operation *op) { return op->hasAttr("fil.tiled"); };
    while (!open.empty()) {
      for (Operation *op : llvm::to_vector(open))
        if (isProduct(op) && ready(op)) {
          phases.push_back({&products.emplace_back(product(cast<ContractOp>(op))), nullptr});
          done.insert(op), open.remove(op);
        }
      for (Operation *op : llvm::to_vector(open))
        if (auto t = dyn_cast<TopKOp>(op); t && ready(op)) phases.push_back({nullptr, nullptr, t}), done.insert(op), open.remove(op);
      Rows run;
      for (Operation *op : llvm::to_vector(open))
        if (!isProduct(op) && !isa<TopKOp>(op) && ready(op)) run.ops.push_back(op), done.insert(op), open.remove(op);
      if (!run.ops.empty()) phases.push_back({nullptr, &rowRuns.emplace_back(std::move(run))});
    }
    // Scratch: what another phase reads.
    int64_t rowBytes = 0;
    llvm::SmallVector<mlir::Value> inScratch;
    for (Phase &p : phases) {
      llvm::SmallVector<Operation *> ops;
      if (p.rows) ops = p.rows->ops;
      else if (p.product && !p.product->sum && !p.product->direct) ops = {p.product->c};
      for (Operation *op : ops) {
        auto elsewhere = [&](Operation *user) { return llvm::is_contained(needs(user), op) && !llvm::is_contained(ops, user); };
        if (p.rows && llvm::none_of(done, elsewhere)) continue;
        inScratch.push_back(op->getResult(0));
        rowBytes += known(rowLength(op->getResult(0))).value_or(1024) * bytes();
      }
    }
    int64_t tileRows = 1;
    for (Product &p : products)
      if (!p.sum) tileRows = std::max<int64_t>(tileRows, p.shape.rows);
    stripRows = std::clamp<int64_t>(k.target.l2 / 4 / std::max<int64_t>(rowBytes, 1), tileRows, 64) / tileRows * tileRows;
    if (auto steps = known(k.dims.value(strip.getValue()))) stripRows = std::min(stripRows, (*steps + tileRows - 1) / tileRows * tileRows);
    for (mlir::Value v : inScratch) {
      Memory m;
      m.element = k.scratch(cast<TensorType>(v.getType()).getElement());
      m.layout = layoutIn(v);
      m.pointer = k.allocateScratch(Size(stripRows) * rowLength(v) * Size(int64_t(k.made.module->getDataLayout().getTypeAllocSize(m.element))));
      strips[v] = m, layouts[v] = m.layout;
    }
    for (Product &p : products) {
      const Size columns = Size(p.shape.columns());
      p.packed = k.allocateScratch(Size::ceil(extents(k.dims, p.columns) / columns) * columns * (p.sum ? Size(stripRows) : p.k) * Size(bytes()));
      if (p.direct) p.to = results[p.c.getResult()];
      else if (p.sum) {
        p.row = rowLength(p.columns);
        Size outer = p.row, inner(1);
        for (StringAttr d : llvm::reverse(p.rows)) p.to.layout.order.push_back(d), p.to.layout.strides.push_back(outer), outer = outer * k.dims.value(d.getValue());
        for (StringAttr d : llvm::reverse(p.columns)) p.to.layout.order.push_back(d), p.to.layout.strides.push_back(inner), inner = inner * k.dims.value(d.getValue());
        p.to.element = k.real;
        p.to.pointer = k.allocateScratch(outer * Size(bytes()));
      } else p.to = strips[p.c.getResult()], p.row = rowLength(p.c.getResult());
      if (p.direct && !p.sum) layouts[p.c.getResult()] = p.to.layout;
      if (!leftInPlace(p)) p.packedLeft = k.allocateScratch(Size(stripRows) * rowLength(p.along()) * Size(bytes()));
    }
    cuts = Cuts(group).find();
    llvm::erase_if(cuts, [&](const Cut &c) { return llvm::any_of(products, [&](const Product &p) { return !canSkip(p, c.dim); }); });
    for (Rows &r : rowRuns) form(r);
  }
  /// Can the product leave out a part of the dim, as its rows or what it sums, or compute it whole, as columns of a strip?
  static bool canSkip(const Product &p, StringAttr d) {
    auto apart = [&](const Dimlist &list) { return !contains(list, d) || list.size() == 1; };
    return apart(p.rows) && apart(p.summed) && !(p.sum && contains(p.columns, d));
  }
  /// Does each value of a strip's rows have it?
  bool ofAll(StringAttr d) {
    return llvm::all_of(group.block(), [&](Operation &op) {
      return !GroupOp::kept(&op) || !llvm::is_contained(dimsOf(op.getResult(0)), strip) || llvm::is_contained(dimsOf(op.getResult(0)), d);
    });
  }
  /// Is the dim one of the operand that has the strip's rows?
  bool onStripsSide(ContractOp c, StringAttr d) {
    for (mlir::Value v : {c.getLhs(), c.getRhs()})
      if (llvm::is_contained(dimsOf(v), strip)) return llvm::is_contained(dimsOf(v), d);
    return false;
  }
  Size rowLength(llvm::ArrayRef<StringAttr> rest) { return Size(16) * Size::ceil(extents(k.dims, rest) / Size(16)) + 64; } // whole panels, at most 64 wide, fit
  Size rowLength(mlir::Value v) {
    Dimlist rest = restOf(v);
    return rest.empty() ? Size(1) : rowLength(rest);
  }
  Layout layoutIn(mlir::Value v) {
    Layout l;
    l.order.push_back(strip), l.strides.push_back(rowLength(v));
    Size n(1);
    Dimlist rest = restOf(v);
    std::stable_partition(rest.begin(), rest.end(), [&](StringAttr d) { return contains(inner, d); }); // columns stand together
    for (StringAttr d : llvm::reverse(rest)) l.order.push_back(d), l.strides.push_back(n), n = n * k.dims.value(d.getValue());
    return l;
  }

  Product product(ContractOp c) {
    Product p;
    p.c = c;
    p.sum = !llvm::is_contained(dimsOf(c.getResult()), strip);
    auto wide = [&](mlir::Value v) { // the side of the longer rows of a sum: what is made here
      mlir::Value root = v;
      while (Operation *op = root.getDefiningOp()) {
        if (GroupOp::kept(op)) return true;
        if (op->getNumOperands() != 1) break;
        root = op->getOperand(0);
      }
      return false;
    };
    if (p.sum) p.left = wide(c.getLhs()) ? 0 : 1;
    else p.left = llvm::is_contained(dimsOf(c.getLhs()), strip) ? 0 : 1;
    for (StringAttr d : dimsOf(c.getResult())) {
      if (contains(points(), d)) continue;
      (llvm::is_contained(dimsOf(p.leftSide()), d) ? p.rows : p.columns).push_back(d);
    }
    if (!p.sum)
      for (StringAttr d : dimsOf(p.leftSide())) // as they stand in the left side
        if (llvm::is_contained(strings(c.getOver()), d)) p.summed.push_back(d);
    p.k = extents(k.dims, p.summed);
    const ContractionDescriptor d{element(), {std::nullopt, known(extents(k.dims, p.columns)), p.sum ? std::nullopt : known(p.k)}, {}};
    p.shape = chooseShape(k.target, d);
    p.kc = chooseBlocks(k.target, p.shape, d).kc;
    if (auto it = results.find(c.getResult()); it != results.end() && d.sizes.n && *d.sizes.n % p.shape.columns() == 0) {
      const Layout &l = it->second.layout;
      auto stride = [&](StringAttr d) { return l.strides[size_t(llvm::find(l.order, d) - l.order.begin())]; };
      auto columns = joined(k.dims, p.columns, stride);
      auto rows = p.sum ? joined(k.dims, p.rows, stride) : std::optional(stride(strip));
      if (columns && *columns == Size(1) && rows) p.direct = true, p.row = *rows;
    }
    return p;
  }
  std::optional<Plain> plain(mlir::Value v, llvm::ArrayRef<StringAttr> outer, llvm::ArrayRef<StringAttr> summed) {
    auto layout = [&](mlir::Value x) -> const Layout * {
      if (auto a = dyn_cast<mlir::BlockArgument>(x)) return cast<TensorType>(a.getType()).format() ? nullptr : &at.inputs[a.getArgNumber()].layout;
      auto it = layouts.find(x);
      return it == layouts.end() ? nullptr : &it->second;
    };
    return plainOf(k.dims, v, layout, outer, summed, places());
  }
  /// Rows of the strip by `batch`, what each has by `sum`.
  std::optional<Plain> leftInPlace(Product &p) {
    auto l = plain(p.leftSide(), {}, p.along());
    return l && (p.sum || l->sum == Size(1)) ? l : std::nullopt;
  }
  struct Left { LV at, row, step; }; ///< first element; elements from row of the strip to row, and between neighbours of one
  Left leftOf(Product &p, const Point &point, LV rows) {
    if (auto l = leftInPlace(p)) return {startOf(*l, point), k.size(l->batch.back()), k.size(l->sum)};
    LV length = k.size(rowLength(p.along())), n = k.size(extents(k.dims, p.along()));
    emitLoop(k.b, k.number(0), rows, 1, [&](LV i) {
      Point q = point;
      q.set(strip, {k.b.CreateAdd(point(strip).base, i), 0, nullptr});
      LV to = elementAt(p.packedLeft, k.b.CreateMul(i, length));
      emitLoop(k.b, k.number(0), n, k.lanes, [&](LV j) {
        emitAlong(e, q, p.along(), j, true, k.b.CreateSub(n, j), k.lanes, elementAt(to, j), [&](const Point &r) { return e.value(p.leftSide(), r); });
      });
    });
    return {p.packedLeft, length, k.number(1)};
  }

  void form(Rows &r) {
    r.stages = std::make_unique<Stages>(k, e);
    Stages &s = *r.stages;
    s.rows = points();
    for (Operation *op : r.ops) {
      mlir::Value v = op->getResult(0);
      addTo(s.order, dimsOf(v));
      if (strips.contains(v)) s.results[v].push_back({});
      if (auto it = results.find(v); it != results.end()) s.results[v].push_back(it->second);
    }
    for (auto &[v, m] : strips) s.vote(m.layout);
    for (auto *all : {&at.inputs, &at.results})
      for (const Placement &p : *all) s.vote(p.layout);
    s.form(r.ops);
    s.makeRoom();
  }

  // ---- packing ----

  LV startOf(const Plain &x, const Point &point) {
    LV from = pointerOf(x.root);
    for (auto [d, s] : llvm::zip(places(), x.batch))
      if (point.has(d)) from = elementAt(from, emitMul(k.b, point(d).base, k.size(s)));
    return from;
  }
  LV pointerOf(mlir::Value root) {
    if (auto a = dyn_cast<mlir::BlockArgument>(root)) return inputs[a.getArgNumber()].pointer;
    return now[root].pointer;
  }
  llvm::DenseMap<mlir::Value, Memory> now; ///< scratch and direct results as the strip at hand sees them

  /// Panels of the right side: `steps` of what is summed from the point on. Of a sum over strips the steps are rows of the strip.
  void packRight(Product &p, const Point &point, LV steps, const Dimlist &summed) {
    LV N = k.size(extents(k.dims, p.columns)), columns = k.number(p.shape.columns());
    if (auto r = plain(p.right(), p.columns, summed)) {
      PackOperands o;
      o.from = startOf(*r, point), o.stride = k.size(r->outer), o.strideK = k.size(r->sum);
      o.count = N, o.steps = steps, o.to = p.packed, o.panel = k.b.CreateMul(steps, columns);
      emitPackB(k.b, p.shape, o);
      return;
    }
    emitLoop(k.b, k.number(0), k.size(Size::ceil(extents(k.dims, p.columns) / Size(p.shape.columns()))), 1, [&](LV panel) {
      LV first = k.b.CreateMul(panel, columns), to = elementAt(p.packed, k.b.CreateMul(first, steps));
      emitLoop(k.b, k.number(0), steps, 1, [&](LV step) {
        e.scope([&] {
          Point q = point;
          stepTo(step, summed, q);
          emitAlong(e, q, p.columns, first, true, emitMin(k.b, columns, k.b.CreateSub(N, first)), p.shape.columns(), elementAt(to, k.b.CreateMul(step, columns)),
                    [&](const Point &r) { return e.value(p.right(), r); });
        });
      });
    });
  }
  void stepTo(LV step, const Dimlist &summed, Point &q) {
    if (summed.size() == 1 && summed[0] == strip) q.set(strip, {k.b.CreateAdd(q(strip).base, step), 0, nullptr});
    else digits(k, step, summed, q);
  }

  // ---- a strip ----

  struct Range { LV begin, end; };
  /// The part of a dim that the strip needs.
  Range range(StringAttr d, LV t0, LV rows) {
    Range r{k.number(0), k.extent(d)};
    for (const Cut &c : cuts) {
      if (c.dim != d) continue;
      Point row, member;
      row.set(strip, {c.upper ? k.b.CreateSub(k.b.CreateAdd(t0, rows), k.number(1)) : t0, 0, nullptr});
      member.set(d, {k.number(0), 0, nullptr});
      LV limit = k.b.CreateSExt(k.b.CreateSub(e.value(c.row, row), e.value(c.member, member)), k.i64);
      if (c.upper) r.end = emitMax(k.b, k.number(0), emitMin(k.b, r.end, c.strict ? limit : k.b.CreateAdd(limit, k.number(1))));
      else r.begin = emitMax(k.b, r.begin, k.b.CreateAnd(c.strict ? k.b.CreateAdd(limit, k.number(1)) : limit, k.number(-int64_t(k.lanes))));
    }
    r.begin = emitMin(k.b, r.begin, r.end);
    return r;
  }
  Range rangeOf(const Dimlist &list, LV t0, LV rows) {
    if (list.size() == 1 && list[0] != strip) return range(list[0], t0, rows);
    return {k.number(0), k.size(extents(k.dims, list))};
  }

  void oneStrip(const Point &turn, LV t0, LV rows) {
    Point point = turn;
    point.set(strip, {t0, 0, nullptr});
    now.clear();
    for (auto &[v, m] : strips) {
      Memory here = m;
      here.pointer = k.b.CreateGEP(m.element, m.pointer, k.b.CreateNeg(k.b.CreateMul(t0, k.size(m.layout.strides[0]))));
      now[v] = here;
    }
    for (Product &p : products)
      if (p.direct && !p.sum) now[p.c.getResult()] = p.to;
    for (Phase &phase : phases) {
      if (phase.rows) rowByRow(*phase.rows, turn, t0, rows);
      else if (phase.choice) choose(phase.choice, turn, t0, rows);
      else if (phase.product->sum) sumUp(*phase.product, point, t0, rows);
      else multiply(*phase.product, point, t0, rows);
    }
  }
  void rowByRow(Rows &r, const Point &turn, LV t0, LV rows) {
    Stages &s = *r.stages;
    for (auto &[v, m] : s.results)
      if (auto it = now.find(v); it != now.end()) m.front() = it->second;
    for (const Cut &c : cuts) {
      Range limit = range(c.dim, t0, rows);
      s.limits[c.dim] = {limit.begin, limit.end};
    }
    emitLoop(k.b, t0, k.b.CreateAdd(t0, rows), 1, [&](LV t) {
      e.scope([&] {
        Point p = turn;
        p.set(strip, {t, 0, nullptr});
        s.emit(p);
      });
    });
    for (Operation *op : r.ops)
      if (auto it = now.find(op->getResult(0)); it != now.end()) e.reside(it->first, it->second); // not a register of the last row
  }
  void choose(TopKOp t, const Point &turn, LV t0, LV rows) {
    const Range candidates = range(t.getDimAttr(), t0, rows);
    emitLoop(k.b, t0, k.b.CreateAdd(t0, rows), 1, [&](LV row) {
      e.scope([&] {
        Point p = turn;
        p.set(strip, {row, 0, nullptr});
        Highest(k, e).topk(t, p, results[t.getResult()], candidates.begin, candidates.end);
      });
    });
  }
  void multiply(Product &p, const Point &point, LV t0, LV rows) {
    e.reside(p.c.getResult(), now[p.c.getResult()]);
    if (p.rows.empty()) return multiplyAt(p, point, {}, t0, rows);
    emitLoop(k.b, k.number(0), k.size(extents(k.dims, p.rows)), 1, [&](LV i) {
      e.scope([&] {
        Point q = point, beside;
        digits(k, i, p.rows, beside);
        for (StringAttr d : p.rows) q.set(d, beside(d));
        multiplyAt(p, q, beside, t0, rows);
      });
    });
  }
  /// `beside`: the place within the rows of the strip, which scratch knows alone.
  void multiplyAt(Product &p, const Point &point, const Point &beside, LV t0, LV rows) {
    Range columns = rangeOf(p.columns, t0, rows), steps = rangeOf(p.summed, t0, rows);
    LV width = k.number(p.shape.columns()), first = k.b.CreateUDiv(columns.begin, width), K = k.size(p.k);
    TileOperands o;
    o.m = rows;
    o.bPanel = k.b.CreateMul(K, width), o.bK = width;
    o.panels = k.b.CreateSub(k.b.CreateUDiv(k.b.CreateAdd(columns.end, k.number(p.shape.columns() - 1)), width), first);
    o.cRow = k.size(p.row);
    LV column = k.b.CreateMul(first, width);
    o.c = elementAt(startIn(p.to, p.direct ? point : beside), column);
    LV b = elementAt(p.packed, k.b.CreateMul(first, o.bPanel));
    const Left left = leftOf(p, point, rows);
    o.aRow = left.row, o.aK = left.step, o.aBlock = k.b.CreateMul(o.aRow, k.number(p.shape.rows));
    // A sum of nothing is 0 and has a block too.
    emitLoop(k.b, steps.begin, emitMax(k.b, steps.end, k.b.CreateAdd(steps.begin, k.number(1))), p.kc, [&](LV k0) {
      o.k = emitMax(k.b, k.number(0), emitMin(k.b, k.number(p.kc), k.b.CreateSub(steps.end, k0)));
      o.accumulate = k.b.CreateICmpNE(k0, steps.begin);
      o.a = elementAt(left.at, k0), o.b = elementAt(b, k.b.CreateMul(k0, width));
      emitTile(k.b, p.shape, o);
    });
    if (!p.direct && results.contains(p.c.getResult())) copyOut(p, point, t0, rows, {});
  }
  void sumUp(Product &p, const Point &point, LV t0, LV rows) {
    Dimlist over{strip};
    packRight(p, point, rows, over);
    const Left left = leftOf(p, point, rows);
    Range range = rangeOf(p.rows, t0, rows);
    TileOperands o;
    o.m = k.b.CreateSub(range.end, range.begin), o.k = rows;
    o.panels = k.size(Size::ceil(extents(k.dims, p.columns) / Size(p.shape.columns())));
    o.aRow = left.step, o.aK = left.row, o.aBlock = k.b.CreateMul(o.aRow, k.number(p.shape.rows));
    o.a = elementAt(left.at, k.b.CreateMul(range.begin, o.aRow));
    o.b = p.packed, o.bK = k.number(p.shape.columns()), o.bPanel = k.b.CreateMul(rows, o.bK);
    o.cRow = k.size(p.row);
    o.c = elementAt(p.direct ? startIn(p.to, point) : p.to.pointer, k.b.CreateMul(range.begin, o.cRow));
    o.accumulate = k.b.getTrue();
    emitIf(k.b, k.b.CreateICmpSGT(o.m, k.number(0)), [&] { emitTile(k.b, p.shape, o); });
  }
  LV startIn(const Memory &m, const Point &point) {
    LV from = m.pointer;
    for (auto [d, s] : llvm::zip(m.layout.order, m.layout.strides))
      if (point.has(d)) from = elementAt(from, k.b.CreateMul(point(d).base, k.size(s)));
    return from;
  }
  void forTurns(size_t i, const Point &point, llvm::function_ref<void(const Point &)> body) {
    if (i == turns.size()) return body(point);
    emitLoop(k.b, k.number(0), k.extent(turns[i]), 1, [&](LV at) {
      Point p = point;
      p.set(turns[i], {at, 0, nullptr});
      e.scope([&] { forTurns(i + 1, p, body); });
    });
  }

  // ---- results ----

  void clear(Product &p, const Point &point) {
    LV from = p.direct ? startIn(p.to, point) : p.to.pointer;
    const int64_t columns = p.shape.columns();
    LV width = k.size(Size::ceil(extents(k.dims, p.columns) / Size(columns)) * Size(columns));
    emitLoop(k.b, k.number(0), k.size(extents(k.dims, p.rows)), 1, [&](LV i) {
      LV row = elementAt(from, k.b.CreateMul(i, k.size(p.row)));
      emitLoop(k.b, k.number(0), width, k.lanes, [&](LV j) { k.b.CreateAlignedStore(llvm::Constant::getNullValue(k.vector(k.real)), elementAt(row, j), llvm::Align(uint64_t(bytes()))); });
    });
  }
  /// From scratch to memory: `count` rows from `first` on, which are points of `list`, or of the strip.
  void copyOut(Product &p, const Point &point, LV first, LV count, const Dimlist &list) {
    mlir::Value v = p.c.getResult();
    if (p.sum) e.reside(v, p.to);
    LV N = k.size(extents(k.dims, p.columns));
    emitLoop(k.b, k.number(0), count, 1, [&](LV i) {
      Point q = point;
      if (list.empty()) q.set(strip, {k.b.CreateAdd(first, i), 0, nullptr});
      else digits(k, i, list, q);
      emitLoop(k.b, k.number(0), N, k.lanes, [&](LV j) {
        e.scope([&] {
          Point r = q;
          laneDigits(k, j, true, p.columns, emitMask(k.b, k.b.CreateSub(N, j), k.lanes), r);
          LV x = k.splat(e.value(v, r));
          k.store(results[v], [&](StringAttr d) { return r(d); }, x, r.mask);
        });
      });
    });
  }
};

} // namespace

EmittedKernel emitStrips(const Target &target, const Dims &dims, bool f64, GroupOp group, const GroupPlacement &placement) {
  return StripEmitter(target, dims, f64, group, placement).run();
}

} // namespace fil
