// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_TESTS_CODEGEN_QUANTIZE_INPUTS_H
#define LFMC_TESTS_CODEGEN_QUANTIZE_INPUTS_H

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace lfmc {

inline std::vector<float> normalValues(int64_t n, unsigned seed,
                                       float deviation = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(n);
  for (float &value : values)
    value = normal(random);
  return values;
}

/// Rows [n][columns] whose columns depend on their neighbours and have sizes
/// that differ by some ten.
inline std::vector<float> correlatedRows(int64_t n, int64_t columns,
                                         unsigned seed) {
  std::vector<float> rows = normalValues(n * columns, seed);
  std::vector<float> sizes = normalValues(columns, seed + 1, 0.8f);
  for (int64_t t = 0; t < n; ++t)
    for (int64_t c = 1; c < columns; ++c)
      rows[t * columns + c] =
          0.8f * rows[t * columns + c - 1] + 0.6f * rows[t * columns + c];
  for (int64_t t = 0; t < n; ++t)
    for (int64_t c = 0; c < columns; ++c)
      rows[t * columns + c] *= std::exp(sizes[c]);
  return rows;
}

/// sum over the rows x of `inputs` and w of `a` and `b` of ((w_a - w_b) x)².
inline double outputError(const std::vector<float> &a,
                          const std::vector<float> &b,
                          const std::vector<float> &inputs, size_t columns) {
  double sum = 0;
  for (size_t t = 0; t < inputs.size(); t += columns)
    for (size_t r = 0; r < a.size(); r += columns) {
      double y = 0;
      for (size_t c = 0; c < columns; ++c)
        y += (double(a[r + c]) - b[r + c]) * inputs[t + c];
      sum += y * y;
    }
  return sum;
}

} // namespace lfmc

#endif // LFMC_TESTS_CODEGEN_QUANTIZE_INPUTS_H
