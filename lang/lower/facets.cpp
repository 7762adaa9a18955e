// SPDX-License-Identifier: Apache-2.0
// The plan's facets as rows of the site table, after every two that meet have been composed.
#include "lang/lower/facets.h"
#include "mlir/AsmParser/AsmParser.h"

using namespace mlir;
namespace fil {
namespace {

using Settings = std::map<std::string, std::string>;
std::string get(const Settings &s, const char *name, const char *otherwise) {
  auto it = s.find(name);
  return it == s.end() ? otherwise : it->second;
}

/// Neighbours along the two sides of a map that come and go together; left 0: all.
std::pair<int64_t, int64_t> granuleOf(const sema::PlanFacet &f) {
  const std::string text = get(f.settings, "granule", "1x1");
  if (text == "channel") return {0, 1};
  const size_t x = text.find('x');
  const int64_t first = std::stoll(text);
  return {first, x == std::string::npos ? first : std::stoll(text.substr(x + 1))};
}

Attribute attributeOf(MLIRContext *ctx, const sema::PlanFacet &f) {
  const auto number = [&](const char *name, const char *otherwise) { return sema::numberIn(get(f.settings, name, otherwise)).value_or(0); };
  if (f.kind == "lora") {
    const double rank = sema::numberIn(get(f.settings, "r", "0")).value_or(0), alpha = sema::numberIn(get(f.settings, "alpha", "0")).value_or(0);
    return ir::LoraAttr::get(ctx, int64_t(rank), APFloat(alpha), *ir::symbolizeLoraInit(get(f.settings, "init", "gauss")),
                             *ir::symbolizeLoraVariant(get(f.settings, "variant", "plain")), *ir::symbolizeMerge(get(f.settings, "merge", "auto")));
  }
  if (f.kind == "gather") return ir::GatherAttr::get(ctx, std::stoll(get(f.settings, "block", "0")));
  if (f.kind == "grouped") return ir::GroupedAttr::get(ctx, APFloat(sema::numberIn(get(f.settings, "capacity", "none")).value_or(0)));
  if (f.kind == "gate") {
    const auto samples = f.settings.find("samples");
    const bool channels = samples != f.settings.end();
    const std::string predictor = get(f.settings, "predictor", channels ? "squeeze" : "lowrank(16)");
    return ir::GateAttr::get(ctx, APFloat(f.open() ? 0.0 : number("keep", "1")), predictor == "squeeze" ? 0 : std::stoll(predictor.substr(8)), std::stoll(get(f.settings, "granule", "16")), APFloat(number("hysteresis", "0")),
                             channels ? StringAttr::get(ctx, samples->second) : StringAttr());
  }
  if (f.kind == "topology") {
    const auto [left, right] = granuleOf(f);
    return ir::TopologyAttr::get(ctx, *ir::symbolizeTopologyMethod(get(f.settings, "method", "rigl")), APFloat(number("density", "1")), int64_t(std::min(number("every", "100"), 2147483647.0)), APFloat(number("alpha", "0.3")),
                                 APFloat(number("until", "75%")), left, right);
  }
  if (f.kind == "blocks") {
    if (f.settings.contains("n")) return ir::BlocksAttr::get(ctx, int64_t(number("n", "1")), int64_t(number("m", "1")), APFloat(0.0), int64_t(number("m", "1")), 1);
    const auto [left, right] = granuleOf(f);
    return ir::BlocksAttr::get(ctx, 0, 0, APFloat(number("density", "1")), left, right);
  }
  const auto per = *ir::symbolizeScalesPer(get(f.settings, "per", "channel"));
  if (const std::string format = get(f.settings, "format", ""); format.starts_with("int")) return ir::WholeAttr::get(ctx, std::stoll(format.substr(3)), int64_t(number("acts", "0")), per);
  if (f.kind == "qat") {
    return ir::QatAttr::get(ctx, int64_t(number("bits", "8")), int64_t(number("acts", "0")), per, int64_t(number("steps", "0")), APFloat(number("warm", "0")));
  }
  if (f.kind == "adapt") return ir::AdaptAttr::get(ctx, std::stoll(get(f.settings, "every", "200")));
  if (f.kind == "format") {
    auto format = [&](const char *name) { return *ir::symbolizeSiteFormat(f.settings.at(name)); };
    auto tile = [&](const char *name) -> std::array<int64_t, 2> {
      const std::string text = f.settings.at(name);
      if (text == "tensor") return {0, 0};
      if (text == "row") return {1, 0};
      return {std::stoll(text), std::stoll(text.substr(text.find('x') + 1))};
    };
    return ir::FormatAttr::get(ctx, format("format"), format("dgrad"), format("wgrad"), format("out"), tile("activations"), tile("weights"));
  }
  Builder b(ctx);
  SmallVector<NamedAttribute> all;
  for (auto &[name, text] : f.settings) {
    auto number = sema::numberIn(text);
    all.push_back(b.getNamedAttr(name, number ? Attribute(b.getF64FloatAttr(*number)) : b.getStringAttr(text)));
  }
  std::string attribute;
  llvm::raw_string_ostream(attribute) << "#fil." << f.kind << "<" << b.getDictionaryAttr(all) << ">";
  return parseAttribute(attribute, ctx);
}

/// The first site that both are about; of two, the one that lies within the other.
std::optional<std::string> meeting(const sema::PlanFacet &a, const sema::PlanFacet &b) {
  for (const std::string &x : a.sites)
    for (const std::string &y : b.sites) {
      if (x.empty() || ir::within(y, x)) return y;
      if (y.empty() || ir::within(x, y)) return x;
    }
  return {};
}
std::string placeText(const std::string &site) { return site.empty() ? "the whole program" : "`" + site + "`"; }
} // namespace

bool covered(const std::vector<sema::PlanFacet> &facets, size_t i, const std::string &site) {
  auto innermost = [&](const sema::PlanFacet &f) {
    std::optional<size_t> length;
    for (const std::string &s : f.sites)
      if (s.empty() || ir::within(site, s)) length = std::max(length.value_or(0), s.size());
    return length;
  };
  const auto own = innermost(facets[i]);
  for (size_t k = 0; k < facets.size(); ++k)
    if (auto other = innermost(facets[k]); own && other && k != i && facets[k].kind == facets[i].kind && (*other > *own || (*other == *own && k > i))) return true;
  return false;
}

bool composeFacets(MLIRContext *ctx, const std::vector<sema::PlanFacet> &facets, Diagnostics &diags) {
  const size_t before = diags.errors();
  for (size_t j = 0; j < facets.size(); ++j) {
    const sema::PlanFacet &later = facets[j];
    bool sparse = false;
    for (size_t i = 0; i < facets.size(); ++i) {
      const sema::PlanFacet &earlier = facets[i];
      auto site = i == j ? std::nullopt : meeting(earlier, later);
      if (!site) continue;
      sparse |= earlier.kind == "topology" || earlier.kind == "blocks";
      if (i > j) continue;
      if ((earlier.kind == "format" && covered(facets, i, *site)) || (later.kind == "format" && covered(facets, j, *site))) continue;
      auto a = cast<ir::Facet>(attributeOf(ctx, earlier)), b = cast<ir::Facet>(attributeOf(ctx, later));
      const ir::Verdict v = a.compose(b);
      if (v.outcome != ir::Outcome::refuse) continue;
      Diagnostic &d = diags.report(*messageOf(v.code), later.span, earlier.kind, later.kind, placeText(*site), v.rule);
      d.mark(fmt::format("{} has `{}` and `{}`", placeText(*site), earlier.text, later.text)).also(earlier.span, "");
      if (!v.note.empty()) d.note(v.note);
      if (!v.remedy.empty()) d.help(v.remedy);
    }
    if (later.kind == "lora" && get(later.settings, "merge", "auto") == "masked" && !sparse) diags.report(Msg::P0435, later.span, placeText(later.sites[0]));
  }
  return diags.errors() == before;
}

bool composeFacets(const std::vector<sema::PlanFacet> &facets, Diagnostics &diags) {
  MLIRContext context(MLIRContext::Threading::DISABLED);
  context.loadDialect<ir::FilDialect>();
  return composeFacets(&context, facets, diags);
}

/// The largest rank that all sites without one can have together, none above the smaller side of its map; with those that have one they keep the budget.
static bool chooseRanks(ModuleOp module, std::vector<sema::PlanFacet> &facets, double budget, Diagnostics &diags) {
  const ir::Dims dims(module);
  double all = 0;
  for (auto v : module.getOps<ir::VariableOp>())
    if (v.getTrained()) all += dims.atMost(dims.elements(v.getType()));
  struct Open { sema::PlanFacet *line; double perRank, most; };
  const sema::PlanFacet *first = nullptr;
  std::vector<Open> open;
  double given = 0;
  for (sema::PlanFacet &f : facets) {
    if (f.kind != "lora") continue;
    if (!first) first = &f;
    Open o{&f, 0, HUGE_VAL};
    for (auto v : module.getOps<ir::VariableOp>()) {
      if (!llvm::is_contained(f.sites, v.getSite())) continue;
      double left = 1, right = 1, sizes = dims.atMost(dims.elements(v.getType()));
      const ir::MapSides sides = ir::sidesOf(v);
      for (StringAttr d : sides.left) left *= dims.atMost(dims.size(d.getValue()));
      for (StringAttr d : sides.right) right *= dims.atMost(dims.size(d.getValue()));
      o.perRank += sizes / (left * right) * (left + right), o.most = std::min({o.most, left, right});
      if (auto r = sema::numberIn(get(f.settings, "r", "")); r && *r > std::min(left, right)) diags.report(Msg::W0318, f.span, fmt::format("{:.0f}", *r), v.getSite().str(), fmt::format("{:.0f}", std::min(left, right)));
    }
    if (auto r = sema::numberIn(get(f.settings, "r", ""))) given += *r * o.perRank;
    else open.push_back(o);
  }
  if (open.empty() && (budget == 0 || given == 0)) return true;
  auto used = [&](int64_t r) {
    double n = given;
    for (const Open &o : open) n += std::min(double(r), o.most) * o.perRank;
    return n;
  };
  if (used(1) > budget * all) return diags.report(Msg::P0437, (open.empty() ? first : open[0].line)->span, fmt::format("{:.3g}% of {:.0f}", 100 * budget, all), fmt::format("{:.0f} ({:.3g}%)", used(1), 100 * used(1) / all)), false;
  int64_t rank = 1;
  while (used(rank + 1) <= budget * all && used(rank + 1) > used(rank)) ++rank;
  for (const Open &o : open) o.line->settings["r"] = fmt::format("{:.0f}", std::min(double(rank), o.most));
  return true;
}

/// False where granules of so many neighbours, as the line says them, do not divide a side's last dim.
static bool divides(const ir::Dims &dims, ArrayRef<StringAttr> side, int64_t n, const std::string &granules, const sema::PlanFacet &f, const std::string &site, Diagnostics &diags) {
  const auto length = side.empty() ? std::optional(Rational(1)) : dims.value(side.back().getValue()).constant();
  if (n <= 1 || (length && length->num % n == 0)) return true;
  diags.report(Msg::P0442, f.span, granules, side.empty() ? "" : side.back().str(), length ? length->str() : "of no fixed size", placeText(site));
  return false;
}

/// The density of each site of a line. With `erk` (Evci et al. 2020) it is proportional to the sum of a map's dims over their product, at most 1, so that
/// the line as a whole has the density that it says. False where a granule does not divide a dim.
static bool densities(ModuleOp module, const sema::PlanFacet &f, std::map<std::string, double> &bySite, Diagnostics &diags) {
  const ir::Dims dims(module);
  struct Map { std::string site; double size, scale, density; };
  std::vector<Map> maps;
  const auto [left, right] = granuleOf(f);
  auto size = [&](StringAttr d) { return dims.atMost(dims.value(d.getValue())); };
  for (auto v : module.getOps<ir::VariableOp>()) {
    if (!llvm::is_contained(f.sharing, v.getSite())) continue;
    const ir::MapSides sides = ir::sidesOf(v);
    double sum = 0, product = 1;
    for (auto *side : {&sides.left, &sides.right})
      for (StringAttr d : *side) sum += size(d), product *= size(d);
    maps.push_back({v.getSite().str(), dims.atMost(dims.elements(v.getType())), sum / product, sema::numberIn(get(f.settings, "density", "1")).value_or(1)});
    const std::string granules = fmt::format("{}x{}", left, right);
    if (!divides(dims, sides.left, left, granules, f, v.getSite().str(), diags) || !divides(dims, sides.right, right, granules, f, v.getSite().str(), diags)) return false;
  }
  if (get(f.settings, "dist", "erk") == "erk" && maps.size() > 1) {
    double wanted = 0;
    for (const Map &m : maps) wanted += m.density * m.size, bySite[m.site] = 0;
    for (bool again = true; again;) { // maps that would be more than dense are dense, and the others share what is left
      double left = wanted, weight = 0;
      for (const Map &m : maps) bySite[m.site] == 1 ? void(left -= m.size) : void(weight += m.scale * m.size);
      again = false;
      for (Map &m : maps)
        if (bySite[m.site] != 1 && (m.density = left / weight * m.scale) >= 1) bySite[m.site] = 1, again = true;
    }
    for (const Map &m : maps)
      if (bySite[m.site] != 1) bySite[m.site] = m.density;
  } else
    for (const Map &m : maps) bySite[m.site] = m.density;
  return true;
}

/// False where what a line keeps of its maps does not divide them.
static bool patterns(ModuleOp module, const sema::PlanFacet &f, Diagnostics &diags) {
  const ir::Dims dims(module);
  const bool groups = f.settings.contains("n");
  const auto [left, right] = groups ? std::pair<int64_t, int64_t>(std::stoll(f.settings.at("m")), 1) : granuleOf(f);
  for (auto v : module.getOps<ir::VariableOp>()) {
    if (!llvm::is_contained(f.sites, v.getSite())) continue;
    const ir::MapSides sides = ir::sidesOf(v);
    if (sides.left.empty() || !dims.value(sides.left.back().getValue()).constant())
      return diags.report(Msg::P0456, f.span, placeText(v.getSite().str()), sides.left.empty() ? "has no left side" : fmt::format("is over `{}`, which has no fixed size", sides.left.back().str())), false;
    const std::string granules = groups ? fmt::format("{} neighbours", left) : fmt::format("{}x{}", left, right);
    if (!divides(dims, sides.left, left, granules, f, v.getSite().str(), diags) || !divides(dims, sides.right, right, granules, f, v.getSite().str(), diags)) return false;
  }
  return true;
}

bool placeFacets(ModuleOp module, const LowerContext &c, std::vector<sema::PlanFacet> facets, double loraBudget, Diagnostics &diags) {
  if (!chooseRanks(module, facets, loraBudget, diags)) return false;
  MLIRContext *ctx = module.getContext();
  std::map<std::string, std::vector<std::pair<Attribute, Location>>> rows; // by site, in the order of the text
  for (const sema::PlanFacet &f : facets) {
    std::map<std::string, double> density;
    if (f.kind == "topology" && !densities(module, f, density, diags)) return false;
    if (f.kind == "blocks" && !patterns(module, f, diags)) return false;
    for (const std::string &site : f.sites) {
      sema::PlanFacet own = f;
      if (density.contains(site)) own.settings["density"] = fmt::format("{}", density.at(site));
      rows[site].push_back({attributeOf(ctx, own), c.location(f.span)});
    }
  }
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  b.setInsertionPointAfter(*module.getOps<ir::DimsOp>().begin());
  for (auto &[site, placed] : rows) {
    SmallVector<Attribute> all;
    SmallVector<Location> because;
    for (auto &[facet, at] : placed) all.push_back(facet), because.push_back(at);
    ir::SiteOp::create(b, FusedLoc::get(ctx, because), b.getStringAttr(site), b.getArrayAttr(all), b.getArrayAttr({}));
  }
  return true;
}
} // namespace fil
