// SPDX-License-Identifier: Apache-2.0
// `fil explain`: what the passes recorded about a site: its variable, its sizes, the operations at it with their costs, the kernels.
#include "codegen/package/places.h"
#include "ir/contraction.h"
#include "lang/lower/facets.h"
#include "lang/sema/plan_sites.h"
#include "passes/analysis/cost.h"
#include "passes/analysis/saved_values.h"
#include "tools/driver/compile.h"
#include "tools/driver/entry_sizes.h"
#include "tools/fil/explain_program.h"
#include "tools/fil/profile.h"
#include "tools/fil/session.h"
#include "tools/fil/site_loads.h"
#include "tools/fil/site_ops.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
namespace fil {
namespace {

/// The pattern as a plan would hold it; null where it does not parse, which is then on stderr.
const ast::SitePath *parsePattern(LoadedProgram &p, const std::string &pattern, ast::File &holder) {
  Diagnostics diags(p.sources);
  holder = parse(p.sources.add("SITE", fmt::format("plan p for m {{ precision {{ {}: f32 }} }}", pattern)), diags);
  if (diags.errors()) {
    fmt::print(stderr, "{}", diags.render());
    return nullptr;
  }
  const auto &plan = std::get<ast::Plan>(holder.declarations.at(0).is);
  const auto &nested = plan.settings.settings.at(0).nested;
  if (!nested || nested->settings.empty() || !nested->settings[0].path) throw Error(Exit::Usage, "E0108", fmt::format("`{}` is no site", pattern), "`l[*].Attention.q`");
  return &*nested->settings[0].path;
}

/// `map mul, reduce sum x2`, the first few.
std::string listOf(ArrayRef<std::string> titles) {
  llvm::MapVector<StringRef, int> count;
  for (const std::string &t : titles) ++count[t];
  std::string s;
  for (auto [i, c] : llvm::enumerate(count)) {
    if (i == 6) return s + ", ..";
    s += (i ? ", " : "") + c.first.str() + (c.second > 1 ? fmt::format(" x{}", c.second) : "");
  }
  return s;
}

/// The kernels of a program: its groups, and what they became.
class Kernels {
public:
  Kernels(ModuleOp scheduled, const std::vector<std::vector<LaunchNote>> &launches, const Target &target, std::optional<Profile> profile) : dims(scheduled), ops(scheduled, dims), launches(launches), target(target), profile(std::move(profile)) {
    for (auto f : scheduled.getOps<ir::FuncOp>())
      f.walk([&](ir::GroupOp g) { groups.push_back(g); });
    bool match = groups.size() == launches.size();
    for (size_t i = 0; match && i < groups.size(); ++i) match = StringRef(launches[i][0].what).starts_with(rowsOf(groups[i]) + ":");
    if (!match) throw Error(Exit::Internal, "E0901", "the kernels are not those of the groups");
  }

  /// Of a site that is no variable, updates are counted: its params tell of them. Of a large one, kernels that `main` lacks are counted too.
  void print(const std::string &site, bool variable, const std::string &main) {
    auto own = ops.of(site);
    struct Story { std::string text; std::vector<std::string> entries; std::vector<LaunchNote> made; };
    std::vector<Story> stories; // what is the same in several entries is told once
    std::vector<std::string> updates, more;
    for (auto [g, made] : llvm::zip(groups, launches)) {
      SmallVector<Operation *> mine;
      for (Operation &op : g.block())
        if (own.contains(&op)) mine.push_back(&op);
      if (mine.empty()) continue;
      const std::string entry = g->getParentOfType<ir::FuncOp>().getEntry().str();
      if (!variable && llvm::all_of(mine, [](Operation *op) { return roleOf(op) == "update"; })) {
        updates.push_back(entry);
        continue;
      }
      const std::string s = story(g, made, own);
      auto known = llvm::find_if(stories, [&](auto &k) { return k.text == s; });
      if (known == stories.end()) known = stories.insert(known, {s, {}, {}});
      known->entries.push_back(entry);
      llvm::append_range(known->made, made);
    }
    for (auto &[s, entries, made] : stories)
      if (stories.size() <= 24 || llvm::is_contained(entries, main)) fmt::print("  {}: {}\n{}", listOf(entries), s, measured(entries, made));
      else more.insert(more.end(), entries.begin(), entries.end());
    if (!more.empty()) fmt::print("  {}: further kernels\n", listOf(more));
    if (!updates.empty()) fmt::print("  {}: kernels that update its variables alone\n", listOf(updates));
    if (stories.empty() && updates.empty()) fmt::print("  no kernel computes it\n");
  }

private:
  ir::Dims dims;
  SiteOps ops;
  const std::vector<std::vector<LaunchNote>> &launches;
  Target target;
  std::optional<Profile> profile;
  std::vector<ir::GroupOp> groups;

  /// A line for each entry that ran.
  std::string measured(const std::vector<std::string> &entries, const std::vector<LaunchNote> &made) const {
    std::string lines;
    for (const std::string &entry : std::set<std::string>(entries.begin(), entries.end())) {
      auto among = [&](const LaunchTime &t) { return t.entry == entry && llvm::any_of(made, [&](const LaunchNote &l) { return l.kernel == t.kernel && l.site == t.site; }); };
      if (const std::string told = profile ? profile->told(among) : ""; !told.empty()) lines += fmt::format("    measured in {}: {}\n", entry, told);
    }
    return lines;
  }
  static std::string rowsOf(ir::GroupOp g) {
    std::string s = "rows [";
    for (auto [i, d] : llvm::enumerate(ir::strings(g.getRows()))) s += (i ? "," : "") + d.str();
    return s + "]";
  }
  static std::string indented(StringRef lines) {
    std::string s;
    for (char c : lines.rtrim()) s += c == '\n' ? std::string("\n    ") : std::string(1, c);
    return s;
  }
  std::string story(ir::GroupOp g, const std::vector<LaunchNote> &made, const llvm::SetVector<Operation *> &own) {
    llvm::MapVector<StringRef, std::vector<std::string>> mine, others; // by role; by site
    for (Operation &op : g.block())
      if (ops.works(&op)) (own.contains(&op) ? mine[roleOf(&op) == "saved" ? "forward" : roleOf(&op)] : others[siteOf(&op)]).push_back(titleOf(&op));
    std::string s;
    for (auto &[role, titles] : mine) s += (s.empty() ? "" : ", ") + role.str() + " " + listOf(titles);
    for (auto [i, m] : llvm::enumerate(others)) s += (i ? ", " : "; fused with ") + (m.first.empty() ? "ops of no site" : m.first.str()) + " (" + listOf(m.second) + ")";
    s += "\n    " + rowsOf(g) + ", kernel";
    for (auto [i, l] : llvm::enumerate(made)) { // in brackets: what one launch of the group differs from another one in
      const size_t brackets = l.what.find(" (", l.what.find("]:"));
      s += (i ? ", " : " ") + l.kernel + (brackets < l.what.size() ? l.what.substr(brackets) : "");
    }
    for (const LaunchNote &l : made)
      if (l.contraction) s += "\n    " + indented(explainChoice(target, *l.contraction));
    return s;
  }
};

class Explanation {
public:
  /// `saved`: the scheduled program's. `whyNone`: the reason where nothing is recorded about kernels.
  Explanation(ModuleOp module, const std::string &format, std::vector<passes::SavedValue> saved, Kernels *kernels, std::string whyNone)
      : module(module), dims(module), ops(module, dims), bytes(format == "f64" ? 8 : 4), saved(std::move(saved)), kernels(kernels), whyNone(std::move(whyNone)) {
    for (ir::FuncOp f : module.getOps<ir::FuncOp>()) {
      if (f.getEntry() == "step") entry = f;
      if (f.getEntry() == "run" && !entry) entry = f;
      f.walk([&](ir::CacheOp c) { running.insert(c.getTo().str()); });
      f.walk([&](ir::TopKOp k) { running.insert(cast<ir::SubsetType>(k.getResult().getType()).getMembers().str()); });
    }
  }

  void print(const std::string &site) {
    fmt::print("{}\n", site);
    std::set<std::string> used;
    bool isVariable = false;
    for (auto v : module.getOps<ir::VariableOp>())
      if (v.getSite() == site) {
        isVariable = true;
        fmt::print("  {}\n", variable(v));
        for (StringAttr d : cast<ir::TensorType>(v.getType()).getDims()) used.insert(d.str());
      }
    auto own = ops.of(site);
    std::map<StringRef, std::vector<Operation *>> minor; // many and cheap: updates, elementwise ops, moves
    SmallVector<Operation *> all;
    entry.walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (!own.contains(op)) return;
      all.push_back(op);
      if (isa<ir::MapOp>(op) || roleOf(op) == "update" || costOf(op).flops == Size()) minor[roleOf(op)].push_back(op);
    });
    ir::Cost total;
    for (Operation *op : all) {
      total = total + costOf(op);
      const auto &together = minor[roleOf(op)];
      if (together.size() <= 8 || !llvm::is_contained(together, op)) line(op, used);
      else if (op == together[0]) summary(together);
    }
    fmt::print("  sum of `{}`: {}\n", entry.getEntry().str(), costText(total));
    for (const passes::SavedValue &s : saved)
      if (ir::within(s.site, site) && s.entry == entry.getEntry())
        fmt::print("  for the gradient {:<14} {}  x{}  {}: {}\n", s.what, typeText(s.type), s.turns, s.again ? "computed again" : fmt::format("kept, {} bytes", s.bytes(dims, bytes).str()), s.why);
    for (const std::string &d : used) fmt::print("  size {}{}: {}\n", d, kind(d) == "static" ? " = " + dims.value(d).str() : "", kind(d));
    if (kernels) kernels->print(site, isVariable, entry.getEntry().str());
    else fmt::print("  no kernel is recorded: {}\n", whyNone);
  }

private:
  ModuleOp module;
  ir::Dims dims;
  SiteOps ops;
  int64_t bytes;
  std::vector<passes::SavedValue> saved;
  Kernels *kernels;
  std::string whyNone;
  ir::FuncOp entry;
  std::set<std::string> running;

  std::string kind(const std::string &d) const {
    if (running.count(d)) return "running (a value while the program runs)";
    return dims.value(d).isConstant() ? "static" : "bound (known when the program is called)";
  }
  std::string typeText(Type t) const {
    std::string s;
    llvm::raw_string_ostream out(s);
    if (auto tensor = dyn_cast<ir::TensorType>(t)) {
      out << (isa<ir::RealType, FloatType>(tensor.getElement()) ? "" : isa<ir::BoolType>(tensor.getElement()) ? "bool" : isa<ir::IndexType>(tensor.getElement()) ? "index" : "int") << "[";
      llvm::interleave(tensor.getDims(), out, [&](StringAttr d) { out << d.getValue(); }, ",");
      out << "]";
    } else if (auto subset = dyn_cast<ir::SubsetType>(t)) {
      out << "subset of " << subset.getOf().getValue();
    }
    return s;
  }
  std::string variable(ir::VariableOp v) {
    std::string declared;
    for (StringAttr d : ir::strings(v.getDeclared())) declared += (declared.empty() ? "" : ",") + d.str();
    Size elements = dims.elements(v.getType());
    std::string s = fmt::format("{} [{}]: {} elements, {} bytes", v.getKind() == ir::VariableKind::param ? "param" : v.getKind() == ir::VariableKind::state ? "state" : v.getKind() == ir::VariableKind::cache ? "cache" : "kept by the optimizer",
                                declared, elements.str(), (Size(ir::bytesOf(v.getType(), bytes)) * elements).str());
    if (!v.getLoops().empty()) s += ", in the turns of its loops together";
    return s;
  }
  ir::Cost costOf(Operation *op) { return passes::turns(op) * cast<ir::Costed>(op).cost(dims); }
  void summary(const std::vector<Operation *> &ops) {
    ir::Cost all;
    std::vector<std::string> titles;
    for (Operation *op : ops) all = all + costOf(op), titles.push_back(titleOf(op));
    fmt::print("  {:<8} {} ops: {}  {}\n", roleOf(ops[0]).str(), ops.size(), listOf(titles), costText(all));
  }
  std::string costText(const ir::Cost &c) const { return fmt::format("{} FLOPs  {} bytes", c.flops.str(), c.moved(bytes).str()); }
  void line(Operation *op, std::set<std::string> &used) {
    std::string types;
    for (Value v : op->getOperands()) types += (types.empty() ? "" : " ") + typeText(v.getType());
    for (Value v : op->getOperands().empty() ? ValueRange() : op->getResults()) types += " -> " + typeText(v.getType());
    auto note = [&](Type t) {
      if (auto tensor = dyn_cast<ir::TensorType>(t))
        for (StringAttr d : tensor.getDims()) used.insert(d.str());
    };
    for (Type t : op->getOperandTypes()) note(t);
    for (Type t : op->getResultTypes()) note(t);
    fmt::print("  {:<8} {:<14} {}  x{}  {}\n", roleOf(op).str(), titleOf(op), types, passes::turns(op).str(), costText(costOf(op)));
  }
};

/// How many products through the subsets of the sites go as a line of this kind says, the plan's or the compiler's own.
std::string executed(ModuleOp scheduled, const std::vector<std::string> &sites, const std::string &kind) {
  const ir::SubsetLines lines(scheduled);
  const std::string entry = passes::entryPoint(scheduled, "step") ? "step" : "run";
  std::map<std::string, std::pair<int, int>> products; // of an entry: all, and those that do
  std::string by, most;
  for (auto row : scheduled.getOps<ir::SiteOp>())
    for (auto c : row.getConsumed().getAsRange<ir::ConsumedAttr>())
      if (llvm::is_contained(sites, row.getPath()) && ir::stringifyFacetKind(cast<ir::Facet>(c.getFacet()).kind()) == kind) by = c.getBy().str();
  scheduled.walk([&](ir::ContractOp c) {
    for (Value s : c.getSubsets()) {
      auto line = lines.of(s);
      if (!line.facet || !llvm::is_contained(sites, line.site.getPath())) continue;
      auto &[all, ours] = products[c->getParentOfType<ir::FuncOp>().getEntry().str()];
      ++all, ours += kind == "gather" ? bool(ir::gathers(c)) : bool(c.getRoster());
      if (auto n = ir::gathers(c)) most = *n ? fmt::format("at most {} members at a time, in whole register tiles", *n) : "as many members at a time as the caches hold";
    }
  });
  std::string text = fmt::format(", part of the program since `{}`", by);
  for (const std::string &e : {entry, std::string("decode")}) {
    if (e == "decode" && !products.contains(e)) continue;
    const auto [all, ours] = products[e];
    text += fmt::format("{} {} of {} products of `{}` through the subset {}", e == entry ? ":" : ",", ours, all, e, kind == "gather" ? "gather" : "go by member");
  }
  return most.empty() ? text : text + ", " + most;
}
/// Tells which choices there the compiler has products gather from without a line that asks for it.
void printUnasked(ModuleOp scheduled, const sema::CheckedPlan &plan, const std::string &site) {
  for (auto row : scheduled.getOps<ir::SiteOp>()) {
    const std::string path = row.getPath().str();
    auto asked = [&](const sema::PlanFacet &f) { return f.kind == "gather" && llvm::is_contained(f.sites, path); };
    auto gathers = [](Attribute c) { return isa<ir::GatherAttr>(cast<ir::ConsumedAttr>(c).getFacet()); };
    if ((ir::within(path, site) || ir::within(site, path)) && llvm::any_of(row.getConsumed(), gathers) && llvm::none_of(plan.facets, asked))
      fmt::print("  each position chooses among all, so products gather at `{}`{}\n", path, executed(scheduled, {path}, "gather"));
  }
}

/// What the plan's facets make of a site, and what that costs beside the plan without them.
class FacetStory {
public:
  /// `module` is at the stage `precision`; `scheduled` may be null.
  FacetStory(LoadedProgram &p, const sema::CheckedPlan &plan, ModuleOp module, ModuleOp scheduled, const CompileOptions &options)
      : program(p), plan(plan), module(module), scheduled(scheduled), dims(module), at(trainingSizes(module, plan.train)), plainPlan(sema::plainPlan(*p.program, plan)), compiler(p, plainPlan, options), plain(compiler.module(Stage::precision_)) {}

  void print(const std::string &site) {
    std::vector<const sema::PlanFacet *> mine;
    for (const sema::PlanFacet &f : plan.facets)
      if (llvm::any_of(f.sites, [&](const std::string &s) { return s.empty() || ir::within(site, s) || ir::within(s, site); })) mine.push_back(&f);
    for (const sema::PlanFacet *f : mine) fmt::print("  facet {}: `{}` at {}:{}{}\n", f->kind, f->text, program.sources.name(f->span.file), program.sources.place(f->span.file, f->span.begin).line, became(*f, site));
    for (size_t i = 0; i < mine.size(); ++i)
      for (size_t j = i + 1; j < mine.size(); ++j)
        if (mine[i]->kind != mine[j]->kind) fmt::print("  {} with {}: {}\n", mine[i]->kind, mine[j]->kind, ruleOf(mine[i]->kind, mine[j]->kind));
    if (mine.empty()) return;
    SiteLoad a, b;
    try {
      a = loadOf(*plain, site, false), b = loadOf(module, site, plan.precision == "f64");
    } catch (const Error &e) { // of dims that the plan leaves open
      if (e.code() != "E0516") throw;
      fmt::print("  beside the plan without facets: {}\n", e.message());
      return;
    }
    fmt::print("  beside the plan without facets, at {}: operations {}, bytes {}, params {}, optimizer {}\n", sizesText(at), changeText(a.flops, b.flops), changeText(a.bytes, b.bytes), changeText(double(a.params), double(b.params)), changeText(double(a.optimizer), double(b.optimizer)));
  }

private:
  LoadedProgram &program;
  const sema::CheckedPlan &plan;
  ModuleOp module, scheduled;
  ir::Dims dims;
  Binding at;
  sema::CheckedPlan plainPlan;
  Compiler compiler; ///< its context is that of `plain`
  OwningOpRef<ModuleOp> plain;

  /// Of all that reads, writes or trains what is there, in a step (`run`, where there is no loss).
  SiteLoad loadOf(ModuleOp m, const std::string &site, bool f64) {
    const ir::Dims dims(m);
    SiteOps ops(m, dims);
    auto own = ops.of(site);
    return siteLoad(m, f64, at, [&](Operation *op) { return own.contains(op); }, [&](StringRef s) { return ir::within(s.split('#').first, site); });
  }

  /// What the passes did with it, at this site and those within.
  std::string became(const sema::PlanFacet &f, const std::string &site) {
    if (scheduled && (f.kind == "gather" || f.kind == "grouped")) {
      std::string text = executed(scheduled, f.sites, f.kind);
      if (auto capacity = f.settings.find("capacity"); capacity != f.settings.end() && capacity->second != "none") text += fmt::format("; a member has at most {} times its even share of the points, those of the first rows", capacity->second);
      return text;
    }
    std::string by;
    ir::FacetCost cost;
    Size whole;
    int rows = 0;
    int64_t bits = 0, acts = 0, rank = 0;
    for (auto row : module.getOps<ir::SiteOp>()) {
      if (!llvm::is_contained(f.sites, row.getPath()) || !(row.getPath().empty() || ir::within(row.getPath(), site) || ir::within(site, row.getPath()))) continue;
      for (Attribute c : row.getConsumed()) {
        auto facet = cast<ir::Facet>(cast<ir::ConsumedAttr>(c).getFacet());
        if (ir::stringifyFacetKind(facet.kind()) != f.kind) continue;
        by = cast<ir::ConsumedAttr>(c).getBy().str(), ++rows;
        if (isa<ir::FormatAttr>(facet)) cost = facet.cost(row, dims); // the same at all of them
        if (auto qat = dyn_cast<ir::QatAttr>(facet)) bits = qat.getBits(), acts = qat.getActs();
        if (auto kept = dyn_cast<ir::WholeAttr>(facet)) bits = kept.getBits(), acts = kept.getActs();
        if (auto adapter = dyn_cast<ir::LoraAttr>(facet)) rank = adapter.getRank();
        for (auto v : module.getOps<ir::VariableOp>()) {
          if (v.getSite() != row.getPath()) continue;
          const ir::FacetCost own = facet.cost(v, dims);
          cost = {cost.flops + own.flops, cost.elements + own.elements, cost.trained + own.trained, cost.leftOut + own.leftOut, own.error}, whole = whole + dims.elements(v.getType());
        }
      }
    }
    if (by.empty()) return ", read by the passes that schedule the program"; // remat
    const std::string since = fmt::format(", part of the program since `{}`{}", by, rows > 1 ? fmt::format(" ({} sites)", rows) : "");
    if ((f.kind == "format" || f.kind == "qat") && covered(plan.facets, size_t(&f - plan.facets.data()), site)) return since + ": here the line of an inner site holds";
    if (bits) return since + wholeNumbers(site, bits, acts);
    if (f.kind == "format") return cost.error == 0 ? since + ": what products read is not rounded" : fmt::format("{}: what products read is rounded to {:.0f} significant bits", since, -std::log2(cost.error));
    if (f.kind == "adapt") return since + adapting(site);
    if (f.kind == "topology") return fmt::format("{}: leaves out {:.3g}% of its weights; {}", since, 100 * dims.atMost(cost.leftOut) / dims.atMost(whole), productsOf(f));
    if (f.kind == "blocks") return since + storedBy(f, site);
    if (f.kind == "gate") return since + gatedBy(f, cost.trained);
    const std::string chosen = f.kind == "lora" && !f.settings.contains("r") ? fmt::format(" of rank {} (the largest that the budget has room for)", rank) : "";
    return fmt::format("{}: adds {} params{} and, forward, {} operations for each row of what the map takes", since, cost.trained.str(), chosen, cost.flops.str());
  }
  /// Of the maps at the site and within: what they keep of their weights, in which bytes, and what products make of it.
  std::string storedBy(const sema::PlanFacet &f, const std::string &site) {
    double values = 0, pattern = 0, whole = 0;
    bool grouped = true, trained = false;
    for (auto v : module.getOps<ir::VariableOp>()) {
      auto blocks = v->getAttrOfType<ir::BlocksAttr>("fil.blocks");
      if (!blocks || !llvm::is_contained(f.sites, v.getSite()) || !(ir::within(v.getSite(), site) || ir::within(site, v.getSite()))) continue;
      const double bytes = double(ir::bytesOf(v.getType(), plan.precision == "f64" ? 8 : 4)), n = dims.atMost(dims.elements(v.getType()));
      values += bytes * n, whole += bytes * (n + dims.atMost(blocks.cost(v, dims).leftOut)), grouped = blocks.grouped(), trained |= v.getTrained();
      for (const char *name : {".pattern", ".slots", ".places"})
        if (auto p = module.lookupSymbol<ir::VariableOp>((v.getSymName() + name).str())) pattern += double(ir::bytesOf(p.getType(), 0)) * dims.atMost(dims.elements(p.getType()));
    }
    if (whole == 0) return ": all of its weights are there";
    return fmt::format(": {:.0f} bytes of weights and {:.0f} of their pattern in place of {:.0f} ({:.2f}x){}; {}", values, pattern, whole, (values + pattern) / whole, trained ? fmt::format(", what the optimizer keeps {:.2f}x", values / whole) : "",
                       grouped ? "products are dense ones over weights put into their places, and no faster: this processor has no instructions for such patterns" : productsOf(f));
  }
  /// Products with a level, at the site and within.
  std::string adapting(const std::string &site) {
    Size levels;
    for (auto v : module.getOps<ir::VariableOp>())
      if (v.getSymName().ends_with("#level") && ir::within(v.getSite().split('#').first, site)) levels = levels + dims.elements(v.getType());
    if (levels == Size()) return ": nothing here adapts";
    return fmt::format(": levels of products, {}: its own format at first, then the wider ones of bf16 and f32; every {} steps `observe` runs in place of `step` and looks", levels.str(), plan.adapt->every);
  }
  /// Of the maps at the site and within.
  std::string wholeNumbers(const std::string &site, int64_t bits, int64_t acts) {
    Size scales;
    double longest = 0; // sum of products
    for (auto v : module.getOps<ir::VariableOp>()) {
      if (!ir::within(v.getSite(), site)) continue;
      if (v->hasAttr("fil.scale")) scales = scales + dims.elements(v.getType());
      if (!v.getMap() || v.getAdapter()) continue;
      auto together = v->getAttrOfType<IntegerAttr>("fil.together"); // of a byte
      double steps = together ? double(together.getInt()) : 1;
      for (StringAttr d : ir::sidesOf(v).left) steps *= dims.atMost(dims.value(d.getValue()));
      longest = std::max(longest, steps);
    }
    std::string text = fmt::format(": whole numbers of {} bits times scales, which are {} with what training learns of them", bits, scales.str());
    if (!acts) return text + "; what they are multiplied by stays as it is";
    const double most = std::ldexp(longest, int(bits + acts - 2));
    return text + fmt::format("; multiplied by whole numbers of {} bits: sums of {:.0f} products {}", acts, longest, most <= 0x1p24 ? "are exact in f32" : fmt::format("may need {:.0f} bits, of which f32 keeps 24", std::ceil(std::log2(most))));
  }
  /// How many granules are computed, and by which products of `run` alone.
  std::string gatedBy(const sema::PlanFacet &f, const Size &params) {
    if (params == Size()) return ": keeps all, so it is no gate";
    std::string text = fmt::format(": predictors of {} params", params.str());
    auto ours = [&](ir::MaskOp m) { return m && m.getChosen() && llvm::any_of(f.sites, [&](const std::string &site) { return ir::within(ir::siteOf(m), site); }); };
    std::vector<std::string> chosen;
    int all = 0, skipping = 0;
    double most = 0;
    bool ofSamples = false;
    module.walk([&](Operation *op) {
      if (auto f = op->getParentOfType<ir::FuncOp>(); !f || f.getEntry() != "run") return;
      if (auto m = dyn_cast<ir::MaskOp>(op); ours(m)) {
        const std::string kept = fmt::format("{} of {}", (*m.getKept())[0], (*m.getKept())[1]);
        if (std::find(chosen.begin(), chosen.end(), kept) == chosen.end()) chosen.push_back(kept);
      }
      auto c = dyn_cast<ir::ContractOp>(op);
      auto s = c ? ir::skipsInRows(c, dims) : std::nullopt;
      if (!s || !(ours(s->columns) || ours(s->sum))) return;
      ++all, ofSamples |= s->ofSamples;
      if (s->ofSamples) ++skipping;
      else if (ir::worthPacking(c, dims)) ++skipping, most = std::max(most, 1 / s->share());
    });
    text += fmt::format(" choose {} granules; ", fmt::join(chosen, ", "));
    if (all == 0) return text + "no product of `run` computes these alone: all is computed and masked";
    const std::string rows = most == 0 ? "" : fmt::format(", in calls of up to {:.0f} rows", std::floor(most));
    return text + fmt::format("{} of {} products of `run` compute these alone{}{}, and the others, like those of training, compute all", skipping, all, ofSamples ? " in each sample" : "", rows);
  }
  /// Which products of the line's masks leave granules out.
  std::string productsOf(const sema::PlanFacet &f) {
    int all = 0, skipping = 0;
    module.walk([&](ir::ContractOp c) {
      auto entry = c->getParentOfType<ir::FuncOp>().getEntry();
      if (entry != (passes::entryPoint(module, "step") ? "step" : "run")) return;
      SmallVector<Operation *> masks{c.getLhs().getDefiningOp(), c.getRhs().getDefiningOp()};
      masks.append(c->user_begin(), c->user_end());
      auto ours = [&](Operation *op) { return isa_and_nonnull<ir::MaskOp>(op) && llvm::is_contained(f.sites, ir::siteOf(op)); };
      if (!llvm::any_of(masks, ours)) return;
      ++all;
      if (auto s = ir::skips(c, dims); s && ours(s->mask)) ++skipping;
    });
    return fmt::format("{} of {} products are computed granule by granule (a granule is then of 16 columns, or a multiple, and up to {:.0f}% of them are there), the others with zeros", skipping, all, 100 * ir::skipsUpTo);
  }
  static std::string ruleOf(const std::string &a, const std::string &b) {
    const auto first = std::min(*ir::symbolizeFacetKind(a), *ir::symbolizeFacetKind(b)), second = std::max(*ir::symbolizeFacetKind(a), *ir::symbolizeFacetKind(b));
    for (const ir::PairRule &r : ir::pairRules())
      if (r.first == first && r.second == second) return r.rule;
    return "";
  }
};

} // namespace

/// Of the program as a whole.
static Exit explainProgram(Session &session, const CommonOptions &o, const ExplainArguments &a) {
  if (o.backend == "reference") throw Error(Exit::Input, "E0801", "the reference walks the operations one by one: it has no kernels and no arena", "leave `--backend=reference` out");
  CompileOptions options = session.compileOptions(o);
  options.keepGroups = true;
  Compiler compiler(*session.program, session.plan, options); // what it has compiled lives in its context
  const Compiled compiled = compiler.run();
  if (report(*session.program) != Exit::Ok) return Exit::Input;
  if (a.kernels) explainKernels(*compiled.manifest, session.plan.train, a);
  if (a.memory) explainMemory(compiled, session.plan, a);
  return Exit::Ok;
}

Exit explain(const CommonOptions &o, const ExplainArguments &a) {
  auto session = Session::open(o, "compile", {}, true);
  if (!session) return Exit::Input;
  if (a.kernels || a.memory) return explainProgram(*session, o, a);
  LoadedProgram &p = *session->program;
  const std::string &site = a.site;
  ast::File holder;
  const ast::SitePath *pattern = parsePattern(p, site, holder);
  if (!pattern) return Exit::Input;
  auto &t = session->plan.train;
  auto graph = p.program->elaborateModel(session->plan.model, t.loss, t.lossCall, t.loss != nullptr);
  if (!graph) return report(p);
  auto sites = sema::sitesOf(*graph, p.program->variables, session->plan.model);
  auto found = sema::matching(*pattern, sites);
  if (found.empty()) {
    std::string near;
    for (const std::string &n : sema::nearest(*pattern, sites)) near += (near.empty() ? "; did you mean `" : " or `") + n + "`";
    throw Error(Exit::Input, "E0118", fmt::format("site `{}` matches nothing{}", site, near.empty() ? "" : near + "?"));
  }
  Compiler compiler(p, session->plan, session->compileOptions(o));
  auto module = compiler.module(Stage::precision_);
  if (!module) return report(p);
  CompileOptions options = session->compileOptions(o);
  options.keepGroups = true;
  Compiler generator(p, session->plan, options);
  Compiled compiled;
  std::optional<Kernels> kernels;
  std::string whyNone = "the reference walks the operations one by one";
  if (o.backend == "cpu") {
    try {
      compiled = generator.run();
      kernels.emplace(*compiled.scheduled, compiled.launches, compiled.target, a.profile.empty() ? std::nullopt : std::optional(Profile::read(systemFiles(), a.profile)));
    } catch (const Error &e) { // what does not become code can still be explained
      if (e.code() != "E0801") throw;
      whyNone = e.message();
    }
  }
  Explanation explanation(*module, session->plan.precision, compiled.scheduled ? passes::savedValues(*compiled.scheduled) : std::vector<passes::SavedValue>(), kernels ? &*kernels : nullptr, whyNone);
  std::optional<FacetStory> facets;
  if (!session->plan.facets.empty()) facets.emplace(p, session->plan, *module, compiled.scheduled ? *compiled.scheduled : ModuleOp(), session->compileOptions(o));
  std::set<std::string> seen;
  for (const sema::SitePathOf *s : found) {
    if (!seen.insert(s->recorded()).second) continue;
    explanation.print(s->recorded());
    if (compiled.scheduled) printUnasked(*compiled.scheduled, session->plan, s->recorded());
    if (facets) facets->print(s->recorded());
  }
  return Exit::Ok;
}

} // namespace fil
