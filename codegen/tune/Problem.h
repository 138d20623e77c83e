// SPDX-License-Identifier: Apache-2.0
//
// The kernels of a weight or of an attention, apart from any model: what they
// are, how they are compiled with given choices, and data to check them with.
#ifndef LFMC_CODEGEN_TUNE_PROBLEM_H
#define LFMC_CODEGEN_TUNE_PROBLEM_H

#include "codegen/Codegen.h"
#include "codegen/tune/Tasks.h"
#include "codegen/tune/measure/job.h"
#include "targets/Kernels.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"

#include <variant>

namespace lfmc::tune {

/// How a candidate is measured.
struct MeasureOptions {
  int64_t tokens = 512; ///< of the many-token kernel
  unsigned threads = 0; ///< 0: all processors of the device
  double seconds = 0.3; ///< spent on timing
  unsigned limitSeconds = 20;
  uint64_t coldBytes = uint64_t(256) << 20; ///< more than any cache
};

/// Not thread-safe.
class Problem {
public:
  /// `kernel` is a Space::kernel. Fails for a name that is none, and if the
  /// target has no space for it.
  static llvm::Expected<std::unique_ptr<Problem>> create(llvm::StringRef kernel,
                                                         const Target &target);

  const Space &space() const { return parameters; }
  /// Of an attention's caches: a power of two of the blocks of a step.
  static constexpr int64_t positions = 4096;

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
  using Shape = std::variant<LinearShape, AttentionShape>;
  Problem(const Shape &shape, const Target &target);
  llvm::Error build(const std::string &text);
  unsigned pointers() const;
  Kernel kernel(Phase phase, const Choice &choice);

  Shape shape;
  const Target &target;
  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  mlir::Operation *ops[2] = {}; ///< by phase
  Space parameters;
};

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_PROBLEM_H
