// SPDX-License-Identifier: Apache-2.0
#include "tools/fil/compiler_library.h"
#include "tools/driver/timeline.h"
#include <dlfcn.h>
#include <filesystem>
#include <sys/stat.h>
#include <zlib.h>

namespace fil {

const CompilerLibrary &compilerLibrary() {
  static const CompilerLibrary *library = [] {
    const std::string path = std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "lib/libfil_compiler.so";
    // What is kept is kept under the hash of the library that this command was built with.
    const Blob content = systemFiles().read(path);
    if (crc32_z(0, reinterpret_cast<const unsigned char *>(content.data.get()), content.size) != compilerSum) throw Error(Exit::Internal, "E0702", fmt::format("`{}` is not of this command's build", path), "build again: `./dev build`");
    void *opened = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!opened) throw Error(Exit::Internal, "E0702", fmt::format("the compiler cannot be opened: {}", dlerror()), "build again: `./dev build`");
    auto *entry = reinterpret_cast<const CompilerLibrary *>(dlsym(opened, "fil_compiler_library"));
    if (!entry) throw Error(Exit::Internal, "E0702", fmt::format("`{}` is no compiler of Filigree", path), "build again: `./dev build`");
    timeline().lap("library");
    return entry;
  }();
  return *library;
}

std::string compilerText() {
  std::string text = compilerId;
  for (const char *path : compilerNeeds) {
    struct stat s {};
    stat(path, &s);
    text += fmt::format(" {} {}.{}", s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
  }
  return text;
}

} // namespace fil
