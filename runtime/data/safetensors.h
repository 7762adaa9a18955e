// SPDX-License-Identifier: Apache-2.0
// safetensors: 8 bytes of length, a JSON header (element type, shape and offsets of each tensor, texts under `__metadata__`), then
// the elements. Read by mapping the file; what the header says is checked against the file before anything is believed.
#pragma once
#include "runtime/data/array.h"
#include <map>

namespace fil {

struct SafeTensors {
  std::map<std::string, std::string> metadata;
  std::vector<std::pair<std::string, Array>> tensors; ///< in the order of their elements in the file
  const Array *find(std::string_view name) const;
};

/// E0504 cut short, E0505 another kind of file, E0506 absurd sizes, E0507 element type, E0511 bad JSON, E0512 offsets that do not cut the file.
SafeTensors readSafetensors(Files &, const std::string &path);
/// Durable and at once, in the order given. Elements begin at a multiple of 64 bytes.
void writeSafetensors(Files &, const std::string &path, const SafeTensors &);

} // namespace fil
