// SPDX-License-Identifier: Apache-2.0
// `fil explain`: what the passes recorded about a site: its variable, its sizes, the operations at it with their costs, the kernels.
#include "ir/ir.h"
#include "lang/sema/plan_sites.h"
#include "tools/fil/session.h"
#include "llvm/ADT/SetVector.h"
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

class Explanation {
public:
  /// `whyNone`: the reason where nothing is recorded about kernels.
  Explanation(ModuleOp module, const std::string &format, const std::vector<LaunchNote> &launches, std::string whyNone)
      : module(module), dims(module), bytes(format == "f64" ? 8 : 4), launches(launches), whyNone(std::move(whyNone)) {
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
    llvm::SetVector<Operation *> ops;
    for (auto v : module.getOps<ir::VariableOp>())
      if (v.getSite() == site) {
        fmt::print("  {}\n", variable(v));
        for (StringAttr d : cast<ir::TensorType>(v.getType()).getDims()) used.insert(d.str());
        users(v, ops);
      }
    entry.walk<WalkOrder::PreOrder>([&](Operation *op) {
      auto at = op->getInherentAttr("site");
      auto text = at ? dyn_cast_or_null<StringAttr>(*at) : StringAttr();
      if (text && isa<ir::Costed>(op) && (text.getValue() == site || text.getValue().starts_with(site + "."))) ops.insert(op);
    });
    ir::Cost total;
    entry.walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (ops.count(op)) line(op, used, total);
    });
    fmt::print("  sum of `{}`: {} FLOPs, {} bytes\n", entry.getEntry().str(), total.flops.str(), (Size(bytes) * (total.read + total.written)).str());
    for (const std::string &d : used) fmt::print("  size {}{}: {}\n", d, kind(d) == "static" ? " = " + dims.value(d).str() : "", kind(d));
    bool any = false;
    for (const LaunchNote &l : launches)
      if (l.site == site || l.site.starts_with(site + ".")) any = true, fmt::print("  kernel {}: {}\n", l.kernel, l.what);
    if (!any) fmt::print("  no kernel is recorded{}\n", whyNone.empty() ? "" : ": " + whyNone);
  }

private:
  ModuleOp module;
  ir::Dims dims;
  int64_t bytes;
  const std::vector<LaunchNote> &launches;
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
      out << (isa<ir::RealType>(tensor.getElement()) ? "" : isa<ir::BoolType>(tensor.getElement()) ? "bool" : isa<ir::IndexType>(tensor.getElement()) ? "index" : "int") << "[";
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
                                declared, elements.str(), (Size(bytes) * elements).str());
    if (!v.getLoops().empty()) s += ", in the turns of its loops together";
    return s;
  }
  /// Operations of the entry that use the variable's value, also within loops.
  void users(ir::VariableOp v, llvm::SetVector<Operation *> &ops) {
    entry.walk([&](ir::ReadOp r) {
      if (r.getVariable() == v.getSymName()) users(r.getResult(), ops);
    });
  }
  void users(Value value, llvm::SetVector<Operation *> &ops) {
    for (OpOperand &use : value.getUses()) {
      auto loop = dyn_cast<ir::LayersOp>(use.getOwner());
      if (loop) users(loop.block().getArgument(1 + use.getOperandNumber()), ops); // the turn comes first
      else if (isa<ir::Costed>(use.getOwner())) ops.insert(use.getOwner());
    }
  }
  void line(Operation *op, std::set<std::string> &used, ir::Cost &total) {
    if (isa<ir::LayersOp>(op)) return; // its operations have lines of their own
    Size turns(1);
    for (auto l = op->getParentOfType<ir::LayersOp>(); l; l = l->getParentOfType<ir::LayersOp>()) turns = turns * Size(int64_t(l.getHi()) - int64_t(l.getLo()));
    ir::Cost c = turns * cast<ir::Costed>(op).cost(dims);
    if (c.flops == Size() && c.read == Size() && c.written == Size()) return; // constants and views are no work
    total = total + c;
    std::string types;
    for (Value v : op->getOperands()) types += (types.empty() ? "" : " ") + typeText(v.getType());
    for (Value v : op->getOperands().empty() ? ValueRange() : op->getResults()) types += " -> " + typeText(v.getType());
    auto note = [&](Type t) {
      if (auto tensor = dyn_cast<ir::TensorType>(t))
        for (StringAttr d : tensor.getDims()) used.insert(d.str());
    };
    for (Type t : op->getOperandTypes()) note(t);
    for (Type t : op->getResultTypes()) note(t);
    std::string what = op->getName().stripDialect().str();
    if (auto m = dyn_cast<ir::MapOp>(op)) what += " " + ir::stringifyMapFn(m.getFn()).str();
    if (auto r = dyn_cast<ir::ReduceOp>(op)) what += " " + ir::stringifyReduceFn(r.getFn()).str();
    auto role = op->getInherentAttr("role");
    fmt::print("  {:<8} {:<14} {}  x{}  {} FLOPs  {} bytes\n", role && *role ? ir::stringifyRole(cast<ir::RoleAttr>(*role).getValue()).str() : "", what, types, turns.str(), c.flops.str(),
               (Size(bytes) * (c.read + c.written)).str());
  }
};

} // namespace

Exit explain(const CommonOptions &o, const std::string &site) {
  auto session = Session::open(o, "compile", {}, true);
  if (!session) return Exit::Input;
  LoadedProgram &p = *session->program;
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
  auto module = compiler.module(Stage::train_);
  if (!module) return report(p);
  std::vector<LaunchNote> launches;
  std::string whyNone = "the reference walks the operations one by one";
  if (o.backend == "cpu") {
    try {
      launches = Compiler(p, session->plan, session->compileOptions(o)).run().launches;
      whyNone.clear();
    } catch (const Error &e) { // what does not become code can still be explained
      if (e.code() != "E0801") throw;
      whyNone = e.message();
    }
  }
  Explanation explanation(*module, session->plan.precision, launches, whyNone);
  std::set<std::string> seen;
  for (const sema::SitePathOf *s : found)
    if (seen.insert(s->str()).second) explanation.print(s->str());
  return Exit::Ok;
}

} // namespace fil
