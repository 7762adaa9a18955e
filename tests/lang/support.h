// SPDX-License-Identifier: Apache-2.0
// What tests of the language begin with: texts of the tree, and a program in a string, checked.
#pragma once
#include "tools/driver/program.h"
#include <gtest/gtest.h>

namespace fil::test {

/// The text of a file of the source tree; fails the test where there is none.
std::string sourceText(const std::string &path);
/// Paths in a folder of the tree and below it that end in `ending`, sorted.
std::vector<std::string> sourceFiles(const std::string &folder, const std::string &ending);

/// Parses and checks; with several texts they are files of one program.
std::unique_ptr<LoadedProgram> checked(const std::vector<std::pair<std::string, std::string>> &files, std::map<std::string, int64_t> dims = {});
std::unique_ptr<LoadedProgram> checked(const std::string &text);
/// The codes of all messages, in the order of their places.
std::vector<std::string> codes(const LoadedProgram &);

/// A text parsed alone, without the library.
struct Parsed {
  SourceManager sources;
  Diagnostics diags{sources};
  ast::File file;
  explicit Parsed(const std::string &text, const std::string &name = "test.fil");
};

} // namespace fil::test
