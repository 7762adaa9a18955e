// SPDX-License-Identifier: Apache-2.0
// Files of data: text, idx (MNIST's format, gzip or not) and npy. Files come from anywhere: each reader checks what a header
// says against what the file can hold before it allocates, and a bad file is an Error with file, reason and remedy.
#pragma once
#include "runtime/data/array.h"

namespace fil {

/// The bytes of all files, one after the other: patterns in order, the matches of each by name. E0509 if one matches nothing.
Blob readText(Files &, const std::vector<std::string> &patterns);

/// All element types of idx (big-endian in the file); compressed or not is seen by its first bytes.
Array readIdx(Files &, const std::string &path);

/// Versions 1 to 3; little-endian f4 f8 i1 u1 i2 i4 i8 b1; Fortran order is brought to C order.
Array readNpy(Files &, const std::string &path);
/// Version 1, C order, durable. Numbers narrower than f32 are written as f4.
void writeNpy(Files &, const std::string &path, const Array &);

} // namespace fil
