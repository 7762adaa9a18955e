// SPDX-License-Identifier: Apache-2.0
// Data sets of arrays: sample i is row i of each array.
#include "runtime/base/status.h"
#include "runtime/data/fill.h"
#include <algorithm>
#include <cmath>

namespace fil {
namespace {

int64_t rowsOf(const NamedArray &a) {
  if (a.array.shape.empty())
    throw Error(Exit::Input, "E0509", fmt::format("the data of `{}` are one value, without an axis of samples", a.name));
  return a.array.shape[0];
}

int64_t commonRows(const std::vector<NamedArray> &arrays) {
  if (arrays.empty()) throw Error(Exit::Internal, "E0702", "a data set of no arrays");
  const NamedArray *first = nullptr;
  for (const NamedArray &a : arrays) {
    if (a.shared) continue;
    if (!first) first = &a;
    if (rowsOf(a) != rowsOf(*first))
      throw Error(Exit::Input, "E0510",
                  fmt::format("`{}` has {} samples, but `{}` has {}", first->name, rowsOf(*first), a.name, rowsOf(a)),
                  "the arrays of one data set count samples along their first axis");
  }
  if (!first) throw Error(Exit::Input, "E0510", "no array of the data counts samples", "an input that has the batch's dim must be fed");
  return rowsOf(*first);
}

class ArrayDataset : public Dataset {
public:
  ArrayDataset(std::vector<NamedArray> train, std::vector<NamedArray> validation, double split)
      : train_(std::move(train)), validation_(std::move(validation)) {
    int64_t n = commonRows(train_);
    if (validation_.empty()) {
      trainRows_ = std::min(n, int64_t(std::floor(double(n) * split)));
      heldRows_ = n - trainRows_, heldFrom_ = trainRows_;
    } else {
      trainRows_ = n, heldRows_ = commonRows(validation_);
    }
    if (trainRows_ < 1)
      throw Error(Exit::Input, "E0509", fmt::format("no sample to train on: {} rows, split {}", n, split));
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const NamedArray &a : train_) all.push_back(a.name);
    return all;
  }
  int64_t trainSamples() const override { return trainRows_; }
  int64_t validationSamples() const override { return heldRows_; }

  void bind(const std::vector<InputSpec> &specs) override {
    inputs_.clear();
    for (const InputSpec &spec : specs) {
      Input in{spec, &find(train_, spec), nullptr, *elementCount(spec.sample)};
      in.held = validation_.empty() ? in.train : &find(validation_, spec);
      inputs_.push_back(std::move(in));
    }
  }

  void trainBatch(uint64_t seed, int64_t step, int64_t batch, Batch &out) override {
    int64_t perEpoch = stepsPerEpoch(batch), epoch = step / perEpoch, first = step % perEpoch * batch;
    if (order_.empty() || seed != orderSeed_ || epoch != orderEpoch_)
      order_ = epochOrder(seed, epoch, trainRows_), orderSeed_ = seed, orderEpoch_ = epoch;
    start(out, std::min(batch, trainRows_ - first));
    for (size_t k = 0; k < inputs_.size(); ++k)
      if (inputs_[k].spec.shared) fill(k, *inputs_[k].train, 0, 1, 0, out);
      else
        for (int64_t r = 0; r < out.size; ++r) fill(k, *inputs_[k].train, order_[size_t(first + r)], 1, r, out);
  }
  void validationBatch(int64_t number, int64_t batch, Batch &out) override {
    int64_t first = number * batch;
    start(out, std::clamp<int64_t>(heldRows_ - first, 0, batch));
    for (size_t k = 0; k < inputs_.size(); ++k)
      if (inputs_[k].spec.shared) fill(k, *inputs_[k].held, 0, 1, 0, out);
      else fill(k, *inputs_[k].held, heldFrom_ + first, out.size, 0, out);
  }

private:
  struct Input {
    InputSpec spec;
    const NamedArray *train, *held;
    int64_t elements;
  };

  static const NamedArray &find(const std::vector<NamedArray> &arrays, const InputSpec &spec) {
    for (const NamedArray &a : arrays) {
      if (a.name != spec.name) continue;
      std::span<const int64_t> have(a.array.shape);
      if (!a.shared) have = have.subspan(1);
      if (!joinsTo(have, spec.sample))
        throw Error(Exit::Input, "E0515",
                    fmt::format("input `{}` wants samples of {}, but those of its data are {}", spec.name,
                                shapeText(spec.sample), shapeText(have)),
                    "neighbouring axes are joined where that gives the declared sizes; axes of size 1 may be missing");
      return a;
    }
    throw Error(Exit::Input, "E0510", fmt::format("no data are named for input `{}`", spec.name));
  }
  void start(Batch &out, int64_t rows) {
    out.size = rows;
    out.fields.resize(inputs_.size());
    for (size_t k = 0; k < inputs_.size(); ++k)
      shapeField(out.fields[k], inputs_[k].spec, inputs_[k].spec.shared ? std::nullopt : std::optional(rows));
  }
  void fill(size_t k, const NamedArray &from, int64_t row, int64_t rows, int64_t at, Batch &out) {
    const Input &in = inputs_[k];
    std::byte *to = out.fields[k].bytes.data() + size_t(at * in.elements) * byteSize(in.spec.dtype);
    fillElements(in.spec, from, row * in.elements, rows * in.elements, to);
  }

  std::vector<NamedArray> train_, validation_;
  int64_t trainRows_ = 0, heldRows_ = 0, heldFrom_ = 0;
  std::vector<Input> inputs_;
  std::vector<int64_t> order_;
  uint64_t orderSeed_ = 0;
  int64_t orderEpoch_ = -1;
};

} // namespace

std::unique_ptr<Dataset> arrayDataset(std::vector<NamedArray> train, std::vector<NamedArray> validation, double split) {
  return std::make_unique<ArrayDataset>(std::move(train), std::move(validation), split);
}

} // namespace fil
