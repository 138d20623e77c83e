// SPDX-License-Identifier: Apache-2.0
//
// What lfmc-run does, apart from its command line.
#ifndef LFMC_TOOLS_LFMC_RUN_RUN_H
#define LFMC_TOOLS_LFMC_RUN_RUN_H

#include "llvm/Support/Error.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdint>
#include <string>
#include <vector>

namespace lfmc {

/// The command line of lfmc-run; empty strings and zeros: not given.
struct RunOptions {
  std::string input, checkpoint, passes, weights;
  int64_t maxContext = 0; ///< 0: 2048, or what the model allows if less
  std::string kvCache;    ///< f32, f16 or q8; empty: f32
  std::vector<int32_t> tokens;
  std::string tokensFile, hiddenFile; ///< FILE:KEY
  std::string function = "prefill";
  int64_t chunk = 0;
  std::string dumpHidden, check;
  float tolerance = 2e-4f;
  int64_t maxTokens = 0;
};

/// Runs a model as asked and prints, for each position, the five most likely
/// next tokens with their logits; or, with `check`, one line per golden tensor.
/// Returns false if a check found differences.
llvm::Expected<bool> runReference(const RunOptions &options,
                                  llvm::raw_ostream &out);

} // namespace lfmc

#endif // LFMC_TOOLS_LFMC_RUN_RUN_H
