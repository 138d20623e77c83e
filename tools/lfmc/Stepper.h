// SPDX-License-Identifier: Apache-2.0
//
// A session that reads tokens: in this process or elsewhere (Remote.h).
#ifndef LFMC_TOOLS_LFMC_STEPPER_H
#define LFMC_TOOLS_LFMC_STEPPER_H

#include "tools/lfmc/Loader.h"

namespace lfmc::cli {

/// Logits are float[vocabSize()], those of all tokens one row each.
class Stepper {
public:
  virtual ~Stepper() = default;
  virtual int32_t vocabSize() const = 0;
  virtual int32_t maxContext() const = 0;
  /// Starts a new sequence.
  virtual llvm::Error reset() = 0;
  /// Reads tokens together; logits of the last one (null: not wanted).
  virtual llvm::Error prefill(llvm::ArrayRef<int32_t> tokens,
                              float *logits) = 0;
  /// Reads tokens together; logits of all.
  virtual llvm::Error logits(llvm::ArrayRef<int32_t> tokens, float *all) = 0;
  /// Reads tokens one by one; logits of the last one (null: not wanted).
  virtual llvm::Error decode(llvm::ArrayRef<int32_t> tokens, float *logits) = 0;
};

class LocalStepper : public Stepper {
public:
  /// Both must outlive this.
  LocalStepper(const Model &model, const Session &session)
      : model(model), session(session) {}
  int32_t vocabSize() const override { return model.info.vocab_size; }
  int32_t maxContext() const override { return model.info.max_context; }
  llvm::Error reset() override {
    lfm_session_reset(session.get());
    return llvm::Error::success();
  }
  llvm::Error prefill(llvm::ArrayRef<int32_t> tokens, float *logits) override {
    return session.check(lfm_session_prefill(session.get(), tokens.data(),
                                             tokens.size(), logits));
  }
  llvm::Error logits(llvm::ArrayRef<int32_t> tokens, float *all) override {
    return session.check(
        lfm_session_logits(session.get(), tokens.data(), tokens.size(), all));
  }
  llvm::Error decode(llvm::ArrayRef<int32_t> tokens, float *logits) override {
    for (int32_t token : tokens)
      if (llvm::Error error =
              session.check(lfm_session_decode(session.get(), token, logits)))
        return error;
    return llvm::Error::success();
  }

private:
  const Model &model;
  const Session &session;
};

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_STEPPER_H
