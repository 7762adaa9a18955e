// SPDX-License-Identifier: Apache-2.0
// A small language model and a classifier on the reference back end, with data made on the spot: what tests of training begin with.
#pragma once
#include "runtime/train/train.h"
#include "tests/support/program.h"

namespace fil::test {

inline const char *charText = R"(
dims B, T, S
dims V = 256, D = 8, L = 2, H = 2, N = D / H
fn rms(x: [.., X], g: [X]) = x * rsqrt(mean(x^2, over X) + 1e-6) * g
block Attention(h: [B,T,D], pos: int[T]) -> [B,T,D] {
  param q, k, v: D -> (H, N);  param o: (H, N) -> D
  cache ks: [B,S,H,N] <- rope(h @ k, pos, over N)
  cache vs: [B,S,H,N] <- h @ v
  let score = dot(rope(h @ q, pos, over N), ks, over N) / sqrt(N)
  return dot(softmax(score where causal(T, S), over S), vs, over S) @ o
}
model Char(tok: index<V>[B,T], pos: int[T]) -> [B,T,V] {
  param emb: V -> D = normal(0.02);  param g: [D] = 1
  let h = emb[tok]
  layers l in 0..L {
    param a: [D] = 1;  state seen: [] = 0
    on step: seen += 1
    h += Attention(rms(h, a), pos)
    h = dropout(h, 0.1)
  }
  return dot(rms(h, g), emb, over D)
}
loss nll(y: [B,T,V], t: index<V>[B,T]) = mean(xent(y, t, over V), over B, T)
)";
inline const char *classText = R"(
dims B, P = 4, K = 3
model Classes(x: [B,P]) -> [B,K] { param w: P -> K; param b: [K] = 0; return x @ w + b }
loss nll(y: [B,K], t: index<K>[B]) = mean(xent(y, t, over K), over B)
)";

/// A run with all it needs; the files are in memory.
struct TrainingRun {
  MemoryFiles files;
  ManualClock clock;
  std::string shown; ///< what the progress wrote
  TestProgram program;
  std::unique_ptr<Dataset> data;
  TrainOptions options;

  TrainingRun(const std::string &text, std::unique_ptr<Dataset> d, const std::string &format = "f32") : program(text, Stage::train_, format), data(std::move(d)) {
    options.folder = "out";
    options.info = {0, 7, 0, "M", "p", "plan p for M {}", {{"D", 8}}, {}, "reference", 0, 0};
  }
  TrainResult go() {
    Progress progress(clock, false, options.schedule.steps, [this](const std::string &s) { shown += s; });
    return train(*program.executable, *data, files, clock, progress, options);
  }
  TrainResult start() { return initialize(*program.executable, options.info.seed), go(); }
  /// A new process: variables as `init` would not leave them, then those of the checkpoint.
  TrainResult resume() {
    program.randomize();
    Checkpoint c = readCheckpoint(files, "out/last.safetensors");
    restore(*program.executable, c, Restore::All);
    options.info.step = c.info.step, options.info.seconds = c.info.seconds;
    return go();
  }
};

inline std::unique_ptr<Dataset> someText(int64_t bytes = 400, int64_t window = 6) {
  auto s = std::make_shared<std::string>();
  for (int64_t i = 0; i < bytes; ++i) s->push_back("to be or not "[i % 13]);
  return textDataset({{s, reinterpret_cast<const std::byte *>(s->data())}, s->size()}, std::nullopt, 0.8, window);
}
/// Rows of P = 4 numbers; the class is where the largest of the first three is.
inline std::unique_ptr<Dataset> someClasses(int64_t rows, double split = 0.7) {
  std::vector<float> x;
  std::vector<int32_t> t;
  for (int64_t r = 0; r < rows; ++r) {
    t.push_back(int32_t(r * 7 % 3));
    for (int k = 0; k < 4; ++k) x.push_back(float(k == t.back()) + 0.1f * float((r * 5 + k * 3) % 7));
  }
  return arrayDataset({{"x", Array::of(DType::F32, {rows, 4}, x)}, {"t", Array::of(DType::I32, {rows}, t)}}, {}, split);
}

} // namespace fil::test
