// SPDX-License-Identifier: Apache-2.0
//
// What becomes of finished sums in HvxTile.cpp. Private to codegen/llvm/micro.
#ifndef LFMC_CODEGEN_LLVM_MICRO_HVXROWS_H
#define LFMC_CODEGEN_LLVM_MICRO_HVXROWS_H

#include "codegen/llvm/micro/LinearQ.h"

namespace lfmc {

/// Writes y of a token from the f32 bits of a panel's rows, `vectors` of 32:
/// adds bias and residual or applies swiglu, in vectors where the processor has
/// `floats` in them, to be divided by expandDivisions.
void finishHvxRows(LinearQ &q, int64_t vectors,
                   llvm::function_ref<llvm::Value *(int64_t)> bits,
                   llvm::Value *panel, int64_t token, bool floats);

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_HVXROWS_H
