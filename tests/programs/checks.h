// SPDX-License-Identifier: Apache-2.0
// What must hold of every program. Each check has a name, so that a program can be made smaller while the same one fails.
#pragma once
#include "runtime/exec/binding.h"
#include <functional>
#include <optional>
#include <set>
#include <string>

namespace fil::programs {

struct Failure {
  std::string check;  ///< `accepted`, `round trip after train`, `gradient`, ..
  std::string detail;
};
struct Report {
  std::optional<Failure> failure;
  bool gradientDecided = true;    ///< false where every point tried had a kink within reach
  std::set<std::string> ops;      ///< of all modules: `fil.map add`, `fil.topk`, ..
};
/// Checks, modules of all stages, values, gradients, invariance, by the reference. `dims` as by `--dim`.
Report check(const std::string &text, const Binding &sizes, const std::map<std::string, int64_t> &dims = {});

struct BackendReport {
  std::optional<Failure> failure;
  bool onEdge = false;            ///< told in f64 alone: in f32, params moved by about a rounding move the reference as far
};
/// Another back end against the reference: outputs of `eval`, `run` and `step` and variables after a step, f64 within 1e-9, f32 within 1e-4; then
/// `run` with what the step left, and decoding, more loosely.
BackendReport checkBackend(const std::string &text, const Binding &sizes, const std::map<std::string, int64_t> &dims, const std::string &backend);

/// The program with statements left out, as long as it still fails.
std::string shrunk(const std::string &text, const std::function<bool(const std::string &)> &fails);
/// The same, as long as the same check fails.
std::string shrunk(const std::string &text, const Binding &sizes, const Failure &);

} // namespace fil::programs
