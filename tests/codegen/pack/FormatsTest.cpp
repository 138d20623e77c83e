// SPDX-License-Identifier: Apache-2.0
#include "codegen/pack/Formats.h"
#include "codegen/pack/Rope.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <tuple>

using namespace lfmc::pack;

namespace {

const Format formats[] = {Format::F32, Format::BF16, Format::F16};

// The value of one stored element, from the definition of the formats.
double decode(Format format, const uint8_t *data) {
  if (format == Format::F32) {
    float value;
    std::memcpy(&value, data, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, data, 2);
  int exponentBits = format == Format::F16 ? 5 : 8;
  int mantissaBits = 15 - exponentBits, bias = (1 << (exponentBits - 1)) - 1;
  int exponent = (bits >> mantissaBits) & ((1 << exponentBits) - 1);
  int mantissa = bits & ((1 << mantissaBits) - 1);
  double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponentBits) - 1)
    return mantissa ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  double scale = std::ldexp(1.0, -mantissaBits);
  return exponent ? sign * std::ldexp(1 + mantissa * scale, exponent - bias)
                  : sign * std::ldexp(mantissa * scale, 1 - bias);
}

uint16_t oneBits(Format to, float value, bool *good = nullptr) {
  uint16_t bits = 0;
  bool ok = convert(Format::F32, reinterpret_cast<uint8_t *>(&value), to,
                    reinterpret_cast<uint8_t *>(&bits), 1);
  if (good)
    *good = ok;
  return bits;
}

// Of the neighbours of `value` in a 16-bit format the nearest, ties to the one
// with an even mantissa. `value` must not overflow it.
double nearest(Format format, float value) {
  // Positive 16-bit floats are ordered like their bits.
  uint32_t low = 0, high = format == Format::F16 ? 0x7c00 : 0x7f80;
  double magnitude = std::fabs(double(value));
  while (high - low > 1) {
    uint16_t middle = uint16_t((low + high) / 2);
    double at = decode(format, reinterpret_cast<uint8_t *>(&middle));
    (at <= magnitude ? low : high) = middle;
  }
  uint16_t a = uint16_t(low), b = uint16_t(high);
  double below = decode(format, reinterpret_cast<uint8_t *>(&a));
  double above = decode(format, reinterpret_cast<uint8_t *>(&b));
  double result = magnitude - below < above - magnitude   ? below
                  : magnitude - below > above - magnitude ? above
                  : a % 2 == 0                            ? below
                                                          : above;
  return std::copysign(result, value);
}

TEST(Convert, RoundsToNearestEven) {
  std::mt19937 random(1);
  std::vector<float> values = {0.0f,      -0.0f,         1.0f,       -1.0f,
                               1e-8f,     6e-8f,         2.98e-8f,   0x1p-25f,
                               0x3p-25f,  0x1p-24f,      6.1e-5f,    65504.0f,
                               65519.0f,  1.0009765625f, 0x1.004p0f, 0x1.00cp0f,
                               0x1.01p0f, 0x1.03p0f,     0x1p-130f,  0x1p-140f};
  for (int i = 0; i < 20000; ++i) {
    float value =
        std::ldexp(float(random()) / 0x1p32f + 0.5f, int(random() % 40) - 26);
    values.push_back(random() & 1 ? value : -value);
  }
  for (float value : values)
    for (Format format : {Format::BF16, Format::F16}) {
      if (format == Format::F16 && std::fabs(value) >= 65520)
        continue;
      bool good = false;
      uint16_t bits = oneBits(format, value, &good);
      ASSERT_TRUE(good) << value;
      ASSERT_EQ(decode(format, reinterpret_cast<uint8_t *>(&bits)),
                nearest(format, value))
          << formatName(format) << " of " << value;
      ASSERT_EQ((bits & 0x8000) != 0, std::signbit(value));
    }
}

TEST(Convert, KeepsEveryFiniteHalfThroughF32) {
  for (Format format : {Format::BF16, Format::F16})
    for (uint32_t i = 0; i < 0x10000; ++i) {
      uint16_t bits = uint16_t(i), back = 0;
      float value = 0;
      auto *in = reinterpret_cast<uint8_t *>(&bits);
      double want = decode(format, in);
      bool good = convert(format, in, Format::F32,
                          reinterpret_cast<uint8_t *>(&value), 1);
      ASSERT_EQ(good, std::isfinite(want)) << i;
      if (!good)
        continue;
      ASSERT_EQ(double(value), want) << i;
      ASSERT_TRUE(convert(Format::F32, reinterpret_cast<uint8_t *>(&value),
                          format, reinterpret_cast<uint8_t *>(&back), 1));
      ASSERT_EQ(back, bits);
    }
}

TEST(Convert, ReportsWhatHasNoFiniteValue) {
  const float inf = std::numeric_limits<float>::infinity();
  const float quiet = std::numeric_limits<float>::quiet_NaN();
  const float allOnes = std::bit_cast<float>(0x7fffffffu);
  for (Format to : formats)
    for (float bad : {inf, -inf, quiet, -quiet, allOnes, -allOnes})
      for (int64_t n : {1, 7, 511, 512, 513, 1300})
        for (int64_t at : {int64_t(0), n / 2, n - 1}) {
          std::vector<float> in(n, 0.5f);
          std::vector<float> out(n);
          in[at] = bad;
          auto *from = reinterpret_cast<uint8_t *>(in.data());
          ASSERT_FALSE(convert(Format::F32, from, to,
                               reinterpret_cast<uint8_t *>(out.data()), n));
          ASSERT_EQ(findBad(Format::F32, from, to, n), at);
        }
  bool good = true;
  oneBits(Format::F16, 65520.0f, &good);
  EXPECT_FALSE(good);
  oneBits(Format::F16, 65519.996f, &good);
  EXPECT_TRUE(good);
  oneBits(Format::F16, -1e9f, &good);
  EXPECT_FALSE(good);
  oneBits(Format::BF16, std::numeric_limits<float>::max(), &good);
  EXPECT_FALSE(good);
  EXPECT_EQ(findBad(Format::F32, reinterpret_cast<const uint8_t *>(&inf),
                    Format::F32, 0),
            -1);
}

struct Shape {
  int64_t rows, columns;
  Panels panels;
};

class Layouts : public testing::TestWithParam<std::tuple<Format, Format, int>> {
};

const Shape shapes[] = {
    {1, 1, {1, 1, false}},       {5, 7, {1, 1, false}},
    {6, 8, {1, 4, false}},       {12, 10, {4, 2, false}},
    {12, 9, {4, 3, false}},      {64, 96, {16, 2, false}},
    {64, 96, {16, 1, false}},    {64, 96, {64, 4, false}},
    {2049, 3, {2049, 1, false}}, {6, 5, {2, 1, false}},
    {10, 6, {10, 2, false}},     {96, 1030, {32, 2, false}},
    {33, 64, {11, 8, false}},    {8, 6, {2, 2, true}},
    {96, 20, {16, 2, true}},     {40, 12, {8, 1, true}},
    {300, 1540, {150, 4, true}}, {14, 6, {14, 3, true}},
    {258, 16, {258, 16, false}}, {20, 1100, {4, 1100, false}}};

TEST_P(Layouts, MatchTheDefinition) {
  auto [fromFormat, toFormat, index] = GetParam();
  const Shape &shape = shapes[index];
  const Panels &panels = shape.panels;
  // Three stacked pieces of uneven sizes, at odd addresses.
  std::vector<int64_t> cuts = {0, shape.rows / 3, shape.rows / 3 + 1,
                               shape.rows};
  std::mt19937 random(index);
  int64_t fromBytes = formatBytes(fromFormat), toBytes = formatBytes(toFormat);
  std::vector<std::vector<uint8_t>> data;
  Matrix matrix;
  matrix.columns = shape.columns;
  for (int i = 0; i < 3; ++i) {
    int64_t n = (cuts[i + 1] - cuts[i]) * shape.columns;
    std::vector<uint8_t> &piece = data.emplace_back(n * fromBytes + 1);
    for (int64_t e = 0; e < n; ++e) {
      float value = float(int32_t(random())) / 0x1p31f;
      convert(Format::F32, reinterpret_cast<uint8_t *>(&value), fromFormat,
              piece.data() + 1 + e * fromBytes, 1);
    }
  }
  for (int i = 0; i < 3; ++i)
    matrix.pieces.push_back(
        {data[i].data() + 1, cuts[i + 1] - cuts[i], fromFormat});
  ASSERT_EQ(matrix.rows(), shape.rows);

  // Element [row][column] at its place by the documented order.
  std::vector<uint8_t> want(shape.rows * shape.columns * toBytes);
  int64_t place = 0, halfPanel = panels.rows / 2;
  for (int64_t panel = 0; panel < shape.rows / panels.rows; ++panel)
    for (int64_t group = 0; group < shape.columns / panels.depth; ++group)
      for (int64_t r = 0; r < panels.rows; ++r)
        for (int64_t d = 0; d < panels.depth; ++d, ++place) {
          int64_t row = panel * panels.rows + r;
          if (panels.halves)
            row = r / halfPanel * (shape.rows / 2) + panel * halfPanel +
                  r % halfPanel;
          int piece = row >= cuts[2] ? 2 : row >= cuts[1] ? 1 : 0;
          int64_t element =
              (row - cuts[piece]) * shape.columns + group * panels.depth + d;
          convert(fromFormat, matrix.pieces[piece].data + element * fromBytes,
                  toFormat, want.data() + place * toBytes, 1);
        }

  for (int64_t partBytes : {int64_t(1), int64_t(300), int64_t(1) << 30}) {
    std::vector<uint8_t> found(want.size(), 0xee);
    int64_t offset = 0;
    for (const Part &part :
         partition(panels, shape.rows, shape.columns, toFormat, partBytes)) {
      std::vector<uint8_t> bytes(part.elements(panels) * toBytes);
      ASSERT_FALSE(packPart(matrix, panels, toFormat, part, bytes.data()));
      ASSERT_LE(offset + bytes.size(), found.size());
      std::memcpy(found.data() + offset, bytes.data(), bytes.size());
      offset += int64_t(bytes.size());
    }
    ASSERT_EQ(offset, int64_t(want.size()));
    ASSERT_EQ(found, want) << "parts of " << partBytes;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, Layouts,
    testing::Combine(testing::ValuesIn(formats), testing::ValuesIn(formats),
                     testing::Range(0, int(std::size(shapes)))));

TEST(PackPart, NamesTheBadElement) {
  std::vector<float> a(6 * 8, 1.0f), b(10 * 8, 1.0f);
  b[3 * 8 + 5] = 1e6f;
  Matrix matrix;
  matrix.columns = 8;
  matrix.pieces = {{reinterpret_cast<uint8_t *>(a.data()), 6, Format::F32},
                   {reinterpret_cast<uint8_t *>(b.data()), 10, Format::F32}};
  std::vector<uint8_t> out(16 * 8 * 4);
  for (Panels panels : {Panels{1, 1}, Panels{4, 2}, Panels{8, 1, true}}) {
    Part all{0, 16 / panels.rows, 0, 8 / panels.depth};
    auto bad = packPart(matrix, panels, Format::F16, all, out.data());
    ASSERT_TRUE(bad);
    EXPECT_EQ(bad->piece, 1u);
    EXPECT_EQ(bad->index, 3 * 8 + 5);
    EXPECT_EQ(bad->value, 1e6f);
    EXPECT_FALSE(packPart(matrix, panels, Format::BF16, all, out.data()));
  }
}

TEST(Rope, TableIsAccurate) {
  std::vector<float> frequencies = ropeInverseFrequencies(1e6, 64);
  ASSERT_EQ(frequencies.size(), 32u);
  EXPECT_EQ(frequencies[0], 1.0f);
  for (int i = 0; i < 32; ++i)
    EXPECT_NEAR(frequencies[i], std::pow(1e6, -2.0 * i / 64),
                1.5e-7 * frequencies[i]);
  std::vector<float> rows(2 * 64);
  ropeRows(frequencies, 4094, 4096, rows.data());
  for (int r = 0; r < 2; ++r)
    for (int i = 0; i < 32; ++i) {
      float angle = float(4094 + r) * frequencies[i];
      EXPECT_NEAR(rows[r * 64 + i], std::cos(double(angle)), 6e-8);
      EXPECT_NEAR(rows[r * 64 + 32 + i], std::sin(double(angle)), 6e-8);
    }
}

} // namespace
