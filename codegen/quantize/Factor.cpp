// SPDX-License-Identifier: Apache-2.0
#include "codegen/quantize/Factor.h"

#include "codegen/quantize/Simd.h"

#include <cmath>

namespace lfmc {
namespace {

// to[i] -= factor * from[i].
LFMC_SIMD void subtract(double *to, const double *from, double factor,
                        int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    to[i] -= factor * from[i];
}

// Replaces the upper triangle of a by u, a = uᵀ u.
bool cholesky(double *a, int64_t n) {
  for (int64_t k = 0; k < n; ++k) {
    double *row = a + k * n;
    if (!(row[k] > 0) || !std::isfinite(row[k]))
      return false;
    double root = std::sqrt(row[k]);
    for (int64_t j = k; j < n; ++j)
      row[j] /= root;
    for (int64_t i = k + 1; i < n; ++i)
      if (row[i] != 0)
        subtract(a + i * n + i, row + i, row[i], n - i);
  }
  return true;
}

// Row i of the inverse of the upper triangular u.
void inverseRow(const double *u, int64_t n, int64_t i, double *row) {
  for (int64_t j = i; j < n; ++j)
    row[j] = j == i;
  for (int64_t k = i; k < n; ++k) {
    row[k] /= u[k * n + k];
    subtract(row + k + 1, u + k * n + k + 1, row[k], n - k - 1);
  }
}

} // namespace

std::vector<float> inverseFactor(const float *h, int64_t n) {
  // The order is reversed: with h reversed = uᵀ u, the inverse of u, reversed
  // and transposed, is the factor that feeds errors to later columns.
  std::vector<double> a(n * n), row(n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = i; j < n; ++j)
      a[i * n + j] = h[(n - 1 - i) * n + n - 1 - j];
  if (!cholesky(a.data(), n))
    return {};
  std::vector<float> factor(n * n);
  for (int64_t i = 0; i < n; ++i) {
    inverseRow(a.data(), n, i, row.data());
    for (int64_t j = i; j < n; ++j)
      factor[(n - 1 - i) * n + n - 1 - j] = float(row[j]);
  }
  return factor;
}

} // namespace lfmc
