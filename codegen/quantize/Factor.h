// SPDX-License-Identifier: Apache-2.0
//
// The linear algebra of error feedback.
#ifndef LFMC_CODEGEN_QUANTIZE_FACTOR_H
#define LFMC_CODEGEN_QUANTIZE_FACTOR_H

#include <cstdint>
#include <vector>

namespace lfmc {

/// For a symmetric positive semidefinite H, [n][n] row-major, of which the
/// lower triangle is read: the lower triangular F, [n][n], with inverse(H +
/// damping * mean(diag H) * I) = F Fᵀ. (It is the transpose of GPTQ's upper
/// Cholesky factor.) Rows and columns of H that are zero count as unrelated to
/// all others. Empty if H has an element that is not finite or is not positive
/// semidefinite.
std::vector<float> inverseFactor(const float *h, int64_t n, double damping);

} // namespace lfmc

#endif // LFMC_CODEGEN_QUANTIZE_FACTOR_H
