// SPDX-License-Identifier: Apache-2.0
// What facets answer, and the table of their pairs. ir/ir.h includes it.
#pragma once
#include "runtime/base/size.h"
#include "mlir/IR/Attributes.h"
#include <string>
#include <vector>

namespace fil::ir {
class Dims;
class Facet;
enum class Outcome { ok, rewrite, refuse };

/// What becomes of two facets of one site.
struct Verdict {
  Outcome outcome = Outcome::refuse;
  std::string rule;               ///< in one sentence
  std::string code, note, remedy; ///< of `refuse`: P04xx, figures (may be empty), what to write instead
};
/// The rule of a pair, for documents: what holds in general, and in which case it is refused.
struct PairRule {
  FacetKind first, second;        ///< first <= second
  Outcome outcome;
  const char *rule, *refusedIf;   ///< refusedIf: empty where never
};
const std::vector<PairRule> &pairRules();
/// The rule of the table, with the parameters of both; refused where the table has none.
Verdict composed(Facet, Facet);

/// What a facet adds beside the same program without it, summed over the turns and families of its param.
struct FacetCost {
  Size flops;                     ///< for each row of the param's input, forward
  Size elements;                  ///< that are read for it
  Size trained;                   ///< elements of new params
  Size leftOut;                   ///< weights that are 0
  double error = 0;               ///< of itself, what an operand of a product is off by at most, if it is no subnormal number
};
} // namespace fil::ir

#include "ir/facets.h.inc"
