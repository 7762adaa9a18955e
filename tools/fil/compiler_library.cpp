// SPDX-License-Identifier: Apache-2.0
#include "tools/fil/compiler_library.h"
#include "tools/driver/timeline.h"
#include <dlfcn.h>
#include <filesystem>

namespace fil {

const CompilerLibrary &compilerLibrary() {
  static const CompilerLibrary *library = [] {
    const std::string path = std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "lib/libfil_compiler.so";
    void *opened = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!opened) throw Error(Exit::Internal, "E0702", fmt::format("the compiler cannot be opened: {}", dlerror()), "build again: `./dev build`");
    auto *entry = reinterpret_cast<const CompilerLibrary *>(dlsym(opened, "fil_compiler_library"));
    if (!entry) throw Error(Exit::Internal, "E0702", fmt::format("`{}` is no compiler of Filigree", path), "build again: `./dev build`");
    timeline().lap("library");
    return entry;
  }();
  return *library;
}

} // namespace fil
