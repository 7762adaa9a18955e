// SPDX-License-Identifier: Apache-2.0
// Samples for training and validation. The order is a pure function of (seed, step): nothing is kept between steps, so a
// resumed run, any number of threads and any number of ranks see the same samples. Text draws window starts uniformly; other
// data go through a new permutation each epoch.
#pragma once
#include "runtime/data/array.h"
#include <map>

namespace fil {

/// What an input of the program wants: its name, element type (F32 F64 I32 I64 Bool), sizes of one sample (without the batch),
/// and for an index the size of its dim: other values are an Error E0515 that names input, place and value.
struct InputSpec {
  std::string name;
  DType dtype;
  std::vector<int64_t> sample;
  std::optional<int64_t> indexBound;
  bool shared = false; ///< one value for all samples: `sample` is all of it
};

/// One batch: for each spec its elements. Memory is reused from batch to batch.
struct Batch {
  struct Field {
    std::string name;
    DType dtype = DType::F32;
    std::vector<int64_t> shape; ///< the batch first, but for inputs that all samples share (`pos`)
    std::vector<std::byte> bytes;
  };
  int64_t size = 0; ///< samples
  std::vector<Field> fields;
};

class Dataset {
public:
  virtual ~Dataset() = default;
  /// Input names that this set feeds.
  virtual std::vector<std::string> names() const = 0;
  /// Checks the inputs against the data; fills are in this order from then on. Called once before any batch.
  virtual void bind(const std::vector<InputSpec> &) = 0;

  /// Samples to train on. For text there is no end: steps of an epoch are trainSamples / batch, rounded up, where a sample is
  /// one window of the training part without overlap.
  virtual int64_t trainSamples() const = 0;
  virtual int64_t validationSamples() const = 0;
  /// Tokens of one sample; 0 where a sample has none.
  virtual int64_t tokensPerSample() const { return 0; }

  int64_t stepsPerEpoch(int64_t batch) const { return (trainSamples() + batch - 1) / batch; }
  int64_t validationBatches(int64_t batch) const { return (validationSamples() + batch - 1) / batch; }

  /// The samples of one step, from 0 on.
  virtual void trainBatch(uint64_t seed, int64_t step, int64_t batch, Batch &out) = 0;
  /// Validation goes through all held-out samples in order; the last batch may be partial.
  virtual void validationBatch(int64_t number, int64_t batch, Batch &out) = 0;
};

/// One named array, each element times `scale`; axis 0 counts samples, unless all samples share it.
struct NamedArray {
  std::string name;
  Array array;
  double scale = 1;
  bool shared = false;
};

/// Arrays of equal length. With `validation` all of `train` is trained on; without, the first `split` of it, and the rest is
/// held out. E0510 if lengths or names differ, E0509 without samples.
std::unique_ptr<Dataset> arrayDataset(std::vector<NamedArray> train, std::vector<NamedArray> validation,
                                      double split);

/// Windows of T bytes: `tok`, `t` (the byte after each) and `pos` (0..T-1, shared). The first `split` of the bytes is trained
/// on; with `validation` all of `text`. E0508 if a part has no window.
std::unique_ptr<Dataset> textDataset(Blob text, std::optional<Blob> validation, double split, int64_t window);

/// The bytes that textDataset trains on and those that it holds out.
std::pair<Blob, Blob> splitText(const Blob &text, double split);

/// The order of one epoch: a permutation of 0..n-1 by Fisher and Yates with Philox.
std::vector<int64_t> epochOrder(uint64_t seed, int64_t epoch, int64_t n);

} // namespace fil
