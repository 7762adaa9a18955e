// SPDX-License-Identifier: Apache-2.0
// LLVM modules to one position-independent image of machine code: a short pipeline tuned for emitters that write good code
// themselves, object files in memory, and a relocator that resolves PC-relative references and refuses everything else. So what
// is kept and loaded needs no linker: map it, make it executable, call.
#pragma once
#include "codegen/cache/store.h"
#include "codegen/cpu/target.h"
#include "runtime/abi/kernel.h"
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace llvm {
class Function;
class LLVMContext;
class Module;
} // namespace llvm

namespace fil {

/// One kernel: a module whose function `name` is the entry. Contexts are its own, so modules compile in parallel.
struct KernelModule {
  std::string name;
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> module; ///< declared after its context: destroyed before it
  std::string bytes;                    ///< what `irBytes` has written

  KernelModule();
  KernelModule(KernelModule &&);
  KernelModule &operator=(KernelModule &&);
  ~KernelModule();
};

/// The module as it was when this was first asked.
const std::string &irBytes(KernelModule &);
/// An empty module with the target's triple and data layout.
KernelModule makeKernelModule(std::string name, const Target &);
/// A function without body of the type of fil_kernel (runtime/abi/kernel.h) under the module's name, with all attributes that
/// generated code needs. Arguments: launch, buffers, sizes, begin, end, scratch.
llvm::Function *addKernelFunction(KernelModule &, const Target &);
/// Those attributes, for functions of other types: the target's CPU, vector width, no unwinding, no synthesised library calls.
void setFunctionAttributes(llvm::Function &, const Target &);

struct Image {
  std::vector<std::byte> code;        ///< position-independent, no relocations left; to be placed at a multiple of `alignment`
  std::vector<int64_t> entry, size;   ///< a kernel each: offset of its first instruction, bytes of its instructions
  std::vector<double> milliseconds;   ///< thread CPU time of optimisation and code generation
  static constexpr int64_t alignment = 4096;
};

/// Compiles all modules on the process's pool. They are optimised in place. Error E0901 (internal) if a module is invalid, has no
/// function of its name, refers to an undefined symbol, has writable data or needs a relocation that is not PC-relative.
/// Objects of kernels that `store` holds under the same IR, target and `build` (of this compiler) are taken from there, others put there.
Image compileImage(std::span<KernelModule>, const Target &, Store *store = nullptr, const std::string &build = {});

/// How many kernels this process has compiled; those of a store are not among them.
int64_t kernelsCompiled();

/// For people: the module's IR after optimisation, and its assembly. Both work on a copy.
std::string optimizedText(const KernelModule &, const Target &);
std::string assemblyText(const KernelModule &, const Target &);

/// An image mapped into this process, read and execute.
class LoadedImage {
public:
  explicit LoadedImage(const Image &);
  ~LoadedImage();
  LoadedImage(const LoadedImage &) = delete;
  fil_kernel kernel(int i) const { return reinterpret_cast<fil_kernel>(address(i)); }
  void *address(int i) const { return static_cast<std::byte *>(base_) + entry_[size_t(i)]; }

private:
  void *base_ = nullptr;
  size_t bytes_ = 0;
  std::vector<int64_t> entry_;
};

} // namespace fil
