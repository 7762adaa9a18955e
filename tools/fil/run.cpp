// SPDX-License-Identifier: Apache-2.0
// `fil run`: a trained model on arrays from files.
#include "runtime/base/clock.h"
#include "runtime/data/fill.h"
#include "runtime/data/readers.h"
#include "runtime/train/feed.h"
#include "tools/fil/cached_program.h"

namespace fil {
namespace {

std::map<std::string, std::string> filesByInput(const std::vector<std::string> &given) {
  std::map<std::string, std::string> files;
  for (const std::string &s : given) {
    const size_t eq = s.find('=');
    if (eq == std::string::npos || eq == 0 || eq + 1 == s.size()) throw Error(Exit::Usage, "E0108", fmt::format("`--in {}` is not NAME=FILE.npy", s), "write `--in x=X.npy`");
    if (!files.emplace(s.substr(0, eq), s.substr(eq + 1)).second) throw Error(Exit::Usage, "E0108", fmt::format("the input `{}` is given twice", s.substr(0, eq)));
  }
  return files;
}

/// Sizes of symbolic dims: axis by axis where the file has as many as the input, else the first axis (others are joined).
void bindSizes(const Port &p, const Array &a, Binding &bound) {
  for (size_t k = 0; k < p.sizes.size() && k < a.shape.size(); ++k) {
    auto symbols = p.sizes[k].symbols();
    const bool counts = a.shape.size() == p.sizes.size() || k == 0;
    if (counts && symbols.size() == 1 && p.sizes[k] == Size::symbol(symbols[0])) bound.emplace(symbols[0], a.shape[k]);
  }
}

Array fitted(const Port &p, const Array &a, const Binding &bound) {
  std::vector<int64_t> shape;
  for (size_t k = 0; k < p.sizes.size(); ++k) shape.push_back(valueOf(p.sizes[k], bound, fmt::format("`{}` of input `{}`", p.dims[k], p.name)));
  if (!joinsTo(a.shape, shape)) throw Error(Exit::Input, "E0516", fmt::format("input `{}` wants {}, but its file has {}", p.name, shapeText(shape), shapeText(a.shape)), "axes stand in the order in which the program writes them");
  InputSpec spec{p.name, p.dtype, shape, knownBound(p, bound), true};
  std::byte *to;
  Array made = Array::make(p.dtype, shape, to);
  fillElements(spec, {p.name, a, 1, true}, 0, a.elements(), to);
  return made;
}

std::vector<Array> inputsFor(const Entry &e, const std::map<std::string, std::string> &files) {
  std::map<std::string, Array> arrays;
  Binding bound;
  for (auto &[name, file] : files) {
    auto port = std::find_if(e.inputs.begin(), e.inputs.end(), [&](const Port &p) { return p.name == name; });
    if (port == e.inputs.end()) {
      std::vector<std::string> names;
      for (const Port &p : e.inputs) names.push_back("`" + p.name + "`");
      throw Error(Exit::Input, "E0516", fmt::format("the model has no input `{}`", name), fmt::format("its inputs: {}", fmt::join(names, ", ")));
    }
    arrays[name] = readNpy(systemFiles(), file);
    bindSizes(*port, arrays[name], bound);
  }
  std::vector<Array> inputs;
  for (const Port &p : e.inputs) {
    if (auto it = arrays.find(p.name); it != arrays.end()) {
      inputs.push_back(fitted(p, it->second, bound));
    } else if (p.name == "seed" || p.name == "step") {
      inputs.push_back(scalarInput(p, 0));
    } else if (p.name == "pos" && p.dtype == DType::I32 && p.sizes.size() == 1) {
      std::vector<int32_t> positions(size_t(valueOf(p.sizes[0], bound, "`pos`")));
      for (size_t i = 0; i < positions.size(); ++i) positions[i] = int32_t(i);
      inputs.push_back(Array::of(DType::I32, {int64_t(positions.size())}, positions));
    } else {
      throw Error(Exit::Input, "E0516", fmt::format("nothing is given for the input `{}`", p.name), fmt::format("write `--in {}=FILE.npy`", p.name));
    }
  }
  return inputs;
}

/// One line for each row of the last axis.
void print(const Array &a) {
  const int64_t row = a.shape.empty() ? 1 : std::max<int64_t>(a.shape.back(), 1);
  for (int64_t i = 0; i < a.elements(); ++i) fmt::print("{:.9g}{}", a.at(i), (i + 1) % row ? " " : "\n");
}

} // namespace

Exit run(const CommonOptions &o, const RunArguments &a) {
  auto files = filesByInput(a.in);
  auto session = Session::open(o, "run", readCheckpoint(systemFiles(), a.weights), !o.plan.empty());
  if (!session) return Exit::Input;
  auto program = compileProgram(*session, o);
  if (!program) return Exit::Input;
  restore(*program, *session->checkpoint, Restore::Weights);
  loadAdapters(*program, a.adapter);
  const Entry &entry = *program->find("run");
  const std::vector<Array> inputs = inputsFor(entry, files);
  Array y = program->run(entry, inputs).at(0);
  if (a.profile) { // again, with memory in place and for a time that can be measured
    startProfile(*program);
    std::vector<Array> outputs;
    const double begin = systemClock().seconds();
    for (int n = 0; n < 3 || (n < 1000 && systemClock().seconds() < begin + 0.5); ++n) program->run(entry, inputs, outputs);
    printProfile(*program, session->plan.precision, a.profileOut);
  }
  if (a.out.empty()) print(y);
  else writeNpy(systemFiles(), a.out, y);
  return Exit::Ok;
}

} // namespace fil
