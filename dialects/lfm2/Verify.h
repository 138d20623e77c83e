// SPDX-License-Identifier: Apache-2.0
//
// What the verifiers of lfm2 ops share. Each check succeeds or emits an error
// at `op`. Private to the dialect.
#ifndef LFMC_DIALECTS_LFM2_VERIFY_H
#define LFMC_DIALECTS_LFM2_VERIFY_H

#include "dialects/lfm2/Lfm2.h"

#include <string>

namespace lfmc::lfm2::verifier {

/// Points at the declaration when `value` is a weight, so that an error about a
/// shape names the checkpoint tensor that brought it.
mlir::InFlightDiagnostic &&noteOrigin(mlir::InFlightDiagnostic &&diag,
                                      mlir::Value value);

/// The size, "?" if it is dynamic.
std::string dimText(int64_t dim);

/// `found` equals `wanted`; `origin` is the weight that wants it, if any.
mlir::LogicalResult verifyDim(mlir::Operation *op, const llvm::Twine &what,
                              int64_t found, int64_t wanted,
                              mlir::Value origin = {});

/// `value` is finite and above 0.
mlir::LogicalResult verifyPositive(mlir::Operation *op, llvm::StringRef name,
                                   const llvm::APFloat &value);

mlir::LogicalResult verifySameType(mlir::Operation *op, llvm::StringRef what,
                                   mlir::Type found, mlir::Type wanted);

} // namespace lfmc::lfm2::verifier

#endif // LFMC_DIALECTS_LFM2_VERIFY_H
