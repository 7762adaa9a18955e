// SPDX-License-Identifier: Apache-2.0
#include "tests/programs/modules.h"
#include "ir/layers.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include <algorithm>

using namespace mlir;
using namespace fil::ir;
namespace fil::programs {
namespace {

FuncOp trainEntry(ModuleOp module) {
  for (FuncOp f : module.getOps<FuncOp>())
    if (f.getEntry() == "train") return f;
  throw std::runtime_error("no entry train");
}
template <class Op> SmallVector<Op> all(FuncOp f) {
  SmallVector<Op> list;
  f.walk([&](Op op) { list.push_back(op); });
  return list;
}
/// The loops around an op, innermost first.
SmallVector<LayersOp> around(Operation *op) {
  SmallVector<LayersOp> loops;
  for (auto l = op->getParentOfType<LayersOp>(); l; l = l->getParentOfType<LayersOp>()) loops.push_back(l);
  return loops;
}
DictionaryAttr named(MLIRContext *ctx, StringRef name) {
  Builder b(ctx);
  return b.getDictionaryAttr(b.getNamedAttr("fil.name", b.getStringAttr(name)));
}
SmallVector<Attribute> attrs(std::optional<ArrayAttr> list) { return list ? SmallVector<Attribute>(list->begin(), list->end()) : SmallVector<Attribute>(); }

void addOutput(FuncOp f, Operation *at, Value value, const std::string &name) {
  Dims dims(f);
  for (LayersOp loop : around(at)) {
    LayersEdit edit(loop);
    edit.yield(value, stackedType(dims, value.getType(), loop.getDimAttr()));
    value = edit.finish().getResults().back();
  }
  auto end = cast<ReturnOp>(f.getBody().front().getTerminator());
  SmallVector<Value> values(end.getValues());
  values.push_back(value);
  end.getValuesMutable().assign(values);
  Builder b(f.getContext());
  auto names = attrs(f.getResAttrs());
  names.push_back(named(f.getContext(), name));
  f.setFunctionTypeAttr(TypeAttr::get(b.getFunctionType(f.getArgumentTypes(), end.getValues().getTypes())));
  f.setResAttrsAttr(b.getArrayAttr(names));
}
/// The variable that a value is a part of.
std::string variableOf(Value v) {
  while (auto a = dyn_cast<BlockArgument>(v)) v = cast<LayersOp>(a.getOwner()->getParentOp()).getOperand(a.getArgNumber() - 1);
  return v.getDefiningOp<ReadOp>().getVariable().str();
}
} // namespace

std::vector<ShownAux> showAux(ModuleOp module) {
  std::vector<ShownAux> shown;
  FuncOp f = trainEntry(module);
  for (AuxOp op : all<AuxOp>(f)) {
    ShownAux s{op.getRestricted(), {}, {}};
    for (Value t : op.getTrains()) s.trains.insert(variableOf(t));
    addOutput(f, op, op.getValue(), "aux#" + std::to_string(shown.size()));
    for (StringAttr d : cast<ir::TensorType>(f.getResultTypes().back()).getDims()) s.loops.push_back(d.str());
    shown.push_back(s);
    op.erase();
  }
  return shown;
}
int showStops(ModuleOp module) {
  FuncOp f = trainEntry(module);
  int n = 0;
  for (StopGradOp op : all<StopGradOp>(f)) addOutput(f, op, op.getResult(), "stop#" + std::to_string(n++));
  return n;
}
void freezeStops(ModuleOp module) {
  FuncOp f = trainEntry(module);
  Dims dims(module);
  int n = 0;
  for (StopGradOp op : all<StopGradOp>(f)) {
    SmallVector<LayersOp> loops = around(op);
    SmallVector<Type> types{op.getResult().getType()}; // at each depth, innermost first
    for (LayersOp l : loops) types.push_back(stackedType(dims, types.back(), l.getDimAttr()));
    Builder b(f.getContext());
    SmallVector<Type> in(f.getArgumentTypes());
    in.push_back(types.back());
    auto names = attrs(f.getArgAttrs());
    names.push_back(named(f.getContext(), "stop#" + std::to_string(n++)));
    f.setFunctionTypeAttr(TypeAttr::get(b.getFunctionType(in, f.getResultTypes())));
    f.setArgAttrsAttr(b.getArrayAttr(names));
    Value v = f.getBody().front().addArgument(types.back(), op.getLoc());
    for (size_t i = loops.size(); i-- > 0;) {
      LayersEdit edit(loops[i]);
      v = edit.stacked(v, types[i]);
      edit.finish();
      loops = around(op); // the edited loop is a new op
    }
    op.getResult().replaceAllUsesWith(v);
    op.erase();
  }
}

void sortByRole(ModuleOp module) {
  auto rank = [](Operation *op) {
    if (op->hasTrait<OpTrait::IsTerminator>()) return 9;
    const Role r = roleOf(op).value_or(Role::forward);
    return r == Role::saved ? int(Role::forward) : int(r);
  };
  auto sort = [&](Block &block) {
    std::vector<Operation *> ops;
    for (Operation &op : block) ops.push_back(&op);
    std::stable_sort(ops.begin(), ops.end(), [&](Operation *a, Operation *b) { return rank(a) < rank(b); });
    for (Operation *op : ops) op->moveBefore(&block, block.end());
  };
  for (FuncOp f : module.getOps<FuncOp>()) {
    sort(f.getBody().front());
    f.walk([&](LayersOp l) { sort(l.block()); });
  }
}

std::string textOf(ModuleOp module) {
  std::string s;
  llvm::raw_string_ostream out(s);
  module.print(out);
  return s;
}
std::string roundTrip(ModuleOp module) {
  const std::string text = textOf(module);
  auto again = parseSourceString<ModuleOp>(text, module.getContext());
  if (!again) return "the text does not parse:\n" + text;
  const std::string second = textOf(*again);
  if (second == text) return "";
  size_t at = 0;
  while (at < text.size() && at < second.size() && text[at] == second[at]) ++at;
  const size_t from = text.rfind('\n', at) + 1;
  return "written\n" + text.substr(from, 400) + "\nread and written again\n" + second.substr(std::min(from, second.size()), 400);
}

} // namespace fil::programs
