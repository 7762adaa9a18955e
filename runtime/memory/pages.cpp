// SPDX-License-Identifier: Apache-2.0
#include "runtime/memory/pages.h"
#include "runtime/base/status.h"
#include <cstdint>
#include <sys/mman.h>

namespace fil {

Pages::Pages(size_t bytes) : bytes_(bytes) {
  constexpr size_t page = 4096, huge = size_t(2) << 20;
  const size_t align = bytes >= huge ? huge : page;
  if (bytes > SIZE_MAX / 2) throw Error(Exit::Resource, "E0701", fmt::format("no memory for {} bytes", bytes));
  mapped_ = (bytes + align - 1) / align * align + (align == huge ? huge : 0);
  if (bytes == 0) mapped_ = page;
  map_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map_ == MAP_FAILED) {
    map_ = nullptr;
    throw Error(Exit::Resource, "E0701", fmt::format("no memory for {} bytes", bytes), "a smaller batch or window needs less");
  }
  data_ = reinterpret_cast<std::byte *>((reinterpret_cast<uintptr_t>(map_) + align - 1) / align * align);
  if (align == huge) madvise(data_, mapped_ - huge, MADV_HUGEPAGE); // a wish: the system may have none
}
Pages::~Pages() {
  if (map_) munmap(map_, mapped_);
}

} // namespace fil
