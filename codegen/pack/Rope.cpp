// SPDX-License-Identifier: Apache-2.0
#include "codegen/pack/Rope.h"

#include <cmath>

namespace lfmc::pack {

std::vector<float> ropeInverseFrequencies(double theta, int64_t dim) {
  std::vector<float> result(dim / 2);
  for (int64_t i = 0; i < dim / 2; ++i) {
    float exponent = float(2 * i) / float(dim);
    // A double power rounded once is the f32 power up to ties that do not
    // occur.
    float power = float(std::pow(double(float(theta)), double(exponent)));
    result[i] = 1.0f / power;
  }
  return result;
}

void ropeRows(const std::vector<float> &frequencies, int64_t begin, int64_t end,
              float *to) {
  int64_t half = int64_t(frequencies.size());
  for (int64_t pos = begin; pos < end; ++pos, to += 2 * half)
    for (int64_t i = 0; i < half; ++i) {
      float angle = float(pos) * frequencies[i];
      to[i] = float(std::cos(double(angle)));
      to[half + i] = float(std::sin(double(angle)));
    }
}

} // namespace lfmc::pack
