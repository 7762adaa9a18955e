// SPDX-License-Identifier: Apache-2.0
// A map's values of a file as whole numbers times scales, where a program keeps them so.
#pragma once
#include "runtime/exec/executable.h"

namespace fil {

struct WholeMap {
  Array numbers, scale; ///< I8; F32
};
/// The shape of a map's numbers, each of its own.
std::vector<int64_t> numbersShape(const VariableInfo &map);
/// Of each number of the map, in order, the place of what belongs to it in a variable that has some of the map's dims.
std::vector<int64_t> placesIn(const VariableInfo &part, const VariableInfo &map);
/// Numbers of a map with a byte each, as the program keeps them: several to a byte; and back.
Array inBytes(const Array &numbers, const VariableInfo &map);
Array ofBytes(const Array &bytes, const VariableInfo &map);

/// The scale that training has found: `first * (1 + gain/8)^8`, in f32 as the training program has it.
Array foundScale(const Array &first, const Array &gain);
/// `round(clamp(w / scale))` in f32, bit for bit as the training program has it. Where `found` is null, or a scale is not above 0, that one is taken whose numbers
/// are nearest to w, of 32 from the largest magnitude down to a third of it. `map` says axes and bits, `scale` axes. A number has a byte.
WholeMap wholeMap(const Array &w, const VariableInfo &map, const VariableInfo &scale, const Array *found);

} // namespace fil
