// SPDX-License-Identifier: Apache-2.0
// The kept ops of a row in stages: a stage is a nest of loops over what is left of the dims (inner ones, then summed ones), with all ops
// that need the same nest and nothing that the nest has not finished.
#pragma once
#include "codegen/cpu/operands.h"
#include "llvm/ADT/MapVector.h"

namespace fil {

bool contains(const Dimlist &, mlir::StringAttr);
/// What is not in the list yet.
void addTo(Dimlist &, llvm::ArrayRef<mlir::StringAttr>);

class Stages {
public:
  Stages(KernelBuilder &k, Evaluator &e) : k(k), e(e) {}
  struct Ahead { Memory memory; bool written, next; }; ///< next: of the next row
  struct Stage {
    llvm::SmallVector<mlir::Operation *> ops;
    Dimlist inner, over; ///< loops, outermost first; a sum is complete when the loops of `over` are
    size_t chains = 1;
    llvm::SmallVector<Ahead, 2> ahead{}; ///< fetched in its turns
    std::optional<int> work{};           ///< of a turn, once it was asked for
  };

  KernelBuilder &k;
  Evaluator &e;
  Dimlist order;                                     ///< of dims, as the largest memory at hand has them
  Dimlist rows;                                      ///< one coordinate each
  mlir::StringAttr laneRow;                          ///< lanes are rows: vectors along this dim, beside `rows`
  llvm::Value *laneBase = nullptr;                   ///< where they begin
  llvm::Value *firstOfBlock = nullptr;               ///< i1: is the row the first one of its block? For folds
  llvm::MapVector<mlir::StringAttr, double> votes;   ///< elements that are neighbours along a dim
  llvm::DenseMap<mlir::Value, llvm::SmallVector<Memory, 1>> results; ///< where results are written
  llvm::DenseMap<mlir::StringAttr, std::pair<llvm::Value *, llvm::Value *>> limits; ///< of loops that need not run over the whole dim
  std::vector<Stage> stages;

  /// Cuts the ops, in this order, into stages.
  void form(llvm::ArrayRef<mlir::Operation *> kept);
  /// Memory votes for the dim in which its elements are neighbours.
  void vote(const Layout &);
  mlir::StringAttr favourite(const Dimlist &among);
  mlir::StringAttr insideOf(mlir::StringAttr, const Dimlist &);
  /// Scratch for what later stages read; once, before the rows.
  void makeRoom();
  /// Stages have less to wait for: what they write is fetched by a stage before, what the next row reads by the one that computes most.
  void lookAhead();
  /// All stages at a point that has a position along each row.
  void emit(const Point &row);

  std::optional<int64_t> known(mlir::StringAttr);
  Dimlist inOrder(const Dimlist &);
  static Dimlist dimsOf(mlir::Value);

private:
  llvm::DenseMap<mlir::Operation *, Memory> room; ///< scratch of results that stay for the row
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<llvm::Value *, 4>> accumulators; ///< one for each chain
  size_t chain = 0; ///< that a turn adds to
  bool startsLine = true; ///< the vector at hand is the first of a turn's cache line

  /// Sums of one stage that do not wait for each other: where a turn is shorter than an addition takes.
  size_t chainsOf(Stage &, mlir::StringAttr lane);
  int work(Stage &); ///< of a turn, in additions

  Dimlist innerOf(mlir::Operation *);
  bool follows(mlir::Operation *, const Stage &);
  bool readLater(mlir::Operation *, const Stage &);
  void makeRoom(mlir::Operation *, const Stage &);
  Memory roomOf(mlir::Operation *);
  void stage(Stage &, const Point &row);
  void nest(Stage &, const Dimlist &loops, size_t i, mlir::StringAttr lane, const Point &);
  void body(Stage &, const Point &);
  void keep(mlir::Operation *, const Point &, llvm::Value *);

  struct Cell { llvm::Value *value, *position, *total; llvm::Type *type, *positionType; };
  llvm::StructType *accumulatorType(mlir::Operation *, bool vector);
  Cell cell(mlir::Operation *, size_t chain);
  llvm::Value *neutral(mlir::Operation *, llvm::Type *);
  llvm::Value *better(mlir::Operation *, llvm::Value *x, llvm::Value *than);
  llvm::Value *combine(mlir::Operation *, llvm::Value *x, llvm::Value *y);
  void start(mlir::Operation *);
  void add(mlir::Operation *, const Point &);
  void flush(mlir::Operation *);
  llvm::Value *together(mlir::Operation *); ///< all chains, in halves
  void end(mlir::Operation *, const Point &, bool tree, bool twoLevels);
};

} // namespace fil
