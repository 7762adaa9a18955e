// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"
#include "passes/schedule/passes.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {
#define GEN_PASS_DEF_FOLDSUMSPASS
#include "passes/schedule/passes.h.inc"
namespace {

constexpr int64_t block = 64;                   // rows
constexpr int64_t fewest = 4 * block;           // below, there is nothing to share
constexpr int64_t shortest = 64, longest = 8192; // elements of a row: the sums of a block stay in the nearest cache

struct FoldSumsPass : impl::FoldSumsPassBase<FoldSumsPass> {
  void runOnOperation() override {
    Dims dims(getOperation());
    dimsOf.clear();
    SmallVector<ReduceOp> all;
    for (FuncOp f : getOperation().getOps<FuncOp>())
      if (f.getEntry() != "decode") f.walk([&](ReduceOp r) { all.push_back(r); });
    for (ReduceOp r : all)
      if (isSumOfRows(r, dims)) fold(r, dims);
  }

  llvm::DenseMap<StringAttr, std::pair<StringAttr, StringAttr>> dimsOf; ///< blocks and window of a dim

  /// Are the leading dims summed, long enough, and the others, which are known, a row?
  bool isSumOfRows(ReduceOp r, const Dims &dims) {
    if (r.getFn() != ReduceFn::sum || !cast<ir::TensorType>(r.getType()).isReal()) return false;
    auto over = strings(r.getOver());
    auto x = cast<ir::TensorType>(r.getX().getType()).getDims();
    int64_t row = 1, rows = 1;
    for (auto [i, d] : llvm::enumerate(x)) {
      if (llvm::is_contained(over, d) != (i < over.size())) return false;
      auto n = dims.value(d.getValue()).constant();
      if (i < over.size()) rows *= n ? n->num : fewest;
      else if (!n) return false;
      else row *= n->num;
    }
    auto last = dims.value(over.back().getValue()).constant();
    return x.size() > over.size() && row >= shortest && row <= longest && rows >= fewest && (!last || last->num >= block);
  }

  void fold(ReduceOp r, Dims &dims) {
    MLIRContext *ctx = &getContext();
    auto x = cast<ir::TensorType>(r.getX().getType());
    SmallVector<StringAttr> over = strings(r.getOver());
    dims.sort(over);
    StringAttr in = over.back();
    auto &[blocks, window] = dimsOf[in];
    if (!blocks) { // they stand where their dim does, so that sums of a block are neighbours in memory
      auto of = [&](const char *what, const Size &n) { return StringAttr::get(ctx, dims.add(getOperation(), in.str() + what, n.str(), in)); };
      blocks = of("#blocks", Size::ceil(dims.value(in.getValue()) / Size(block))), window = of("#block", Size(block));
    }
    OpBuilder b(r);
    BodyBuilder body(b, dims, r.getLoc());
    body.site = r.getSite(), body.role = r.getRole();
    SmallVector<StringAttr> all;
    for (StringAttr d : x.getDims())
      if (d != in) all.push_back(d);
    all.push_back(blocks), all.push_back(window);
    auto windows = b.getArrayAttr(WindowDimAttr::get(ctx, in, window, blocks, block, 0));
    Value cut = WindowOp::create(b, r.getLoc(), dims.tensor(ctx, all, x.getElement()), r.getX(), windows, r.getSiteAttr(), r.getRoleAttr());
    Value sums = body.reduce(ReduceFn::sum, cut, window);
    sums.getDefiningOp()->setAttr("fil.fold", b.getUnitAttr());
    over.back() = blocks;
    Value sum = body.reduce(ReduceFn::sum, sums, over);
    r.replaceAllUsesWith(sum);
    r.erase();
  }
};
} // namespace
} // namespace fil::passes
