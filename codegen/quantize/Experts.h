// SPDX-License-Identifier: Apache-2.0
//
// Quantizing the stacked matrices of a layer's experts, each by what it reads.
#ifndef LFMC_CODEGEN_QUANTIZE_EXPERTS_H
#define LFMC_CODEGEN_QUANTIZE_EXPERTS_H

#include "codegen/quantize/Calibration.h"

namespace lfmc {

/// The quantizer of `input`, which choice.calibration knows; search or gptq.
/// Its ofRow says what quantizes an expert's rows: by moments of their own, or
/// by those of all tokens scaled to the expert's diagonal, column by column,
/// or, where fewer than Calibration::leastTokens tokens chose it, by search
/// without moments.
std::unique_ptr<pack::RowQuantizer>
makeExpertsQuantizer(const QuantizerChoice &choice,
                     const Calibration::Input &input,
                     llvm::ArrayRef<float> columnFactors);

} // namespace lfmc

#endif // LFMC_CODEGEN_QUANTIZE_EXPERTS_H
