// SPDX-License-Identifier: Apache-2.0
//
// linear_q against plain C++: exact integers per block, then the documented f32
// operations in the documented order. Without swiglu the bits must agree, which
// also proves them equal for every tile of tokens and panels.
#include "tests/codegen/halide/QuantizedFixture.h"

#include <cmath>
#include <memory>

namespace lfmc::halide::test {
namespace {

enum class Fill { Random, Largest, Smallest, Alternating };

struct LinearQ {
  int wtype = Q4, block = 32, rows = 16, depth = 4, panels = 1, tokens = 1;
  int k = 64, kTotal = 0, firstColumn = 0, width = 0, xPad = 0, yPad = 0;
  int resPad = 0, tileRows = 0; // 0: all
  bool residual = false, swiglu = false, bias = false, alias = false;
  Fill fill = Fill::Random;
  int outRows() const { return swiglu ? rows / 2 : rows; }
  int columns() const { return panels * outRows(); }
};

MicroKernel kernelOf(const LinearQ &s) {
  const int width = s.width ? s.width : s.k;
  MicroKernel kernel{"linear_q", {}, {}};
  kernel.ints = {{"wtype", s.wtype},
                 {"block", s.block},
                 {"rows", s.rows},
                 {"depth", s.depth},
                 {"panels", s.panels},
                 {"tokens", s.tokens},
                 {"k", s.k},
                 {"k_total", s.kTotal ? s.kTotal : s.k},
                 {"width", width},
                 {"x_stride_bytes", width + width / 4 + s.xPad},
                 {"y_stride", s.columns() + s.yPad},
                 {"residual", s.residual},
                 {"swiglu", s.swiglu},
                 {"bias", s.bias}};
  if (s.tileRows)
    kernel.ints["tile_rows"] = s.tileRows;
  if (s.residual)
    kernel.ints["res_stride"] = s.columns() + (s.alias ? s.yPad : s.resPad);
  return kernel;
}

QuantizedWeights makeWeights(const LinearQ &s, Random &random) {
  const auto [low, high] = codeRange(s.wtype);
  return QuantizedWeights(s.wtype, s.rows, s.block, s.depth, s.panels, s.k,
                          s.kTotal ? s.kTotal : s.k, random,
                          [&, low = low, high = high](int r, int k) {
                            switch (s.fill) {
                            case Fill::Random:
                              return pick(random, low, high);
                            case Fill::Largest:
                              return high;
                            case Fill::Smallest:
                              return low;
                            case Fill::Alternating:
                              return (r + k) % 2 ? low : high;
                            }
                            return 0;
                          });
}

QuantizedRows makeRows(const LinearQ &s, Random &random) {
  return QuantizedRows(s.width ? s.width : s.k, s.tokens, s.xPad, random,
                       [&](int t, int k) {
                         if (s.fill == Fill::Random)
                           return pick(random, -127, 127);
                         if (s.fill == Fill::Alternating)
                           return k % 2 ? 127 : -127;
                         return t % 2 ? -127 : 127;
                       });
}

// One row of one panel times one token, with the kernel's operations.
float dot(const LinearQ &s, const QuantizedWeights &w, const QuantizedRows &x,
          int row, int token, bool fused) {
  float acc = 0;
  for (int b = 0; b < s.k / 32; ++b) {
    int32_t sum = 0;
    for (int i = b * 32; i < b * 32 + 32; ++i)
      sum += w.values[size_t(row) * s.k + i] * x.q(token, s.firstColumn + i);
    auto add = [&](float term, float factor) {
      if (fused) {
        acc = std::fma(term, factor, acc);
      } else {
        float product = term * factor;
        acc += product;
      }
    };
    const float xs = x.scale(token, s.firstColumn / 32 + b);
    const size_t at = size_t(row) * (s.k / s.block) + b * 32 / s.block;
    add(float(sum) * xs, w.scales[at]);
    if (s.wtype == Q4M)
      add(float(x.sum(token, s.firstColumn / 32 + b)) * xs, w.minima[at]);
  }
  return acc;
}

void check(const Kernel &kernel, const LinearQ &s, bool fused) {
  Random random(s.rows + s.k + s.tokens);
  QuantizedWeights w = makeWeights(s, random);
  QuantizedRows x = makeRows(s, random);
  const int yStride = s.columns() + s.yPad;
  const int resStride = s.alias ? yStride : s.columns() + s.resPad;
  Buffer<float> bias(s.panels * s.rows);
  Buffer<float> separate(size_t(s.tokens - 1) * resStride + s.columns());
  Buffer<float> y(size_t(s.tokens - 1) * yStride + s.columns(), untouched);
  random.fill(bias);
  random.fill(separate);
  if (s.alias)
    std::copy(separate.begin(), separate.end(), y.begin());
  std::vector<float> res(separate.begin(), separate.end());

  std::vector<void *> args = x.args(0, s.firstColumn);
  args.push_back(w.stored.data());
  if (s.bias)
    args.push_back(bias.data());
  if (s.residual)
    args.push_back(s.alias ? y.data() : separate.data());
  args.push_back(y.data());
  kernel(args);

  for (int t = 0; t < s.tokens; ++t) {
    for (int p = 0; p < s.panels; ++p)
      for (int i = 0; i < s.outRows(); ++i) {
        float values[2] = {0, 0};
        for (int half = 0; half <= s.swiglu; ++half) {
          const int row = p * s.rows + i + half * s.outRows();
          values[half] = dot(s, w, x, row, t, fused);
          if (s.bias)
            values[half] += bias[row];
        }
        const int column = p * s.outRows() + i;
        const float found = y[size_t(t) * yStride + column];
        if (s.swiglu) {
          double want =
              values[0] / (1 + std::exp(-double(values[0]))) * values[1];
          ASSERT_NEAR(found, want, 1e-6 * std::fabs(want) + 1e-30)
              << "token " << t << " column " << column;
          continue;
        }
        float want = values[0];
        if (s.residual)
          want = res[size_t(t) * resStride + column] + want;
        ASSERT_EQ(found, want) << "token " << t << " column " << column;
      }
    if (!s.alias && t + 1 < s.tokens)
      for (int pad = s.columns(); pad < yStride; ++pad)
        ASSERT_EQ(y[size_t(t) * yStride + pad], untouched);
  }
}

class LinearQTest : public IsaTest {
protected:
  Case makeCase(const LinearQ &s) {
    const bool fused = std::string(GetParam().name) != "v2" && s.wtype != Q4M;
    return {kernelOf(s),
            [s, fused](const Kernel &kernel) { check(kernel, s, fused); }};
  }
};

TEST_P(LinearQTest, RowsAndFormats) {
  std::vector<Case> cases;
  for (int wtype : allQuantized)
    for (int rows : {1, 2, 3, 4, 8, 16, 24, 32, 64})
      cases.push_back(makeCase({.wtype = wtype, .rows = rows, .k = 96}));
  run(cases);
}

// Panels that another level of the processor family has chosen.
TEST_P(LinearQTest, PassesOverAPanel) {
  std::vector<Case> cases;
  for (int wtype : allQuantized)
    for (int tileRows : {8, 16})
      for (int tokens : {1, 5})
        if (tileRows == 8 || tokens == 5)
          cases.push_back(makeCase({.wtype = wtype,
                                    .block = tileRows == 8 ? 64 : 32,
                                    .rows = 32,
                                    .panels = 2,
                                    .tokens = tokens,
                                    .k = 192,
                                    .tileRows = tileRows,
                                    .residual = tokens == 5,
                                    .bias = true}));
  run(cases);
}

TEST_P(LinearQTest, BlocksOfWeights) {
  std::vector<Case> cases;
  for (int wtype : allQuantized)
    for (int block : {32, 64, 128})
      for (int tokens : {1, 5})
        cases.push_back(makeCase({.wtype = wtype,
                                  .block = block,
                                  .panels = 2,
                                  .tokens = tokens,
                                  .k = 3 * block,
                                  .kTotal = 5 * block}));
  run(cases);
}

TEST_P(LinearQTest, TokensStridesAndParts) {
  std::vector<Case> cases;
  for (int wtype : allQuantized)
    for (int tokens = 1; tokens <= 12; tokens += wtype == Q4 ? 1 : 4)
      cases.push_back(makeCase({.wtype = wtype,
                                .rows = tokens % 2 ? 32 : 16,
                                .panels = tokens % 3 ? 1 : 2,
                                .tokens = tokens,
                                .k = 160,
                                .kTotal = 192,
                                .firstColumn = 32,
                                .width = 256,
                                .xPad = 12,
                                .yPad = 5}));
  run(cases);
}

TEST_P(LinearQTest, ManyTokens) {
  std::vector<Case> cases;
  for (int tokens : GetParam().tiles)
    for (int wtype : allQuantized)
      for (int block : {32, 128})
        cases.push_back(makeCase({.wtype = wtype,
                                  .block = block,
                                  .rows = GetParam().rows,
                                  .panels = tokens == 8 ? 2 : 1,
                                  .tokens = tokens,
                                  .k = 9 * block,
                                  .kTotal = 10 * block,
                                  .xPad = 12,
                                  .yPad = 5,
                                  .resPad = 3,
                                  .residual = block == 32,
                                  .bias = wtype == Q4,
                                  .alias = wtype == Q8}));
  run(cases);
}

TEST_P(LinearQTest, LargestCodesDoNotSaturate) {
  std::vector<Case> cases;
  for (int wtype : allQuantized)
    for (Fill fill : {Fill::Largest, Fill::Smallest, Fill::Alternating})
      cases.push_back(makeCase({.wtype = wtype,
                                .rows = GetParam().rows,
                                .tokens = GetParam().tiles[0],
                                .k = 128,
                                .fill = fill}));
  run(cases);
}

TEST_P(LinearQTest, ResidualApartAndInPlace) {
  std::vector<Case> cases;
  for (int wtype : allQuantized)
    for (bool alias : {false, true})
      for (int tokens : {1, 4})
        for (int rows : {4, 32})
          cases.push_back(makeCase({.wtype = wtype,
                                    .rows = rows,
                                    .panels = 2,
                                    .tokens = tokens,
                                    .yPad = 8,
                                    .resPad = 3,
                                    .residual = true,
                                    .bias = rows == 4,
                                    .alias = alias}));
  run(cases);
}

TEST_P(LinearQTest, SwigluAndBias) {
  std::vector<Case> cases;
  for (int wtype : allQuantized)
    for (int rows : {2, 16, 64})
      for (int tokens : {1, 3})
        cases.push_back(makeCase({.wtype = wtype,
                                  .rows = rows,
                                  .panels = tokens == 1 ? 2 : 1,
                                  .tokens = tokens,
                                  .swiglu = true,
                                  .bias = rows == 16}));
  run(cases);
}

// silu has no reference to the bit: compare tiles with single tokens.
TEST_P(LinearQTest, SwigluHasTheSameBitsInEveryTile) {
  auto alone = std::make_shared<std::vector<float>>();
  std::vector<Case> cases;
  for (int tokens : {1, 2, 3, 5, 8, 12})
    for (int panels : {1, 2}) {
      LinearQ s{.panels = panels, .tokens = tokens, .k = 128, .swiglu = true};
      cases.push_back({kernelOf(s), [=](const Kernel &kernel) {
                         LinearQ whole = s;
                         whole.tokens = 24;
                         whole.panels = 2;
                         Random random(5);
                         QuantizedWeights w = makeWeights(whole, random);
                         QuantizedRows x = makeRows(whole, random);
                         Buffer<float> y(s.tokens * s.columns());
                         std::vector<float> all(24 * 16);
                         for (int t = 0; t + s.tokens <= 24; t += s.tokens)
                           for (int p = 0; p < 2; p += s.panels) {
                             std::vector<void *> args = x.args(t, 0);
                             args.push_back(w.stored.data() +
                                            p * panelBytes(Q4, 16, 32, s.k));
                             args.push_back(y.data());
                             kernel(args);
                             for (int i = 0; i < s.tokens; ++i)
                               std::copy_n(y.data() + i * s.columns(),
                                           s.columns(),
                                           all.begin() + (t + i) * 16 + p * 8);
                           }
                         if (alone->empty())
                           *alone = all;
                         for (int i = 0; i < 24 / s.tokens * s.tokens * 16; ++i)
                           ASSERT_EQ(all[i], (*alone)[i]) << "token " << i / 16;
                       }});
    }
  run(cases);
}

class EmbedQTest : public IsaTest {};

TEST_P(EmbedQTest, EveryRowOfAPanel) {
  std::vector<Case> cases;
  auto add = [&](int wtype, bool raised) {
    for (int rows : {1, 3, 16})
      for (int block : {32, 64, 128}) {
        const int width = 2 * block;
        MicroKernel kernel{"embed_q",
                           {{"wtype", wtype},
                            {"raised", raised},
                            {"rows", rows},
                            {"block", block},
                            {"width", width}},
                           {}};
        cases.push_back({kernel, [=](const Kernel &kernel) {
                           Random random(rows + block);
                           const auto [low, high] = codeRange(wtype);
                           QuantizedWeights w(
                               wtype, rows, block, 4, 1, width, width, random,
                               [&](int, int) {
                                 return pick(random, low, high);
                               },
                               raised);
                           for (int row = 0; row < rows; ++row) {
                             Buffer<float> y(width, untouched);
                             kernel({w.stored.data(), y.data()}, {row});
                             for (int k = 0; k < width; ++k)
                               ASSERT_EQ(y[k],
                                         w.values[size_t(row) * width + k] *
                                                 w.scales[row * 2 + k / block] +
                                             w.minima[row * 2 + k / block])
                                   << "row " << row << " column " << k;
                           }
                         }});
      }
  };
  for (int wtype : allQuantized)
    add(wtype, false);
  add(Q8, true);
  run(cases);
}

LFMC_FOR_EACH_ISA(LinearQTest);
LFMC_FOR_EACH_ISA(EmbedQTest);

} // namespace
} // namespace lfmc::halide::test
