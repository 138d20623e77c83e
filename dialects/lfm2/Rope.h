// SPDX-License-Identifier: Apache-2.0
//
// The inverse frequencies of a rope, rounded as the reference rounds them.
#ifndef LFMC_DIALECTS_LFM2_ROPE_H
#define LFMC_DIALECTS_LFM2_ROPE_H

#include "dialects/lfm2/Lfm2.h"

#include <cmath>

namespace lfmc::lfm2 {

/// `1 / theta^(2i/dim)` for i < dim/2, each step in f32. The angle of pair i at
/// position p is the f32 product `float(p) * result[i]`.
inline llvm::SmallVector<float> ropeInverseFrequencies(RopeAttr rope) {
  llvm::SmallVector<float> result(rope.getDim() / 2);
  double theta = static_cast<float>(rope.getTheta().getValueAsDouble());
  for (auto [i, frequency] : llvm::enumerate(result)) {
    float exponent = float(2 * i) / float(rope.getDim());
    frequency = 1.0f / float(std::pow(theta, double(exponent)));
  }
  return result;
}

} // namespace lfmc::lfm2

#endif // LFMC_DIALECTS_LFM2_ROPE_H
