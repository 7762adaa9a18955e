// SPDX-License-Identifier: Apache-2.0
// From the lines of a plan to the module's site table.
#pragma once
#include "lang/lower/body.h"
#include "lang/sema/plan.h"

namespace fil {

/// Composes every two facets that meet at a site; what is refused is reported at the later line. True if nothing was.
bool composeFacets(mlir::MLIRContext *, const std::vector<sema::PlanFacet> &, Diagnostics &);
bool composeFacets(const std::vector<sema::PlanFacet> &, Diagnostics &); ///< where there is no module yet
/// Is there a line of the same kind as line `i` about a part that is further in, or later about the same? Then that one holds at the site.
bool covered(const std::vector<sema::PlanFacet> &, size_t i, const std::string &site);
/// Adds the rows. Lines of `lora` without a rank get one, so that all adapters together have at most the share `loraBudget` of the model's
/// params. False, and reported, where none is small enough.
bool placeFacets(mlir::ModuleOp, const LowerContext &, std::vector<sema::PlanFacet>, double loraBudget, Diagnostics &);

} // namespace fil
