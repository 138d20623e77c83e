// SPDX-License-Identifier: Apache-2.0
//
// A program that keeps what its linears and experts multiply, for calibration.
#ifndef LFMC_PASSES_CALIBRATE_OBSERVEINPUTS_H
#define LFMC_PASSES_CALIBRATE_OBSERVEINPUTS_H

#include "mlir/IR/BuiltinOps.h"

#include <string>

namespace lfmc {

/// For every linear of @prefill but routers, and every lfm2.experts, with
/// weight
/// @w: declares a state observedState("w") of [max_tokens, 1, K] f32 and writes
/// the rows that it multiplies, its norm included, into it, each at its token's
/// position. A row of the second lfm2.experts of a layer holds those of all
/// slots. The other functions stay as they are. For `module` between lfmc-graph
/// and lfmc-kernel. Fails, with a diagnostic, if there is no @prefill, a weight
/// is no lfm2.param, or a state's symbol is taken.
mlir::LogicalResult observeInputs(mlir::ModuleOp module);

/// The state that keeps the rows which meet `weight`.
std::string observedState(llvm::StringRef weight);

} // namespace lfmc

#endif // LFMC_PASSES_CALIBRATE_OBSERVEINPUTS_H
