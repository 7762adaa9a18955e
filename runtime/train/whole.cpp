// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/whole.h"
#include <algorithm>
#include <cmath>

namespace fil {

std::vector<int64_t> numbersShape(const VariableInfo &map) {
  std::vector<int64_t> shape = map.shape;
  if (map.together > 1) shape[size_t(map.packed)] *= map.together;
  return shape;
}
/// Calls for each byte and each number in it: the places of both, and the number's first bit.
template <class F> static void eachNumber(const VariableInfo &map, F each) {
  const int64_t n = map.together, bits = 8 / n;
  int64_t inner = 1;
  for (size_t d = size_t(map.packed) + 1; d < map.shape.size(); ++d) inner *= map.shape[d];
  const int64_t outer = *elementCount(map.shape) / std::max<int64_t>(inner, 1);
  for (int64_t i = 0; i < outer; ++i)
    for (int64_t k = 0; k < n; ++k)
      for (int64_t j = 0; j < inner; ++j) each(i * inner + j, (i * n + k) * inner + j, int(k * bits));
}
Array inBytes(const Array &numbers, const VariableInfo &map) {
  if (map.together == 1) return numbers;
  std::byte *to;
  Array r = Array::make(DType::I8, map.shape, to);
  std::fill(to, to + r.elements(), std::byte(0));
  const auto from = numbers.as<int8_t>();
  const int mask = (1 << (8 / map.together)) - 1;
  eachNumber(map, [&](int64_t byte, int64_t number, int bit) { to[byte] |= std::byte((from[size_t(number)] & mask) << bit); });
  return r;
}
Array ofBytes(const Array &bytes, const VariableInfo &map) {
  if (map.together == 1) return bytes;
  std::byte *to;
  Array r = Array::make(DType::I8, numbersShape(map), to);
  const int left = 32 - 8 / map.together;
  eachNumber(map, [&](int64_t byte, int64_t number, int bit) { to[number] = std::byte(int8_t(int(uint32_t(bytes.data.get()[byte]) >> bit << left) >> left)); });
  return r;
}

Array foundScale(const Array &first, const Array &gain) {
  std::byte *to;
  Array r = Array::make(DType::F32, first.shape, to);
  for (int64_t i = 0; i < r.elements(); ++i) {
    float power = float(gain.at(i)) * 0.125f + 1.0f;
    for (int n = 0; n < 3; ++n) power *= power;
    reinterpret_cast<float *>(to)[i] = float(first.at(i)) * power;
  }
  return r;
}

std::vector<int64_t> placesIn(const VariableInfo &part, const VariableInfo &map) {
  std::vector<int64_t> strides(map.dims.size()), at(map.dims.size());
  int64_t step = 1, n = 1;
  for (size_t i = part.dims.size(); i-- > 0; step *= part.shape[i]) strides[size_t(std::find(map.dims.begin(), map.dims.end(), part.dims[i]) - map.dims.begin())] = step;
  const std::vector<int64_t> shape = numbersShape(map);
  for (int64_t s : shape) n *= s;
  std::vector<int64_t> places(size_t(n), 0);
  int64_t place = 0;
  for (int64_t &p : places) {
    p = place;
    for (size_t i = at.size(); i-- > 0;) { // one further
      place += strides[i];
      if (++at[i] < shape[i]) break;
      place -= strides[i] * at[i], at[i] = 0;
    }
  }
  return places;
}

WholeMap wholeMap(const Array &w, const VariableInfo &map, const VariableInfo &scale, const Array *found) {
  const float low = -std::ldexp(1.0f, map.bits - 1), high = -1 - low;
  const auto places = placesIn(scale, map);
  const size_t n = size_t(*elementCount(scale.shape));
  std::vector<float> x(places.size()), best(n, 0), most(n, 0);
  for (size_t i = 0; i < x.size(); ++i) x[i] = float(w.at(int64_t(i))), most[size_t(places[i])] = std::max(most[size_t(places[i])], std::fabs(x[i]));
  auto number = [&](float v, float s) { return std::nearbyintf(std::min(std::max(v * (1.0f / s), low), high)); };
  bool open = !found;
  for (size_t s = 0; s < n; ++s)
    if (found && found->at(int64_t(s)) > 0) best[s] = float(found->at(int64_t(s)));
    else if (most[s] == 0) best[s] = 1;
    else open = true;
  if (open) {
    constexpr int steps = 32;
    const std::vector<float> given = best;
    std::vector<double> least(n, HUGE_VAL);
    for (int k = 0; k < steps; ++k) {
      std::vector<double> error(n, 0);
      const float share = 1 - float(k) * (2.0f / 3 / float(steps - 1));
      auto tried = [&](size_t s) { return most[s] * share / high; };
      for (size_t i = 0; i < x.size(); ++i) {
        const size_t s = size_t(places[i]);
        if (given[s] == 0) error[s] += std::pow(double(number(x[i], tried(s))) * double(tried(s)) - double(x[i]), 2);
      }
      for (size_t s = 0; s < n; ++s)
        if (given[s] == 0 && error[s] < least[s]) least[s] = error[s], best[s] = tried(s);
    }
  }
  WholeMap made;
  std::byte *numbers;
  made.numbers = Array::make(DType::I8, w.shape, numbers);
  for (size_t i = 0; i < x.size(); ++i) reinterpret_cast<int8_t *>(numbers)[i] = int8_t(number(x[i], best[size_t(places[i])]));
  made.scale = Array::of<float>(DType::F32, scale.shape, best);
  return made;
}

} // namespace fil
