// SPDX-License-Identifier: Apache-2.0
#include "codegen/cpu/target.h"
#include "codegen/cpu/machine.h"
#include "runtime/base/status.h"
#include <algorithm>
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

} // namespace

std::string Target::str() const {
  return fmt::format("{}{} cpu={} l1={} l2={} l3={} cores={} features={}", isa, dots ? "+bf16" : "", cpu, l1, l2, l3, cores, features);
}

Target findTarget(std::string_view wanted) {
  bool native = wanted == "native", dots = wanted == "x86-64-v4+bf16", v4 = dots || wanted == "x86-64-v4";
  if (!native && !v4 && wanted != "x86-64-v3")
    throw Error(Exit::Usage, "E0703", fmt::format("there is no target `{}`", wanted),
                "targets are native, x86-64-v3, x86-64-v4 and x86-64-v4+bf16");
  llvm::StringMap<bool> machine = llvm::sys::getHostCPUFeatures();
  bool hasV3 = hasAll(machine, v3Features), hasV4 = hasV3 && hasAll(machine, v4Features), hasDots = hasV4 && machine.lookup("avx512bf16") && machine.lookup("avx512vnni");
  if (!hasV3 || (v4 && !hasV4) || (dots && !hasDots))
    throw Error(Exit::Usage, "E0703",
                fmt::format("this machine ({}) has no {}", llvm::sys::getHostCPUName().str(),
                            dots ? "x86-64-v4+bf16 (AVX-512 with vdpbf16ps and vpdpbusd)" : v4 ? "x86-64-v4 (AVX-512)" : "x86-64-v3 (AVX2 and FMA)"),
                v4 ? "choose native or x86-64-v3" : "");
  Target target;
  if (native) {
    v4 = hasV4, dots = hasDots;
    std::vector<std::string> list;
    for (const auto &f : machine) list.push_back((f.second ? "+" : "-") + f.first().str());
    std::ranges::sort(list);
    target.features = fmt::format("{}", fmt::join(list, ","));
    target.cpu = llvm::sys::getHostCPUName().str();
  }
  target.isa = v4 ? "x86-64-v4" : "x86-64-v3";
  if (!native) target.cpu = target.isa, target.features = dots ? "+avx512bf16,+avx512vnni" : "";
  target.dots = dots;
  target.lanesF32 = v4 ? 16 : 8;
  target.registers = v4 ? 32 : 16;
  const Caches caches = findCaches();
  target.l1 = caches.l1, target.l2 = caches.l2, target.l3 = caches.l3, target.cores = findCores();
  return target;
}

} // namespace fil
