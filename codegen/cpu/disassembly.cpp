// SPDX-License-Identifier: Apache-2.0
#include "codegen/cpu/disassembly.h"
#include "runtime/base/status.h"
#include <llvm/ADT/SmallString.h>
#include <llvm/MC/MCAsmInfo.h>
#include <llvm/MC/MCContext.h>
#include <llvm/MC/MCDisassembler/MCDisassembler.h>
#include <llvm/MC/MCInst.h>
#include <llvm/MC/MCInstPrinter.h>
#include <llvm/MC/MCInstrInfo.h>
#include <llvm/MC/MCRegisterInfo.h>
#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <mutex>

namespace fil {
namespace {
using namespace llvm;

bool isVector(StringRef text) {
  const StringRef name = text.trim().split('\t').first;
  const bool scalar = name.ends_with("ss") || name.ends_with("sd") || name == "vmovd" || name == "vmovq" || name == "vzeroupper";
  return !scalar && (text.contains("xmm") || text.contains("ymm") || text.contains("zmm"));
}

} // namespace

InstructionCount countInstructions(std::span<const std::byte> code) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86Disassembler();
  });
  const Triple triple("x86_64-unknown-linux-gnu");
  std::string problem;
  const Target *x86 = TargetRegistry::lookupTarget(triple, problem);
  if (!x86) throw Error(Exit::Internal, "E0901", problem);
  std::unique_ptr<MCRegisterInfo> registers(x86->createMCRegInfo(triple));
  std::unique_ptr<MCAsmInfo> assembly(x86->createMCAsmInfo(*registers, triple, MCTargetOptions()));
  std::unique_ptr<MCInstrInfo> instructions(x86->createMCInstrInfo());
  std::unique_ptr<MCSubtargetInfo> features(x86->createMCSubtargetInfo(triple, "x86-64-v4", ""));
  MCContext context(triple, assembly.get(), registers.get(), features.get());
  std::unique_ptr<MCDisassembler> disassembler(x86->createMCDisassembler(*features, context));
  std::unique_ptr<MCInstPrinter> printer(x86->createMCInstPrinter(triple, 0, *assembly, *instructions, *registers));
  const ArrayRef<uint8_t> bytes(reinterpret_cast<const uint8_t *>(code.data()), code.size());
  InstructionCount count;
  for (uint64_t at = 0, size = 0; at < bytes.size(); at += size) {
    MCInst instruction;
    if (disassembler->getInstruction(instruction, size, bytes.slice(at), at, nulls()) != MCDisassembler::Success)
      throw Error(Exit::Internal, "E0901", fmt::format("no instruction at byte {} of a kernel", at));
    SmallString<64> text;
    raw_svector_ostream out(text);
    printer->printInst(&instruction, at, "", *features, out);
    ++count.all;
    count.vector += isVector(text);
  }
  return count;
}

} // namespace fil
