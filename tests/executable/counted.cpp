// SPDX-License-Identifier: Apache-2.0
// A saved program called some times, under callgrind, which counts what `counted` and what it calls execute:
//   counted PROGRAM.filx `B=4 T=16` ENTRY CALLS
// One call before is not counted: it binds sizes and makes the arena. Knows no compiler.
#include "runtime/exec/file.h"
#include "tests/executable/trace.h"
#include <cstdlib>

using namespace fil;
using namespace fil::test;

/// By this name callgrind knows what to count.
extern "C" __attribute__((noinline)) void counted_calls(Executable &x, const Entry &e, const std::vector<Array> &inputs, std::vector<Array> &outputs, int calls) {
  for (int i = 0; i < calls; ++i) x.run(e, inputs, outputs);
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  Manifest m = loadManifest(systemFiles(), argv[1]);
  Binding sizes = sizesOf(argv[2]);
  sizes.insert(m.bounds.begin(), m.bounds.end());
  auto x = loadExecutable(std::move(m));
  if (const Entry *init = x->find("init")) x->run(*init, inputsAt(*init, sizes, 0));
  const Entry &e = *x->find(argv[3]);
  const std::vector<Array> inputs = inputsAt(e, sizes, 1);
  std::vector<Array> outputs;
  x->run(e, inputs, outputs);
  counted_calls(*x, e, inputs, outputs, std::atoi(argv[4]));
  for (const Array &y : outputs)
    for (int64_t i = 0; i < std::min<int64_t>(y.elements(), 16); ++i)
      if (!(y.at(i) == y.at(i))) return 1; // counts of what went wrong count nothing
  return 0;
}
