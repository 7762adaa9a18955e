// SPDX-License-Identifier: Apache-2.0
// The module: dims, variables, entries, optimizer functions.
#include "lang/lower/lower.h"
#include "lang/lower/facets.h"
#include "mlir/IR/Verifier.h"
#include <cmath>

using namespace mlir;
namespace fil {
namespace {

void addDims(ModuleOp module, const sema::DimTable &table) {
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  SmallVector<Attribute> names, sizes;
  SmallVector<NamedAttribute> bounds;
  for (const sema::Dim *d : table.all()) {
    names.push_back(b.getStringAttr(d->name));
    sizes.push_back(b.getStringAttr(d->size == Size::symbol(d->name) ? "?" : d->size.str()));
    auto bound = table.bounds.find(d->name);
    if (bound != table.bounds.end()) bounds.push_back({b.getStringAttr(d->name), b.getStringAttr(bound->second.str())});
  }
  ir::DimsOp::create(b, UnknownLoc::get(module.getContext()), b.getArrayAttr(names), b.getArrayAttr(sizes), b.getDictionaryAttr(bounds));
}

ir::InitAttr initOf(MLIRContext *ctx, const ir::Dims &dims, const sema::Variable &v) {
  double b = v.init.b;
  if (v.init.fanIn) { // 1/sqrt of the left side's size; a family's dims come before it
    int left = 0;
    for (const sema::Site *s = v.site; s; s = s->parent) left += s->kind == sema::Site::Family;
    Size fan(1);
    for (int i = left; i < v.rightFrom; ++i) fan = fan * v.declared[i]->size;
    b = 1 / std::sqrt(dims.atMost(fan));
  }
  return ir::InitAttr::get(ctx, ir::InitKind(int(v.init.kind)), v.init.a, b);
}

/// The optimizer as two functions, `optim#map` and `optim#plain`, which differ in their weight decay: of one param's type, as they name no dim
/// (`p: [..]`); `fil-train-build-step` takes them for each param. True if they could be made.
bool addOptimizer(LowerContext &c, ModuleOp module, sema::Program &program, const OptimizerChoice &choice, const std::string &model) {
  sema::Type storage;
  for (const sema::Variable &v : program.variables) {
    if (v.model() != model || v.state || !storage.dims.empty()) continue;
    storage = v.type;
    for (const sema::Loop *l : v.loops) storage.dims.push_back(l->dim);
    llvm::sort(storage.dims, [](auto *a, auto *b) { return a->order < b->order; });
  }
  for (bool map : {true, false}) {
    std::vector<std::pair<std::string, sema::FunctionArg>> args;
    std::vector<std::string> outputs{"p"};
    for (const ast::Parameter &p : program.find(choice.function)->params) {
      const std::string &name = p.name.name;
      sema::FunctionArg arg;
      if (p.kind == ast::Parameter::Tensor) {
        bool scalar = name == "t" || name == "lr";
        if (!scalar) arg.type = storage;
        if (!scalar && name != "p" && name != "g") outputs.push_back(name);
      } else {
        auto it = choice.statics.find(name);
        if (it == choice.statics.end()) continue;
        arg.number = name == "wd" && !map ? 0 : it->second;
      }
      args.push_back({name, arg});
    }
    auto graph = program.elaborateFunction(choice.function, args);
    if (!graph) return false;
    lowerFunction(c, module, *graph, map ? "optim#map" : "optim#plain", "", outputs);
  }
  return true;
}
} // namespace

OwningOpRef<ModuleOp> lower(MLIRContext *ctx, sema::Program &program, Diagnostics &diags, const LowerOptions &o) {
  ctx->loadDialect<ir::FilDialect>();
  if (!composeFacets(ctx, o.facets, diags)) return {};
  std::vector<std::pair<const char *, std::unique_ptr<sema::Graph>>> graphs;
  if (o.loss)
    for (bool training : {true, false})
      graphs.push_back({training ? "train" : "eval", program.elaborateModel(o.model, o.loss, o.lossCall, training)});
  graphs.push_back({"run", program.elaborateModel(o.model, nullptr, nullptr, false)});
  for (auto &[entry, graph] : graphs)
    if (!graph) return {};

  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(ctx));
  addDims(*module, program.dims);
  LowerContext c(ctx, diags.sources);
  noteOrder(c, program.dims);
  ir::Dims dims(*module);
  OpBuilder b = OpBuilder::atBlockEnd(module->getBody());
  SmallVector<ir::VariableOp> variables;
  for (const sema::Variable &v : program.variables) {
    if (v.model() != o.model) continue;
    c.symbols[&v] = v.key();
    SmallVector<Attribute> loops;
    for (const sema::Loop *l : v.loops) loops.push_back(c.string(l->dim->name));
    variables.push_back(ir::VariableOp::create(b, c.location(v.span), c.string(v.key()), TypeAttr::get(c.stacked(c.type(v.type), v.loops)), c.string(v.site->path()),
                                               initOf(ctx, dims, v), c.names(v.declared), b.getArrayAttr(loops),
                                               ir::VariableKindAttr::get(ctx, v.state ? ir::VariableKind::state : ir::VariableKind::param), v.state ? UnitAttr() : b.getUnitAttr(),
                                               FloatAttr(), v.rightFrom >= 0 ? b.getI64IntegerAttr(v.rightFrom) : IntegerAttr(), FlatSymbolRefAttr(), FlatSymbolRefAttr(), ir::TopologyAttr()));
  }
  if (!placeFacets(*module, c, o.facets, o.loraBudget, diags)) return {};
  if (o.adapters > 1) (*module)->setAttr("fil.adapters", b.getArrayAttr({b.getI64IntegerAttr(o.adapters), b.getStringAttr(o.batchDim)}));
  for (auto &[entry, graph] : graphs)
    lowerFunction(c, *module, *graph, entry, entry, StringRef(entry) == "run" ? ArrayRef<std::string>{"y"} : ArrayRef<std::string>{"y", "loss"});
  if (o.optimizer) {
    if (!addOptimizer(c, *module, program, *o.optimizer, o.model)) return {};
    for (ir::VariableOp v : variables)
      if (v.getTrained()) v.setOptimizer(v.getMap() ? "optim#map" : "optim#plain");
  }
  if (failed(verify(*module))) return {};
  return module;
}
} // namespace fil
