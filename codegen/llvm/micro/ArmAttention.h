// SPDX-License-Identifier: Apache-2.0
//
// attention_block over f16 caches, for 64-bit Arm with products of halves.
// Private to codegen/llvm/micro.
#ifndef LFMC_CODEGEN_LLVM_MICRO_ARMATTENTION_H
#define LFMC_CODEGEN_LLVM_MICRO_ARMATTENTION_H

#include "codegen/halide/AttentionShape.h"
#include "targets/Target.h"

#include "llvm/IR/Module.h"

namespace lfmc {

/// Whether `kernel`, an attention_block, is one of these for `target`.
bool armAttentionTakes(const halide::MicroKernel &kernel, const Target &target);

/// Throws halide::ParameterError.
void buildArmAttention(llvm::Module &module, llvm::StringRef symbol,
                       const halide::Params &params, const Target &target);

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_ARMATTENTION_H
