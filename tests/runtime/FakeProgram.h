// SPDX-License-Identifier: Apache-2.0
//
// A hand-written program that follows the SPMD protocol of lfm/program.h. Its
// "model" is a hash of everything read so far, so that one wrong token, weight,
// state byte or missing barrier changes all logits that follow.
#ifndef LFMC_TESTS_RUNTIME_FAKEPROGRAM_H
#define LFMC_TESTS_RUNTIME_FAKEPROGRAM_H

#include "lfm/lfm.h"
#include "lfm/program.h"

#include <cstdint>
#include <string>
#include <vector>

namespace fake {

constexpr int32_t kContext = 64, kPrefill = 8, kPromptRows = 3;

/// What the logits prefer: after position p the token script[p], if there is
/// one and it is not negative. Empty at the start of a test.
extern std::vector<int32_t> script;

/// A program of `vocab` tokens. Hidden rows of 16 floats are aligned, rows of 5
/// are not. The tokenizer is unset.
lfm_program makeProgram(bool alignedRows = true, int32_t vocab = 64);

/// Gives a program the entries prompt and prompt_end.
void cutPrompt(lfm_program &program);

/// Writes the weights that belong to makeProgram().
void writeWeights(const std::string &path);

/// The model without a runtime: one thread, one token after another.
class Reference {
public:
  explicit Reference(int32_t vocab = 64) : vocab(vocab) {}
  /// Logits after reading `token`.
  std::vector<float> read(int32_t token);

private:
  int32_t vocab;
  uint64_t hash = 0;
  std::vector<uint64_t> history;
};

} // namespace fake

#endif // LFMC_TESTS_RUNTIME_FAKEPROGRAM_H
