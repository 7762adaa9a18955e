// SPDX-License-Identifier: Apache-2.0
// From arrays to a bound program and back: dims from shapes, the cache of bindings, memory, outputs.
#include "runtime/exec/compiled_executable.h"
#include "runtime/base/status.h"
#include "runtime/exec/binding.h"
#include "runtime/exec/code_image.h"
#include "runtime/exec/flat_program.h"
#include "runtime/exec/storages.h"
#include <algorithm>

namespace fil {
namespace {

[[noreturn]] void misuse(const std::string &why) { throw Error(Exit::Internal, "E0702", why); }

constexpr size_t bindingsKept = 8;

/// An entry point with what it needs to become numbers.
struct Prepared {
  Prepared(const Program &p, std::span<const Storage> storages, std::span<const fil_kernel> kernels) : flat(p, storages, kernels) {}

  FlatProgram flat;
  struct Axis { int symbol; size_t input, axis; };
  std::vector<Axis> axes;                     ///< those that bind a symbol, first ones only
  std::vector<std::pair<int, int64_t>> fixed; ///< symbols with a bound
  struct Running { int length, from; size_t counter; };
  std::vector<Running> running;
  std::vector<int> capacities, batches;       ///< symbols `S#cap`; symbols that are the batch of a cache
  bool keeps = false, restarts = false, usesCaches = false;

  std::vector<int64_t> symbols; ///< of the call at hand
  std::vector<std::unique_ptr<BoundProgram>> bound;
  std::vector<double> seconds;
  std::vector<int64_t> calls;
  std::vector<double> flops, bytes;
};

class Loaded final : public CompiledExecutable {
public:
  Loaded(Manifest m, std::span<const fil_kernel> given)
      : bounds_(m.bounds), code_(m.code), kernels_(kernelsOf(m, given)), storages_(std::move(m.storages), m.variables, m.bounds) {
    target_ = m.target;
    versions_.resize(storages_.size(), 1), made_.resize(storages_.size(), 0), upToDate_.resize(storages_.size(), 0);
    for (const Kernel &k : m.kernels) keys_.push_back(k.key);
    for (const VariableRow &v : m.variables) variables_.push_back(v.info);
    for (const Program &p : m.programs) {
      entries_.push_back(p.entry);
      prepare(p);
    }
  }

  std::string target() const override { return target_; }
  std::vector<Array> run(const Entry &e, const std::vector<Array> &inputs) override {
    std::vector<Array> outputs;
    run(e, inputs, outputs);
    return outputs;
  }

  void run(const Entry &e, std::span<const Array> inputs, std::vector<Array> &outputs) override {
    const size_t index = indexOf(e);
    Prepared &p = *programs_[index];
    bindSymbols(p, entries_[index], inputs);
    BoundProgram &b = bind(p, entries_[index], inputs);
    checkIndices(b, entries_[index], inputs);
    prepareOutputs(b, entries_[index], outputs);
    ThreadPool &pool = processPool();
    reserve(b, pool.threads());
    resolve(b, inputs, outputs);
    Machine machine{pool, p.flat.rows.data(), scratch_.data(), scratchStride_, upToDate_.data()};
    if (profiling_) machine.seconds = p.seconds.data(), machine.calls = p.calls.data();
    for (int s : b.derived)
      if (!(upToDate_[size_t(s)] = made_[size_t(s)] == versionOf(s))) made_[size_t(s)] = 0; // until the call has made it
    for (int s : p.flat.writes) ++versions_[size_t(s)];
    walk(b, pointers_.data(), machine);
    for (int s : b.derived) made_[size_t(s)] = versionOf(s);
    if (profiling_) addWork(p, b);
    if (p.keeps)
      for (auto &r : p.running) lengths_[r.counter].second = p.symbols[size_t(r.length)];
  }

  Array get(size_t i) const override { return storages_.get(i); }
  void set(size_t i, const Array &value) override {
    ++versions_[size_t(storages_.storageOf(i))];
    storages_.set(i, value);
  }

  void resetCaches(int64_t batch, int64_t capacity) override {
    if (batch < 0 || capacity < 0) misuse(fmt::format("caches for a batch of {} and {} positions", batch, capacity));
    for (auto &p : programs_) p->bound.clear(); // their views were checked against the old caches
    for (auto &l : lengths_) l.second = 0;
    storages_.resetCaches(batch, capacity, bounds_);
    batch_ = batch, capacity_ = capacity;
  }

  void profile(bool on) override {
    profiling_ = on;
    if (!on) return;
    for (auto &p : programs_) {
      for (auto *list : {&p->seconds, &p->flops, &p->bytes}) list->assign(p->flat.rows.size(), 0);
      p->calls.assign(p->flat.rows.size(), 0);
    }
  }
  std::vector<LaunchTime> times() const override {
    std::vector<LaunchTime> all;
    for (size_t i = 0; i < programs_.size(); ++i) {
      const Prepared &p = *programs_[i];
      for (size_t r = 0; r < p.calls.size(); ++r)
        if (p.calls[r]) {
          const ProfileRow &row = p.flat.rows[r];
          all.push_back({entries_[i].name, row.site, row.what, size_t(row.kernel) < keys_.size() ? keys_[size_t(row.kernel)] : "", p.seconds[r], p.calls[r], p.flops[r], p.bytes[r]});
        }
    }
    return all;
  }
  int64_t arenaBytes() const override { return int64_t(arena_.bytes()); }

private:
  std::string target_;
  Binding bounds_;
  CodeImage code_;
  std::vector<std::string> keys_;
  std::vector<fil_kernel> kernels_;
  Storages storages_;
  std::vector<std::unique_ptr<Prepared>> programs_; ///< of each entry
  std::vector<std::pair<std::string, int64_t>> lengths_; ///< of running dims: positions that the caches hold
  int64_t batch_ = 0, capacity_ = 0;
  uint64_t clock_ = 0;
  bool profiling_ = false;
  Pages arena_, scratch_;
  std::vector<uint64_t> versions_, made_; ///< of each storage: rises with each change; of derived ones the version of all that they were made of
  std::vector<char> upToDate_;            ///< of each storage, at the begin of a call
  size_t scratchStride_ = 0;
  std::vector<std::byte *> bases_;
  std::vector<void *> pointers_;

  std::vector<fil_kernel> kernelsOf(const Manifest &m, std::span<const fil_kernel> given) {
    if (!given.empty()) return {given.begin(), given.end()};
    checkTarget(m.target);
    std::vector<fil_kernel> all;
    for (const Kernel &k : m.kernels) {
      if (k.entry < 0 || k.codeBytes < 0 || k.entry >= int64_t(m.code.size()) || k.codeBytes > int64_t(m.code.size()) - k.entry)
        misuse(fmt::format("kernel `{}` lies outside of the code", k.key));
      all.push_back(reinterpret_cast<fil_kernel>(const_cast<std::byte *>(code_.data() + k.entry)));
    }
    return all;
  }

  void prepare(const Program &program) {
    auto owned = std::make_unique<Prepared>(program, storages_.all(), kernels_);
    Prepared &p = *owned;
    Formulas &f = p.flat.formulas;
    const Entry &e = program.entry;
    p.keeps = e.name == "prefill" || e.name == "decode", p.restarts = e.name == "prefill";
    std::vector<int> bound;
    for (size_t s = 0; s < f.symbols().size(); ++s)
      if (auto it = bounds_.find(f.symbols()[s]); it != bounds_.end()) p.fixed.push_back({int(s), it->second}), bound.push_back(int(s));
    for (size_t i = 0; i < e.inputs.size(); ++i)
      for (size_t d = 0; d < e.inputs[i].sizes.size(); ++d) {
        auto symbols = e.inputs[i].sizes[d].symbols();
        if (symbols.size() != 1 || e.inputs[i].sizes[d] != Size::symbol(symbols[0])) continue;
        const int s = f.symbol(symbols[0]);
        if (std::find(bound.begin(), bound.end(), s) == bound.end()) bound.push_back(s), p.axes.push_back({s, i, d});
      }
    for (auto &[length, from] : program.running) {
      size_t counter = 0;
      while (counter < lengths_.size() && lengths_[counter].first != length) ++counter;
      if (counter == lengths_.size()) lengths_.push_back({length, 0});
      p.running.push_back({f.symbol(length), f.symbol(from), counter});
    }
    for (const Buffer &b : program.buffers) {
      if (b.kind != Buffer::Storage || storages_[size_t(b.index)].kind != Storage::Cache) continue;
      p.usesCaches = true;
      for (const Size &extent : storages_[size_t(b.index)].extents)
        for (const std::string &name : extent.symbols())
          if (!name.ends_with("#cap") && !bounds_.count(name)) p.batches.push_back(f.symbol(name));
    }
    for (size_t s = 0; s < f.symbols().size(); ++s)
      if (f.symbols()[s].ends_with("#cap")) p.capacities.push_back(int(s));
    p.symbols.resize(f.symbols().size());
    programs_.push_back(std::move(owned));
  }

  uint64_t versionOf(int derived) const {
    uint64_t sum = 0;
    for (int s : storages_[size_t(derived)].from) sum += versions_[size_t(s)];
    return sum;
  }

  size_t indexOf(const Entry &e) const {
    for (size_t i = 0; i < entries_.size(); ++i)
      if (&entries_[i] == &e) return i;
    for (size_t i = 0; i < entries_.size(); ++i)
      if (entries_[i].name == e.name) return i;
    misuse(fmt::format("the program has no entry `{}`", e.name));
  }

  /// The long way, which says what is wrong.
  [[noreturn]] void refuse(const Entry &e, std::span<const Array> inputs) const {
    bindInputs(e, inputs, bounds_);
    misuse(fmt::format("inputs of `{}` that do not fit, though nothing is wrong with them", e.name));
  }

  void bindSymbols(Prepared &p, const Entry &e, std::span<const Array> inputs) const {
    if (inputs.size() != e.inputs.size()) refuse(e, inputs);
    for (size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i].dtype != e.inputs[i].dtype || inputs[i].shape.size() != e.inputs[i].sizes.size()) refuse(e, inputs);
    std::fill(p.symbols.begin(), p.symbols.end(), Formulas::unbound);
    auto value = [&](int s) -> int64_t & { return p.symbols[size_t(s)]; };
    for (auto [s, v] : p.fixed) value(s) = v;
    for (auto [s, input, axis] : p.axes) value(s) = inputs[input].shape[axis];
    if (storages_.hasCaches())
      for (int s : p.capacities) value(s) = capacity_;
    for (auto &r : p.running) {
      if (value(r.from) == Formulas::unbound) continue; // whoever needs it says so
      const int64_t before = p.keeps && !p.restarts ? lengths_[r.counter].second : 0;
      value(r.length) = before + value(r.from);
      if (p.usesCaches && value(r.length) > capacity_ && storages_.hasCaches())
        throw Error(Exit::Input, "E0518", fmt::format("{} positions and {} more do not fit into caches for {}", before, value(r.from), capacity_));
    }
    if (!p.usesCaches) return;
    if (!storages_.hasCaches()) misuse(fmt::format("`{}` before its caches were made", e.name));
    for (int s : p.batches)
      if (value(s) != batch_) throw Error(Exit::Input, "E0518", fmt::format("a batch of {} does not fit into caches for a batch of {}", value(s), batch_));
  }

  BoundProgram &bind(Prepared &p, const Entry &e, std::span<const Array> inputs) {
    BoundProgram *b = nullptr, *oldest = nullptr;
    for (auto &candidate : p.bound) {
      if (candidate->valid && candidate->symbols == p.symbols) b = candidate.get();
      if (!oldest || candidate->used < oldest->used) oldest = candidate.get();
    }
    const bool isNew = !b;
    if (isNew && p.bound.size() < bindingsKept) b = p.bound.emplace_back(std::make_unique<BoundProgram>()).get();
    else if (isNew) b = oldest;
    b->used = ++clock_;
    if (isNew) p.flat.bindPorts(*b, p.symbols);
    for (size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i].shape != b->inputShapes[i]) refuse(e, inputs);
    if (isNew) p.flat.bindSteps(*b, storages_.bytes());
    return *b;
  }

  void addWork(Prepared &p, BoundProgram &b) const {
    if (b.work.empty()) p.flat.bindWork(b);
    for (const BoundProgram::Work &w : b.work) p.flops[size_t(w.row)] += w.flops, p.bytes[size_t(w.row)] += w.bytes;
  }

  void checkIndices(const BoundProgram &b, const Entry &e, std::span<const Array> inputs) const {
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (b.indexBounds[i] < 0) continue;
      const uint32_t bound = uint32_t(std::min<int64_t>(b.indexBounds[i], int64_t(INT32_MAX) + 1));
      uint32_t outside = 0;
      for (int32_t v : inputs[i].as<int32_t>()) outside |= uint32_t(uint32_t(v) >= bound);
      if (outside) refuse(e, inputs);
    }
  }

  void prepareOutputs(const BoundProgram &b, const Entry &e, std::vector<Array> &outputs) const {
    outputs.resize(e.outputs.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      Array &a = outputs[i];
      const bool mayReuse = a.data.use_count() == 1 && a.dtype == e.outputs[i].dtype && a.shape == b.outputShapes[i];
      std::byte *fill;
      if (!mayReuse) a = Array::make(e.outputs[i].dtype, b.outputShapes[i], fill);
    }
  }

  void reserve(const BoundProgram &b, int threads) {
    if (size_t(b.arenaBytes) > arena_.bytes()) {
      arena_ = Pages(); // nothing in it outlives a call
      arena_ = Pages(size_t(b.arenaBytes));
    }
    const size_t stride = (size_t(b.scratchBytes) + 4095) / 4096 * 4096 + 64; // not at one address modulo 4096: caches
    if (stride > scratchStride_ || stride * size_t(threads) > scratch_.bytes()) {
      scratchStride_ = std::max(stride, scratchStride_);
      scratch_ = Pages();
      scratch_ = Pages(scratchStride_ * size_t(threads));
    }
  }

  void resolve(const BoundProgram &b, std::span<const Array> inputs, std::span<const Array> outputs) {
    bases_.clear();
    bases_.push_back(arena_.data());
    for (size_t i = 0; i < storages_.size(); ++i) bases_.push_back(storages_.data(i));
    for (const Array &a : inputs) bases_.push_back(const_cast<std::byte *>(a.data.get()));
    for (const Array &a : outputs) bases_.push_back(const_cast<std::byte *>(a.data.get()));
    pointers_.resize(std::max(pointers_.size(), b.places.size()));
    for (size_t i = 0; i < b.places.size(); ++i) pointers_[i] = bases_[size_t(b.places[i].base)] + b.places[i].offset;
  }
};

} // namespace

std::unique_ptr<CompiledExecutable> loadExecutable(Manifest m, std::span<const fil_kernel> kernels) {
  return std::make_unique<Loaded>(std::move(m), kernels);
}

} // namespace fil
