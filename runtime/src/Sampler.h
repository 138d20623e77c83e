// SPDX-License-Identifier: Apache-2.0
#ifndef LFM_SRC_SAMPLER_H
#define LFM_SRC_SAMPLER_H

#include "lfm/lfm.h"

/// Chooses tokens; works in memory that its owner gives.
struct lfm_sampler {
public:
  /// Bytes of working memory for `vocab` logits, a multiple of 64.
  static size_t memoryBytes(int32_t vocab);

  /// Takes `memory`, zeroed and aligned to 64 bytes. Call configure() next.
  void open(int32_t vocab, void *memory);

  /// Checks and takes over `sampling`; keeps the accepted tokens. Only ids
  /// below `limit` are ever chosen.
  lfm_status configure(const lfm_sampling &sampling, int32_t limit);

  lfm_status sample(const float *logits, int32_t *token);
  void accept(int32_t token); // within 0..vocab-1
  lfm_status acceptChecked(int32_t token) {
    if (token < 0 || token >= vocab)
      return LFM_ERROR_TOKEN_RANGE;
    accept(token);
    return LFM_OK;
  }
  void forget();
  void seed(uint64_t value);

private:
  struct Candidate {
    float logit;
    int32_t token;
    bool before(const Candidate &other) const {
      return logit != other.logit ? logit > other.logit : token < other.token;
    }
  };

  float penalized(const float *logits, int32_t token) const;
  float kthLargest(int32_t n, int32_t k);
  int32_t keepTopP(int32_t n);
  static void sort(Candidate *base, int32_t n);
  double uniform();

  lfm_sampling sampling;
  int32_t vocab, limit;
  uint64_t random;
  int32_t acceptedCount;
  uint8_t *seen;         // [vocab]: 1 if in `accepted`
  int32_t *accepted;     // [vocab]: each token once
  Candidate *candidates; // [vocab]
  float *heap;           // [vocab]
};

namespace lfm_rt {

/// Replaces negative values by the checkpoint's or the documented ones.
lfm_sampling resolveSampling(const lfm_model &model, lfm_sampling sampling);

} // namespace lfm_rt

#endif // LFM_SRC_SAMPLER_H
