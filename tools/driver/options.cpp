// SPDX-License-Identifier: Apache-2.0
#include "tools/driver/options.h"
#include "runtime/base/status.h"

namespace fil {

const char *name(Stage s) {
  static const char *names[] = {
#define FIL_STAGE(NAME, WHAT) #NAME,
#include "tools/driver/stages.def"
#undef FIL_STAGE
  };
  return names[int(s)];
}
Stage stageOf(const std::string &wanted) {
  std::string all;
  for (int i = 0; i < stageCount; ++i) {
    if (wanted == name(Stage(i))) return Stage(i);
    all += (i ? " " : "") + std::string(name(Stage(i)));
  }
  throw Error(Exit::Usage, "E0108", fmt::format("there is no stage `{}`", wanted), "stages: " + all);
}

} // namespace fil
