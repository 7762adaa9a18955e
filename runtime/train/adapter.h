// SPDX-License-Identifier: Apache-2.0
// Adapters as files of their own: a safetensors file with the names and shapes of the field (PEFT), `base_model.model.l.3.Attention.q.lora_A.weight`
// [rank, in] and `.lora_B.weight` [out, rank], dims of a family before them. Unlike a checkpoint it says nothing of the base. Metadata: `r` and `lora_alpha`, where
// sites differ `rank_pattern` and `alpha_pattern` of each (JSON objects). A site's scale is its alpha / rank.
#pragma once
#include "runtime/data/safetensors.h"
#include "runtime/exec/executable.h"

namespace fil {

bool hasAdapters(const Executable &);
/// Of a program with one adapter. Written to a temporary, synchronised, renamed.
void writeAdapter(Files &, const std::string &path, const Executable &, const std::string &model);

/// Sets one of the program's adapters (`slot` from 0; a program with one has slot 0), elements of f32, f64, f16 or bf16. Also takes names without `base_model.model.` or `.weight`, with
/// `.default`, `lora_embedding_A`, `lora_magnitude_vector` (magnitudes, of which the base's are taken), and our own (`l[3].Attention.q.lora_A`). A rank below the program's is filled
/// with zeros, and so is a site of which the file has nothing. B is multiplied by the quotient of the scale that the file says and the program's; it is warned of a file that says none,
/// nor has the `adapter_config.json` of PEFT beside it. E0523 where one of a pair is missing, a tensor has another shape, or is one too many.
void loadAdapter(Executable &, Files &, const std::string &path, int64_t slot);

} // namespace fil
