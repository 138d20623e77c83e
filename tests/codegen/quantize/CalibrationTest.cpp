// SPDX-License-Identifier: Apache-2.0
#include "codegen/quantize/Calibration.h"

#include "Inputs.h"

#include <gtest/gtest.h>

using namespace lfmc;

namespace {

// Two groups, the second of 96 columns.
constexpr int64_t columns = 1024 + 96;

TEST(Calibration, SumsOuterProductsByGroup) {
  auto calibration =
      llvm::cantFail(Calibration::create({{"a", 64}, {"b", columns}}));
  ASSERT_EQ(calibration->parts(0), 1);
  ASSERT_EQ(calibration->parts(1), 2);
  std::vector<float> rows = correlatedRows(37, columns, 5);
  for (int64_t group = 0; group < 2; ++group) { // in two pieces
    calibration->add(1, group, rows.data(), 20);
    calibration->add(1, group, rows.data() + 20 * columns, 17);
  }
  InputMoments moments = calibration->moments("b");
  ASSERT_EQ(moments.groups.size(), 2u);
  EXPECT_EQ(moments.columns(), columns);
  for (const InputMoments::Group &group : moments.groups)
    for (int64_t i = 0; i < group.size; i += 13)
      for (int64_t j = 0; j <= i; ++j) {
        double sum = 0, size = 0;
        for (int64_t t = 0; t < 37; ++t) {
          double term = double(rows[t * columns + group.first + i]) *
                        rows[t * columns + group.first + j];
          sum += term;
          size += std::fabs(term);
        }
        ASSERT_NEAR(group.matrix[i * group.size + j], sum, 1e-5 * size)
            << group.first << ' ' << i << ' ' << j;
        if (i == j)
          ASSERT_EQ(moments.diagonal(group.first + i),
                    group.matrix[i * group.size + i]);
      }
  // The other input has got none, an unknown one has none.
  EXPECT_EQ(calibration->moments("a").diagonal(3), 0);
  EXPECT_TRUE(calibration->moments("c").groups.empty());
}

TEST(Calibration, DividesTheDiagonal) {
  auto calibration = llvm::cantFail(Calibration::create({{"a", 32}}));
  std::vector<float> row(32, 3.0f), divisors(32, 1.0f);
  divisors[7] = 2;
  calibration->add(0, 0, row.data(), 1);
  InputMoments moments = calibration->moments("a", divisors);
  EXPECT_EQ(moments.diagonal(6), 9);
  EXPECT_EQ(moments.diagonal(7), 2.25f);
}

TEST(Calibration, NamesWhatIsNotFinite) {
  auto calibration =
      llvm::cantFail(Calibration::create({{"a", 32}, {"b", 32}}));
  EXPECT_EQ(calibration->notFinite(), "");
  std::vector<float> row(32, 1.0f);
  row[5] = 1e30f; // its square is infinite
  calibration->add(1, 0, row.data(), 1);
  EXPECT_EQ(calibration->notFinite(), "b");
}

TEST(Calibration, RefusesOtherWidths) {
  for (int64_t width : {0, 40, 31}) {
    auto calibration = Calibration::create({{"a", width}});
    ASSERT_FALSE(bool(calibration));
    std::string message = llvm::toString(calibration.takeError());
    EXPECT_NE(message.find("@a"), std::string::npos) << message;
    EXPECT_NE(message.find("found " + std::to_string(width)), std::string::npos)
        << message;
  }
  auto none = Calibration::create({});
  EXPECT_FALSE(bool(none));
  llvm::consumeError(none.takeError());
}

} // namespace
