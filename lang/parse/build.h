// SPDX-License-Identifier: Apache-2.0
// ANTLR's tree of a file without mistakes to the syntax tree.
#pragma once
#include "FiligreeParser.h"
#include "lang/ast/ast.h"

namespace fil {
/// `offsets[i]` is the byte at which code point i begins; one more entry for the end.
ast::File buildAst(filgen::FiligreeParser::ProgramContext *, uint32_t file, const std::vector<uint32_t> &offsets);
} // namespace fil
