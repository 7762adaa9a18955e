// SPDX-License-Identifier: Apache-2.0
// ANTLR's tree of a file without mistakes to the syntax tree.
#pragma once
#include "FiligreeParser.h"
#include "lang/ast/ast.h"
#include "lang/diag/diag.h"

namespace fil {
/// `offsets[i]` is the byte at which code point i begins; one more entry for the end.
/// Mistakes that the grammar lets pass (a chain of comparisons, a `fn` with a param) go to `diags`.
ast::File buildAst(filgen::FiligreeParser::ProgramContext *, uint32_t file, const std::vector<uint32_t> &offsets, Diagnostics &diags);
} // namespace fil
