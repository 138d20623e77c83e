// SPDX-License-Identifier: Apache-2.0
//
// Factors of a weight: numbers that multiply what its source holds before it is
// stored, one for each row or column (source * row * column). They are
// attributes of `lfm2.weight` that most weights lack:
//
//   lfm2.weight @w : … = … {lfm2.row_factors = array<f32: 2.0, 0.5>}
//
// Constraints, checked by the op's verifier: (C1) positive and finite; (C2) one
// for each row, or column; (C3) of a vector or a quantized matrix, with an
// #lfm2.source.
#ifndef LFMC_DIALECTS_LFM2_FACTORS_H
#define LFMC_DIALECTS_LFM2_FACTORS_H

#include "dialects/lfm2/Lfm2.h"

namespace lfmc::lfm2 {

inline constexpr llvm::StringLiteral rowFactorsName = "lfm2.row_factors";
inline constexpr llvm::StringLiteral columnFactorsName = "lfm2.column_factors";

/// Empty: all 1.
inline llvm::ArrayRef<float> factorsOf(WeightOp weight, llvm::StringRef name) {
  auto factors = weight->getAttrOfType<mlir::DenseF32ArrayAttr>(name);
  return factors ? factors.asArrayRef() : llvm::ArrayRef<float>();
}
inline llvm::ArrayRef<float> rowFactors(WeightOp weight) {
  return factorsOf(weight, rowFactorsName);
}
inline llvm::ArrayRef<float> columnFactors(WeightOp weight) {
  return factorsOf(weight, columnFactorsName);
}

} // namespace lfmc::lfm2

#endif // LFMC_DIALECTS_LFM2_FACTORS_H
