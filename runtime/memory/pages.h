// SPDX-License-Identifier: Apache-2.0
// Memory from the system: zero, on huge pages where the system has them, page-aligned. For what is large and lives long (arena,
// variables, caches); a malloc of each step would fault its pages in anew.
#pragma once
#include <cstddef>
#include <utility>

namespace fil {

class Pages {
public:
  Pages() = default;
  /// Error E0701 (exit 4) where the machine has no such memory.
  explicit Pages(size_t bytes);
  Pages(Pages &&o) noexcept { *this = std::move(o); }
  Pages &operator=(Pages &&o) noexcept {
    std::swap(map_, o.map_), std::swap(mapped_, o.mapped_), std::swap(data_, o.data_), std::swap(bytes_, o.bytes_);
    return *this;
  }
  ~Pages();

  std::byte *data() const { return data_; }
  size_t bytes() const { return bytes_; }

private:
  void *map_ = nullptr;
  size_t mapped_ = 0, bytes_ = 0;
  std::byte *data_ = nullptr;
};

} // namespace fil
