// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/report.h"
#include <cmath>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace fil {
namespace {

using Json = nlohmann::ordered_json;
/// JSON has no NaN.
Json number(double v) { return std::isfinite(v) ? Json(v) : Json(nullptr); }

} // namespace

std::string linesUpTo(std::string_view text, int64_t last) {
  size_t keep = 0;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', at);
    if (end == text.npos) break;
    Json line = Json::parse(text.substr(at, end - at), nullptr, false);
    if (!line.is_object() || !line.contains("step") || !line["step"].is_number_integer() || line["step"].get<int64_t>() > last) break;
    at = keep = end + 1;
  }
  return std::string(text.substr(0, keep));
}

std::string jsonLine(const StepReport &r) {
  Json j = {{"step", r.step}, {"loss", number(r.loss)}, {"grad_norm", number(r.gradNorm)}, {"lr", r.lr}, {"seconds", std::round(r.seconds * 1e6) / 1e6}};
  j[r.tokens ? "tokens_per_s" : "samples_per_s"] = std::round(r.rate * 10) / 10;
  if (r.promoted) j["promoted"] = number(*r.promoted);
  if (r.validLoss) j["valid_loss"] = number(*r.validLoss);
  for (auto &[name, value] : r.metrics) j[name] = number(value);
  return j.dump() + "\n";
}

MetricsFile::MetricsFile(Files &files, const std::string &path, int64_t fromStep) {
  std::string kept;
  if (fromStep > 0 && files.exists(path)) kept = linesUpTo(files.read(path).text(), fromStep);
  writeFile(files, path, kept);
  out_ = files.append(path);
}
void MetricsFile::add(const StepReport &r) { out_->append(jsonLine(r)); }

std::string durationText(double seconds) {
  const int64_t s = std::isfinite(seconds) ? std::llround(std::max(seconds, 0.0)) : 0;
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60) : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

Progress::Progress(Clock &clock, bool terminal, int64_t totalSteps, std::function<void(const std::string &)> write)
    : clock_(clock), terminal_(terminal), total_(totalSteps), write_(std::move(write)) {}

void Progress::step(const StepReport &r) {
  const double now = clock_.seconds();
  rate_ = rate_ > 0 ? 0.9 * rate_ + 0.1 * r.rate : r.rate;
  if (first_ < 0) { // the first step has the machine's warm-up in it: time left is told from the second on
    first_ = r.step, started_ = now;
    if (!terminal_) shown_ = now - 9; // and an early sign of life in a log
  }
  if (r.step < total_ && now - shown_ < (terminal_ ? 0.1 : 10)) return;
  shown_ = now;
  const double each = r.step > first_ ? (now - started_) / double(r.step - first_) : std::nan("");
  show(r, each * double(total_ - r.step));
}

void Progress::show(const StepReport &r, double left) {
  std::string line = fmt::format("step {}/{}  loss {:.4f}  {:.0f} {}/s", r.step, total_, r.loss, rate_, r.tokens ? "tokens" : "samples");
  if (std::isfinite(left)) line += "  left " + durationText(left);
  write_(terminal_ ? "\r" + line + "\x1b[K" : line + "\n");
  open_ = terminal_;
}

void Progress::note(const std::string &line) {
  write_((open_ ? "\r\x1b[K" : "") + line + "\n");
  open_ = false;
}

} // namespace fil
