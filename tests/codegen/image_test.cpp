// SPDX-License-Identifier: Apache-2.0
#include "codegen/cpu/image.h"
#include "runtime/base/status.h"
#include <gtest/gtest.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

using namespace fil;

namespace {

/// sizes[0] picks a value from a constant table and adds it to buffers[0][0].
KernelModule tableKernel(const std::string &name, std::vector<float> table, const Target &target) {
  KernelModule kernel = makeKernelModule(name, target);
  llvm::LLVMContext &c = *kernel.context;
  llvm::Function *f = addKernelFunction(kernel, target);
  llvm::IRBuilder<> b(llvm::BasicBlock::Create(c, "", f));
  llvm::Constant *values = llvm::ConstantDataArray::get(c, table);
  auto *global = new llvm::GlobalVariable(*kernel.module, values->getType(), true, llvm::GlobalValue::PrivateLinkage, values);
  llvm::Value *index = b.CreateLoad(b.getInt64Ty(), f->getArg(2));
  llvm::Value *x = b.CreateLoad(b.getFloatTy(), b.CreateInBoundsGEP(b.getFloatTy(), global, index));
  llvm::Value *out = b.CreateLoad(b.getPtrTy(), f->getArg(1));
  b.CreateStore(b.CreateFAdd(b.CreateLoad(b.getFloatTy(), out), x), out);
  b.CreateRet(b.getInt32(0));
  return kernel;
}

float callTable(fil_kernel kernel, float start, int64_t index) {
  float value = start;
  void *buffers[] = {&value};
  EXPECT_EQ(kernel(nullptr, buffers, &index, 0, 1, nullptr), 0);
  return value;
}

std::string failureOf(std::vector<KernelModule> kernels, const Target &target) {
  try {
    compileImage(kernels, target);
  } catch (const Error &e) {
    EXPECT_EQ(e.exit(), Exit::Internal);
    return e.message();
  }
  return "";
}

} // namespace

TEST(Target, UnknownWordIsAUsageError) {
  try {
    findTarget("z80");
    FAIL();
  } catch (const Error &e) {
    EXPECT_EQ(e.exit(), Exit::Usage);
  }
}

TEST(Target, DescribesTheMachine) {
  Target t = findTarget("x86-64-v3");
  EXPECT_EQ(t.lanesF32, 8);
  EXPECT_EQ(t.registers, 16);
  EXPECT_GE(t.l1, 8 << 10);
  EXPECT_GE(t.l2, t.l1);
  EXPECT_EQ(t, findTarget("x86-64-v3"));
  EXPECT_NE(findTarget("native").str(), "");
}

TEST(Image, KernelsShareOneImageAndReachTheirConstants) {
  Target target = findTarget("native");
  std::vector<KernelModule> kernels;
  for (int i = 0; i < 9; ++i) kernels.push_back(tableKernel("k" + std::to_string(i), {float(i), float(i + 100)}, target));
  Image image = compileImage(kernels, target);
  ASSERT_EQ(image.entry.size(), 9u);
  LoadedImage loaded(image);
  for (int i = 0; i < 9; ++i) {
    EXPECT_EQ(callTable(loaded.kernel(i), 0.5f, 0), float(i) + 0.5f);
    EXPECT_EQ(callTable(loaded.kernel(i), 0.5f, 1), float(i + 100) + 0.5f);
    EXPECT_GT(image.size[size_t(i)], 0);
    EXPECT_GT(image.milliseconds[size_t(i)], 0);
  }
}

TEST(Image, TheSameModulesGiveTheSameBytes) {
  Target target = findTarget("native");
  auto make = [&] {
    std::vector<KernelModule> kernels;
    for (int i = 0; i < 4; ++i) kernels.push_back(tableKernel("k" + std::to_string(i), {1, 2, 3}, target));
    return compileImage(kernels, target).code;
  };
  EXPECT_EQ(make(), make());
}

TEST(Image, UndefinedSymbolIsNamed) {
  Target target = findTarget("native");
  std::vector<KernelModule> kernels;
  kernels.push_back(tableKernel("calls_out", {1}, target));
  llvm::Module &m = *kernels[0].module;
  auto callee = m.getOrInsertFunction("expf_of_nobody", llvm::FunctionType::get(llvm::Type::getVoidTy(m.getContext()), false));
  llvm::IRBuilder<> b(&m.getFunction("calls_out")->front().front());
  b.CreateCall(callee);
  EXPECT_NE(failureOf(std::move(kernels), target).find("undefined symbol `expf_of_nobody`"), std::string::npos);
}

TEST(Image, WritableDataIsRefused) {
  Target target = findTarget("native");
  std::vector<KernelModule> kernels;
  kernels.push_back(tableKernel("keeps", {1}, target));
  kernels[0].module->globals().begin()->setConstant(false);
  EXPECT_NE(failureOf(std::move(kernels), target).find("writable data"), std::string::npos);
}

TEST(Image, InvalidIrIsCaughtBeforeLlvmRuns) {
  Target target = findTarget("native");
  std::vector<KernelModule> kernels;
  kernels.push_back(tableKernel("cut", {1}, target));
  kernels[0].module->getFunction("cut")->front().getTerminator()->eraseFromParent();
  EXPECT_NE(failureOf(std::move(kernels), target).find("invalid LLVM IR"), std::string::npos);
}

TEST(Image, TextsLeaveTheModuleAsItWas) {
  Target target = findTarget("native");
  KernelModule kernel = tableKernel("texts", {1, 2}, target);
  EXPECT_NE(optimizedText(kernel, target).find("define"), std::string::npos);
  EXPECT_NE(assemblyText(kernel, target).find("texts:"), std::string::npos);
  EXPECT_EQ(optimizedText(kernel, target), optimizedText(kernel, target));
}
