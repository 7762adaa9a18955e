// SPDX-License-Identifier: Apache-2.0
// The ten programs and sizes at which they are quick.
#pragma once
#include "runtime/exec/binding.h"
#include <fstream>
#include <ostream>

namespace fil::programs {

struct Ten {
  const char *name;
  std::map<std::string, int64_t> dims; ///< small sizes, as by `--dim`
  Binding sizes;
};
inline void PrintTo(const Ten &t, std::ostream *out) { *out << t.name; }
inline const std::vector<Ten> ten = {
    {"two_sizes", {{"P", 5}, {"D", 8}, {"K", 3}}, {{"B", 3}}},
    {"two_routes", {{"D", 5}, {"M", 5}, {"F", 16}, {"K", 3}}, {{"B", 2}, {"T", 3}}},
    {"nested_layers", {{"D", 4}, {"F", 5}, {"L", 3}}, {{"B", 2}, {"T", 5}}},
    {"grouped_attention", {{"V", 7}, {"D", 6}, {"N", 4}, {"F", 5}, {"L", 2}}, {{"B", 2}, {"T", 4}}},
    {"encoder_decoder", {{"Src", 7}, {"Dst", 5}, {"D", 8}, {"H", 2}}, {{"B", 2}, {"T", 3}, {"U", 4}}},
    {"three_tables", {{"Em", 3}, {"M", 3}, {"Hid", 5}}, {{"B", 4}, {"Users", 6}, {"Items", 5}}},
    {"image_autoencoder", {{"Y", 8}, {"X", 8}, {"C", 2}, {"Z", 4}}, {{"B", 3}}},
    {"dropping_mixture", {{"V", 7}, {"D", 6}, {"E", 4}, {"F", 6}, {"Keep", 3}}, {{"B", 2}, {"T", 5}}},
    {"two_towers", {{"P", 5}, {"Q", 4}, {"D", 3}, {"W", 6}}, {{"B", 4}}},
    {"recurrent", {{"W", 4}, {"I", 3}, {"D", 5}, {"K", 3}}, {{"B", 3}}},
};
inline std::string textOf(const Ten &t) {
  std::ifstream in(std::string(FIL_SOURCE_DIR "/tests/programs/ten/") + t.name + ".fil");
  return {std::istreambuf_iterator<char>(in), {}};
}

} // namespace fil::programs
