// SPDX-License-Identifier: Apache-2.0
//
// Private to codegen/llvm/micro.
#ifndef LFMC_CODEGEN_LLVM_MICRO_DIVISIONS_H
#define LFMC_CODEGEN_LLVM_MICRO_DIVISIONS_H

#include "llvm/IR/Module.h"

namespace lfmc {

/// Divides vectors of floats by Newton's method where the processor divides no
/// vectors: quotients are within some units in the last place; by divisors of
/// 2^125 and more they are 0.
void expandDivisions(llvm::Module &module);

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_DIVISIONS_H
