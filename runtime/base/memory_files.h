// SPDX-License-Identifier: Apache-2.0
// The twin of the disk for tests: files are strings in a map, and a full disk is a number.
#pragma once
#include "runtime/base/files.h"
#include "runtime/base/status.h"
#include <fnmatch.h>
#include <map>

namespace fil {

class MemoryFiles : public Files {
public:
  std::map<std::string, std::string> content;
  size_t capacity = SIZE_MAX; ///< bytes that may still be written

  Blob read(const std::string &path) override {
    auto it = content.find(path);
    if (it == content.end())
      throw Error(Exit::Input, "E0501", fmt::format("`{}` cannot be read: no such file", path));
    auto s = std::make_shared<const std::string>(it->second);
    return {{s, reinterpret_cast<const std::byte *>(s->data())}, s->size()};
  }
  std::unique_ptr<Sink> replace(const std::string &path) override {
    return std::make_unique<MemorySink>(*this, path);
  }
  std::unique_ptr<Appender> append(const std::string &path) override {
    return std::make_unique<MemoryAppender>(*this, path);
  }
  bool exists(const std::string &path) override { return content.count(path) > 0; }
  std::vector<std::string> glob(const std::string &pattern) override {
    if (exists(pattern)) return {pattern};
    std::vector<std::string> found;
    for (auto &[path, text] : content)
      if (fnmatch(pattern.c_str(), path.c_str(), FNM_PATHNAME | FNM_PERIOD) == 0) found.push_back(path);
    return found;
  }
  void makeFolder(const std::string &) override {}

private:
  void spend(const std::string &path, size_t size) {
    if (size > capacity)
      throw Error(Exit::Resource, "E0503", fmt::format("`{}` cannot be written: the disk is full", path));
    capacity -= size;
  }
  struct MemorySink : Sink {
    MemorySink(MemoryFiles &files, std::string path) : files(files), path(std::move(path)) {}
    void write(const void *data, size_t size) override {
      files.spend(path, size);
      text.append(static_cast<const char *>(data), size);
    }
    void commit() override { files.content[path] = std::move(text); }
    MemoryFiles &files;
    std::string path, text;
  };
  struct MemoryAppender : Appender {
    MemoryAppender(MemoryFiles &files, std::string path) : files(files), path(std::move(path)) {
      files.content[this->path];
    }
    void append(std::string_view text) override {
      files.spend(path, text.size());
      files.content[path] += text;
    }
    MemoryFiles &files;
    std::string path;
  };
};

} // namespace fil
