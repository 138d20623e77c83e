// SPDX-License-Identifier: Apache-2.0
//
// The linear algebra of error feedback.
#ifndef LFMC_CODEGEN_QUANTIZE_FACTOR_H
#define LFMC_CODEGEN_QUANTIZE_FACTOR_H

#include <cstdint>
#include <vector>

namespace lfmc {

/// For a symmetric positive definite H, [n][n] row-major: the lower triangular
/// F, [n][n], with inverse(H) = F Fᵀ. (It is the transpose of GPTQ's upper
/// Cholesky factor.) Empty if H has an element that is not finite or is not
/// positive definite.
std::vector<float> inverseFactor(const float *h, int64_t n);

} // namespace lfmc

#endif // LFMC_CODEGEN_QUANTIZE_FACTOR_H
