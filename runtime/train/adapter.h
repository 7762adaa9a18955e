// SPDX-License-Identifier: Apache-2.0
// Adapters as files of their own: a safetensors file with the names and shapes of the field (PEFT), `base_model.model.l.3.Attention.q.lora_A.weight`
// [rank, in] and `.lora_B.weight` [out, rank], dims of a family before them. Unlike a checkpoint it says nothing of the base.
#pragma once
#include "runtime/data/safetensors.h"
#include "runtime/exec/executable.h"

namespace fil {

bool hasAdapters(const Executable &);
/// Of a program with one adapter. Written to a temporary, synchronised, renamed.
void writeAdapter(Files &, const std::string &path, const Executable &, const std::string &model);

/// Sets one of the program's adapters (`slot` from 0; a program with one has slot 0). Also takes names without `base_model.model.` or `.weight`,
/// and our own (`l[3].Attention.q.lora_A`). A rank below the program's is filled with zeros. Where the file says `r` and `lora_alpha`, its B
/// is multiplied by the quotient of its scale and the program's. E0523 where a tensor is missing, has another shape, or is one too many.
void loadAdapter(Executable &, Files &, const std::string &path, int64_t slot);

} // namespace fil
