// SPDX-License-Identifier: Apache-2.0
// `fil cache`: what compilations have left on disk.
#include "codegen/cache/store.h"
#include "runtime/base/settings.h"
#include "runtime/base/status.h"
#include "tools/fil/commands.h"

namespace fil {
namespace {
void print(const Store::Entry &e) { fmt::print("{:<8} {:>10} bytes  {}  {}\n", e.kind, e.bytes, e.name, e.title); }
} // namespace

Exit cache(const std::string &what) {
  auto store = Store::ofUser();
  if (!store) throw Error(Exit::Input, "E0501", "there is no cache", "set FIL_CACHE_BYTES to more than 0, and FIL_CACHE_DIR, XDG_CACHE_HOME or HOME to a folder");
  if (what == "clear") {
    if (const size_t left = store->clear()) throw Error(Exit::Resource, "E0502", fmt::format("{} entries of `{}` cannot be removed", left, store->folder.string()));
    fmt::print("no entry is left in {}\n", store->folder.string());
    return Exit::Ok;
  }
  if (what == "verify") {
    auto damaged = store->verify();
    for (const Store::Entry &e : damaged) print(e);
    fmt::print("{} entries were damaged and are gone, {} are whole\n", damaged.size(), store->list().size());
    return Exit::Ok;
  }
  int64_t bytes = 0;
  auto all = store->list();
  for (const Store::Entry &e : all) print(e), bytes += e.bytes;
  fmt::print("{} entries, {} of at most {} bytes, in {}\n", all.size(), bytes, store->mostBytes, store->folder.string());
  return Exit::Ok;
}

} // namespace fil
