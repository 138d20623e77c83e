// SPDX-License-Identifier: Apache-2.0
//
// Golden values of a model, as safetensors. Tensors, for any case C:
//   C.input_ids      i32 [n], or [cases, n]: several sequences
//   C.logits         f32 [n, V] (or [cases, n, V]): at every position
//   C.decode_logits  f32 [n, V]: token by token through the cache
//   C.logits_last2, C.logits_first16, C.logits_last16
//   C.greedy         i32 [m]: the most likely tokens that follow
//   C.nll            f32 [n - 1]: of each token but the first
#ifndef LFMC_TOOLS_LFMC_GOLDENS_H
#define LFMC_TOOLS_LFMC_GOLDENS_H

#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>
#include <vector>

namespace lfmc::cli {

/// Golden logits of consecutive positions.
struct GoldenLogits {
  std::string tensor;
  int64_t firstPosition = 0;
  std::vector<float> values; ///< rows of the vocabulary
  bool decode = false;       ///< to be compared with token-by-token results
};

/// One sequence.
struct GoldenCase {
  std::string name;
  std::vector<int32_t> tokens;
  std::vector<GoldenLogits> logits;
  std::vector<int32_t> greedy;
  std::vector<float> nll;
};

/// Reads the cases of `path`, in alphabetical order. `vocabSize` is the
/// model's.
llvm::Expected<std::vector<GoldenCase>> readGoldens(llvm::StringRef path,
                                                    int64_t vocabSize);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_GOLDENS_H
