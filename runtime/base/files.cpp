// SPDX-License-Identifier: Apache-2.0
// The machine's files. Writing: a temporary beside the target, fsync, rename, fsync of the folder.
#include "runtime/base/files.h"
#include "runtime/base/status.h"
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <glob.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fil {
namespace {

[[noreturn]] void readFailure(const std::string &path, const std::string &why) {
  throw Error(Exit::Input, "E0501", fmt::format("`{}` cannot be read: {}", path, why));
}
[[noreturn]] void writeFailure(const std::string &path, int error) {
  if (error == ENOSPC || error == EDQUOT || error == EFBIG)
    throw Error(Exit::Resource, "E0503", fmt::format("`{}` cannot be written: {}", path, strerror(error)),
                "free some space or name another folder; what was there before is unchanged");
  bool resource = error == EMFILE || error == ENFILE || error == ENOMEM;
  throw Error(resource ? Exit::Resource : Exit::Input, "E0502",
              fmt::format("`{}` cannot be written: {}", path, strerror(error)));
}

struct Descriptor {
  int fd = -1;
  ~Descriptor() { reset(); }
  int reset() {
    int r = fd >= 0 ? ::close(fd) : 0;
    fd = -1;
    return r;
  }
};

void writeAll(int fd, const std::string &path, const void *data, size_t size) {
  auto *p = static_cast<const char *>(data);
  while (size > 0) {
    ssize_t n = ::write(fd, p, std::min(size, size_t(1) << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) writeFailure(path, errno);
    p += n, size -= size_t(n);
  }
}

std::pair<std::string, std::string> splitPath(const std::string &path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash ? path.substr(0, slash) : "/", path.substr(slash + 1)};
}

/// Temporaries are `.NAME.PID-N.tmp`; those of processes that are gone (killed while writing) are removed.
void removeStale(const std::string &folder, const std::string &name) {
  std::string prefix = "." + name + ".";
  DIR *dir = opendir(folder.c_str());
  if (!dir) return;
  while (dirent *e = readdir(dir)) {
    std::string_view n(e->d_name);
    if (!n.starts_with(prefix) || !n.ends_with(".tmp")) continue;
    long pid = std::strtol(e->d_name + prefix.size(), nullptr, 10);
    if (pid > 0 && kill(pid_t(pid), 0) != 0 && errno == ESRCH)
      unlinkat(dirfd(dir), e->d_name, 0);
  }
  closedir(dir);
}

class SystemSink : public Sink {
public:
  explicit SystemSink(const std::string &path) : path_(path) {
    static std::atomic<unsigned> number{0};
    auto [folder, name] = splitPath(path);
    folder_ = folder;
    removeStale(folder, name);
    temporary_ = fmt::format("{}/.{}.{}-{}.tmp", folder, name, getpid(), number++);
    file_.fd = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file_.fd < 0) writeFailure(path_, errno);
  }
  ~SystemSink() override {
    if (!committed_) ::unlink(temporary_.c_str());
  }
  void write(const void *data, size_t size) override { writeAll(file_.fd, path_, data, size); }
  void commit() override {
    if (::fsync(file_.fd) != 0) writeFailure(path_, errno);
    if (file_.reset() != 0) writeFailure(path_, errno);
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) writeFailure(path_, errno);
    committed_ = true;
    Descriptor folder{::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (folder.fd < 0 || (::fsync(folder.fd) != 0 && errno != EINVAL)) writeFailure(path_, errno);
  }

private:
  std::string path_, folder_, temporary_;
  Descriptor file_;
  bool committed_ = false;
};

class SystemAppender : public Appender {
public:
  explicit SystemAppender(const std::string &path) : path_(path) {
    file_.fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file_.fd < 0) writeFailure(path, errno);
  }
  void append(std::string_view text) override { writeAll(file_.fd, path_, text.data(), text.size()); }

private:
  std::string path_;
  Descriptor file_;
};

/// A pipe has no length; it is read to its end.
Blob readStream(int fd, const std::string &path) {
  auto content = std::make_shared<std::string>();
  char buffer[1 << 16];
  for (;;) {
    ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) readFailure(path, strerror(errno));
    if (n == 0) break;
    content->append(buffer, size_t(n));
  }
  return {{content, reinterpret_cast<const std::byte *>(content->data())}, content->size()};
}

class SystemFiles : public Files {
public:
  Blob read(const std::string &path) override {
    Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    struct stat st;
    if (file.fd < 0 || ::fstat(file.fd, &st) != 0) readFailure(path, strerror(errno));
    if (S_ISDIR(st.st_mode)) readFailure(path, "it is a folder");
    if (S_ISFIFO(st.st_mode)) return readStream(file.fd, path);
    if (!S_ISREG(st.st_mode)) readFailure(path, "it is a device, not a file");
    size_t size = size_t(st.st_size);
    if (size == 0) return readStream(file.fd, path); // empty, or a file of /proc
    void *p = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
    if (p == MAP_FAILED) readFailure(path, strerror(errno));
    auto unmap = [size](const std::byte *q) { ::munmap(const_cast<std::byte *>(q), size); };
    return {std::shared_ptr<const std::byte>(static_cast<std::byte *>(p), unmap), size};
  }
  std::unique_ptr<Sink> replace(const std::string &path) override {
    struct stat st;
    if (::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) writeFailure(path, EISDIR);
    return std::make_unique<SystemSink>(path);
  }
  std::unique_ptr<Appender> append(const std::string &path) override {
    return std::make_unique<SystemAppender>(path);
  }
  bool exists(const std::string &path) override { return ::access(path.c_str(), F_OK) == 0; }
  std::vector<std::string> glob(const std::string &pattern) override {
    if (exists(pattern)) return {pattern};
    std::vector<std::string> found;
    glob_t g{};
    if (::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &g) == 0)
      found.assign(g.gl_pathv, g.gl_pathv + g.gl_pathc);
    ::globfree(&g);
    std::sort(found.begin(), found.end());
    return found;
  }
  void makeFolder(const std::string &path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) writeFailure(path, error.value());
    if (!std::filesystem::is_directory(path, error)) writeFailure(path, ENOTDIR);
  }
};

} // namespace

Files &systemFiles() {
  static SystemFiles files;
  return files;
}

void writeFile(Files &files, const std::string &path, std::string_view content) {
  auto sink = files.replace(path);
  sink->write(content.data(), content.size());
  sink->commit();
}

} // namespace fil
