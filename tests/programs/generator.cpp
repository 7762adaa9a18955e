// SPDX-License-Identifier: Apache-2.0
// The program around the constructs: what it begins with, how many there are, what it returns and what is lost.
#include "tests/programs/generator.h"
#include "tests/programs/constructs.h"
#include <algorithm>

namespace fil::programs {

bool Constructs::construct(Scope &s) {
  using Make = bool (Constructs::*)(Scope &);
  static const std::vector<Make> all = {
      &Constructs::elementwise, &Constructs::elementwise, &Constructs::elementwise, &Constructs::reduction, &Constructs::normalizer, &Constructs::map, &Constructs::map, &Constructs::dotProduct,
      &Constructs::table, &Constructs::tied, &Constructs::bestIndex, &Constructs::absent, &Constructs::absent, &Constructs::gain, &Constructs::whole, &Constructs::position,
      &Constructs::cut, &Constructs::join, &Constructs::renamed, &Constructs::convolution, &Constructs::lineWindow, &Constructs::noGradient, &Constructs::userFunction, &Constructs::attention,
      &Constructs::select, &Constructs::select, &Constructs::neurons, &Constructs::route, &Constructs::layers, &Constructs::layers, &Constructs::carriedTypes, &Constructs::block,
      &Constructs::sharedBlock, &Constructs::ownBlock, &Constructs::kept, &Constructs::furtherLoss};
  return (this->*any(all))(s);
}

/// A construct that does not fit leaves nothing behind. Inputs are the model's: a body inside a block has none to add.
void Constructs::body(Scope &s, int size) {
  Scope *top = &s;
  while (top->outer) top = top->outer;
  for (int done = 0, tries = 0; done < size && tries < 8 * size; ++tries) {
    const size_t line = lines.size(), functionCount = functions.size(), inputCount = inputs.size(), params = s.params.size();
    const auto features = out.features;
    std::vector<std::pair<Scope *, std::vector<bool>>> used;
    for (Scope *at = &s; at; at = at->outer) {
      used.push_back({at, {}});
      for (Value &v : at->values) used.back().second.push_back(v.used);
    }
    if (construct(s) && (top->model || inputs.size() == inputCount)) {
      ++done;
      continue;
    }
    for (auto &[at, flags] : used) {
      at->values.resize(flags.size());
      for (size_t i = 0; i < flags.size(); ++i) at->values[i].used = flags[i];
    }
    lines.resize(line), functions.resize(functionCount), inputs.resize(inputCount), s.params.resize(params);
    out.features = features;
  }
}

Value &Constructs::start(Scope &s) {
  Axis *b = dim("B");
  switch (below(4)) {
  case 0: return inputValue(s, "x", {b, dim("D")});
  case 1: return inputValue(s, "x", {dim("T"), b, dim("D")});
  case 2: {
    Value &i = inputValue(s, "tok", {b, dim("T")}, Kind::Index, dim("V"));
    i.used = true;
    dim("D");
    return let(s, param(s, "V -> D", " = normal(0.7)") + "[" + i.name + "]", {b, dim("T"), dim("D")});
  }
  default: return inputValue(s, "x", {b, dim("P"), dim("C")});
  }
}

void Constructs::program(int size) {
  Scope s;
  s.indent = "  ", s.model = true;
  const Value first = start(s);
  if (!first.rebindable) let(s, function(first.name), first.axes), s.values[0].used = true;
  body(s, size);
  // Every program trains something.
  Value *y = real(s, [&](const Value &v) { return v.axes.size() > 0 && v.axes.size() < 4 && v.rebindable && std::all_of(v.axes.begin(), v.axes.end(), [](Axis *x) { return x->declared; }) && has(v.axes, dim("B")); });
  if (!y) y = &let(s, function(first.name), first.axes), y->used = true;
  target = y->axes;
  std::string result = y->name + rest(s, target);
  if (lines.empty() || s.params.empty()) result = "(" + result + ") * " + param(s, "[]", " = 1");
  std::shuffle(target.begin(), target.end(), random);
  ending(s, target, result);
  line(s, "return " + result);
}

void Constructs::ending(Scope &, Axes result, std::string &expression) {
  Axis *classes = nullptr;
  for (Axis *x : result)
    if (!x->symbolic && x->size > 1) classes = x;
  const std::string y = "y: " + type(result), all = "over " + list(result, ", ") + ")";
  if (classes && chance(40)) {
    Axes others = without(result, {classes});
    loss = "loss l(" + y + ", t: index<" + classes->name + ">" + type(others) + ") = mean(xent(y, t, over " + classes->name + "), over " + list(others, ", ") + ")";
    feature("cross-entropy");
  } else if (chance(30)) {
    loss = "loss l(" + y + ", t: bool" + type(result) + ", gamma=2) {\n  let q = p where t else 1 - p\n  return mean(-(1 - q)^gamma * log(q + 0.1), " + all + "\n}";
    loss.replace(loss.find("y:"), 2, "p:");
    expression = "sigmoid(" + expression + ")";
    feature("focal loss");
  } else loss = "loss l(" + y + ", t: " + type(result) + ") = mean((y - t)^2, " + all;
}

Generated generate(uint64_t seed) {
  Constructs c(seed);
  c.program(2 + int(seed % 9));
  return c.finish();
}

} // namespace fil::programs
