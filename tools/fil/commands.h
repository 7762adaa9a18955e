// SPDX-License-Identifier: Apache-2.0
// The subcommands of `fil`: each declares its options and has one function that runs it.
#pragma once
#include "runtime/base/status.h"
#include "tools/driver/program.h"
#include <functional>

namespace CLI { class App; }

namespace fil {

/// What several commands take.
struct CommonOptions {
  std::vector<std::string> files, dims, set;
  std::string plan, dataDir, targetCpu = "native", backend = "cpu";
  int threads = 0;
};

class Commands {
public:
  explicit Commands(CLI::App &app);
  ~Commands();
  Exit run();

private:
  struct Options;
  std::unique_ptr<Options> options;
  std::function<Exit()> chosen;
  template <class F> CLI::App *add(CLI::App &app, const char *name, const char *what, F run);
};

/// Prints what the checker found to stderr; Input if there are errors.
Exit report(LoadedProgram &);
/// `D=64` to a map; Error (usage) for what is no such pair.
std::map<std::string, int64_t> dimOptions(const std::vector<std::string> &);

Exit check(const CommonOptions &, bool json);
Exit compile(const CommonOptions &);
Exit help(const std::string &topic);

} // namespace fil
