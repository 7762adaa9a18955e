// SPDX-License-Identifier: Apache-2.0
#include "passes/analysis/cost.h"

using namespace mlir;
namespace fil::passes {

ir::Cost cost(ir::FuncOp f) {
  const ir::Dims dims(f->getParentOfType<ModuleOp>());
  ir::Cost all;
  for (Operation &op : f.getBody().front())
    if (auto c = dyn_cast<ir::Costed>(op)) all = all + c.cost(dims);
  std::map<std::string, Size> renamed;
  f.walk([&](ir::CacheOp c) {
    if (!c.getPast()) renamed[c.getTo().str()] = dims.value(c.getFrom());
  });
  auto with = [&](const std::string &s) {
    auto it = renamed.find(s);
    return it == renamed.end() ? std::nullopt : std::optional(it->second);
  };
  return {all.flops.substitute(with), all.reals.substitute(with), all.bytes.substitute(with)};
}

Size turns(Operation *op) {
  Size n(1);
  for (auto l = op->getParentOfType<ir::LayersOp>(); l; l = l->getParentOfType<ir::LayersOp>()) n = n * Size(int64_t(l.getHi()) - int64_t(l.getLo()));
  return n;
}

ir::FuncOp entryPoint(ModuleOp m, llvm::StringRef name) {
  for (auto f : m.getOps<ir::FuncOp>())
    if (f.getEntry() == name) return f;
  return {};
}
} // namespace fil::passes
