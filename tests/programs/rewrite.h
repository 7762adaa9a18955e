// SPDX-License-Identifier: Apache-2.0
// The same program in other words: identifiers renamed, dims of types, sides and `over` lists in another written order.
#pragma once
#include <cstdint>
#include <string>

namespace fil::programs {

/// Every name that the program gives becomes `z9_name`, the numbers falling, so that no order of names stays.
std::string renamed(const std::string &text);
/// What a name of this text became.
std::string renamedIn(const std::string &text, const std::string &name);
/// The name that `renamed` made it from; works on paths, dims and formulas too.
std::string originalName(const std::string &name);
/// Declared dims change places; a dim that is made where it stands (`ky:3`, `Y/2`) keeps its turn, for its first appearance
/// gives it its place in the canonical order.
std::string permuted(const std::string &text, uint64_t seed);

} // namespace fil::programs
