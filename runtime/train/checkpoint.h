// SPDX-License-Identifier: Apache-2.0
// Checkpoints: a safetensors file with every variable of a program under its site (axes in declared order), and in its metadata all
// that going on needs: the step, which with the seed is the position in the data, the dims, the plan's text and the target.
#pragma once
#include "runtime/data/safetensors.h"
#include "runtime/exec/executable.h"

namespace fil {

struct CheckpointInfo {
  int64_t step = 0;                         ///< steps done; the next one is this step, counted from 0
  uint64_t seed = 0;
  double seconds = 0;                       ///< trained for
  std::string model, planName, plan;        ///< the plan as text that parses
  std::map<std::string, int64_t> dims;      ///< every declared dim that has a size
  std::map<std::string, int64_t> dimsGiven; ///< those of them that `--dim` set
  std::string target;                       ///< what the program was compiled for; bits may differ on another one
  int64_t trainSamples = 0, heldSamples = 0; ///< of the data: another number is another order of samples
};

struct Checkpoint {
  std::string path;
  CheckpointInfo info;
  SafeTensors file;
};

/// Written to a temporary, synchronised, renamed, the folder synchronised.
void writeCheckpoint(Files &, const std::string &path, const Executable &, const CheckpointInfo &);
/// E0514 for a safetensors file that is no checkpoint of Filigree.
Checkpoint readCheckpoint(Files &, const std::string &path);

enum class Restore {
  All,    ///< to go on: params, states, what the optimizer keeps
  Weights ///< params and states; what the optimizer keeps stays as it is, and adapters that the file lacks do; predictors that it lacks are made of the maps,
          ///< whole numbers by the scales that it has, or the best ones
};
/// Sets the program's variables. E0513 where one is missing, has another shape or element type, or the file has one too many.
void restore(Executable &, const Checkpoint &, Restore);

} // namespace fil
