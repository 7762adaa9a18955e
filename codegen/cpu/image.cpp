// SPDX-License-Identifier: Apache-2.0
#include "codegen/cpu/image.h"
#include "codegen/cpu/link.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"
#include <cstring>
#include <llvm/Bitcode/BitcodeWriter.h>
#include <llvm/ADT/SmallString.h>
#include <llvm/Analysis/CGSCCPassManager.h>
#include <llvm/Analysis/LoopAnalysisManager.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/PassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <atomic>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>
#include <llvm/Transforms/Utils/Cloning.h>
#include <mutex>
#include <sys/mman.h>
#include <time.h>

namespace fil {
namespace {
using namespace llvm;

constexpr const char *triple = "x86_64-unknown-linux-gnu";

double threadMilliseconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) * 1e3 + double(t.tv_nsec) * 1e-6;
}

std::unique_ptr<TargetMachine> makeMachine(const fil::Target &target) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
  });
  std::string problem;
  const llvm::Target *x86 = TargetRegistry::lookupTarget(Triple(triple), problem);
  if (!x86) throw Error(Exit::Internal, "E0901", problem);
  TargetOptions options;
  options.AllowFPOpFusion = FPOpFusion::Standard; // contraction where the IR allows it, nowhere else
  return std::unique_ptr<TargetMachine>(x86->createTargetMachine(Triple(triple), target.cpu, target.features, options,
                                                                 Reloc::PIC_, CodeModel::Small, CodeGenOptLevel::Default));
}

void verify(const KernelModule &kernel) {
  std::string problem;
  raw_string_ostream out(problem);
  if (verifyModule(*kernel.module, &out))
    throw Error(Exit::Internal, "E0901", fmt::format("kernel `{}`: invalid LLVM IR: {}", kernel.name, problem));
}

/// Eight lanes have sixteen registers, not enough for the constants of an `exp` beside its values: those of multiply-adds become operands in memory, read where
/// they are used. (Volatile, or LLVM moves all of them to before the loop, some of them back, and the others from register to register in each turn. Behind what moves
/// invariant functions out of loops, or these would stay.)
void keepConstantsInMemory(Module &module) {
  DenseMap<Constant *, GlobalVariable *> memory;
  Type *vector = FixedVectorType::get(Type::getFloatTy(module.getContext()), 8);
  for (Function &f : module)
    for (BasicBlock &block : f)
      for (Instruction &i : block) {
        auto *fma = dyn_cast<IntrinsicInst>(&i);
        if (!fma || fma->getIntrinsicID() != Intrinsic::fma || fma->getType() != vector) continue;
        for (Use &u : fma->args()) {
          auto *c = dyn_cast<Constant>(u.get());
          if (!c || c->isNullValue()) continue;
          GlobalVariable *&g = memory[c];
          if (!g) g = new GlobalVariable(module, vector, true, GlobalValue::PrivateLinkage, c), g->setAlignment(Align(32));
          u.set(new LoadInst(vector, g, "", /*isVolatile=*/true, Align(32), i.getIterator()));
        }
      }
}

/// The emitters place code where it belongs; what is left to do is folding of address arithmetic and of conditions that turn out
/// constant, and moving invariant parts of user expressions out of loops.
void optimize(Module &module, TargetMachine &machine, int lanes) {
  PassBuilder builder(&machine);
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager graphs;
  ModuleAnalysisManager modules;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graphs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graphs, modules);
  FunctionPassManager passes;
  passes.addPass(EarlyCSEPass());
  passes.addPass(InstCombinePass());
  passes.addPass(SimplifyCFGPass());
  passes.addPass(createFunctionToLoopPassAdaptor(LICMPass(LICMOptions()), /*UseMemorySSA=*/true));
  for (Function &f : module)
    if (!f.isDeclaration()) passes.run(f, functions);
  if (lanes == 8) keepConstantsInMemory(module);
}

void generate(Module &module, TargetMachine &machine, CodeGenFileType type, SmallVectorImpl<char> &bytes) {
  raw_svector_ostream out(bytes);
  legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, out, nullptr, type, /*DisableVerify=*/true))
    throw Error(Exit::Internal, "E0901", "LLVM cannot write this kind of file");
  passes.run(module);
}

} // namespace

KernelModule::KernelModule() = default;
KernelModule::KernelModule(KernelModule &&) = default;
KernelModule &KernelModule::operator=(KernelModule &&other) {
  module = std::move(other.module); // the old module goes before the context that it lives in
  context = std::move(other.context);
  name = std::move(other.name), bytes = std::move(other.bytes);
  return *this;
}
KernelModule::~KernelModule() = default;

const std::string &irBytes(KernelModule &kernel) {
  if (kernel.bytes.empty()) {
    raw_string_ostream out(kernel.bytes);
    WriteBitcodeToFile(*kernel.module, out);
  }
  return kernel.bytes;
}

KernelModule makeKernelModule(std::string name, const Target &target) {
  KernelModule kernel;
  kernel.name = std::move(name);
  kernel.context = std::make_unique<LLVMContext>();
  kernel.module = std::make_unique<Module>(kernel.name, *kernel.context);
  kernel.module->setTargetTriple(Triple(triple));
  static const std::string layout = makeMachine(target)->createDataLayout().getStringRepresentation();
  kernel.module->setDataLayout(layout);
  return kernel;
}

void setFunctionAttributes(Function &f, const Target &target) {
  f.setDoesNotThrow();
  f.addFnAttr(Attribute::NoRecurse);
  f.addFnAttr("no-builtins");
  f.addFnAttr("target-cpu", target.cpu);
  if (!target.features.empty()) f.addFnAttr("target-features", target.features);
  // Vectors are as wide as the emitter says, whatever the CPU's own preference.
  std::string bits = std::to_string(target.lanesF32 * 32);
  f.addFnAttr("prefer-vector-width", bits);
  f.addFnAttr("min-legal-vector-width", bits);
}

Function *addKernelFunction(KernelModule &kernel, const Target &target) {
  LLVMContext &c = *kernel.context;
  Type *pointer = PointerType::get(c, 0), *word = Type::getInt64Ty(c);
  auto *type = FunctionType::get(Type::getInt32Ty(c), {pointer, pointer, pointer, word, word, pointer}, false);
  Function *f = Function::Create(type, GlobalValue::ExternalLinkage, kernel.name, *kernel.module);
  f->setDSOLocal(true);
  setFunctionAttributes(*f, target);
  const char *names[] = {"launch", "buffers", "sizes", "begin", "end", "scratch"};
  for (unsigned i = 0; i < 6; ++i) f->getArg(i)->setName(names[i]);
  for (unsigned i : {0u, 1u, 2u}) f->addParamAttr(i, Attribute::ReadOnly);
  f->addParamAttr(5, Attribute::NoAlias);
  f->addParamAttr(5, Attribute::getWithAlignment(c, Align(64)));
  return f;
}

static std::atomic<int64_t> compiled{0};
int64_t kernelsCompiled() { return compiled; }

Image compileImage(std::span<KernelModule> kernels, const Target &target, Store *store, const std::string &build) {
  std::vector<std::unique_ptr<TargetMachine>> machines(size_t(processPool().threads()));
  std::vector<SmallString<0>> objects(kernels.size());
  std::vector<std::optional<Blob>> stored(kernels.size());
  Image image;
  image.milliseconds.resize(kernels.size());
  parallelFor(int64_t(kernels.size()), [&](int64_t i, int worker) {
    double start = threadMilliseconds();
    std::string key;
    if (store) {
      key = fmt::format("kernel for {}\ncompiler {}\n{}\n{}", target.isa, build, target.str(), irBytes(kernels[size_t(i)]));
      if ((stored[size_t(i)] = store->find("kernel", key))) return;
    }
    ++compiled;
    auto &machine = machines[size_t(worker)];
    if (!machine) machine = makeMachine(target);
    verify(kernels[size_t(i)]);
    Module &module = *kernels[size_t(i)].module;
    optimize(module, *machine, target.lanesF32);
    generate(module, *machine, CodeGenFileType::ObjectFile, objects[size_t(i)]);
    if (store) store->put("kernel", key, std::string_view(objects[size_t(i)].data(), objects[size_t(i)].size()));
    image.milliseconds[size_t(i)] = threadMilliseconds() - start;
  });
  std::vector<ObjectFile> files;
  for (size_t i = 0; i < kernels.size(); ++i)
    files.push_back({kernels[i].name, stored[i] ? stored[i]->text() : std::string_view(objects[i].data(), objects[i].size())});
  linkObjects(files, image);
  return image;
}

std::string optimizedText(const KernelModule &kernel, const Target &target) {
  verify(kernel);
  auto copy = CloneModule(*kernel.module);
  optimize(*copy, *makeMachine(target), target.lanesF32);
  std::string text;
  raw_string_ostream out(text);
  copy->print(out, nullptr);
  return text;
}

std::string assemblyText(const KernelModule &kernel, const Target &target) {
  verify(kernel);
  auto copy = CloneModule(*kernel.module);
  auto machine = makeMachine(target);
  optimize(*copy, *machine, target.lanesF32);
  SmallString<0> text;
  generate(*copy, *machine, CodeGenFileType::AssemblyFile, text);
  return std::string(text.data(), text.size());
}

LoadedImage::LoadedImage(const Image &image) : bytes_(image.code.size()), entry_(image.entry) {
  base_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base_ == MAP_FAILED) throw Error(Exit::Resource, "E0701", "no memory for generated code");
  std::memcpy(base_, image.code.data(), bytes_);
  if (mprotect(base_, bytes_, PROT_READ | PROT_EXEC) != 0) {
    munmap(base_, bytes_);
    throw Error(Exit::Resource, "E0701", "the system does not let generated code run");
  }
}
LoadedImage::~LoadedImage() { munmap(base_, bytes_); }

} // namespace fil
