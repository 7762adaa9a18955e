// SPDX-License-Identifier: Apache-2.0
// What a compiled program is made of, without compiler types: storages that live on, buffers with sizes as formulas, launches, loops,
// one image of machine code. Sizes become numbers when a call binds its dims; offsets of one arena then follow from the lifetimes.
#pragma once
#include "runtime/exec/executable.h"
#include <variant>

namespace fil {

/// Memory that launches see. Arena buffers live from position `first` to `last` of the program's list (both included; all steps
/// of a loop have the positions of their text, so what must outlive a turn spans the loop). An arena buffer holds anything until it is
/// written; a program writes the whole of its outputs.
struct Buffer {
  enum Kind { Arena, Storage, Input, Output } kind = Arena;
  int index = 0;                  ///< of the storage, input or output
  Size bytes;                     ///< Arena, Output
  int first = 0, last = 0;        ///< Arena
  std::string what;               ///< for people: the value that it holds
};

/// A buffer from `offset` on; each loop around adds turn * step, turns counted from 0 also in a reversed loop (whose first turn
/// is the last). Offset and steps are 0 or more, and no turn may leave the buffer: checked when sizes are bound.
struct View {
  int buffer = 0;
  Size offset;                             ///< bytes
  std::vector<std::pair<int, Size>> steps; ///< number of the loop, bytes a turn
};

/// Tiles 0..tiles-1 of a kernel. `sizes` reach it as int64 (whole, also below 0), `views` as pointers. Without tiles it is not called.
struct Launch {
  int kernel = 0;                 ///< row of Manifest::kernels
  std::vector<View> views;
  std::vector<Size> sizes;
  Size tiles;
  Size scratch;                   ///< bytes a thread, 64-aligned memory
  int64_t grain = 1;              ///< tiles taken from the queue at a time
  std::string site, what;         ///< for explain and profiles
  Size flops, bytes;              ///< the same: operations, and bytes that it reads and writes once, by the cost model
};
struct Step;
/// Turns lo..lo+turns-1, run from the last to the first if `reverse`.
struct LoopStep { int number = 0; int64_t turns = 0, lo = 0; bool reverse = false; std::vector<Step> body; };
struct CopyStep { View to, from; Size bytes; }; ///< the same bytes, or disjoint ones
struct FillStep { View to; Size bytes; };  ///< zeros
/// The turn of a loop (from lo on) as an int32.
struct TurnStep { View to; int loop = 0; };
/// One of two lists, chosen when sizes are bound: upTo if of <= limit. Sizes and buffers of the other one are not evaluated.
struct ChoiceStep { Size of; int64_t limit = 0; std::vector<Step> upTo, above; };
/// Writes a derived storage; skipped in a call that begins with it up to date.
struct OnceStep { int storage = 0; std::vector<Step> body; };
struct Step { std::variant<Launch, LoopStep, CopyStep, FillStep, TurnStep, ChoiceStep, OnceStep> is; };

/// What is kept between calls: a variable with all its stacked turns, a cache, or what is derived of variables and holds until one of them
/// changes. Extents give the strides (row-major).
struct Storage {
  enum Kind { Variable, Cache, Derived };
  std::string symbol;
  DType dtype = DType::F32;
  std::vector<std::string> dims;
  std::vector<Size> extents;      ///< of a cache in symbolic dims too: its running dim S counts `S#cap`, others the batch
  Kind kind = Variable;
  std::vector<int> from{};        ///< Derived: the variables' storages
};
/// Row i of Executable::variables: a part of a storage.
struct VariableRow {
  VariableInfo info;
  int storage = 0;
  std::vector<std::pair<int, int64_t>> turns; ///< axis of the storage, position: outermost loop first
  std::vector<int> axes;                      ///< for each declared axis the axis of the storage
};

struct Program {
  Entry entry;
  std::vector<Buffer> buffers;
  std::vector<Step> steps;
  /// Running dims (S, from T): S is n + T where n counts the positions that the caches hold. `prefill` begins with n = 0; but for
  /// `decode` n is always 0. `S#cap` has a value once there are caches.
  std::vector<std::pair<std::string, std::string>> running;
  std::vector<int> writes; ///< storages of variables that a call may change; no derived storage that it makes is of one of them
};

struct Kernel {
  std::string key;                ///< content hash of what it computes
  int64_t entry = 0;              ///< offset of its first instruction in Manifest::code
  int64_t codeBytes = 0;
  std::string what;
};

struct Manifest {
  std::vector<Program> programs;
  std::vector<Storage> storages;
  std::vector<VariableRow> variables;
  std::vector<Kernel> kernels;
  std::vector<std::byte> code;                ///< position-independent, no relocations left; read and execute, at the start of a page
  std::map<std::string, int64_t> bounds;      ///< of symbolic dims (`Card<=4096`): their sizes everywhere
  std::string plan;                           ///< the text of the plan that it was compiled by; empty: all defaults
  std::map<std::string, int64_t> dims;        ///< declared dims that have a size
  std::string target;                         ///< ISA that the code is for: `x86-64`, `-v2`, `-v3`, `-v4`; empty: any machine
};

} // namespace fil
