// SPDX-License-Identifier: Apache-2.0
// npy: magic, version, length of the header, the header (a Python dictionary as text), then the elements.
#include "runtime/base/status.h"
#include "runtime/data/readers.h"
#include <charconv>
#include <cstring>

namespace fil {
namespace {

constexpr std::string_view magic("\x93NUMPY", 6);
constexpr int maxRank = 32;

struct Header {
  std::string descr;
  bool fortran = false;
  std::vector<int64_t> shape;
};

struct Bad {
  std::string why;
};

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`: keys in any order, each once.
class HeaderParser {
public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  Header parse() {
    Header h;
    int seen = 0;
    expect('{');
    while (!take('}')) {
      std::string key = quoted();
      expect(':');
      int bit = key == "descr" ? 1 : key == "fortran_order" ? 2 : key == "shape" ? 4 : 0;
      if (!bit || (seen & bit)) throw Bad{"its header has an unknown or repeated key"};
      seen |= bit;
      if (bit == 1) h.descr = quoted();
      else if (bit == 2) h.fortran = boolean();
      else h.shape = tuple();
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    if (seen != 7) throw Bad{"its header lacks one of descr, fortran_order, shape"};
    if (peek() != '\0' || at_ < text_.size()) throw Bad{"its header has text behind the dictionary"};
    return h;
  }

private:
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) { return peek() == c && at_ < text_.size() ? (++at_, true) : false; }
  void expect(char c) {
    if (!take(c)) throw Bad{fmt::format("its header is not a dictionary ('{}' expected)", c)};
  }
  std::string quoted() {
    char quote = peek();
    if (quote != '\'' && quote != '"') throw Bad{"its header has no simple element type (records are not read)"};
    size_t end = text_.find(quote, at_ + 1);
    if (end == text_.npos) throw Bad{"its header has an open string"};
    std::string s(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return s;
  }
  bool boolean() {
    peek();
    for (std::string_view word : {"True", "False"})
      if (text_.substr(at_).starts_with(word)) return at_ += word.size(), word == "True";
    throw Bad{"fortran_order is neither True nor False"};
  }
  std::vector<int64_t> tuple() {
    std::vector<int64_t> dims;
    expect('(');
    while (!take(')')) {
      peek();
      int64_t d = 0;
      auto [end, ec] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), d);
      if (ec != std::errc() || d < 0) throw Bad{"its shape has a size that is no whole number"};
      at_ = size_t(end - text_.data());
      take('L'); // Python 2
      dims.push_back(d);
      if (dims.size() > maxRank) throw Bad{"its shape has more than 32 axes"};
      if (!take(',')) {
        expect(')');
        break;
      }
    }
    return dims;
  }

  std::string_view text_;
  size_t at_ = 0;
};

struct TypeName {
  const char *descr;
  DType dtype;
};
constexpr TypeName typeNames[] = {{"<f4", DType::F32}, {"<f8", DType::F64}, {"|i1", DType::I8}, {"|u1", DType::U8},
                                  {"<i2", DType::I16}, {"<i4", DType::I32}, {"<i8", DType::I64}, {"|b1", DType::Bool}};

std::optional<DType> elementType(std::string descr) {
  if (descr.size() == 3) {
    if (descr[0] == '=') descr[0] = '<'; // files are made on little-endian machines
    if (descr[2] == '1') descr[0] = '|'; // one byte has no order
  }
  for (const TypeName &t : typeNames)
    if (descr == t.descr) return t.dtype;
  return std::nullopt;
}

void copyFortran(const std::byte *from, std::byte *to, const std::vector<int64_t> &shape, size_t unit) {
  size_t rank = shape.size();
  std::vector<int64_t> index(rank), stride(rank, 1);
  for (size_t k = 1; k < rank; ++k) stride[k] = stride[k - 1] * shape[k - 1];
  int64_t n = *elementCount(shape), at = 0;
  for (int64_t i = 0; i < n; ++i) {
    std::memcpy(to + size_t(i) * unit, from + size_t(at) * unit, unit);
    for (size_t k = rank; k-- > 0;) {
      at += stride[k];
      if (++index[k] < shape[k]) break;
      at -= stride[k] * shape[k], index[k] = 0;
    }
  }
}

} // namespace

Array readNpy(Files &files, const std::string &path) {
  auto bad = [&](const char *code, const std::string &why, const std::string &help = "") {
    return Error(Exit::Input, code, fmt::format("`{}` is not a good npy file: {}", path, why), help);
  };
  const char *again = "write or copy the file again";
  Blob file = files.read(path);
  std::string_view text = file.text();
  if (!text.starts_with(magic))
    throw text.size() < 6 && magic.starts_with(text)
        ? bad("E0504", "it has no complete header", again)
        : bad("E0505", "it does not begin with \\x93NUMPY", "save it with numpy.save; a .npz archive is not read");
  if (text.size() < 10) throw bad("E0504", "it has no complete header", again);
  int version = uint8_t(text[6]);
  if (version < 1 || version > 3) throw bad("E0505", fmt::format("version {} is not 1, 2 or 3", version));
  size_t start = version == 1 ? 10 : 12, length = 0;
  if (text.size() < start) throw bad("E0504", "it has no complete header", again);
  for (size_t i = 8; i < start; ++i) length |= size_t(uint8_t(text[i])) << (8 * (i - 8));
  if (length > text.size() - start) throw bad("E0504", "its header is longer than the file", again);

  Header h;
  try {
    h = HeaderParser(text.substr(start, length)).parse();
  } catch (const Bad &b) {
    throw bad("E0506", b.why, again);
  }
  auto dtype = elementType(h.descr);
  if (!dtype)
    throw bad("E0507", fmt::format("element type `{}` is not read", h.descr),
              "save it as one of f4 f8 i1 u1 i2 i4 i8 b1, little-endian: `a.astype('<f4')`");
  int64_t unit = int64_t(byteSize(*dtype)), rest = int64_t(file.size - start - length);
  auto n = elementCount(h.shape, unit);
  if (!n || *n * unit > rest)
    throw bad("E0504", fmt::format("its header says {} elements of {}, but {} bytes follow", shapeText(h.shape), name(*dtype), rest), again);
  if (*n * unit < rest) throw bad("E0506", fmt::format("{} bytes are left over behind the elements", rest - *n * unit), again);

  const std::byte *from = file.data.get() + start + length;
  bool reorder = h.fortran && h.shape.size() > 1;
  if (!reorder && reinterpret_cast<uintptr_t>(from) % uintptr_t(unit) == 0) return {*dtype, h.shape, {file.data, from}};
  std::byte *p;
  Array a = Array::make(*dtype, h.shape, p);
  if (reorder) copyFortran(from, p, h.shape, size_t(unit));
  else std::copy_n(from, a.bytes(), p);
  return a;
}

void writeNpy(Files &files, const std::string &path, const Array &array) {
  Array a = array;
  if (formatOf(a.dtype)) {
    std::byte *p;
    a = Array::make(DType::F32, array.shape, p);
    for (int64_t i = 0; i < a.elements(); ++i) reinterpret_cast<float *>(p)[i] = float(array.at(i));
  }
  std::string descr;
  for (const TypeName &t : typeNames)
    if (t.dtype == a.dtype) descr = t.descr;
  std::string shape;
  for (int64_t d : a.shape) shape += std::to_string(d) + (a.shape.size() == 1 ? "," : &d == &a.shape.back() ? "" : ", ");
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, shape);
  header.append(63 - (10 + header.size()) % 64, ' ').push_back('\n');
  auto sink = files.replace(path);
  std::string head(magic);
  head += {'\1', '\0', char(header.size() & 0xff), char(header.size() >> 8)};
  head += header;
  sink->write(head.data(), head.size());
  sink->write(a.data.get(), a.bytes());
  sink->commit();
}

} // namespace fil
