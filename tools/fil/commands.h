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
  bool tune = false;
};
struct TimingArguments {
  bool timing = false;
  std::string trace;
};
struct ProfileArguments {
  bool profile = false;   ///< also if just a file is wanted
  std::string profileOut;
};
struct CompileArguments : TimingArguments {
  std::string out, emit, stopAfter, dumpDir;
};
struct TrainArguments : TimingArguments, ProfileArguments {
  std::string out, data, weights;
  std::vector<std::string> adapter;
  std::optional<int64_t> steps;
  std::optional<uint64_t> seed;
  bool resume = false;
};
struct ReplayArguments {
  std::string tape, out;
  std::optional<int64_t> until;
};
struct ValidateArguments {
  std::string data, weights;
  std::optional<int64_t> steps;
  std::optional<uint64_t> seed;
};
struct CalibrateArguments {
  std::string weights, data, out, group;
  std::optional<uint64_t> seed;
  int64_t samples = 1024;
};
struct ConvertArguments {
  std::string weights, out;
};
struct RunArguments : ProfileArguments {
  std::string weights, out;
  std::vector<std::string> adapter; ///< `FILE`, `3=FILE`
  std::vector<std::string> in; ///< `x=X.npy`
};
struct SampleArguments : ProfileArguments {
  std::vector<std::string> adapter;
  std::string weights, prompt = "\n";
  int64_t tokens = 256, topK = 0;
  double temperature = 1;
  uint64_t seed = 0;
};

struct ExplainArguments {
  std::string site, entry, profile;
  std::vector<std::string> at; ///< `B=32`
  bool kernels = false, memory = false;
};

struct PlanArguments {
  bool expand = false;
  std::vector<std::string> diff; ///< two plans, or none
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

/// Arguments as CLI11 takes them: `--dim D=64 L=2` becomes `--dim D=64 --dim L=2`, so that what follows and is no `NAME=..` is a FILE or
/// SITE again.
std::vector<std::string> spreadLists(int argc, char **argv);

/// Prints to stderr what the checker has found and not printed yet, each message once; Input if there are errors.
Exit report(LoadedProgram &);
/// `D=64` to a map; Error (usage) for what is no such pair.
std::map<std::string, int64_t> dimOptions(const std::vector<std::string> &, const char *option = "--dim");

Exit check(const CommonOptions &, bool json);
Exit compile(const CommonOptions &, const CompileArguments &);
Exit train(const CommonOptions &, const TrainArguments &);
Exit replay(const CommonOptions &, const ReplayArguments &);
Exit validate(const CommonOptions &, const ValidateArguments &);
Exit calibrate(const CommonOptions &, const CalibrateArguments &);
Exit convert(const CommonOptions &, const ConvertArguments &);
Exit run(const CommonOptions &, const RunArguments &);
Exit sample(const CommonOptions &, const SampleArguments &);
Exit cache(const std::string &what);
Exit explain(const CommonOptions &, const ExplainArguments &);
Exit plan(const CommonOptions &, const PlanArguments &);
Exit help(const std::string &topic);

} // namespace fil
