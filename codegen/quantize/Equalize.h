// SPDX-License-Identifier: Apache-2.0
//
// Channels scaled so that blocks of weights and of activations hold values of a
// size: what a norm, a gate or a value projection makes large and the next
// matrix makes small again costs a block its other columns.
#ifndef LFMC_CODEGEN_QUANTIZE_EQUALIZE_H
#define LFMC_CODEGEN_QUANTIZE_EQUALIZE_H

#include "codegen/quantize/Calibration.h"
#include "frontend/Checkpoint.h"

#include "mlir/IR/BuiltinOps.h"

namespace lfmc {

/// The factors of channels whose inputs have root mean square `inputs` and
/// whose columns in the matrices have root mean square `weights`: weights are
/// multiplied, inputs divided. A factor is input^a / weight^(1 - a) with a =
/// 0.2, up to a common one: the product p of both, which no scaling changes, is
/// split between weights, p^0.2, and inputs, p^0.8. The result is the same
/// however channels were scaled before. 1 where either is 0.
std::vector<float> channelFactors(llvm::ArrayRef<double> inputs,
                                  llvm::ArrayRef<double> weights);

/// Chooses factors for all scalable channels of `module` (passes/quantize/
/// Channels.h) whose readers `calibration` knows and sets them on the weights.
/// The model's function stays the same. Reads at most some hundred rows of each
/// matrix. Returns how many sets of channels were scaled.
llvm::Expected<int64_t> equalizeChannels(mlir::ModuleOp module,
                                         const Checkpoint &checkpoint,
                                         const Calibration &calibration);

} // namespace lfmc

#endif // LFMC_CODEGEN_QUANTIZE_EQUALIZE_H
