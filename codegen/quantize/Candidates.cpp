// SPDX-License-Identifier: Apache-2.0
#include "codegen/quantize/Candidates.h"

#include <algorithm>
#include <cmath>

namespace lfmc {

using namespace pack;

namespace {

// Cuts of either end of a range, with a minimum.
constexpr int cuts = 6;

// Scales between `most` and most - step * (count - 1), in shares of the one
// that just holds the largest value.
struct Shares {
  int count;
  float most, step;
};

Shares sharesOf(const Blocks &blocks) {
  return blocks.bits == 8   ? Shares{5, 1.0f, 0.01f}
         : blocks.bits == 6 ? Shares{9, 1.06f, 0.03f}
                            : Shares{12, 1.15f, 0.05f};
}

} // namespace

Candidates::Candidates(const Blocks &blocks, const LaneBlock &block)
    : blocks(blocks) {
  for (int64_t l = 0; l < lanes; ++l) {
    low[l] = high[l] = block.values[0][l];
    for (int64_t j = 1; j < block.n; ++j) {
      low[l] = std::min(low[l], block.values[j][l]);
      high[l] = std::max(high[l], block.values[j][l]);
    }
  }
}

int Candidates::count() const {
  if (blocks.minimum)
    return cuts * cuts;
  // 6 and 4 bits: the end with one code more is the largest value's, or not.
  return sharesOf(blocks).count * (blocks.bits == 8 ? 1 : 2);
}

float Candidates::step() const {
  return blocks.minimum ? 0 : sharesOf(blocks).step;
}

void Candidates::get(int index, BlockScale *scales, LaneGrid &grid) const {
  float scale[lanes], minimum[lanes] = {};
  const Shares shares = sharesOf(blocks);
  const float middle = float(1 << (blocks.bits - 1));
  const float share = shares.most - shares.step * float(index % shares.count);
  grid.low = blocks.minimum ? 0 : blocks.bits == 8 ? -127 : -middle;
  grid.high = blocks.minimum ? 15 : middle - 1;
  for (int64_t l = 0; l < lanes; ++l) {
    float largest = -low[l] > high[l] ? low[l] : high[l];
    if (blocks.minimum) {
      float cut = 0.05f * (high[l] - low[l]);
      minimum[l] = low[l] + cut * float(index % cuts);
      scale[l] = (high[l] - cut * float(index / cuts) - minimum[l]) / 15;
    } else if (blocks.bits == 8) {
      scale[l] = std::fabs(largest) / 127 * share;
    } else {
      scale[l] = (index < shares.count ? -largest : largest) / middle * share;
    }
  }
  setFactors(scale, minimum, scales, grid);
}

void setFactors(const float *scale, const float *minimum, BlockScale *scales,
                LaneGrid &grid) {
  auto round = [](const float *from, uint16_t *halves, float *to) {
    convert(Format::F32, reinterpret_cast<const uint8_t *>(from), Format::F16,
            reinterpret_cast<uint8_t *>(halves), lanes);
    convert(Format::F16, reinterpret_cast<const uint8_t *>(halves), Format::F32,
            reinterpret_cast<uint8_t *>(to), lanes);
  };
  uint16_t halfScale[lanes], halfMinimum[lanes];
  round(scale, halfScale, grid.scale);
  round(minimum, halfMinimum, grid.minimum);
  for (int64_t l = 0; l < lanes; ++l) {
    scales[l] = {halfScale[l], halfMinimum[l]};
    grid.inverse[l] = grid.scale[l] == 0 ? 0 : 1 / grid.scale[l];
  }
}

} // namespace lfmc
