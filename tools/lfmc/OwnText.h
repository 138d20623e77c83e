// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_TOOLS_LFMC_OWNTEXT_H
#define LFMC_TOOLS_LFMC_OWNTEXT_H

#include "tools/lfmc/Loader.h"

namespace lfmc::cli {

/// `count` sequences of `length` tokens that `model` writes itself, sampled
/// from its distribution without any filter, each from the token that begins a
/// text on. Sequence i has the seed firstSeed + i: equal arguments give equal
/// tokens on equal processors. Runs on the threads of llvm::parallel::strategy;
/// `progress` gets (done, total) from any of them, one at a time.
llvm::Expected<std::vector<std::vector<int32_t>>>
writeOwnText(const Model &model, int64_t count, int64_t length,
             uint64_t firstSeed,
             llvm::function_ref<void(uint64_t, uint64_t)> progress);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_OWNTEXT_H
