// SPDX-License-Identifier: Apache-2.0
//
// linear_q by sdot, under qemu-aarch64, against plain C++: the same bits. Its
// instructions are written in an order of its own, and what an order mixes up
// is another vector of the same weights.
#include "tests/codegen/halide/QuantizedFixture.h"
#include "tests/codegen/llvm/micro/ArmProgram.h"

#include <cmath>

namespace lfmc::halide::test {
namespace {

struct Shape {
  int rows = 16, block = 32, k = 256, tokens = 1, panels = 2;
};

class ArmDot : public ArmProgram {
protected:
  void check(int wtype, const Shape &s);
};

void ArmDot::check(int wtype, const Shape &s) {
  Random random(wtype + s.k + s.block + s.tokens);
  const CodeRange range = codeRange(wtype);
  QuantizedWeights w(
      wtype, s.rows, s.block, 4, s.panels, s.k, s.k, random, [&](int row, int) {
        return row == 3 ? range.low : pick(random, range.low, range.high);
      });
  const QuantizedRows x(s.k, s.tokens, 0, random, [&](int, int column) {
    return column < 32 ? 127 : pick(random, -127, 127);
  });
  const int parts = s.k / 32, out = s.rows * s.panels;
  std::vector<float> res(size_t(s.tokens) * out);
  for (float &value : res)
    value = random();
  const Target &target = *llvm::cantFail(findTarget("aarch64-linux+dotprod"));
  const MicroKernel kernel{"linear_q",
                           {{"wtype", wtype},
                            {"rows", s.rows},
                            {"block", s.block},
                            {"panels", s.panels},
                            {"tokens", s.tokens},
                            {"k", s.k},
                            {"x_stride_bytes", x.stride},
                            {"residual", 1}},
                           {}};
  ASSERT_EQ(microBackend(kernel, target), MicroBackend::ArmDot);
  const std::vector<float> y = run(kernel, target, x.stored, w.stored, res,
                                   size_t(s.k), size_t(s.k + parts * 4));
  const int blocks = s.k / s.block;
  for (int row = 0; row < out; ++row)
    for (int t = 0; t < s.tokens; ++t) {
      float sum = 0;
      for (int part = 0; part < parts; ++part) {
        int32_t products = 0;
        for (int i = part * 32; i < part * 32 + 32; ++i)
          products += w.values[size_t(row) * s.k + i] * x.q(t, i);
        const size_t at = size_t(row) * blocks + part * 32 / s.block;
        const float scale = x.scale(t, part);
        const volatile float term = float(products) * scale;
        if (wtype != Q4M) {
          sum = std::fma(term, w.scales[at], sum);
          continue;
        }
        const volatile float scaled = term * w.scales[at];
        const volatile float total = float(x.sum(t, part)) * scale;
        const volatile float least = total * w.minima[at];
        sum += scaled;
        sum += least;
      }
      ASSERT_EQ(y[size_t(t) * out + row], res[size_t(t) * out + row] + sum)
          << "token " << t << " row " << row;
    }
}

TEST_F(ArmDot, HasTheBitsOfPlainSums) {
  for (int wtype : allQuantized)
    for (const Shape &s :
         {Shape{}, Shape{.tokens = 2}, Shape{.tokens = 4},
          Shape{.block = 64, .tokens = 3}, Shape{.block = 128, .k = 1024},
          // Blocks that no four hold; panels of fewer rows.
          Shape{.k = 160}, Shape{.block = 64, .k = 192, .tokens = 2},
          Shape{.rows = 4}, Shape{.rows = 4, .k = 224, .tokens = 2},
          Shape{.rows = 8, .tokens = 5},
          // In passes: what no four hold, other blocks, few rows, many tokens.
          Shape{.k = 160, .tokens = 4}, Shape{.block = 128, .tokens = 4},
          Shape{.rows = 4, .tokens = 4},
          Shape{.rows = 8, .block = 64, .k = 320, .tokens = 3},
          Shape{.rows = 16, .tokens = 7}}) {
      SCOPED_TRACE(testing::Message()
                   << wtype << ": " << s.rows << ' ' << s.block << ' ' << s.k
                   << ' ' << s.tokens);
      check(wtype, s);
    }
}

} // namespace
} // namespace lfmc::halide::test
