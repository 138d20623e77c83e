// SPDX-License-Identifier: Apache-2.0
//
// Weights made of other weights.
#ifndef LFMC_PASSES_STACK_STACKEDWEIGHT_H
#define LFMC_PASSES_STACK_STACKEDWEIGHT_H

#include "dialects/lfm2/Lfm2.h"

#include <string>

namespace lfmc {

/// A readable name for a stack of `names`: what they have in common once, what
/// differs joined. {"l2.q", "l2.k", "l2.v"} gives "l2.qkv", {"l0.w1", "l0.w3"}
/// gives "l0.w13", {"gate_proj", "up_proj"} gives "gate_up_proj".
std::string stackedName(llvm::ArrayRef<llvm::StringRef> names);

/// Declares the rows (elements, for vectors) of `parts` in that order as one
/// weight, before the first of them in the module. `parts` have #lfm2.source
/// sources, the same width and the same encoding. The parts stay declared.
lfm2::WeightOp declareStack(mlir::SymbolTable &symbols,
                            llvm::ArrayRef<lfm2::WeightOp> parts);

} // namespace lfmc

#endif // LFMC_PASSES_STACK_STACKEDWEIGHT_H
