// SPDX-License-Identifier: Apache-2.0
// What a compilation is asked for, and the names of its stages; without the compiler.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace fil {

enum class Stage {
#define FIL_STAGE(NAME, WHAT) NAME##_,
#include "tools/driver/stages.def"
#undef FIL_STAGE
};
constexpr int stageCount = 0
#define FIL_STAGE(NAME, WHAT) +1
#include "tools/driver/stages.def"
#undef FIL_STAGE
    ;
const char *name(Stage);
/// Error (usage) naming all stages for an unknown name.
Stage stageOf(const std::string &name);

struct CompileOptions {
  std::optional<Stage> emit, stopAfter;
  std::string dumpDir;           ///< numbered files, one a stage; empty: none
  bool mlirFlags = false;        ///< apply MLIR's own --mlir-* flags
  std::string backend = "cpu";   ///< cpu or reference
  std::string targetCpu = "native"; ///< native, x86-64-v3, x86-64-v4, x86-64-v4+bf16
  bool tune = false;             ///< measure tiles of contractions, at the plan's sizes
  std::string saveTo;            ///< file for the compiled program; empty: none
  std::string build;             ///< the compiler's; empty: nothing comes from the cache or goes there
  std::string programKey;        ///< under which the whole program goes there; empty: it does not
  bool contracts = false;        ///< check what the plan requires of its costs: for who compiles or trains by it
  bool neurons = false;          ///< with an entry that tells how large the neurons of gates are
  bool keepGroups = false;       ///< fill Compiled::scheduled, what was noted of it, and the manifest
};

} // namespace fil
