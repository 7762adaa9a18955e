// SPDX-License-Identifier: Apache-2.0
#include "tests/codegen/contraction_kernel.h"
#include <llvm/IR/Module.h>

namespace fil::test {
using namespace llvm;

namespace {

/// The body of one kernel with its arguments as values.
struct Body {
  Body(std::string name, const ContractionSpec &spec, const fil::Target &target)
      : spec(spec), kernel(makeKernelModule(std::move(name), target)), function(addKernelFunction(kernel, target)),
        b(BasicBlock::Create(*kernel.context, "", function)), begin(function->getArg(3)), end(function->getArg(4)) {
    for (unsigned i = 0; i < BufferCount; ++i)
      buffers.push_back(b.CreateLoad(b.getPtrTy(), b.CreateConstInBoundsGEP1_64(b.getPtrTy(), function->getArg(1), i)));
    for (unsigned i = 0; i < SizeCount; ++i)
      sizes.push_back(b.CreateLoad(b.getInt64Ty(), b.CreateConstInBoundsGEP1_64(b.getInt64Ty(), function->getArg(2), i)));
    fix(spec.a, RowA, StepA);
    fix(spec.b, ColumnB, StepB);
  }
  void fix(Access access, SizeIndex outer, SizeIndex k) {
    if (access == Access::Outer) sizes[outer] = b.getInt64(1);
    if (access == Access::K) sizes[k] = b.getInt64(1);
  }
  Value *skip(Value *pointer, Value *stride) {
    return emitAt(b, elementType(b, spec.shape.element), pointer, emitMul(b, begin, stride));
  }
  KernelModule finish() {
    b.CreateRet(b.getInt32(0));
    return std::move(kernel);
  }

  const ContractionSpec &spec;
  KernelModule kernel;
  Function *function;
  IRBuilder<> b;
  Value *begin, *end;
  SmallVector<Value *> buffers, sizes;
};

} // namespace

KernelModule packBKernel(std::string name, const ContractionSpec &spec, const fil::Target &target) {
  Body f(std::move(name), spec, target);
  PackOperands o;
  o.from = f.buffers[B], o.stride = f.sizes[ColumnB], o.strideK = f.sizes[StepB];
  o.count = f.sizes[N], o.steps = f.sizes[K], o.to = f.buffers[PanelsB], o.panel = f.sizes[PanelB];
  emitPackB(f.b, spec.shape, o);
  return f.finish();
}

KernelModule packAKernel(std::string name, const ContractionSpec &spec, const fil::Target &target) {
  Body f(std::move(name), spec, target);
  PackOperands o;
  o.from = f.skip(f.buffers[A], f.sizes[StepA]), o.stride = f.sizes[RowA], o.strideK = f.sizes[StepA];
  o.count = f.sizes[M], o.steps = f.b.CreateSub(f.end, f.begin), o.to = f.buffers[PanelsA], o.panel = f.sizes[PanelA];
  emitPackA(f.b, spec.shape, o);
  return f.finish();
}

KernelModule tileKernel(std::string name, const ContractionSpec &spec, const fil::Target &target) {
  Body f(std::move(name), spec, target);
  IRBuilderBase &b = f.b;
  Value *steps = b.CreateSub(f.end, f.begin), *accumulate = b.CreateICmpSGT(f.begin, b.getInt64(0));
  if (spec.form == Form::Skinny) {
    SkinnyOperands o;
    o.m = f.sizes[M], o.n = f.sizes[N], o.k = steps, o.accumulate = accumulate;
    o.a = f.skip(f.buffers[A], f.sizes[StepA]), o.aRow = f.sizes[RowA], o.aK = f.sizes[StepA];
    o.b = f.skip(f.buffers[B], f.sizes[StepB]), o.bK = f.sizes[StepB];
    o.c = f.buffers[C], o.cRow = f.sizes[RowC];
    emitSkinny(b, spec.shape.element, spec.shape.lanes, spec.registers, o);
    return f.finish();
  }
  Value *columns = b.getInt64(uint64_t(spec.shape.columns())), *rows = b.getInt64(uint64_t(spec.shape.rows));
  TileOperands o;
  o.m = f.sizes[M], o.k = steps, o.accumulate = accumulate;
  o.panels = b.CreateSDiv(b.CreateAdd(f.sizes[N], b.CreateSub(columns, b.getInt64(1))), columns);
  if (spec.form == Form::PackedTile) {
    o.a = f.buffers[PanelsA], o.aRow = b.getInt64(1), o.aK = rows, o.aBlock = f.sizes[PanelA];
  } else {
    o.a = f.skip(f.buffers[A], f.sizes[StepA]), o.aRow = f.sizes[RowA], o.aK = f.sizes[StepA];
    o.aBlock = b.CreateMul(rows, f.sizes[RowA]);
  }
  o.b = f.skip(f.buffers[PanelsB], columns), o.bPanel = f.sizes[PanelB], o.bK = columns;
  o.c = f.buffers[C], o.cRow = f.sizes[RowC];
  if (spec.shape.element == fil::Element::Int8Quads) o.offsets = f.sizes[StepB], o.last = accumulate; // for who looks at the code
  emitTile(b, spec.shape, o);
  return f.finish();
}

} // namespace fil::test
