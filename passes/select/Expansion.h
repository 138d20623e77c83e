// SPDX-License-Identifier: Apache-2.0
//
// The last kernel provider: an op's linalg expansion, one token at a time.
#ifndef LFMC_PASSES_SELECT_EXPANSION_H
#define LFMC_PASSES_SELECT_EXPANSION_H

#include "mlir/IR/BuiltinOps.h"
#include "targets/Kernels.h"

namespace lfmc {

/// Adds to `module` a private function @expand_… that computes `op` for one
/// token (arguments: the kernel's inputs, then its outs, then the position as
/// index; results: the op's) and returns a kernel with generator "expand" whose
/// parameter `body` names it. Weights come row-major. Fails on ops that have no
/// dynamic token dimension to cut.
mlir::FailureOr<Kernel> expandOp(mlir::Operation *op, mlir::ModuleOp module);

} // namespace lfmc

#endif // LFMC_PASSES_SELECT_EXPANSION_H
