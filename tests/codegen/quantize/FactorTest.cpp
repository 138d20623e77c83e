// SPDX-License-Identifier: Apache-2.0
#include "codegen/quantize/Factor.h"

#include "Inputs.h"

#include <gtest/gtest.h>

using namespace lfmc;

namespace {

TEST(Factor, IsTheRootOfTheInverse) {
  constexpr int64_t n = 100;
  std::vector<float> rows = correlatedRows(400, n, 3), h(n * n);
  for (int64_t t = 0; t < 400; ++t)
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j)
        h[i * n + j] += rows[t * n + i] * rows[t * n + j] / 400;
  std::vector<float> f = inverseFactor(h.data(), n);
  ASSERT_EQ(f.size(), size_t(n * n));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = i + 1; j < n; ++j)
      ASSERT_EQ(f[i * n + j], 0.0f);
  // Fᵀ H F is the identity.
  std::vector<double> product(n * n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < n; ++k)
      for (int64_t j = 0; j < n; ++j)
        product[i * n + j] += double(h[i * n + k]) * f[k * n + j];
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < n; ++k)
        sum += f[k * n + i] * product[k * n + j];
      ASSERT_NEAR(sum, i == j, 2e-3) << i << ' ' << j;
    }
}

TEST(Factor, RefusesWhatHasNone) {
  std::vector<float> identity = {1, 0, 0, 1};
  EXPECT_EQ(inverseFactor(identity.data(), 2), identity);
  for (std::vector<float> h : {std::vector<float>{1, 2, 2, 1},
                               {0, 0, 0, 1},
                               {-1, 0, 0, 1},
                               {1, 0, NAN, 1},
                               {INFINITY, 0, 0, 1}})
    EXPECT_TRUE(inverseFactor(h.data(), 2).empty()) << h[0] << ' ' << h[2];
}

} // namespace
