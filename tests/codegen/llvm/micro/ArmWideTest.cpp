// SPDX-License-Identifier: Apache-2.0
//
// linear_q of quads with "group", under qemu-aarch64, against plain C++: the
// same bits, from the stored weights on.
#include "tests/codegen/halide/QuantizedFixture.h"
#include "tests/codegen/llvm/micro/ArmProgram.h"

#include <cmath>

namespace lfmc::halide::test {
namespace {

struct Shape {
  int rows = 16, block = 32, k = 768, group = 256, tokens = 8;
};

class ArmWide : public ArmProgram {
protected:
  void check(const Shape &s);
};

// Where column `column` of token `t` of a quad lies (ArmTile.h): steps take
// columns 0 to 3 and 8 to 11, then 4 to 7 and 12 to 15, of each sixteen.
int quadPlace(int t, int column) {
  const int within = column % 32;
  const int step = within / 16 * 2 + within / 4 % 2;
  const int eighth = within / 8 % 2 * 4 + within % 4;
  return column / 32 * 160 + t / 2 * 64 + step * 16 + t % 2 * 8 + eighth;
}

void ArmWide::check(const Shape &s) {
  Random random(s.k + s.group + s.block);
  QuantizedWeights w(
      Q4, s.rows, s.block, 4, 1, s.k, s.k, random,
      [&](int row, int) { return row == 3 ? -8 : pick(random, -8, 7); });
  const int groups = s.k / s.group, quadBytes = s.k * 5;
  std::vector<uint8_t> x(size_t(s.tokens / 4) * quadBytes, 0xee);
  std::vector<int> codes(size_t(s.tokens) * s.k);
  std::vector<float> scales(size_t(s.tokens) * groups);
  for (int t = 0; t < s.tokens; ++t) {
    uint8_t *quad = x.data() + t / 4 * quadBytes;
    for (int column = 0; column < s.k; ++column) {
      const int code = t == 0 ? 127 : pick(random, -127, 127);
      codes[size_t(t) * s.k + column] = code;
      quad[quadPlace(t % 4, column)] = uint8_t(code);
    }
    for (int g = 0; g < groups; ++g) {
      float &scale = scales[size_t(t) * groups + g];
      scale = (random() + 1.5f) * 0.01f;
      for (int block = 0; block < s.group / 32; ++block)
        std::memcpy(quad + (g * s.group / 32 + block) * 160 + 128 + t % 4 * 4,
                    &scale, 4);
    }
  }
  std::vector<float> res(size_t(s.tokens) * s.rows);
  for (float &value : res)
    value = random();
  MicroKernel kernel{"linear_q",
                     {{"wtype", Q4},
                      {"rows", s.rows},
                      {"block", s.block},
                      {"depth", 4},
                      {"tokens", s.tokens},
                      {"k", s.k},
                      {"group", s.group},
                      {"quads", 1},
                      {"residual", 1}},
                     {}};
  const Target &target =
      *llvm::cantFail(findTarget("aarch64-linux+dotprod+i8mm"));
  ASSERT_EQ(microBackend(kernel, target), MicroBackend::ArmWide);
  const std::vector<float> y = run(kernel, target, x, w.stored, res);
  const int blocks = s.k / s.block;
  for (int row = 0; row < s.rows; ++row)
    for (int t = 0; t < s.tokens; ++t) {
      float sum = 0;
      for (int g = 0; g < groups; ++g) {
        const float *steps = &w.scales[size_t(row) * blocks];
        float largest = 0;
        for (int i = g * s.group; i < (g + 1) * s.group; i += s.block)
          largest = std::max(largest, std::fabs(steps[i / s.block]));
        const float inverse = largest > 0 ? 3840.0f / largest : 0;
        int32_t products = 0;
        for (int i = g * s.group; i < (g + 1) * s.group; ++i) {
          const float ratio = steps[i / s.block] * inverse;
          const int factor = int(std::nearbyint(ratio));
          const int value = w.values[size_t(row) * s.k + i] * factor + 128;
          products += (value >> 8) * codes[size_t(t) * s.k + i];
        }
        sum = std::fma(float(products) * scales[size_t(t) * groups + g],
                       largest * (1 / 15.0f), sum);
      }
      ASSERT_EQ(y[size_t(t) * s.rows + row],
                res[size_t(t) * s.rows + row] + sum)
          << "token " << t << " row " << row;
    }
}

TEST_F(ArmWide, HasTheBitsOfRewrittenWeights) {
  for (const Shape &s : {Shape{}, Shape{.block = 64, .tokens = 4},
                         Shape{.block = 128, .k = 384, .group = 128},
                         // More than a segment; panels of fewer rows.
                         Shape{.k = 2304, .tokens = 12},
                         Shape{.rows = 4, .k = 256}, Shape{.rows = 8}}) {
    SCOPED_TRACE(testing::Message() << s.rows << ' ' << s.block << ' ' << s.k
                                    << ' ' << s.group << ' ' << s.tokens);
    check(s);
  }
}

} // namespace
} // namespace lfmc::halide::test
