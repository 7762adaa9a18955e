// SPDX-License-Identifier: Apache-2.0
// The machine that code is generated for: what the emitters' parameters (vector width, register tile, cache blocks) follow from.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace fil {

/// Tiles of a contraction that were measured to be faster than those that the sizes alone speak for.
struct TunedTiles {
  int rows = 0, vectors = 0;
  double kc = 1; ///< times the length of k's blocks
  bool operator==(const TunedTiles &) const = default;
};

struct Target {
  std::string cpu;      ///< LLVM's name of the CPU
  std::string features; ///< LLVM's feature list beyond what `cpu` says: `+avx2,-avx512f`
  std::string isa;      ///< `x86-64-v3` or `x86-64-v4`: what the emitters use
  bool dots = false;    ///< `+bf16`: products of bf16 are added in pairs by one instruction (vdpbf16ps), of bytes four at a time (vpdpbusd)
  int lanesF32 = 8;     ///< floats in a vector register
  int registers = 16;   ///< vector registers
  int64_t l1 = 0, l2 = 0, l3 = 0; ///< bytes of data a core (l1, l2) and a package (l3)
  int cores = 4;        ///< that may share a contraction's tiles
  std::map<std::string, TunedTiles> tuned; ///< by ContractionDescriptor::sizesText

  bool operator==(const Target &) const = default;
  /// One line for people and cache keys; equal targets print equal.
  std::string str() const;
};

/// `native`, `x86-64-v3`, `x86-64-v4` or `x86-64-v4+bf16`; cache sizes are this machine's or FIL_TARGET_CACHES. Error E0703 (usage) for another word, or if the
/// machine lacks the ISA.
Target findTarget(std::string_view wanted);

} // namespace fil
