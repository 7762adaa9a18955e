// SPDX-License-Identifier: Apache-2.0
// Text from a trained model: the prompt through `prefill`, then one token a call of `decode`, which keeps its caches. What is drawn is a
// function of (seed, place), never of time.
#pragma once
#include "runtime/exec/executable.h"
#include <functional>

namespace fil {

struct Choice {
  double temperature = 1;  ///< 0: the likeliest
  int64_t topK = 0;        ///< among the K likeliest alone; 0: all
  uint64_t seed = 0;
};

/// A token from its logits; ties by lowest index, NaN never. `place` counts tokens drawn.
int32_t chooseToken(const std::vector<double> &logits, const Choice &, int64_t place);

/// The sequence so far lives in the caches of the program.
class Decoder {
public:
  /// Error E0801 where the program has no caches, E0516 where it does not take tokens `index<V>[B,T]` and give values over V.
  explicit Decoder(Executable &);
  /// Forgets the past; room for `capacity` tokens. Values of the last position, one for each token of V.
  std::vector<double> prefill(const std::vector<int32_t> &tokens, int64_t capacity);
  std::vector<double> decode(int32_t token);
  const std::string &timeDim() const;

private:
  std::vector<double> call(const Entry &, const std::vector<int32_t> &tokens);

  Executable &program;
  const Entry *prefill_, *decode_;
  size_t classAxis, timeAxis;
  int64_t length = 0;
};

struct Writing {
  int64_t count = 256;     ///< tokens to draw
  int32_t below = 256;     ///< others are never drawn
  int64_t window = 0;      ///< positions that the model was trained on: when they are full, the second half is read anew; 0: no bound
};
/// Draws tokens after `prompt`; `emit` gets each as soon as it is known.
void generate(Decoder &, const std::vector<int32_t> &prompt, const Writing &, const Choice &, const std::function<void(int32_t)> &emit);

} // namespace fil
