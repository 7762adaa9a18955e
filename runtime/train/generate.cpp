// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/generate.h"
#include "runtime/base/philox.h"
#include "runtime/base/status.h"
#include "runtime/train/feed.h"
#include <algorithm>
#include <numeric>

namespace fil {
namespace {

const Port *tokenInput(const Entry &e) {
  const Port *found = nullptr;
  for (const Port &p : e.inputs)
    if (p.indexBound && p.dims.size() == 2) {
      if (found) return nullptr;
      found = &p;
    }
  return found;
}
[[noreturn]] void notALanguageModel(const std::string &why) {
  throw Error(Exit::Input, "E0516", "the model writes no text: " + why, "`fil sample` takes a model with one input `index<V>[B,T]`, perhaps positions `pos: int[T]`, and an output over B, T and V");
}

} // namespace

int32_t chooseToken(const std::vector<double> &logits, const Choice &c, int64_t place) {
  int32_t best = -1;
  for (size_t i = 0; i < logits.size(); ++i)
    if (best < 0 ? logits[i] == logits[i] : logits[i] > logits[size_t(best)]) best = int32_t(i);
  if (best < 0) throw Error(Exit::Numeric, "E0706", fmt::format("all values of token {} are not a number", place), "the weights are damaged: take an older checkpoint");
  if (c.temperature <= 0) return best;
  std::vector<int32_t> left;
  for (size_t i = 0; i < logits.size(); ++i)
    if (logits[i] == logits[i]) left.push_back(int32_t(i));
  if (c.topK > 0 && size_t(c.topK) < left.size()) {
    auto before = [&](int32_t a, int32_t b) { return logits[size_t(a)] != logits[size_t(b)] ? logits[size_t(a)] > logits[size_t(b)] : a < b; };
    std::nth_element(left.begin(), left.begin() + c.topK, left.end(), before);
    left.resize(size_t(c.topK));
    std::sort(left.begin(), left.end());
  }
  std::vector<double> weight(left.size());
  for (size_t i = 0; i < left.size(); ++i) weight[i] = std::exp((logits[size_t(left[i])] - logits[size_t(best)]) / c.temperature);
  double rest = uniformDouble(philox(streamKey(c.seed, "sample"), uint64_t(place), 0)) * std::accumulate(weight.begin(), weight.end(), 0.0);
  for (size_t i = 0; i < left.size(); ++i)
    if ((rest -= weight[i]) < 0) return left[i];
  return best;
}

Decoder::Decoder(Executable &p) : program(p), prefill_(p.find("prefill")), decode_(p.find("decode")) {
  if (!prefill_ || !decode_)
    throw Error(Exit::Input, "E0801", "the model keeps no cache, so that it cannot be decoded token by token", "declare what looks back as `cache ks: [B,S,..] <- ..`; `fil run` computes whole windows");
  const Port *tokens = tokenInput(*decode_);
  if (!tokens) notALanguageModel("it has not just one input `index<V>` with two dims");
  for (const Port &in : decode_->inputs)
    if (&in != tokens && in.name != "pos" && in.name != "seed" && in.name != "step") notALanguageModel(fmt::format("nothing feeds its input `{}`", in.name));
  const Port &out = decode_->outputs.at(0);
  classAxis = timeAxis = out.dims.size();
  for (size_t k = 0; k < out.dims.size(); ++k) {
    const bool shared = out.dims[k] == tokens->dims[0] || out.dims[k] == tokens->dims[1];
    if (out.dims[k] == tokens->dims[1]) timeAxis = k;
    if (!shared && out.sizes[k] == *tokens->indexBound) classAxis = k;
  }
  for (const Port &in : decode_->inputs) // the second dim is time, unless `pos: int[T]` says otherwise
    if (in.name == "pos" && in.dims.size() == 1)
      for (size_t k = 0; k < out.dims.size(); ++k)
        if (out.dims[k] == in.dims[0]) timeAxis = k;
  if (out.dims.size() != 3 || classAxis == 3 || timeAxis == 3) notALanguageModel("its output is not over the two dims of its tokens and V");
}

const std::string &Decoder::timeDim() const { return decode_->outputs[0].dims[timeAxis]; }

std::vector<double> Decoder::prefill(const std::vector<int32_t> &tokens, int64_t capacity) {
  program.resetCaches(1, capacity);
  length = 0;
  return call(*prefill_, tokens);
}
std::vector<double> Decoder::decode(int32_t token) { return call(*decode_, {token}); }

std::vector<double> Decoder::call(const Entry &e, const std::vector<int32_t> &tokens) {
  const int64_t n = int64_t(tokens.size());
  std::vector<Array> inputs;
  for (const Port &p : e.inputs) {
    if (p.name == "seed" || p.name == "step") {
      inputs.push_back(scalarInput(p, 0));
    } else if (p.name == "pos") {
      std::vector<int32_t> positions(tokens.size());
      std::iota(positions.begin(), positions.end(), int32_t(length));
      inputs.push_back(Array::of(DType::I32, std::vector<int64_t>(p.dims.size(), n), positions));
    } else {
      inputs.push_back(Array::of(DType::I32, p.dims[0] == timeDim() ? std::vector<int64_t>{n, 1} : std::vector<int64_t>{1, n}, tokens));
    }
  }
  Array y = program.run(e, inputs).at(0);
  length += n;
  std::vector<int64_t> stride(3, 1);
  for (size_t k = 2; k-- > 0;) stride[k] = stride[k + 1] * y.shape[k + 1];
  std::vector<double> logits(size_t(y.shape[classAxis]));
  for (size_t v = 0; v < logits.size(); ++v) logits[v] = y.at((n - 1) * stride[timeAxis] + int64_t(v) * stride[classAxis]);
  return logits;
}

void generate(Decoder &decoder, const std::vector<int32_t> &prompt, const Writing &w, const Choice &choice, const std::function<void(int32_t)> &emit) {
  if (w.count < 1) return;
  std::vector<int32_t> text = prompt;
  const int64_t capacity = w.window ? w.window : int64_t(prompt.size()) + w.count;
  int64_t held = 0; // positions in the caches
  auto read = [&](int64_t last) {
    held = std::min(last, int64_t(text.size()));
    return decoder.prefill({text.end() - held, text.end()}, capacity);
  };
  std::vector<double> logits = read(capacity);
  for (int64_t i = 0; i < w.count; ++i) {
    if (logits.size() > size_t(w.below)) logits.resize(size_t(w.below));
    text.push_back(chooseToken(logits, choice, i));
    emit(text.back());
    if (i + 1 == w.count) return;
    if (held < capacity) ++held, logits = decoder.decode(text.back());
    else logits = read(std::max<int64_t>(capacity / 2, 1));
  }
}

} // namespace fil
