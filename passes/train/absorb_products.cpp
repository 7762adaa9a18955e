// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "passes/train/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_ABSORBPRODUCTSPASS
#include "passes/train/passes.h.inc"
namespace {

ir::TensorType tensorOf(Value v) { return cast<ir::TensorType>(v.getType()); }

/// One entry that adds a position to those that are kept.
class Absorber {
public:
  Absorber(FuncOp f, const Dims &dims) : f(f), dims(dims) {}

  void run() {
    f.walk([&](CacheOp c) {
      if (c.getPast()) news.insert(c.getFromAttr()), kept.insert(c.getToAttr());
    });
    if (kept.empty()) return;
    for (ContractOp c : all<ContractOp>())
      if (!absorb(c, 0)) absorb(c, 1);
    for (ContractOp c : all<ContractOp>())
      if (Value s = c.getSubsets().size() == 1 ? c.getSubsets()[0] : Value(); s && !tensorOf(c).has(subsetOf(s).getOf()) && (isMade(c.getLhs(), s) || isMade(c.getRhs(), s))) readAtMembers(c, s);
    for (GatherOp g : all<GatherOp>())
      if (isa<SubsetType>(g.getIndex().getType()) && isMade(g.getX(), g.getIndex())) {
        OpBuilder b(g);
        g.replaceAllUsesWith(present(b, g, atMembers(b, g.getX(), g.getIndex()), g.getIndex()));
      }
  }

private:
  FuncOp f;
  const Dims &dims;
  llvm::DenseSet<StringAttr> news, kept; ///< dims of the positions that a call adds, and of all

  static SubsetType subsetOf(Value v) { return cast<SubsetType>(v.getType()); }
  template <class Op> SmallVector<Op> all() {
    SmallVector<Op> list;
    f.walk([&](Op op) { list.push_back(op); });
    return list;
  }
  BodyBuilder bodyAt(OpBuilder &b, Operation *like) {
    BodyBuilder body(b, dims, like->getLoc());
    body.site = siteOf(like), body.role = Role::forward;
    return body;
  }
  using List = SmallVector<StringAttr>;
  static List together(ir::TensorType a, ir::TensorType b) {
    List list(a.getDims());
    for (StringAttr d : b.getDims())
      if (!a.has(d)) list.push_back(d);
    return list;
  }
  static List without(List list, ArrayRef<StringAttr> gone) {
    llvm::erase_if(list, [&](StringAttr d) { return llvm::is_contained(gone, d); });
    return list;
  }
  /// Multiplications, where one position is new and many are kept.
  double points(const List &list) {
    constexpr int64_t many = 4096;
    Size n(1);
    for (StringAttr d : list) n = n * dims.value(d.getValue());
    return n.eval([&](const std::string &name) -> std::optional<int64_t> { return news.count(StringAttr::get(f.getContext(), name)) ? 1 : many; })->value();
  }
  /// Numbers with scales or whole numbers, which stand for just this product.
  bool inScales(StringRef place) {
    for (SiteOp row : f->getParentOfType<ModuleOp>().getOps<SiteOp>()) {
      if (!row.getPath().empty() && !within(place, row.getPath())) continue;
      auto scaled = [](Attribute facet) {
        auto format = dyn_cast<FormatAttr>(facet);
        auto out = format ? formatNamed(stringifySiteFormat(format.getOut())) : std::nullopt;
        return isa<QatAttr>(facet) || (format && (format.coarse() || (out && bytesOf(*out) == 1)));
      };
      if (llvm::any_of(row.getFacets(), scaled) || llvm::any_of(row.getConsumed().getAsRange<ConsumedAttr>(), [&](ConsumedAttr c) { return scaled(c.getFacet()); })) return true;
    }
    return false;
  }

  /// `x . (c w)` as `(x w) . c` or `(x . c) w`, whichever multiplies least.
  bool absorb(ContractOp outer, unsigned side) {
    auto inner = outer->getOperand(side).getDefiningOp<ContractOp>();
    if (!inner || !inner.getSubsets().empty() || !inner->hasOneUse() || outer.getSubsets().size() > 1 || outer.getRoster()) return false;
    auto looksBack = [&](Value v) { return llvm::any_of(tensorOf(v).getDims(), [&](StringAttr d) { return kept.count(d); }); };
    if (looksBack(inner.getLhs()) == looksBack(inner.getRhs()) || inScales(inner.getSite()) || inScales(outer.getSite())) return false;
    Value x = outer->getOperand(1 - side), c = looksBack(inner.getLhs()) ? inner.getLhs() : inner.getRhs(), w = looksBack(inner.getLhs()) ? inner.getRhs() : inner.getLhs();
    const ir::TensorType xs = tensorOf(x), ws = tensorOf(w), result = tensorOf(outer.getResult()), cs = readThrough(tensorOf(c), outer.getSubsets(), dims);
    const List summed = strings(inner.getOver()), over = strings(outer.getOver());
    List ofW, ofC; // what the outer product sums
    for (StringAttr d : over) {
      if (!xs.has(d) || ws.has(d) == cs.has(d)) return false;
      (ws.has(d) ? ofW : ofC).push_back(d);
    }
    if (llvm::any_of(summed, [&](StringAttr d) { return xs.has(d) || result.has(d) || !cs.has(d) || !ws.has(d); })) return false;
    auto tensor = [&](const List &list) { return dims.tensor(f.getContext(), list, result.getElement()); };
    const ir::TensorType first = tensor(without(together(xs, ws), ofW)), second = tensor(without(together(xs, cs), ofC));
    const List members = together(readThrough(tensorOf(inner.getResult()), outer.getSubsets(), dims), xs);
    const double now = points(together(cs, ws)) + points(members); // as it would be done of the members alone
    const double ahead = ofW.empty() ? INFINITY : points(together(xs, ws)) + points(together(first, cs)), behind = ofC.empty() ? INFINITY : points(together(xs, cs)) + points(together(second, ws));
    if (now <= std::min(ahead, behind)) return false;
    OpBuilder b(outer);
    BodyBuilder near = bodyAt(b, inner), far = bodyAt(b, outer);
    outer.replaceAllUsesWith(ahead <= behind ? far.contract(near.contract(x, w, {}, first), c, outer.getSubsets(), result) : near.contract(far.contract(x, c, outer.getSubsets(), second), w, {}, result));
    outer.erase(), inner.erase();
    return true;
  }

  /// Is it computed of all positions, for nothing but members?
  bool isMade(Value v, Value subset) {
    auto reads = [&](OpOperand &use) {
      auto c = dyn_cast<ContractOp>(use.getOwner());
      auto g = dyn_cast<GatherOp>(use.getOwner());
      return (c && c.getSubsets().size() == 1 && subsetOf(c.getSubsets()[0]).getOf() == subsetOf(subset).getOf()) || (g && use.getOperandNumber() == 0 && isa<SubsetType>(g.getIndex().getType()));
    };
    return kept.count(subsetOf(subset).getOf()) && passes(v, subset) && llvm::all_of(v.getUses(), reads);
  }
  /// Does an op make a point of its result of that point alone?
  bool passes(Value v, Value subset) {
    const StringAttr of = subsetOf(subset).getOf();
    if (!isa<ir::TensorType>(v.getType()) || !tensorOf(v).has(of)) return false;
    if (auto c = v.getDefiningOp<ContractOp>()) return c.getSubsets().empty() && tensorOf(c.getLhs()).has(of) != tensorOf(c.getRhs()).has(of);
    return v.getDefiningOp<MapOp>() != nullptr;
  }
  /// The value at the members, made of what is gathered as early as can be.
  Value atMembers(OpBuilder &b, Value v, Value subset) {
    const StringAttr of = subsetOf(subset).getOf();
    if (!tensorOf(v).has(of)) return v;
    const ir::TensorType type = readThrough(tensorOf(v), subset, dims);
    Operation *op = v.getDefiningOp();
    if (!passes(v, subset) || !v.hasOneUse()) return GatherOp::create(b, v.getLoc(), type, v, subset, of, b.getStringAttr(op ? siteOf(op) : ""), RoleAttr::get(b.getContext(), Role::forward));
    BodyBuilder body = bodyAt(b, op);
    if (auto m = dyn_cast<MapOp>(op)) {
      SmallVector<Value> args;
      for (Value a : m.getArgs()) args.push_back(atMembers(b, a, subset));
      return body.map(m.getFn(), args);
    }
    auto c = cast<ContractOp>(op);
    Value operands[] = {c.getLhs(), c.getRhs()};
    for (Value &o : operands) o = atMembers(b, o, subset);
    return body.contract(operands[0], operands[1], {}, type);
  }
  /// 0 where there is no member, whatever maps make of 0.
  Value present(OpBuilder &b, Operation *like, Value v, Value subset) {
    auto s = subsetOf(subset);
    SmallVector<StringAttr> list(s.getPer());
    list.push_back(s.getMembers());
    BodyBuilder body = bodyAt(b, like);
    Value there = PresentOp::create(b, like->getLoc(), dims.tensor(f.getContext(), list, BoolType::get(f.getContext())), subset, b.getStringAttr(siteOf(like)), RoleAttr::get(f.getContext(), Role::forward));
    return body.select(there, v, body.constant(0));
  }
  void readAtMembers(ContractOp c, Value subset) {
    OpBuilder b(c);
    Value operands[] = {c.getLhs(), c.getRhs()};
    for (Value &o : operands)
      if (tensorOf(o).has(subsetOf(subset).getOf())) o = present(b, c, atMembers(b, o, subset), subset);
    c.replaceAllUsesWith(bodyAt(b, c).contract(operands[0], operands[1], {}, tensorOf(c.getResult())));
    c.erase();
  }
};

struct AbsorbProductsPass : impl::AbsorbProductsPassBase<AbsorbProductsPass> {
  void runOnOperation() override {
    const Dims dims(getOperation());
    for (FuncOp f : getOperation().getOps<FuncOp>()) Absorber(f, dims).run();
  }
};
} // namespace
} // namespace fil::passes
