// SPDX-License-Identifier: Apache-2.0
// One function for each construct of the language: adds statements to a body; false where nothing in scope fits.
#pragma once
#include "tests/programs/writer.h"

namespace fil::programs {

class Constructs : public Writer {
public:
  using Writer::Writer;
  /// A whole program of about `size` constructs.
  void program(int size);

protected:
  void body(Scope &, int size);
  bool construct(Scope &);
  Value &start(Scope &);                    ///< a first value: an input or an embedding
  void ending(Scope &, Axes result, std::string &expression); ///< the loss, by what the model returns

  // ---- constructs.cpp: one value from others ----
  bool elementwise(Scope &);
  bool reduction(Scope &);
  bool normalizer(Scope &);
  bool map(Scope &);
  bool dotProduct(Scope &);
  bool table(Scope &);
  bool tied(Scope &);
  bool bestIndex(Scope &);
  bool absent(Scope &);
  bool gain(Scope &);
  bool whole(Scope &);
  bool position(Scope &);
  bool cut(Scope &);
  bool join(Scope &);
  bool renamed(Scope &);
  bool convolution(Scope &);
  bool lineWindow(Scope &);
  bool noGradient(Scope &);
  bool userFunction(Scope &);

  // ---- structures.cpp: subsets, blocks, loops, states ----
  bool attention(Scope &);
  bool select(Scope &);
  bool neurons(Scope &);
  bool route(Scope &);
  bool layers(Scope &);
  bool carriedTypes(Scope &);
  bool block(Scope &);
  bool sharedBlock(Scope &);
  bool ownBlock(Scope &);
  bool kept(Scope &);
  bool furtherLoss(Scope &);
  std::string feedForward(const Axes &);    ///< the name of a block `(h: [axes], W) -> [axes]`
  std::string branch(Scope &, const Value &h, const std::string &turn, int turns);
};

} // namespace fil::programs
