// SPDX-License-Identifier: Apache-2.0
//
// The inner loops of calibration and of the quantizers in Search.h. These work
// on `lanes` rows at once, a column of them adjacent: [column][lane].
#ifndef LFMC_CODEGEN_QUANTIZE_LANES_H
#define LFMC_CODEGEN_QUANTIZE_LANES_H

#include <algorithm>
#include <cstdint>

namespace lfmc {

/// Rows that are quantized side by side, one to a lane of a vector.
inline constexpr int64_t lanes = 32;
/// Columns of the largest block.
inline constexpr int64_t maxBlock = 128;

/// How the values of a block are rounded, by lane: value = scale * code +
/// minimum, code in [low, high].
struct LaneGrid {
  float scale[lanes], inverse[lanes], minimum[lanes];
  float low, high;
};

/// A block under work: `n` columns, an even number.
struct LaneBlock {
  int64_t n;
  /// [n]: 1 / diagonal of the factor; the weight of an error is its square.
  const float *weight;
  /// [n][maxBlock]: column j's error takes factor[k][j] of column k > j; null:
  /// no feedback.
  const float *factor;
  float values[maxBlock][lanes];
};

/// Rounds the block and adds up the weighted squared errors, by lane.
/// `codes` and `errors` ([n][lanes]; weighted) may be null.
void roundLanes(const LaneBlock &block, const LaneGrid &grid, float *loss,
                float *codes, float *errors);

/// Columns of a slab of a square matrix.
inline constexpr int64_t slab = 32;

/// Where row i, column j of a matrix [size][size] is that lies in slabs
/// [size / slab][size][slab]: what a block of columns does to all others is
/// read from end to end.
inline int64_t slabIndex(int64_t size, int64_t i, int64_t j) {
  return (j / slab * size + i) * slab + j % slab;
}

/// Copies rows and columns [first, first + n) of such a matrix, row by row.
inline void copyFromSlabs(const float *matrix, int64_t size, int64_t first,
                          int64_t n, float *to, int64_t pitch) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; j += slab)
      std::copy_n(matrix + slabIndex(size, first + i, first + j), slab,
                  to + i * pitch + j);
}

/// Takes errors ([n][lanes], n a multiple of slab) times factor out of
/// `columns` columns: values[k][lane] -= sum_j errors[j][lane] *
/// factor[slabIndex(size, k, j)].
void feedLanes(float *values, int64_t columns, const float *errors, int64_t n,
               const float *factor, int64_t size);

/// Another turn for a rounded block. `codes` and `values` are [n][lanes] and
/// what the block is rounded to, `gradient`, [n][lanes], half the derivative of
/// the quadratic error by the values; `matrix`, [n][n], its second derivatives.
/// Each column in turn goes to the code of least error with all others as they
/// are; then the least error's scale for these codes, by lane, goes to `scale`.
/// `values` and `gradient` are kept for the caller to compare and update.
void settleLanes(int64_t n, const LaneGrid &grid, const float *matrix,
                 const float *values, const float *gradient, float *codes,
                 float *scale);

/// Adds the outer products of `n` rows to the lower triangle of `sums`, [size]
/// [size] (size: a multiple of 32); what lies above it is not defined. Row t is
/// rows[t * stride .. + size).
void addMoments(float *sums, int64_t size, const float *rows, int64_t stride,
                int64_t n);

} // namespace lfmc

#endif // LFMC_CODEGEN_QUANTIZE_LANES_H
