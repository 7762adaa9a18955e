// SPDX-License-Identifier: Apache-2.0
// Text is bytes; several files are one text.
#include "runtime/base/status.h"
#include "runtime/data/readers.h"

namespace fil {

Blob readText(Files &files, const std::vector<std::string> &patterns) {
  std::vector<Blob> parts;
  for (const std::string &pattern : patterns) {
    std::vector<std::string> found = files.glob(pattern);
    bool isPattern = pattern.find_first_of("*?[") != std::string::npos;
    if (found.empty() && isPattern)
      throw Error(Exit::Input, "E0509", fmt::format("no file matches `{}`", pattern),
                  "files of a plan are looked up in --data-dir, else beside the plan's file");
    if (found.empty()) found = {pattern}; // to fail with the system's reason
    for (const std::string &path : found) parts.push_back(files.read(path));
  }
  if (parts.size() == 1) return parts[0];
  auto all = std::make_shared<std::string>();
  size_t size = 0;
  for (Blob &b : parts) size += b.size;
  all->reserve(size);
  for (Blob &b : parts) all->append(b.text());
  return {{all, reinterpret_cast<const std::byte *>(all->data())}, size};
}

} // namespace fil
