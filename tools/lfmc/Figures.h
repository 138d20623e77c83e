// SPDX-License-Identifier: Apache-2.0
//
// What a package is worth, measured when it is made: "measured" of NAME.json.
#ifndef LFMC_TOOLS_LFMC_FIGURES_H
#define LFMC_TOOLS_LFMC_FIGURES_H

#include "tools/lfmc/Cache.h"

namespace lfmc::cli {

/// Measures the package in `directory`, made of flags' `checkpoint` with
/// `options`, on tokens that the checkpoint writes itself (seeds that no
/// calibration uses). Keys:
///   tokens, perplexity                 of those tokens
///   decode_minus_prefill               largest difference of a logit between
///                                      the two ways to read 32 of them
///   executor_error, executor_tokens    with `exact`: largest difference to the
///                                      reference executor with the same stored
///                                      weights and rounded activations, over
///                                      the largest logit
///   reference, kld_mean, kld_se, kld_percentiles, same_top1, topk_kl
///                                      if anything is quantized: against the
///                                      checkpoint with its weights as they are
/// A package that is wrong is an error: executor_error above 1e-3 (0.05 with
/// rounded activations: those between two codes may take either),
/// decode_minus_prefill above half of the largest logit, or logits that are not
/// finite where the checkpoint's are.
llvm::Expected<Json> measureFigures(const std::string &directory,
                                    const std::string &checkpoint,
                                    const CompileFlags &flags,
                                    const CompileOptions &options, bool exact);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_FIGURES_H
