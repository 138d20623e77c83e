// SPDX-License-Identifier: Apache-2.0
//
// Quantizers that look for scales and make good for errors.
//
// For rows w of a weight that meet inputs x the error that counts is
// (w - q) E[x xᵀ] (w - q)ᵀ. `search` takes the diagonal of that matrix: scale
// and minimum of a block are those of a grid that give the least weighted
// squared error. `gptq` takes all of it (arXiv:2210.17323): columns are rounded
// one after the other, and each error is made good by what is left of the row.
// Its scales come from the same grid, each tried with the feedback inside its
// block, so that the error compared is the one that is left in the end.
#ifndef LFMC_CODEGEN_QUANTIZE_SEARCH_H
#define LFMC_CODEGEN_QUANTIZE_SEARCH_H

#include "codegen/pack/RowQuantizer.h"

#include <memory>

namespace lfmc {

/// Second moments of a linear's inputs, E[x_i x_j] up to a factor: square
/// matrices along the diagonal, for consecutive groups of columns.
struct InputMoments {
  struct Group {
    int64_t first, size;
    /// [size][size], symmetric, of which the lower triangle is read; null: not
    /// known. Must outlive its use.
    const float *matrix;
  };
  std::vector<Group> groups;
  /// Of the elements beside the diagonals what counts; 1: all. Less where so
  /// few rows were seen that they agree by chance.
  float correlation = 1;
  /// What the inputs are divided by, [columns]; empty: 1. The matrices are of
  /// the inputs before.
  std::vector<float> divisors;

  int64_t columns() const {
    return groups.empty() ? 0 : groups.back().first + groups.back().size;
  }
  float diagonal(int64_t column) const;
};

/// A quantizer that knows its inputs.
class InputQuantizer : public pack::RowQuantizer {
public:
  /// The same for inputs whose column c is `factors[c]` > 0 times as large.
  /// Cheaper than from their moments: nothing is factored.
  virtual std::unique_ptr<pack::RowQuantizer>
  scaled(const std::vector<float> &factors) const = 0;
};

/// Least weighted squared error; without moments the weights are 1.
std::unique_ptr<InputQuantizer>
makeSearchQuantizer(const InputMoments *moments);

/// With error feedback inside each group of columns. A group without usable
/// moments (not finite, indefinite) is quantized by search.
std::unique_ptr<InputQuantizer>
makeFeedbackQuantizer(const InputMoments &moments);

} // namespace lfmc

#endif // LFMC_CODEGEN_QUANTIZE_SEARCH_H
