// SPDX-License-Identifier: Apache-2.0
// `fil convert`: weights as whole numbers.
#include "tools/fil/cached_program.h"
#include <algorithm>

namespace fil {

/// What `qat` has trained has scales; without them the numbers would be others than those that it was trained with.
static void checkFound(const Executable &program, const Checkpoint &c) {
  for (const VariableInfo &v : program.variables()) {
    if (!v.bits) continue;
    const Array *scale = c.file.find(v.name + ".qat_scale");
    if (!scale)
      throw Error(Exit::Input, "E0513", fmt::format("`{}` has no scale of `{}`: it is the frozen base of adapters, whose scales are found anew in each call", c.path, v.name),
                  "convert the base before adapters are trained on it, and name a plan that keeps it as `int8` or `int4` beside `lora`");
    bool begun = false;
    for (int64_t i = 0; i < scale->elements(); ++i) begun |= scale->at(i) > 0;
    if (!begun) throw Error(Exit::Input, "E0513", fmt::format("of `{}` in `{}` quantisation has not begun", v.name, c.path), "train on, beyond the share `warm` of the plan's `qat`; or name a plan with `int8` or `int4` by `--plan`, to round it as it is");
  }
}

Exit convert(const CommonOptions &o, const ConvertArguments &a) {
  auto trained = Session::open(o, "run", readCheckpoint(systemFiles(), a.weights), !o.plan.empty());
  if (!trained) return Exit::Input;
  Checkpoint checkpoint = std::move(*trained->checkpoint);
  if (const std::string plan = sema::convertedPlan(trained->plan); !plan.empty()) checkpoint.info.plan = plan, checkpoint.info.planName = trained->plan.name + "_whole";
  else checkpoint.info.plan = trained->plan.text, checkpoint.info.planName = trained->plan.name;
  CommonOptions rest = o; // the plan has what `--set` says
  rest.set.clear();
  auto session = Session::open(rest, "run", std::move(checkpoint), false);
  if (!session) return Exit::Input;
  auto program = compileProgram(*session, rest);
  if (!program) return Exit::Input;
  const auto whole = std::count_if(program->variables().begin(), program->variables().end(), [](const VariableInfo &v) { return v.bits != 0; });
  if (whole == 0) throw Error(Exit::Input, "E0510", fmt::format("the plan `{}` has neither `qat` nor whole numbers", trained->plan.name), "train by a plan with `precision { qat bits=8 }`, or name one with `precision { **: int8 }` by `--plan`");
  if (session->plan.name != trained->plan.name) checkFound(*program, *session->checkpoint);
  restore(*program, *session->checkpoint, Restore::Weights);
  writeCheckpoint(systemFiles(), a.out, *program, session->checkpoint->info);
  fmt::print(stderr, "{}: {} maps as whole numbers, plan {}\n", a.out, whole, session->plan.name);
  return Exit::Ok;
}

} // namespace fil
