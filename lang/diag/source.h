// SPDX-License-Identifier: Apache-2.0
// Texts and places in them. A span is bytes of one file; lines and columns are computed when they are printed.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fil {

struct Span {
  uint32_t file = 0, begin = 0, end = 0; ///< bytes, half-open; file 0 is "no place"
  bool valid() const { return file != 0; }
  friend bool operator==(const Span &, const Span &) = default;
};

class SourceManager {
public:
  struct Place { uint32_t line, column; }; ///< from 1; columns count code points

  uint32_t add(std::string name, std::string text); ///< the id of the file, from 1
  const std::string &name(uint32_t file) const { return files_[file - 1].name; }
  std::string_view text(uint32_t file) const { return files_[file - 1].text; }
  std::string_view text(Span s) const { return text(s.file).substr(s.begin, s.end - s.begin); }
  uint32_t size() const { return uint32_t(files_.size()); }
  Place place(uint32_t file, uint32_t offset) const;
  std::string_view line(uint32_t file, uint32_t line) const; ///< without its line end

private:
  struct File { std::string name, text; std::vector<uint32_t> lineStarts; };
  std::vector<File> files_;
};

} // namespace fil
