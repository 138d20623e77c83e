// SPDX-License-Identifier: Apache-2.0
//
// From a planned kernel-dialect module to LLVM IR of the whole program.
#ifndef LFMC_CODEGEN_LLVM_PROGRAM_H
#define LFMC_CODEGEN_LLVM_PROGRAM_H

#include "codegen/llvm/MacroBuilder.h"

#include "mlir/IR/OwningOpRef.h"

namespace lfmc {

/// Writes a module in the LLVM dialect: per kernel.decl a macro kernel, per
/// public function an SPMD entry MODEL_function
/// (runtime/include/lfm/program.h). The microkernels that it calls are added to
/// `micros`. Null after a diagnostic.
mlir::OwningOpRef<mlir::ModuleOp> lowerProgram(mlir::ModuleOp module,
                                               const Target &target,
                                               llvm::StringRef modelName,
                                               MicroKernels &micros);

/// Writes a module with one macro kernel, that of `decl`, as the external
/// function `symbol` with `pointers` operands: what a measuring program calls.
/// Null after a diagnostic.
mlir::OwningOpRef<mlir::ModuleOp>
lowerKernel(kernel::DeclOp decl, unsigned pointers, const Target &target,
            llvm::StringRef symbol, MicroKernels &micros);

/// Adds macro kernel `name` for an `expand` declaration: the linalg expansion
/// of its body function, token by token. Emits a diagnostic on failure.
mlir::LogicalResult buildExpansion(MacroBuilder &builder, llvm::StringRef name,
                                   kernel::DeclOp decl, mlir::ModuleOp module);

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_PROGRAM_H
