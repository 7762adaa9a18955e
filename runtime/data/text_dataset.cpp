// SPDX-License-Identifier: Apache-2.0
// Data sets of text: a sample is a window of T bytes and the byte after each.
#include "runtime/base/philox.h"
#include "runtime/base/status.h"
#include "runtime/data/fill.h"
#include <algorithm>
#include <cmath>

namespace fil {
namespace {

class TextDataset : public Dataset {
public:
  TextDataset(Blob train, Blob held, int64_t window)
      : train_(std::move(train)), held_(std::move(held)), window_(window) {
    if (window_ < 1) throw Error(Exit::Input, "E0508", fmt::format("a window of {} tokens", window_));
    if (int64_t(train_.size) <= window_)
      throw Error(Exit::Input, "E0508",
                  fmt::format("the text to train on has {} bytes: no window of T={} and the byte after it", train_.size, window_),
                  "take a longer text or a shorter `window T`");
  }

  std::vector<std::string> names() const override { return {"tok", "pos", "t"}; }
  int64_t trainSamples() const override { return (int64_t(train_.size) - 1) / window_; }
  int64_t validationSamples() const override { return held_.size ? (int64_t(held_.size) - 1) / window_ : 0; }
  int64_t tokensPerSample() const override { return window_; }

  void bind(const std::vector<InputSpec> &specs) override {
    inputs_.clear();
    for (const InputSpec &s : specs) {
      if (s.name != "tok" && s.name != "pos" && s.name != "t")
        throw Error(Exit::Input, "E0510", fmt::format("text gives `tok`, `pos` and `t`, no input `{}`", s.name));
      if (s.sample != std::vector{window_})
        throw Error(Exit::Input, "E0515",
                    fmt::format("input `{}` wants {} of a sample, but a window of text is [{}]", s.name, shapeText(s.sample), window_));
      inputs_.push_back(s);
    }
  }

  void trainBatch(uint64_t seed, int64_t step, int64_t batch, Batch &out) override {
    uint64_t key = streamKey(seed, "data.text"), starts = uint64_t(int64_t(train_.size) - window_);
    begin(out, batch);
    for (int64_t r = 0; r < batch; ++r)
      window(train_, int64_t(uniformBelow(philox(key, uint64_t(step), uint64_t(r)), starts)), r, out);
  }
  void validationBatch(int64_t number, int64_t batch, Batch &out) override {
    int64_t first = number * batch;
    begin(out, std::clamp<int64_t>(validationSamples() - first, 0, batch));
    for (int64_t r = 0; r < out.size; ++r) window(held_, (first + r) * window_, r, out);
  }

private:
  void begin(Batch &out, int64_t rows) {
    out.size = rows;
    out.fields.resize(inputs_.size());
    for (size_t k = 0; k < inputs_.size(); ++k) {
      bool shared = inputs_[k].name == "pos";
      shapeField(out.fields[k], inputs_[k], shared ? std::nullopt : std::optional(rows));
      if (!shared) continue;
      std::vector<int32_t> positions(static_cast<size_t>(window_));
      for (int64_t i = 0; i < window_; ++i) positions[size_t(i)] = int32_t(i);
      fillElements(inputs_[k], {"pos", Array::of(DType::I32, {1, window_}, positions), 1}, 0, window_,
                   out.fields[k].bytes.data());
    }
  }
  void window(const Blob &text, int64_t start, int64_t row, Batch &out) {
    for (size_t k = 0; k < inputs_.size(); ++k) {
      if (inputs_[k].name == "pos") continue;
      NamedArray bytes{inputs_[k].name, {DType::U8, {int64_t(text.size)}, text.data}, 1};
      fillElements(inputs_[k], bytes, start + (inputs_[k].name == "t"), window_,
                   out.fields[k].bytes.data() + size_t(row * window_) * byteSize(inputs_[k].dtype));
    }
  }

  Blob train_, held_;
  int64_t window_;
  std::vector<InputSpec> inputs_;
};

} // namespace

std::pair<Blob, Blob> splitText(const Blob &text, double split) {
  size_t cut = std::min(text.size, size_t(std::floor(double(text.size) * split)));
  return {{text.data, cut}, {{text.data, text.data.get() + cut}, text.size - cut}};
}

std::unique_ptr<Dataset> textDataset(Blob text, std::optional<Blob> validation, double split, int64_t window) {
  auto [train, held] = splitText(text, split);
  if (validation) train = text, held = *validation;
  return std::make_unique<TextDataset>(std::move(train), std::move(held), window);
}

} // namespace fil
