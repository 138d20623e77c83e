// SPDX-License-Identifier: Apache-2.0
#include "tests/codegen/halide/Harness.h"

#include <algorithm>
#include <cmath>

namespace lfmc::halide::test {
namespace {

enum { F32, BF16, F16 };

bool runsBf16DotProducts() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

struct Linear {
  int wtype = F32, rows = 16, panels = 1, tokens = 1, k = 64, kTotal = 0;
  int xPad = 0, yPad = 0, resPad = 0, tileRows = 0; // 0: all
  bool residual = false, swiglu = false, bias = false, alias = false;
  bool rounded = false, dot = false; // x of bf16
};

// Weights of a panel block, stored as the kernel wants them, with their exact
// values beside.
struct Weights {
  Buffer<uint8_t> stored;
  std::vector<float> values; // [panel][row][k]

  Weights(const Linear &s, int kTotal, Random &random)
      // The last panel ends after k, not k_total.
      : stored(((s.panels - 1) * size_t(kTotal) + s.k) * s.rows *
               (s.wtype == F32 ? 4 : 2)),
        values(size_t(s.panels) * s.rows * s.k) {
    const int depth = s.wtype == BF16 ? 2 : 1;
    for (int p = 0; p < s.panels; ++p)
      for (int r = 0; r < s.rows; ++r)
        for (int k = 0; k < s.k; ++k) {
          float value = random();
          size_t at = size_t(p) * kTotal * s.rows +
                      (size_t(k / depth) * s.rows + r) * depth + k % depth;
          if (s.wtype == F32) {
            std::memcpy(stored.data() + at * 4, &value, 4);
          } else {
            uint16_t bits = s.wtype == BF16 ? toBf16(value) : toF16(value);
            std::memcpy(stored.data() + at * 2, &bits, 2);
            value = s.wtype == BF16 ? fromBf16(bits) : fromF16(bits);
          }
          values[(size_t(p) * s.rows + r) * s.k + k] = value;
        }
  }
};

void check(const Kernel &kernel, const Linear &s) {
  Random random(s.rows + s.k + s.tokens);
  const int kTotal = s.kTotal ? s.kTotal : s.k;
  const int out = s.swiglu ? s.rows / 2 : s.rows;
  const int columns = s.panels * out;
  const int xStride = s.k + s.xPad, yStride = columns + s.yPad;
  const int resStride = s.alias ? yStride : columns + s.resPad;
  Weights w(s, kTotal, random);
  Buffer<float> x(size_t(s.tokens - 1) * xStride + s.k);
  Buffer<float> bias(s.panels * s.rows);
  Buffer<float> separate(size_t(s.tokens - 1) * resStride + columns);
  Buffer<float> y(size_t(s.tokens - 1) * yStride + columns, untouched);
  random.fill(x);
  Buffer<uint16_t> halves(x.size());
  if (s.rounded)
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = fromBf16(halves[i] = toBf16(x[i]));
  random.fill(bias);
  random.fill(separate);
  if (s.alias)
    std::copy(separate.begin(), separate.end(), y.begin());
  std::vector<float> res(separate.begin(), separate.end());

  std::vector<void *> args = {s.rounded ? (void *)halves.data() : x.data(),
                              w.stored.data()};
  if (s.bias)
    args.push_back(bias.data());
  if (s.residual)
    args.push_back(s.alias ? y.data() : separate.data());
  args.push_back(y.data());
  kernel(args);

  for (int t = 0; t < s.tokens; ++t) {
    for (int p = 0; p < s.panels; ++p)
      for (int i = 0; i < out; ++i) {
        double sums[2] = {0, 0}, size = 0;
        for (int half = 0; half <= s.swiglu; ++half) {
          int row = p * s.rows + i + half * out;
          if (s.bias)
            size += std::fabs(sums[half] = bias[row]);
          for (int k = 0; k < s.k; ++k) {
            double term = double(x[size_t(t) * xStride + k]) *
                          w.values[size_t(row) * s.k + k];
            sums[half] += term;
            size += std::fabs(term);
          }
        }
        double want = sums[0];
        int column = p * out + i;
        if (s.swiglu) {
          want = sums[0] / (1 + std::exp(-sums[0])) * sums[1];
          size *= 1 + std::fabs(sums[0]) + std::fabs(sums[1]);
        }
        if (s.residual) {
          want += res[size_t(t) * resStride + column];
          size += std::fabs(res[size_t(t) * resStride + column]);
        }
        ASSERT_NEAR(y[size_t(t) * yStride + column], want, 3e-7 * size)
            << "token " << t << " column " << column;
      }
    if (!s.alias && t + 1 < s.tokens)
      for (int pad = columns; pad < yStride; ++pad)
        ASSERT_EQ(y[size_t(t) * yStride + pad], untouched);
  }
}

Case makeCase(const Linear &s) {
  const int columns = s.panels * (s.swiglu ? s.rows / 2 : s.rows);
  MicroKernel kernel{"linear", {}, {}};
  kernel.ints = {{"wtype", s.wtype},
                 {"rows", s.rows},
                 {"panels", s.panels},
                 {"tokens", s.tokens},
                 {"k", s.k},
                 {"k_total", s.kTotal ? s.kTotal : s.k},
                 {"x_stride", s.k + s.xPad},
                 {"y_stride", columns + s.yPad},
                 {"residual", s.residual},
                 {"swiglu", s.swiglu},
                 {"bias", s.bias},
                 {"xtype", s.rounded},
                 {"dot", s.dot}};
  if (s.tileRows)
    kernel.ints["tile_rows"] = s.tileRows;
  if (s.residual)
    kernel.ints["res_stride"] = columns + (s.alias ? s.yPad : s.resPad);
  return {kernel, [s](const Kernel &kernel) { check(kernel, s); }};
}

class LinearTest : public IsaTest {};

TEST_P(LinearTest, RowsAndTypes) {
  std::vector<Case> cases;
  for (int wtype : {F32, BF16, F16})
    for (int rows : {1, 2, 4, 8, 16, 32, 64, 24})
      cases.push_back(makeCase({.wtype = wtype, .rows = rows, .k = 70}));
  run(cases);
}

// Panels that another level of the processor family has chosen.
TEST_P(LinearTest, PassesOverAPanel) {
  std::vector<Case> cases;
  for (int wtype : {F32, BF16, F16})
    for (int tileRows : {4, 16})
      for (int tokens : {1, 5})
        cases.push_back(makeCase({.wtype = wtype,
                                  .rows = 64,
                                  .tokens = tokens,
                                  .k = 38,
                                  .tileRows = tileRows,
                                  .bias = true}));
  run(cases);
}

TEST_P(LinearTest, TokensAndStrides) {
  std::vector<Case> cases;
  for (int tokens = 1; tokens <= 12; ++tokens)
    cases.push_back(makeCase({.wtype = tokens % 3,
                              .rows = 16,
                              .tokens = tokens,
                              .k = 38,
                              .xPad = 5,
                              .yPad = 7}));
  run(cases);
}

TEST_P(LinearTest, Depths) {
  std::vector<Case> cases;
  for (int k : {1, 3, 5, 7, 8, 9, 31, 255})
    for (int wtype : {F32, F16})
      cases.push_back(makeCase({.wtype = wtype, .rows = 8, .k = k}));
  for (int k : {2, 4, 6, 10, 34, 254})
    cases.push_back(makeCase({.wtype = BF16, .rows = 8, .k = k}));
  cases.push_back(makeCase({.wtype = BF16, .rows = 64, .k = 2048}));
  run(cases);
}

TEST_P(LinearTest, PanelsOfALargerMatrix) {
  std::vector<Case> cases;
  for (int wtype : {F32, BF16, F16})
    for (int panels : {2, 3})
      cases.push_back(makeCase({.wtype = wtype,
                                .rows = 16,
                                .panels = panels,
                                .tokens = 3,
                                .k = 20,
                                .kTotal = 52,
                                .xPad = 32,
                                .yPad = 16}));
  run(cases);
}

TEST_P(LinearTest, ResidualApartAndInPlace) {
  std::vector<Case> cases;
  for (int wtype : {F32, BF16})
    for (bool alias : {false, true})
      for (int tokens : {1, 4})
        for (int rows : {4, 32})
          cases.push_back(makeCase({.wtype = wtype,
                                    .rows = rows,
                                    .panels = 2,
                                    .tokens = tokens,
                                    .k = 40,
                                    .yPad = 8,
                                    .resPad = 3,
                                    .residual = true,
                                    .alias = alias}));
  run(cases);
}

TEST_P(LinearTest, Swiglu) {
  std::vector<Case> cases;
  for (int wtype : {F32, BF16, F16})
    for (int rows : {2, 16, 64})
      for (int tokens : {1, 3})
        cases.push_back(makeCase({.wtype = wtype,
                                  .rows = rows,
                                  .panels = tokens == 1 ? 2 : 1,
                                  .tokens = tokens,
                                  .k = 36,
                                  .swiglu = true}));
  run(cases);
}

TEST_P(LinearTest, Bias) {
  std::vector<Case> cases;
  for (bool swiglu : {false, true})
    for (int tokens : {1, 3})
      cases.push_back(makeCase({.wtype = BF16,
                                .rows = 32,
                                .panels = 2,
                                .tokens = tokens,
                                .k = 24,
                                .residual = !swiglu,
                                .swiglu = swiglu,
                                .bias = true}));
  run(cases);
}

// Everywhere by f32 products, by dot products of bf16 where there are some.
TEST_P(LinearTest, RowsOfBf16) {
  std::vector<Case> cases;
  const bool hasDot =
      std::string(GetParam().name) == "vnni" && runsBf16DotProducts();
  for (bool dot : {false, true}) {
    if (dot && !hasDot)
      break;
    Linear s{.wtype = BF16, .rounded = true, .dot = dot};
    const int sizes[][3] = {{1, 1, 6},  {2, 3, 2},  {4, 3, 38},
                            {8, 1, 38}, {24, 3, 6}, {64, 6, 256}};
    for (auto [rows, tokens, k] : sizes) {
      s.rows = rows, s.tokens = tokens, s.k = k;
      s.xPad = tokens == 3 ? 6 : 0;
      cases.push_back(makeCase(s));
    }
    s.rows = 32, s.panels = 2, s.k = 24, s.kTotal = 40, s.tokens = 4;
    s.xPad = 16, s.bias = true;
    for (bool residual : {false, true})
      for (bool alias : {false, true}) {
        s.residual = residual, s.alias = residual && alias;
        cases.push_back(makeCase(s));
      }
    s.residual = s.alias = false, s.swiglu = true;
    cases.push_back(makeCase(s));
  }
  run(cases);
}

// Cut in two by way of the residual, and in tiles of any size: the same bits.
TEST_P(LinearTest, DotProductsOfBf16HaveOneOrder) {
  if (std::string(GetParam().name) != "vnni" || !runsBf16DotProducts())
    GTEST_SKIP() << "no dot products of bf16";
  const int rows = 32, tokens = 6, k = 200, first = 88;
  Random random(7);
  Buffer<uint16_t> x(tokens * k), w(rows * k);
  for (Buffer<uint16_t> *values : {&x, &w})
    for (uint16_t &value : *values)
      value = toBf16(random());
  Buffer<float> whole(tokens * rows), cut(tokens * rows), alone(rows);
  using Check = std::function<void(const Kernel &, std::vector<void *>)>;
  auto kernel = [&](int t, int from, int depth, bool residual, Check check) {
    MicroKernel micro{"linear",
                      {{"wtype", BF16},
                       {"xtype", 1},
                       {"dot", 1},
                       {"rows", rows},
                       {"tokens", t},
                       {"k", depth},
                       {"x_stride", k}},
                      {}};
    micro.ints["residual"] = residual;
    return Case{micro, [&x, &w, from, check](const Kernel &run) {
                  check(run, {x.data() + from, w.data() + from * rows});
                }};
  };
  run({kernel(tokens, 0, k, false,
              [&](const Kernel &run, std::vector<void *> args) {
                args.push_back(whole.data());
                run(args);
              }),
       kernel(1, 0, k, false,
              [&](const Kernel &run, std::vector<void *> args) {
                args.push_back(alone.data());
                for (int t = 0; t < tokens; ++t) {
                  args[0] = x.data() + t * k;
                  run(args);
                  for (int r = 0; r < rows; ++r)
                    ASSERT_EQ(alone[r], whole[t * rows + r]);
                }
              }),
       kernel(tokens, 0, first, false,
              [&](const Kernel &run, std::vector<void *> args) {
                args.push_back(cut.data());
                run(args);
              }),
       kernel(tokens, first, k - first, true,
              [&](const Kernel &run, std::vector<void *> args) {
                args.insert(args.end(), {cut.data(), cut.data()});
                run(args);
                for (int i = 0; i < tokens * rows; ++i)
                  ASSERT_EQ(cut[i], whole[i]);
              })});
}

LFMC_FOR_EACH_ISA(LinearTest);

} // namespace
} // namespace lfmc::halide::test
