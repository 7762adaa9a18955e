// SPDX-License-Identifier: Apache-2.0
// Products with the vectors at the members of a subset, member by member, for points that have too few rows for register tiles. A tile takes some points (those that add
// to members: all of them) and goes through the dim that members are of in ranges whose vectors the second-level cache holds: members are in rising order, so each point
// goes on where the range before has left it. Sums along vectors are made lane by lane, of several members at once, and then folded; what is summed over
// members or points is summed in their order.
#include "codegen/cpu/operands.h"
#include "ir/contraction.h"
#include <numeric>

namespace fil {
using namespace ir;
using mlir::dyn_cast, mlir::cast, mlir::isa;
using mlir::StringAttr;
using LV = llvm::Value *;

namespace {

constexpr int64_t somePoints = 256;

class MemberEmitter {
public:
  MemberEmitter(const Target &t, const Dims &dims, bool f64, GroupOp group, const GroupPlacement &at, const MemberVectors &v, bool few)
      : k(t, dims, f64), group(group), placement(at), c(group.tiled()), v(v), few(few), inputs(inputsOf(k, group, at, number)), e(k, group, inputs), subset(cast<SubsetType>(c.getSubsets()[0].getType())),
        n(extents(dims, v.along).constant()->num) {}

  std::optional<EmittedKernel> run() {
    if (v.form != MemberVectors::Adds && !(vectors = vectorsInMemory())) return std::nullopt;
    for (auto [x, p] : llvm::zip(group.yielded(), placement.results)) results.push_back(memoryOf(k, x.getType(), p.layout, p.counts, number, false));
    const int64_t most = k.lanes * std::min<int64_t>(8, k.target.registers / 2), whole = (n + k.lanes - 1) / k.lanes * k.lanes;
    width = v.form == MemberVectors::Dots ? whole : std::min(whole, most);
    // Of what is added to a range is a tile: several threads want some.
    range = std::max<int64_t>(64, k.target.l2 / (v.form == MemberVectors::Adds ? 2 : 6) / (width * bytes()) / 8 * 8);
    if (v.form == MemberVectors::Adds) range = std::min<int64_t>(range, 512);
    else if (few) range = 1 << 30;
    vector = k.allocateScratch(Size(width * bytes()));
    if (v.form != MemberVectors::Adds) cursors = k.allocateScratch(Size(somePoints * 8));
    if (v.form != MemberVectors::Adds && !few && !together()) packed = k.allocateScratch(Size(range * width * bytes()));
    const Size tiles = v.form == MemberVectors::Adds ? adds() : v.form == MemberVectors::Dots ? dots() : sums();
    k.finish();
    const char *what[] = {"dots with vectors of members", "sums of vectors of members", "vectors added to members"};
    return EmittedKernel{std::move(k.made), k.sizes, tiles, k.scratchBytes, 1, what[v.form] + (few ? std::string() : ", " + std::to_string(range) + " positions of " + subset.getOf().getValue().str() + " at a time")};
  }

private:
  KernelBuilder k;
  GroupOp group;
  const GroupPlacement &placement;
  ContractOp c;
  const MemberVectors v;
  const bool few; ///< points: vectors are not worth packing
  int number = 0; ///< of the first buffer behind the inputs
  const std::vector<Memory> inputs;
  Evaluator e;
  SubsetType subset;
  const int64_t n; ///< elements of a vector
  std::vector<Memory> results;
  std::optional<Plain> vectors;
  int64_t width = 0, range = 0; ///< elements that are taken together, whole vectors of lanes; positions of the dim that members are of
  LV vector = nullptr;          ///< of the point, `width` elements
  LV packed = nullptr, cursors = nullptr; ///< vectors of a range; of each point of a tile the first of the members that are still to come

  int64_t bytes() const { return k.f64 ? 8 : 4; }
  llvm::Align align() const { return llvm::Align(uint64_t(bytes())); }
  LV elementAt(LV pointer, LV offset) { return emitAt(k.b, k.real, pointer, offset); }
  LV load(LV pointer, int64_t offset) { return k.b.CreateAlignedLoad(k.vector(k.real), elementAt(pointer, k.number(offset)), align()); }
  LV fma(LV x, LV y, LV sum) { return k.b.CreateIntrinsic(llvm::Intrinsic::fma, {k.vector(k.real)}, {x, y, sum}); }
  LV none() { return llvm::Constant::getNullValue(k.vector(k.real)); }

  // ---- the vectors ----

  std::optional<Plain> vectorsInMemory() {
    auto layout = [&](mlir::Value x) -> const Layout * {
      auto a = dyn_cast<mlir::BlockArgument>(x);
      if (!a) return nullptr;
      auto f = cast<TensorType>(a.getType()).format();
      return !f || *f == Format::Bf16 || *f == Format::F16 || *f == Format::Int8 ? &placement.inputs[a.getArgNumber()].layout : nullptr;
    };
    auto p = plainOf(k.dims, c->getOperand(v.operand), layout, {subset.getOf()}, v.along, v.outer);
    return p && p->sum == Size(1) ? p : std::nullopt;
  }
  std::optional<Format> format() { return cast<TensorType>(vectors->root.getType()).format(); }
  llvm::Type *stored() { return format() ? k.b.getIntNTy(unsigned(traits(*format()).bits())) : k.real; }
  /// Do they lie one behind the other, as they are multiplied?
  bool together() { return !format() && vectors->outer == Size(n) && n == width; }
  /// The part of position 0 from an element on.
  LV start(const Point &p, LV from) {
    LV to = inputs[cast<mlir::BlockArgument>(vectors->root).getArgNumber()].pointer;
    for (auto [d, s] : llvm::zip(v.outer, vectors->batch))
      if (!(s == Size())) to = emitAt(k.b, stored(), to, emitMul(k.b, p(d).base, k.size(s)));
    return emitAt(k.b, stored(), to, from);
  }
  /// Lanes of a vector as it stands, zeros behind its last element; `columns`: which of its elements is the first one.
  LV read(LV from, LV offset, LV columns) {
    auto &b = k.b;
    const llvm::Align align(uint64_t(format() ? bytesOf(*format()) : bytes()));
    LV at = emitAt(b, stored(), from, offset), x;
    if (n % width == 0) x = b.CreateAlignedLoad(k.vector(stored()), at, align);
    else x = b.CreateMaskedLoad(k.vector(stored()), at, align, emitMask(b, b.CreateSub(k.number(n), b.CreateAdd(columns, offset)), k.lanes), llvm::Constant::getNullValue(k.vector(stored())));
    return format() ? k.decoded(*format(), x) : x;
  }
  /// Those of some positions, one behind the other: heads that share a row in memory would also share a part of the cache.
  void pack(LV start, LV columns, LV position, LV count) {
    auto &b = k.b;
    emitLoop(b, k.number(0), count, 1, [&](LV i) {
      LV from = emitAt(b, stored(), start, emitMul(b, b.CreateAdd(position, i), k.size(vectors->outer))), to = elementAt(packed, b.CreateMul(i, k.number(width)));
      emitLoop(b, k.number(0), k.number(width), k.lanes, [&](LV j) { b.CreateAlignedStore(read(from, j, columns), elementAt(to, j), align()); });
    });
  }

  // ---- points and members ----

  /// The members of a point, one behind the other.
  struct Members { LV list, count; };
  Members membersOf(const Point &p) {
    const Memory &m = *e.memory(c.getSubsets()[0]);
    assert(m.layout.order.back() == subset.getMembers() && m.layout.strides.back() == Size(1));
    return {placeOf(m.layout, k.i32, m.pointer, p), k.b.CreateSExt(k.loadCount(m, [&](StringAttr d) { return p(d); }, nullptr), k.i64)};
  }
  /// The first member's place.
  LV placeOf(const Layout &l, llvm::Type *type, LV from, const Point &p) {
    for (auto [d, s] : llvm::zip(l.order, l.strides))
      if (d != subset.getMembers()) from = emitAt(k.b, type, from, emitMul(k.b, p(d).base, k.size(s)));
    return from;
  }
  LV member(const Members &m, LV i) { return k.b.CreateSExt(k.b.CreateAlignedLoad(k.i32, emitAt(k.b, k.i32, m.list, i), llvm::Align(4)), k.i64); }
  /// The first of the members from that number on which is at the position or behind it: they are read anyway, some at once.
  LV firstFrom(const Members &m, LV from, LV position) {
    auto &b = k.b;
    auto *lanes = k.vector(k.i32);
    LV limit = k.splat(b.CreateTrunc(position, k.i32));
    return emitRepeat(b, {from}, [&](llvm::ArrayRef<LV> now) -> Values {
      LV there = emitMask(b, b.CreateSub(m.count, now[0]), k.lanes);
      LV x = b.CreateMaskedLoad(lanes, emitAt(b, k.i32, m.list, now[0]), llvm::Align(4), there, llvm::ConstantInt::get(lanes, INT32_MAX));
      LV before = b.CreateUnaryIntrinsic(llvm::Intrinsic::ctpop, b.CreateBitCast(b.CreateICmpSLT(x, limit), b.getIntNTy(unsigned(k.lanes))));
      return {b.CreateAdd(now[0], b.CreateZExt(before, k.i64)), b.CreateICmpEQ(before, llvm::ConstantInt::get(before->getType(), uint64_t(k.lanes)))};
    })[0];
  }
  /// The same of all members, by halves.
  LV findFirst(const Members &m, LV position) {
    auto &b = k.b;
    LV turns = b.CreateSub(k.number(64), b.CreateBinaryIntrinsic(llvm::Intrinsic::ctlz, m.count, b.getFalse()));
    return emitLoop(b, k.number(0), turns, 1, {k.number(0), m.count}, [&](LV, llvm::ArrayRef<LV> now) -> Values { // first, length
      LV half = b.CreateLShr(now[1], 1), middle = b.CreateAdd(now[0], half), some = b.CreateICmpNE(now[1], k.number(0));
      LV before = b.CreateAnd(some, b.CreateICmpSLT(member(m, b.CreateSelect(some, middle, k.number(0))), position));
      return {b.CreateSelect(before, b.CreateAdd(middle, k.number(1)), now[0]), b.CreateSelect(before, b.CreateSub(b.CreateSub(now[1], half), k.number(1)), half)};
    })[0];
  }
  /// What the other side has along a vector, `width` elements from `first` on, zeros behind the last.
  void fillVector(unsigned operand, const Point &p, LV first) {
    emitLoop(k.b, k.number(0), k.number(width), k.lanes, [&](LV j) {
      LV from = k.b.CreateAdd(first, j);
      emitAlong(e, p, v.along, from, true, k.b.CreateSub(k.number(n), from), k.lanes, elementAt(vector, j), [&](const Point &q) { return e.side(c, int(operand), q); });
    });
  }
  /// What a member's vector is multiplied by.
  LV factor(const Point &p, LV i) {
    Point q = p;
    q.set(subset.getMembers(), {i, 0, nullptr});
    return e.side(c, int(1 - v.operand), q);
  }

  /// Asks for what a point's members have of their own, from one of them on: as far as it stands in memory.
  void lookAhead(const Point &p, LV from, LV end) {
    auto ask = [&](const Layout &l, llvm::Type *type, LV start, bool toWrite) {
      if (l.order.back() != subset.getMembers()) return;
      LV first = placeOf(l, type, start, p);
      emitLoop(k.b, from, end, 64 / bytes(), [&](LV i) { emitPrefetch(k.b, type, first, i, toWrite); });
    };
    if (v.form == MemberVectors::Dots) return ask(results[0].layout, results[0].element, results[0].pointer, true);
    if (auto a = dyn_cast<mlir::BlockArgument>(c->getOperand(1 - v.operand))) ask(inputs[a.getArgNumber()].layout, inputs[a.getArgNumber()].element, inputs[a.getArgNumber()].pointer, false);
  }
  /// The point of a tile at a position of the last dim of its own.
  Point at(const Point &tile, LV position) {
    Point p = tile;
    p.set(subset.getPer().back(), {position, 0, nullptr});
    return p;
  }
  /// Tiles of the points: body(point without the last of its dims, first of its positions there, how many).
  Size eachTile(LV &columns, llvm::function_ref<void(const Point &, LV, LV)> body) {
    StringAttr last = subset.getPer().back();
    Dimlist rest;
    llvm::copy_if(v.outer, std::back_inserter(rest), [&](StringAttr d) { return d != last; });
    const Size parts = Size::ceil(k.dims.value(last.getValue()) / Size(somePoints)), blocks((n + width - 1) / width);
    emitLoop(k.b, k.begin(), k.end(), 1, [&](LV tile) {
      e.scope([&] {
        LV first = k.b.CreateMul(k.b.CreateURem(tile, k.size(parts)), k.number(somePoints)), number = k.b.CreateUDiv(tile, k.size(parts));
        columns = k.b.CreateMul(k.b.CreateURem(number, k.size(blocks)), k.number(width));
        Point p;
        digits(k, k.b.CreateUDiv(number, k.size(blocks)), rest, p);
        body(p, first, emitMin(k.b, k.number(somePoints), k.b.CreateSub(k.extent(last), first)));
      });
    });
    return extents(k.dims, rest) * blocks * parts;
  }
  /// Members of a point from one on to another, and where the vector of position 0 would be: among those that are packed, or as they stand.
  struct Visit {
    Members members;
    LV from, end, vectors, columns;
  };
  /// So many members of a point behind the one at hand are asked for: measured with 8192 positions and 512 members, in ranges of 336, where 32 and 128 are slower by a tenth and by 4 %.
  static constexpr int64_t ahead = 64;
  /// Range by range, of each point the members within: body(point, its number in the tile, visit).
  void eachVisit(const Point &tile, LV first, LV points, LV columns, llvm::function_ref<void(const Point &, LV, const Visit &)> body) {
    auto &b = k.b;
    LV start = this->start(tile, columns), ready = k.local(k.i1);
    auto cursor = [&](LV i) { return emitAt(b, k.i64, cursors, i); };
    emitLoop(b, k.number(0), points, 1, [&](LV i) { b.CreateStore(k.number(0), cursor(i)); });
    emitLoop(b, k.number(0), k.extent(subset.getOf()), range, [&](LV position) {
      b.CreateStore(b.getFalse(), ready);
      emitLoop(b, k.number(0), points, 1, [&](LV i) {
        e.scope([&] {
          const Point p = at(tile, b.CreateAdd(first, i));
          const Members m = membersOf(p);
          LV later = emitMin(b, b.CreateAdd(i, k.number(2)), b.CreateSub(points, k.number(1))), next = b.CreateLoad(k.i64, cursor(later));
          const Point q = at(tile, b.CreateAdd(first, later));
          LV soon = b.CreateAdd(next, k.number(ahead));
          lookAhead(q, next, soon);
          emitLoop(b, next, soon, 16, [&](LV j) { emitPrefetch(b, k.i32, membersOf(q).list, j, false); });
          LV from = b.CreateLoad(k.i64, cursor(i)), end = firstFrom(m, from, b.CreateAdd(position, k.number(range)));
          emitIf(b, b.CreateICmpSLT(from, end), [&] {
            Visit visit{m, from, end, start, columns};
            if (packed) {
              emitIf(b, b.CreateNot(b.CreateLoad(k.i1, ready)), [&] { pack(start, columns, position, emitMin(b, k.number(range), b.CreateSub(k.extent(subset.getOf()), position))); });
              b.CreateStore(b.getTrue(), ready);
              visit.vectors = elementAt(packed, b.CreateNeg(b.CreateMul(position, k.number(width))));
            }
            e.scope([&] { body(p, i, visit); });
            b.CreateStore(end, cursor(i));
          });
        });
      });
    });
  }
  LV vectorOf(const Visit &v, LV i) {
    LV position = member(v.members, i);
    return packed ? elementAt(v.vectors, k.b.CreateMul(position, k.number(width))) : emitAt(k.b, stored(), v.vectors, emitMul(k.b, position, k.size(vectors->outer)));
  }
  LV lanesOf(const Visit &v, LV vector, LV offset) { return packed ? load(elementAt(vector, offset), 0) : read(vector, offset, v.columns); }
  /// The sums of some vectors' lanes, one for each vector, in the first lanes of one: halves are added until a lane is left. As many vectors as lanes or a power of two below.
  LV folded(llvm::SmallVector<LV> x) {
    auto &b = k.b;
    int group = k.lanes; // neighbours that belong to one
    auto half = [&](LV p, LV q, int offset) {
      llvm::SmallVector<int> mask;
      for (int g = 0; g < k.lanes; g += group)
        for (int from : {g + offset, k.lanes + g + offset})
          for (int i = 0; i < group / 2; ++i) mask.push_back(from + i);
      return b.CreateShuffleVector(p, q, mask);
    };
    for (size_t many = x.size(); many > 1; many /= 2, group /= 2)
      for (size_t i = 0; i < many / 2; ++i) x[i] = b.CreateFAdd(half(x[i], x[i + many / 2], 0), half(x[i], x[i + many / 2], group / 2));
    for (LV &y = x[0]; group > 1; group /= 2) {
      llvm::SmallVector<int> low, high;
      for (int g = 0; g < int(llvm::cast<llvm::FixedVectorType>(y->getType())->getNumElements()); g += group)
        for (int i = 0; i < group / 2; ++i) low.push_back(g + i), high.push_back(g + group / 2 + i);
      y = b.CreateFAdd(b.CreateShuffleVector(y, low), b.CreateShuffleVector(y, high));
    }
    return x[0];
  }

  Size dots() {
    auto &b = k.b;
    const int some = std::min(k.lanes, 8);
    const Size most = few ? k.dims.value(subset.getMembers().getValue()) : Size(range); // in a visit
    LV row = k.allocateScratch((most + Size(k.lanes)) * Size(bytes())), columns = nullptr;
    return eachTile(columns, [&](const Point &tile, LV first, LV points) {
      eachVisit(tile, first, points, columns, [&](const Point &p, LV, const Visit &now) {
        fillVector(1 - v.operand, p, k.number(0));
        LV last = b.CreateSub(now.end, k.number(1));
        emitLoop(b, now.from, now.end, some, [&](LV i) {
          llvm::SmallVector<LV> rows;
          for (int j = 0; j < some; ++j) rows.push_back(vectorOf(now, emitMin(b, b.CreateAdd(i, k.number(j)), last)));
          const int64_t unroll = std::gcd<int64_t>(width / k.lanes, 4);
          Values sums = emitLoop(b, k.number(0), k.number(width), unroll * k.lanes, Values(size_t(some), none()), [&](LV at, llvm::ArrayRef<LV> before) {
            Values next(before.begin(), before.end());
            for (int64_t u = 0; u < unroll; ++u) {
              LV offset = b.CreateAdd(at, k.number(u * k.lanes)), x = load(elementAt(vector, offset), 0);
              for (auto [sum, row] : llvm::zip(next, rows)) sum = fma(x, lanesOf(now, row, offset), sum);
            }
            return next;
          });
          b.CreateAlignedStore(folded({sums.begin(), sums.end()}), elementAt(row, b.CreateSub(i, now.from)), align());
        });
        emitEpilogue(e, c, results, p, {subset.getMembers()}, now.from, false, b.CreateSub(now.end, now.from), false, row);
      });
      emitLoop(b, k.number(0), points, 1, [&](LV i) { // what is no member
        e.scope([&] {
          const Point p = at(tile, b.CreateAdd(first, i));
          LV count = membersOf(p).count, all = k.extent(subset.getMembers());
          emitIf(b, b.CreateICmpSLT(count, all), [&] { emitEpilogue(e, c, results, p, {subset.getMembers()}, count, false, b.CreateSub(all, count), false, nullptr); });
        });
      });
    });
  }

  /// Vectors in registers from memory and back.
  Values loadAll(LV from) {
    Values x;
    for (int64_t o = 0; o < width; o += k.lanes) x.push_back(load(from, o));
    return x;
  }
  void storeAll(llvm::ArrayRef<LV> x, LV to) {
    for (auto [i, value] : llvm::enumerate(x)) k.b.CreateAlignedStore(value, elementAt(to, k.number(int64_t(i) * k.lanes)), align());
  }
  void clear(LV from, LV rows) {
    emitLoop(k.b, k.number(0), k.b.CreateMul(rows, k.number(width)), k.lanes, [&](LV j) { k.b.CreateAlignedStore(none(), elementAt(from, j), align()); });
  }
  void epilogue(const Point &p, LV columns, LV sums) { emitEpilogue(e, c, results, p, v.along, columns, true, emitMin(k.b, k.number(width), k.b.CreateSub(k.number(n), columns)), n % k.lanes == 0, sums); }

  Size sums() {
    auto &b = k.b;
    LV sums = k.allocateScratch(Size(somePoints * width * bytes())), columns = nullptr;
    auto of = [&](LV i) { return elementAt(sums, b.CreateMul(i, k.number(width))); };
    return eachTile(columns, [&](const Point &tile, LV first, LV points) {
      clear(sums, points);
      eachVisit(tile, first, points, columns, [&](const Point &p, LV i, const Visit &now) {
        storeAll(emitLoop(b, now.from, now.end, 1, loadAll(of(i)), [&](LV j, llvm::ArrayRef<LV> before) {
          Values next;
          e.scope([&] {
            LV w = k.splat(factor(p, j)), row = vectorOf(now, j);
            for (auto [u, sum] : llvm::enumerate(before)) next.push_back(fma(w, lanesOf(now, row, k.number(int64_t(u) * k.lanes)), sum));
          });
          return next;
        }), of(i));
      });
      emitLoop(b, k.number(0), points, 1, [&](LV i) {
        e.scope([&] {
          epilogue(at(tile, b.CreateAdd(first, i)), columns, of(i));
        });
      });
    });
  }

  /// A tile is a range.
  Size adds() {
    auto &b = k.b;
    LV sums = k.allocateScratch(Size(range * width * bytes()));
    const Size ranges = Size::ceil(k.dims.value(subset.getOf().getValue()) / Size(range)), blocks((n + width - 1) / width);
    emitLoop(b, k.begin(), k.end(), 1, [&](LV tile) {
      e.scope([&] {
        LV begin = b.CreateMul(b.CreateURem(tile, k.size(ranges)), k.number(range)), number = b.CreateUDiv(tile, k.size(ranges));
        LV end = emitMin(b, b.CreateAdd(begin, k.number(range)), k.extent(subset.getOf())), columns = b.CreateMul(b.CreateURem(number, k.size(blocks)), k.number(width));
        Point outer;
        digits(k, b.CreateUDiv(number, k.size(blocks)), v.outer, outer);
        clear(sums, b.CreateSub(end, begin));
        LV points = k.size(extents(k.dims, v.walked));
        auto pointAt = [&](LV i) {
          Point p = outer;
          digits(k, i, v.walked, p);
          return p;
        };
        auto within = [&](LV i) -> Values {
          const Members m = membersOf(pointAt(i));
          LV from = findFirst(m, begin);
          return {from, firstFrom(m, from, end)};
        };
        emitLoop(b, k.number(0), points, 1, within(k.number(0)), [&](LV i, llvm::ArrayRef<LV> now) {
          Values later;
          e.scope([&] {
            LV next = emitMin(b, b.CreateAdd(i, k.number(1)), b.CreateSub(points, k.number(1)));
            later = within(next);
            lookAhead(pointAt(next), later[0], later[1]);
          });
          e.scope([&] {
            const Point p = pointAt(i);
            const Members m = membersOf(p);
            LV from = now[0], to = now[1];
            emitIf(b, b.CreateICmpSLT(from, to), [&] {
              fillVector(v.operand, p, columns);
              const Values x = loadAll(vector);
              emitLoop(b, from, to, 1, [&](LV j) {
                e.scope([&] {
                  LV row = elementAt(sums, b.CreateMul(b.CreateSub(member(m, j), begin), k.number(width))), w = k.splat(factor(p, j));
                  Values next;
                  for (auto [y, sum] : llvm::zip(x, loadAll(row))) next.push_back(fma(w, y, sum));
                  storeAll(next, row);
                });
              });
            });
          });
          return later;
        });
        emitLoop(b, begin, end, 1, [&](LV s) {
          e.scope([&] {
            Point p = outer;
            p.set(subset.getOf(), {s, 0, nullptr});
            epilogue(p, columns, elementAt(sums, b.CreateMul(b.CreateSub(s, begin), k.number(width))));
          });
        });
      });
    });
    return extents(k.dims, v.outer) * blocks * ranges;
  }
};

} // namespace

std::optional<EmittedKernel> emitMembers(const Target &target, const Dims &dims, bool f64, GroupOp group, const GroupPlacement &placement, bool few) {
  auto v = vectorsOfMembers(group.tiled(), dims);
  if (!v) return std::nullopt;
  return MemberEmitter(target, dims, f64, group, placement, *v, few).run();
}

} // namespace fil
