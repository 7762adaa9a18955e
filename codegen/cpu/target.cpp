// SPDX-License-Identifier: Apache-2.0
#include "codegen/cpu/target.h"
#include "runtime/base/status.h"
#include <algorithm>
#include <fstream>
#include <llvm/ADT/StringMap.h>
#include <llvm/TargetParser/Host.h>
#include <vector>

namespace fil {
namespace {

constexpr const char *v3Features[] = {"avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe"};
constexpr const char *v4Features[] = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"};

template <class List> bool hasAll(const llvm::StringMap<bool> &features, const List &names) {
  return std::ranges::all_of(names, [&](const char *n) { return features.lookup(n); });
}

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

/// Caches as the system describes them; what it does not tell gets the size of a small machine of the last ten years.
void findCaches(Target &target) {
  for (int i = 0; i < 8; ++i) {
    std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/";
    std::string level = firstWord(folder + "level"), type = firstWord(folder + "type");
    if (level.empty()) break;
    if (type == "Instruction") continue;
    int64_t bytes = parseBytes(firstWord(folder + "size"));
    (level == "1" ? target.l1 : level == "2" ? target.l2 : target.l3) = bytes;
  }
  if (target.l1 <= 0) target.l1 = 32 << 10;
  if (target.l2 <= 0) target.l2 = 512 << 10;
  if (target.l3 <= 0) target.l3 = std::max<int64_t>(8 << 20, target.l2);
}

} // namespace

std::string Target::str() const {
  return fmt::format("{} cpu={} l1={} l2={} l3={} features={}", isa, cpu, l1, l2, l3, features);
}

Target findTarget(std::string_view wanted) {
  bool native = wanted == "native", v4 = wanted == "x86-64-v4";
  if (!native && !v4 && wanted != "x86-64-v3")
    throw Error(Exit::Usage, "E0703", fmt::format("there is no target `{}`", wanted),
                "targets are native, x86-64-v3 and x86-64-v4");
  llvm::StringMap<bool> machine = llvm::sys::getHostCPUFeatures();
  bool hasV3 = hasAll(machine, v3Features), hasV4 = hasV3 && hasAll(machine, v4Features);
  if (!hasV3 || (v4 && !hasV4))
    throw Error(Exit::Usage, "E0703",
                fmt::format("this machine ({}) has no {}", llvm::sys::getHostCPUName().str(),
                            v4 ? "x86-64-v4 (AVX-512)" : "x86-64-v3 (AVX2 and FMA)"),
                v4 ? "choose native or x86-64-v3" : "");
  Target target;
  if (native) {
    v4 = hasV4;
    std::vector<std::string> list;
    for (const auto &f : machine) list.push_back((f.second ? "+" : "-") + f.first().str());
    std::ranges::sort(list);
    target.features = fmt::format("{}", fmt::join(list, ","));
    target.cpu = llvm::sys::getHostCPUName().str();
  }
  target.isa = v4 ? "x86-64-v4" : "x86-64-v3";
  if (!native) target.cpu = target.isa;
  target.lanesF32 = v4 ? 16 : 8;
  target.registers = v4 ? 32 : 16;
  findCaches(target);
  return target;
}

} // namespace fil
