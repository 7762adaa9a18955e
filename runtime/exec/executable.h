// SPDX-License-Identifier: Apache-2.0
// A compiled program as the runtime sees it: variables, and entry points that read and write them. Code behind it is either
// generated (a list of launches) or the reference back end; the runtime cannot tell.
#pragma once
#include "runtime/base/size.h"
#include "runtime/data/array.h"
#include <map>

namespace fil {

/// An input or output of an entry. Sizes are formulas in symbolic dims (`B`, `T`); axes stand in written order.
struct Port {
  std::string name;
  DType dtype = DType::F32;          ///< F32 or F64; I32 for int and index; Bool
  std::vector<std::string> dims;     ///< the name of each axis
  std::vector<Size> sizes;
  std::optional<Size> indexBound;    ///< of an index: the size of its dim
};

struct Entry {
  std::string name;                  ///< `init`, `step`, `eval`, `run`, `prefill`, `decode`
  std::vector<Port> inputs, outputs; ///< inputs may include scalars `seed`, `step` (I32), `lr`
};

/// What is kept between calls, as files see it: one row for each turn of the loops it stands in (`l[3].Attention.q`), axes in
/// declared order. Optimizer state is named `SITE#m`.
struct VariableInfo {
  enum Kind { Param, State, Optimizer } kind = Param;
  std::string name;
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
  std::vector<std::string> dims;     ///< the name of each axis
  double adapter = 0;                ///< not 0: a plan has added it, with this scale of its product; a file of the base weights does not have it
  bool mask = false;                 ///< which granules of a map exist
  int64_t kept = 0;                  ///< of a mask: so many are there for each family, one `[*]` of the name a leading axis; 0: all at first, then fewer
  bool adapterSlots = false;         ///< the first axis counts the adapters of a program that has several
  bool predictor = false;            ///< a plan has added it to a map, of whose singular vectors it is made where a file lacks it
  bool scale = false;                ///< of whole numbers: a plan has added it to a map; found or made where a file lacks it
  int qatBits = 0;                   ///< of a map that is trained as whole numbers: their bits; NAME.qat_scale is about these
  int bits = 0;                      ///< of a map that is kept as whole numbers: their bits; NAME.scale is their scale
  int together = 1;                  ///< so many of its whole numbers have a byte, along the axis `packed`, the last one of its left side
  int packed = 0;
  int families = 0;                  ///< of an adapter or predictor: so many axes of families come next
  /// Of a map that is stored as the weights that it has: along the last axis of its left side it has two, from `axis` on. With `group` these are groups of so many neighbours and
  /// the weights of each; else granules that are there, and what is in one. `columns` of the right side's last axis have the same pattern.
  struct Thinned { int axis = 0; int64_t group = 0, columns = 1; };
  std::optional<Thinned> thinned;
  /// Of a program that tells how large the neurons of gates are: the output of its entry `neurons` that tells it of those that an axis of the variable counts, the output's axis
  /// that counts them, how many the gate chooses together, and for each of its axes that counts turns of a loop which one the variable is of.
  struct Neurons { std::string output; int axis = 0; std::string counted; int64_t granule = 1; std::vector<std::pair<std::string, int64_t>> turn; };
  std::optional<Neurons> neurons;
};

class Executable {
public:
  virtual ~Executable() = default;
  const std::vector<Entry> &entries() const { return entries_; }
  const std::vector<VariableInfo> &variables() const { return variables_; }
  const Entry *find(std::string_view entry) const {
    for (const Entry &e : entries_)
      if (e.name == entry) return &e;
    return nullptr;
  }

  /// Runs an entry: inputs in the entry's order, each of its dtype and a shape that binds the symbolic dims consistently.
  /// Returns its outputs. Calls are not concurrent.
  virtual std::vector<Array> run(const Entry &, const std::vector<Array> &inputs) = 0;
  /// The same for callers that run an entry again and again. `outputs` is empty or what an earlier call left in it: arrays that
  /// fit and that nobody else holds are written over, others are new. `inputs` must not be its elements (copies of them are fine).
  virtual void run(const Entry &e, std::span<const Array> inputs, std::vector<Array> &outputs) {
    outputs = run(e, std::vector<Array>(inputs.begin(), inputs.end()));
  }

  virtual Array get(size_t variable) const = 0;
  /// `value` has the variable's shape and dtype.
  virtual void set(size_t variable, const Array &value) = 0;

  /// What its code is for: `x86-64-v3`, `x86-64-v4`, `x86-64-v4+bf16` where products of bf16 need that, `reference`.
  virtual std::string target() const = 0;

  /// Longest sequence that the caches of prefill and decode hold; forgets what they held.
  virtual void resetCaches(int64_t batch, int64_t capacity) = 0;

protected:
  std::vector<Entry> entries_;
  std::vector<VariableInfo> variables_;
};

} // namespace fil
