// SPDX-License-Identifier: Apache-2.0
// What was compiled once, on disk: entries found by the whole text of their key, which holds all that can change the content. An entry is
// a folder, `KIND/HASH of the key/{key,content}`, written aside and renamed, so that it is whole or absent and two processes that make the same
// one do not meet; readers take no lock. Nothing here can fail a compilation: what cannot be read is not there, what cannot be written is not kept.
#pragma once
#include "runtime/base/files.h"
#include <cstdint>
#include <filesystem>
#include <optional>

namespace fil {

class Store {
public:
  Store(std::filesystem::path folder, int64_t mostBytes) : folder(std::move(folder)), mostBytes(mostBytes) {}
  /// `FIL_CACHE_DIR`, else `filigree` in the user's folder for caches; `FIL_CACHE_BYTES`. None where the size is 0 or there is no such folder.
  static std::optional<Store> ofUser();

  /// The content, or none; a damaged entry goes. What is found counts as used now.
  std::optional<Blob> find(const std::string &kind, std::string_view key);
  void put(const std::string &kind, std::string_view key, std::string_view content);
  void drop(const std::string &kind, std::string_view key);
  /// Why nothing can be put into the folder; no error where it can.
  std::error_code refusal() const;

  struct Entry {
    std::string kind, name;
    int64_t bytes = 0;
    std::filesystem::file_time_type used;
    std::string title; ///< first line of the key
  };
  std::vector<Entry> list() const; ///< the last used first
  /// Entries that are not what was written, or not in their place; they go.
  std::vector<Entry> verify();
  /// Removes all entries, and what processes that ended early left; how many could not be removed.
  size_t clear();
  /// The entries that were not used for longest go, until all together have at most `mostBytes`, and what processes that ended early left.
  void trim();
  /// Where a sixteenth of `mostBytes` was put since the last time, by whichever processes: looking at all entries takes long where there are many.
  void trimWhenDue();

  const std::filesystem::path folder;
  const int64_t mostBytes;

private:
  std::filesystem::path placeOf(const std::string &kind, std::string_view key) const;
  std::vector<Entry> entries(bool titles) const;
  void remove(const std::filesystem::path &entry);
  void removeLeft();
  void forgetPut();
};

} // namespace fil
