// SPDX-License-Identifier: Apache-2.0
// A small model with a plan in a string: what tests of plans begin with.
#pragma once
#include "runtime/base/memory_files.h"
#include "tools/driver/program.h"

namespace fil {

/// Parsed and checked, plans included. `text` is one file named `test.fil`.
inline std::unique_ptr<LoadedProgram> loadText(const std::string &text) {
  MemoryFiles files;
  files.content["test.fil"] = text;
  return LoadedProgram::load(files, {"test.fil"}, {});
}

/// A model with a state, a cache, subsets, experts, blocks called twice, and labels; the plan follows it.
inline const std::string smallModel = R"(dims B, T, S, V=16, D=8, E=4, F=6 {age=0, size=3}
fn rms(x: [.., X], g: [X]) = x * rsqrt(mean(x^2, over X) + 1e-6) * g
block FFN(h: [B,T,D], W) -> [B,T,D] {
  param wg: D -> W; param wd: W -> D
  return silu(h @ wg) @ wd
}
block MLA(h: [B,T,D]) -> [B,T,D] {
  param qa, qb, ka: D -> D
  cache c: [B,S,D] <- h @ ka
  select s* = topk(dot(h @ qa, c, over D) where causal(T, S), 4, over S)
  return dot(softmax(dot(h @ qb, c[s*], over D), over s*), c[s*], over s*)
}
block MoE(h: [B,T,D]) -> [B,T,D] {
  param gate: D -> E; state bias: [E] = 0
  experts e in E: FFN(W=4)
  let a = sigmoid(h @ gate)
  route e* = topk(a + bias, 2, over E)
  on step: bias += 1e-3 * sign(mean(load(e*), over E) - load(e*))
  return sum(normalize(a[e*], over e*) * e[e*](h), over e*) + FFN(h, W=4) + FFN(h, W=12)
}
model Small(tok: index<V>[B,T], x: [B,F]) -> [B,T,V] {
  param emb: V -> D = normal(0.02); param g: [D] = 1; param wx: F -> D
  let h = emb[tok] + x @ wx
  layers l in 0..3 {
    param g1: [D] = 1
    h += MLA(rms(h, g1))
    h += if l < 1 { FFN(h, W=12) } else { MoE(h) }
  }
  return dot(rms(h, g), emb, over D)
}
loss nll(y: [B,T,V], t: index<V>[B,T], smooth=0) = mean(xent(y, t, over V), over B, T) + smooth
)";
inline std::unique_ptr<LoadedProgram> loadPlan(const std::string &plan) { return loadText(smallModel + plan); }

} // namespace fil
