// SPDX-License-Identifier: Apache-2.0
//
// What a package makes of a text: its perplexity and, with a reference, the
// divergence of its next-token distributions from the reference's.
#ifndef LFMC_TOOLS_LFMC_EVALUATION_H
#define LFMC_TOOLS_LFMC_EVALUATION_H

#include "tools/lfmc/Divergence.h"
#include "tools/lfmc/Loader.h"

#include <cstdlib>

namespace lfmc::cli {

/// A model that reads runs of tokens in pieces: the logits of a whole run are
/// 128 MiB at the vocabulary of the published models, and runs may be longer.
class LogitReader {
public:
  /// For pieces of at most `rows` tokens. `from` must outlive it.
  llvm::Error open(const Model &from, int threads, int64_t rows);

  /// Begins a run.
  void restart() { lfm_session_reset(session.get()); }
  llvm::Error read(llvm::ArrayRef<int32_t> tokens);
  /// The logits behind token `i` of the last piece.
  llvm::ArrayRef<float> row(size_t i) const {
    return {logits.get() + i * vocab(), vocab()};
  }
  const char *name() const { return model->info.name; }

private:
  size_t vocab() const { return size_t(model->info.vocab_size); }

  const Model *model = nullptr;
  Session session;
  std::unique_ptr<float[], decltype(&std::free)> logits{nullptr, std::free};
};

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

/// The same for `runs` of tokens of any lengths; each starts with the token
/// that begins a text, which is read and not scored. `options` without runs and
/// length.
llvm::Expected<Evaluation>
evaluateRuns(const Model &model, const Model *reference,
             llvm::ArrayRef<std::vector<int32_t>> runs,
             const EvaluationOptions &options);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_EVALUATION_H
