// SPDX-License-Identifier: Apache-2.0
#include "ir/contraction.h"
#include "passes/sparsity/passes.h"
#include <cmath>

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_LIMITMEMBERSPASS
#include "passes/sparsity/passes.h.inc"
namespace {

struct LimitMembersPass : impl::LimitMembersPassBase<LimitMembersPass> {
  void runOnOperation() override {
    const SubsetLines lines(getOperation());
    SmallVector<std::pair<TopKOp, double>> all;
    getOperation().walk([&](TopKOp k) {
      auto grouped = dyn_cast_or_null<GroupedAttr>(lines.of(k.getResult()).facet);
      if (grouped && !grouped.getCapacity().isZero()) all.push_back({k, grouped.getCapacity().convertToDouble()});
    });
    if (all.empty()) return;
    Dims dims(getOperation());
    for (auto [k, capacity] : all) limit(k, capacity, dims);
  }

  void limit(TopKOp k, double capacity, Dims &dims) {
    auto chosen = cast<SubsetType>(k.getType());
    Size rows(1);
    for (StringAttr d : chosen.getPer()) rows = rows * dims.value(d.getValue());
    const Size each = dims.value(chosen.getMembers().getValue()), members = dims.value(chosen.getOf().getValue());
    constexpr int64_t parts = 1000000; // of a capacity
    const Size most = Size::ceil(Size(Rational(std::llround(capacity * parts), parts)) * rows * each / members);
    const auto share = (each / members).constant();
    if (chosen.getPer().empty() || (share && capacity * share->value() >= 1)) return;
    // The choice before it is limited has a name of its own.
    OpBuilder b(k);
    const auto before = SubsetType::get(&getContext(), chosen.getOf(), chosen.getPer(), b.getStringAttr(dims.add(getOperation(), chosen.getMembers().getValue().split('#').first, each.str())));
    BodyBuilder body(b, dims, k.getLoc());
    body.site = k.getSite(), body.role = k.getRole();
    auto first = TopKOp::create(b, k.getLoc(), before, k.getScore(), k.getMask(), k.getDimAttr(), k.getSiteAttr(), k.getRoleAttr());
    SmallVector<StringAttr> space(chosen.getPer()), points(chosen.getPer());
    space.push_back(chosen.getOf()), points.push_back(before.getMembers());
    auto tensor = [&](ArrayRef<StringAttr> list, Type element) { return dims.tensor(&getContext(), list, element); };
    Value present = PresentOp::create(b, k.getLoc(), tensor(points, BoolType::get(&getContext())), first, k.getSiteAttr(), k.getRoleAttr());
    Value one = body.constant(1), zero = body.constant(0);
    Value there = ScatterOp::create(b, k.getLoc(), tensor(space, RealType::get(&getContext())), body.select(present, one, zero), first, chosen.getOf(), k.getSiteAttr(), k.getRoleAttr());
    Value count = SizeOp::create(b, k.getLoc(), tensor({}, IntType::get(&getContext())), b.getStringAttr(most.str()), k.getSiteAttr(), k.getRoleAttr());
    // Equal scores: those of the lowest rows win; what was not chosen is no number.
    Value stays = body.highest(body.select(body.map(MapFn::gt, {there, zero}), one, body.constant(NAN)), count, chosen.getPer());
    k.getMaskMutable().assign(k.getMask() ? body.map(MapFn::logical_and, {k.getMask(), stays}) : stays);
  }
};
} // namespace
} // namespace fil::passes
