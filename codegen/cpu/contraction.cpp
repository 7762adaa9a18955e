// SPDX-License-Identifier: Apache-2.0
// Contractions by register tiles. A kernel packs the right side into panels; another one computes cache tiles of the result in scratch and runs
// the epilogue over each. Operands that are memory with one stride along rows, columns and sums are read as they are or packed by copies; all
// others (gathers, windows, several dims that do not join) are packed through the evaluator, lanes along the panel's own direction.
// With a roster each position of the subset has rows or a sum of its own length: the points that chose it, which the roster lists. Cache tiles
// are then counted as if each position had whole ones and one more; what is too many finds no position and ends.
#include "codegen/cpu/group_kernel.h"
#include "codegen/cpu/operands.h"
#include "codegen/cpu/tile.h"
#include "ir/contraction.h"

namespace fil {
using namespace ir;
using mlir::dyn_cast, mlir::cast, mlir::isa;
using mlir::Operation, mlir::StringAttr;
using LV = llvm::Value *;

namespace {

/// Up to so many rows a right side that must be packed in each call is not: it is read once for each row as it is.
constexpr int64_t fewRows = 3;

/// What all kernels know.
class Problem {
public:
  Problem(const Target &target, const Dims &dims, bool f64, GroupOp group, const GroupPlacement &at) : dims(dims), group(group), at(at), c(group.tiled()) {
    d = classify(c);
    const Layout &result = resultLayout();
    if (d.position) ragged = cast<TensorType>(c.getType()).has(d.position) ? Sums : Rows;
    if (!skips(c, dims)) samples = skipsInSamples(c, dims);
    if (samples) { // each has rows and sums of its own
      auto ofSamples = [&](StringAttr x) { return llvm::is_contained(samples->dims, x); };
      llvm::erase_if(d.rows, ofSamples), llvm::erase_if(d.columns, ofSamples);
      d.batch = samples->dims;
    }
    if (ragged == Rows) {
      if (cast<TensorType>(c.getLhs().getType()).has(d.position)) std::swap(d.rows, d.columns), leftOperand = 1;
    } else
      for (StringAttr x : llvm::reverse(result.order)) { // the innermost dim that is no batch belongs to the columns
        if (llvm::is_contained(d.batch, x) || dims.value(x.getValue()) == Size(1)) continue;
        if (llvm::is_contained(d.rows, x)) std::swap(d.rows, d.columns), leftOperand = 1;
        break;
      }
    d.rows = inOrder(d.rows, result.order), d.columns = inOrder(d.columns, result.order), d.batch = inOrder(d.batch, result.order);
    if (d.position) { // outermost of the batch; rows of points have their further dims in `beside`
      llvm::erase(d.batch, d.position);
      others = d.batch;
      d.batch.insert(d.batch.begin(), d.position);
    }
    if (ragged == Rows)
      for (StringAttr x : d.rows)
        if (!llvm::is_contained(d.points, x)) beside.push_back(x);
    if (ragged == Sums) d.summed = d.points;
    else d.summed = inOrder(d.summed, orderOf(c->getOperand(unsigned(leftOperand))));
    if (samples) samples->setOrder(dims, samples->columns ? d.columns : d.rows, d.summed);
    m = extents(dims, d.rows), n = extents(dims, d.columns), k = extents(dims, d.summed), batch = extents(dims, d.batch);
    auto known = [](const Size &s) { return s.constant() ? std::optional(s.constant()->num) : std::nullopt; };
    ContractionSizes sizes{known(m), known(n), known(k)};
    if (ragged == Rows) sizes.m.reset();
    if (ragged == Sums) sizes.k.reset();
    descriptor = {f64 ? Element::F64 : Element::F32, sizes, known(batch)};
    if (!ragged) left = plain(c->getOperand(unsigned(leftOperand)), d.rows);
    alongRows = ragged == Sums || (!left && !ragged && rowsAreNeighbours());
    if (ragged != Sums) right = plain(c->getOperand(unsigned(1 - leftOperand)), d.columns);
    skip = findSkip();
    if (samples) samplesRight = llvm::any_of(samples->dims, [&](StringAttr x) { return cast<TensorType>(c->getOperand(unsigned(1 - leftOperand)).getType()).has(x); });
    if (target.dots && !f64 && ragged != Sums && (!skip || skip->masked == 2 || skip->length % 2 == 0) && !gathers(c) && !d.columns.empty() && !d.summed.empty() && exactInBf16(c.getLhs()) && exactInBf16(c.getRhs()) && !ofWindows(c->getOperand(unsigned(1 - leftOperand)))) {
      pairs = true, steps = k, k = Size::ceil(k / Size(2));
      descriptor.element = Element::Bf16Pairs, descriptor.sizes.k = known(k);
      left = ragged ? std::nullopt : pairsInPlace(c->getOperand(unsigned(leftOperand)), d.rows), right = pairsInPlace(c->getOperand(unsigned(1 - leftOperand)), d.columns);
      alongRows = !left && !ragged && rowsAreNeighbours();
      auto p = narrowNumbers(1 - leftOperand, d.columns);
      alongSum = !right && p && p->sum == Size(1) && !(k == Size(1));
      if (skip && skip->masked < 2) skip->length /= 2;
      if (samples) samples->steps /= 2;
    } else if (target.dots && !f64 && !ragged && !skip && !samples && !gathers(c) && !d.columns.empty() && !d.summed.empty() && k.constant() && k.constant()->num < 131072 && isBytes(c.getLhs()) && isBytes(c.getRhs())) {
      pairs = quads = alongSum = true, alongRows = false, steps = k, k = Size::ceil(k / Size(4)), left = right = std::nullopt;
      descriptor.element = Element::Int8Quads, descriptor.sizes.k = known(k);
    }
    shape = chooseShape(target, descriptor);
    if (skip) {
      if (skip->masked < 2) right = pairs ? pairsInPlace(skip->mask.getX(), d.columns) : plain(skip->mask.getX(), d.columns);
      int64_t length = skip->length;
      if (skip->masked < 2) // a turn of the list has up to 64 steps
        while (length > 64 || skip->length % length) length = std::min<int64_t>(length, 65) - 1;
      skip->length = length;
      shape = chooseGranuleShape(target, descriptor.element, skip->columns, skip->length, skip->masked == 2);
    }
    if (samples && samples->result) shape = chooseGranuleShape(target, descriptor.element, samples->columns ? samples->neighbours : 0, samples->neighbours, !samples->columns);
    if (auto members = ragged ? std::nullopt : gathers(c)) limitTo(target, *members);
    descriptor.packsLeft = packsLeft();
    chooseTiles(target, false);
    panel = shape.columns();
    llvm::SetVector<unsigned> read;
    llvm::SmallPtrSet<Operation *, 8> seen;
    std::function<void(mlir::Value)> readBy = [&](mlir::Value v) {
      auto *op = v.getDefiningOp();
      if (!op) read.insert(cast<mlir::BlockArgument>(v).getArgNumber());
      else if (seen.insert(op).second)
        for (mlir::Value x : op->getOperands()) readBy(x);
    };
    readBy(c->getOperand(unsigned(1 - leftOperand)));
    if (ragged != Rows && !(gathers(c) && !gathersRight)) // the right side of sorted points is that of each position, whoever chose it
      for (mlir::Value s : c.getSubsets()) readBy(s);
    if (ragged == Sums) readBy(c.getRoster());
    packs = read.takeVector();
    unpacked = !ragged && !listed() && !pairs && right && right->outer == Size(1) && n.constant() && n.constant()->num % shape.columns() == 0 &&
              ((n == Size(shape.columns()) && right->sum == n) || (k.constant() && k.constant()->num * n.constant()->num * elementBytes(shape.element) <= target.l1 / 2));
    rowSkip = findRowSkip();
    if (rowSkip && rowSkip->columns && !rowSkip->narrow()) panel = std::gcd(shape.columns(), rowSkip->width);
    if (!ragged && !gathers(c) && packsByCopies() && inPlace() && !llvm::all_of(packs, [&](unsigned i) { return at.inputs[i].variable; }) && fil::packsInTiles(target, shape, descriptor, !(right->outer == Size(1)))) {
      packsInTiles = descriptor.packsRight = true;
      chooseTiles(target, false);
    }
  }
  void chooseTiles(const Target &target, bool fewRows) {
    descriptor.fewRows = fewRows;
    blocks = shared(target, stepsTogether() ? granuleBlocks(target, shape, descriptor, stepsTogether()) : chooseBlocks(target, shape, descriptor), shape, descriptor);
  }
  /// Could tiles pack what they read of the right side, which is copied or turned?
  bool packsByCopies() const { return right && (right->outer == Size(1) || right->sum == Size(1)) && ragged != Sums && !skip && !samples && !pairs && !unpacked && !gathersRight && panel == shape.columns(); }
  /// Columns that a tile packs together: a quarter of the second-level cache.
  int64_t columnsTogether(const Target &target) const { return std::clamp<int64_t>(roundUp(target.l2 / 4 / (blocks.kc * elementBytes(shape.element)), shape.columns()), shape.columns(), roundUp(blocks.nc, shape.columns())); }
  /// The product may be written where it belongs if nothing follows it and whole panels fit: the strides of its rows and columns.
  std::optional<std::pair<Size, Size>> inPlace() {
    int kept = 0;
    for (Operation &op : group.block()) kept += GroupOp::kept(&op);
    auto known = n.constant();
    if (ragged == Rows || kept != 1 || !known || known->num % shape.columns()) return std::nullopt;
    const Layout &layout = at.results[0].layout;
    auto stride = [&](StringAttr x) { return layout.strides[size_t(llvm::find(layout.order, x) - layout.order.begin())]; };
    auto rows = joined(dims, d.rows, stride), columns = joined(dims, d.columns, stride);
    if (!rows || !columns || !(*columns == Size(1))) return std::nullopt;
    return std::pair(*rows, *columns);
  }
  /// Granules of the right side are listed for each panel, and read from a packed left side.
  bool listed() const { return skip && skip->masked < 2; }
  /// Steps of the sum that are left out together; 0: none are.
  int64_t stepsTogether() const { return listed() ? skip->length : samples && samples->sum ? samples->steps : 0; }
  bool packsLeft() const { return listed() || !left || !(left->sum == Size(1)); }
  /// Of a right side that is narrow numbers in memory, which are quickly made wide; none of others.
  std::optional<Format> storedFormat() {
    mlir::Value v = rightSide();
    if (auto u = v.getDefiningOp<UnpackOp>()) return isa<mlir::BlockArgument>(u.getX()) && !ragged && !listed() ? std::optional(Format::Int8) : std::nullopt;
    auto q = v.getDefiningOp<DequantizeOp>();
    auto f = q && !q.getScale() && isa<mlir::BlockArgument>(q.getX()) && !ragged && !listed() ? cast<TensorType>(q.getX().getType()).format() : std::nullopt;
    return f && (*f == Format::Int8 || *f == Format::Bf16 || *f == Format::F16) ? f : std::nullopt;
  }
  /// Through renames.
  mlir::Value rightSide() {
    mlir::Value v = c->getOperand(unsigned(1 - leftOperand));
    while (auto r = v.getDefiningOp<RenameOp>()) v = r.getX();
    return v;
  }
  enum Ragged { None, Rows, Sums };
  const Dims &dims;
  GroupOp group;
  const GroupPlacement &at;
  ContractOp c;
  ContractionDims d;
  int leftOperand = 0; ///< whose own dims are the rows
  Size m, n, k, batch; ///< m or k of all positions together
  Ragged ragged = None;
  Dimlist others, beside; ///< of the batch without the position; of the rows without the points
  ContractionDescriptor descriptor;
  TileShape shape;
  CacheBlocks blocks;
  int64_t ahead = 0; ///< TileOperands::ahead
  std::optional<Format> stored; ///< of panels that are packed as they stand in memory
  int together = 1;             ///< so many steps of these lie in a byte
  bool pairs = false;                ///< of bf16: `k` counts these, `steps` what is summed
  bool quads = false;                ///< four bytes in place of a pair, and a row of offsets behind each panel
  Size steps;
  std::optional<Plain> left, right;  ///< of pairs: k contiguous, strides in pairs
  bool alongSum = false;     ///< a right side of pairs is packed column by column, lanes along the sum
  bool alongRows = false;    ///< a left side that is not plain is packed step by step, lanes along its rows; else row by row, lanes along the sum
  std::optional<Skip> skip;  ///< of the right side, or the result
  std::optional<SampleSkip> samples; ///< whose dims are batch, though one operand lacks them
  bool samplesRight = false;         ///< the right one has them
  std::optional<RowSkip> rowSkip; ///< of the left side and the result, in kernels of few rows
  int64_t panel = 0;         ///< columns that are packed together: of a register tile, or those that a row's mask leaves out together
  llvm::SmallVector<unsigned> packs; ///< inputs that the right side is made of
  bool unpacked = false; ///< the right side stands as panels, or the first-level cache holds it: read as it is
  bool packsInTiles = false; ///< each tile packs the panels that it reads, some at a time
  bool gathersRight = false, sumsMembers = false; ///< each tile gathers its part of the right side, at the members; these are what it sums

  Size panels() const { return Size::ceil(n / Size(shape.columns())); }
  Size packedElements() const { return panels() * panelElements(); } ///< of one batch
  Size panelElements() const { return Size(shape.columns()) * (k + Size(quads)) + Size(listElements()); }
  /// Before a listed panel, as int32: for each block of k the granules before it, their number, and the first step of each.
  int64_t listElements() const { return listed() ? roundUp((parts() + 1 + k.constant()->num / skip->length) * 4, 64) / elementBytes(shape.element) : 0; }
  int64_t parts() const { return (k.constant()->num + blocks.kc - 1) / blocks.kc; }
  static int64_t roundUp(int64_t x, int64_t to) { return (x + to - 1) / to * to; }
  /// Points of a sum are packed in the order of the roster, those of all positions one behind the other.
  Size packedBatches() const { return ragged == Sums ? extents(dims, others) : samples && !samplesRight ? Size(1) : batch; }
  Size positions() const { return dims.value(d.position.getValue()); }

private:
  /// So many members at a time, 0: any; other dims that stand within them are whole.
  void limitTo(const Target &target, int64_t members) {
    auto s = cast<SubsetType>(c.getSubsets()[0].getType());
    gathersRight = cast<TensorType>(c->getOperand(unsigned(1 - leftOperand)).getType()).has(s.getOf());
    sumsMembers = llvm::is_contained(d.summed, s.getMembers());
    auto most = [&](const Dimlist &list) -> std::optional<int64_t> {
      auto *at = llvm::find(list, s.getMembers());
      if (!members || at == list.end()) return std::nullopt;
      auto within = extents(dims, llvm::ArrayRef(at + 1, list.end())).constant();
      return within ? std::optional(members * within->num) : std::nullopt;
    };
    descriptor.most = {most(d.rows), most(d.columns), most(d.summed)}, descriptor.gathersRight = gathersRight;
    shape = chooseShape(target, descriptor);
  }
  /// How the contraction's result stands in memory if it does, else the group's first one.
  const Layout &resultLayout() {
    for (auto [y, p] : llvm::zip(group.yielded(), at.results))
      if (y == c.getResult()) return p.layout;
    return at.results[0].layout;
  }
  /// Of an operand that is an input, under the names that the contraction sees; through renames.
  const Layout *layoutOf(mlir::Value v) {
    while (auto *op = v.getDefiningOp()) {
      if (!isa<RenameOp, StopGradOp, DequantizeOp>(op) && !(isa<MaskOp>(op) && cast<MaskOp>(op).getZeros()) && !(isa<CacheOp>(op) && !cast<CacheOp>(op).getPast())) return nullptr;
      v = op->getOperand(0);
    }
    return &at.inputs[cast<mlir::BlockArgument>(v).getArgNumber()].layout;
  }
  /// The dims of an operand as they lie in memory, those of a window where its source has them; empty where they do not.
  Dimlist orderOf(mlir::Value v) {
    if (const Layout *l = layoutOf(v)) return Dimlist(l->order);
    auto w = withoutZeros(v).getDefiningOp<WindowOp>();
    Dimlist order;
    if (!w) return order;
    for (StringAttr x : orderOf(w.getX())) {
      bool found = false;
      for (auto d : w.getWindows().getAsRange<WindowDimAttr>())
        if (d.getIn() == x) order.append({d.getOut(), d.getWindow()}), found = true;
      if (!found) order.push_back(x);
    }
    return order;
  }
  StringAttr last(const Dimlist &list) { // that is not of size 1
    for (StringAttr x : llvm::reverse(list))
      if (!(dims.value(x.getValue()) == Size(1))) return x;
    return {};
  }
  std::optional<RowSkip> findRowSkip() {
    if (ragged || skip || samples || unpacked || pairs || !left || d.columns.empty() || d.summed.empty() || !n.constant() || !k.constant()) return {};
    auto s = skipsInRows(c, dims, 1 - leftOperand, last(d.columns), last(d.summed));
    if (s && s->columns && !s->narrow() && n.constant()->num % shape.columns()) s->columns = {};
    return s && (s->columns || s->sum) ? s : std::nullopt;
  }
  std::optional<Skip> findSkip() {
    if (ragged || samples || d.columns.empty() || d.summed.empty()) return {};
    auto s = skips(c, dims, 1 - leftOperand, last(d.columns), last(d.summed), last(d.rows));
    if (!s || !n.constant() || (s->masked < 2 && !plain(s->mask.getX(), d.columns) && !isa_and_nonnull<DequantizeOp, ExpandOp>(s->mask.getX().getDefiningOp()))) return {};
    return s;
  }
  /// Gives numbers that it is given, and 0.
  static bool keepsNumbers(Operation *op) { return isa_and_nonnull<RenameOp, StopGradOp, BroadcastOp, SliceOp, WindowOp, MaskOp, ExpandOp>(op); }
  /// Is each element a whole number of 8 bits? Sums of 2^17 products of two such have 31 bits.
  static bool isBytes(mlir::Value v) {
    auto *op = v.getDefiningOp();
    if (auto q = dyn_cast_or_null<DequantizeOp>(op)) return !q.getScale() && cast<TensorType>(q.getX().getType()).format() == Format::Int8;
    return isa_and_nonnull<UnpackOp>(op) || (keepsNumbers(op) && isBytes(op->getOperand(0)));
  }
  /// Is each element a number of bf16? Floats of 8 bits are, times a power of two; whole numbers too, but few rows read them as they are.
  static bool exactInBf16(mlir::Value v) {
    auto *op = v.getDefiningOp();
    if (auto q = dyn_cast_or_null<DequantizeOp>(op)) {
      const auto f = cast<TensorType>(q.getX().getType()).format();
      return f == Format::Bf16 ? !q.getScale() : f == Format::E4M3 || f == Format::E5M2;
    }
    if (auto m = dyn_cast_or_null<MapOp>(op); m && m.getFn() == MapFn::select) return exactInBf16(m.getArgs()[1]) && exactInBf16(m.getArgs()[2]);
    if (auto z = dyn_cast_or_null<ConstantOp>(op)) return z.getValue().isZero();
    return keepsNumbers(op) && exactInBf16(op->getOperand(0));
  }
  /// Panels of windows are made step by step, lanes along the pixels; of two steps at once at a third of the speed, which takes longer than the pairs save.
  static bool ofWindows(mlir::Value v) {
    if (auto m = v.getDefiningOp<MaskOp>()) v = m.getX();
    return v.getDefiningOp<WindowOp>();
  }
  /// bf16 in memory whose sum lies step behind step: pairs as they stand.
  std::optional<Plain> pairsInPlace(mlir::Value v, const Dimlist &outer) {
    auto p = inMemory(v, outer, [](std::optional<Format> f) { return f == Format::Bf16; });
    auto even = [](const Size &s) { return s.constant() && s.constant()->num % 2 == 0; };
    if (!p || !(p->sum == Size(1)) || !even(steps) || !even(p->outer) || !llvm::all_of(p->batch, even)) return std::nullopt;
    p->outer = p->outer / Size(2);
    for (Size &s : p->batch) s = s / Size(2);
    return p;
  }
  /// Of narrow numbers in memory: do the left side's rows lie side by side?
  bool rowsAreNeighbours() {
    auto p = narrowNumbers(leftOperand, d.rows);
    return p && p->outer == Size(1) && !(m == Size(1));
  }
  std::optional<Plain> narrowNumbers(int operand, const Dimlist &outer) {
    auto q = c->getOperand(unsigned(operand)).getDefiningOp<DequantizeOp>();
    return q ? inMemory(q.getX(), outer, [](std::optional<Format>) { return true; }) : std::nullopt;
  }
  /// At places that a subset tells; those of sorted points are known by their position.
  bool readAtMembers(mlir::Value v) {
    return !ragged && llvm::any_of(c.getSubsets(), [&](mlir::Value s) { return cast<TensorType>(v.getType()).has(cast<SubsetType>(s.getType()).getOf()); });
  }
  std::optional<Plain> plain(mlir::Value v, const Dimlist &outer) {
    return inMemory(v, outer, [](std::optional<Format> f) { return !f; });
  }
  /// Where a view of an input of such a format stands.
  std::optional<Plain> inMemory(mlir::Value v, const Dimlist &outer, llvm::function_ref<bool(std::optional<Format>)> of) {
    if (readAtMembers(v)) return std::nullopt;
    auto layout = [&](mlir::Value x) {
      auto a = dyn_cast<mlir::BlockArgument>(x);
      return a && of(cast<TensorType>(a.getType()).format()) ? &at.inputs[a.getArgNumber()].layout : nullptr;
    };
    return plainOf(dims, v, layout, outer, d.summed, d.batch);
  }
};

class ContractionEmitter {
public:
  ContractionEmitter(const Target &t, Problem &p, bool f64) : k(t, p.dims, f64), p(p), e(k, p.group, inputsOf(k, p.group, p.at, number)) {}

  /// A tile is a panel of one batch; of sorted points some steps of it.
  EmittedKernel pack() {
    if (p.listed()) return packGranules();
    if (p.pairs && !p.right) return packPairs();
    const bool sorted = p.ragged == Problem::Sums;
    constexpr int64_t some = 256;
    TileShape shape = p.shape;
    shape.vectors = int(p.panel) / shape.lanes;
    const Size inAll = p.panels() * Size(p.shape.columns() / p.panel);
    LV packed = k.buffer(number), panels = k.size(inAll), columns = k.number(p.panel), K = k.size(p.k);
    Size chunks = sorted ? Size::ceil(p.k / Size(some)) : Size(1);
    LV wide = p.stored ? k.allocateScratch(Size(p.panel * int64_t(align().value()) * p.together)) : nullptr;
    emitLoop(k.b, k.begin(), k.end(), 1, [&](LV tile) {
      LV panel = tile, begin = k.number(0), end = K;
      if (sorted) {
        panel = k.b.CreateUDiv(tile, k.size(chunks)), begin = k.b.CreateMul(k.b.CreateURem(tile, k.size(chunks)), k.number(some));
        end = emitMin(k.b, K, k.b.CreateAdd(begin, k.number(some)));
      }
      Point batch;
      digits(k, k.b.CreateUDiv(panel, panels), sorted ? p.others : p.d.batch, batch);
      LV first = k.b.CreateMul(k.b.CreateURem(panel, panels), columns);
      LV to = panelAt(packed, k.b.CreateMul(panel, storedRows(k.b.CreateMul(columns, K))));
      LV count = emitMin(k.b, columns, k.b.CreateSub(k.size(p.n), first));
      if (p.right) {
        PackOperands o;
        o.from = elementAt(start(*p.right, batch), k.b.CreateMul(first, k.size(p.right->outer)));
        o.stride = k.size(p.right->outer), o.strideK = k.size(p.right->sum);
        o.count = count, o.steps = K, o.to = to, o.panel = k.number(0);
        emitPackB(k.b, shape, o);
      } else {
        auto pack = [&](LV step) {
          e.scope([&] {
            Point q = batch;
            sorted ? point(step, q) : digits(k, step, p.d.summed, q);
            LV row = panelAt(to, k.b.CreateMul(step, columns));
            along(1 - p.leftOperand, q, p.d.columns, first, true, count, p.panel, p.stored ? wide : row);
            for (int64_t c = 0; p.stored && c < p.panel; c += k.lanes) {
              LV x = k.b.CreateAlignedLoad(k.vector(k.real), elementAt(wide, k.number(c)), align());
              k.b.CreateAlignedStore(k.encoded(*p.stored, x), panelAt(row, k.number(c)), llvm::Align(uint64_t(bytesOf(*p.stored))));
            }
          });
        };
        auto packTwo = [&](LV step) { // numbers of four bits
          for (int i = 0; i < 2; ++i)
            e.scope([&] {
              Point q = batch;
              digits(k, k.b.CreateAdd(step, k.number(i)), p.d.summed, q);
              along(1 - p.leftOperand, q, p.d.columns, first, true, count, p.panel, elementAt(wide, k.number(i * p.panel)));
            });
          LV row = panelAt(to, k.b.CreateMul(storedRows(step), columns));
          for (int64_t c = 0; c < p.panel; c += k.lanes) {
            auto whole = [&](int i) { return k.encoded(*p.stored, k.b.CreateAlignedLoad(k.vector(k.real), elementAt(wide, k.number(i * p.panel + c)), align())); };
            LV low = whole(0), high = whole(1);
            k.b.CreateAlignedStore(k.b.CreateOr(k.b.CreateAnd(low, 15), k.b.CreateShl(high, 4)), panelAt(row, k.number(c)), llvm::Align(1));
          }
        };
        if (p.samples && p.samples->sum && p.samplesRight) // what is left out is not read
          emitLoop(k.b, k.number(0), K, p.samples->steps, [&](LV granule) {
            emitIf(k.b, inSample(batch, granule), [&] { emitLoop(k.b, granule, k.b.CreateAdd(granule, k.number(p.samples->steps)), 1, pack); });
          });
        else if (p.together == 2) emitLoop(k.b, begin, end, 2, packTwo);
        else emitLoop(k.b, begin, end, 1, pack);
      }
    });
    k.finish();
    return {std::move(k.made), k.sizes, p.packedBatches() * inAll * chunks, k.scratchBytes, 1, "packing"};
  }

  /// A tile is some neighbouring panels: of a step their columns lie together, or of a column its steps do.
  EmittedKernel packPairs() {
    auto &b = k.b;
    const int64_t columns = p.shape.columns(), together = p.alongSum ? 1 : 8, chunk = 256;
    LV packed = k.buffer(number), N = k.size(p.n), K = k.size(p.k), panels = k.size(p.panels());
    LV rows = p.alongSum ? k.allocateScratch(Size(columns * (chunk + 16) * 4)) : nullptr;
    const Size groups = Size::ceil(p.panels() / Size(together));
    emitLoop(b, k.begin(), k.end(), 1, [&](LV tile) {
      Point batch;
      LV number = b.CreateUDiv(tile, k.size(groups)), begin = b.CreateMul(b.CreateURem(tile, k.size(groups)), k.number(together));
      LV end = emitMin(b, panels, b.CreateAdd(begin, k.number(together)));
      digits(k, number, p.d.batch, batch);
      auto panelOf = [&](LV panel) { return elementAt(packed, b.CreateMul(b.CreateAdd(b.CreateMul(number, panels), panel), k.size(p.panelElements()))); };
      if (!p.alongSum)
        return emitLoop(b, k.number(0), K, 1, [&](LV step) {
          emitLoop(b, begin, end, 1, [&](LV panel) {
            LV first = b.CreateMul(panel, k.number(columns)), count = emitMin(b, k.number(columns), b.CreateSub(N, first));
            e.scope([&] { alongPairs(1 - p.leftOperand, batch, step, p.d.columns, first, true, count, columns, elementAt(panelOf(panel), b.CreateMul(step, k.number(columns)))); });
          });
        });
      LV first = b.CreateMul(begin, k.number(columns)), count = emitMin(b, k.number(columns), b.CreateSub(N, first));
      emitLoop(b, k.number(0), K, chunk, [&](LV k0) {
        LV steps = emitMin(b, k.number(chunk), b.CreateSub(K, k0));
        emitLoop(b, k.number(0), count, 1, [&](LV j) {
          e.scope([&] {
            Point q = batch;
            digits(k, b.CreateAdd(first, j), p.d.columns, q);
            stepsOfPairs(1 - p.leftOperand, q, k0, steps, chunk, elementAt(rows, b.CreateMul(j, k.number(chunk + 16))));
          });
        });
        PackOperands o;
        o.from = rows, o.stride = k.number(chunk + 16), o.strideK = k.number(1), o.count = count, o.steps = steps, o.panel = k.number(0);
        o.to = elementAt(panelOf(begin), b.CreateMul(k0, k.number(columns)));
        emitPackB(b, p.shape, o);
      });
      if (!p.quads) return;
      for (int64_t c = 0; c < columns; c += k.lanes) {
        LV panel = elementAt(panelOf(begin), k.number(c)), none = llvm::Constant::getNullValue(k.vector(k.i32)), ones = k.splat(b.getInt32(0x80808080u));
        LV sum = emitLoop(b, k.number(0), K, 1, {none}, [&](LV step, llvm::ArrayRef<LV> now) -> Values {
          return {emitQuads(b, now[0], ones, b.CreateAlignedLoad(k.vector(k.i32), elementAt(panel, b.CreateMul(step, k.number(columns))), align()))};
        })[0];
        b.CreateAlignedStore(b.CreateNeg(sum), elementAt(panel, b.CreateMul(K, k.number(columns))), align());
      }
    });
    k.finish();
    return {std::move(k.made), k.sizes, p.packedBatches() * groups, k.scratchBytes, 1, p.quads ? "packing bytes" : "packing pairs"};
  }

  /// A tile is a panel: the granules that its columns have, one behind the other, and before them the list.
  EmittedKernel packGranules() {
    auto &b = k.b;
    const int64_t columns = p.shape.columns(), length = p.skip->length, K = p.k.constant()->num, perBlock = p.blocks.kc / length;
    LV packed = k.buffer(number), panels = k.size(p.panels());
    emitLoop(b, k.begin(), k.end(), 1, [&](LV panel) {
      e.scope([&] {
        Point batch;
        digits(k, b.CreateUDiv(panel, panels), p.d.batch, batch);
        LV first = b.CreateMul(b.CreateURem(panel, panels), k.number(columns));
        Point column = batch;
        digits(k, first, p.d.columns, column);
        LV starts = elementAt(packed, b.CreateMul(panel, k.size(p.panelElements()))), list = emitAt(b, k.i32, starts, k.number(p.parts() + 1)), data = elementAt(starts, k.number(p.listElements()));
        LV right = p.right ? elementAt(start(*p.right, batch), b.CreateMul(first, k.size(p.right->outer))) : nullptr;
        LV total = emitLoop(b, k.number(0), k.number(K / length), 1, {k.number(0)}, [&](LV granule, llvm::ArrayRef<LV> found) -> Values {
          LV step = b.CreateMul(granule, k.number(length)), here = nullptr;
          emitIf(b, b.CreateICmpEQ(b.CreateURem(granule, k.number(perBlock)), k.number(0)), [&] { b.CreateStore(b.CreateTrunc(found[0], k.i32), emitAt(b, k.i32, starts, b.CreateUDiv(granule, k.number(perBlock)))); });
          e.scope([&] {
            Point q = column;
            digits(k, p.pairs ? b.CreateMul(step, k.number(2)) : step, p.d.summed, q);
            here = e.inMask(p.skip->mask, q);
          });
          emitIf(b, here, [&] {
            b.CreateStore(b.CreateTrunc(step, k.i32), emitAt(b, k.i32, list, found[0]));
            if (!right) { // narrow numbers, or values that are to be put into their places
              LV to = elementAt(data, b.CreateMul(found[0], k.number(length * columns)));
              emitLoop(b, k.number(0), k.number(length), 1, [&](LV i) {
                e.scope([&] {
                  Point q = batch;
                  q.together = columns; // of the panel
                  LV row = elementAt(to, b.CreateMul(i, k.number(columns)));
                  auto value = [&](const Point &at) { return e.value(p.skip->mask.getX(), at); };
                  if (p.pairs) return alongPairs(q, b.CreateAdd(step, i), p.d.columns, first, true, k.number(columns), columns, row, value);
                  digits(k, b.CreateAdd(step, i), p.d.summed, q);
                  emitAlong(e, q, p.d.columns, first, true, k.number(columns), columns, row, value);
                });
              });
              return;
            }
            PackOperands o;
            o.from = elementAt(right, b.CreateMul(step, k.size(p.right->sum)));
            o.stride = k.size(p.right->outer), o.strideK = k.size(p.right->sum);
            o.count = k.number(columns), o.steps = k.number(length), o.panel = k.number(0);
            o.to = elementAt(data, b.CreateMul(found[0], k.number(length * columns)));
            emitPackB(b, p.shape, o);
          });
          return {b.CreateAdd(found[0], b.CreateZExt(here, k.i64))};
        })[0];
        b.CreateStore(b.CreateTrunc(total, k.i32), emitAt(b, k.i32, starts, k.number(p.parts())));
      });
    });
    k.finish();
    return {std::move(k.made), k.sizes, p.batch * p.panels(), k.scratchBytes, 1, "packing granules"};
  }
  /// Of a listed panel, the block of k that begins at k0.
  Granules granulesOf(LV panel, LV k0) {
    auto &b = k.b;
    LV block = b.CreateUDiv(k0, k.number(p.blocks.kc)), list = emitAt(b, k.i32, panel, k.number(p.parts() + 1));
    auto before = [&](LV i) { return b.CreateSExt(b.CreateAlignedLoad(k.i32, emitAt(b, k.i32, panel, i), llvm::Align(4)), k.i64); };
    LV first = before(block);
    Granules g;
    g.b = elementAt(elementAt(panel, k.number(p.listElements())), b.CreateMul(first, k.number(p.skip->length * p.shape.columns())));
    g.list = emitAt(b, k.i32, list, first), g.count = b.CreateSub(before(b.CreateAdd(block, k.number(1))), first);
    g.first = k0, g.length = p.skip->length;
    return g;
  }

  /// Are these steps of the sum there?
  LV inSample(const Point &batch, LV step) {
    LV here = nullptr;
    e.scope([&] {
      Point q = batch;
      digits(k, p.pairs ? k.b.CreateMul(step, k.number(2)) : step, p.d.summed, q);
      here = e.inMask(p.samples->sum, q);
    });
    return here;
  }
  /// The steps from k0 on that are, as int32; how many granules.
  LV listSteps(const Point &batch, LV k0, LV steps, LV list) {
    auto &b = k.b;
    return emitLoop(b, k.number(0), steps, p.samples->steps, {k.number(0)}, [&](LV at, llvm::ArrayRef<LV> found) -> Values {
      LV step = b.CreateAdd(k0, at), here = inSample(batch, step);
      b.CreateAlignedStore(b.CreateTrunc(step, k.i32), emitAt(b, k.i32, list, found[0]), llvm::Align(4));
      return {b.CreateAdd(found[0], b.CreateZExt(here, k.i64))};
    })[0];
  }

  EmittedKernel product() {
    int count = number;
    std::vector<Memory> results;
    for (auto [v, r] : llvm::zip(p.group.yielded(), p.at.results)) results.push_back(memoryOf(k, v.getType(), r.layout, r.counts, count, false));
    LV packed = p.unpacked || p.gathersRight || p.packsInTiles ? nullptr : k.buffer(count);
    const int64_t mc = p.blocks.mc, nc = p.blocks.nc, kc = p.blocks.kc, columns = p.shape.columns();
    LV M = k.size(p.m), N = k.size(p.n), K = k.size(p.k);
    Size mTiles = Size::ceil(p.m / Size(mc)), nTiles = Size::ceil(p.n / Size(nc));
    if (p.ragged == Problem::Rows) mTiles = mTiles + p.positions() + 1;
    auto nKnown = p.n.constant();
    const int64_t rowC = nKnown ? std::min<int64_t>(nc, (nKnown->num + columns - 1) / columns * columns) : nc;
    const int64_t bytes = p.shape.element == Element::F64 ? 8 : 4;
    std::optional<std::pair<Size, Size>> direct = p.inPlace();
    LV tileC = direct ? nullptr : k.allocateScratch(Size(mc * rowC * bytes));
    const bool packsA = p.packsLeft();
    auto kKnown = p.ragged == Problem::Sums ? std::nullopt : p.k.constant();
    const bool oneBlock = kKnown && kKnown->num <= kc;
    const int64_t rowA = p.alongRows ? (mc + k.lanes - 1) / k.lanes * k.lanes + 16
                                                   : (kKnown ? std::min(kc, (kKnown->num + k.lanes - 1) / k.lanes * k.lanes) : kc) + 16; // rows on different cache sets
    LV spare = p.skip && packsA ? k.allocateScratch(Size(columns * bytes)) : nullptr;
    const int64_t rowB = kc + 16;
    LV gatheredRows = p.gathersRight && !p.sumsMembers ? k.allocateScratch(Size((rowC + k.lanes) * rowB * bytes)) : nullptr, gathered = p.gathersRight ? k.allocateScratch(Size((rowC + columns) * kc * bytes)) : nullptr;
    LV listed = p.samples && p.samples->sum ? k.allocateScratch(Size((kc / p.samples->steps + 1) * 4)) : nullptr;
    const int64_t together = p.columnsTogether(k.target);
    LV some = p.packsInTiles ? k.allocateScratch(Size(together * kc * bytes)) : nullptr;
    LV packedA = packsA ? k.allocateScratch(Size((p.alongRows ? kc : mc + p.shape.rows) * rowA * bytes)) : nullptr;

    emitLoop(k.b, k.begin(), k.end(), 1, [&](LV tile) {
      LV perBatch = k.size(mTiles * nTiles);
      LV inBatch = k.b.CreateURem(tile, perBatch), number = k.b.CreateUDiv(tile, perBatch);
      LV row = k.b.CreateUDiv(inBatch, k.size(nTiles));
      Part t;
      t.n0 = k.b.CreateMul(k.b.CreateURem(inBatch, k.size(nTiles)), k.number(nc));
      t.m = M, t.k = K, t.first = k.number(0);
      auto compute = [&] {
        LV rows = emitMin(k.b, k.number(mc), k.b.CreateSub(t.m, t.m0)), cols = emitMin(k.b, k.number(nc), k.b.CreateSub(N, t.n0));
        TileOperands o;
        o.m = rows;
        o.panels = k.b.CreateUDiv(k.b.CreateAdd(cols, k.number(columns - 1)), k.number(columns));
        o.ahead = p.ahead, o.spare = p.left ? spare : nullptr;
        if (p.panel != columns) o.narrow = p.panel, o.bNarrow = k.b.CreateMul(K, k.number(p.panel));
        LV b0;
        if (p.unpacked) {
          o.bPanel = k.number(columns), o.bK = k.size(p.right->sum);
          b0 = elementAt(start(*p.right, t.batch), t.n0);
        } else if (p.packsInTiles || p.gathersRight) {
          o.bPanel = k.number(kc * columns), o.bK = k.number(columns);
          b0 = p.gathersRight ? gathered : elementAt(start(*p.right, t.batch), k.b.CreateMul(t.n0, k.size(p.right->outer)));
        } else {
          o.bPanel = p.listed() || p.quads ? k.size(p.panelElements()) : storedRows(k.b.CreateMul(K, k.number(columns))), o.bK = k.number(p.panel);
          b0 = panelAt(packed, k.b.CreateMul(number, storedRows(k.size(p.packedElements()))));
          b0 = panelAt(b0, k.b.CreateMul(k.b.CreateUDiv(t.n0, k.number(columns)), o.bPanel));
          if (p.stored) o.stored = storedType(), o.together = p.together, o.decode = [&](LV x, int step) { return p.together == 2 ? nibble(x, step) : k.decoded(*p.stored, x); };
        }
        if (p.ragged == Problem::Sums) b0 = elementAt(b0, k.b.CreateMul(t.first, k.number(columns)));
        if (direct) {
          o.cRow = k.size(direct->first);
          LV at = startOf(results[0], t.batch);
          o.c = elementAt(elementAt(at, k.b.CreateMul(t.m0, o.cRow)), t.n0);
        } else o.c = tileC, o.cRow = k.number(rowC);
        // A sum of no points is 0 and has a block too.
        emitLoop(k.b, k.number(0), p.ragged ? emitMax(k.b, t.k, k.number(1)) : K, kc, [&](LV k0) {
          o.k = emitMin(k.b, k.number(kc), k.b.CreateSub(t.k, k0));
          o.accumulate = oneBlock ? k.b.getFalse() : k.b.CreateICmpNE(k0, k.number(0));
          if (p.packsInTiles) {
            leftSide(o, t, k0, packedA, rowA);
            packAndMultiply(o, elementAt(b0, k.b.CreateMul(k0, k.size(p.right->sum))), cols, together, some);
            return;
          }
          if (p.gathersRight) gatherRight(t, k0, o.k, cols, gathered, gatheredRows, rowB);
          o.b = p.gathersRight ? b0 : panelAt(b0, k.b.CreateMul(storedRows(k0), o.bK));
          if (p.quads) o.offsets = k.b.CreateMul(k.b.CreateSub(K, k0), o.bK), o.last = k.b.CreateICmpSGE(k.b.CreateAdd(k0, k.number(kc)), K);
          t.steps = {};
          if (listed) {
            t.steps = {o.b, listed, listSteps(t.batch, k0, o.k, listed), k0, p.samples->steps, true};
            o.granules = [&](LV panel) {
              Granules g = *t.steps;
              g.b = panelAt(o.b, k.b.CreateMul(panel, o.bPanel));
              return g;
            };
          }
          MaskOp shown = p.skip && !p.listed() ? p.skip->mask : p.samples ? p.samples->result : MaskOp();
          if (p.listed()) o.granules = [&](LV panel) { return granulesOf(elementAt(b0, k.b.CreateMul(panel, o.bPanel)), k0); };
          else if (shown) o.wanted = [&, shown](LV row, LV panel) {
            Point q = t.batch;
            digits(k, k.b.CreateAdd(t.m0, row), p.d.rows, q), digits(k, k.b.CreateAdd(t.n0, k.b.CreateMul(panel, k.number(columns))), p.d.columns, q);
            LV there = nullptr;
            e.scope([&] { there = e.inMask(shown, q); });
            return there;
          };
          leftSide(o, t, k0, packedA, rowA);
          emitTile(k.b, p.shape, o);
        });
        if (!direct) epilogue(t, rows, cols, tileC, rowC, results);
      };
      if (p.ragged == Problem::Rows) {
        digits(k, number, p.others, t.batch);
        LV position = findPosition(row, mc, t);
        emitIf(k.b, k.b.CreateICmpSGE(position, k.number(0)), [&] {
          e.scope([&] {
            t.batch.set(p.d.position, {position, 0, nullptr});
            LV none = k.b.CreateICmpEQ(position, k.size(p.positions()));
            t.k = k.b.CreateSelect(none, k.number(0), K); // of points without a member
            number = k.b.CreateAdd(k.b.CreateMul(k.b.CreateSelect(none, k.number(0), position), k.size(extents(p.dims, p.others))), number);
            compute();
          });
        });
        return;
      }
      digits(k, number, p.d.batch, t.batch);
      t.m0 = k.b.CreateMul(row, k.number(mc));
      e.scope([&] {
        if (p.ragged == Problem::Sums) {
          LV position = t.batch(p.d.position).base;
          t.first = roster(position), t.k = k.b.CreateSub(roster(k.b.CreateAdd(position, k.number(1))), t.first);
        }
        if (p.ragged == Problem::Sums || (p.samples && !p.samplesRight)) number = k.b.CreateURem(number, k.size(p.packedBatches()));
        compute();
      });
    });
    k.finish();
    Size batches = p.ragged == Problem::Rows ? extents(p.dims, p.others) : p.batch;
    return {std::move(k.made), k.sizes, batches * mTiles * nTiles, k.scratchBytes, p.shape.rows == 1 ? grain(nc) : 1,
            p.shape.str() + ", " + p.blocks.str() + (p.unpacked ? ", right side as it is" : p.packsInTiles ? ", right side packed by tiles" : "") + (gathers(p.c) ? p.gathersRight ? ", right side gathered" : ", left side gathered" : "") + (direct ? ", in place" : "") + (p.skip ? ", granules of " + std::to_string(p.skip->length) + " by " + std::to_string(p.skip->columns) : "") + inSamples() + (p.ragged ? ", by member" : "")};
  }

  std::string inSamples() const {
    if (!p.samples) return {};
    std::string text = ", of each sample";
    if (p.samples->result) text += " granules of " + std::to_string(p.samples->neighbours) + (p.samples->columns ? " columns" : " rows");
    if (p.samples->sum) text += std::string(p.samples->result ? " and" : "") + " granules of " + std::to_string(p.samples->steps) + " steps";
    return text;
  }
  /// Row by row, the right side as it is: columns in vectors where they are neighbours in memory, else the sum of each column where its steps are.
  static bool readsFewRows(const Problem &p) { return !p.listed() && p.left && p.right && (p.right->outer == Size(1) || (p.right->sum == Size(1) && p.left->sum == Size(1))); }
  EmittedKernel fewRows() {
    int count = number;
    std::vector<Memory> results;
    for (auto [v, r] : llvm::zip(p.group.yielded(), p.at.results)) results.push_back(memoryOf(k, v.getType(), r.layout, r.counts, count, false));
    const int64_t nc = p.blocks.nc, bytes = p.shape.element == Element::F64 ? 8 : 4;
    Size nTiles = Size::ceil(p.n / Size(nc));
    LV tileC = k.allocateScratch(Size((nc + k.lanes) * bytes));
    emitLoop(k.b, k.begin(), k.end(), 1, [&](LV tile) {
      Point batch;
      digits(k, k.b.CreateUDiv(tile, k.size(nTiles)), p.d.batch, batch);
      LV n0 = k.b.CreateMul(k.b.CreateURem(tile, k.size(nTiles)), k.number(nc));
      LV cols = emitMin(k.b, k.number(nc), k.b.CreateSub(k.size(p.n), n0));
      LV left = start(*p.left, batch), right = elementAt(start(*p.right, batch), k.b.CreateMul(n0, k.size(p.right->outer)));
      emitLoop(k.b, k.number(0), k.size(p.m), 1, [&](LV i) {
        LV row = elementAt(left, k.b.CreateMul(i, k.size(p.left->outer)));
        if (p.right->outer == Size(1)) {
          SkinnyOperands s;
          s.m = k.number(1), s.n = cols, s.k = k.size(p.k);
          s.a = row, s.aRow = k.number(0), s.aK = k.size(p.left->sum);
          s.b = right, s.bK = k.size(p.right->sum);
          s.c = tileC, s.cRow = k.number(nc), s.accumulate = k.b.getFalse();
          emitSkinny(k.b, p.shape.element, k.lanes, k.target.registers, s);
        } else {
          DotOperands d;
          d.n = cols, d.k = k.size(p.k), d.a = row, d.b = right, d.bRow = k.size(p.right->outer), d.c = tileC;
          emitDots(k.b, p.shape.element, k.lanes, d);
        }
        Part t;
        t.batch = batch, t.m0 = i, t.n0 = n0;
        epilogue(t, k.number(1), cols, tileC, nc, results);
      });
    });
    k.finish();
    return {std::move(k.made), k.sizes, p.batch * nTiles, k.scratchBytes, grain(nc), "few rows"};
  }
  /// Row by row, operands made where they are multiplied: each column is summed step after step, as tiles do.
  EmittedKernel madeRows() {
    auto &b = k.b;
    int count = number;
    std::vector<Memory> results;
    for (auto [v, r] : llvm::zip(p.group.yielded(), p.at.results)) results.push_back(memoryOf(k, v.getType(), r.layout, r.counts, count, false));
    const int64_t width = p.shape.columns(), bytes = p.shape.element == Element::F64 ? 8 : 4;
    const Size nTiles = Size::ceil(p.n / Size(width));
    LV sums = k.allocateScratch(Size(width * bytes)), step = k.allocateScratch(Size(width * bytes));
    auto *vector = k.vector(k.real);
    auto at = [&](LV from, int64_t offset) { return elementAt(from, k.number(offset)); };
    emitLoop(b, k.begin(), k.end(), 1, [&](LV tile) {
      Part t;
      digits(k, b.CreateUDiv(tile, k.size(nTiles)), p.d.batch, t.batch);
      t.n0 = b.CreateMul(b.CreateURem(tile, k.size(nTiles)), k.number(width));
      LV cols = emitMin(b, k.number(width), b.CreateSub(k.size(p.n), t.n0));
      emitLoop(b, k.number(0), k.size(p.m), 1, [&](LV i) {
        t.m0 = i;
        Point row = t.batch;
        digits(k, i, p.d.rows, row);
        for (int64_t c = 0; c < width; c += k.lanes) b.CreateAlignedStore(llvm::Constant::getNullValue(vector), at(sums, c), align());
        emitLoop(b, k.number(0), k.size(p.k), 1, [&](LV s) {
          e.scope([&] {
            Point q = row;
            digits(k, s, p.d.summed, q);
            LV x = k.splat(operand(p.leftOperand, q));
            along(1 - p.leftOperand, q, p.d.columns, t.n0, true, cols, width, step);
            for (int64_t c = 0; c < width; c += k.lanes) {
              LV y = b.CreateAlignedLoad(vector, at(step, c), align()), sum = b.CreateAlignedLoad(vector, at(sums, c), align());
              b.CreateAlignedStore(b.CreateIntrinsic(llvm::Intrinsic::fma, {vector}, {x, y, sum}), at(sums, c), align());
            }
          });
        });
        epilogue(t, k.number(1), cols, sums, width, results);
      });
    });
    k.finish();
    return {std::move(k.made), k.sizes, p.batch * nTiles, k.scratchBytes, grain(width), "few rows, operands made where they are read"};
  }
  /// The right side column by column, k contiguous, for `pickedColumns`.
  EmittedKernel packColumns() {
    auto &b = k.b;
    LV packed = k.buffer(number), N = k.size(p.n), K = k.size(p.k);
    const int64_t chunk = 64;
    const Size chunks = Size::ceil(p.n / Size(chunk));
    emitLoop(b, k.begin(), k.end(), 1, [&](LV tile) {
      Point batch;
      LV number = b.CreateUDiv(tile, k.size(chunks)), first = b.CreateMul(b.CreateURem(tile, k.size(chunks)), k.number(chunk));
      digits(k, number, p.d.batch, batch);
      emitLoop(b, first, emitMin(b, N, b.CreateAdd(first, k.number(chunk))), 1, [&](LV column) {
        LV to = elementAt(packed, b.CreateMul(b.CreateAdd(b.CreateMul(number, N), column), K));
        emitLoop(b, k.number(0), K, 1, [&](LV step) {
          e.scope([&] {
            Point q = batch;
            digits(k, column, p.d.columns, q), digits(k, step, p.d.summed, q);
            b.CreateAlignedStore(operand(1 - p.leftOperand, q), elementAt(to, step), align());
          });
        });
      });
    });
    k.finish();
    return {std::move(k.made), k.sizes, p.batch * chunks, k.scratchBytes, 1, "packing columns"};
  }
  /// Row by row, what is computed there: single columns, each from its own place, or all columns of single steps.
  EmittedKernel pickedSingly() {
    auto &b = k.b;
    int count = number;
    std::vector<Memory> results;
    for (auto [v, r] : llvm::zip(p.group.yielded(), p.at.results)) results.push_back(memoryOf(k, v.getType(), r.layout, r.counts, count, false));
    const RowSkip &skip = *p.rowSkip;
    const bool columns = skip.narrow();
    LV packed = columns ? k.buffer(count) : nullptr;
    const int64_t nc = p.blocks.nc, bytes = p.shape.element == Element::F64 ? 8 : 4, length = columns ? skip.width : skip.length, most = columns ? nc : p.k.constant()->num;
    const Size nTiles = Size::ceil(p.n / Size(nc));
    LV tileC = k.allocateScratch(Size((nc + k.lanes) * bytes)), list = k.allocateScratch(Size((most + k.lanes + length) * 4));
    emitLoop(b, k.begin(), k.end(), 1, [&](LV tile) {
      LV number = b.CreateUDiv(tile, k.size(nTiles));
      Part t;
      digits(k, number, p.d.batch, t.batch);
      t.n0 = b.CreateMul(b.CreateURem(tile, k.size(nTiles)), k.number(nc));
      LV cols = emitMin(b, k.number(nc), b.CreateSub(k.size(p.n), t.n0));
      emitLoop(b, k.number(0), k.size(p.m), 1, [&](LV i) {
        t.m0 = i;
        Point row = t.batch;
        digits(k, i, p.d.rows, row);
        LV found = emitLoop(b, k.number(0), columns ? cols : k.size(p.k), length, {k.number(0)}, [&](LV at, llvm::ArrayRef<LV> before) -> Values {
          LV here = nullptr;
          e.scope([&] {
            Point q = row;
            digits(k, columns ? b.CreateAdd(t.n0, at) : at, columns ? p.d.columns : p.d.summed, q);
            here = e.inMask(columns ? skip.columns : skip.sum, q);
          });
          for (int64_t j = 0; j < length; ++j) b.CreateAlignedStore(b.CreateTrunc(b.CreateAdd(at, k.number(j)), k.i32), emitAt(b, k.i32, list, b.CreateAdd(before[0], k.number(j))), llvm::Align(4));
          return {b.CreateSelect(here, b.CreateAdd(before[0], k.number(length)), before[0])};
        })[0];
        LV left = elementAt(start(*p.left, t.batch), b.CreateMul(i, k.size(p.left->outer)));
        if (columns) {
          PickedColumns o;
          o.a = left, o.aK = k.size(p.left->sum), o.k = o.bRow = k.size(p.k), o.c = tileC, o.list = list, o.count = found;
          o.b = elementAt(packed, b.CreateMul(b.CreateAdd(b.CreateMul(number, k.size(p.n)), t.n0), o.bRow));
          emitPickedColumns(b, p.shape.element, k.lanes, o);
        } else {
          for (int64_t j = 0; j < 4; ++j) b.CreateAlignedStore(b.getInt32(0), emitAt(b, k.i32, list, b.CreateAdd(found, k.number(j))), llvm::Align(4));
          PickedSteps o;
          o.a = left, o.aK = k.size(p.left->sum), o.bK = k.size(p.right->sum), o.c = tileC, o.list = list, o.count = found, o.n = cols;
          o.b = elementAt(start(*p.right, t.batch), t.n0);
          emitPickedSteps(b, p.shape.element, k.lanes, o);
        }
        epilogue(t, k.number(1), cols, tileC, nc, results);
      });
    });
    k.finish();
    return {std::move(k.made), k.sizes, p.batch * nTiles, k.scratchBytes, grain(nc), "few rows, granules of " + std::to_string(length) + (columns ? " columns" : " steps")};
  }
  /// Single steps of all columns, which lie in place.
  static bool picksSteps(const Problem &p) {
    return !p.rowSkip->columns && p.rowSkip->length < 4 && p.right && p.right->outer == Size(1) && p.n.constant()->num % 16 == 0;
  }
  /// Row by row, from packed panels: granules that masks of the row leave out are not read.
  EmittedKernel pickedRows() {
    auto &b = k.b;
    int count = number;
    std::vector<Memory> results;
    for (auto [v, r] : llvm::zip(p.group.yielded(), p.at.results)) results.push_back(memoryOf(k, v.getType(), r.layout, r.counts, count, false));
    LV packed = k.buffer(count);
    const RowSkip &skip = *p.rowSkip;
    const int64_t nc = p.blocks.nc, bytes = p.shape.element == Element::F64 ? 8 : 4, K = p.k.constant()->num;
    const Size nTiles = Size::ceil(p.n / Size(nc));
    LV tileC = k.allocateScratch(Size((nc + k.lanes) * bytes)), panels = k.allocateScratch(Size((nc / p.panel + 4) * 4));
    LV steps = skip.sum ? k.allocateScratch(Size((K / skip.length + 1) * 4)) : nullptr;
    /// Numbers 0, unit, 2 unit, .. below `end` that `wanted` takes; how many.
    auto list = [&](LV to, LV end, int64_t unit, llvm::function_ref<LV(LV)> wanted) {
      return emitLoop(b, k.number(0), end, unit, {k.number(0)}, [&](LV i, llvm::ArrayRef<LV> found) -> Values {
        LV here = nullptr;
        e.scope([&] { here = wanted(i); });
        b.CreateAlignedStore(b.CreateTrunc(i, k.i32), emitAt(b, k.i32, to, found[0]), llvm::Align(4));
        return {b.CreateAdd(found[0], b.CreateZExt(here, k.i64))};
      })[0];
    };
    emitLoop(b, k.begin(), k.end(), 1, [&](LV tile) {
      LV number = b.CreateUDiv(tile, k.size(nTiles));
      Part t;
      digits(k, number, p.d.batch, t.batch);
      t.n0 = b.CreateMul(b.CreateURem(tile, k.size(nTiles)), k.number(nc));
      LV cols = emitMin(b, k.number(nc), b.CreateSub(k.size(p.n), t.n0)), width = k.number(p.panel);
      LV right = elementAt(packed, b.CreateAdd(b.CreateMul(number, k.size(p.packedElements())), b.CreateMul(t.n0, k.size(p.k))));
      emitLoop(b, k.number(0), k.size(p.m), 1, [&](LV i) {
        t.m0 = i;
        Point row = t.batch;
        digits(k, i, p.d.rows, row);
        auto inMask = [&](MaskOp m, const Dimlist &list, LV at) {
          Point q = row;
          digits(k, at, list, q);
          return e.inMask(m, q);
        };
        PickedOperands o;
        o.a = elementAt(start(*p.left, t.batch), b.CreateMul(i, k.size(p.left->outer))), o.aK = k.size(p.left->sum);
        o.b = right, o.bPanel = b.CreateMul(k.size(p.k), width), o.panel = p.panel, o.k = k.size(p.k), o.c = tileC;
        o.panels = panels;
        o.panelCount = list(panels, b.CreateUDiv(b.CreateAdd(cols, k.number(p.panel - 1)), width), 1, [&](LV panel) -> LV {
          return skip.columns ? inMask(skip.columns, p.d.columns, b.CreateAdd(t.n0, b.CreateMul(panel, width))) : b.getTrue();
        });
        if (skip.sum) {
          o.steps = steps, o.length = skip.length;
          o.stepCount = list(steps, k.size(p.k), skip.length, [&](LV step) { return inMask(skip.sum, p.d.summed, step); });
          b.CreateAlignedStore(b.getInt32(0), emitAt(b, k.i32, steps, o.stepCount), llvm::Align(4));
        }
        o.ahead = p.ahead;
        emitPicked(b, p.shape.element, k.lanes, o);
        epilogue(t, k.number(1), cols, tileC, nc, results);
      });
    });
    k.finish();
    auto granules = [](int64_t n, const char *what) { return n ? " granules of " + std::to_string(n) + what : std::string(); };
    return {std::move(k.made), k.sizes, p.batch * nTiles, k.scratchBytes, grain(nc), "few rows," + granules(skip.columns ? skip.width : 0, " columns") + granules(skip.sum ? skip.length : 0, " steps")};
  }
  /// Tiles of `columns` of a few rows that one visit to the queue takes: less than some microseconds are not worth another thread's waking up.
  int64_t grain(int64_t columns) {
    constexpr int64_t worth = 128 << 10;
    auto steps = p.k.constant();
    return std::max<int64_t>(worth / ((steps ? steps->num : 128) * columns * elementBytes(p.shape.element)), 1);
  }

private:
  KernelBuilder k;
  Problem &p;
  int number = 0; ///< of the first buffer behind the inputs
  Evaluator e;

  /// Where a cache tile stands: its batch, and how many rows and steps this has; of a roster the first of the position's points.
  struct Part {
    Point batch;
    LV m0 = nullptr, n0 = nullptr, m = nullptr, k = nullptr, first = nullptr;
    std::optional<Granules> steps; ///< those of the block that are not left out; none: all
  };

  llvm::Align align() { return llvm::Align(p.shape.element == Element::F64 ? 8 : 4); }
  LV elementAt(LV pointer, LV offset) { return emitAt(k.b, k.real, pointer, offset); }
  llvm::Type *storedType() { return p.stored ? k.b.getIntNTy(unsigned(traits(*p.stored).bits())) : k.real; }
  /// Rows of panels that so many steps have, or elements.
  LV storedRows(LV n) { return p.together == 1 ? n : k.b.CreateUDiv(n, k.number(p.together)); }
  /// Of bytes the lower four bits, or the upper ones. Both are shifted out of one wide vector, by amounts that LLVM does not know: else it extends the byte for each, and shifts bytes, which AVX2
  /// has no instruction for.
  LV nibble(LV x, int step) {
    LV wide = k.b.CreateSExt(x, x->getType()->getWithNewType(k.i32));
    auto by = [&](int64_t bits) { return k.splat(k.b.CreateAdd(k.b.getInt32(uint32_t(bits)), k.unknownZero(k.i32))); };
    return k.b.CreateSIToFP(k.b.CreateAShr(step ? wide : k.b.CreateShl(wide, by(28)), step ? by(4) : by(28)), k.vector(k.real));
  }
  LV panelAt(LV pointer, LV offset) { return emitAt(k.b, storedType(), pointer, offset); }
  /// One element of the roster.
  LV roster(LV i) {
    Point at;
    at.set(cast<TensorType>(p.c.getRoster().getType()).getDims()[0], {i, 0, nullptr});
    return k.b.CreateSExt(e.value(p.c.getRoster(), at), k.i64);
  }
  /// The coordinates of the i-th sorted point.
  void point(LV i, Point &to) { digits(k, roster(k.b.CreateAdd(i, k.size(p.positions() + 2))), p.d.points, to); }
  void rowOf(const Part &t, LV i, Point &to) {
    LV row = k.b.CreateAdd(t.m0, i);
    if (p.ragged != Problem::Rows) return digits(k, row, p.d.rows, to);
    if (!p.beside.empty()) {
      LV n = k.size(extents(p.dims, p.beside));
      digits(k, k.b.CreateURem(row, n), p.beside, to);
      row = k.b.CreateUDiv(row, n);
    }
    point(k.b.CreateAdd(t.first, row), to);
  }
  /// Whose rows the tile has, or -1: positions take their tiles one after the other, last come the points without a member.
  LV findPosition(LV tile, int64_t mc, Part &t) {
    LV minus = k.number(-1), zero = k.number(0), beside = k.size(extents(p.dims, p.beside));
    Values found = emitLoop(k.b, zero, k.size(p.positions() + 1), 1, {tile, minus, zero, zero, zero}, [&](LV position, llvm::ArrayRef<LV> now) {
      Values next;
      e.scope([&] {
        LV first = roster(position), rows = k.b.CreateMul(k.b.CreateSub(roster(k.b.CreateAdd(position, k.number(1))), first), beside);
        LV tiles = k.b.CreateUDiv(k.b.CreateAdd(rows, k.number(mc - 1)), k.number(mc));
        LV here = k.b.CreateAnd(k.b.CreateICmpSGE(now[0], zero), k.b.CreateICmpSLT(now[0], tiles));
        auto choose = [&](LV x, LV y) { return k.b.CreateSelect(here, x, y); };
        next = {k.b.CreateSub(now[0], tiles), choose(position, now[1]), choose(k.b.CreateMul(now[0], k.number(mc)), now[2]), choose(rows, now[3]), choose(first, now[4])};
      });
      return next;
    });
    t.m0 = found[2], t.m = found[3], t.first = found[4];
    return found[1];
  }
  LV operand(int which, const Point &q) { return p.ragged ? e.value(p.c->getOperand(unsigned(which)), q) : e.side(p.c, which, q); }
  /// An operand along `list` from `first` on, `count` elements and zeros up to `width`.
  void along(int which, const Point &q, const Dimlist &list, LV first, bool aligned, LV count, int64_t width, LV to) {
    emitAlong(e, q, list, first, aligned, count, width, to, [&](const Point &r) { return operand(which, r); });
  }
  /// The same of pairs of steps, the number `pair`; the one behind the last step is 0.
  void alongPairs(int which, const Point &q, LV pair, const Dimlist &list, LV first, bool aligned, LV count, int64_t width, LV to) {
    alongPairs(q, pair, list, first, aligned, count, width, to, [&](const Point &r) { return operand(which, r); });
  }
  void alongPairs(const Point &q, LV pair, const Dimlist &list, LV first, bool aligned, LV count, int64_t width, LV to, llvm::function_ref<LV(const Point &)> value) {
    auto &b = k.b;
    LV even = b.CreateMul(pair, k.number(2)), odd = b.CreateAdd(even, k.number(1)), steps = k.size(p.steps);
    Point low = q, high = q;
    digits(k, even, p.d.summed, low), digits(k, emitMin(b, odd, b.CreateSub(steps, k.number(1))), p.d.summed, high);
    for (int64_t offset = 0; offset < width; offset += k.lanes) e.scope([&] {
      LV mask = emitMask(b, b.CreateSub(count, k.number(offset)), k.lanes), at = b.CreateAdd(first, k.number(offset));
      auto bits = [&](Point r) {
        laneDigits(k, at, aligned, list, mask, r);
        return b.CreateBitCast(k.splat(value(r)), k.vector(k.i32));
      };
      LV x = b.CreateLShr(bits(low), 16), y = b.CreateAnd(bits(high), 0xffff0000u), none = llvm::Constant::getNullValue(x->getType());
      x = b.CreateOr(x, b.CreateSelect(k.splat(b.CreateICmpSLT(odd, steps)), y, none));
      b.CreateAlignedStore(b.CreateSelect(mask, x, none), elementAt(to, k.number(offset)), align());
    });
  }
  /// Pairs k0 .. k0 + n - 1 of a row of the left side, or a column of the right one, as bf16 one behind the other; k0 is a multiple of `unit`.
  void stepsOfPairs(int which, const Point &q, LV k0, LV n, int64_t unit, LV to) {
    auto &b = k.b;
    const int64_t each = p.quads ? 4 : 2;
    llvm::Type *narrow = b.getIntNTy(unsigned(32 / each));
    LV first = b.CreateMul(k0, k.number(each));
    emitLoop(b, k.number(0), b.CreateMul(n, k.number(each)), k.lanes, [&](LV step) {
      e.scope([&] {
        LV from = b.CreateAdd(first, step), mask = emitMask(b, b.CreateSub(k.size(p.steps), from), k.lanes);
        Point r = q;
        laneDigits(k, from, unit * each % k.lanes == 0, p.d.summed, mask, r);
        LV value = k.splat(operand(which, r));
        LV x = p.quads ? b.CreateFPToSI(value, k.vector(k.i32)) : b.CreateLShr(b.CreateBitCast(value, k.vector(k.i32)), 16);
        if (p.quads && which == p.leftOperand) x = b.CreateAdd(x, k.splat(b.getInt32(128)));
        x = b.CreateTrunc(b.CreateSelect(mask, x, llvm::Constant::getNullValue(x->getType())), k.vector(narrow));
        b.CreateAlignedStore(x, emitAt(b, narrow, to, step), llvm::Align(uint64_t(4 / each)));
      });
    });
  }
  LV start(const Plain &x, const Point &batch) {
    LV at = memory(int(cast<mlir::BlockArgument>(x.root).getArgNumber()));
    for (auto [d, s] : llvm::zip(p.d.batch, x.batch)) at = elementAt(at, k.b.CreateMul(batch(d).base, k.size(s)));
    return at;
  }
  LV memory(int input) {
    int buffer = 0;
    for (int i = 0; i < input; ++i) buffer += isa<SubsetType>(p.group.getInputs()[unsigned(i)].getType()) ? 2 : 1;
    return k.buffer(buffer);
  }
  LV startOf(const Memory &m, const Point &batch) {
    LV at = m.pointer;
    for (auto [d, s] : llvm::zip(m.layout.order, m.layout.strides))
      if (batch.has(d)) at = elementAt(at, k.b.CreateMul(batch(d).base, k.size(s)));
    return at;
  }

  /// A tile, for a block of the sum; `right` begins with its first step and column.
  void packAndMultiply(const TileOperands &tile, LV right, LV cols, int64_t together, LV to) {
    const int64_t columns = p.shape.columns();
    emitLoop(k.b, k.number(0), cols, together, [&](LV j) {
      PackOperands o;
      o.from = elementAt(right, k.b.CreateMul(j, k.size(p.right->outer))), o.stride = k.size(p.right->outer), o.strideK = k.size(p.right->sum);
      o.count = emitMin(k.b, k.number(together), k.b.CreateSub(cols, j)), o.steps = tile.k, o.to = to, o.panel = tile.bPanel;
      emitPackB(k.b, p.shape, o);
      TileOperands part = tile;
      part.b = to, part.c = elementAt(tile.c, j);
      part.panels = k.b.CreateUDiv(k.b.CreateAdd(o.count, k.number(columns - 1)), k.number(columns));
      emitTile(k.b, p.shape, part);
    });
  }
  /// Panels of a tile's columns, `steps` of the sum from k0 on, of members' rows: those that are columns row by row, lanes along the sum, and then turned.
  void gatherRight(const Part &t, LV k0, LV steps, LV cols, LV to, LV rows, int64_t row) {
    const int which = 1 - p.leftOperand;
    const int64_t columns = p.shape.columns(), panel = p.blocks.kc * columns;
    if (p.sumsMembers) {
      emitLoop(k.b, k.number(0), steps, 1, [&](LV step) {
        e.scope([&] {
          Point q = t.batch;
          digits(k, k.b.CreateAdd(k0, step), p.d.summed, q);
          emitLoop(k.b, k.number(0), cols, columns, [&](LV j) {
            LV at = k.b.CreateAdd(k.b.CreateMul(k.b.CreateUDiv(j, k.number(columns)), k.number(panel)), k.b.CreateMul(step, k.number(columns)));
            along(which, q, p.d.columns, k.b.CreateAdd(t.n0, j), true, k.b.CreateSub(cols, j), columns, elementAt(to, at));
          });
        });
      });
      return;
    }
    emitLoop(k.b, k.number(0), cols, 1, [&](LV j) {
      e.scope([&] {
        Point q = t.batch;
        digits(k, k.b.CreateAdd(t.n0, j), p.d.columns, q);
        LV at = elementAt(rows, k.b.CreateMul(j, k.number(row)));
        emitLoop(k.b, k.number(0), steps, k.lanes, [&](LV step) {
          along(which, q, p.d.summed, k.b.CreateAdd(k0, step), p.blocks.kc % k.lanes == 0, k.b.CreateSub(steps, step), k.lanes, elementAt(at, step));
        });
      });
    });
    PackOperands o;
    o.from = rows, o.stride = k.number(row), o.strideK = k.number(1), o.count = cols, o.steps = steps, o.to = to, o.panel = k.number(panel);
    emitPackB(k.b, p.shape, o);
  }
  /// The steps of each listed granule, from that on that the block begins with.
  void eachGranule(const Granules &g, llvm::function_ref<void(LV first, LV end)> then) {
    emitLoop(k.b, k.number(0), g.count, 1, [&](LV i) {
      LV first = k.b.CreateSub(k.b.CreateSExt(k.b.CreateAlignedLoad(k.i32, emitAt(k.b, k.i32, g.list, i), llvm::Align(4)), k.i64), g.first);
      then(first, k.b.CreateAdd(first, k.number(g.length)));
    });
  }
  void leftSide(TileOperands &t, const Part &part, LV k0, LV packed, int64_t rowA) {
    const Point &batch = part.batch;
    const int64_t r = p.shape.rows;
    if (p.left) {
      LV outer = k.size(p.left->outer), sum = k.size(p.left->sum);
      LV from = elementAt(start(*p.left, batch), k.b.CreateAdd(k.b.CreateMul(part.m0, outer), k.b.CreateMul(k0, sum)));
      if (!packed) {
        t.a = from, t.aRow = outer, t.aK = k.number(1), t.aBlock = k.b.CreateMul(outer, k.number(r));
        return;
      }
      PackOperands o;
      o.from = from, o.stride = outer, o.strideK = sum, o.count = t.m, o.steps = t.k, o.to = packed;
      o.panel = k.b.CreateAdd(k.b.CreateMul(t.k, k.number(r)), k.number(16)); // panels on different cache sets
      emitPackA(k.b, p.shape, o);
      t.a = packed, t.aRow = k.number(1), t.aK = k.number(r), t.aBlock = o.panel;
      return;
    }
    if (p.alongRows) {
      auto pack = [&](LV step) {
        e.scope([&] {
          Point q = batch;
          LV at = k.b.CreateAdd(k0, step);
          LV to = elementAt(packed, k.b.CreateMul(step, k.number(rowA)));
          if (!p.pairs) p.ragged ? point(k.b.CreateAdd(part.first, at), q) : digits(k, at, p.d.summed, q);
          emitLoop(k.b, k.number(0), t.m, k.lanes, [&](LV i) {
            if (p.pairs) return alongPairs(p.leftOperand, q, at, p.d.rows, k.b.CreateAdd(part.m0, i), p.blocks.mc % k.lanes == 0, k.b.CreateSub(t.m, i), k.lanes, elementAt(to, i));
            along(p.leftOperand, q, p.d.rows, k.b.CreateAdd(part.m0, i), p.blocks.mc % k.lanes == 0, k.b.CreateSub(t.m, i), k.lanes, elementAt(to, i));
          });
        });
      };
      if (!part.steps) emitLoop(k.b, k.number(0), t.k, 1, pack);
      else eachGranule(*part.steps, [&](LV first, LV end) { emitLoop(k.b, first, end, 1, pack); });
      t.a = packed, t.aRow = k.number(1), t.aK = k.number(rowA), t.aBlock = k.number(r);
      return;
    }
    e.scope([&] { // row by row, lanes along the summed dims
      emitLoop(k.b, k.number(0), t.m, 1, [&](LV i) {
        Point q = batch;
        rowOf(part, i, q);
        LV row = elementAt(packed, k.b.CreateMul(i, k.number(rowA)));
        if (p.pairs) return stepsOfPairs(p.leftOperand, q, k0, t.k, p.blocks.kc, row);
        auto some = [&](LV begin, LV end, int64_t unit) {
          emitLoop(k.b, begin, end, k.lanes, [&](LV step) {
            along(p.leftOperand, q, p.d.summed, k.b.CreateAdd(k0, step), unit % k.lanes == 0, k.b.CreateSub(end, step), k.lanes, elementAt(row, step));
          });
        };
        if (!part.steps) some(k.number(0), t.k, p.blocks.kc);
        else eachGranule(*part.steps, [&](LV first, LV end) { some(first, end, part.steps->length); });
      });
    });
    t.a = packed, t.aRow = k.number(rowA), t.aK = k.number(1), t.aBlock = k.number(rowA * r);
  }

  void epilogue(const Part &t, LV rows, LV cols, LV tile, int64_t rowC, llvm::ArrayRef<Memory> results) {
    auto n = p.n.constant();
    e.scope([&] {
      emitLoop(k.b, k.number(0), rows, 1, [&](LV i) {
        Point row = t.batch;
        rowOf(t, i, row);
        LV from = elementAt(tile, k.b.CreateMul(i, k.number(rowC)));
        emitEpilogue(e, p.c, results, row, p.d.columns, t.n0, true, cols, n && n->num % k.lanes == 0, from);
      });
    });
  }
};

} // namespace

EmittedContraction emitContraction(const Target &target, const Dims &dims, bool f64, GroupOp group, const GroupPlacement &placement, Rows rows) {
  bool few = rows != Rows::Many;
  if (auto kernel = emitMembers(target, dims, f64, group, placement, rows == Rows::One)) {
    EmittedContraction out;
    out.product = std::move(kernel);
    return out;
  }
  Problem p(target, dims, f64, group, placement);
  EmittedContraction out;
  out.rows = p.m, out.descriptor = p.descriptor;
  auto pack = ContractionEmitter(target, p, f64).pack();
  out.packedBytes = p.packedBatches() * p.packedElements() * Size(f64 ? 8 : 4);
  out.packs = p.packs;
  auto constant = [](const Size &s) { return bool(s.constant()); };
  out.once = !p.unpacked && !p.gathersRight && !p.packs.empty() && llvm::all_of(p.packs, [&](unsigned i) { return placement.inputs[i].variable; }) && constant(out.packedBytes) && constant(pack.tiles) &&
             llvm::all_of(pack.sizes, constant);
  if (out.once) pack.what = "packing once";
  auto m = p.ragged ? std::nullopt : p.m.constant();
  few &= !p.ragged && !p.samples && !gathers(p.c) && (out.once ? !m : !m || m->num <= fewRows); // where m is known, the tile is made for so many
  few &= out.once || !p.pairs; // a row has the same bits beside few others as beside many
  // Weights come from memory. Measured at 8 and 16 rows of 4096 x 4096: 2 KB ahead 0.75 of the time, 1 KB 0.85, 8 KB as 2.
  if (out.once) p.ahead = 2048 / elementBytes(p.shape.element);
  if (few && out.once && p.rowSkip) { // while the rows together read less than a product of all
    Problem one = p;
    one.shape.rows = 1, one.descriptor.sizes.m = 1;
    one.chooseTiles(target, false);
    if (p.rowSkip->narrow()) {
      out.fewPack = ContractionEmitter(target, one, f64).packColumns(), out.fewBytes = out.packedBytes;
      out.few = ContractionEmitter(target, one, f64).pickedSingly();
    } else out.few = ContractionEmitter::picksSteps(one) ? ContractionEmitter(target, one, f64).pickedSingly() : ContractionEmitter(target, one, f64).pickedRows();
    out.limit = std::max<int64_t>(1, int64_t(1 / p.rowSkip->share()));
  } else if (few && out.once) {
    Problem one = p;
    // What few rows read comes from memory: the fewer bytes the better. Up to so many it is faster than wide panels, measured at 2048 x 8192.
    if (!one.pairs) one.stored = p.storedFormat();
    if (one.stored && p.k.constant() && p.k.constant()->num % 4 == 0 && p.rightSide().getDefiningOp<UnpackOp>()) one.together = 2; // numbers of four bits or fewer
    const int64_t bytes = one.quads ? 1 : one.pairs ? 2 : one.stored ? bytesOf(*one.stored) : 4;
    out.limit = bytes == 4 ? 1 : bytes == 1 ? 8 : 2;
    one.shape.rows = bytes == 4 ? 1 : bytes == 2 ? 2 : 4, one.shape.unroll = 4, one.descriptor.sizes.m = out.limit; // so many share what is made wide
    if (!p.listed()) one.chooseTiles(target, false);
    p.chooseTiles(target, bool(p.left)); // a left side that is made while it is packed is made once
    out.descriptor = p.descriptor;
    if (one.stored) {
      one.ahead *= elementBytes(one.shape.element) / bytesOf(*one.stored);
      out.fewPack = ContractionEmitter(target, one, f64).pack(), out.fewBytes = one.packedBatches() * one.packedElements() * Size(bytesOf(*one.stored)) / Size(one.together);
    }
    out.few = ContractionEmitter(target, one, f64).product();
  } else if (few) {
    if (ContractionEmitter::readsFewRows(p)) out.few = ContractionEmitter(target, p, f64).fewRows();
    else out.few = ContractionEmitter(target, p, f64).madeRows();
    out.limit = fewRows;
  }
  // A few dozen rows for each position read its part of the right side hardly more often than packing would; what must be turned is packed by their tiles, and
  // never goes to memory.
  if (auto positions = p.ragged == Problem::Rows && !out.once && p.packsByCopies() ? p.positions().constant() : std::nullopt) {
    Problem each = p;
    if (p.right->outer == Size(1) && p.n.constant() && p.n.constant()->num % p.shape.columns() == 0) each.unpacked = true, each.ahead = 16 * p.shape.columns();
    else each.packsInTiles = true;
    out.few = ContractionEmitter(target, each, f64).product();
    out.limit = 128 * positions->num;
  }
  if (!(few && m)) out.product = ContractionEmitter(target, p, f64).product();
  if (out.product && !p.unpacked && !p.gathersRight && !p.packsInTiles) out.pack = std::move(pack);
  return out;
}

} // namespace fil
