// SPDX-License-Identifier: Apache-2.0
// How a program runs: FlatProgram is its steps in one list, sizes as numbers of formulas; bind() makes a BoundProgram of it, in which
// all sizes are numbers, choices are made and each view is an offset; walk() executes that. A repeated step only walks.
#pragma once
#include "runtime/abi/kernel.h"
#include "runtime/base/thread_pool.h"
#include "runtime/exec/formulas.h"
#include "runtime/exec/manifest.h"
#include "runtime/memory/arena.h"

namespace fil {

/// Memory of a program is addressed as base + offset; the bases are known when a step begins.
/// Base 0 is the arena, then storages, inputs, outputs.
struct BoundProgram {
  struct Op {
    enum Kind : uint8_t { Launch, Begin, End, Copy, Fill, Turn, Once } kind = Launch;
    int32_t row = 0;            ///< of the profile
    uint32_t loop = 0;          ///< Once: the storage
    uint32_t jump = 0;          ///< Begin: its End, and the other way round; Once: the last op of its body
    uint32_t pointers = 0, sizes = 0; ///< first of each
    fil_kernel kernel = nullptr;
    int64_t count = 0;          ///< tiles; bytes of a copy or fill
    int64_t grain = 1;
  };
  struct Loop {
    int64_t turns = 0, lo = 0;
    bool reverse = false;
    uint32_t first = 0, last = 0; ///< increments
    int64_t turn = 0;           ///< while it runs
  };
  struct Increment { uint32_t loop, pointer; int64_t bytes; };
  struct Place { int64_t base, offset; };

  std::vector<int64_t> symbols; ///< the values that it is bound for
  bool valid = false;
  uint64_t used = 0;            ///< when, for the cache

  std::vector<Op> ops;
  std::vector<Loop> loops;
  std::vector<Increment> increments;
  std::vector<Place> places;    ///< of each pointer
  std::vector<int64_t> sizes;
  std::vector<Lifetime> lifetimes; ///< of each buffer
  std::vector<int64_t> bufferBytes; ///< -1 where no step uses it
  int64_t arenaBytes = 0, scratchBytes = 0;
  std::vector<int> derived;     ///< storages that its steps make
  struct Work { int32_t row; double flops, bytes; };
  std::vector<Work> work;       ///< of the launches of a call, where a profile has asked for it
  std::vector<std::vector<int64_t>> inputShapes, outputShapes;
  std::vector<int64_t> indexBounds; ///< of each input; -1 where there is none
};

/// A line of the profile.
struct ProfileRow {
  std::string site, what;
  int kernel = -1; ///< row of Manifest::kernels; -1 where it is no launch
  Size flops, bytes;
};
/// What a step needs besides a bound program.
struct Machine {
  ThreadPool &pool;
  const ProfileRow *rows;
  std::byte *scratch; ///< of worker 0
  size_t scratchStride;
  const char *upToDate;      ///< of each storage: Once has nothing to do
  double *seconds = nullptr; ///< of each row, where a profile is wanted
  int64_t *calls = nullptr;
};

class FlatProgram {
public:
  /// Kernels are found by row. Error E0702 where the program contradicts itself: numbers out of range, a view that follows a loop
  /// that is not around it.
  FlatProgram(const Program &, std::span<const Storage> storages, std::span<const fil_kernel>);

  Formulas formulas;
  std::vector<ProfileRow> rows; ///< one for each step that works, in the order of the text
  std::vector<int> writes;      ///< Program::writes

  /// `symbols` are values of formulas.symbols(). The sizes of inputs first: bindPorts; they may contradict the arrays.
  void bindPorts(BoundProgram &, const std::vector<int64_t> &symbols);
  /// The rest, after bindPorts. `storageBytes` limit the views.
  void bindSteps(BoundProgram &, std::span<const int64_t> storageBytes);
  /// BoundProgram::work, after bindSteps.
  void bindWork(BoundProgram &) const;

private:
  struct FlatView { int buffer, offset; uint32_t firstStep, lastStep; };
  struct ViewStep { int loop, bytes; };
  struct FlatOp {
    enum Kind : uint8_t { Launch, Begin, End, Copy, Fill, Turn, Once, Choice, Jump } kind = Launch;
    int row = 0;
    fil_kernel kernel = nullptr;
    uint32_t firstView = 0, lastView = 0, firstSize = 0, lastSize = 0;
    int count = 0, scratch = 0; ///< formulas
    int loop = 0;               ///< number in the text; Once: the storage
    uint32_t jump = 0;          ///< Choice: to `above`; Jump, Once: the end
    int64_t grain = 1, limit = 0, turns = 0, lo = 0;
    bool reverse = false;
  };
  struct FlatBuffer { Buffer::Kind kind; int index, bytes, first, last; bool grows; std::string what; }; ///< grows: with a running dim
  struct FlatPort { DType dtype; std::vector<int> sizes; int indexBound; };

  std::vector<FlatOp> ops_;
  std::vector<FlatView> views_;
  std::vector<ViewStep> viewSteps_;
  std::vector<int> sizes_;
  std::vector<FlatBuffer> buffers_;
  std::vector<FlatPort> inputs_, outputs_;
  std::span<const Storage> storages_;
  bool grows_ = false; ///< a buffer does
  std::span<const fil_kernel> kernels_;
  std::vector<int> around_; ///< loops, while steps are laid flat
  std::vector<uint32_t> open_; ///< bound loops around, while binding
  std::vector<std::pair<size_t, size_t>> once_; ///< the same: each Once's end in the text, and its bound op
  std::vector<Lifetime> planned_; ///< of the last plan
  ArenaLayout plan_;
  struct Check { uint32_t pointer; int64_t reach; };
  std::vector<Check> checks_;

  void flatten(const std::vector<Step> &);
  void flattenOne(const Launch &);
  void flattenOne(const LoopStep &);
  void flattenOne(const CopyStep &);
  void flattenOne(const FillStep &);
  void flattenOne(const TurnStep &);
  void flattenOne(const ChoiceStep &);
  void flattenOne(const OnceStep &);
  FlatOp &add(FlatOp::Kind, std::initializer_list<const View *>, const Size *count);
  void view(const View &);
  void bindOp(BoundProgram &, const FlatOp &);
  void bindViews(BoundProgram &, const FlatOp &, int64_t bytes);
  void bindBuffer(BoundProgram &, size_t buffer, std::span<const int64_t> storageBytes);
  void placeArena(BoundProgram &);
  bool planServes(const std::vector<Lifetime> &) const;
};

/// Executes the steps; `pointers` are base + offset of each place and are as before when it returns, not when it throws.
/// Error E0702 where a kernel returns other than 0.
void walk(BoundProgram &, void **pointers, const Machine &);

} // namespace fil
