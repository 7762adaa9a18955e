// SPDX-License-Identifier: Apache-2.0
#include "kernels/reference/reference.h"
#include "runtime/base/philox.h"
#include <algorithm>
#include <cmath>
#include <limits>

namespace fil::reference {
namespace {

/// Counts through a space; keeps the place of up to four operands.
template <size_t N> struct Walk {
  const Sizes &space;
  std::array<const Sizes *, N> strides;
  std::array<int64_t, N> at{};
  Sizes index;
  Walk(const Sizes &space, std::array<const Sizes *, N> strides) : space(space), strides(strides), index(space.size(), 0) {}
  /// To the next point of the first `dims` dims; false after the last.
  bool next(size_t dims) {
    for (size_t d = dims; d-- > 0;) {
      ++index[d];
      for (size_t k = 0; k < N; ++k) at[k] += (*strides[k])[d];
      if (index[d] < space[d]) return true;
      for (size_t k = 0; k < N; ++k) at[k] -= space[d] * (*strides[k])[d];
      index[d] = 0;
    }
    return false;
  }
};
bool empty(const Sizes &space) { return std::find(space.begin(), space.end(), 0) != space.end(); }

template <class F> void rows1(const Sizes &space, const In &a, double *out, F f) {
  if (empty(space)) return;
  const size_t dims = space.size();
  const int64_t n = dims ? space.back() : 1, sa = dims ? a.strides.back() : 0;
  Walk<1> w(space, {&a.strides});
  do {
    const double *p = a.data + w.at[0];
    for (int64_t i = 0; i < n; ++i) *out++ = f(p[i * sa]);
  } while (dims && w.next(dims - 1));
}
template <class F> void rows2(const Sizes &space, const In &a, const In &b, double *out, F f) {
  if (empty(space)) return;
  const size_t dims = space.size();
  const int64_t n = dims ? space.back() : 1, sa = dims ? a.strides.back() : 0, sb = dims ? b.strides.back() : 0;
  Walk<2> w(space, {&a.strides, &b.strides});
  do {
    const double *p = a.data + w.at[0], *q = b.data + w.at[1];
    for (int64_t i = 0; i < n; ++i) *out++ = f(p[i * sa], q[i * sb]);
  } while (dims && w.next(dims - 1));
}
} // namespace

void map(Fn fn, const Sizes &space, const std::vector<In> &x, double *out) {
  auto one = [&](auto f) { rows1(space, x[0], out, f); };
  auto two = [&](auto f) { rows2(space, x[0], x[1], out, f); };
  switch (fn) {
  case Fn::Add: return two([](double a, double b) { return a + b; });
  case Fn::Sub: return two([](double a, double b) { return a - b; });
  case Fn::Mul: return two([](double a, double b) { return a * b; });
  case Fn::Div: return two([](double a, double b) { return a / b; });
  case Fn::Pow: return two([](double a, double b) { return std::pow(a, b); });
  case Fn::Mod: return two([](double a, double b) { return a - std::floor(a / b) * b; });
  case Fn::Min: return two([](double a, double b) { return b < a ? b : a; });
  case Fn::Max: return two([](double a, double b) { return b > a ? b : a; });
  case Fn::Neg: return one([](double a) { return -a; });
  case Fn::Abs: return one([](double a) { return std::fabs(a); });
  case Fn::Sign: return one([](double a) { return double((a > 0) - (a < 0)); });
  case Fn::Exp: return one([](double a) { return std::exp(a); });
  case Fn::Log: return one([](double a) { return std::log(a); });
  case Fn::Sqrt: return one([](double a) { return std::sqrt(a); });
  case Fn::Rsqrt: return one([](double a) { return 1 / std::sqrt(a); });
  case Fn::Sin: return one([](double a) { return std::sin(a); });
  case Fn::Cos: return one([](double a) { return std::cos(a); });
  case Fn::Tanh: return one([](double a) { return std::tanh(a); });
  case Fn::Erf: return one([](double a) { return std::erf(a); });
  case Fn::Floor: return one([](double a) { return std::floor(a); });
  case Fn::Ceil: return one([](double a) { return std::ceil(a); });
  case Fn::Eq: return two([](double a, double b) { return double(a == b); });
  case Fn::Ne: return two([](double a, double b) { return double(a != b); });
  case Fn::Lt: return two([](double a, double b) { return double(a < b); });
  case Fn::Le: return two([](double a, double b) { return double(a <= b); });
  case Fn::Gt: return two([](double a, double b) { return double(a > b); });
  case Fn::Ge: return two([](double a, double b) { return double(a >= b); });
  case Fn::And: return two([](double a, double b) { return double(a != 0 && b != 0); });
  case Fn::Or: return two([](double a, double b) { return double(a != 0 || b != 0); });
  case Fn::Not: return one([](double a) { return double(a == 0); });
  case Fn::Cast: return one([](double a) { return a; });
  case Fn::Pow2Ceil:
    return one([](double a) {
      int exponent = 0;
      const double fraction = std::frexp(std::clamp(a, 0x1p-126, 0x1p126), &exponent);
      return std::ldexp(1, fraction == 0.5 ? exponent - 1 : exponent);
    });
  case Fn::Round: return one([](double a) { return std::nearbyint(a); });
  case Fn::Select: {
    if (empty(space)) return;
    Walk<3> w(space, {&x[0].strides, &x[1].strides, &x[2].strides});
    do *out++ = x[0].data[w.at[0]] != 0 ? x[1].data[w.at[1]] : x[2].data[w.at[2]];
    while (w.next(space.size()));
  }
  }
}

void reduce(Reduction fn, const Sizes &space, int over, const In &x, double *out) {
  const size_t kept = space.size() - size_t(over);
  const Sizes outer(space.begin(), space.begin() + kept), inner(space.begin() + kept, space.end());
  const Sizes outerStrides(x.strides.begin(), x.strides.begin() + kept), innerStrides(x.strides.begin() + kept, x.strides.end());
  if (empty(outer)) return;
  const bool arg = fn == Reduction::ArgMin || fn == Reduction::ArgMax, low = fn == Reduction::Min || fn == Reduction::ArgMin;
  Walk<1> o(outer, {&outerStrides});
  do {
    double value = fn == Reduction::Sum ? 0 : low ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
    int64_t best = 0, position = 0;
    if (!empty(inner)) {
      Walk<1> i(inner, {&innerStrides});
      bool found = false;
      do {
        const double v = x.data[o.at[0] + i.at[0]];
        if (fn == Reduction::Sum) value += v;
        else if (low ? v < value : v > value) value = v, best = position;
        else if (arg && !found && v == value) best = position;
        found |= v == v;
        ++position;
      } while (i.next(inner.size()));
    }
    *out++ = arg ? double(best) : value;
  } while (o.next(outer.size()));
}

namespace {
/// The place of a point: false where a member does not exist.
template <size_t N> bool place(const std::vector<Indirect> &all, const Sizes &index, std::array<int64_t, N> &at) {
  for (const Indirect &i : all) {
    int64_t p = 0, c = 0;
    for (size_t d = 0; d < index.size(); ++d) p += index[d] * i.strides[d];
    if (i.counts) {
      for (size_t d = 0; d < index.size(); ++d) c += index[d] * i.countStrides[d];
      if (double(index[size_t(i.memberDim)]) >= i.counts[c]) return false;
    }
    const int64_t position = int64_t(i.positions[p]);
    for (size_t k = 0; k < N; ++k) at[k] += position * i.step[k];
  }
  return true;
}
} // namespace

void contract(const Sizes &space, const In &lhs, const In &rhs, const std::vector<Indirect> &indirect, const Out &out) {
  if (empty(space)) return;
  Walk<3> w(space, {&lhs.strides, &rhs.strides, &out.strides});
  if (indirect.empty() && !space.empty()) {
    const size_t dims = space.size() - 1;
    const int64_t n = space.back(), sa = lhs.strides.back(), sb = rhs.strides.back(), so = out.strides.back();
    do {
      const double *a = lhs.data + w.at[0], *b = rhs.data + w.at[1];
      double *o = out.data + w.at[2];
      if (so == 0) {
        double sum = *o;
        for (int64_t i = 0; i < n; ++i) sum += a[i * sa] * b[i * sb];
        *o = sum;
      } else if (sa == 0 && sb == 1 && so == 1) {
        const double f = *a;
        for (int64_t i = 0; i < n; ++i) o[i] += f * b[i];
      } else
        for (int64_t i = 0; i < n; ++i) o[i * so] += a[i * sa] * b[i * sb];
    } while (w.next(dims));
    return;
  }
  do {
    std::array<int64_t, 3> at = w.at;
    if (place(indirect, w.index, at)) out.data[at[2]] += lhs.data[at[0]] * rhs.data[at[1]];
  } while (w.next(space.size()));
}

void accumulate(const Sizes &space, const In &x, const std::vector<Indirect> &indirect, const Out &out) {
  if (empty(space)) return;
  Walk<2> w(space, {&x.strides, &out.strides});
  do {
    std::array<int64_t, 2> at = w.at;
    if (place(indirect, w.index, at)) out.data[at[1]] += x.data[at[0]];
  } while (w.next(space.size()));
}

void topk(const Sizes &space, const In &score, const In &mask, int64_t k, double *positions, double *counts) {
  const Sizes rows(space.begin(), space.end() - 1);
  const int64_t n = space.back();
  if (empty(rows)) return;
  Walk<2> w(rows, {&score.strides, &mask.strides});
  std::vector<int64_t> candidates;
  do {
    candidates.clear();
    const double *s = score.data + w.at[0];
    const int64_t step = score.strides.back();
    for (int64_t i = 0; i < n; ++i) {
      const double v = s[i * step];
      if (v == v && (!mask.data || mask.data[w.at[1] + i * mask.strides.back()] != 0)) candidates.push_back(i);
    }
    std::stable_sort(candidates.begin(), candidates.end(), [&](int64_t a, int64_t b) { return s[a * step] > s[b * step]; });
    if (int64_t(candidates.size()) > k) candidates.resize(size_t(k));
    std::sort(candidates.begin(), candidates.end());
    *counts++ = double(candidates.size());
    for (int64_t i = 0; i < k; ++i) *positions++ = i < int64_t(candidates.size()) ? double(candidates[size_t(i)]) : 0;
  } while (w.next(rows.size()));
}

void highest(const Sizes &space, int over, const In &score, const In &count, const Out &out) {
  if (empty(space)) return;
  const size_t rowDims = space.size() - size_t(over);
  const Sizes row(space.begin() + int64_t(rowDims), space.end());
  Walk<3> w(space, {&score.strides, &count.strides, &out.strides});
  do {
    std::vector<std::pair<double, int64_t>> candidates; // score, place in out
    const Sizes along(score.strides.begin() + int64_t(rowDims), score.strides.end()), to(out.strides.begin() + int64_t(rowDims), out.strides.end());
    Walk<2> in(row, {&along, &to});
    do {
      const double v = score.data[w.at[0] + in.at[0]];
      out.data[w.at[2] + in.at[1]] = 0;
      if (v == v) candidates.push_back({v, w.at[2] + in.at[1]});
    } while (in.next(row.size()));
    std::stable_sort(candidates.begin(), candidates.end(), [](auto &a, auto &b) { return a.first > b.first; });
    const double n = std::min(count.data[w.at[1]], double(candidates.size()));
    for (int64_t i = 0; double(i) < n; ++i) out.data[candidates[size_t(i)].second] = 1;
  } while (w.next(rowDims));
}
void mask(const Sizes &space, const In &x, const In &mask, const Sizes &lengths, double *out) {
  if (empty(space)) return;
  Walk<1> w(space, {&x.strides});
  do {
    int64_t at = 0;
    for (size_t d = 0; d < space.size(); ++d) at += w.index[d] / lengths[d] * mask.strides[d];
    *out++ = mask.data[at] != 0 ? x.data[w.at[0]] : 0;
  } while (w.next(space.size()));
}

namespace {
bool inside(const std::vector<Window> &all, const Sizes &index, int64_t &at) {
  for (const Window &w : all) {
    const int64_t p = index[size_t(w.outDim)] * w.stride + index[size_t(w.windowDim)] - w.before;
    if (p < 0 || p >= w.inSize) return false;
    at += p * w.xStride;
  }
  return true;
}
} // namespace

void window(const Sizes &space, const In &x, const std::vector<Window> &windows, double *y) {
  if (empty(space)) return;
  Walk<1> w(space, {&x.strides});
  do {
    int64_t at = w.at[0];
    *y++ = inside(windows, w.index, at) ? x.data[at] : 0;
  } while (w.next(space.size()));
}
void unwindow(const Sizes &space, const In &y, const std::vector<Window> &windows, const Out &x) {
  if (empty(space)) return;
  Walk<2> w(space, {&y.strides, &x.strides});
  do {
    int64_t at = w.at[1];
    if (inside(windows, w.index, at)) x.data[at] += y.data[w.at[0]];
  } while (w.next(space.size()));
}

void random(const Sizes &space, const Key *keys, const Sizes &keyStrides, const Sizes &elementStrides, int64_t step, bool normal, bool single, double *out) {
  if (empty(space)) return;
  Walk<2> w(space, {&keyStrides, &elementStrides});
  do {
    PhiloxBlock b = philox(keys[w.at[0]], uint64_t(step), uint64_t(w.at[1]));
    *out++ = normal ? (single ? double(float(normalDouble(b))) : normalDouble(b)) : (single ? double(uniformFloat(b)) : uniformDouble(b));
  } while (w.next(space.size()));
}

} // namespace fil::reference
