// SPDX-License-Identifier: Apache-2.0
//
// wide_panel and linear_q with "group" against plain C++: the same bits but for
// swiglu; and how far the rewritten weights are from the stored ones.
#include "tests/codegen/halide/QuantizedFixture.h"

#include <cmath>
#include <memory>

namespace lfmc::halide::test {
namespace {

const Isa isas[] = {{"v3_vnni", "x86-64-v3-vnni", 16, {3, 6}},
                    {"v4_vnni", "x86-64-v4-vnni", 32, {8, 12}},
                    {"v4_ymm", "x86-64-v4-vnni", 16, {8, 12}},
                    {"v3", "x86-64-v3", 16, {2, 3, 24}},
                    {"v4", "x86-64-v4", 32, {6, 24}}};

/// Of rows of a group, what the scales' unit is of the largest block's.
constexpr int vnniUnits = 15, pairUnits = 8192;

/// A panel as wide_panel writes it.
struct WidePanel {
  int rows, k, group;
  bool pairs;
  size_t bytes; ///< of a group
  Buffer<uint8_t> stored;

  WidePanel(int rows, int k, int group, bool pairs)
      : rows(rows), k(k), group(group), pairs(pairs),
        bytes(size_t(rows) * (pairs ? group + group / 8 + 8 : group + 4)),
        stored(size_t(k / group) * bytes, 0xee) {}
  uint8_t *start(int column) const {
    return stored.data() + size_t(column / group) * bytes;
  }
  uint8_t &code(int row, int column) const {
    const int within = column % group;
    return start(column)[(within / 4 * rows + row) * 4 + within % 4];
  }
  /// Both of a pair.
  int16_t *factors(int row, int column) const {
    const int block = column % group / 32;
    return reinterpret_cast<int16_t *>(start(column) + rows * group) +
           (block * rows + row) * 2;
  }
  float &scale(int row, int column) const {
    const int ahead = pairs ? group / 8 : 0;
    return reinterpret_cast<float *>(start(column) +
                                     rows * (group + ahead))[row];
  }
  int32_t &first(int row, int column) const {
    return reinterpret_cast<int32_t *>(&scale(0, column) + rows)[row];
  }
  /// In units of the scale.
  int64_t value(int row, int column) const {
    return pairs ? int64_t(int8_t(code(row, column))) * *factors(row, column)
                 : code(row, column) - 128;
  }
  /// What makes up for activations that are raised by 128.
  int32_t firstOf(int row, int column) const {
    int64_t sum = 0;
    for (int i = column / group * group; i < (column / group + 1) * group; ++i)
      sum += value(row, i);
    return int32_t(uint32_t(-128 * sum));
  }
};

struct Shape {
  int rows, block = 32, k = 512, group = 256, tokens = 1, tileRows = 0;
  bool residual = false, swiglu = false, bias = false;
};

QuantizedWeights makeWeights(const Shape &s, Random &random) {
  return QuantizedWeights(
      Q4, s.rows, s.block, 4, 1, s.k, s.k, random,
      [&](int row, int) { return row == 3 ? -8 : pick(random, -8, 7); });
}

void checkPanel(const Kernel &kernel, const Shape &s, bool pairs, bool zeros) {
  Random random(s.k + s.rows);
  QuantizedWeights w = makeWeights(s, random);
  const int blocks = s.k / s.block;
  if (zeros) // all scales of a row's first group, and one of its second
    for (int b = 0; b <= s.group / s.block; ++b) {
      const size_t bytes = panelBytes(Q4, s.rows, s.block, s.block);
      std::memset(w.stored.data() + b * bytes + 5 * 2, 0, 2);
      w.scales[size_t(5) * blocks + b] = 0;
    }
  WidePanel panel(s.rows, s.k, s.group, pairs);
  const float units = pairs ? pairUnits : vnniUnits;
  kernel({w.stored.data(), panel.stored.data()});
  for (int row = 0; row < s.rows; ++row)
    for (int column = 0; column < s.k; ++column) {
      const float *scales = &w.scales[size_t(row) * blocks];
      float largest = 0;
      for (int i = 0; i < s.group; i += s.block)
        largest = std::max(
            largest,
            std::fabs(scales[(column / s.group * s.group + i) / s.block]));
      const float unit = largest * (1 / units), step = scales[column / s.block];
      ASSERT_EQ(panel.scale(row, column), unit);
      const int value = w.values[size_t(row) * s.k + column];
      const int code = panel.code(row, column);
      if (pairs) {
        const float inverse = largest > 0 ? units / largest : 0;
        const int factor = int(std::nearbyint(step * inverse));
        ASSERT_EQ(int8_t(code), value);
        ASSERT_EQ(panel.factors(row, column)[0], factor);
        ASSERT_EQ(panel.factors(row, column)[1], factor);
        ASSERT_EQ(panel.first(row, column), panel.firstOf(row, column));
        continue;
      }
      const float inverse = largest > 0 ? 256 * units / largest : 0;
      const int factor = int(std::nearbyint(step * inverse));
      ASSERT_EQ(code, (value * factor + 128 * 256 + 128) >> 8);
      // Half a unit, and what the factor's own rounding adds.
      ASSERT_LE(std::fabs(unit * float(code - 128) - step * float(value)),
                0.516f * unit + 1e-7f);
      if (std::fabs(step) == largest && largest > 0) {
        ASSERT_EQ(code - 128, value * (step < 0 ? -15 : 15)); // exact
      }
    }
}

void checkTile(const Kernel &kernel, const Shape &s, bool pairs) {
  Random random(s.tokens + s.k);
  const int groups = s.k / s.group, out = s.swiglu ? s.rows / 2 : s.rows;
  const int stride = s.k + s.k / 4 + 64, yStride = out + 8;
  WidePanel panel(s.rows, s.k, s.group, pairs);
  for (int row = 0; row < s.rows; ++row)
    for (int column = 0; column < s.k; ++column) {
      // The largest sums that can be, and any.
      if (pairs)
        panel.code(row, column) =
            uint8_t(row == 2 || row == 3 ? -8 : pick(random, -8, 7));
      else
        panel.code(row, column) = uint8_t(row == 2   ? 248
                                          : row == 3 ? 8
                                                     : pick(random, 8, 248));
      if (pairs && column % 32 == 0) {
        int16_t *both = panel.factors(row, column);
        both[0] = both[1] = int16_t(row == 2   ? pairUnits
                                    : row == 3 ? -pairUnits
                                               : pick(random, -8192, 8192));
      }
    }
  for (int row = 0; row < s.rows; ++row)
    for (int column = 0; column < s.k; column += s.group) {
      panel.scale(row, column) = float(row + column / s.group + 1) * 3e-5f;
      if (pairs)
        panel.first(row, column) = panel.firstOf(row, column);
    }
  Buffer<uint8_t> x(size_t(stride) * s.tokens);
  auto part = [&](int t, int start, int g) {
    return x.data() + size_t(t) * stride + s.k + start + g * 4;
  };
  auto code = [&](int t, int column) -> uint8_t & {
    return x[size_t(t) * stride + column];
  };
  const int raised = pairs ? 128 : 0;
  for (int t = 0; t < s.tokens; ++t)
    for (int g = 0; g < groups; ++g) {
      int32_t sum = 0;
      for (int i = 0; i < s.group; ++i) {
        const int value = t == 0 ? 127 : pick(random, -127, 127);
        code(t, g * s.group + i) = uint8_t(value + raised);
        sum += value;
      }
      const float scale = (random() + 1.5f) * 0.01f;
      std::memcpy(part(t, 0, g), &scale, 4);
      std::memcpy(part(t, s.k / 8, g), &sum, 4);
    }
  Buffer<float> bias(s.rows), res(size_t(s.tokens) * yStride);
  Buffer<float> y(size_t(s.tokens) * yStride, untouched);
  random.fill(bias);
  random.fill(res);
  std::vector<void *> args = {x.data(), part(0, 0, 0), part(0, s.k / 8, 0),
                              panel.stored.data()};
  if (s.bias)
    args.push_back(bias.data());
  if (s.residual)
    args.push_back(res.data());
  args.push_back(y.data());
  kernel(args);

  auto total = [&](int t, int row) {
    float sum = 0;
    for (int g = 0; g < groups; ++g) {
      int64_t products = 0;
      for (int i = g * s.group; i < (g + 1) * s.group; ++i)
        products += panel.value(row, i) * int8_t(code(t, i) - raised);
      EXPECT_EQ(products, int32_t(products));
      float scale;
      std::memcpy(&scale, part(t, 0, g), 4);
      sum = std::fma(float(int32_t(products)) * scale,
                     panel.scale(row, g * s.group), sum);
    }
    return s.bias ? sum + bias[row] : sum;
  };
  for (int t = 0; t < s.tokens; ++t)
    for (int i = 0; i < yStride; ++i) {
      const float found = y[size_t(t) * yStride + i];
      if (i >= out) {
        ASSERT_EQ(found, untouched);
      } else if (s.swiglu) {
        const double gate = total(t, i);
        const double want = gate / (1 + std::exp(-gate)) * total(t, i + out);
        ASSERT_NEAR(found, want, 1e-6 * std::fabs(want) + 1e-30);
      } else {
        const float sum = total(t, i);
        ASSERT_EQ(found, s.residual ? res[size_t(t) * yStride + i] + sum : sum)
            << "token " << t << " row " << i;
      }
    }
}

class WideTest : public IsaTest {
protected:
  /// Without VNNI.
  static bool pairs() {
    return std::string(GetParam().target).find("vnni") == std::string::npos;
  }
  Case panelCase(const Shape &s, bool zeros = false) {
    const bool pairs = WideTest::pairs();
    return {{"wide_panel",
             {{"wtype", Q4},
              {"rows", s.rows},
              {"block", s.block},
              {"depth", 4},
              {"k", s.k},
              {"group", s.group},
              {"pairs", pairs}},
             {}},
            [=](const Kernel &kernel) { checkPanel(kernel, s, pairs, zeros); }};
  }
  Case tileCase(const Shape &s) {
    const bool pairs = WideTest::pairs();
    MicroKernel kernel{"linear_q",
                       {{"wtype", Q4},
                        {"rows", s.rows},
                        {"block", s.block},
                        {"depth", 4},
                        {"tokens", s.tokens},
                        {"k", s.k},
                        {"group", s.group},
                        {"pairs", pairs},
                        {"x_stride_bytes", s.k + s.k / 4 + 64},
                        {"y_stride", (s.swiglu ? s.rows / 2 : s.rows) + 8},
                        {"residual", s.residual},
                        {"swiglu", s.swiglu},
                        {"bias", s.bias}},
                       {}};
    if (s.tileRows)
      kernel.ints["tile_rows"] = s.tileRows;
    return {kernel, [=](const Kernel &kernel) { checkTile(kernel, s, pairs); }};
  }
};

TEST_P(WideTest, PanelsAreRewrittenToOneScaleAGroup) {
  std::vector<Case> cases;
  for (int rows : {16, 32, 64})
    for (int block : {32, 64, 128})
      for (int group : {128, 256})
        cases.push_back(panelCase(
            {.rows = rows, .block = block, .group = group}, rows == 16));
  run(cases);
}

TEST_P(WideTest, TilesAreExact) {
  std::vector<Case> cases;
  std::vector<int> sizes = GetParam().tiles;
  sizes.push_back(1);
  for (int tokens : sizes)
    for (int group : {128, 256}) {
      const int rows = GetParam().rows;
      cases.push_back(
          tileCase({.rows = rows, .group = group, .tokens = tokens}));
      cases.push_back(tileCase({.rows = rows,
                                .block = 64,
                                .group = group,
                                .tokens = tokens,
                                .residual = true,
                                .bias = true}));
      cases.push_back(tileCase({.rows = rows,
                                .k = 256,
                                .group = group,
                                .tokens = tokens,
                                .swiglu = true}));
    }
  // A panel that a wider level has chosen, in passes.
  cases.push_back(
      tileCase({.rows = 32, .tokens = 4, .tileRows = 16, .residual = true}));
  run(cases);
}

INSTANTIATE_TEST_SUITE_P(, WideTest, testing::ValuesIn(isas),
                         [](const auto &info) {
                           return std::string(info.param.name);
                         });

} // namespace
} // namespace lfmc::halide::test
