// SPDX-License-Identifier: Apache-2.0
#include "lang/diag/source.h"
#include <algorithm>

namespace fil {

uint32_t SourceManager::add(std::string name, std::string text) {
  File f{std::move(name), std::move(text), {0}};
  for (uint32_t i = 0; i < f.text.size(); ++i)
    if (f.text[i] == '\n') f.lineStarts.push_back(i + 1);
  files_.push_back(std::move(f));
  return uint32_t(files_.size());
}
SourceManager::Place SourceManager::place(uint32_t file, uint32_t offset) const {
  const File &f = files_[file - 1];
  auto it = std::upper_bound(f.lineStarts.begin(), f.lineStarts.end(), offset);
  uint32_t line = uint32_t(it - f.lineStarts.begin()), column = 1;
  for (uint32_t i = f.lineStarts[line - 1]; i < offset && i < f.text.size(); ++i)
    column += (f.text[i] & 0xC0) != 0x80;
  return {line, column};
}
std::string_view SourceManager::line(uint32_t file, uint32_t line) const {
  const File &f = files_[file - 1];
  uint32_t begin = f.lineStarts[line - 1];
  uint32_t end = line < f.lineStarts.size() ? f.lineStarts[line] : uint32_t(f.text.size());
  while (end > begin && (f.text[end - 1] == '\n' || f.text[end - 1] == '\r')) --end;
  return std::string_view(f.text).substr(begin, end - begin);
}
} // namespace fil
