// SPDX-License-Identifier: Apache-2.0
//
// From a kernel-dialect module to object files.
#ifndef LFMC_CODEGEN_CODEGEN_H
#define LFMC_CODEGEN_CODEGEN_H

#include "dialects/kernel/Kernel.h"
#include "mlir/IR/BuiltinOps.h"
#include "targets/Target.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"

#include <functional>
#include <string>
#include <vector>

namespace lfmc {

/// One member of the package's archive.
struct ObjectFile {
  std::string name; ///< "program.o", "linear_4f2a….o"
  llvm::SmallVector<char, 0> bytes;
};

struct CodegenOptions {
  const Target *target = nullptr;
  std::string modelName; ///< prefix of the entry symbols NAME_decode,
                         ///< NAME_prefill, NAME_head
  std::string cacheDir;  ///< compiled kernels by content; empty: no cache
  unsigned jobs = 0;     ///< 0: all cores
  /// Called with (done, total) as kernels finish, from any thread.
  std::function<void(unsigned, unsigned)> progress;
};

/// Gives `context` the dialects that code generation reads and makes, and the
/// interfaces by which its convert-to-llvm pass finds patterns.
void prepareForCodegen(mlir::MLIRContext &context);

/// Compiles a module on which the planning passes have run: the program (SPMD
/// entries of runtime/include/lfm/program.h) and its kernels.
llvm::Expected<std::vector<ObjectFile>> generateObjects(mlir::ModuleOp module,
                                                        const CodegenOptions &);

/// Compiles one kernel: function `options.modelName` (see MacroBuilder.h) with
/// `pointers` operands, and its microkernels.
llvm::Expected<std::vector<ObjectFile>>
generateKernel(kernel::DeclOp decl, unsigned pointers, const CodegenOptions &);

/// Changes when generated kernels or their calling convention do: compiled
/// kernels are cached, and tuning records kept, by this number.
int kernelVersion();

/// The same as text for `lfmc compile --emit llvm|asm|halide-stmt`.
enum class TextKind { Llvm, Assembly, HalideStmt };
llvm::Expected<std::string> generateText(mlir::ModuleOp module,
                                         const CodegenOptions &, TextKind);

} // namespace lfmc

#endif // LFMC_CODEGEN_CODEGEN_H
