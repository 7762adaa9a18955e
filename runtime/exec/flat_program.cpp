// SPDX-License-Identifier: Apache-2.0
// From a Program to numbers: laying flat once, binding for each set of sizes. Binding reuses the memory of the binding it replaces.
#include "runtime/exec/flat_program.h"
#include "runtime/base/status.h"
#include <algorithm>

namespace fil {
namespace {
[[noreturn]] void broken(const std::string &why) { throw Error(Exit::Internal, "E0702", "a compiled program contradicts itself: " + why); }
} // namespace

FlatProgram::FlatProgram(const Program &p, std::span<const Storage> storages, std::span<const fil_kernel> kernels)
    : writes(p.writes), storages_(storages), kernels_(kernels) {
  for (int s : writes)
    if (s < 0 || size_t(s) >= storages.size() || storages[size_t(s)].kind != Storage::Variable) broken(fmt::format("`{}` writes storage {}, which is no variable", p.entry.name, s));
  auto ports = [&](const std::vector<Port> &from, std::vector<FlatPort> &to) {
    for (const Port &port : from) {
      FlatPort f{port.dtype, {}, port.indexBound ? formulas.add(*port.indexBound) : -1};
      for (const Size &s : port.sizes) f.sizes.push_back(formulas.add(s));
      to.push_back(std::move(f));
    }
  };
  ports(p.entry.inputs, inputs_), ports(p.entry.outputs, outputs_);
  for (auto &[s, t] : p.running) formulas.symbol(s), formulas.symbol(t);
  for (const Buffer &b : p.buffers) {
    const size_t limit[] = {1, storages.size(), inputs_.size(), outputs_.size()};
    if (b.kind < Buffer::Arena || b.kind > Buffer::Output || b.index < 0 || size_t(b.index) >= limit[b.kind]) broken(fmt::format("buffer `{}` has no row {}", b.what, b.index));
    if (b.first > b.last) broken(fmt::format("buffer `{}` ends before it begins", b.what));
    bool grows = false;
    for (const std::string &symbol : b.bytes.symbols())
      for (auto &[s, t] : p.running) grows |= symbol == s;
    buffers_.push_back({b.kind, b.index, b.kind == Buffer::Arena ? formulas.add(b.bytes) : -1, b.first, b.last, grows, b.what});
  }
  grows_ = std::any_of(buffers_.begin(), buffers_.end(), [](auto &b) { return b.grows; });
  flatten(p.steps);
}

void FlatProgram::flatten(const std::vector<Step> &steps) {
  for (const Step &s : steps) std::visit([this](auto &step) { flattenOne(step); }, s.is);
}
FlatProgram::FlatOp &FlatProgram::add(FlatOp::Kind kind, std::initializer_list<const View *> views, const Size *count) {
  FlatOp op;
  op.kind = kind;
  op.firstView = uint32_t(views_.size());
  for (const View *v : views) view(*v);
  op.lastView = uint32_t(views_.size());
  if (count) op.count = formulas.add(*count);
  ops_.push_back(op);
  return ops_.back();
}
void FlatProgram::view(const View &v) {
  if (v.buffer < 0 || size_t(v.buffer) >= buffers_.size()) broken(fmt::format("there is no buffer {}", v.buffer));
  FlatView f{v.buffer, formulas.add(v.offset), uint32_t(viewSteps_.size()), 0};
  for (auto &[loop, bytes] : v.steps) {
    if (std::find(around_.begin(), around_.end(), loop) == around_.end()) broken(fmt::format("a view of `{}` follows loop {}, which is not around it", buffers_[size_t(v.buffer)].what, loop));
    viewSteps_.push_back({loop, formulas.add(bytes)});
  }
  f.lastStep = uint32_t(viewSteps_.size());
  views_.push_back(f);
}
void FlatProgram::flattenOne(const Launch &l) {
  if (l.kernel < 0 || size_t(l.kernel) >= kernels_.size()) broken(fmt::format("there is no kernel {}", l.kernel));
  FlatOp &op = add(FlatOp::Launch, {}, &l.tiles);
  for (const View &v : l.views) view(v);
  op.lastView = uint32_t(views_.size());
  op.kernel = kernels_[size_t(l.kernel)];
  op.firstSize = uint32_t(sizes_.size());
  for (const Size &s : l.sizes) sizes_.push_back(formulas.add(s));
  op.lastSize = uint32_t(sizes_.size());
  op.scratch = formulas.add(l.scratch);
  op.grain = std::max<int64_t>(l.grain, 1);
  op.row = int(rows.size());
  rows.push_back({l.site, l.what, l.kernel, l.flops, l.bytes});
}
void FlatProgram::flattenOne(const LoopStep &l) {
  if (l.turns < 0) broken(fmt::format("loop {} has {} turns", l.number, l.turns));
  if (std::find(around_.begin(), around_.end(), l.number) != around_.end()) broken(fmt::format("loop {} stands within itself", l.number));
  FlatOp &op = add(FlatOp::Begin, {}, nullptr);
  op.loop = l.number, op.turns = l.turns, op.lo = l.lo, op.reverse = l.reverse;
  around_.push_back(l.number);
  flatten(l.body);
  around_.pop_back();
  add(FlatOp::End, {}, nullptr);
}
void FlatProgram::flattenOne(const CopyStep &c) {
  add(FlatOp::Copy, {&c.to, &c.from}, &c.bytes).row = int(rows.size());
  rows.push_back({"", "copy to " + buffers_[size_t(c.to.buffer)].what, -1, {}, Size(2) * c.bytes});
}
void FlatProgram::flattenOne(const FillStep &f) {
  add(FlatOp::Fill, {&f.to}, &f.bytes).row = int(rows.size());
  rows.push_back({"", "zero " + buffers_[size_t(f.to.buffer)].what, -1, {}, f.bytes});
}
void FlatProgram::flattenOne(const TurnStep &t) {
  if (std::find(around_.begin(), around_.end(), t.loop) == around_.end()) broken(fmt::format("the turn of loop {} is asked for outside of it", t.loop));
  FlatOp &op = add(FlatOp::Turn, {&t.to}, nullptr);
  op.loop = t.loop, op.row = int(rows.size());
  rows.push_back({"", "turn", -1, {}, {}});
}
void FlatProgram::flattenOne(const ChoiceStep &c) {
  const size_t choice = ops_.size();
  add(FlatOp::Choice, {}, &c.of).limit = c.limit;
  flatten(c.upTo);
  const size_t jump = ops_.size();
  add(FlatOp::Jump, {}, nullptr);
  ops_[choice].jump = uint32_t(ops_.size());
  flatten(c.above);
  ops_[jump].jump = uint32_t(ops_.size());
}
void FlatProgram::flattenOne(const OnceStep &o) {
  if (o.storage < 0 || size_t(o.storage) >= storages_.size() || storages_[size_t(o.storage)].kind != Storage::Derived) broken(fmt::format("storage {} is not derived", o.storage));
  for (int s : storages_[size_t(o.storage)].from)
    if (std::find(writes.begin(), writes.end(), s) != writes.end()) broken(fmt::format("what is derived of `{}` in the program that changes it", storages_[size_t(s)].symbol));
  const size_t once = ops_.size();
  add(FlatOp::Once, {}, nullptr).loop = o.storage;
  flatten(o.body);
  ops_[once].jump = uint32_t(ops_.size());
}

// ---- binding ----

void FlatProgram::bindPorts(BoundProgram &b, const std::vector<int64_t> &symbols) {
  b.valid = false;
  b.symbols = symbols;
  formulas.bind(b.symbols);
  auto shapes = [&](const std::vector<FlatPort> &ports, std::vector<std::vector<int64_t>> &to) {
    to.resize(ports.size());
    for (size_t i = 0; i < ports.size(); ++i) {
      to[i].clear();
      for (int s : ports[i].sizes) to[i].push_back(formulas.size(s));
    }
  };
  shapes(inputs_, b.inputShapes), shapes(outputs_, b.outputShapes);
  b.indexBounds.clear();
  for (const FlatPort &p : inputs_) b.indexBounds.push_back(p.indexBound < 0 ? -1 : formulas.size(p.indexBound));
}

void FlatProgram::bindSteps(BoundProgram &b, std::span<const int64_t> storageBytes) {
  b.work.clear(), b.ops.clear(), b.loops.clear(), b.increments.clear(), b.places.clear(), b.sizes.clear(), b.lifetimes.clear(), b.derived.clear();
  b.bufferBytes.assign(buffers_.size(), -1);
  b.scratchBytes = 0;
  open_.clear(), checks_.clear(), once_.clear();
  for (size_t i = 0;; ++i) {
    for (; !once_.empty() && once_.back().first <= i; once_.pop_back()) b.ops[once_.back().second].jump = uint32_t(b.ops.size()) - 1;
    if (i >= ops_.size()) break;
    const FlatOp &op = ops_[i];
    if (op.kind == FlatOp::Once) once_.push_back({op.jump, b.ops.size()});
    if (op.kind == FlatOp::Jump) i = op.jump - 1;
    else if (op.kind != FlatOp::Choice) bindOp(b, op);
    else if (formulas.whole(op.count) > op.limit) i = op.jump - 1;
  }
  std::sort(b.increments.begin(), b.increments.end(), [](auto &x, auto &y) { return std::pair(x.loop, x.pointer) < std::pair(y.loop, y.pointer); });
  for (uint32_t i = 0; i < b.increments.size(); ++i) {
    auto &loop = b.loops[b.increments[i].loop];
    if (loop.last == 0) loop.first = i;
    loop.last = i + 1;
  }
  for (size_t i = 0; i < buffers_.size(); ++i) bindBuffer(b, i, storageBytes);
  for (const Check &c : checks_) {
    const auto &place = b.places[c.pointer];
    const size_t buffer = size_t(place.base);
    if (place.offset < 0 || c.reach > b.bufferBytes[buffer])
      broken(fmt::format("a view reaches byte {} of `{}`, which has {}", c.reach, buffers_[buffer].what, b.bufferBytes[buffer]));
  }
  placeArena(b);
  b.valid = true;
}

void FlatProgram::bindWork(BoundProgram &b) const {
  auto value = [&](const Size &s) {
    auto v = s.eval([&](const std::string &name) -> std::optional<int64_t> {
      for (size_t i = 0; i < b.symbols.size(); ++i)
        if (formulas.symbols()[i] == name && b.symbols[i] != Formulas::unbound) return b.symbols[i];
      return std::nullopt;
    });
    return v ? v->value() : 0;
  };
  double turns = 1;
  std::vector<double> outer;
  for (const BoundProgram::Op &op : b.ops) {
    if (op.kind == BoundProgram::Op::Begin) outer.push_back(turns), turns *= double(b.loops[op.loop].turns);
    else if (op.kind == BoundProgram::Op::End) turns = outer.back(), outer.pop_back();
    else if (op.kind == BoundProgram::Op::Once) continue;
    else b.work.push_back({op.row, turns * value(rows[size_t(op.row)].flops), turns * value(rows[size_t(op.row)].bytes)});
  }
}

void FlatProgram::bindOp(BoundProgram &b, const FlatOp &op) {
  BoundProgram::Op out;
  out.kind = BoundProgram::Op::Kind(op.kind);
  out.row = op.row, out.kernel = op.kernel, out.grain = op.grain;
  out.pointers = uint32_t(b.places.size()), out.sizes = uint32_t(b.sizes.size());
  switch (op.kind) {
  case FlatOp::Begin:
    out.loop = uint32_t(b.loops.size());
    b.loops.push_back({op.turns, op.lo, op.reverse});
    b.loops.back().turn = op.loop; // its number, while binding
    open_.push_back(uint32_t(b.ops.size()));
    break;
  case FlatOp::End:
    out.jump = open_.back(), out.loop = b.ops[out.jump].loop;
    b.ops[out.jump].jump = uint32_t(b.ops.size());
    open_.pop_back();
    break;
  case FlatOp::Once:
    out.loop = uint32_t(op.loop);
    if (std::find(b.derived.begin(), b.derived.end(), op.loop) == b.derived.end()) b.derived.push_back(op.loop);
    break;
  case FlatOp::Turn:
    for (uint32_t o : open_)
      if (b.loops[b.ops[o].loop].turn == op.loop) out.loop = b.ops[o].loop;
    bindViews(b, op, sizeof(int32_t));
    break;
  default:
    out.count = formulas.size(op.count);
    if (op.kind == FlatOp::Launch) {
      b.scratchBytes = std::max(b.scratchBytes, formulas.size(op.scratch));
      for (uint32_t s = op.firstSize; s < op.lastSize; ++s) b.sizes.push_back(formulas.whole(sizes_[s]));
    }
    bindViews(b, op, op.kind == FlatOp::Launch ? 0 : out.count);
  }
  b.ops.push_back(out);
}

/// Pointers of a step that touches at least `bytes` behind each of them. Base is the buffer until the arena is placed.
void FlatProgram::bindViews(BoundProgram &b, const FlatOp &op, int64_t bytes) {
  for (uint32_t i = op.firstView; i < op.lastView; ++i) {
    const FlatView &v = views_[i];
    const uint32_t pointer = uint32_t(b.places.size());
    b.bufferBytes[size_t(v.buffer)] = 0;
    b.places.push_back({v.buffer, formulas.size(v.offset)});
    int64_t reach = b.places.back().offset + bytes;
    bool runs = true;
    for (uint32_t o : open_) runs &= b.loops[b.ops[o].loop].turns > 0;
    for (uint32_t s = v.firstStep; s < v.lastStep; ++s) {
      const int64_t step = formulas.size(viewSteps_[s].bytes);
      for (uint32_t o : open_) {
        const uint32_t loop = b.ops[o].loop;
        if (b.loops[loop].turn != viewSteps_[s].loop) continue;
        if (step) b.increments.push_back({loop, pointer, step});
        reach += step * std::max<int64_t>(b.loops[loop].turns - 1, 0);
      }
    }
    if (runs) checks_.push_back({pointer, reach});
  }
}

void FlatProgram::bindBuffer(BoundProgram &b, size_t i, std::span<const int64_t> storageBytes) {
  const FlatBuffer &f = buffers_[i];
  b.lifetimes.push_back({f.first, f.last, 0});
  int64_t &bytes = b.bufferBytes[i];
  if (bytes < 0) return; // nobody uses it at these sizes
  auto portBytes = [](DType t, std::span<const int64_t> shape) {
    auto n = elementCount(shape, int64_t(byteSize(t)));
    if (!n) throw Error(Exit::Resource, "E0701", fmt::format("no memory for an array {} of {}", shapeText(shape), name(t)));
    return *n * int64_t(byteSize(t));
  };
  switch (f.kind) {
  case Buffer::Storage: bytes = storageBytes[size_t(f.index)]; return;
  case Buffer::Input: bytes = portBytes(inputs_[size_t(f.index)].dtype, b.inputShapes[size_t(f.index)]); return;
  case Buffer::Output: bytes = portBytes(outputs_[size_t(f.index)].dtype, b.outputShapes[size_t(f.index)]); return;
  case Buffer::Arena: break;
  }
  bytes = formulas.size(f.bytes);
  b.lifetimes.back().bytes = (bytes + 63) & -64;
}

/// Whether the last plan serves. The sizes of a decoding step grow a little each time; plans leave room for that.
bool FlatProgram::planServes(const std::vector<Lifetime> &want) const {
  if (!grows_ || planned_.size() != want.size()) return planned_ == want;
  int64_t have = 0, need = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    if (want[i].bytes > planned_[i].bytes) return false;
    have += planned_[i].bytes, need += want[i].bytes;
  }
  return have <= 2 * need + (1 << 20); // else spread over too much memory
}

void FlatProgram::placeArena(BoundProgram &b) {
  if (!planServes(b.lifetimes)) {
    planned_ = b.lifetimes;
    for (size_t i = 0; i < planned_.size(); ++i)
      if (int64_t &bytes = planned_[i].bytes; buffers_[i].grows && bytes) bytes = (bytes + std::max<int64_t>(bytes / 8, 256) + 63) & -64;
    plan_ = planArena(planned_);
  }
  b.arenaBytes = plan_.bytes;
  for (auto &p : b.places) {
    const size_t i = size_t(p.base);
    const FlatBuffer &f = buffers_[i];
    if (f.kind == Buffer::Arena) p = {0, p.offset + plan_.offsets[i]};
    else p.base = int64_t(1 + f.index + (f.kind == Buffer::Storage ? 0 : storages_.size()) + (f.kind == Buffer::Output ? inputs_.size() : 0));
  }
}

} // namespace fil
