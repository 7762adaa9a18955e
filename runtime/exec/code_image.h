// SPDX-License-Identifier: Apache-2.0
// The machine code of a program in executable memory. Position-independent and without relocations, it is copied and nothing else.
#pragma once
#include <cstddef>
#include <span>
#include <string_view>

namespace fil {

class CodeImage {
public:
  CodeImage() = default;
  /// Error E0701 where the machine has no memory that may hold code.
  explicit CodeImage(std::span<const std::byte> code);
  ~CodeImage();
  CodeImage(const CodeImage &) = delete;

  const std::byte *data() const { return data_; }

private:
  std::byte *data_ = nullptr;
  size_t bytes_ = 0;
};

/// Error E0704 unless this machine has the instructions of `target` (`x86-64-v3`; empty: any machine's).
void checkTarget(std::string_view target);

} // namespace fil
