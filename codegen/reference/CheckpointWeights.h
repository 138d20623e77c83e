// SPDX-License-Identifier: Apache-2.0
//
// Weights of a module as the reference executor wants them, from a checkpoint.
#ifndef LFMC_CODEGEN_REFERENCE_CHECKPOINTWEIGHTS_H
#define LFMC_CODEGEN_REFERENCE_CHECKPOINTWEIGHTS_H

#include "codegen/quantize/Calibration.h"
#include "dialects/lfm2/Lfm2.h"
#include "frontend/Checkpoint.h"

namespace lfmc {

/// Fills `values` with `weight` in f32, row-major: stacked tensors or a rope
/// table, times its factors, rounded to the format in which the weight is
/// stored, if that is blocks by `quantizer`. Errors name the weight and the
/// tensor: it is missing, has another size, or a value that is not finite.
llvm::Error readCheckpointWeight(const Checkpoint &checkpoint,
                                 lfm2::WeightOp weight,
                                 llvm::MutableArrayRef<float> values,
                                 const QuantizerChoice &quantizer = {});

} // namespace lfmc

#endif // LFMC_CODEGEN_REFERENCE_CHECKPOINTWEIGHTS_H
