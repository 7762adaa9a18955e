// SPDX-License-Identifier: Apache-2.0
#include "codegen/cpu/link.h"
#include "runtime/base/status.h"
#include <algorithm>
#include <cstring>
#include <llvm/Object/ELFObjectFile.h>
#include <map>

namespace fil {
namespace {
using namespace llvm;
using Elf = object::ELF64LEObjectFile;

[[noreturn]] void fail(std::string_view kernel, const std::string &what) {
  throw Error(Exit::Internal, "E0901", fmt::format("kernel `{}`: {}", kernel, what));
}
template <class T> T take(Expected<T> value, std::string_view kernel) {
  if (!value) fail(kernel, toString(value.takeError()));
  return std::move(*value);
}

/// One object while its sections move into the image.
class Linker {
public:
  Linker(const ObjectFile &file, Image &image)
      : name_(file.name), image_(image),
        object_(take(Elf::create(MemoryBufferRef(StringRef(file.bytes.data(), file.bytes.size()), "kernel")), name_)) {}

  void run() {
    for (const object::SectionRef &s : object_.sections()) place(s);
    for (const object::SectionRef &s : object_.sections()) {
      auto target = take(s.getRelocatedSection(), name_);
      if (target == object_.section_end() || !at_.count(target->getIndex())) continue;
      for (const object::RelocationRef &r : s.relocations()) relocate(at_[target->getIndex()], r);
    }
    findEntry();
  }

private:
  /// Copies a section that is present at run time behind what the image has.
  void place(const object::SectionRef &s) {
    uint64_t flags = object::ELFSectionRef(s).getFlags();
    if (!(flags & ELF::SHF_ALLOC) || s.getSize() == 0) return;
    std::string section = take(s.getName(), name_).str();
    if (flags & ELF::SHF_WRITE) fail(name_, fmt::format("writable data in section {}", section));
    if (section == ".eh_frame") return; // nothing unwinds through a kernel
    auto content = take(s.getContents(), name_);
    uint64_t align = std::max<uint64_t>(s.getAlignment().value(), s.isText() ? 64 : 1);
    image_.code.resize((image_.code.size() + align - 1) / align * align, s.isText() ? std::byte(0x90) : std::byte(0));
    at_[s.getIndex()] = image_.code.size();
    const auto *bytes = reinterpret_cast<const std::byte *>(content.data());
    image_.code.insert(image_.code.end(), bytes, bytes + content.size());
  }

  uint64_t addressOf(const object::SymbolRef &symbol) {
    std::string text = take(symbol.getName(), name_).str();
    auto section = take(symbol.getSection(), name_);
    if (section == object_.section_end()) fail(name_, fmt::format("undefined symbol `{}`", text));
    auto at = at_.find(section->getIndex());
    if (at == at_.end()) fail(name_, fmt::format("`{}` lies in a section that is not loaded", text));
    return at->second + take(symbol.getValue(), name_);
  }

  /// S + A - P in 32 or 64 bits. A call through a procedure table (PLT32) goes straight to the function.
  void relocate(uint64_t sectionAt, const object::RelocationRef &r) {
    uint64_t place = sectionAt + r.getOffset(), type = r.getType();
    SmallString<32> typeName;
    r.getTypeName(typeName);
    std::string symbolName = r.getSymbol() == object_.symbol_end() ? "" : take(r.getSymbol()->getName(), name_).str();
    if (r.getSymbol() == object_.symbol_end()) fail(name_, fmt::format("relocation {} without symbol", typeName.str().str()));
    uint64_t symbol = addressOf(*r.getSymbol());
    int64_t addend = take(object::ELFRelocationRef(r).getAddend(), name_);
    int64_t value = int64_t(symbol) + addend - int64_t(place);
    if (type == ELF::R_X86_64_PC32 || type == ELF::R_X86_64_PLT32) {
      if (value != int32_t(value)) fail(name_, fmt::format("`{}` is out of reach", symbolName));
      int32_t narrow = int32_t(value);
      std::memcpy(&image_.code[place], &narrow, 4);
    } else if (type == ELF::R_X86_64_PC64) {
      std::memcpy(&image_.code[place], &value, 8);
    } else {
      fail(name_, fmt::format("relocation {} to `{}` is not PC-relative", typeName.str().str(), symbolName));
    }
  }

  void findEntry() {
    for (const object::ELFSymbolRef &s : object_.symbols())
      if (s.getELFType() == ELF::STT_FUNC && take(s.getName(), name_) == StringRef(name_.data(), name_.size())) {
        image_.entry.push_back(int64_t(addressOf(s)));
        image_.size.push_back(int64_t(s.getSize()));
        return;
      }
    fail(name_, "the module has no function of this name");
  }

  std::string_view name_;
  Image &image_;
  Elf object_;
  std::map<uint64_t, uint64_t> at_; // index of a section → offset in the image
};

} // namespace

void linkObjects(std::span<const ObjectFile> files, Image &image) {
  for (const ObjectFile &f : files) Linker(f, image).run();
}

} // namespace fil
