// SPDX-License-Identifier: Apache-2.0
// idx: two zero bytes, element type, rank, the sizes as big-endian 32-bit numbers, then the elements, big-endian.
#include "runtime/base/status.h"
#include "runtime/data/readers.h"
#include <algorithm>
#include <cstring>
#include <zlib.h>

namespace fil {
namespace {

constexpr int64_t maxInflation = 1032; // deflate cannot do better, by its format

[[noreturn]] void bad(const char *code, const std::string &path, const std::string &why, const char *help = "") {
  throw Error(Exit::Input, code, fmt::format("`{}` is not a good idx file: {}", path, why), help);
}
constexpr const char *getAgain = "copy or download the file again";

/// The elements of a file one after the other, unpacked on the way if it is gzip.
class Stream {
public:
  Stream(Blob file, const std::string &path) : file_(std::move(file)), path_(path) {
    auto *p = reinterpret_cast<const unsigned char *>(file_.data.get());
    packed_ = file_.size >= 2 && p[0] == 0x1f && p[1] == 0x8b;
    if (!packed_) return;
    if (inflateInit2(&z_, 16 + MAX_WBITS) != Z_OK)
      throw Error(Exit::Resource, "E0701", "no memory to unpack a file");
    z_.next_in = const_cast<unsigned char *>(p);
  }
  ~Stream() {
    if (packed_) inflateEnd(&z_);
  }
  Stream(const Stream &) = delete;

  bool packed() const { return packed_; }
  /// Bytes that can still come at most.
  int64_t most() const {
    return packed_ ? int64_t(file_.size) * maxInflation : int64_t(file_.size - at_);
  }
  const Blob &file() const { return file_; }
  size_t at() const { return at_; }

  /// Reads up to `size` bytes; the number read is smaller only at the end.
  size_t read(std::byte *to, size_t size) {
    if (!packed_) {
      size_t n = std::min(size, file_.size - at_);
      std::copy_n(file_.data.get() + at_, n, to);
      at_ += n;
      return n;
    }
    size_t done = 0;
    while (done < size && !ended_) done += inflateSome(to + done, size - done);
    return done;
  }

private:
  size_t inflateSome(std::byte *to, size_t size) {
    constexpr size_t chunk = size_t(1) << 30; // zlib counts in 32 bits
    size_t before = std::min(size, chunk);
    size_t in = std::min(file_.size - at_, chunk);
    z_.next_in = reinterpret_cast<unsigned char *>(const_cast<std::byte *>(file_.data.get())) + at_;
    z_.avail_in = unsigned(in);
    z_.next_out = reinterpret_cast<unsigned char *>(to);
    z_.avail_out = unsigned(before);
    int r = inflate(&z_, Z_NO_FLUSH);
    at_ += in - z_.avail_in;
    size_t got = before - z_.avail_out;
    if (r == Z_STREAM_END) {
      ended_ = at_ == file_.size; // else another member follows
      if (!ended_ && inflateReset(&z_) != Z_OK) bad("E0504", path_, "its gzip stream is damaged", getAgain);
    } else if (r == Z_MEM_ERROR) {
      throw Error(Exit::Resource, "E0701", "no memory to unpack a file");
    } else if (r != Z_OK && !(r == Z_BUF_ERROR && got > 0)) {
      bool cut = r == Z_BUF_ERROR && at_ == file_.size;
      bad("E0504", path_, cut ? "its gzip stream ends early" : "its gzip stream is damaged", getAgain);
    }
    return got;
  }

  Blob file_;
  const std::string &path_;
  size_t at_ = 0;
  bool packed_ = false, ended_ = false;
  z_stream z_{};
};

DType elementType(const std::string &path, unsigned code) {
  switch (code) {
  case 0x08: return DType::U8;
  case 0x09: return DType::I8;
  case 0x0b: return DType::I16;
  case 0x0c: return DType::I32;
  case 0x0d: return DType::F32;
  case 0x0e: return DType::F64;
  }
  bad("E0507", path, fmt::format("element type 0x{:02x} is none of 08 09 0b 0c 0d 0e", code));
}

void swapBytes(std::byte *p, size_t size, size_t unit) {
  for (size_t i = 0; i < size; i += unit) std::reverse(p + i, p + i + unit);
}

} // namespace

Array readIdx(Files &files, const std::string &path) {
  Stream in(files.read(path), path);
  unsigned char head[4];
  if (in.read(reinterpret_cast<std::byte *>(head), 4) < 4) bad("E0504", path, "it has no complete header", getAgain);
  if (head[0] || head[1])
    bad("E0505", path, fmt::format("it begins with bytes {:02x} {:02x}, not with two zeros", head[0], head[1]),
        "name the reader of its format: idx(..), npy(..) or text(..)");
  DType dtype = elementType(path, head[2]);
  std::vector<int64_t> shape(head[3]);
  for (int64_t &d : shape) {
    unsigned char b[4];
    if (in.read(reinterpret_cast<std::byte *>(b), 4) < 4) bad("E0504", path, "its header is cut short", getAgain);
    d = int64_t(b[0]) << 24 | int64_t(b[1]) << 16 | int64_t(b[2]) << 8 | int64_t(b[3]);
  }
  int64_t unit = int64_t(byteSize(dtype));
  auto n = elementCount(shape, unit);
  if (!n || *n * unit > in.most())
    bad(n && !in.packed() ? "E0504" : "E0506", path,
        fmt::format("its header says {} elements of {}, more than its bytes can hold", shapeText(shape), name(dtype)),
        getAgain);
  if (!in.packed() && unit == 1) { // as it lies in the file
    if (int64_t(in.file().size - in.at()) != *n) bad("E0506", path, "bytes are left over behind the elements");
    return {dtype, shape, {in.file().data, in.file().data.get() + in.at()}};
  }
  std::byte *p;
  Array a = Array::make(dtype, shape, p);
  size_t got = in.read(p, a.bytes());
  if (got < a.bytes())
    bad("E0504", path, fmt::format("it ends after {} of {} bytes", got, a.bytes()), getAgain);
  std::byte more;
  if (in.read(&more, 1) == 1) bad("E0506", path, "bytes are left over behind the elements");
  swapBytes(p, a.bytes(), size_t(unit));
  return a;
}

} // namespace fil
