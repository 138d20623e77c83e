// SPDX-License-Identifier: Apache-2.0
//
// How far a model's next-token distributions are from those of a reference.
//
// All values are in nats, computed in f64 from f32 logits. With p the softmax
// of the reference's logits and q that of the model's, over the vocabulary:
//
//   KLD    sum_i p_i (log p_i - log q_i)
//   Top-K  KL(Bern(p_T) || Bern(q_T)) + p_T KL(p'(.|T) || q'(.|T))
//
// Top-K is the decoupled, tempered divergence of the LFM2 technical report
// (arXiv:2511.23404): T are the K tokens that the reference finds likeliest
// (equal logits: the smaller id), p_T and q_T the mass that either gives T,
// Bern(m) the distribution (m, 1 - m), and p'(.|T), q'(.|T) the softmax over T
// alone of the logits divided by the temperature. Only the part within T is
// tempered: a temperature on the whole would move mass into the tail. There is
// no factor temperature^2. At temperature 1 the chain rule makes it the KLD
// less the tail's own part, p_rest KL(p(.|rest) || q(.|rest)).
#ifndef LFMC_TOOLS_LFMC_DIVERGENCE_H
#define LFMC_TOOLS_LFMC_DIVERGENCE_H

#include "llvm/ADT/ArrayRef.h"

#include <cstdint>
#include <vector>

namespace lfmc {

/// Parameters of the Top-K divergence.
struct TopK {
  int count = 32;
  double temperature = 2;
};

/// One position.
struct Divergence {
  double kld = 0, topK = 0; ///< at least 0; NaN if a logit is not finite
  bool sameTop = true;      ///< the likeliest tokens are the same
};

/// Of one position; both arrays hold [vocabulary] logits. Thread-safe.
Divergence divergence(llvm::ArrayRef<float> reference,
                      llvm::ArrayRef<float> logits, TopK parameters = {});

/// -log softmax(logits)[token].
double negativeLogLikelihood(llvm::ArrayRef<float> logits, int32_t token);

/// Many positions.
class DivergenceStatistics {
public:
  void add(const Divergence &position);
  void add(llvm::ArrayRef<float> reference, llvm::ArrayRef<float> logits,
           TopK parameters = {}) {
    add(divergence(reference, logits, parameters));
  }

  size_t positions() const { return klds.size(); }
  /// Means and shares of no position are 0.
  double kldMean() const;
  /// Standard error of the mean: the sample deviation over the root of the
  /// number of positions, as if they were independent. 0 for fewer than two.
  double kldStandardError() const;
  /// The KLD below which `percent` (0..100) of the positions are, between two
  /// of them linearly interpolated; 100 is the largest.
  double kldPercentile(double percent) const;
  double topKMean() const;
  /// Share of the positions with the same likeliest token, 0..1.
  double sameTopShare() const;

private:
  std::vector<double> klds;
  double kldSum = 0, topKSum = 0;
  size_t same = 0;
};

} // namespace lfmc

#endif // LFMC_TOOLS_LFMC_DIVERGENCE_H
