// SPDX-License-Identifier: Apache-2.0
// One pass over each entry in the order of its text. A result goes straight to where its only way out of the block ends (an output, a
// variable, the next turn's value, a slice of a stacked result) if nobody reads the old content behind it; else to the arena, and a copy
// at the end of the block brings it there.
#include "codegen/package/package.h"
#include "codegen/variable_info.h"
#include "codegen/cpu/image.h"
#include "codegen/package/places.h"
#include "codegen/package/work.h"
#include "ir/contraction.h"
#include "runtime/base/philox.h"
#include "runtime/base/status.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>

namespace fil {
using namespace ir;
using mlir::dyn_cast, mlir::cast, mlir::isa;
using mlir::Operation, mlir::StringAttr;

namespace {

double now() { return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Kernels by what they compute.
class Kernels {
public:
  std::vector<Kernel> rows;
  std::vector<KernelModule> modules;

  int add(EmittedKernel &k) {
    const std::string &bytes = irBytes(k.module);
    auto [it, fresh] = numbers.try_emplace(bytes, int(rows.size()));
    if (fresh) {
      rows.push_back({fmt::format("{:016x}", fnv1a64(bytes)), 0, 0, k.what});
      modules.push_back(std::move(k.module));
    }
    return it->second;
  }

private:
  std::map<std::string, int> numbers;
};

class Packager {
public:
  Packager(mlir::ModuleOp m, const Target &t, PackageText *text, PackageText &notes) : module(m), target(t), dims(m), layouts(m), text(text), notes(notes) {
    for (auto d : m.getOps<DimsOp>())
      for (auto b : d.getBounds()) out.bounds[b.getName().str()] = Size::parse(cast<StringAttr>(b.getValue()).getValue())->constant()->num;
    m.walk([&](Operation *op) {
      for (mlir::Type type : op->getResultTypes())
        if (auto tensor = dyn_cast<TensorType>(type)) f64 |= tensor.getElement().isF64();
    });
    for (auto v : m.getOps<VariableOp>()) f64 |= cast<TensorType>(v.getType()).getElement().isF64();
  }

  Manifest run(PackageTimes &times, const PackageOptions &options) {
    const double begin = now();
    for (auto v : module.getOps<VariableOp>()) variable(v);
    for (FuncOp f : module.getOps<FuncOp>())
      if (!f.getEntry().empty()) entry(f);
    times.emit = now() - begin;
    const double emitted = now();
    if (options.llvm || options.assembly)
      for (size_t i = 0; i < kernels.modules.size(); ++i) {
        std::string title = fmt::format("; kernel {}: {}\n", kernels.rows[i].key, kernels.rows[i].what);
        if (options.llvm) text->llvm += title + optimizedText(kernels.modules[i], target) + "\n";
        if (options.assembly) text->assembly += title + assemblyText(kernels.modules[i], target) + "\n";
      }
    if (!options.code) return std::move(out);
    Image image = compileImage(kernels.modules, target, options.store, options.build);
    for (size_t i = 0; i < kernels.rows.size(); ++i) kernels.rows[i].entry = image.entry[i], kernels.rows[i].codeBytes = image.size[i];
    times.compile = now() - emitted;
    times.kernels = int64_t(kernels.rows.size()), times.codeBytes = int64_t(image.code.size()), times.launches = launches;
    out.kernels = std::move(kernels.rows);
    out.code = std::move(image.code);
    out.target = target.isa + (dots ? "+bf16" : "");
    return std::move(out);
  }

private:
  mlir::ModuleOp module;
  const Target &target;
  Dims dims;
  Layouts layouts;
  PackageText *text;
  PackageText &notes;
  bool f64 = false, dots = false; ///< dots: a kernel is for a target that has them
  int64_t launches = 0;
  Manifest out;
  Kernels kernels;
  std::map<std::string, int> storages;
  std::map<std::string, int> derivedStorages; ///< by what they hold

  // ---- of the program at hand ----
  Program *program = nullptr;
  Buffers buffers;
  llvm::DenseMap<mlir::Value, Place> places;
  std::map<std::string, int> storageBuffers;
  int loops = 0;
  std::map<int, int64_t> turns; ///< of loops by number

  Size sizeOf(StringAttr d) { return dims.value(d.getValue()); }
  /// In a storage: bounded dims have the bound's size, a cache's running dim its capacity.
  Size slotOf(StringAttr d, bool cache) {
    return sizeOf(d).substitute([&](const std::string &s) -> std::optional<Size> {
      if (auto it = out.bounds.find(s); it != out.bounds.end()) return Size(it->second);
      if (cache && running.count(s)) return Size::symbol(s + "#cap");
      return std::nullopt;
    });
  }
  std::set<std::string> running;

  void variable(VariableOp v) {
    const bool cache = v.getKind() == VariableKind::cache;
    if (cache) module.walk([&](CacheOp c) { running.insert(c.getTo().str()); });
    auto type = cast<TensorType>(v.getType());
    Storage s;
    s.symbol = v.getSymName().str(), s.dtype = dtypeOf(type), s.kind = cache ? Storage::Cache : Storage::Variable;
    auto order = layouts.ofVariable(v);
    for (StringAttr d : order) s.dims.push_back(d.str()), s.extents.push_back(slotOf(d, cache));
    const int number = int(out.storages.size());
    storages[s.symbol] = number;
    out.storages.push_back(s);
    if (cache) return;
    auto loopDims = strings(v.getLoops()), declared = strings(v.getDeclared());
    auto axis = [&](StringAttr d) { return int(llvm::find(order, d) - order.begin()); };
    auto whole = [&](StringAttr d) { return slotOf(d, false).constant()->num; };
    std::vector<int64_t> turn(loopDims.size(), 0);
    for (bool more = true; more;) {
      VariableRow row;
      row.storage = number;
      llvm::StringRef rest = v.getSite();
      for (size_t i = 0; i < loopDims.size(); ++i) { // each `[lo..hi]` of the path is one of its turns
        row.turns.push_back({axis(loopDims[i]), turn[i]});
        const size_t dots = rest.find(".."), open = rest.rfind('[', dots), close = rest.find(']', dots);
        int64_t lo = 0;
        rest.slice(open + 1, dots).getAsInteger(10, lo);
        row.info.name += rest.take_front(open + 1).str() + std::to_string(lo + turn[i]) + "]";
        rest = rest.drop_front(close + 1);
      }
      row.info.name += rest.str();
      fil::describe(v, row.info);
      if (row.info.neurons)
        for (auto [d, at] : llvm::zip(loopDims, turn)) row.info.neurons->turn.push_back({d.str(), at});
      row.info.dtype = s.dtype;
      for (StringAttr d : declared) row.info.dims.push_back(d.str()), row.info.shape.push_back(whole(d)), row.axes.push_back(axis(d));
      out.variables.push_back(row);
      more = false;
      for (size_t i = loopDims.size(); i-- > 0 && !more;) {
        if (++turn[i] < whole(loopDims[i])) more = true;
        else turn[i] = 0;
      }
    }
  }

  // ---- an entry ----

  llvm::SmallVector<StringAttr> axesOf(std::optional<mlir::ArrayAttr> attrs, unsigned i, mlir::Type type) {
    if (attrs && i < attrs->size())
      if (auto a = cast<mlir::DictionaryAttr>((*attrs)[i]).getAs<mlir::ArrayAttr>("fil.axes")) return strings(a);
    return llvm::to_vector(cast<TensorType>(type).getDims());
  }
  Port port(mlir::Type type, llvm::StringRef name, llvm::ArrayRef<StringAttr> axes) {
    auto t = cast<TensorType>(type);
    Port p;
    p.name = name.str(), p.dtype = dtypeOf(t);
    for (StringAttr d : axes) p.dims.push_back(d.str()), p.sizes.push_back(sizeOf(d));
    if (auto x = dyn_cast<ir::IndexType>(t.getElement())) p.indexBound = sizeOf(x.getDim());
    return p;
  }
  void entry(FuncOp f) {
    Program made;
    program = &made;
    notes.programs.emplace_back();
    buffers = Buffers();
    places.clear(), storageBuffers.clear();
    loops = 0, turns.clear();
    made.entry.name = f.getEntry().str();
    auto size = [&](StringAttr d) { return sizeOf(d); };
    for (auto [i, a] : llvm::enumerate(f.getBody().front().getArguments())) {
      auto axes = axesOf(f.getArgAttrs(), unsigned(i), a.getType());
      made.entry.inputs.push_back(port(a.getType(), f.inputName(unsigned(i)), axes));
      Place p;
      p.layout = layoutOf(axes, size);
      p.view.buffer = buffers.add(Buffer::Input, int(i), elementsOf(p.layout, size) * Size(elementBytes(a.getType(), f64)), f.inputName(unsigned(i)).str());
      places[a] = p;
    }
    for (auto [i, t] : llvm::enumerate(f.getResultTypes())) made.entry.outputs.push_back(port(t, f.outputName(unsigned(i)), axesOf(f.getResAttrs(), unsigned(i), t)));
    std::set<std::pair<std::string, std::string>> lengths;
    f.walk([&](CacheOp c) { lengths.insert({c.getTo().str(), c.getFrom().str()}); });
    made.running.assign(lengths.begin(), lengths.end());
    std::set<int> writes;
    f.walk([&](WriteOp w) { writes.insert(storages.at(w.getVariable().str())); });
    for (int s : writes)
      if (out.storages[size_t(s)].kind == Storage::Variable) made.writes.push_back(s);
    block(f.getBody().front(), made.steps);
    made.buffers = std::move(buffers.all);
    notes.programs.back().buffers.resize(made.buffers.size());
    for (Buffer &b : made.buffers) b.first = std::max(b.first, 0), b.last = std::max(b.last, b.first);
    out.programs.push_back(std::move(made));
  }

  Place storage(llvm::StringRef symbol) {
    const int s = storages.at(symbol.str());
    auto [it, fresh] = storageBuffers.try_emplace(symbol.str(), 0);
    const bool cache = out.storages[size_t(s)].kind == Storage::Cache;
    auto v = module.lookupSymbol<VariableOp>(symbol);
    auto size = [&](StringAttr d) { return slotOf(d, cache); };
    Place p;
    p.layout = layoutOf(layouts.ofVariable(v), size);
    if (fresh) it->second = buffers.add(Buffer::Storage, s, elementsOf(p.layout, size) * Size(elementBytes(v.getType(), f64)), symbol.str());
    p.view.buffer = it->second;
    return p;
  }
  int inArena(Size bytes, std::string what, mlir::Value v) {
    const int buffer = buffers.add(Buffer::Arena, 0, bytes, std::move(what));
    auto &lines = notes.programs.back().buffers;
    lines.resize(size_t(buffer) + 1);
    lines.back() = originOf(v);
    return buffer;
  }
  Place arena(mlir::Value v, llvm::ArrayRef<StringAttr> order, std::string what) {
    auto size = [&](StringAttr d) { return sizeOf(d); };
    const mlir::Type type = v.getType();
    Place p;
    p.layout = layoutOf(order, size);
    p.view.buffer = inArena(elementsOf(p.layout, size) * Size(elementBytes(type, f64)), what, v);
    if (auto s = dyn_cast<SubsetType>(type)) {
      p.countLayout = layoutOf(countOrder(order, s), size);
      p.counts.buffer = inArena(elementsOf(p.countLayout, size) * Size(4), what + " (count)", v);
    }
    return p;
  }
  static llvm::SmallVector<StringAttr> countOrder(llvm::ArrayRef<StringAttr> order, SubsetType s) {
    llvm::SmallVector<StringAttr> per(order);
    llvm::erase(per, s.getMembers());
    return per;
  }
  /// One turn's part of a stacked place.
  Place slice(Place whole, StringAttr loopDim, int loop, mlir::Type type) {
    auto cut = [&](View &v, Layout &l, int64_t bytes) {
      auto i = llvm::find(l.order, loopDim) - l.order.begin();
      v.steps.push_back({loop, l.strides[size_t(i)] * Size(bytes)});
      l.order.erase(l.order.begin() + i), l.strides.erase(l.strides.begin() + i);
    };
    cut(whole.view, whole.layout, elementBytes(type, f64));
    if (isa<SubsetType>(type)) cut(whole.counts, whole.countLayout, 4);
    return whole;
  }
  void touch(const Place &p, mlir::Type type) {
    buffers.touch(p.view);
    if (isa<SubsetType>(type)) buffers.touch(p.counts);
  }
  void step(std::vector<Step> &to, Step s) {
    const auto *l = std::get_if<Launch>(&s.is);
    notes.programs.back().steps.push_back(l ? l->site + (l->site.empty() ? "" : ": ") + l->what : "");
    to.push_back(std::move(s));
    ++buffers.position;
  }
  void copy(const Place &to, const Place &from, mlir::Type type, std::vector<Step> &steps) {
    if (to.layout.order != from.layout.order) throw Error(Exit::Internal, "E0901", "a copy between two orders of dims");
    auto whole = [&](const View &a, const View &b, const Layout &l, int64_t bytes) {
      buffers.touch(a), buffers.touch(b);
      step(steps, {CopyStep{a, b, elementsOf(l, [&](StringAttr d) { return sizeOf(d); }) * Size(bytes)}});
    };
    whole(to.view, from.view, to.layout, elementBytes(type, f64));
    if (isa<SubsetType>(type)) whole(to.counts, from.counts, to.countLayout, 4);
  }

  // ---- a block: the function's, or a loop's ----

  /// Where the turn's results of a loop go.
  struct LoopContext {
    LayersOp op;
    int number;
    llvm::SmallVector<Place, 0> carried, stacked; ///< stacked: the turn's slices
  };
  struct Late { Place to; mlir::Value from; }; ///< copied at the block's end

  void block(mlir::Block &b, std::vector<Step> &steps, LoopContext *loop = nullptr) {
    llvm::SmallVector<Late, 0> late;
    for (Operation &op : b) {
      if (auto r = dyn_cast<ReadOp>(op)) places[r.getResult()] = storage(r.getVariable());
      else if (auto g = dyn_cast<GroupOp>(op)) group(g, steps, loop, late);
      else if (auto l = dyn_cast<LayersOp>(op)) layers(l, steps, loop);
      else if (!isa<WriteOp>(op) && !op.hasTrait<mlir::OpTrait::IsTerminator>()) throw Error(Exit::Internal, "E0901", "an op outside of the groups: " + op.getName().getStringRef().str());
    }
    if (loop)
      for (auto [i, v] : llvm::enumerate(loop->op.yielded().drop_front(loop->carried.size())))
        if (!isa_and_nonnull<GroupOp>(v.getDefiningOp()) && outerSlot(v, loop) != int(i)) throw Error(Exit::Internal, "E0901", "a loop saves what no group of it computes");
    for (Late &l : late) copy(l.to, places[l.from], l.from.getType(), steps);
  }

  void layers(LayersOp l, std::vector<Step> &steps, LoopContext *outer) {
    LoopContext context{l, loops++, {}, {}};
    turns[context.number] = int64_t(l.getHi() - l.getLo());
    llvm::SmallVector<Place, 0> results;
    const size_t carried = l.getCarried().size();
    for (auto [i, v] : llvm::enumerate(l.getCarried())) { // the initial value's own place: nobody else uses it
      const Place p = places[v]; // a copy: a new entry moves the others
      context.carried.push_back(p);
      places[l.getResults()[i]] = p;
    }
    for (mlir::Value r : l.stackedResults()) {
      Place whole;
      WriteOp w = r.hasOneUse() ? dyn_cast<WriteOp>(*r.getUsers().begin()) : WriteOp();
      const int slot = outerSlot(r, outer);
      if (w) whole = storage(w.getVariable()); // of a cache: turns write into it
      else if (slot >= 0) whole = outer->stacked[size_t(slot)]; // goes on into the outer loop's
      else whole = arena(r, stackedOrder(l, r), "stacked");
      places[r] = whole;
      results.push_back(whole);
    }
    for (mlir::Value v : l->getOperands()) touch(places[v], v.getType());
    buffers.beginLoop();
    LoopStep loop{context.number, int64_t(l.getHi() - l.getLo()), int64_t(l.getLo()), l.getReverse(), {}};
    for (auto [r, p] : llvm::zip(l.stackedResults(), results)) context.stacked.push_back(slice(p, l.getDimAttr(), context.number, r.getType()));
    for (auto [a, p] : llvm::zip(l.carriedArgs(), context.carried)) places[a] = p;
    for (auto [a, v] : llvm::zip(l.stackedArgs(), l.getStacked())) places[a] = slice(places[v], l.getDimAttr(), context.number, v.getType());
    for (auto [a, v] : llvm::zip(l.sharedArgs(), l.getShared())) places[a] = Place(places[v]);
    if (!l.turn().use_empty()) {
      places[l.turn()] = arena(l.turn(), {}, "turn");
      buffers.touch(places[l.turn()].view);
      step(loop.body, {TurnStep{places[l.turn()].view, context.number}});
    }
    block(l.block(), loop.body, &context);
    for (mlir::Value r : l.getResults()) touch(places[r], r.getType());
    for (size_t i = 0; i < carried; ++i) touch(context.carried[i], l.getCarried()[i].getType());
    buffers.endLoop();
    step(steps, {std::move(loop)});
  }
  /// Which of the outer loop's stacked results this one is a slice of, or -1.
  static int outerSlot(mlir::Value r, LoopContext *outer) {
    for (mlir::OpOperand &use : r.getUses())
      if (isa<YieldOp>(use.getOwner()) && use.getOperandNumber() >= outer->carried.size()) return int(use.getOperandNumber() - outer->carried.size());
    return -1;
  }
  /// The order of a stacked result: the loop's dim, then as the turn's value is written.
  llvm::SmallVector<StringAttr> stackedOrder(LayersOp l, mlir::Value r) {
    if (auto s = dyn_cast<SubsetType>(r.getType())) {
      llvm::SmallVector<StringAttr> order = layouts.standard(s.getPer());
      order.push_back(s.getMembers());
      return order;
    }
    mlir::Value inside = l.yielded()[cast<mlir::OpResult>(r).getResultNumber()];
    llvm::SmallVector<StringAttr> order;
    if (auto g = inside.getDefiningOp<GroupOp>()) order = layouts.natural(g, cast<mlir::OpResult>(inside).getResultNumber(), {});
    else order = layouts.standard(cast<TensorType>(inside.getType()).getDims());
    order.insert(order.begin(), l.getDimAttr());
    return order;
  }

  // ---- a group ----

  /// Nobody reads the old content of a place behind the group: of `readers` (values that stand there) the group alone may be
  /// among the users, and only at its own points.
  bool free(GroupOp g, unsigned result, llvm::ArrayRef<mlir::Value> readers) {
    for (mlir::Value v : readers)
      for (mlir::OpOperand &use : v.getUses()) {
        Operation *user = use.getOwner();
        if (user == g.getOperation()) {
          if (!readsOwnPoint(g, use.getOperandNumber(), result)) return false;
        } else if (!user->isBeforeInBlock(g)) return false;
      }
    return true;
  }
  Place destination(GroupOp g, unsigned i, llvm::ArrayRef<Place> inputs, LoopContext *loop, llvm::SmallVectorImpl<Late> &late) {
    mlir::Value r = g.getResult(i);
    auto size = [&](StringAttr d) { return sizeOf(d); };
    auto aside = [&](const Place &to) { // first to the arena, later to its place
      late.push_back({to, r});
      return arena(r, to.layout.order, "new value");
    };
    if (auto c = g.yielded()[i].getDefiningOp<CacheOp>(); c && c.getPast()) return inputs[cast<mlir::BlockArgument>(c.getPast()).getArgNumber()]; // an append
    for (mlir::OpOperand &use : r.getUses()) {
      Operation *user = use.getOwner();
      const unsigned n = use.getOperandNumber();
      if (auto ret = dyn_cast<ReturnOp>(user)) {
        auto f = cast<FuncOp>(ret->getParentOp());
        Place p;
        p.layout = layoutOf(axesOf(f.getResAttrs(), n, r.getType()), size);
        p.view.buffer = buffers.add(Buffer::Output, int(n), elementsOf(p.layout, size) * Size(elementBytes(r.getType(), f64)), f.outputName(n).str());
        return p;
      }
      if (auto w = dyn_cast<WriteOp>(user)) {
        llvm::SmallVector<mlir::Value> readers;
        for (auto read : g->getBlock()->getOps<ReadOp>())
          if (read.getVariable() == w.getVariable()) readers.push_back(read.getResult());
        Place p = storage(w.getVariable());
        return free(g, i, readers) ? p : aside(p);
      }
      if (isa<YieldOp>(user)) {
        if (n >= loop->carried.size()) return loop->stacked[n - loop->carried.size()];
        return free(g, i, {loop->op.carriedArgs()[n]}) ? loop->carried[n] : aside(loop->carried[n]);
      }
      if (auto l = dyn_cast<LayersOp>(user); l && n < l.getCarried().size()) return arena(r, layouts.standard(cast<TensorType>(r.getType()).getDims()), "carried");
    }
    return arena(r, layouts.natural(g, i, inputs), describe(g));
  }

  /// Memory that the entry does not change, nor its caller between two calls: of variables, and what is derived of them.
  bool isVariable(const Place &p) const {
    const Buffer &b = buffers.all[size_t(p.view.buffer)];
    return b.kind == Buffer::Storage && out.storages[size_t(b.index)].kind != Storage::Cache && packsOnce(program->entry.name) && !llvm::is_contained(program->writes, b.index);
  }
  /// Notes that a derived storage is made of what stands there; those variables' storages.
  void deriveFrom(Storage &s, const View &v) {
    const int of = buffers.all[size_t(v.buffer)].index;
    const Storage &source = out.storages[size_t(of)];
    for (int variable : source.kind == Storage::Derived ? source.from : std::vector<int>{of})
      if (!llvm::is_contained(s.from, variable)) s.from.push_back(variable);
    s.symbol += " " + source.symbol;
  }
  /// The storage of that key, its bytes known; a buffer of it in the program at hand.
  int derivedBuffer(const std::string &key, Storage s, const Size &bytes) {
    auto [it, fresh] = derivedStorages.try_emplace(key, int(out.storages.size()));
    const int number = it->second;
    if (fresh) {
      s.dims = {"element"}, s.extents = {bytes / Size(int64_t(byteSize(s.dtype)))};
      out.storages.push_back(s);
    }
    auto [buffer, isNew] = storageBuffers.try_emplace("#" + std::to_string(number), 0);
    if (isNew) buffer->second = buffers.add(Buffer::Storage, number, bytes, out.storages[size_t(number)].symbol);
    return buffer->second;
  }
  /// Does it follow from variables alone, and does nobody want its one result in a place of its own? Then it is computed when they have changed.
  bool followsFromVariables(GroupOp g, llvm::ArrayRef<Place> inputs, const LoopContext *loop) {
    if (loop || inputs.empty() || g.getNumResults() != 1 || !isa<TensorType>(g.getResult(0).getType()) || !llvm::all_of(inputs, [&](const Place &p) { return isVariable(p); })) return false;
    const auto type = cast<TensorType>(g.getResult(0).getType());
    if ((!type.isReal() && !type.format()) || !dims.elements(g.getResult(0).getType()).isConstant()) return false;
    return llvm::all_of(g.getResult(0).getUses(), [](mlir::OpOperand &use) {
      auto l = dyn_cast<LayersOp>(use.getOwner());
      return isa<GroupOp>(use.getOwner()) || (l && use.getOperandNumber() >= l.getCarried().size());
    });
  }
  /// Where the group's result stays; entries that compute the same of the same variables share it.
  Place derivedResult(GroupOp g, llvm::ArrayRef<Place> inputs) {
    auto size = [&](StringAttr d) { return sizeOf(d); };
    Place p;
    p.layout = layoutOf(layouts.natural(g, 0, inputs), size);
    Storage s;
    s.kind = Storage::Derived, s.dtype = dtypeOf(cast<TensorType>(g.getResult(0).getType())), s.symbol = "made";
    std::string key;
    llvm::raw_string_ostream text(key);
    g->print(text, mlir::OpPrintingFlags().useLocalScope()); // names within are its own, those of inputs are not told
    for (const Place &i : inputs) deriveFrom(s, i.view), text << "; " << buffers.all[size_t(i.view.buffer)].index;
    for (StringAttr d : p.layout.order) text << " " << d.getValue();
    p.view.buffer = derivedBuffer(key, s, elementsOf(p.layout, size) * Size(int64_t(byteSize(s.dtype))));
    return p;
  }
  /// Where packed variables stay, the turn's part; entries that pack the same ones in the same way share it.
  View derived(EmittedKernel &pack, Size bytes, llvm::ArrayRef<unsigned> packs, llvm::ArrayRef<Place> inputs) {
    Storage s;
    s.kind = Storage::Derived, s.dtype = f64 ? DType::F64 : DType::F32, s.symbol = "packed";
    std::string key = irBytes(pack.module);
    std::map<int, int64_t> around;
    for (unsigned i : packs) {
      const View &v = inputs[i].view;
      deriveFrom(s, v);
      key += fmt::format("; {} from {}", buffers.all[size_t(v.buffer)].index, v.offset.str());
      for (auto &[loop, bytes] : v.steps) key += fmt::format(", {} turns of {}", turns[loop], bytes.str()), around[loop] = turns[loop];
    }
    for (const Size &size : pack.sizes) key += "; " + size.str();
    View view;
    for (auto [loop, n] : llvm::reverse(around)) view.steps.push_back({loop, bytes}), bytes = bytes * Size(n);
    view.buffer = derivedBuffer(key, std::move(s), bytes);
    return view;
  }
  void group(GroupOp g, std::vector<Step> &to, LoopContext *loop, llvm::SmallVectorImpl<Late> &late) {
    llvm::SmallVector<Place, 0> inputs;
    for (mlir::Value v : g.getInputs()) inputs.push_back(places[v]);
    if (!followsFromVariables(g, inputs, loop)) {
      llvm::SmallVector<Place, 0> results;
      for (unsigned i = 0; i < g.getNumResults(); ++i) places[g.getResult(i)] = results.emplace_back(destination(g, i, inputs, loop, late));
      emit(g, to, inputs, results, false);
      return;
    }
    const Place p = derivedResult(g, inputs);
    places[g.getResult(0)] = p;
    std::vector<Step> steps;
    emit(g, steps, inputs, {p}, true);
    step(to, {OnceStep{buffers.all[size_t(p.view.buffer)].index, std::move(steps)}});
  }
  /// `once`: nothing of it is packed for later calls.
  void emit(GroupOp g, std::vector<Step> &steps, llvm::ArrayRef<Place> inputs, llvm::ArrayRef<Place> results, bool once) {
    GroupPlacement at;
    for (const Place &p : inputs) {
      const bool shared = llvm::any_of(results, [&](const Place &r) { return r.view.buffer == p.view.buffer; });
      at.inputs.push_back({p.layout, p.countLayout, !shared, !once && isVariable(p)});
    }
    for (const Place &p : results) at.results.push_back({p.layout, p.countLayout});
    notes.launches.emplace_back();
    const GroupWork work = workOf(g, dims, f64);
    const auto all = llvm::to_vector(llvm::seq<unsigned>(0, unsigned(inputs.size())));
    // `reads`: the others get the place of `packed`, which is there in any case.
    auto launch = [&](std::vector<Step> &to, EmittedKernel k, llvm::ArrayRef<unsigned> reads, bool writes, std::optional<View> packed, const GroupWork &w) {
      Launch l;
      l.flops = w.flops, l.bytes = w.bytes;
      l.site = siteOf(g), l.what = describe(g) + (k.what.empty() ? "" : " (" + k.what + ")") + (once ? " (once)" : "");
      k.what = l.what;
      auto use = [&](const Place &p, mlir::Type type) {
        l.views.push_back(p.view);
        if (isa<SubsetType>(type)) l.views.push_back(p.counts);
      };
      for (unsigned i = 0; i < inputs.size(); ++i)
        if (llvm::is_contained(reads, i)) use(inputs[i], g.getInputs()[i].getType());
        else l.views.insert(l.views.end(), isa<SubsetType>(g.getInputs()[i].getType()) ? 2 : 1, *packed);
      if (writes)
        for (auto [v, p] : llvm::zip(g.getResults(), results)) use(p, v.getType());
      if (packed) l.views.push_back(*packed);
      for (const View &v : l.views) buffers.touch(v);
      l.sizes = k.sizes, l.tiles = k.tiles, l.scratch = k.scratch, l.grain = k.grain;
      l.kernel = kernels.add(k);
      notes.launches.back().push_back({kernels.rows[size_t(l.kernel)].key, l.what, {}, program->entry.name, l.site});
      ++launches;
      if (text) text->kernels += fmt::format("// {} {}: kernel {} {}, tiles {}\n", program->entry.name, buffers.position, kernels.rows[size_t(l.kernel)].key, l.what, l.tiles.str());
      step(to, {std::move(l)});
    };
    if (g.strip()) launch(steps, emitStrips(target, dims, f64, g, at), all, true, {}, work);
    else if (!g.tiled()) launch(steps, emitRows(target, dims, f64, g, at), all, true, {}, work);
    else {
      // Training has many rows; who decodes has one most of the time.
      EmittedContraction c = emitContraction(target, dims, f64, g, at, program->entry.name == "decode" ? Rows::One : program->entry.name == "run" ? Rows::PerhapsFew : Rows::Many);
      dots |= stepsIn(c.descriptor.element) > 1;
      std::optional<View> packed;
      std::vector<Step> packing, many;
      if (c.pack) {
        packed = c.once ? derived(*c.pack, c.packedBytes, c.packs, inputs) : View{inArena(c.packedBytes, "packed operand", g.tiled().getResult()), {}, {}};
        launch(packing, std::move(*c.pack), c.packs, false, packed, {{}, Size(2) * c.packedBytes});
        if (c.once) step(c.fewPack ? many : steps, {OnceStep{buffers.all[size_t(packed->buffer)].index, std::move(packing)}});
        else many = std::move(packing);
      }
      if (c.product) launch(many, std::move(*c.product), all, true, packed, work), notes.launches.back().back().contraction = c.descriptor;
      if (c.few && c.product) {
        ChoiceStep choice{c.rows, c.limit, {}, std::move(many)};
        std::optional<View> read = c.once ? packed : std::nullopt;
        if (c.fewPack) {
          read = derived(*c.fewPack, c.fewBytes, c.packs, inputs);
          std::vector<Step> packing;
          launch(packing, std::move(*c.fewPack), c.packs, false, read, {{}, Size(2) * c.fewBytes});
          step(choice.upTo, {OnceStep{buffers.all[size_t(read->buffer)].index, std::move(packing)}});
        }
        launch(choice.upTo, std::move(*c.few), all, true, read, work);
        step(steps, {std::move(choice)});
      } else if (c.few) launch(steps, std::move(*c.few), all, true, {}, work);
      else std::ranges::move(many, std::back_inserter(steps));
    }
    if (text) {
      llvm::raw_string_ostream s(text->kernels);
      g->print(s);
      s << "\n";
    }
  }

  static std::string siteOf(GroupOp g) {
    if (ContractOp c = g.tiled(); c && !c.getSite().empty()) return c.getSite().str();
    for (Operation &op : g.block())
      if (auto site = op.getInherentAttr("site"); site && *site && GroupOp::kept(&op))
        if (auto s = cast<StringAttr>(*site); !s.empty()) return s.str();
    return "";
  }
  /// `rows [B,T]: reduce sum, map mul`.
  static std::string describe(GroupOp g) {
    std::string s = "rows [";
    for (auto [i, d] : llvm::enumerate(strings(g.getRows()))) s += (i ? "," : "") + d.str();
    s += "]:";
    int n = 0;
    for (Operation &op : g.block()) {
      if (!GroupOp::kept(&op)) continue;
      if (n++ == 6) return s + ", ..";
      s += (n > 1 ? ", " : " ") + op.getName().stripDialect().str();
      if (auto m = dyn_cast<MapOp>(op)) s += " " + stringifyMapFn(m.getFn()).str();
      if (auto r = dyn_cast<ReduceOp>(op)) s += " " + stringifyReduceFn(r.getFn()).str();
    }
    return s;
  }
};

} // namespace

Manifest package(mlir::ModuleOp module, const Target &target, const PackageOptions &options, PackageText &text, PackageTimes &times) {
  return Packager(module, target, options.kernels || options.llvm || options.assembly ? &text : nullptr, text).run(times, options);
}

} // namespace fil
