// SPDX-License-Identifier: Apache-2.0
//
// The reference executor's way from lfm2 to the LLVM dialect.
#ifndef LFMC_CODEGEN_REFERENCE_LOWER_H
#define LFMC_CODEGEN_REFERENCE_LOWER_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

#include <string>
#include <vector>

namespace lfmc::reference {

/// Registers what lowering and execution need beyond registerLfmcDialects: the
/// translations to LLVM IR, and the native target. Safe to call repeatedly.
void registerLowering(mlir::MLIRContext &context);

/// Adds to the results of `function` the values called `names`, and returns the
/// names found, in the order of the new results. A value is called NAME if the
/// location of its op is a NameLoc NAME, or fused of several of which the last
/// is; of several ops the last in program order counts. lfm2.param and ops that
/// do not give a matrix of floats have no name.
std::vector<std::string> tapValues(mlir::func::FuncOp function,
                                   llvm::ArrayRef<std::string> names);

/// Makes every lfm2.param of `function` a further argument; returns the symbols
/// in the order of the new arguments, each once.
std::vector<std::string> weightsToArguments(mlir::func::FuncOp function);

/// Lowers the one function of `module` to the LLVM dialect: expansion,
/// bufferization (arguments may be overwritten unless marked
/// `bufferization.writable = false`), loops. Memory comes from malloc and is
/// never freed by the code. The function gets a C interface.
mlir::LogicalResult lowerToLlvm(mlir::ModuleOp module);

} // namespace lfmc::reference

#endif // LFMC_CODEGEN_REFERENCE_LOWER_H
