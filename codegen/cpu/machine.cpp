// SPDX-License-Identifier: Apache-2.0
#include "codegen/cpu/machine.h"
#include "runtime/base/settings.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"
#include <algorithm>
#include <fmt/format.h>
#include <fstream>
#include <sstream>

namespace fil {
namespace {

/// `48K`, `2M`, `32768`; 0 if unreadable.
int64_t parseBytes(const std::string &text) {
  int64_t value = 0;
  size_t i = 0;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) value = value * 10 + (text[i] - '0');
  char unit = i < text.size() ? text[i] : ' ';
  return unit == 'K' ? value << 10 : unit == 'M' ? value << 20 : unit == 'G' ? value << 30 : value;
}

std::string firstWord(const std::string &path) {
  std::string word;
  std::ifstream(path) >> word;
  return word;
}

} // namespace

/// `32K,512K,32M`
static Caches statedCaches(const std::string &text) {
  Caches c{0, 0, 0};
  std::istringstream sizes(text);
  std::string size;
  for (int64_t *to : {&c.l1, &c.l2, &c.l3})
    if (std::getline(sizes, size, ',')) *to = parseBytes(size);
  if (c.l1 <= 0 || c.l2 < c.l1 || c.l3 < c.l2 || sizes.peek() != std::istringstream::traits_type::eof())
    throw Error(Exit::Usage, "E0703", fmt::format("FIL_TARGET_CACHES=`{}` is not three sizes, each no less than the one before", text), "write `32K,512K,32M`");
  return c;
}

Caches findCaches() {
  if (const std::string stated = setting("FIL_TARGET_CACHES"); !stated.empty()) return statedCaches(stated);
  Caches c{0, 0, 0};
  for (int i = 0; i < 8; ++i) {
    std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/";
    std::string level = firstWord(folder + "level"), type = firstWord(folder + "type");
    if (level.empty()) break;
    if (type == "Instruction") continue;
    int64_t bytes = parseBytes(firstWord(folder + "size"));
    (level == "1" ? c.l1 : level == "2" ? c.l2 : c.l3) = bytes;
  }
  if (c.l1 <= 0) c.l1 = 32 << 10;
  if (c.l2 <= 0) c.l2 = 512 << 10;
  if (c.l3 <= 0) c.l3 = std::max<int64_t>(8 << 20, c.l2);
  return c;
}

int findCores() { return setting("FIL_TARGET_CACHES").empty() ? availableCores() : 4; }

std::string machineText() {
  std::string text;
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line) && !line.empty();)
    for (const char *field : {"vendor_id", "cpu family", "model", "stepping", "flags"})
      if (line.starts_with(field) && line.find_first_not_of("\t ", std::string_view(field).size()) == line.find(':')) text += line + "\n";
  const Caches c = findCaches();
  return text + fmt::format("l1 {} l2 {} l3 {} cores {}\n", c.l1, c.l2, c.l3, findCores());
}

} // namespace fil
