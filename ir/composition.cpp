// SPDX-License-Identifier: Apache-2.0
// The table of pairs with its refusals. That it has as many rows as there are pairs is checked when this is compiled.
#include "ir/ir.h"
#include "llvm/Support/Format.h"

using namespace mlir;
namespace fil::ir {
namespace {
constexpr int kinds = getMaxEnumValForFacetKind() + 1;

/// Fills code, note and remedy and returns true where the pair is refused. `refusedIf` says when, for documents.
struct Refusal {
  const char *refusedIf;
  bool (*refuses)(Facet first, Facet second, Verdict &);
};
bool refused(Verdict &v, const char *code, std::string note, const char *remedy) {
  v.code = code, v.note = std::move(note), v.remedy = remedy;
  return true;
}
const Refusal never{"", [](Facet, Facet, Verdict &) { return false; }};
const Refusal always{"always", [](Facet, Facet, Verdict &v) { return refused(v, "P0430", "", "put one of them on the site"); }};
const Refusal capacityOverRanks{"with a capacity", [](Facet grouped, Facet, Verdict &v) {
  return !cast<GroupedAttr>(grouped).getCapacity().isZero() && refused(v, "P0432", "with a capacity, which rows are dropped would depend on the number of ranks", "`capacity=none`");
}};
const Refusal granuleBesidePattern{"where the gate's granule is no multiple of the block's neurons", [](Facet gate, Facet blocks, Verdict &v) {
  const int64_t granule = cast<GateAttr>(gate).getGranule(), block = cast<BlocksAttr>(blocks).getRight();
  return granule % block != 0 && refused(v, "P0433", "granules of " + std::to_string(granule) + " neurons cut blocks of " + std::to_string(block), "a granule that the block divides");
}};
const Refusal mergeWouldDensify{"with merge=always, or with merge=masked and dora", [](Facet sparse, Facet adapter, Verdict &v) {
  if (cast<LoraAttr>(adapter).getMerge() == Merge::masked && cast<LoraAttr>(adapter).getVariant() == LoraVariant::dora)
    return refused(v, "P0430", "dora divides by norms of the whole sum, which a mask changes", "`variant=plain` or `rs`, or `merge=never`");
  if (cast<LoraAttr>(adapter).getMerge() != Merge::always) return false;
  auto topology = dyn_cast<TopologyAttr>(sparse);
  auto blocks = dyn_cast<BlocksAttr>(sparse);
  const double density = topology ? topology.getDensity().convertToDouble() : blocks.grouped() ? double(blocks.getN()) / double(blocks.getOf()) : blocks.getDensity().convertToDouble();
  std::string note;
  llvm::raw_string_ostream(note) << llvm::format("merged density would be 1.00 instead of %.2f", density);
  return refused(v, "P0412", note, "`merge=never` (two further products) or `merge=masked`");
}};
const Refusal gateOfSum{"with merge=always or masked, or dora", [](Facet, Facet adapter, Verdict &v) {
  auto lora = cast<LoraAttr>(adapter);
  if (lora.getVariant() == LoraVariant::dora) return refused(v, "P0430", "dora divides by norms of the whole sum, and the predictor stands in for the map alone", "`variant=plain` or `rs`");
  return (lora.getMerge() == Merge::always || lora.getMerge() == Merge::masked) && refused(v, "P0430", "the predictor stands in for the map, not for its sum with an adapter", "`merge=never` (two further products)");
}};
const Refusal mergeWouldRequantise{"with merge=always on a base of whole numbers or fp8", [](Facet a, Facet b, Verdict &v) {
  Facet lora = a.kind() == FacetKind::lora ? a : b, base = a.kind() == FacetKind::lora ? b : a;
  auto format = dyn_cast<FormatAttr>(base); // else qat, or whole numbers
  const bool narrow = !format || format.coarse();
  return narrow && cast<LoraAttr>(lora).getMerge() == Merge::always && refused(v, "P0429", "the sum would be rounded to the base's format again, with an error that nothing bounds", "`merge=never` (two further products)");
}};
const Refusal twoFormats{"where the format is one of whole numbers or fp8", [](Facet, Facet format, Verdict &v) {
  if (isa<WholeAttr>(format)) return refused(v, "P0434", "qat trains the map that the line keeps as whole numbers", "leave one of them out; `fil convert` makes one of the other");
  return cast<FormatAttr>(format).coarse() && refused(v, "P0434", "qat trains for whole numbers, and the line rounds to fp8", "leave one of them out");
}};

struct Row { FacetKind first, second; Outcome outcome; const char *rule; const Refusal *refusal; };
const Row rows[] = {
#define FIL_PAIR(FIRST, SECOND, OUTCOME, RULE, REFUSAL) {FacetKind::FIRST, FacetKind::SECOND, Outcome::OUTCOME, RULE, &REFUSAL},
#include "ir/composition.def"
};
constexpr int pairs = sizeof rows / sizeof *rows;
static_assert(pairs == kinds * (kinds + 1) / 2, "composition.def lacks a pair, or has one twice");

/// The row of first <= second: the table has all pairs in order.
const Row &rowOf(FacetKind first, FacetKind second) {
  const int a = int(first), b = int(second);
  return rows[a * kinds - a * (a - 1) / 2 + b - a];
}
} // namespace

const std::vector<PairRule> &pairRules() {
  static const std::vector<PairRule> all = [] {
    std::vector<PairRule> v;
    for (const Row &r : rows) v.push_back({r.first, r.second, r.outcome, r.rule, r.refusal->refusedIf});
    return v;
  }();
  return all;
}

Verdict composed(Facet a, Facet b) {
  if (b.kind() < a.kind()) std::swap(a, b);
  const Row &r = rowOf(a.kind(), b.kind());
  Verdict v{r.outcome, r.rule, {}, {}, {}};
  if (r.first != a.kind() || r.second != b.kind()) return {Outcome::refuse, "the table has no rule for this pair", "P0430", {}, {}};
  if (r.refusal->refuses(a, b, v)) v.outcome = Outcome::refuse;
  return v;
}
} // namespace fil::ir
