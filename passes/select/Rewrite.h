// SPDX-License-Identifier: Apache-2.0
//
// From an lfm2 op and the kernel chosen for it to a kernel.call.
#ifndef LFMC_PASSES_SELECT_REWRITE_H
#define LFMC_PASSES_SELECT_REWRITE_H

#include "mlir/IR/BuiltinOps.h"
#include "targets/Kernels.h"

namespace lfmc {

/// The operand of `op` whose buffer holds result `index` afterwards (a state
/// that is updated in place), or null when the result is fresh.
mlir::Value tiedOperand(mlir::Operation *op, unsigned index);

/// The operands that a kernel for `op` reads, in order: all tensors but those
/// updated in place.
llvm::SmallVector<mlir::Value> kernelInputs(mlir::Operation *op);

/// Declares kernels once and rewrites ops to calls of them.
class CallRewriter {
public:
  explicit CallRewriter(mlir::ModuleOp module) : module(module) {}

  /// Replaces `op` by a call. Fails when the op's position is not its
  /// function's.
  mlir::LogicalResult rewrite(mlir::Operation *op, const Kernel &kernel);

private:
  mlir::FlatSymbolRefAttr declare(mlir::Location loc, const Kernel &kernel);
  mlir::Value ropeTable(lfm2::RopeCacheOp op);

  mlir::ModuleOp module;
};

} // namespace lfmc

#endif // LFMC_PASSES_SELECT_REWRITE_H
