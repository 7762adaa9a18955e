// SPDX-License-Identifier: Apache-2.0
// Entries, variables and caches of a walked program.
#include "codegen/reference/reference.h"
#include "codegen/variable_info.h"
#include "codegen/reference/walker.h"
#include <cstring>

using namespace mlir;
using namespace fil::ir;
namespace fil {
namespace {

/// Elements reordered from axes `from` to axes `to` (the same names).
std::vector<double> reorder(const std::vector<double> &x, ArrayRef<StringAttr> from, const std::vector<int64_t> &sizes, ArrayRef<StringAttr> to) {
  if (from == to) return x;
  std::vector<int64_t> step(to.size()), n(to.size()), at(to.size(), 0);
  for (auto [i, d] : llvm::enumerate(to)) {
    size_t p = size_t(llvm::find(from, d) - from.begin());
    n[i] = sizes[p], step[i] = 1;
    for (size_t k = p + 1; k < sizes.size(); ++k) step[i] *= sizes[k];
  }
  std::vector<double> y(x.size());
  for (size_t i = 0; i < y.size(); ++i) {
    int64_t s = 0;
    for (size_t d = 0; d < n.size(); ++d) s += at[d] * step[d];
    y[i] = x[size_t(s)];
    for (size_t d = n.size(); d-- > 0;) {
      if (++at[d] < n[d]) break;
      at[d] = 0;
    }
  }
  return y;
}
Array toArray(const std::vector<double> &x, DType dtype, std::vector<int64_t> shape) {
  std::byte *fill;
  Array a = Array::make(dtype, std::move(shape), fill);
  for (size_t i = 0; i < x.size(); ++i) put(dtype, fill, int64_t(i), x[i]);
  return a;
}
std::vector<double> fromArray(const Array &a) {
  std::vector<double> x(size_t(a.elements()));
  for (size_t i = 0; i < x.size(); ++i) x[i] = a.at(int64_t(i));
  return x;
}

class ReferenceExecutable : public Executable {
public:
  ReferenceExecutable(std::shared_ptr<MLIRContext> context, OwningOpRef<ModuleOp> m) : context(std::move(context)), module(std::move(m)), dims(*module) {
    for (auto d : module->getOps<DimsOp>())
      for (NamedAttribute b : d.getBounds()) bounds[b.getName().str()] = Size::parse(cast<StringAttr>(b.getValue()).getValue())->constant()->num;
    for (FuncOp f : module->getOps<FuncOp>())
      if (!f.getEntry().empty()) entry(f);
    for (auto v : module->getOps<VariableOp>()) variable(v);
  }

  std::string target() const override { return "reference"; }
  using Executable::run;
  std::vector<Array> run(const Entry &e, const std::vector<Array> &inputs) override {
    FuncOp f = functions.at(e.name);
    Binding bound = bindInputs(e, inputs, bounds);
    const bool keeps = e.name == "prefill" || e.name == "decode";
    if (e.name == "prefill") length = 0;
    f.walk([&](CacheOp c) {
      int64_t added = valueOf(dims.value(c.getFrom()), bound, c.getFrom());
      bound[c.getTo().str()] = (keeps ? length : 0) + added;
    });
    if (e.name == "decode") growCaches(bound);
    Walker walker(dims, bound, storage);
    Walker::Values values;
    Block &block = f.getBody().front();
    for (auto [i, a] : llvm::enumerate(block.getArguments())) {
      auto order = llvm::to_vector(cast<ir::TensorType>(a.getType()).getDims());
      Cell c = makeCell(walker.sizes(order));
      *c.data = reorder(fromArray(inputs[i]), axes(f.getArgAttrs(), i, order), inputs[i].shape, order);
      values[a] = c;
    }
    walker.block(block, values);
    std::vector<Array> out;
    for (auto [i, v] : llvm::enumerate(cast<ReturnOp>(block.getTerminator()).getValues())) {
      auto order = llvm::to_vector(cast<ir::TensorType>(v.getType()).getDims());
      Cell c = values.lookup(v);
      auto written = axes(f.getResAttrs(), i, order);
      out.push_back(toArray(reorder(*c.data, order, c.sizes, written), e.outputs[i].dtype, walker.sizes(written)));
    }
    for (auto &[name, cell] : walker.written) storage[name] = rounded(cell, name);
    if (keeps)
      f.walk([&](CacheOp c) { length = bound.at(c.getTo().str()); });
    return out;
  }

  Array get(size_t i) const override {
    const Row &r = rows[i];
    Cell c = storage.at(r.symbol);
    SmallVector<StringAttr> order = r.order;
    for (auto [d, turn] : r.turns) {
      c = slice(c, size_t(llvm::find(order, d) - order.begin()), turn);
      llvm::erase(order, d);
    }
    return toArray(reorder(*c.data, order, c.sizes, r.declared), variables_[i].dtype, variables_[i].shape);
  }
  void set(size_t i, const Array &value) override {
    const Row &r = rows[i];
    SmallVector<StringAttr> order = r.order, whole = order;
    for (auto [d, turn] : r.turns) llvm::erase(order, d);
    Cell part;
    part.data = std::make_shared<std::vector<double>>(reorder(fromArray(value), r.declared, value.shape, order));
    part.sizes = sizesOf(order);
    place(storage.at(r.symbol), whole, r.turns, 0, part);
  }
  void resetCaches(int64_t, int64_t) override {
    length = 0;
    for (auto v : module->getOps<VariableOp>())
      if (v.getKind() == VariableKind::cache) storage.erase(v.getSymName().str());
  }

private:
  struct Row {
    std::string symbol;
    SmallVector<StringAttr> order;                     ///< of the storage
    std::vector<std::pair<StringAttr, int64_t>> turns; ///< loop dim, position; outermost first
    SmallVector<StringAttr> declared;
  };
  std::shared_ptr<MLIRContext> context;
  OwningOpRef<ModuleOp> module;
  Dims dims;
  Binding bounds;
  std::map<std::string, FuncOp> functions;
  std::vector<Row> rows;
  std::map<std::string, Cell> storage;
  int64_t length = 0; ///< positions that the caches hold

  static SmallVector<StringAttr> axes(std::optional<ArrayAttr> attrs, size_t i, ArrayRef<StringAttr> otherwise) {
    if (attrs && i < attrs->size())
      if (auto a = cast<DictionaryAttr>((*attrs)[i]).getAs<ArrayAttr>("fil.axes")) return strings(a);
    return llvm::to_vector(otherwise);
  }
  std::vector<int64_t> sizesOf(ArrayRef<StringAttr> list) {
    std::vector<int64_t> all;
    for (StringAttr d : list) all.push_back(valueOf(dims.value(d.getValue()), bounds, d.getValue()));
    return all;
  }
  Port port(Type type, StringRef name, ArrayRef<StringAttr> order) {
    auto t = cast<ir::TensorType>(type);
    Port p;
    p.name = name.str(), p.dtype = dtypeOf(t);
    for (StringAttr d : order) p.dims.push_back(d.str()), p.sizes.push_back(dims.value(d.getValue()));
    if (auto x = dyn_cast<ir::IndexType>(t.getElement())) p.indexBound = dims.value(x.getDim().getValue());
    return p;
  }
  void entry(FuncOp f) {
    Entry e;
    e.name = f.getEntry().str();
    for (auto [i, t] : llvm::enumerate(f.getArgumentTypes())) e.inputs.push_back(port(t, f.inputName(i), axes(f.getArgAttrs(), i, cast<ir::TensorType>(t).getDims())));
    for (auto [i, t] : llvm::enumerate(f.getResultTypes())) e.outputs.push_back(port(t, f.outputName(i), axes(f.getResAttrs(), i, cast<ir::TensorType>(t).getDims())));
    functions[e.name] = f;
    entries_.push_back(std::move(e));
  }

  void variable(VariableOp v) {
    if (v.getKind() == VariableKind::cache) return;
    auto type = cast<ir::TensorType>(v.getType());
    storage[v.getSymName().str()] = makeCell(sizesOf(type.getDims()));
    auto loops = strings(v.getLoops());
    auto sizes = sizesOf(loops);
    std::vector<int64_t> turn(loops.size(), 0);
    for (bool more = true; more;) {
      Row r{v.getSymName().str(), llvm::to_vector(type.getDims()), {}, strings(v.getDeclared())};
      std::string name;
      StringRef rest = v.getSite();
      for (size_t i = 0; i < loops.size(); ++i) {
        r.turns.push_back({loops[i], turn[i]});
        const size_t dots = rest.find(".."), open = rest.rfind('[', dots), close = rest.find(']', dots);
        int64_t lo = 0;
        rest.slice(open + 1, dots).getAsInteger(10, lo);
        name += rest.take_front(open + 1).str() + std::to_string(lo + turn[i]) + "]";
        rest = rest.drop_front(close + 1);
      }
      VariableInfo info;
      info.name = name + rest.str();
      describe(v, info);
      if (info.neurons)
        for (auto [d, at] : llvm::zip(loops, turn)) info.neurons->turn.push_back({d.str(), at});
      info.dtype = dtypeOf(type);
      info.shape = sizesOf(r.declared);
      for (StringAttr d : r.declared) info.dims.push_back(d.str());
      variables_.push_back(info), rows.push_back(r);
      more = false;
      for (size_t i = loops.size(); i-- > 0 && !more;) {
        if (++turn[i] < sizes[i]) more = true;
        else turn[i] = 0;
      }
    }
  }

  void place(Cell &whole, SmallVector<StringAttr> order, const std::vector<std::pair<StringAttr, int64_t>> &turns, size_t from, const Cell &part) {
    if (from == turns.size()) {
      *whole.data = *part.data;
      return;
    }
    const size_t at = size_t(llvm::find(order, turns[from].first) - order.begin());
    Cell inner = slice(whole, at, turns[from].second);
    order.erase(order.begin() + ptrdiff_t(at));
    place(inner, order, turns, from + 1, part);
    unslice(whole, at, turns[from].second, inner);
  }

  /// Variables have the plan's format: what is kept is what a checkpoint holds.
  Cell rounded(Cell c, const std::string &name) {
    auto v = module->lookupSymbol<VariableOp>(name);
    if (!cast<ir::TensorType>(v.getType()).getElement().isF32()) return c;
    Cell r = makeCell(c.sizes);
    for (size_t i = 0; i < r.data->size(); ++i) r[i] = double(float(c[i]));
    return r;
  }

  /// The caches as the coming step sees them: with room for its positions at the end.
  void growCaches(const Binding &bound) {
    for (auto v : module->getOps<VariableOp>()) {
      if (v.getKind() != VariableKind::cache) continue;
      std::vector<int64_t> sizes;
      for (StringAttr d : cast<ir::TensorType>(v.getType()).getDims()) sizes.push_back(valueOf(dims.value(d.getValue()), bound, d.getValue()));
      Cell grown = makeCell(sizes);
      if (auto it = storage.find(v.getSymName().str()); it != storage.end()) {
        Cell &old = it->second;
        std::vector<int64_t> at(sizes.size(), 0);
        for (size_t i = 0; i < old.data->size(); ++i) {
          int64_t t = 0;
          for (size_t d = 0; d < sizes.size(); ++d) t = t * sizes[d] + at[d];
          grown[size_t(t)] = old[i];
          for (size_t d = sizes.size(); d-- > 0;) {
            if (++at[d] < old.sizes[d]) break;
            at[d] = 0;
          }
        }
      }
      storage[v.getSymName().str()] = grown;
    }
  }
};
} // namespace

std::unique_ptr<Executable> referenceExecutable(std::shared_ptr<MLIRContext> context, OwningOpRef<ModuleOp> module) {
  return std::make_unique<ReferenceExecutable>(std::move(context), std::move(module));
}
} // namespace fil
