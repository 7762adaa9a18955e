// SPDX-License-Identifier: Apache-2.0
#include "codegen/cache/store.h"
#include "runtime/base/philox.h"
#include "runtime/base/settings.h"
#include "runtime/base/status.h"
#include <algorithm>
#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

namespace fil {
namespace fs = std::filesystem;
namespace {

// The file `key` begins with a line about `content`; the rest is the key.
std::string headOf(std::string_view content) { return fmt::format("filigree 1, content {} bytes, fnv1a64 {:016x}\n", content.size(), fnv1a64(content)); }

std::optional<Blob> readIfThere(const fs::path &path) {
  try {
    return systemFiles().read(path.string());
  } catch (const Error &) {
    return {};
  }
}
/// Not synchronised with the disk as `writeFile` is: what a machine that stops leaves half is found damaged.
bool writeNew(const fs::path &path, std::string_view first, std::string_view second = {}) {
  std::ofstream out(path, std::ios::binary);
  out << first << second;
  out.close();
  return bool(out);
}
// In a folder that holds other things too, nothing but these is ever looked at or removed.
constexpr const char *kinds[] = {"kernel", "program"};
bool isEntry(const fs::path &p) {
  const std::string name = p.filename();
  return name.size() == 32 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}
// What was put of a kind since the last trim: a file of one byte for each so many, to which any number of processes append without a lock.
constexpr const char *putName = "put-since-trim";
constexpr size_t putUnit = 4096;
std::string asideName(const char *what) {
  static std::atomic<int> number{0};
  return fmt::format("{}-{}-{}", what, getpid(), number++);
}
/// What a process made and left behind when it ended early: none of its number runs here, or it is an hour old. One on another machine that shares the folder loses what it is at, which is made again.
bool isLeft(const fs::directory_entry &d) {
  const std::string name = d.path().filename();
  if (name.size() <= 5 || !(name.starts_with(".new-") || name.starts_with(".old-")) || name.find_first_not_of("0123456789-", 5) != std::string::npos) return false;
  std::error_code e;
  const int pid = std::atoi(name.c_str() + 5);
  return (pid > 0 && kill(pid, 0) && errno == ESRCH) || fs::file_time_type::clock::now() - d.last_write_time(e) > std::chrono::hours(1);
}
std::string nameOf(std::string_view key) { return fmt::format("{:016x}{:016x}", fnv1a64(key), fnv1a64(fmt::format("{}\n{}", key.size(), key))); }
/// The key of an entry whose content is what was written.
std::optional<std::string_view> keyIn(const std::optional<Blob> &key, const std::optional<Blob> &content) {
  if (!key || !content) return {};
  const std::string head = headOf(content->text());
  return key->text().starts_with(head) ? std::optional(key->text().substr(head.size())) : std::nullopt;
}

} // namespace

std::optional<Store> Store::ofUser() {
  const int64_t bytes = settingInt("FIL_CACHE_BYTES", 0, INT64_MAX);
  const std::string folder = cacheFolder();
  if (bytes == 0 || folder.empty()) return {};
  return Store(folder, bytes);
}

fs::path Store::placeOf(const std::string &kind, std::string_view key) const { return folder / kind / nameOf(key); }

std::optional<Blob> Store::find(const std::string &kind, std::string_view key) {
  const fs::path entry = placeOf(kind, key);
  std::error_code e;
  if (!fs::exists(entry, e)) return {};
  auto known = readIfThere(entry / "key"), content = readIfThere(entry / "content");
  const auto its = keyIn(known, content);
  if (its != key) {
    if (!its || nameOf(*its) != entry.filename()) remove(entry); // another key of the same hash keeps its place
    return {};
  }
  utimensat(AT_FDCWD, entry.c_str(), nullptr, 0);
  return content;
}

void Store::put(const std::string &kind, std::string_view key, std::string_view content) {
  const fs::path entry = placeOf(kind, key), aside = folder / asideName(".new");
  std::error_code e;
  fs::create_directories(entry.parent_path(), e);
  if (e || !fs::create_directory(aside, e)) return;
  if (!writeNew(aside / "content", content) || !writeNew(aside / "key", headOf(content), key) || (fs::rename(aside, entry, e), e)) fs::remove_all(aside, e);
  else std::ofstream(folder / kind / putName, std::ios::binary | std::ios::app) << std::string((key.size() + content.size()) / putUnit + 1, '.');
}

std::error_code Store::refusal() const {
  std::error_code e;
  fs::create_directories(folder, e);
  if (!e && access(folder.c_str(), W_OK | X_OK)) e = std::error_code(errno, std::generic_category());
  return e;
}

void Store::remove(const fs::path &entry) { // at once: a reader finds it or does not
  const fs::path aside = folder / asideName(".old");
  std::error_code e;
  fs::rename(entry, aside, e);
  if (!e) fs::remove_all(aside, e);
}
void Store::drop(const std::string &kind, std::string_view key) { remove(placeOf(kind, key)); }

std::vector<Store::Entry> Store::list() const { return entries(true); }
std::vector<Store::Entry> Store::entries(bool titles) const {
  std::vector<Entry> all;
  std::error_code e;
  for (const char *kind : kinds)
    for (const fs::directory_entry &d : fs::directory_iterator(folder / kind, e)) {
      if (!isEntry(d.path())) continue;
      Entry x{kind, d.path().filename(), 0, d.last_write_time(e), {}};
      for (const char *part : {"key", "content"}) {
        const auto bytes = fs::file_size(d.path() / part, e);
        if (!e) x.bytes += int64_t(bytes);
      }
      if (titles) {
        std::ifstream key(d.path() / "key");
        std::string head;
        std::getline(key, head), std::getline(key, x.title);
      }
      all.push_back(std::move(x));
    }
  std::ranges::sort(all, [](const Entry &a, const Entry &b) { return a.used > b.used; });
  return all;
}

std::vector<Store::Entry> Store::verify() {
  std::vector<Entry> damaged;
  for (Entry &x : list()) {
    const fs::path entry = folder / x.kind / x.name;
    auto key = readIfThere(entry / "key"), content = readIfThere(entry / "content");
    if (const auto its = keyIn(key, content); its && nameOf(*its) == x.name) continue;
    remove(entry);
    damaged.push_back(std::move(x));
  }
  return damaged;
}

size_t Store::clear() {
  forgetPut();
  for (const Entry &x : entries(false)) remove(folder / x.kind / x.name);
  removeLeft();
  return entries(false).size();
}

void Store::trimWhenDue() {
  int64_t bytes = 0;
  for (const char *kind : kinds) {
    std::error_code e;
    if (const auto units = fs::file_size(folder / kind / putName, e); !e) bytes += int64_t(units * putUnit);
  }
  if (bytes >= mostBytes / 16) trim();
}
void Store::forgetPut() {
  std::error_code e;
  for (const char *kind : kinds) fs::remove(folder / kind / putName, e);
}
void Store::trim() {
  forgetPut();
  auto all = entries(false);
  int64_t bytes = 0;
  for (const Entry &x : all)
    if (bytes += x.bytes; bytes > mostBytes) remove(folder / x.kind / x.name);
  removeLeft();
}
void Store::removeLeft() {
  std::error_code e;
  for (const fs::directory_entry &d : fs::directory_iterator(folder, e))
    if (isLeft(d)) fs::remove_all(d.path(), e);
}

} // namespace fil
