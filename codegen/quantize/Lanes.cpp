// SPDX-License-Identifier: Apache-2.0
#include "codegen/quantize/Lanes.h"

#include "codegen/quantize/Simd.h"

#include <algorithm>
#include <cstring>

namespace lfmc {

namespace {

// To the nearest integer, ties to even, for |x| < 2^22: without a call at any
// level of x86-64.
inline float nearest(float x) {
  constexpr float magic = 12582912.0f;
  return (x + magic) - magic;
}

} // namespace

LFMC_SIMD void roundLanes(const LaneBlock &block, const LaneGrid &grid,
                          float *loss, float *codes, float *errors) {
  float work[maxBlock][lanes], sum[lanes] = {};
  std::memcpy(work, block.values, block.n * sizeof work[0]);
  for (int64_t j = 0; j < block.n; ++j) {
    float error[lanes];
    for (int64_t l = 0; l < lanes; ++l) {
      float value = work[j][l];
      float position = (value - grid.minimum[l]) * grid.inverse[l];
      float code = nearest(std::min(std::max(position, grid.low), grid.high));
      error[l] =
          (value - (grid.scale[l] * code + grid.minimum[l])) * block.weight[j];
      sum[l] += error[l] * error[l];
      if (codes)
        codes[j * lanes + l] = code;
      if (errors)
        errors[j * lanes + l] = error[l];
    }
    if (!block.factor)
      continue;
    const float *factor = block.factor + j * maxBlock;
    for (int64_t k = j + 1; k < block.n; ++k)
      for (int64_t l = 0; l < lanes; ++l)
        work[k][l] -= error[l] * factor[k];
  }
  std::memcpy(loss, sum, sizeof sum);
}

LFMC_SIMD void feedLanes(float *values, int64_t columns, const float *errors,
                         int64_t n, const float *factor, int64_t stride) {
  // Two columns at a time: an error is loaded once for both.
  int64_t k = 0;
  for (; k + 1 < columns; k += 2) {
    float a[lanes] = {}, b[lanes] = {};
    const float *f = factor + k * stride, *g = f + stride;
    for (int64_t j = 0; j < n; ++j)
      for (int64_t l = 0; l < lanes; ++l) {
        a[l] += errors[j * lanes + l] * f[j];
        b[l] += errors[j * lanes + l] * g[j];
      }
    for (int64_t l = 0; l < lanes; ++l) {
      values[k * lanes + l] -= a[l];
      values[(k + 1) * lanes + l] -= b[l];
    }
  }
  for (; k < columns; ++k)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t l = 0; l < lanes; ++l)
        values[k * lanes + l] -= errors[j * lanes + l] * factor[k * stride + j];
}

LFMC_SIMD void settleLanes(int64_t n, const LaneGrid &grid, const float *matrix,
                           int64_t pitch, const float *values,
                           const float *gradient, float *codes, float *scale) {
  float work[maxBlock][lanes];
  std::memcpy(work, gradient, n * sizeof work[0]);
  for (int64_t j = 0; j < n; ++j) {
    const float *row = matrix + j * pitch;
    float change[lanes];
    for (int64_t l = 0; l < lanes; ++l) {
      float old = values[j * lanes + l];
      float position =
          (old - work[j][l] / row[j] - grid.minimum[l]) * grid.inverse[l];
      float code = nearest(std::min(std::max(position, grid.low), grid.high));
      change[l] = grid.scale[l] * code + grid.minimum[l] - old;
      codes[j * lanes + l] = code;
    }
    for (int64_t k = 0; k < n; ++k)
      for (int64_t l = 0; l < lanes; ++l)
        work[k][l] += change[l] * row[k];
  }
  // With q = scale * code + minimum: the derivative by the scale, and by it
  // twice.
  float slope[lanes] = {}, curve[lanes] = {};
  for (int64_t j = 0; j < n; ++j) {
    const float *row = matrix + j * pitch;
    float product[lanes] = {};
    for (int64_t k = 0; k < n; ++k)
      for (int64_t l = 0; l < lanes; ++l)
        product[l] += row[k] * codes[k * lanes + l];
    for (int64_t l = 0; l < lanes; ++l) {
      slope[l] += codes[j * lanes + l] * work[j][l];
      curve[l] += codes[j * lanes + l] * product[l];
    }
  }
  for (int64_t l = 0; l < lanes; ++l)
    scale[l] = grid.scale[l] - (curve[l] > 0 ? slope[l] / curve[l] : 0.0f);
}

namespace {

// Sums [rows][columns] of outer products, in registers.
constexpr int64_t tileRows = 8, tileColumns = 32;

} // namespace

LFMC_SIMD void addMoments(float *sums, int64_t size, const float *rows,
                          int64_t stride, int64_t n) {
  for (int64_t i = 0; i < size; i += tileRows)
    for (int64_t j = 0; j < i + tileRows; j += tileColumns) {
      float tile[tileRows][tileColumns] = {};
      for (int64_t t = 0; t < n; ++t) {
        const float *x = rows + t * stride;
#pragma clang loop unroll(full)
        for (int64_t a = 0; a < tileRows; ++a)
          for (int64_t b = 0; b < tileColumns; ++b)
            tile[a][b] += x[i + a] * x[j + b];
      }
      for (int64_t a = 0; a < tileRows; ++a)
        for (int64_t b = 0; b < tileColumns; ++b)
          sums[(i + a) * size + j + b] += tile[a][b];
    }
}

} // namespace lfmc
