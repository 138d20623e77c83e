// SPDX-License-Identifier: Apache-2.0
//
// Vectors of 128 bytes for code that was written in slices of fewer. Private to
// codegen/llvm/micro.
#ifndef LFMC_CODEGEN_LLVM_MICRO_WIDEN_H
#define LFMC_CODEGEN_LLVM_MICRO_WIDEN_H

#include "llvm/IR/Module.h"

namespace lfmc {

/// Joins slices that are stored or put together side by side, and what they are
/// computed from, to vectors of up to 128 bytes. Values stay the same.
void widenVectors(llvm::Module &module);

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_WIDEN_H
