// SPDX-License-Identifier: Apache-2.0
// `fil convert`: weights as whole numbers.
#include "tools/fil/cached_program.h"
#include <algorithm>

namespace fil {

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
  session->plan.train.loss = nullptr; // the model alone
  auto program = compileProgram(*session, rest);
  if (!program) return Exit::Input;
  const auto whole = std::count_if(program->variables().begin(), program->variables().end(), [](const VariableInfo &v) { return v.bits != 0; });
  if (whole == 0) throw Error(Exit::Input, "E0510", fmt::format("the plan `{}` has neither `qat` nor whole numbers", trained->plan.name), "train by a plan with `precision { qat bits=8 }`, or name one with `precision { **: int8 }` by `--plan`");
  restore(*program, *session->checkpoint, Restore::Weights);
  writeCheckpoint(systemFiles(), a.out, *program, session->checkpoint->info);
  fmt::print(stderr, "{}: {} maps as whole numbers, plan {}\n", a.out, whole, session->plan.name);
  return Exit::Ok;
}

} // namespace fil
