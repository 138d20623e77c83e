// SPDX-License-Identifier: Apache-2.0
#include "codegen/quantize/Factor.h"

#include "codegen/pack/Simd.h"

#include <algorithm>
#include <cmath>

namespace lfmc {
namespace {

// Rows whose turn is taken together, while they are in a near cache.
constexpr int64_t together = 8;

// to[i] -= factors[0] * from[i], then the same of the next row of `from`, and
// so on.
LFMC_SIMD void subtract(double *to, const double *from, int64_t stride,
                        const double *factors, int64_t rows, int64_t n) {
  if (rows < together) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < n; ++i)
        to[i] -= factors[r] * from[r * stride + i];
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    double sum = to[i];
    for (int64_t r = 0; r < together; ++r)
      sum -= factors[r] * from[r * stride + i];
    to[i] = sum;
  }
}

// Replaces the upper triangle of a by u, a = uᵀ u.
bool cholesky(double *a, int64_t n) {
  for (int64_t first = 0; first < n; first += together) {
    const int64_t end = std::min(first + together, n);
    for (int64_t k = first; k < end; ++k) {
      double *row = a + k * n;
      if (!(row[k] > 0) || !std::isfinite(row[k]))
        return false;
      double root = std::sqrt(row[k]);
      for (int64_t j = k; j < n; ++j)
        row[j] /= root;
      for (int64_t i = k + 1; i < end; ++i)
        subtract(a + i * n + i, row + i, n, row + i, 1, n - i);
    }
    for (int64_t i = end; i < n; ++i) {
      double factors[together];
      for (int64_t k = first; k < end; ++k)
        factors[k - first] = a[k * n + i];
      subtract(a + i * n + i, a + first * n + i, n, factors, end - first,
               n - i);
    }
  }
  return true;
}

// Rows [first, first + together) of the inverse of the upper triangular u, or
// what there is of them, from column `first` on; `rows` have its pitch.
void inverseRows(const double *u, int64_t n, int64_t first, double *rows) {
  const int64_t count = std::min(together, n - first);
  for (int64_t r = 0; r < count; ++r)
    for (int64_t j = first; j < n; ++j)
      rows[r * n + j] = j == first + r;
  for (int64_t k = first; k < n; k += together) {
    const int64_t end = std::min(k + together, n);
    for (int64_t r = 0; r < count; ++r) {
      double *row = rows + r * n;
      for (int64_t i = k; i < end; ++i) {
        row[i] /= u[i * n + i];
        for (int64_t j = i + 1; j < end; ++j)
          row[j] -= row[i] * u[i * n + j];
      }
      subtract(row + end, u + k * n + end, n, row + k, end - k, n - end);
    }
  }
}

} // namespace

std::vector<float> inverseFactor(const float *h, int64_t n) {
  // The order is reversed: with h reversed = uᵀ u, the inverse of u, reversed
  // and transposed, is the factor that feeds errors to later columns.
  std::vector<double> a(n * n), rows(together * n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = i; j < n; ++j)
      a[i * n + j] = h[(n - 1 - i) * n + n - 1 - j];
  if (!cholesky(a.data(), n))
    return {};
  std::vector<float> factor(n * n);
  for (int64_t first = 0; first < n; first += together) {
    inverseRows(a.data(), n, first, rows.data());
    for (int64_t i = first; i < std::min(first + together, n); ++i)
      for (int64_t j = i; j < n; ++j)
        factor[(n - 1 - i) * n + n - 1 - j] = float(rows[(i - first) * n + j]);
  }
  return factor;
}

} // namespace lfmc
