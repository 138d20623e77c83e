// SPDX-License-Identifier: Apache-2.0
#include "codegen/quantize/Search.h"

#include "codegen/quantize/Calibration.h"

#include "Inputs.h"

#include <gtest/gtest.h>

using namespace lfmc;
using namespace lfmc::pack;

namespace {

// Two groups of columns, more rows than lanes, not a multiple of them.
constexpr int64_t columns = 1024 + 128, rows = 37, samples = 700;

class Quantizers : public testing::TestWithParam<Blocks> {
protected:
  static void SetUpTestSuite() {
    inputs = correlatedRows(samples, columns, 11);
    calibration = llvm::cantFail(Calibration::create({{"w", columns}}));
    for (int64_t group = 0; group < 2; ++group)
      calibration->add(0, group, inputs.data(), samples);
    weight = normalValues(rows * columns, 12, 0.05f);
  }
  static void TearDownTestSuite() { calibration.reset(); }

  static std::unique_ptr<RowQuantizer> make(QuantizerKind kind) {
    return makeQuantizer({kind, calibration}, "w", columns, {});
  }
  double errorOf(QuantizerKind kind) {
    std::vector<float> rounded = weight;
    EXPECT_EQ(roundRows(*make(kind), rounded.data(), rows, columns, GetParam()),
              -1);
    return outputError(weight, rounded, inputs, columns);
  }

  static std::vector<float> inputs, weight;
  static std::shared_ptr<Calibration> calibration;
};
std::vector<float> Quantizers::inputs, Quantizers::weight;
std::shared_ptr<Calibration> Quantizers::calibration;

TEST_P(Quantizers, EachIsBetterThanTheSimplerOne) {
  double nearest = errorOf(QuantizerKind::Nearest);
  double search = errorOf(QuantizerKind::Search);
  double gptq = errorOf(QuantizerKind::Gptq);
  EXPECT_LT(search, nearest);
  // Correlated inputs are what feedback lives on.
  EXPECT_LT(gptq, 0.5 * search);
}

TEST_P(Quantizers, ARowDoesNotDependOnItsCompany) {
  const Blocks &blocks = GetParam();
  const int64_t perRow = columns / blocks.block;
  for (QuantizerKind kind : {QuantizerKind::Search, QuantizerKind::Gptq}) {
    auto quantizer = make(kind);
    std::vector<float> values = weight;
    std::vector<int8_t> codes(rows * columns), alone(columns);
    std::vector<BlockScale> scales(rows * perRow), itsScales(perRow);
    ASSERT_EQ(quantizer->quantize(values.data(), rows, columns, blocks,
                                  codes.data(), scales.data()),
              -1);
    for (int64_t row : {int64_t(0), int64_t(20), rows - 1}) {
      values = weight;
      ASSERT_EQ(quantizer->quantize(values.data() + row * columns, 1, columns,
                                    blocks, alone.data(), itsScales.data()),
                -1);
      EXPECT_TRUE(
          std::equal(alone.begin(), alone.end(), codes.begin() + row * columns))
          << row;
      for (int64_t b = 0; b < perRow; ++b) {
        EXPECT_EQ(itsScales[b].scale, scales[row * perRow + b].scale);
        EXPECT_EQ(itsScales[b].minimum, scales[row * perRow + b].minimum);
      }
    }
  }
}

TEST_P(Quantizers, CodesStayInRange) {
  const Blocks &blocks = GetParam();
  std::vector<float> values = weight;
  std::vector<int8_t> codes(rows * columns);
  std::vector<BlockScale> scales(rows * columns / blocks.block);
  make(QuantizerKind::Gptq)
      ->quantize(values.data(), rows, columns, blocks, codes.data(),
                 scales.data());
  int middle = 1 << (blocks.bits - 1);
  int low = blocks.minimum ? 0 : blocks.bits == 8 ? -127 : -middle;
  int high = blocks.minimum ? 15 : middle - 1;
  auto [least, most] = std::minmax_element(codes.begin(), codes.end());
  EXPECT_GE(*least, low);
  EXPECT_LE(*most, high);
  EXPECT_LT(*least, (low + high) / 2);
  EXPECT_GT(*most, (low + high) / 2);
}

// Moments of another width say nothing.
TEST_P(Quantizers, AForeignCalibrationCountsAsNone) {
  std::vector<float> narrow = normalValues(2 * 128, 3, 0.05f), plain = narrow;
  auto quantizer =
      makeQuantizer({QuantizerKind::Gptq, calibration}, "w", 128, {});
  ASSERT_EQ(roundRows(*quantizer, narrow.data(), 2, 128, GetParam()), -1);
  ASSERT_EQ(roundRows(*makeSearchQuantizer(nullptr), plain.data(), 2, 128,
                      GetParam()),
            -1);
  EXPECT_EQ(narrow, plain);
}

INSTANTIATE_TEST_SUITE_P(Kinds, Quantizers,
                         testing::Values(Blocks{32, 4}, Blocks{64, 4},
                                         Blocks{128, 4}, Blocks{32, 4, true},
                                         Blocks{64, 4, true}, Blocks{32, 6},
                                         Blocks{64, 6}, Blocks{32, 8},
                                         Blocks{128, 8}));

//===----------------------------------------------------------------------===//
// Hostile values
//===----------------------------------------------------------------------===//

/// Moments of 64 columns that are all `value`.
InputMoments constantMoments(const std::vector<float> &matrix) {
  InputMoments moments;
  moments.groups.push_back({0, 64, matrix.data()});
  return moments;
}

TEST(HostileMoments, StillGiveUsableCodes) {
  std::vector<float> weight = normalValues(64, 4, 0.1f), nearest = weight;
  Blocks blocks{32, 4};
  ASSERT_EQ(roundRows(NearestQuantizer(), nearest.data(), 1, 64, blocks), -1);
  double limit = 0;
  for (int64_t i = 0; i < 64; ++i)
    limit += std::pow(weight[i] - nearest[i], 2);
  // All zero (no token), all one (singular), NaN, infinite, indefinite.
  for (float value : {0.0f, 1.0f, NAN, INFINITY, -1.0f}) {
    std::vector<float> matrix(64 * 64, value), rounded = weight;
    auto quantizer = makeFeedbackQuantizer(constantMoments(matrix));
    ASSERT_EQ(roundRows(*quantizer, rounded.data(), 1, 64, blocks), -1);
    double plain = 0, sum = 0;
    for (int64_t i = 0; i < 64; ++i) {
      ASSERT_TRUE(std::isfinite(rounded[i])) << value;
      plain += std::pow(weight[i] - rounded[i], 2);
      sum += weight[i] - rounded[i];
    }
    if (value == 1) // only the sum of a row is ever seen
      EXPECT_LT(std::fabs(sum), 0.02);
    else
      EXPECT_LE(plain, limit) << value;
  }
}

TEST(HostileValues, ZerosAndTinyOnesStaySmall) {
  std::vector<float> matrix(64 * 64);
  for (int64_t i = 0; i < 64; ++i)
    matrix[i * 65] = 1;
  auto gptq = makeFeedbackQuantizer(constantMoments(matrix));
  auto search = makeSearchQuantizer(nullptr);
  for (float value : {0.0f, 1e-30f, -1e-42f, 1e-7f})
    for (Blocks blocks :
         {Blocks{32, 4}, Blocks{32, 4, true}, Blocks{64, 6}, Blocks{32, 8}})
      for (const RowQuantizer *quantizer : {gptq.get(), search.get()}) {
        std::vector<float> rounded(2 * 64, value);
        ASSERT_EQ(roundRows(*quantizer, rounded.data(), 2, 64, blocks), -1);
        for (float result : rounded)
          ASSERT_NEAR(result, value, 1.2e-7) << value;
      }
}

TEST(HostileValues, OneTooLargeForF16IsNamed) {
  std::vector<float> matrix(64 * 64);
  for (int64_t i = 0; i < 64; ++i)
    matrix[i * 65] = 1;
  auto gptq = makeFeedbackQuantizer(constantMoments(matrix));
  std::vector<float> values(3 * 64, 0.5f);
  values[64 + 40] = 3e9f;
  std::vector<int8_t> codes(values.size());
  std::vector<BlockScale> scales(values.size() / 32);
  EXPECT_EQ(gptq->quantize(values.data(), 3, 64, {32, 4}, codes.data(),
                           scales.data()),
            64 + 40);
}

} // namespace
