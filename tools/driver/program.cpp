// SPDX-License-Identifier: Apache-2.0
// Reads, parses and checks.
#include "tools/driver/program.h"
#include "runtime/base/status.h"
#include "tools/driver/std_text.h"

namespace fil {

std::unique_ptr<LoadedProgram> LoadedProgram::load(Files &files, const std::vector<std::string> &paths, const sema::CheckOptions &options) {
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
  if (p->diags.errors()) return p;
  std::vector<const ast::File *> all;
  for (const ast::File &f : p->files) all.push_back(&f);
  p->program = sema::Program::check(all, p->diags, options);
  if (p->ok()) p->plans = sema::checkPlans(*p->program, p->diags);
  return p;
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

sema::CheckedPlan LoadedProgram::plan(const std::string &named, const std::vector<std::string> &set) {
  std::string names;
  const sema::CheckedPlan *found = nullptr;
  for (const sema::CheckedPlan &p : plans) {
    if (p.name == named || (named.empty() && plans.size() == 1)) found = &p;
    names += (names.empty() ? "`" : ", `") + p.name + "`";
  }
  if (!found && !named.empty()) throw Error(Exit::Input, "E0106", fmt::format("there is no plan `{}`", named), names.empty() ? "the program declares none" : "plans: " + names);
  if (!found && !plans.empty()) throw Error(Exit::Input, "E0106", "the program has several plans: " + names, "name one: `--plan NAME`");
  sema::CheckedPlan chosen = found ? *found : sema::defaultPlan(*program, model()->name.name, diags);
  for (const std::string &s : set) sema::setKey(*program, chosen, s, diags);
  return chosen;
}

} // namespace fil
