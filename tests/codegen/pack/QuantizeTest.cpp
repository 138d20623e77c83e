// SPDX-License-Identifier: Apache-2.0
#include "PackFixture.h"

#include "codegen/pack/RowQuantizer.h"

#include <cmath>
#include <random>

using namespace lfmc::pack;

namespace {

float halfValue(uint16_t bits) {
  return valueAt(Format::F16, reinterpret_cast<const uint8_t *>(&bits), 0);
}

std::vector<float> randomValues(size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.05f);
  std::vector<float> values(n);
  for (float &value : values)
    value = normal(random);
  return values;
}

TEST(Quantize, FourBitsAreThoseOfQ4_0) {
  // Largest by size is -0.8: scale 0.1, code of it -8.
  std::vector<float> values(32, 0.0f);
  values[3] = -0.8f;
  values[4] = 0.7f;
  values[5] = 0.26f;
  values[6] = 0.24f;
  values[7] = -0.04f;
  int8_t codes[32];
  BlockScale scale;
  ASSERT_TRUE(quantizeBlock(values.data(), {32, 4}, codes, scale));
  EXPECT_NEAR(halfValue(scale.scale), 0.1f, 1e-4);
  EXPECT_EQ(codes[3], -8);
  EXPECT_EQ(codes[4], 7);
  EXPECT_EQ(codes[5], 3);
  EXPECT_EQ(codes[6], 2);
  EXPECT_EQ(codes[7], 0);
  EXPECT_EQ(codes[0], 0);
}

TEST(Quantize, APositiveLargestGivesANegativeScale) {
  std::vector<float> values(32, 0.1f);
  values[9] = 1.6f;
  int8_t codes[32];
  BlockScale scale;
  ASSERT_TRUE(quantizeBlock(values.data(), {32, 4}, codes, scale));
  EXPECT_NEAR(halfValue(scale.scale), -0.2f, 2e-4);
  EXPECT_EQ(codes[9], -8);
}

TEST(Quantize, ErrorsStayWithinHalfAStep) {
  for (Blocks blocks : {Blocks{32, 8}, {64, 8}, {128, 8}, {32, 4}, {64, 4}})
    for (unsigned seed = 0; seed < 50; ++seed) {
      std::vector<float> values = randomValues(blocks.block, seed);
      int8_t codes[128];
      BlockScale scale;
      ASSERT_TRUE(quantizeBlock(values.data(), blocks, codes, scale));
      float step = std::fabs(halfValue(scale.scale));
      for (int64_t i = 0; i < blocks.block; ++i) {
        float error = std::fabs(values[i] - halfValue(scale.scale) * codes[i]);
        // 4 bits: code 8 is cut to 7, up to a whole step at that end.
        EXPECT_LE(error, step * (blocks.bits == 8 ? 0.57f : 1.01f));
        EXPECT_LE(std::abs(codes[i]), blocks.bits == 8 ? 127 : 8);
      }
    }
}

TEST(Quantize, ZerosAndTinyValuesGiveFiniteCodes) {
  for (float value : {0.0f, 1e-30f, -1e-42f}) {
    std::vector<float> values(32, value);
    for (int bits : {4, 8}) {
      int8_t codes[32];
      BlockScale scale;
      ASSERT_TRUE(quantizeBlock(values.data(), {32, bits}, codes, scale));
      for (int8_t code : codes)
        EXPECT_LE(std::abs(code), bits == 8 ? 127 : 8);
      EXPECT_NEAR(halfValue(scale.scale) * codes[0], 0, 1e-7);
    }
  }
}

TEST(Quantize, AScaleBeyondF16IsRefused) {
  std::vector<float> values(32, 1e9f);
  int8_t codes[32];
  BlockScale scale;
  EXPECT_FALSE(quantizeBlock(values.data(), {32, 8}, codes, scale));
}

/// Reads element [row][column] back from the documented layout.
float stored(const std::vector<uint8_t> &bytes, const Panels &panels,
             const Blocks &blocks, int64_t rows, int64_t columns, int64_t row,
             int64_t column) {
  if (panels.halves) {
    int64_t half = panels.rows / 2, top = rows / 2;
    bool second = row >= top;
    int64_t r = second ? row - top : row;
    row = r / half * panels.rows + r % half + (second ? half : 0);
  }
  int64_t panel = row / panels.rows, r = row % panels.rows;
  int64_t codeBytes = panels.rows * blocks.block * blocks.bits / 8;
  int64_t blockBytes = panels.rows * 2 + codeBytes;
  const uint8_t *at = bytes.data() +
                      panel * (columns / blocks.block) * blockBytes +
                      column / blocks.block * blockBytes;
  BlockScale scale;
  std::memcpy(&scale, at + 2 * r, 2);
  at += 2 * panels.rows;
  int64_t c = column % blocks.block, depth = panels.depth;
  if (blocks.bits == 8) {
    uint8_t byte = at[(c / depth * panels.rows + r) * depth + c % depth];
    EXPECT_FALSE(panels.raised && std::signbit(halfValue(scale.scale)));
    return halfValue(scale.scale) *
           (panels.raised ? byte - 128 : int(int8_t(byte)));
  }
  uint8_t byte = at[(c / (2 * depth) * panels.rows + r) * depth + c % depth];
  int code = (c / depth % 2 ? byte >> 4 : byte & 15) - 8;
  return halfValue(scale.scale) * code;
}

struct Case {
  int64_t rows, columns;
  Panels panels;
  Blocks blocks;
};

class QuantizedLayout : public testing::TestWithParam<Case> {};

TEST_P(QuantizedLayout, HoldsEveryRoundedElement) {
  auto [rows, columns, panels, blocks] = GetParam();
  std::vector<float> values = randomValues(rows * columns, 7);
  Matrix matrix;
  matrix.columns = columns;
  int64_t first = rows / 2;
  const uint8_t *data = reinterpret_cast<const uint8_t *>(values.data());
  matrix.pieces = {{data, first, Format::F32},
                   {data + first * columns * 4, rows - first, Format::F32}};
  std::vector<uint8_t> bytes(rows * blocks.bytes(columns));
  uint8_t *to = bytes.data();
  for (const Part &part :
       partitionQuantized(panels, rows, columns, blocks, 1000)) {
    EXPECT_FALSE(
        packQuantized(matrix, panels, blocks, NearestQuantizer(), part, to));
    to +=
        (part.endPanel - part.beginPanel) * panels.rows * blocks.bytes(columns);
  }
  EXPECT_EQ(to, bytes.data() + bytes.size());
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<int8_t> codes(columns);
    std::vector<BlockScale> scales(columns / blocks.block);
    ASSERT_FALSE(quantizeRows(matrix, {row}, blocks, NearestQuantizer(),
                              codes.data(), scales.data()));
    for (int64_t column = 0; column < columns; ++column)
      ASSERT_EQ(stored(bytes, panels, blocks, rows, columns, row, column),
                blockValue(scales[column / blocks.block], codes[column]))
          << row << ' ' << column;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, QuantizedLayout,
    testing::Values(Case{32, 64, {16, 4, false}, {32, 4}},
                    Case{32, 64, {16, 4, false}, {32, 8}},
                    Case{32, 128, {16, 4, true}, {64, 4}},
                    Case{24, 128, {8, 2, false}, {128, 8}},
                    Case{6, 96, {1, 1, false}, {32, 4}},
                    Case{12, 96, {4, 2, true}, {32, 8}},
                    Case{24, 64, {8, 4, true, true}, {32, 8}}));

/// Blocks of 8 bits whose scales are negative.
class NegativeQuantizer : public NearestQuantizer {
public:
  int64_t quantize(float *values, int64_t rows, int64_t columns,
                   const Blocks &blocks, int8_t *codes,
                   BlockScale *scales) const override {
    int64_t bad = NearestQuantizer::quantize(values, rows, columns, blocks,
                                             codes, scales);
    for (int64_t i = 0; i < rows * columns; ++i)
      codes[i] = int8_t(-codes[i]);
    for (int64_t i = 0; i < rows * columns / blocks.block; ++i)
      scales[i].scale ^= 0x8000;
    return bad;
  }
};

TEST(Quantize, RaisedCodesTakeTheSignOfTheirScale) {
  const std::vector<float> values = randomValues(8 * 32, 3);
  Matrix matrix;
  matrix.columns = 32;
  matrix.pieces = {
      {reinterpret_cast<const uint8_t *>(values.data()), 8, Format::F32}};
  const Panels panels{4, 4, false, true};
  const Blocks blocks{32, 8};
  std::vector<uint8_t> turned(8 * blocks.bytes(32)), plain(turned.size());
  const Part whole{0, 2, 0, 8};
  ASSERT_FALSE(packQuantized(matrix, panels, blocks, NegativeQuantizer(), whole,
                             turned.data()));
  ASSERT_FALSE(packQuantized(matrix, panels, blocks, NearestQuantizer(), whole,
                             plain.data()));
  EXPECT_EQ(turned, plain);
}

TEST_F(PackTest, NamesTheElementWhoseScaleIsTooLarge) {
  std::vector<float> values(4 * 32, 0.5f);
  values[2 * 32 + 5] = 3e8f;
  writeCheckpoint({{{"w", lfmc::DType::F32, {4, 32}}, values}});
  std::string message = pack(
      "lfm2.weight @w : tensor<4x32xf32, #lfm2.stored<q8 block 32, <rows = "
      "2, depth = 4>>> = #lfm2.source<\"w\"> at 16384");
  EXPECT_NE(message.find("'w'"), std::string::npos) << message;
  EXPECT_NE(message.find("element 300000000 at [2, 5]"), std::string::npos)
      << message;
  EXPECT_NE(message.find("too large to be stored as a scale of f16"),
            std::string::npos)
      << message;
}

} // namespace
