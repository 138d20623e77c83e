// SPDX-License-Identifier: Apache-2.0
//
// What a package makes of a text: its perplexity and, with a reference, the
// divergence of its next-token distributions from the reference's.
#ifndef LFMC_TOOLS_LFMC_EVALUATION_H
#define LFMC_TOOLS_LFMC_EVALUATION_H

#include "tools/lfmc/Divergence.h"
#include "tools/lfmc/Loader.h"

namespace lfmc::cli {

struct EvaluationOptions {
  int64_t runs = 0;     ///< only the first runs of the text; 0: all
  int64_t length = 511; ///< tokens of a run
  int threads = 0;      ///< 0: all processors
  TopK topK;
};

struct Evaluation {
  int64_t runs = 0, tokens = 0; ///< `tokens` were predicted and scored
  double nll = 0;               ///< mean, in nats
  double referenceNll = 0;      ///< with a reference
  DivergenceStatistics divergence;

  /// Keys: perplexity, nll, tokens, runs; of `withReference` also kld_mean,
  /// kld_se, kld_percentiles (50, 90, 95, 99, max), same_top1 (a share, 0..1),
  /// topk_kl and reference (name, perplexity, nll). Divergences in nats.
  Json json(const Model *reference = nullptr) const;
};

/// Cuts the tokens of `text` in consecutive runs and feeds each behind the
/// token that begins a text; every token of a run is scored. `name` stands for
/// the text in messages. Both models read the same tokens, `reference` may be
/// null. Fails for models of different vocabularies or tokenizers, for a text
/// shorter than a run, and where a logit is not finite.
llvm::Expected<Evaluation>
evaluateText(const Model &model, const Model *reference, llvm::StringRef text,
             llvm::StringRef name, const EvaluationOptions &options);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_EVALUATION_H
