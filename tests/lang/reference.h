// SPDX-License-Identifier: Apache-2.0
// What docs/language.md and README.md hold: fenced blocks of code, and the rows of the table of types.
#pragma once
#include "tests/lang/support.h"
#include <set>

namespace fil::test {

struct ReferenceBlock {
  std::string place; ///< docs/language.md:12
  std::string info;  ///< behind ```fil: empty, `error E0207`, `warning W0311`, `prelude`
  std::string text;
};
std::vector<ReferenceBlock> referenceBlocks();

struct ReferenceRow {
  std::string place;
  std::string text, expected;
  bool expression;                  ///< its last statement is one: the type of `it` is asked for
  std::string prelude;
  std::string program() const;      ///< the prelude with the row in it
  std::string typeIn(const LoadedProgram &) const;
};
std::vector<ReferenceRow> referenceRows();

/// The type with its dims in alphabetical order: written order carries no meaning.
std::string normalType(const std::string &);

/// Programs that produce a message which no block and no row of the page produces, by code.
const std::vector<std::pair<std::string, std::string>> &programsOfMessages();
/// Codes that commands produce, each asked for by a test of its own.
std::set<std::string> codesOfCommands();

} // namespace fil::test
