// SPDX-License-Identifier: Apache-2.0
//
// From the LLVM dialect to object code of a target.
#ifndef LFMC_CODEGEN_LLVM_EMIT_H
#define LFMC_CODEGEN_LLVM_EMIT_H

#include "codegen/Codegen.h"

#include "llvm/IR/Module.h"

namespace lfmc {

enum class EmitKind { Object, Assembly, LlvmText };

/// Translates, optimises and emits a module in the LLVM dialect.
llvm::Expected<llvm::SmallVector<char, 0>>
emitMlir(mlir::ModuleOp module, const Target &target, EmitKind kind);

/// Emits an LLVM module (a table of constants, say); sets its triple and layout.
/// Without `optimised` only the code generator's own passes run.
llvm::Expected<llvm::SmallVector<char, 0>>
emitLlvm(llvm::Module &module, const Target &target, EmitKind kind,
         bool optimised = true);

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_EMIT_H
