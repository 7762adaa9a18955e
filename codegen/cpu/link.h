// SPDX-License-Identifier: Apache-2.0
// Relocatable ELF objects to one image. Only what kernels consist of is understood: code and constants that refer to each other
// by distance.
#pragma once
#include "codegen/cpu/image.h"
#include <string_view>

namespace fil {

struct ObjectFile { std::string_view name, bytes; };

/// Fills code, entry and size of the image. Error E0901 (internal) as compileImage says.
void linkObjects(std::span<const ObjectFile>, Image &);

} // namespace fil
