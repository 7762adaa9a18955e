// SPDX-License-Identifier: Apache-2.0
// Options of all subcommands, and what they share.
#include "tools/fil/commands.h"
#include <CLI/CLI.hpp>
#include <charconv>

namespace fil {

struct Commands::Options {
  CommonOptions common;
  bool json = false;
  std::string topic;
};

template <class F> CLI::App *Commands::add(CLI::App &app, const char *name, const char *what, F run) {
  CLI::App *sub = app.add_subcommand(name, what);
  sub->callback([this, run] { chosen = run; });
  return sub;
}

static void addFiles(CLI::App *sub, CommonOptions &o) {
  sub->add_option("FILE", o.files, "the program: .fil files in any order")->required();
  sub->add_option("--dim", o.dims, "D=64: the size of a declared dim")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

Commands::Commands(CLI::App &app) : options(std::make_unique<Options>()) {
  Options &o = *options;
  app.require_subcommand(1);
  CLI::App *sub = add(app, "check", "types of every let, parameters, FLOPs and bytes", [&o] { return check(o.common, o.json); });
  addFiles(sub, o.common);
  sub->add_option("--plan", o.common.plan, "the plan to take; else a model's only one, else the defaults");
  sub->add_flag("--json", o.json, "one JSON object on stdout");
  sub = add(app, "compile", "compiles to an Executable, or prints a stage on the way", [&o] { return compile(o.common); });
  addFiles(sub, o.common);
  sub = add(app, "help", "a command, or an error code: fil help E0207", [&o, &app] {
    const CLI::App *topic = nullptr;
    for (const CLI::App *c : app.get_subcommands({}))
      if (c->get_name() == o.topic) topic = c;
    if (!topic && !o.topic.empty()) return help(o.topic);
    fmt::print("{}", (topic ? topic : &app)->help());
    return Exit::Ok;
  });
  sub->add_option("TOPIC", o.topic, "a command or a code");
}
Commands::~Commands() = default;
Exit Commands::run() { return chosen(); }

Exit report(LoadedProgram &p) {
  p.diags.sort();
  fmt::print(stderr, "{}", p.diags.render());
  return p.diags.errors() ? Exit::Input : Exit::Ok;
}

std::map<std::string, int64_t> dimOptions(const std::vector<std::string> &given) {
  std::map<std::string, int64_t> dims;
  for (const std::string &d : given) {
    size_t eq = d.find('=');
    int64_t size = 0;
    const char *end = d.data() + d.size();
    if (eq == std::string::npos || eq == 0 || std::from_chars(d.data() + eq + 1, end, size).ptr != end || size < 1)
      throw Error(Exit::Usage, "E0105", fmt::format("`--dim {}` is not NAME=SIZE", d), "write `--dim D=64`");
    dims[d.substr(0, eq)] = size;
  }
  return dims;
}

Exit help(const std::string &topic) {
  const MessageRow *row = findRow(topic);
  if (!row) throw Error(Exit::Usage, "E0106", fmt::format("there is no command and no message `{}`", topic), "`fil help` lists the commands");
  fmt::print("{} {}: {}\n\n{}\n", row->severity == Severity::Error ? "error" : "warning", row->code, row->text, row->explain);
  return Exit::Ok;
}

} // namespace fil
