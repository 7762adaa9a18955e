// SPDX-License-Identifier: Apache-2.0
// A session's program, compiled: from the cache if it holds this very one, else by the compiler, which is opened only then.
#pragma once
#include "tools/fil/session.h"

namespace fil {

/// Null where lowering found mistakes, which are then on stderr.
std::unique_ptr<Executable> compileProgram(Session &, const CommonOptions &);

} // namespace fil
