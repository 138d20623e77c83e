// SPDX-License-Identifier: Apache-2.0
//
// A session of a model on the reference executor.
#ifndef LFMC_CODEGEN_REFERENCE_REFERENCEMODEL_H
#define LFMC_CODEGEN_REFERENCE_REFERENCEMODEL_H

#include "codegen/reference/ReferenceExecutor.h"

namespace lfmc {

/// Runs @prefill, @decode and @head of a module as importLfm2 builds them,
/// fused or not, and carries the state from step to step.
class ReferenceModel {
public:
  /// Errors: a function is missing or has another signature. `module` must
  /// outlive the model.
  static llvm::Expected<std::unique_ptr<ReferenceModel>>
  create(mlir::ModuleOp module, ReferenceExecutor::ReadWeight read);

  /// See ReferenceExecutor::setTaps. Before the first step only.
  void setTaps(std::vector<std::string> names) {
    executor.setTaps(std::move(names));
  }

  /// Back to the start of a sequence.
  void reset();

  /// Appends `tokens`; returns hidden rows [n, H] after the final norm.
  llvm::Expected<HostTensor> prefill(llvm::ArrayRef<int32_t> tokens);
  /// Appends one token; returns logits [1, V].
  llvm::Expected<HostTensor> decode(int32_t token);
  /// Logits [n, V] of hidden rows.
  llvm::Expected<HostTensor> head(const HostTensor &hidden);

  /// Tapped values of the last prefill or decode.
  const std::map<std::string, HostTensor> &taps() const { return lastTaps; }
  int64_t position() const { return pos; }
  int64_t maxContext() const { return context; }
  int64_t vocabSize() const { return vocab; }

private:
  ReferenceModel(mlir::ModuleOp module, ReferenceExecutor::ReadWeight read)
      : module(module), executor(module, std::move(read)) {}

  llvm::Error checkFunctions();
  llvm::Expected<HostTensor> step(llvm::StringRef function,
                                  llvm::ArrayRef<int32_t> tokens);

  mlir::ModuleOp module;
  ReferenceExecutor executor;
  std::vector<HostTensor> states;
  std::map<std::string, HostTensor> lastTaps;
  int64_t pos = 0, context = 0, vocab = 0;
};

} // namespace lfmc

#endif // LFMC_CODEGEN_REFERENCE_REFERENCEMODEL_H
