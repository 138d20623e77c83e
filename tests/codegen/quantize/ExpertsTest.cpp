// SPDX-License-Identifier: Apache-2.0
//
// Each of the experts stacked in a weight is quantized by what it reads.
#include "codegen/quantize/Experts.h"

#include "Inputs.h"

#include <gtest/gtest.h>

#include <algorithm>

using namespace lfmc;
using namespace lfmc::pack;

namespace {

// Gates of all experts, then their up projections. Expert 2 sees too few
// tokens, expert 3 none.
constexpr int64_t experts = 4, expertRows = 24, columns = 1024 + 128;
constexpr int64_t rows = 2 * experts * expertRows, tokens = 600, slots = 2;
const Blocks blocks{32, 4};

/// Choices in which the tokens of expert 2 are one fewer than are enough.
std::vector<int32_t> choices() {
  std::vector<int32_t> chosen;
  for (int64_t t = 0; t < tokens; ++t) {
    chosen.push_back(t % 3 ? 0 : 1);
    chosen.push_back(t < Calibration::leastTokens - 1 ? 2 : -1);
  }
  return chosen;
}

/// Rows of the tokens, or of all slots: those of an expert are large in columns
/// that another's are small in.
std::vector<float> inputRows(const std::vector<int32_t> &chosen, bool own) {
  std::vector<float> all =
      correlatedRows(own ? tokens * slots : tokens, columns, 21);
  std::vector<float> sizes = normalValues(experts * columns, 22);
  for (size_t i = 0; i < all.size(); ++i) {
    size_t row = i / columns;
    int32_t expert = chosen[own ? row : row * slots];
    if (expert >= 0)
      all[i] *= std::exp(sizes[expert * columns + i % columns]);
  }
  return all;
}

class ExpertQuantizers : public testing::TestWithParam<bool> {
protected:
  ExpertQuantizers() {
    Calibration::Input input{"w", columns, experts, expertRows, own};
    calibration = llvm::cantFail(Calibration::create({{"a", 64}, input}));
    for (int64_t part = 0; part < calibration->parts(1); ++part) {
      const int64_t first = 200; // in two pieces
      calibration->add(1, part, inputs.data(), first, chosen.data(), slots);
      calibration->add(1, part,
                       inputs.data() + first * columns * (own ? slots : 1),
                       tokens - first, chosen.data() + first * slots, slots);
    }
  }

  std::vector<float> rounded(QuantizerKind kind, bool calibrated = true) const {
    QuantizerChoice choice{kind, calibrated ? calibration : nullptr};
    std::vector<float> values = weight;
    EXPECT_EQ(roundRows(*makeQuantizer(choice, "w", columns, {}), values.data(),
                        rows, columns, blocks),
              -1);
    return values;
  }

  /// sum over the rows of expert `of` and the inputs of `by` of ((w - q) x)².
  double error(const std::vector<float> &values, int64_t of) const {
    double sum = 0;
    for (int64_t i = 0; i < tokens * slots; ++i) {
      if (chosen[i] != of)
        continue;
      const float *x = inputs.data() + (own ? i : i / slots) * columns;
      for (int64_t r = 0; r < rows; ++r) {
        if (r / expertRows % experts != of)
          continue;
        double y = 0;
        for (int64_t c = 0; c < columns; ++c)
          y += (double(weight[r * columns + c]) - values[r * columns + c]) *
               x[c];
        sum += y * y;
      }
    }
    return sum;
  }

  static void expectRows(const std::vector<float> &a,
                         const std::vector<float> &b, int64_t expert,
                         bool equal) {
    for (int64_t r = 0; r < rows; ++r)
      if (r / expertRows % experts == expert)
        ASSERT_EQ(std::equal(a.begin() + r * columns,
                             a.begin() + (r + 1) * columns,
                             b.begin() + r * columns),
                  equal)
            << r;
  }

  const bool own = GetParam();
  const std::vector<int32_t> chosen = choices();
  const std::vector<float> inputs = inputRows(chosen, own);
  const std::vector<float> weight = normalValues(rows * columns, 23, 0.05f);
  std::shared_ptr<Calibration> calibration;
};

TEST_P(ExpertQuantizers, WeighErrorsByWhatTheExpertReads) {
  std::vector<float> alone = rounded(QuantizerKind::Search, false);
  std::vector<float> search = rounded(QuantizerKind::Search);
  std::vector<float> gptq = rounded(QuantizerKind::Gptq);
  for (int64_t expert : {0, 1}) {
    EXPECT_LT(error(search, expert), 0.9 * error(alone, expert)) << expert;
    EXPECT_LT(error(gptq, expert), 0.5 * error(search, expert)) << expert;
  }
}

// By the other expert's inputs the error would be larger.
TEST_P(ExpertQuantizers, AreNotEachOthers) {
  Calibration::Input input{"w", columns, experts, expertRows, own};
  auto swapped = llvm::cantFail(Calibration::create({{"a", 64}, input}));
  std::vector<int32_t> others = chosen;
  for (int32_t &expert : others)
    if (expert == 0 || expert == 1)
      expert = 1 - expert;
  for (int64_t part = 0; part < swapped->parts(1); ++part)
    swapped->add(1, part, inputs.data(), tokens, others.data(), slots);
  std::vector<float> right = rounded(QuantizerKind::Gptq);
  calibration = std::move(swapped);
  std::vector<float> wrong = rounded(QuantizerKind::Gptq);
  for (int64_t expert : {0, 1})
    EXPECT_LT(error(right, expert), 0.8 * error(wrong, expert)) << expert;
}

TEST_P(ExpertQuantizers, WithTooFewTokensGoByTheWeights) {
  std::vector<float> alone = rounded(QuantizerKind::Search, false);
  for (QuantizerKind kind : {QuantizerKind::Search, QuantizerKind::Gptq}) {
    std::vector<float> values = rounded(kind);
    expectRows(values, alone, 0, false);
    expectRows(values, alone, 2, true);
    expectRows(values, alone, 3, true);
  }
  const int64_t few = Calibration::leastTokens - 1;
  EXPECT_EQ(calibration->expertTokens("w"),
            (std::vector<int64_t>{400, 200, few, 0}));
  EXPECT_TRUE(calibration->expertTokens("b").empty());
  // One more, and it counts.
  const std::vector<int32_t> more{2, 0};
  for (int64_t part = 0; part < calibration->parts(1); ++part)
    calibration->add(1, part, inputs.data(), 1, more.data(), slots);
  expectRows(rounded(QuantizerKind::Gptq), alone, 2, false);
}

// The packer takes rows in the order of panels: halves of gates and ups.
TEST_P(ExpertQuantizers, TakeRowsInAnyOrder) {
  std::vector<float> wanted = rounded(QuantizerKind::Gptq);
  auto quantizer =
      makeQuantizer({QuantizerKind::Gptq, calibration}, "w", columns, {});
  std::vector<int64_t> order;
  for (int64_t r = 0; r < rows / 2; r += 8)
    for (int64_t half : {int64_t(0), rows / 2})
      for (int64_t i = 0; i < 8; ++i)
        order.push_back(half + r + i);
  std::vector<float> values;
  for (int64_t row : order)
    values.insert(values.end(), weight.begin() + row * columns,
                  weight.begin() + (row + 1) * columns);
  std::vector<int8_t> codes(rows * columns);
  std::vector<BlockScale> scales(rows * columns / blocks.block);
  ASSERT_EQ(quantizeRows(*quantizer, order, values.data(), columns, blocks,
                         codes.data(), scales.data()),
            -1);
  for (int64_t i = 0; i < rows * columns; ++i)
    ASSERT_EQ(blockValue(scales[i / blocks.block], codes[i]),
              wanted[order[i / columns] * columns + i % columns])
        << i;
}

INSTANTIATE_TEST_SUITE_P(Rows, ExpertQuantizers, testing::Bool(),
                         [](const auto &info) {
                           return info.param ? "OfTheirOwn" : "OfTheLayer";
                         });

// Scaling a quantizer is no worse than scaling its moments.
TEST(ScaledQuantizer, IsThatOfScaledMoments) {
  constexpr int64_t n = 128;
  std::vector<float> x = correlatedRows(300, n, 31);
  std::vector<float> factors = normalValues(n, 32, 0.7f), scaled = x;
  for (float &factor : factors)
    factor = std::exp(factor);
  for (size_t i = 0; i < x.size(); ++i)
    scaled[i] *= factors[i % n];
  auto calibration = llvm::cantFail(Calibration::create({{"x", n}, {"s", n}}));
  calibration->add(0, 0, x.data(), 300);
  calibration->add(1, 0, scaled.data(), 300);
  std::vector<float> weight = normalValues(8 * n, 33, 0.1f);
  auto error = [&](const RowQuantizer &quantizer) {
    std::vector<float> values = weight;
    EXPECT_EQ(roundRows(quantizer, values.data(), 8, n, blocks), -1);
    return outputError(weight, values, scaled, n);
  };
  auto base = makeFeedbackQuantizer(calibration->moments("x"));
  double before = error(*base), after = error(*base->scaled(factors));
  double wanted = error(*makeFeedbackQuantizer(calibration->moments("s")));
  EXPECT_LT(after, 1.1 * wanted); // the damping is another
  EXPECT_GT(before, 1.2 * wanted);
}

} // namespace
