// SPDX-License-Identifier: Apache-2.0
// Memory is writable first and executable afterwards, never both.
#include "runtime/exec/code_image.h"
#include "runtime/base/status.h"
#include <cerrno>
#include <cstring>
#include <sys/mman.h>

namespace fil {

CodeImage::CodeImage(std::span<const std::byte> code) {
  if (code.empty()) return;
  bytes_ = (code.size() + 4095) / 4096 * 4096;
  void *p = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw Error(Exit::Resource, "E0701", fmt::format("no memory for {} bytes of code", bytes_));
  data_ = static_cast<std::byte *>(p);
  std::memcpy(data_, code.data(), code.size());
  if (mprotect(p, bytes_, PROT_READ | PROT_EXEC) != 0) {
    const int error = errno;
    munmap(p, bytes_);
    throw Error(Exit::Resource, "E0701", fmt::format("no executable memory for {} bytes of code: {}", bytes_, strerror(error)));
  }
}
CodeImage::~CodeImage() {
  if (data_) munmap(data_, bytes_);
}

void checkTarget(std::string_view target) {
  if (target.empty()) return;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool known[] = {target == "x86-64", target == "x86-64-v2" && __builtin_cpu_supports("x86-64-v2"),
                        target == "x86-64-v3" && __builtin_cpu_supports("x86-64-v3"), target == "x86-64-v4" && __builtin_cpu_supports("x86-64-v4"),
                        target == "x86-64-v4+bf16" && __builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512bf16")};
  for (bool k : known)
    if (k) return;
#endif
  throw Error(Exit::Resource, "E0704", fmt::format("the program is compiled for {}, which this machine does not run", target), "compile it on this machine");
}

} // namespace fil
