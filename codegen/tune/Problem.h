// SPDX-License-Identifier: Apache-2.0
//
// The kernels of an op, apart from any model: how they are compiled with given
// choices, and data to check them with (Subject.h).
#ifndef LFMC_CODEGEN_TUNE_PROBLEM_H
#define LFMC_CODEGEN_TUNE_PROBLEM_H

#include "codegen/Codegen.h"
#include "codegen/tune/Subject.h"
#include "targets/Kernels.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"

namespace lfmc::tune {

/// Not thread-safe.
class Problem {
public:
  /// `kernel` is a Space::kernel. Fails for a name that is none, and if the
  /// target has no space for it.
  static llvm::Expected<std::unique_ptr<Problem>> create(llvm::StringRef kernel,
                                                         const Target &target);

  const Space &space() const { return parameters; }

  /// The kernel of `phase` as function `symbol`, and its microkernels. Choices
  /// that differ in what the phase does not use give the same object.
  llvm::Expected<std::vector<ObjectFile>>
  compile(Phase phase, const Choice &choice, llvm::StringRef symbol,
          const std::string &cacheDir, unsigned jobs);

  /// Of a call.
  int64_t tokens(Phase phase, const MeasureOptions &options);

  /// The file for the measuring program: the preset's kernel against that of
  /// `choice`.
  std::vector<uint8_t> job(Phase phase, const Choice &choice,
                           const MeasureOptions &options);

  /// Generator, parameters and chunks as text: equal texts, equal kernels.
  std::string declaration(Phase phase, const Choice &choice);

private:
  Problem(std::unique_ptr<Subject> subject, const Target &target);
  llvm::Error build();
  Kernel kernel(Phase phase, const Choice &choice);

  std::unique_ptr<Subject> subject;
  const Target &target;
  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  mlir::Operation *ops[2] = {}; ///< by phase
  std::vector<Space> spaces;    ///< by phase; they differ in names only
  Space parameters;
};

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_PROBLEM_H
