// SPDX-License-Identifier: Apache-2.0
// Sizes of one call: symbolic dims get their values from the shapes of the inputs, formulas are then numbers.
#pragma once
#include "runtime/exec/executable.h"

namespace fil {

using Binding = std::map<std::string, int64_t>;

/// Checks dtypes, ranks and sizes, and that every index lies in its dim; binds the symbolic dims. Error E0516 names input and
/// axis, E0515 input, place and value. `fixed` holds dims that are known already.
Binding bindInputs(const Entry &, std::span<const Array> inputs, Binding fixed = {});
/// The value of a size; Error E0517 where it is not a whole number or below 0 at these sizes, E0516 where a dim has no value.
int64_t valueOf(const Size &, const Binding &, std::string_view what);

} // namespace fil
