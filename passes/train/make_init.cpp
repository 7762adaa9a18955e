// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"
#include "passes/train/passes.h"
#include "ir/streams.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_MAKEINITPASS
#include "passes/train/passes.h.inc"
namespace {

struct MakeInitPass : impl::MakeInitPassBase<MakeInitPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    MLIRContext *ctx = &getContext();
    Dims dims(module);
    auto scalarInt = ir::TensorType::get(ctx, {}, IntType::get(ctx));
    OpBuilder b(ctx);
    auto name = b.getDictionaryAttr(b.getNamedAttr("fil.name", b.getStringAttr("seed")));
    b.setInsertionPointToEnd(module.getBody());
    auto f = FuncOp::create(b, module.getLoc(), b.getStringAttr("init"), TypeAttr::get(b.getFunctionType({scalarInt}, {})), b.getStringAttr("init"), b.getArrayAttr(name), b.getArrayAttr({}));
    Block *block = &f.getBody().emplaceBlock();
    Value seed = block->addArgument(scalarInt, f.getLoc());
    b.setInsertionPointToEnd(block);
    auto role = RoleAttr::get(ctx, Role::update);
    Value step = ConstantOp::create(b, f.getLoc(), scalarInt, b.getF64FloatAttr(0), b.getStringAttr(""), role);

    llvm::StringMap<Value> masks;
    for (auto v : module.getOps<VariableOp>()) {
      auto topology = v.getTopology();
      if (!topology) continue;
      BodyBuilder body(b, dims, v.getLoc());
      body.site = v.getSite(), body.role = Role::update;
      masks[v.getSymName()] = firstMask(body, v, *topology, seed, step);
    }
    for (auto v : module.getOps<VariableOp>())
      if (auto blocks = v->getAttrOfType<BlocksAttr>("fil.blocks")) firstPattern(b, dims, v, blocks, seed, step, masks);
    for (auto v : module.getOps<VariableOp>()) {
      if (v.getKind() == VariableKind::cache) continue;
      BodyBuilder body(b, dims, v.getLoc());
      body.site = v.getSite(), body.role = Role::update;
      auto type = cast<ir::TensorType>(v.getType());
      InitAttr init = v.getInit();
      Value value = masks.lookup(v.getSymName());
      if (value) {
      } else if (init.getKind() == InitKind::constant) value = body.fit(type.isReal() ? body.constant(init.a()) : body.whole(int64_t(init.a())), type);
      else {
        const bool normal = init.getKind() == InitKind::normal;
        value = randomFor(body, v, "", type, seed, step, normal);
        double scale = normal ? init.b() : init.b() - init.a();
        value = body.mul(value, body.constant(scale));
        if (init.a() != 0) value = body.add(value, body.constant(init.a()));
      }
      if (v.getMask()) value = MaskOp::create(b, v.getLoc(), type, value, masks.lookup(*v.getMask()), granulesOf(v), DenseI64ArrayAttr(), UnitAttr(), UnitAttr(), v.getSiteAttr(), role);
      makeWrite(b, v, value, Role::update);
    }
    ReturnOp::create(b, f.getLoc(), ValueRange());
  }

  /// What stands along a dim at random; granules of a weight that is there in each group, or along the whole dim.
  void firstPattern(OpBuilder &b, Dims &dims, VariableOp map, BlocksAttr blocks, Value seed, Value step, llvm::StringMap<Value> &first) {
    MLIRContext *ctx = &getContext();
    auto beside = [&](StringRef name) { return getOperation().lookupSymbol<VariableOp>((map.getSymName() + name).str()); };
    auto typeOf = [](VariableOp v) { return cast<ir::TensorType>(v.getType()); };
    BodyBuilder body(b, dims, map.getLoc());
    body.role = Role::update;
    if (blocks.grouped()) {
      VariableOp pattern = beside(".pattern");
      body.site = pattern.getSite();
      const auto group = b.getStringAttr(dims.named(getOperation(), ("#" + Twine(blocks.getOf())).str(), Size(blocks.getOf())));
      SmallVector<StringAttr> all(typeOf(pattern).getDims());
      all.push_back(group);
      Value order = randomFor(body, pattern, "", dims.tensor(ctx, all, RealType::get(ctx)), seed, step, false);
      Value there = body.highest(order, body.whole(blocks.getN()), {group}), bit = body.constant(0);
      for (int64_t i = blocks.getOf(); i-- > 0;) bit = body.select(body.map(MapFn::eq, {body.iota(group.getValue()), body.whole(i)}), body.constant(i == 7 ? -128 : int64_t(1) << i), bit);
      Value bits = body.reduce(ReduceFn::sum, body.select(there, bit, body.constant(0)), group);
      first[pattern.getSymName()] = QuantizeOp::create(b, body.loc, typeOf(pattern), bits, Value(), Value(), b.getArrayAttr({}), b.getDenseI64ArrayAttr({}), pattern.getSiteAttr(), RoleAttr::get(ctx, body.role));
      return;
    }
    VariableOp slots = beside(".slots"), places = beside(".places");
    body.site = slots.getSite();
    StringAttr count, slot; // of granules, and of those that are there
    for (StringAttr d : typeOf(slots).getDims())
      if (!typeOf(places).has(d)) count = d;
    for (StringAttr d : typeOf(places).getDims())
      if (!typeOf(slots).has(d)) slot = d;
    Value order = randomFor(body, slots, "", typeOf(slots).withElement(RealType::get(ctx)), seed, step, false);
    SmallVector<StringAttr> per;
    for (StringAttr d : typeOf(slots).getDims())
      if (d != count) per.push_back(d);
    const auto members = b.getStringAttr(dims.add(getOperation(), (slot.getValue() + "*").str(), dims.size(slot.getValue()).str(), slot.getValue())); // of a subset: a name of their own
    auto chosenType = [&](Type element) {
      SmallVector<StringAttr> all(per);
      all.push_back(members);
      return dims.tensor(ctx, all, element);
    };
    Value chosen = TopKOp::create(b, body.loc, SubsetType::get(ctx, count, per, members), order, Value(), count, slots.getSiteAttr(), RoleAttr::get(ctx, body.role));
    Value member = MemberOp::create(b, body.loc, chosenType(ir::IndexType::get(ctx, count)), chosen, places.getSiteAttr(), RoleAttr::get(ctx, body.role));
    auto whole = [&](Value v) { return MapOp::create(b, body.loc, cast<ir::TensorType>(v.getType()).withElement(IntType::get(ctx)), MapFnAttr::get(ctx, MapFn::cast), v, slots.getSiteAttr(), RoleAttr::get(ctx, body.role)); };
    first[places.getSymName()] = RenameOp::create(b, body.loc, typeOf(places), whole(member), members, slot, places.getSiteAttr(), RoleAttr::get(ctx, body.role));
    Value number = body.fit(body.add(body.map(MapFn::cast, {body.iota(members.getValue())}), body.constant(1)), cast<ir::TensorType>(chosenType(RealType::get(ctx))));
    Value slotsFromOne = ScatterOp::create(b, body.loc, typeOf(slots).withElement(RealType::get(ctx)), number, chosen, count, slots.getSiteAttr(), RoleAttr::get(ctx, body.role));
    first[slots.getSymName()] = whole(body.sub(slotsFromOne, body.constant(1)));
  }

  /// Random granules, as many as stay; all of what is pruned later.
  Value firstMask(BodyBuilder &body, VariableOp mask, TopologyAttr topology, Value seed, Value step) {
    MLIRContext *ctx = &getContext();
    OpBuilder &b = body.builder;
    auto type = cast<ir::TensorType>(mask.getType());
    auto site = mask.getSiteAttr();
    auto role = RoleAttr::get(ctx, body.role);
    if (topology.getMethod() == TopologyMethod::prune) {
      Value yes = ConstantOp::create(b, mask.getLoc(), ir::TensorType::get(ctx, {}, BoolType::get(ctx)), b.getF64FloatAttr(1), site, role);
      return body.fit(yes, type);
    }
    const auto over = maskDims(mask);
    Value count = body.whole(int64_t(topology.kept(granulesIn(mask, body.dims))));
    Value order = randomFor(body, mask, "", type.withElement(RealType::get(ctx)), seed, step, false);
    return body.highest(order, count, over);
  }
};
} // namespace
} // namespace fil::passes
