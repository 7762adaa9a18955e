// SPDX-License-Identifier: Apache-2.0
// Text to syntax tree. The only part of Filigree that includes ANTLR.
#pragma once
#include "lang/ast/ast.h"
#include "lang/diag/diag.h"

namespace fil {
/// Parses the text of `file`. Mistakes go to `diags`, one for each; with any, only the comments are returned.
ast::File parse(uint32_t file, Diagnostics &diags);
} // namespace fil
