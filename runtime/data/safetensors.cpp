// SPDX-License-Identifier: Apache-2.0
#include "runtime/data/safetensors.h"
#include "runtime/base/status.h"
#include <nlohmann/json.hpp>
#include <set>

namespace fil {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t headerLimit = 100'000'000; // of the format's own definition
constexpr int depthLimit = 3;               // header, tensor, shape

struct Bad {
  const char *code;
  std::string why;
};

struct TypeName {
  const char *text;
  DType dtype;
};
constexpr TypeName typeNames[] = {{"F64", DType::F64}, {"F32", DType::F32}, {"BF16", DType::BF16}, {"I64", DType::I64}, {"I32", DType::I32},
                                  {"I16", DType::I16}, {"I8", DType::I8},   {"U8", DType::U8},     {"BOOL", DType::Bool},
                                  {"F16", DType::F16}, {"F8_E4M3", DType::E4M3}, {"F8_E5M2", DType::E5M2}};

/// Each name once, no deep nesting.
Json parseHeader(std::string_view text) {
  std::vector<std::set<std::string>> names(depthLimit + 2);
  auto watch = [&](int depth, Json::parse_event_t event, Json &value) {
    const bool opens = event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (opens && depth >= depthLimit) throw Bad{"E0511", "its header is nested too deeply"};
    if (event == Json::parse_event_t::object_start) names[size_t(depth) + 1].clear();
    if (event == Json::parse_event_t::key && !names[size_t(depth)].insert(value.get<std::string>()).second)
      throw Bad{"E0511", fmt::format("`{}` stands twice in its header", value.get<std::string>())};
    return true;
  };
  try {
    Json header = Json::parse(text, watch);
    if (!header.is_object()) throw Bad{"E0511", "its header is no JSON object"};
    return header;
  } catch (const Json::exception &) {
    throw Bad{"E0511", "its header is not JSON"};
  }
}

int64_t whole(const Json &value, const std::string &what) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > uint64_t(INT64_MAX)) throw Bad{"E0511", fmt::format("{} is not a whole number", what)};
  return int64_t(value.get<uint64_t>());
}

struct Row {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;
  int64_t begin, end;
};

Row rowOf(const std::string &name, const Json &entry) {
  if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") || !entry.contains("shape") || !entry.contains("data_offsets"))
    throw Bad{"E0511", fmt::format("the entry of `{}` is not made of dtype, shape and data_offsets", name)};
  const Json &dtype = entry["dtype"], &shape = entry["shape"], &offsets = entry["data_offsets"];
  if (!dtype.is_string() || !shape.is_array() || !offsets.is_array() || offsets.size() != 2)
    throw Bad{"E0511", fmt::format("dtype, shape or data_offsets of `{}` are malformed", name)};
  Row row{name, DType::F32, {}, whole(offsets[0], fmt::format("an offset of `{}`", name)), whole(offsets[1], fmt::format("an offset of `{}`", name))};
  const TypeName *type = nullptr;
  for (const TypeName &t : typeNames)
    if (dtype == t.text) type = &t;
  if (!type) throw Bad{"E0507", fmt::format("`{}` has the element type `{}`, which is not read", name, dtype.get<std::string>())};
  row.dtype = type->dtype;
  for (const Json &d : shape) row.shape.push_back(whole(d, fmt::format("a size of `{}`", name)));
  auto n = elementCount(row.shape, int64_t(byteSize(row.dtype)));
  if (!n) throw Bad{"E0506", fmt::format("`{}` has absurd sizes: {}", name, shapeText(row.shape))};
  if (row.end < row.begin || row.end - row.begin != *n * int64_t(byteSize(row.dtype)))
    throw Bad{"E0512", fmt::format("`{}` is {} of {}, but its offsets are {} to {}", name, shapeText(row.shape), fil::name(row.dtype), row.begin, row.end)};
  return row;
}

/// A part of the file, copied only where its elements would not be aligned.
Array arrayAt(const Blob &file, size_t start, const Row &row) {
  const std::byte *from = file.data.get() + start + size_t(row.begin);
  if (reinterpret_cast<uintptr_t>(from) % byteSize(row.dtype) == 0) return {row.dtype, row.shape, {file.data, from}};
  std::byte *to;
  Array a = Array::make(row.dtype, row.shape, to);
  std::copy_n(from, a.bytes(), to);
  return a;
}

SafeTensors parse(const Blob &file) {
  std::string_view text = file.text();
  if (text.size() < 8) throw Bad{"E0504", fmt::format("it has {} bytes, and the length of its header alone takes 8", text.size())};
  uint64_t length = 0;
  for (size_t i = 0; i < 8; ++i) length |= uint64_t(uint8_t(text[i])) << (8 * i);
  if (length > headerLimit || (text.size() > 8 && text[8] != '{')) throw Bad{"E0505", "it does not begin as a safetensors file"};
  if (length > text.size() - 8) throw Bad{"E0504", fmt::format("its header is {} bytes long, but only {} follow", length, text.size() - 8)};
  Json header = parseHeader(text.substr(8, length));

  SafeTensors result;
  std::vector<Row> rows;
  for (auto &[name, entry] : header.items()) {
    if (name != "__metadata__") {
      rows.push_back(rowOf(name, entry));
      continue;
    }
    if (!entry.is_object()) throw Bad{"E0511", "its __metadata__ is no object"};
    for (auto &[key, value] : entry.items()) {
      if (!value.is_string()) throw Bad{"E0511", fmt::format("`{}` of its __metadata__ is no text", key)};
      result.metadata[key] = value.get<std::string>();
    }
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row &a, const Row &b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  const size_t start = 8 + size_t(length);
  const int64_t size = int64_t(text.size() - start);
  int64_t at = 0;
  for (const Row &row : rows) {
    if (row.begin != at) throw Bad{"E0512", fmt::format("`{}` begins at byte {}, where {} was expected: its tensors {}", row.name, row.begin, at, row.begin < at ? "overlap" : "leave a hole")};
    if (row.end > size) throw Bad{"E0504", fmt::format("`{}` ends at byte {}, but the file has {} bytes of elements", row.name, row.end, size)};
    at = row.end;
    result.tensors.push_back({row.name, arrayAt(file, start, row)});
  }
  if (at < size) throw Bad{"E0512", fmt::format("{} bytes are left over behind its tensors", size - at)};
  return result;
}

} // namespace

const Array *SafeTensors::find(std::string_view name) const {
  for (auto &[n, a] : tensors)
    if (n == name) return &a;
  return nullptr;
}

SafeTensors readSafetensors(Files &files, const std::string &path) {
  Blob file = files.read(path);
  try {
    return parse(file);
  } catch (const Bad &b) {
    throw Error(Exit::Input, b.code, fmt::format("`{}` is not a good safetensors file: {}", path, b.why),
                b.code == std::string_view("E0504") ? "it was cut short: copy it again, or take an older checkpoint" : "");
  }
}

void writeSafetensors(Files &files, const std::string &path, const SafeTensors &all) {
  Json header = Json::object();
  if (!all.metadata.empty()) header["__metadata__"] = all.metadata;
  size_t at = 0;
  for (auto &[name, a] : all.tensors) {
    const char *dtype = "";
    for (const TypeName &t : typeNames)
      if (t.dtype == a.dtype) dtype = t.text;
    header[name] = {{"dtype", dtype}, {"shape", a.shape}, {"data_offsets", {at, at + a.bytes()}}};
    at += a.bytes();
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.append((64 - (8 + text.size()) % 64) % 64, ' ');
  char length[8];
  for (size_t i = 0; i < 8; ++i) length[i] = char(uint64_t(text.size()) >> (8 * i));
  auto sink = files.replace(path);
  sink->write(length, sizeof length);
  sink->write(text.data(), text.size());
  for (auto &[name, a] : all.tensors) sink->write(a.data.get(), a.bytes());
  sink->commit();
}

} // namespace fil
