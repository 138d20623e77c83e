// SPDX-License-Identifier: Apache-2.0
//
// wide_panel and linear_q with "pairs" and no "group", one after the other,
// against plain C++: the bits of a token alone but for swiglu. Rows for weights
// of 8 bits are limited, with the largest sums that can be among them.
#include "tests/codegen/halide/QuantizedFixture.h"

#include <memory>

namespace lfmc::halide::test {
namespace {

const Isa pairIsas[] = {{"v3", "x86-64-v3", 16, {1, 2, 5, 20}},
                        {"v4", "x86-64-v4", 32, {1, 5, 12}}};

struct Shape {
  int wtype, rows, tokens, block = 32, k = 256, tileRows = 0;
  bool residual = false, swiglu = false, bias = false;
};

/// An operand pair and what is computed of it.
struct Operands {
  Shape s;
  Random random;
  QuantizedWeights w;
  QuantizedRows x;
  Buffer<uint8_t> panel;

  explicit Operands(const Shape &s)
      : s(s), random(s.k + s.tokens),
        w(s.wtype, s.rows, s.block, 4, 1, s.k, s.k, random,
          [&](int row, int) {
            const CodeRange range = codeRange(s.wtype);
            return row == 2   ? range.high
                   : row == 3 ? range.low
                              : pick(random, range.low, range.high);
          }),
        x(s.k, s.tokens, 64, random,
          [&](int t, int column) {
            const int most = s.wtype != Q8 ? 127 : 64;
            int value = t == 0 ? most : pick(random, -most, most);
            if (s.wtype == Q8 && t == 1) // one of two is as large as it gets
              value = column % 2 ? 0 : column % 4 ? 127 : -127;
            return value;
          }),
        // Of codes, scales and minima in f32.
        panel(size_t(s.k / 32) * s.rows * (s.wtype == Q4M ? 40 : 36), 0xee) {}

  float total(int t, int row, const float *bias) const {
    float sum = 0;
    for (int b = 0; b < s.k / 32; ++b) {
      const size_t at = size_t(row) * (s.k / s.block) + b * 32 / s.block;
      int products = 0;
      for (int i = b * 32; i < (b + 1) * 32; ++i)
        products += w.values[size_t(row) * s.k + i] * x.q(t, i);
      const float term = float(products) * x.scale(t, b);
      if (s.wtype != Q4M) {
        sum = std::fma(term, w.scales[at], sum);
        continue;
      }
      const float scaled = term * w.scales[at];
      sum += scaled;
      const float least = float(x.sum(t, b)) * x.scale(t, b) * w.minima[at];
      sum += least;
    }
    return bias ? sum + bias[row] : sum;
  }

  void check(const Kernel &kernel) {
    const int out = s.swiglu ? s.rows / 2 : s.rows, yStride = out + 8;
    Buffer<float> bias(s.rows), res(size_t(s.tokens) * yStride);
    Buffer<float> y(size_t(s.tokens) * yStride, untouched);
    random.fill(bias);
    random.fill(res);
    std::vector<void *> args = x.args(0, 0);
    args.push_back(panel.data());
    if (s.bias)
      args.push_back(bias.data());
    if (s.residual)
      args.push_back(res.data());
    args.push_back(y.data());
    kernel(args);
    const float *added = s.bias ? bias.data() : nullptr;
    for (int t = 0; t < s.tokens; ++t)
      for (int i = 0; i < yStride; ++i) {
        const float found = y[size_t(t) * yStride + i];
        if (i >= out) {
          ASSERT_EQ(found, untouched);
        } else if (s.swiglu) {
          const double gate = total(t, i, added);
          const double want =
              gate / (1 + std::exp(-gate)) * total(t, i + out, added);
          ASSERT_NEAR(found, want, 1e-6 * std::fabs(want) + 1e-30);
        } else {
          const float sum = total(t, i, added);
          ASSERT_EQ(found,
                    s.residual ? res[size_t(t) * yStride + i] + sum : sum)
              << "token " << t << " row " << i;
        }
      }
  }
};

class PairBlocksTest : public IsaTest {
protected:
  /// Both kernels.
  static void add(std::vector<Case> &cases, const Shape &s) {
    auto operands = std::make_shared<Operands>(s);
    MicroKernel panel{"wide_panel",
                      {{"wtype", s.wtype},
                       {"rows", s.rows},
                       {"block", s.block},
                       {"depth", 4},
                       {"k", s.k},
                       {"pairs", 1}},
                      {}};
    cases.push_back(
        {panel, [=](const Kernel &kernel) {
           kernel({operands->w.stored.data(), operands->panel.data()});
         }});
    MicroKernel tile = panel;
    tile.family = "linear_q";
    tile.ints["tokens"] = s.tokens;
    tile.ints["x_stride_bytes"] = operands->x.stride;
    tile.ints["y_stride"] = (s.swiglu ? s.rows / 2 : s.rows) + 8;
    tile.ints["residual"] = s.residual;
    tile.ints["swiglu"] = s.swiglu;
    tile.ints["bias"] = s.bias;
    if (s.tileRows)
      tile.ints["tile_rows"] = s.tileRows;
    cases.push_back(
        {tile, [=](const Kernel &kernel) { operands->check(kernel); }});
  }
};

TEST_P(PairBlocksTest, ATokenHasTheBitsThatItHasAlone) {
  std::vector<Case> cases;
  const int rows = GetParam().rows;
  for (int wtype : allQuantized)
    for (int tokens : GetParam().tiles) {
      add(cases, {.wtype = wtype, .rows = rows, .tokens = tokens});
      add(cases, {.wtype = wtype,
                  .rows = rows,
                  .tokens = tokens,
                  .block = 64,
                  .k = 320,
                  .residual = true,
                  .bias = true});
      add(cases,
          {.wtype = wtype, .rows = rows, .tokens = tokens, .swiglu = true});
    }
  run(cases);
}

TEST_P(PairBlocksTest, PanelsInPasses) {
  std::vector<Case> cases;
  const int rows = GetParam().rows;
  for (int wtype : allQuantized)
    add(cases, {.wtype = wtype,
                .rows = 2 * rows,
                .tokens = 4,
                .block = 128,
                .tileRows = rows,
                .residual = true});
  run(cases);
}

INSTANTIATE_TEST_SUITE_P(, PairBlocksTest, testing::ValuesIn(pairIsas),
                         [](const auto &info) {
                           return std::string(info.param.name);
                         });

} // namespace
} // namespace lfmc::halide::test
