// SPDX-License-Identifier: Apache-2.0
// Reads, parses and checks.
#include "tools/driver/program.h"
#include "runtime/base/status.h"
#include "tools/driver/std_text.h"
#include "tools/driver/timeline.h"
#include <algorithm>

namespace fil {

/// In symbolic dims and numbers alone: `N = D/H` is 32.
static Size unfolded(const sema::DimTable &dims, const Size &size) {
  return size.substitute([&](const std::string &name) -> std::optional<Size> {
    const sema::Dim *d = dims.find(name);
    if (!d || d->size == Size::symbol(name)) return std::nullopt;
    return unfolded(dims, d->size);
  });
}

std::unique_ptr<LoadedProgram> LoadedProgram::load(Files &files, const std::vector<std::string> &paths, const sema::CheckOptions &options,
                                                   const std::optional<CarriedPlan> &carried) {
  auto p = std::make_unique<LoadedProgram>();
  auto add = [&](const std::string &name, std::string text) -> ast::File & {
    uint32_t id = p->sources.add(name, std::move(text));
    return p->files.emplace_back(parse(id, p->diags));
  };
  add("std.fil", std::string(stdText));
  for (const std::string &path : paths) {
    Blob blob = files.read(path);
    if (blob.text().find_first_not_of(" \t\r\n") == std::string_view::npos)
      throw Error(Exit::Input, "E0107", fmt::format("`{}` is empty: it declares nothing", path), "a program has a `model`, or functions that other files use");
    const size_t before = p->diags.errors();
    ast::File &f = add(path, std::string(blob.text()));
    if (f.declarations.empty() && p->diags.errors() == before)
      throw Error(Exit::Input, "E0107", fmt::format("`{}` declares nothing", path), "a program has a `model`, or functions that other files use");
  }
  if (carried) {
    for (ast::File &f : p->files)
      std::erase_if(f.declarations, [&](const ast::Declaration &d) {
        auto *plan = std::get_if<ast::Plan>(&d.is);
        if (plan && plan->name.name == carried->name) p->planFile = f.file;
        return plan && plan->name.name == carried->name;
      });
    add(carried->where, carried->text);
  }
  timeline().lap("ast");
  if (p->diags.errors()) return p;
  p->options = options;
  p->checkProgram();
  if (p->ok()) p->plans = sema::checkPlans(*p->program, p->diags);
  timeline().lap("typed");
  return p;
}

void LoadedProgram::checkProgram() {
  std::vector<const ast::File *> all;
  for (const ast::File &f : files) all.push_back(&f);
  program = sema::Program::check(all, diags, options);
}

std::string LoadedProgram::takeMessages() {
  diags.sort();
  std::string text;
  for (const Diagnostic &d : diags.all())
    if (auto [it, fresh] = taken.insert(diags.render(d)); fresh) text += *it;
  return text;
}

std::map<std::string, int64_t> LoadedProgram::dimSizes() const {
  std::map<std::string, int64_t> sizes;
  for (const ast::File &f : files)
    for (const ast::Declaration &d : f.declarations)
      if (auto *dims = std::get_if<ast::DimsDecl>(&d.is))
        for (const ast::DimDecl &dim : dims->dims)
          if (const sema::Dim *found = program->dims.find(dim.name.name))
            if (auto v = unfolded(program->dims, found->size).constant()) sizes[dim.name.name] = v->num;
  return sizes;
}

std::string LoadedProgram::folderOf(const std::string &plan) const {
  uint32_t file = planFile ? planFile : files.size() > 1 ? files[1].file : files[0].file;
  if (!planFile)
    for (const ast::Plan *p : program->plans())
      if (p->name.name == plan) file = p->name.span.file;
  const std::string &name = sources.name(file);
  const size_t slash = name.rfind('/');
  return slash == std::string::npos ? "" : slash == 0 ? "/" : name.substr(0, slash);
}

const ast::Function *LoadedProgram::model(const std::string &named) const {
  const ast::Function *found = nullptr;
  std::string names;
  for (const ast::Function *f : program->functions()) {
    if (f->kind != ast::Function::Model) continue;
    if (f->name.name == named) return f;
    names += (names.empty() ? "`" : ", `") + f->name.name + "`";
    found = found && named.empty() ? throw Error(Exit::Input, "E0106", "the program has several models: " + names, "name one in a plan: `plan p for NAME {}`") : f;
  }
  if (!found || !named.empty()) throw Error(Exit::Input, "E0106", named.empty() ? "the program has no model" : "there is no model `" + named + "`", names.empty() ? "declare one: `model NAME(x: [B,D]) { .. }`" : "models: " + names);
  return found;
}

sema::CheckedPlan LoadedProgram::plan(const std::string &named, const std::vector<std::string> &set, const std::string &modelName) {
  if (!options.cuts.empty() || !options.limited.empty()) { // for another plan
    options.cuts.clear(), options.limited.clear();
    checkProgram();
  }
  sema::CheckedPlan chosen;
  if (named.empty()) {
    chosen = sema::defaultPlan(*program, model(modelName)->name.name, diags);
  } else {
    std::vector<std::string> names;
    for (const sema::CheckedPlan &p : plans) names.push_back(p.name);
    auto found = std::find(names.begin(), names.end(), named);
    if (found == names.end()) {
      auto near = didYouMean(named, names, 1);
      throw Error(Exit::Input, "P0411", fmt::format("there is no plan `{}`", named),
                  !near.empty()   ? fmt::format("did you mean `{}`?", near[0])
                  : names.empty() ? fmt::format("the program has none; write `plan {} for MODEL {{ .. }}`", named)
                                  : fmt::format("plans: {}", fmt::join(names, ", ")));
    }
    chosen = plans[size_t(found - names.begin())];
  }
  for (const std::string &s : set) sema::setKey(*program, chosen, s, diags);
  if (!ok() || (chosen.cuts.empty() && chosen.limited.empty())) return chosen;
  options.cuts = chosen.cuts, options.limited = chosen.limited;
  checkProgram();
  return sema::checkAgain(*program, chosen, diags);
}

} // namespace fil
