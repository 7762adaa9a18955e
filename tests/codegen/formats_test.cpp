// SPDX-License-Identifier: Apache-2.0
// Conversions of generated code against runtime/base/formats.h, bit for bit, with AVX-512 and AVX2: all numbers of the narrow formats, and of f32 those
// around each place where the rounding changes, with a sample of all others. FIL_TEST_LONG=1 takes all of f32 (a quarter of an hour).
#include "ir/ir.h"
#include "mlir/Parser/Parser.h"
#include "runtime/base/formats.h"
#include "tests/support/program.h"
#include <bit>
#include <cmath>
#include <cstdlib>
#include <fmt/format.h>
#include <gtest/gtest.h>

using namespace fil;

namespace {
struct Case { Format format; const char *backend; };
class Conversions : public testing::TestWithParam<Case> {
protected:
  const Format f = GetParam().format;
  /// x of one element type as the other one.
  std::unique_ptr<Executable> program(const char *op, const std::string &from, const std::string &to) {
    auto context = std::make_shared<mlir::MLIRContext>(mlir::MLIRContext::Threading::DISABLED);
    context->loadDialect<ir::FilDialect>();
    const std::string text = fmt::format("fil.dims {{N}}\nfil.func entry \"run\" @run(%arg0: !fil.tensor<[N], {0}> {{fil.name = \"x\"}}) -> (!fil.tensor<[N], {1}> {{fil.name = \"y\"}}) {{\n"
                                         "  %0 = fil.{2} %arg0 : (!fil.tensor<[N], {0}>) -> !fil.tensor<[N], {1}>\n  fil.return %0 : !fil.tensor<[N], {1}>\n}}\n", from, to, op);
    return makeExecutable(GetParam().backend, context, mlir::parseSourceString<mlir::ModuleOp>(text, context.get()));
  }
  std::string name() { return f == Format::E4M3 ? "f8E4M3FN" : f == Format::E5M2 ? "f8E5M2" : traits(f).name; }
  static Array run(Executable &x, const Array &in) { return x.run(*x.find("run"), {in})[0]; }
};
INSTANTIATE_TEST_SUITE_P(Narrow, Conversions, testing::Values(Case{Format::Bf16, "cpu"}, Case{Format::F16, "cpu"}, Case{Format::E4M3, "cpu"}, Case{Format::E5M2, "cpu"}, Case{Format::Bf16, "x86-64-v3"},
                                                             Case{Format::F16, "x86-64-v3"}, Case{Format::E4M3, "x86-64-v3"}, Case{Format::E5M2, "x86-64-v3"}),
                         [](auto &i) { return std::string(traits(i.param.format).name) + (i.param.backend[0] == 'c' ? "" : "Avx2"); });
} // namespace

TEST_P(Conversions, ReadAllNumbers) {
  auto x = program("dequantize", name(), "f32");
  std::vector<uint16_t> all(size_t(1) << traits(f).bits());
  for (size_t i = 0; i < all.size(); ++i) all[i] = uint16_t(i);
  const std::vector<uint8_t> bytes(all.begin(), all.end());
  const int64_t n = int64_t(all.size());
  const Array out = run(*x, bytesOf(f) == 1 ? Array::of(dtypeOf(f), {n}, bytes) : Array::of(dtypeOf(f), {n}, all));
  for (size_t i = 0; i < all.size(); ++i) {
    const float got = out.as<float>()[i], want = float(decoded(f, all[i]));
    ASSERT_TRUE(std::isnan(want) ? std::isnan(got) : std::bit_cast<uint32_t>(got) == std::bit_cast<uint32_t>(want)) << i << " is " << want << ", not " << got;
  }
}
TEST_P(Conversions, WriteNumbersOfF32) {
  auto x = program("quantize", "f32", name());
  auto check = [&](const std::vector<float> &in) {
    const Array out = run(*x, Array::of(DType::F32, {int64_t(in.size())}, in));
    for (size_t i = 0; i < in.size(); ++i) {
      const int got = bytesOf(f) == 1 ? out.as<uint8_t>()[i] : out.as<uint16_t>()[i], want = encoded(f, rounded(f, double(in[i])));
      ASSERT_EQ(got, want) << "of " << in[i] << ", bits " << std::bit_cast<uint32_t>(in[i]);
    }
  };
  std::vector<float> in;
  const bool all = std::getenv("FIL_TEST_LONG");
  for (uint64_t bits = 0; bits < uint64_t(1) << 32; bits += all ? 1 : 1021) {
    in.push_back(std::bit_cast<float>(uint32_t(bits)));
    if (in.size() == 1 << 20) check(in), in.clear();
  }
  for (uint32_t i = 0; i < 1u << traits(f).bits(); ++i) { // each number, the middle to its neighbour, and the neighbours of both in f32
    const double low = decoded(f, uint16_t(i)), high = decoded(f, uint16_t(std::min(i + 1, (1u << traits(f).bits()) - 1)));
    for (double at : {low, (low + high) / 2})
      for (int step = -2; step <= 2; ++step) in.push_back(std::bit_cast<float>(std::bit_cast<uint32_t>(float(at)) + uint32_t(step)));
  }
  check(in);
  for (size_t n = 1; n < 70; ++n) check({in.begin(), in.begin() + ptrdiff_t(n)}); // lanes that are not whole
}
