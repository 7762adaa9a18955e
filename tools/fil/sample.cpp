// SPDX-License-Identifier: Apache-2.0
// `fil sample`: text from a trained model, byte by byte as it is drawn.
#include "runtime/train/generate.h"
#include "tools/fil/cached_program.h"
#include <unistd.h>

namespace fil {

Exit sample(const CommonOptions &o, const SampleArguments &a) {
  if (a.prompt.empty()) throw Error(Exit::Usage, "E0108", "an empty prompt gives the model nothing to go on from", "leave `--prompt` out: it is then a line end");
  auto session = Session::open(o, "run", readCheckpoint(systemFiles(), a.weights), !o.plan.empty());
  if (!session) return Exit::Input;
  auto program = compileProgram(*session, o);
  if (!program) return Exit::Input;
  restore(*program, *session->checkpoint, Restore::Weights);
  loadAdapters(*program, a.adapter);
  Decoder decoder(*program);
  if (a.profile) startProfile(*program);
  std::vector<int32_t> prompt;
  for (char c : a.prompt) prompt.push_back(uint8_t(c));
  auto write = [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (std::fflush(stdout) != 0) throw Error(Exit::Input, "E0502", "the output cannot be written");
  };
  if (a.prompt != "\n") write(a.prompt);
  auto window = session->plan.train.window.find(decoder.timeDim());
  generate(decoder, prompt, {a.tokens, 256, window == session->plan.train.window.end() ? 0 : window->second}, {a.temperature, a.topK, a.seed}, [&](int32_t token) {
    const char byte = char(token);
    write({&byte, 1});
  });
  if (isatty(STDOUT_FILENO)) write("\n");
  if (a.profile) printProfile(*program, session->plan.precision, a.profileOut);
  return Exit::Ok;
}

} // namespace fil
