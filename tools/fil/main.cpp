// SPDX-License-Identifier: Apache-2.0
// The command `fil`: arguments to a call of the command's function, failures to exit codes.
#include "runtime/base/log.h"
#include "runtime/base/settings.h"
#include "tools/driver/timeline.h"
#include "tools/fil/compiler_library.h"
#include <CLI/CLI.hpp>
#include <cstdio>

int main(int argc, char **argv) {
  fil::timeline(); // begins
  CLI::App app("Filigree: compiles, trains and runs models written in .fil", "fil");
  try {
    fil::Commands commands(app);
    auto arguments = fil::spreadLists(argc, argv);
    fil::mlirFlagsGiven = std::ranges::any_of(arguments, [](const std::string &a) { return a.starts_with("--mlir-"); });
    if (fil::mlirFlagsGiven) arguments = fil::compilerLibrary().takeMlirFlags(std::move(arguments));
    std::reverse(arguments.begin(), arguments.end()); // the order that CLI11 wants
    app.parse(std::move(arguments));
    for (const std::string &name : fil::unknownSettings()) fmt::print(stderr, "warning: nothing reads the environment variable {}\n", name);
    return int(commands.run());
  } catch (const CLI::ParseError &e) {
    if (e.get_exit_code() == 0) return app.exit(e);
    fmt::print(stderr, "fil: {}\n  = help: `fil {}--help` lists the options\n", e.what(), app.get_subcommands().empty() ? "" : app.get_subcommands()[0]->get_name() + " ");
    return int(fil::Exit::Usage);
  } catch (const fil::Error &e) {
    fmt::print(stderr, "{}\n", e.what());
    return int(e.exit());
  } catch (const std::bad_alloc &) {
    fmt::print(stderr, "{}\n", fil::Error::render("E0701", "the machine has no memory left", "a smaller batch or window needs less"));
    return int(fil::Exit::Resource);
  } catch (const std::exception &e) {
    fmt::print(stderr, "{}\n", fil::Error::render("E0702", e.what(), "please report this with the program"));
    return int(fil::Exit::Internal);
  }
}
