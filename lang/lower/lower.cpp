// SPDX-License-Identifier: Apache-2.0
// The module: dims, variables, entries, optimizer functions.
#include "lang/lower/lower.h"
#include "lang/lower/body.h"
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

/// The size as a number; a symbolic dim counts with its bound.
double valueOf(const sema::DimTable &table, const ir::Dims &dims, const Size &s) {
  Size bounded = dims.value(s).substitute([&](const std::string &name) -> std::optional<Size> {
    auto it = table.bounds.find(name);
    return it == table.bounds.end() ? std::nullopt : std::optional<Size>(it->second);
  });
  auto v = bounded.constant();
  assert(v && "a param has no unbounded symbolic dim");
  return v->value();
}

ir::InitAttr initOf(MLIRContext *ctx, const sema::DimTable &table, const ir::Dims &dims, const sema::Variable &v) {
  double b = v.init.b;
  if (v.init.fanIn) { // 1/sqrt of the left side's size; a family's dims come before it
    int left = 0;
    for (const sema::Site *s = v.site; s; s = s->parent) left += s->kind == sema::Site::Family;
    Size fan(1);
    for (int i = left; i < v.rightFrom; ++i) fan = fan * v.declared[i]->size;
    b = 1 / std::sqrt(valueOf(table, dims, fan));
  }
  return ir::InitAttr::get(ctx, ir::InitKind(int(v.init.kind)), v.init.a, b);
}

/// Optimizer functions, one for each type of storage and each choice of statics.
class Optimizers {
public:
  Optimizers(LowerContext &c, ModuleOp module, sema::Program &program, const OptimizerChoice &choice)
      : c(c), module(module), program(program), choice(choice), function(program.find(choice.function)) {}

  FlatSymbolRefAttr of(const sema::Variable &v) {
    sema::Type storage = v.type;
    for (const sema::Loop *l : v.loops) storage.dims.push_back(l->dim);
    llvm::sort(storage.dims, [](auto *a, auto *b) { return a->order < b->order; });
    bool map = v.rightFrom >= 0;
    std::string &symbol = made[storage.str() + (map ? " map" : "")];
    if (symbol.empty()) symbol = make(storage, map);
    return symbol.empty() ? FlatSymbolRefAttr() : FlatSymbolRefAttr::get(c.ctx, symbol);
  }

private:
  LowerContext &c;
  ModuleOp module;
  sema::Program &program;
  const OptimizerChoice &choice;
  const ast::Function *function;
  std::map<std::string, std::string> made;

  std::string make(const sema::Type &storage, bool map) {
    std::vector<std::pair<std::string, sema::FunctionArg>> args;
    std::vector<std::string> outputs{"p"};
    for (const ast::Parameter &p : function->params) {
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
    if (!graph) return "";
    std::string symbol = "optim#" + std::to_string(made.size() - 1);
    lowerFunction(c, module, *graph, symbol, "", outputs);
    return symbol;
  }
};
} // namespace

OwningOpRef<ModuleOp> lower(MLIRContext *ctx, sema::Program &program, const SourceManager &sources, const LowerOptions &o) {
  ctx->loadDialect<ir::FilDialect>();
  std::vector<std::pair<const char *, std::unique_ptr<sema::Graph>>> graphs;
  if (o.loss)
    for (bool training : {true, false})
      graphs.push_back({training ? "train" : "eval", program.elaborateModel(o.model, o.loss, o.lossCall, training)});
  graphs.push_back({"run", program.elaborateModel(o.model, nullptr, nullptr, false)});
  for (auto &[entry, graph] : graphs)
    if (!graph) return {};

  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(ctx));
  addDims(*module, program.dims);
  LowerContext c(ctx, sources);
  noteOrder(c, program.dims);
  ir::Dims dims(*module);
  OpBuilder b = OpBuilder::atBlockEnd(module->getBody());
  std::optional<Optimizers> optimizers;
  if (o.optimizer) optimizers.emplace(c, *module, program, *o.optimizer);
  SmallVector<std::pair<ir::VariableOp, const sema::Variable *>> variables;
  for (const sema::Variable &v : program.variables) {
    if (v.model() != o.model) continue;
    c.symbols[&v] = v.key();
    SmallVector<Attribute> loops;
    for (const sema::Loop *l : v.loops) loops.push_back(c.string(l->dim->name));
    variables.push_back({ir::VariableOp::create(b, c.location(v.span), c.string(v.key()), TypeAttr::get(c.stacked(c.type(v.type), v.loops)), c.string(v.site->path()),
                                               initOf(ctx, program.dims, dims, v), c.names(v.declared), b.getArrayAttr(loops),
                                               ir::VariableKindAttr::get(ctx, v.state ? ir::VariableKind::state : ir::VariableKind::param), v.state ? UnitAttr() : b.getUnitAttr(),
                                               v.rightFrom >= 0 ? b.getUnitAttr() : UnitAttr(), FlatSymbolRefAttr()), &v});
  }
  for (auto &[entry, graph] : graphs)
    lowerFunction(c, *module, *graph, entry, entry, StringRef(entry) == "run" ? ArrayRef<std::string>{"y"} : ArrayRef<std::string>{"y", "loss"});
  if (optimizers)
    for (auto [op, v] : variables)
      if (!v->state) {
        FlatSymbolRefAttr f = optimizers->of(*v);
        if (!f) return {};
        op.setOptimizerAttr(f);
      }
  if (failed(verify(*module))) return {};
  return module;
}
} // namespace fil
