// SPDX-License-Identifier: Apache-2.0
// Files as a seam: what the product does with a disk, small enough to have a twin in memory (memory_files.h). Failures are
// Errors with path and reason: E0501 reading, E0502 writing, E0503 no space (exit 4).
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fil {

/// The content of a file, or a part of it; the memory lives as long as some Blob refers to it.
struct Blob {
  std::shared_ptr<const std::byte> data;
  size_t size = 0;
  std::string_view text() const { return {reinterpret_cast<const char *>(data.get()), size}; }
};

/// A file being written whole. Nobody sees it before commit(); without commit() it never existed.
class Sink {
public:
  virtual ~Sink() = default;
  virtual void write(const void *data, size_t size) = 0;
  /// The old content is replaced by the new one at once, and stays so even if the machine stops.
  virtual void commit() = 0;
};

/// A file that grows. Each call is on the disk's side when it returns (but not synchronised).
class Appender {
public:
  virtual ~Appender() = default;
  virtual void append(std::string_view text) = 0;
};

class Files {
public:
  virtual ~Files() = default;
  /// The whole file, mapped where the system can. It must not be cut short while it is in use; replacing it is fine.
  virtual Blob read(const std::string &path) = 0;
  virtual std::unique_ptr<Sink> replace(const std::string &path) = 0;
  virtual std::unique_ptr<Appender> append(const std::string &path) = 0;
  virtual bool exists(const std::string &path) = 0;
  /// Files that match a shell pattern (`*`, `?`, `[a-z]`), sorted by name; a path without pattern is itself if it exists.
  virtual std::vector<std::string> glob(const std::string &pattern) = 0;
  /// The folder and those above it.
  virtual void makeFolder(const std::string &path) = 0;
};
Files &systemFiles();

/// Writes a whole file, durably.
void writeFile(Files &, const std::string &path, std::string_view content);

} // namespace fil
