// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_CODEGEN_QUANTIZE_CANDIDATES_H
#define LFMC_CODEGEN_QUANTIZE_CANDIDATES_H

#include "codegen/pack/Quantize.h"
#include "codegen/quantize/Lanes.h"

namespace lfmc {

/// The scales and minima to try for a block, by lane: the largest value's, and
/// smaller ones that cut it off to the gain of the others.
class Candidates {
public:
  Candidates(const pack::Blocks &blocks, const LaneBlock &block);

  int count() const;
  /// How far two neighbours are apart, in shares of the scale; 0: not a row.
  float step() const;
  /// Candidate `index`. Its f16 factors are what the grid is made of.
  void get(int index, pack::BlockScale *scales, LaneGrid &grid) const;

private:
  const pack::Blocks &blocks;
  float low[lanes], high[lanes];
};

/// Sets the grid's scales and minima, and `scales`, to the f16 nearest to
/// `scale` and `minimum`, [lanes]. One that f16 cannot hold becomes infinite.
void setFactors(const float *scale, const float *minimum,
                pack::BlockScale *scales, LaneGrid &grid);

} // namespace lfmc

#endif // LFMC_CODEGEN_QUANTIZE_CANDIDATES_H
